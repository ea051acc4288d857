#!/bin/sh
# C++ programs under Holdfast do as they do with the C++ runtime alone: the operators they replace
# get the same calls, and failures end the same way.  Preloaded, linked, linked with libholdfast.a, and
# that with libstdc++.a too; where libstdc++ comes with a plugin; where there is none.
# shellcheck disable=SC2086  # $link and $how are lists of words
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
cc=${CC:-gcc} cxx=${CXX:-g++}
libraries=$PWD/.libs
link="-L$libraries -Wl,--no-as-needed -lholdfast -Wl,-rpath,$libraries"
export HOLDFAST_ARENA=32M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no HOLDFAST_PREFAULT=none

# same WAY COMMAND...: prints what the plain program printed
same()
{
    way=$1
    shift
    if ! "$@" > "$work/printed" 2> "$work/said"; then
        fail "$name, $way: ended badly"
        head -n 3 "$work/said"
    fi
    if ! diff "$work/plain.txt" "$work/printed" > "$work/differs"; then
        fail "$name, $way: not as without"
        head -n 9 "$work/differs"
    fi
}

# program NAME SOURCE FLAGS...: in all ways
program()
{
    name=$1 source=$2
    shift 2
    object=$work/$name.o
    must $cxx -std=c++17 -O2 -w -fno-builtin -pthread "$@" -c "$srcdir/tests/cxx/$source" -o "$object"
    must $cxx "$object" -o "$work/plain"
    must $cxx "$object" -o "$work/linked" $link
    must $cxx "$object" "$libraries/libholdfast.a" -o "$work/static" -lhwloc -luring
    must $cxx "$object" "$libraries/libholdfast.a" -o "$work/all-static" -static-libstdc++ -lhwloc -luring
    must "$work/plain" > "$work/plain.txt"
    same preloaded env LD_PRELOAD="$libraries/libholdfast.so" "$work/plain"
    same linked "$work/linked"
    same 'linked statically' "$work/static"
    same 'linked statically, libstdc++ too' "$work/all-static"
}

# late COMMAND...: a C program that loads a plugin
late()
{
    for how in 'local early' 'global early' 'local full' 'global full'; do
        if ! "$@" "$work/plugin.so" $how > "$work/said" 2>&1; then
            fail "plugin, $how: $*"
            tail -n 3 "$work/said"
        fi
    done
}

for replaced in 1 2 3 4; do
    program "replaced-$replaced" replaced.cc -DREPLACED="$replaced"
done
program handler handler.cc
program locked locked.cc

must $cxx -std=c++17 -O2 -w -fno-builtin -fPIC -shared "$srcdir/tests/cxx/plugin.cc" -o "$work/plugin.so"
must $cc -O2 -fno-builtin "$srcdir/tests/cxx/late.c" -o "$work/late"
must $cc -O2 -fno-builtin "$srcdir/tests/cxx/late.c" -o "$work/late-linked" $link
late env LD_PRELOAD="$libraries/libholdfast.so" "$work/late"
late "$work/late-linked"

# A runtime inside, whose symbols only the older kind of hash table leads to.
must $cxx -std=c++17 -O2 -w -fno-builtin -fPIC -shared "$srcdir/tests/cxx/plugin.cc" -o "$work/sysv.so" -static-libstdc++ -static-libgcc \
    -Wl,--hash-style=sysv
env LD_PRELOAD="$libraries/libholdfast.so" "$work/late" "$work/sysv.so" local early > "$work/said" 2>&1 ||
    fail "a plugin with a sysv hash: $(tail -n 3 "$work/said")"

# Two runtimes in one process: each plugin's failures are its own's affair.
must $cxx -std=c++17 -O2 -w -fno-builtin -fPIC -shared "$srcdir/tests/cxx/plugin.cc" -o "$work/whole.so" -static-libstdc++ -static-libgcc
must $cc -O2 -fno-builtin "$srcdir/tests/cxx/two.c" -o "$work/two"
for plugins in "$work/plugin.so $work/whole.so" "$work/whole.so $work/plugin.so"; do
    if ! env LD_PRELOAD="$libraries/libholdfast.so" "$work/two" $plugins > "$work/said" 2>&1; then
        fail "two plugins: $plugins"
        tail -n 3 "$work/said"
    fi
done

must $cc -O2 -fno-builtin "$srcdir/tests/cxx/alone.c" -o "$work/alone" $link
"$work/alone" > "$work/said" 2>&1 && fail "alone: did not fail"
grep -q HF-E016 "$work/said" || { fail "alone: no HF-E016"; cat "$work/said"; }
exit "$failed"
