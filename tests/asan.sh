#!/bin/sh
# The core's unit tests under AddressSanitizer and UndefinedBehaviorSanitizer.
set -eu
srcdir=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-gcc}
flags="-std=gnu11 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -D_GNU_SOURCE -DHFI_VERSION=\"asan\" -fno-builtin-malloc -fvisibility=hidden -w -pthread -iquote $srcdir/src -iquote $srcdir/numa -I$srcdir/include"
sources=$(ls "$srcdir"/src/*.c "$srcdir"/numa/*.c | grep -v '/override[-a-z]*\.c$')
wrap=-Wl,--wrap=hfi_arena_claim # tests/unit/full.c
for unit in core full idleset options plan prefault reserve topology runmap; do
    # shellcheck disable=SC2086  # lists of words
    if ! $cc $flags $([ "$unit" != full ] || echo "$wrap") "$srcdir/tests/unit/$unit.c" $sources -o "$work/$unit" -lcriterion -lhwloc -luring 2>"$work/log"; then
        grep -q 'cannot find -l' "$work/log" && exit 77
        cat "$work/log"
        exit 1
    fi
    ASAN_OPTIONS=detect_leaks=0 "$work/$unit" --jobs=2
done
