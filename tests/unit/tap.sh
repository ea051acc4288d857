#!/bin/sh
# Runs one Criterion program for Automake's TAP driver.
exec "$1" --output=tap:- --always-succeed --jobs=2
