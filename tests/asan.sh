#!/bin/sh
# The core's unit tests under AddressSanitizer and UndefinedBehaviorSanitizer.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/build.sh"
core_flags asan
flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined"
test_flags=$short_loops
core_objects "$work/core"
export ASAN_OPTIONS=detect_leaks=0
runs asan hf_units all | run_all
