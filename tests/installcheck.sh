#!/bin/sh
# What somebody who installed Holdfast does: compiles against it with pkg-config alone, dynamically and
# statically, and runs a program of the system under the installed tool.
#   installcheck.sh SRCDIR PREFIX LIBDIR BINDIR MANDIR
set -eu
srcdir=$1 libdir=$3 bindir=$4 mandir=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
PKG_CONFIG_PATH=$libdir/pkgconfig
PKG_CONFIG_SYSROOT_DIR=${DESTDIR:-}
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
cc=${CC:-cc}
flags=$(pkg-config --cflags --libs holdfast)
# shellcheck disable=SC2086  # lists of flags
$cc -std=gnu11 -fno-builtin -D_GNU_SOURCE "$srcdir/tests/programs/api.c" -o "$work/dynamic" $flags
LD_LIBRARY_PATH=$libdir "$work/dynamic"
# shellcheck disable=SC2046
$cc -std=gnu11 -fno-builtin -D_GNU_SOURCE "$srcdir/tests/programs/api.c" -o "$work/static" $(pkg-config --cflags holdfast) \
    -Wl,--whole-archive "$libdir/libholdfast.a" -Wl,--no-whole-archive $(pkg-config --libs hwloc liburing) -pthread
"$work/static"
# shellcheck disable=SC2046
$cc -std=gnu11 -O2 -D_GNU_SOURCE "$srcdir/tests/examples/bufferpool/bufferpool.c" -o "$work/bufferpool" \
    $(pkg-config --cflags --libs holdfast liburing) -pthread
pool() { LD_LIBRARY_PATH=$libdir HOLDFAST_ARENA=96M HOLDFAST_BACKING=4k "$work/bufferpool" --path "$work/data" --file 64M --pool 16M --operations 3000 "$@"; }
for page in 4K 64K; do
    if pool --page $page --depth 8 --threads 2 >"$work/out" 2>"$work/err"; then
        [ "$(grep -c 'errors 0$' "$work/out")" = 2 ] || { cat "$work/out"; exit 1; }
    elif grep -q 'io_uring_queue_init: \|hf_uring_register: Cannot\|data: Invalid' "$work/err"; then
        echo "installcheck: bufferpool has no io_uring, no memlock or no direct I/O here: $(tail -1 "$work/err")"
    else
        cat "$work/out" "$work/err"
        exit 1
    fi
done
queries=$srcdir/tests/examples/queries/queries.c
# shellcheck disable=SC2046
$cc -std=gnu11 -O2 "$queries" -o "$work/queries" $(pkg-config --cflags --libs holdfast) -pthread
LD_LIBRARY_PATH=$libdir HOLDFAST_ARENA=96M HOLDFAST_RESERVE=1M HOLDFAST_BACKING=4k "$work/queries" 2000 4 64 >"$work/out" 2>"$work/err" ||
    { cat "$work/out" "$work/err"; exit 1; }
grep -q '^1939 done, 40 cancelled, 20 over their limit, 1 killed$' "$work/out" || { cat "$work/out"; exit 1; }
for message in 'HF-E015 heap: heap "query ' 'HF-E012 arena: ' 'query 1000 is killed, which holds '; do
    grep -q "$message" "$work/err" || { cat "$work/err"; exit 1; }
done
$cc -std=gnu11 -O2 -DPLAIN "$queries" -o "$work/plain" -pthread
"$work/plain" 2000 4 64 >"$work/out"
grep -q '^1940 done, 40 cancelled, 20 over their limit, 0 killed$' "$work/out" || { cat "$work/out"; exit 1; }
"$bindir/holdfast" run --arena 64M --library "$libdir/libholdfast.so.0" -- ls / >/dev/null
"$bindir/holdfast" --version
if command -v man > /dev/null; then
    for page in hf_malloc hf_frames_free hf_heap_malloc hf_uring_prep_read holdfast-stat holdfast-messages; do
        MANPATH=$mandir man -w "$page" > "$work/out" 2>&1 || { cat "$work/out"; exit 1; }
    done
fi
echo "installcheck: compiled, linked both ways, ran"
