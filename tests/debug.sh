#!/bin/sh
# The library with its internal assertions (--enable-debug), under all programs and unit tests.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/build.sh"
core_flags debug
flags="$flags -DHFI_ENABLE_DEBUG"
test_flags=$short_loops
core_objects "$work/core"
core_library
{ runs debug hf_programs all; runs debug hf_units all; } | run_all
