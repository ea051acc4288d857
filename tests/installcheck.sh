#!/bin/sh
# What somebody who installed Holdfast does: compiles against it with pkg-config alone, dynamically and
# statically, and runs a program of the system under the installed tool.
#   installcheck.sh SRCDIR PREFIX LIBDIR BINDIR
set -eu
srcdir=$1 libdir=$3 bindir=$4
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
"$bindir/holdfast" run --arena 64M --library "$libdir/libholdfast.so.0" -- ls / >/dev/null
"$bindir/holdfast" --version
echo "installcheck: compiled, linked both ways, ran"
