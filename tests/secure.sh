#!/bin/sh
# The secure build: its own copy of the library, the core's unit tests and the programs against it,
# where it matters on both kinds of guards (4k: inaccessible; thp: patterns).
set -eu
srcdir=${srcdir:-.}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. "$srcdir/tests/build.sh"
core_flags secure
flags="$flags -DHFI_ENABLE_SECURE"
failed=0

core_objects "$work/core" -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-builtin
# shellcheck disable=SC2046,SC2086  # lists of words, here and below
$cc $flags -fPIC -shared -fvisibility=hidden -ftls-model=initial-exec -fno-builtin -fexceptions \
    -Wl,--version-script="$srcdir/src/holdfast.map" "$work"/core/*.o $(find "$srcdir/src" -name 'override*.c') \
    -o "$work/libholdfast.so" $core_libraries

# run NAME [VARIABLE=VALUE...]: one program, silent unless it fails
run()
{
    name=$1
    shift
    if [ ! -x "$work/$name" ]; then
        $cc $flags -fno-builtin "$srcdir/tests/programs/$name.c" -o "$work/$name" -L"$work" -lholdfast -Wl,-rpath,"$work" -luring
    fi
    if env "$@" "$work/$name" >"$work/log" 2>&1; then
        echo "ok: $name $*"
    else
        echo "NOT OK: $name $*"
        cat "$work/log"
        failed=1
    fi
}

run secure
run misuse
run api
run api HOLDFAST_BACKING=4k
run threads
run threads HOLDFAST_ARENA=512M HOLDFAST_BACKING=4k
run fork HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k
run fork-full
run fork-pressure
run quiet HOLDFAST_ARENA=1500M HOLDFAST_BACKING=thp
run exhaust HOLDFAST_ARENA=512M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no
run idle
run uring
run lockall
run refused

# unit NAME [FLAG...]
unit()
{
    name=$1
    shift
    if $cc $flags -fno-builtin-malloc -fvisibility=hidden "$@" "$srcdir/tests/unit/$name.c" "$work"/core/*.o -o "$work/unit-$name" \
        -lcriterion $core_libraries 2>"$work/log"; then
        "$work/unit-$name" --jobs=2 || failed=1
    elif ! grep -q 'cannot find -l' "$work/log"; then
        cat "$work/log"
        failed=1
    fi
}
for name in fork large magazine page pressure remote steal theap; do
    unit "$name"
done
unit full -Wl,--wrap=hfi_arena_claim
exit "$failed"
