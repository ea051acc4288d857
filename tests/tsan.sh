#!/bin/sh
# The core under ThreadSanitizer, by programs of its own: Criterion does not run under it.
# Programs are compiled with malloc and free replaced by hf_malloc and hf_free.
set -eu
srcdir=${srcdir:-.}
. "$srcdir/tests/build.sh"
core_flags tsan
flags="$flags -fsanitize=thread -fno-builtin"
test_flags='-include holdfast/holdfast.h -Dmalloc=hf_malloc -Dfree=hf_free'
links_core=core
under='setarch -R'
echo 'int main(void) { return 0; }' >"$work/probe.c"
if ! $cc -fsanitize=thread "$work/probe.c" -o "$work/probe" 2>/dev/null || ! setarch -R "$work/probe" 2>/dev/null; then
    echo "no ThreadSanitizer here"
    exit 77
fi
core_objects "$work/core"
export HOLDFAST_ARENA=512M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no TSAN_OPTIONS=halt_on_error=1
runs tsan hf_programs | run_all
