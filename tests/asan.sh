#!/bin/sh
# The core's unit tests under AddressSanitizer and UndefinedBehaviorSanitizer.
set -eu
srcdir=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$srcdir/tests/build.sh"
core_flags asan
flags="$flags -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-builtin-malloc -fvisibility=hidden"
core_objects "$work/core"
wrap=-Wl,--wrap=hfi_arena_claim # tests/unit/full.c
for unit in backing fork full idleset large limits magazine options os page plan prefault pressure remote reserve runmap runmap-threads steal theap topology; do
    # shellcheck disable=SC2086  # lists of words
    if ! $cc $flags $([ "$unit" != full ] || echo "$wrap") "$srcdir/tests/unit/$unit.c" "$work"/core/*.o -o "$work/$unit" \
        -lcriterion $core_libraries 2>"$work/log"; then
        grep -q 'cannot find -l' "$work/log" && exit 77
        cat "$work/log"
        exit 1
    fi
    ASAN_OPTIONS=detect_leaks=0 "$work/$unit" --jobs=2
done
