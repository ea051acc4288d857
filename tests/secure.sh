#!/bin/sh
# The secure build: its own copy of the library, the core's unit tests and the programs against it,
# where it matters on both kinds of guards (4k: inaccessible; thp: patterns).
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/build.sh"
core_flags secure
flags="$flags -DHFI_ENABLE_SECURE"
core_objects "$work/core"
core_library
{ runs secure hf_programs; runs secure hf_units; } | run_all
