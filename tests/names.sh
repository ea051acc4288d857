#!/bin/sh
# The C library's calls answer as the C library's do: the same program beside and under Holdfast prints the same.
set -u
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
./tests/names/answers > "$work/libc" || exit 1
LD_PRELOAD=$PWD/.libs/libholdfast.so ./tests/names/answers > "$work/holdfast" || exit 1
diff "$work/libc" "$work/holdfast"
