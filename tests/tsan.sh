#!/bin/sh
# The core under ThreadSanitizer, by a program of its own: Criterion does not run under it.
# Programs are compiled with malloc and free replaced by hf_malloc and hf_free.
set -eu
srcdir=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$srcdir/tests/build.sh"
core_flags tsan
flags="$flags -fsanitize=thread -fno-builtin"
echo 'int main(void) { return 0; }' >"$work/probe.c"
if ! $cc -fsanitize=thread "$work/probe.c" -o "$work/probe" 2>/dev/null || ! setarch -R "$work/probe" 2>/dev/null; then
    echo "no ThreadSanitizer here"
    exit 77
fi
for program in threads asleep; do
    # shellcheck disable=SC2086  # lists of words
    $cc $flags -include holdfast/holdfast.h -Dmalloc=hf_malloc -Dfree=hf_free -c "$srcdir/tests/programs/$program.c" -o "$work/$program.o"
    # shellcheck disable=SC2086
    $cc $flags -fvisibility=hidden "$work/$program.o" $core_sources -o "$work/$program" $core_libraries
    HOLDFAST_ARENA=512M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no TSAN_OPTIONS=halt_on_error=1 setarch -R "$work/$program"
done
HOLDFAST_PREFAULT=background HOLDFAST_ARENA=512M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no TSAN_OPTIONS=halt_on_error=1 setarch -R "$work/threads"
