#!/bin/sh
# The C library's calls answer as the C library's do: the same program beside and under Holdfast prints the same.
# Each name of the C library and of the C++ runtime that has to do with the heap is known (names/known).
# What a plugin loaded with RTLD_DEEPBIND takes from the C library's heap is told where it is freed.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
library=$PWD/.libs/libholdfast.so
known=$srcdir/tests/names/known

must ./tests/names/answers > "$work/libc"
must env LD_PRELOAD="$library" ./tests/names/answers > "$work/holdfast"
diff "$work/libc" "$work/holdfast" || fail 'the C library (<) and Holdfast (>) answer differently'

# of WHAT: the names that the list calls so
of()
{
    sed -n "s/^$1 //p" "$known" | tr ' ' '\n' | sort
}

# names LIBRARY PATTERN: what it defines, without versions
names()
{
    nm -D --defined-only "$1" | awk '{ sub(/@.*/, "", $3); print $3 }' | grep -E "$2" | sort -u
}

heap='[Aa]lloc|free|mallinfo|mallopt|mallwatch|memalign|mtrace|muntrace|mcheck|mprobe|morecore|obstack|malloc_'
libc=$(ldd "$library" | sed -n 's/.*libc\.so\.6 => \([^ ]*\).*/\1/p')
runtime=$(${CXX:-g++} -print-file-name=libstdc++.so.6)
{ of ours; of calls; of none; of apart; } | sort > "$work/known"
uniq -d "$work/known" > "$work/twice"
while read -r name; do fail "$name is in the list twice"; done < "$work/twice"

for of in "$libc" "$runtime"; do
    case $of in
    */libc.so*) names "$of" "$heap" ;;
    *) names "$of" '^_Zn[wa]|^_Zd[la]' ;;
    esac > "$work/names"
    [ -s "$work/names" ] || fail "no names found in $of"
    comm -23 "$work/names" "$work/known" > "$work/unknown"
    while read -r name; do fail "$name of $of is not in tests/names/known"; done < "$work/unknown"
done

names "$library" . | grep -v '^hf_' > "$work/exported"
of ours | diff - "$work/exported" > "$work/differs" ||
    { fail 'what is ours (<) and what is exported (>) differ'; cat "$work/differs"; }

# The manual names what has no effect, and each of ours in C.
for name in $(of none) $(of ours | grep -v '^_Z'); do
    grep -qE "^\.(Fn|Va|Dv) $name( |\$)" "$srcdir/man/holdfast.3" ||
        fail "holdfast(3) does not name $name"
done

# --- RTLD_DEEPBIND ---
cc=${CC:-gcc}
must $cc -O2 -fno-builtin "$srcdir/tests/names/deepbind.c" -o "$work/deepbind"
must $cc -O2 -fno-builtin -fPIC -shared -DPLUGIN "$srcdir/tests/names/deepbind.c" -o "$work/apart.so"
must $cc -O2 -fno-builtin -fPIC -shared -DPLUGIN "$srcdir/tests/names/deepbind.c" -o "$work/with.so" \
    -L"$PWD/.libs" -Wl,--no-as-needed -lholdfast -Wl,-rpath,"$PWD/.libs"

# deepbind PLUGIN WAY: its exit status
deepbind()
{
    env LD_PRELOAD="$library" "$work/deepbind" "$work/$1.so" "$2" > "$work/said" 2>&1
}

deepbind apart none || { fail 'each on its own side: failed'; cat "$work/said"; }
for way in out resized; do
    deepbind apart "$way" && fail "a block of the C library's, $way: was taken"
    grep -q 'HF-E301.*; load .* RTLD_DEEPBIND' "$work/said" ||
        { fail "a block of the C library's, $way: no advice"; cat "$work/said"; }
done
for way in out resized in; do
    deepbind with "$way" || { fail "plugin linked with Holdfast, $way: failed"; cat "$work/said"; }
done
exit "$failed"
