#!/bin/sh
# holdfast map: the picture of a segment made by hand, letter by letter; colours; SVG; what it refuses.
#
# $srcdir and $top_builddir as Automake sets them, both . by default.
set -u
unset NO_COLOR
. "${srcdir:-.}/tests/tool-part.sh"

if command -v xmllint > /dev/null; then
    is_xml() { xmllint --noout - > "$work/err" 2>&1; }
elif command -v python3 > /dev/null; then
    is_xml() { python3 -c 'import sys, xml.sax; xml.sax.parse(sys.stdin, xml.sax.ContentHandler())' > "$work/err" 2>&1; }
else
    is_xml() { cat > /dev/null; }
    echo "$name: neither xmllint nor python3: the SVG is not parsed"
fi

# --- what it refuses ---
expect 2 HF-E400 map --nonsense
expect 2 HF-E416 map 1 2
expect 2 HF-E416 map one
expect 1 HF-E411 map 2147483647
for width in 19 1001 -1 x '' 8O; do expect 78 HF-E432 map --width "$width"; done
for node in -1 x '' 4294967296; do expect 78 HF-E432 map --node "$node"; done
expect 78 'HF-E447 map: --svg 4121: that is a number' map --svg 4121
expect 78 HF-E447 map --svg=4121 1
[ ! -e 4121 ] || fail "--svg of a process writes a file of its number"
expect 1 HF-E411 map --svg ./4121 2147483647
expect 1 HF-E411 map --svg '' 2147483647

# --- the picture ---
# picture: what map says of the segment, without what differs from run to run
picture()
{
    expect 0 'node 0: 8 MiB on 2m pages' map "$victim"
    sed -e "s/($victim)/(PID)/" -e 's/ *$//' "$work/out"
}
start_segment
picture > "$work/got"
cat > "$work/wanted" <<'END'
made (PID)
live 4.29 MiB, held 4.56 MiB (1.06 times live), unused 276 KiB

node 0: 8 MiB on 2m pages, 58.6 % used, 41.4 % free
  live 4.29 MiB, held 4.56 MiB (1.06 times live), unused 276 KiB
  longest free run 2.69 MiB; most ever used 58.6 %; FULL: the last request did not fit
  a cell is 1 page, 64 KiB
       0 B SSOoIiFOOee.....................................................
     4 MiB LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL

node 3: 4 MiB on 2m pages, 0.0 % used, 100.0 % free
  live 0 B, held 0 B, unused 0 B
  longest free run 4 MiB; most ever used 0.0 %
  a cell is 1 page, 64 KiB
       0 B ................................................................

  O owned by a thread  F full, unowned  L large blocks  I idle, has room
  e kept empty  S own structures  . free
  small letter: less than half of it in use
END
cmp -s "$work/wanted" "$work/got" || { fail "the picture is another"; diff "$work/wanted" "$work/got"; }

# Eight cells a row.
expect 0 'a cell is 1 page' map --node 0 --width 20 "$victim"
grep -q '^       0 B SSOoIiFO$' "$work/out" || fail "no row of 8 cells"
grep -q '^   512 KiB Oee\.\.\.\.\.$' "$work/out" || fail "no second row of 8 cells"
[ "$(grep -c '^ *[0-9.]* [KM]*i*B [A-Za-z.]*$' "$work/out")" = 16 ] || fail "not 16 rows of 8 cells"
[ "$(grep -c '^node ' "$work/out")" = 1 ] || fail "--node 0 shows other nodes"
expect 0 'node 3: 4 MiB' map --node 3 "$victim"
grep -q 'node 0' "$work/out" && fail "--node 3 shows node 0"
expect 78 HF-E433 map --node 1 "$victim"

expect 1 HF-E431 map --svg "$work/none/x.svg" "$victim"
expect 1 HF-E431 map --svg /dev/full "$victim"
awk '/^............/ && length > 40 && !/node|longest|letter/ { exit 1 }' "$work/out" || fail "a row is longer than its line"

# --- colours: on a terminal that has them ---
escape=$(printf '\033')
# on TERM LOCALE ARGUMENT...: on a terminal of script(1)
on()
{
    terminal=$1 locale=$2
    shift 2
    TERM=$terminal LC_ALL=$locale script -qec "$holdfast map $* $victim" "$work/script" > "$work/out" 2> "$work/err" < /dev/null
}
if command -v script > /dev/null; then
    on xterm C.UTF-8
    grep -qF "$escape[35m██$escape[32m█░$escape[33m▓░$escape[36m█$escape[32m██$escape[37m░░$escape[90m·" "$work/out" || fail "colours and shades are others"
    on xterm C
    grep -qF "$escape[32mOo$escape[33mIi" "$work/out" || fail "no coloured letters without UTF-8"
    for refused in 'on xterm C.UTF-8 --no-color' 'on vt100 C.UTF-8' 'on dumb C.UTF-8' 'NO_COLOR=1 on xterm C.UTF-8'; do
        eval "$refused"
        grep -qF "$escape" "$work/out" && fail "colours in spite of '$refused'"
        grep -qF 'SSOoIiFOOee...' "$work/out" || fail "no letters with '$refused'"
        unset NO_COLOR
    done
fi

# --- SVG ---
"$holdfast" map --svg "$work/map.svg" "$victim" > "$work/out" 2> "$work/err" || fail "map --svg fails"
is_xml < "$work/map.svg" || fail "the SVG is not well-formed"
for text in 'prefers-color-scheme:dark' '<title>64 KiB at 192 KiB: owned by a thread; 9.8 % of its bytes in use</title>' 'aria-label="Page map of node 3"' \
    '<title>4 MiB at 4 MiB: large blocks; 100.0 % of its bytes in use</title>' 'full: the last request did not fit' \
    '<rect class="i q2" x="156" y="56" width="16" height="15"><title>64 KiB at 256 KiB: idle, has room; 58.6 %'; do
    grep -qF -e "$text" "$work/map.svg" || fail "the SVG has no '$text'"
done
sed 's/xmlns="[^"]*"//g' "$work/map.svg" | grep -qE 'href|url\(|http|<script' && fail "the SVG refers to something outside"
"$holdfast" map --node 3 --svg - "$victim" > "$work/out" 2> "$work/err"
is_xml < "$work/out" || fail "the SVG of one node is not well-formed"
grep -q 'map of node 0' "$work/out" && fail "the SVG of node 3 shows node 0"

# --- two pages to a cell: it has the state of most of its pages, and the fill of both ---
finish_segment
start_segment --one-node
expect 0 'a cell is 2 pages, 128 KiB' map --width 20 "$victim"
sed -n 's/^ *[0-9.]* [KM]*i*B \([A-Za-z.]*\)$/\1/p' "$work/out" | tr '\n' ' ' > "$work/got"
[ "$(cat "$work/got")" = 'SOiOOe.. ........ ........ ........ LLLLLLLL LLLLLLLL LLLLLLLL LLLLLLLL LLL..... ........ ........ ........ ' ] ||
    fail "cells of two pages are $(cat "$work/got")"
if command -v script > /dev/null; then
    on xterm C.UTF-8 --width 20
    for row in "       0 B $escape[35m█$escape[32m▓$escape[33m▒$escape[32m█▓$escape[37m░$escape[90m··$escape[0m" "     4 MiB $escape[94m████████$escape[0m"; do
        grep -qF "$row" "$work/out" || fail "cells of two pages have other shades than $row"
    done
fi
finish_segment

# --- a library that counts no blocks: nothing is painted by how full it is ---
start_segment --older
picture > "$work/got"
sed -e 's/^live .*held/live unknown (its library is of before this tool), held/' -e 's/^  live .*held/  live unknown, held/' \
    -e 's/\(held [^ ]* [KM]*i*B\).*/\1/' -e 's/SSOoIiFOOee/SSOOIIFOOOO/' -e 's/small letter: .*/how much of it is in use is not known/' \
    "$work/wanted" | cmp -s - "$work/got" || { fail "the picture of an older library is another"; diff "$work/wanted" "$work/got"; }
if command -v script > /dev/null; then
    on xterm C.UTF-8
    grep -qF "$escape[35m██$escape[32m██$escape[33m██$escape[36m█$escape[32m████$escape[90m·" "$work/out" ||
        fail "shades are drawn of what is not known"
    on xterm C
    grep -qF "$escape[32mOO$escape[33mII" "$work/out" || fail "small letters for what is not known"
fi
"$holdfast" map --svg "$work/map.svg" "$victim" > "$work/out" 2> "$work/err" || fail "map --svg of an older library fails"
for text in '<title>128 KiB at 128 KiB: owned by a thread</title>' '<title>4 MiB at 4 MiB: large blocks</title>' \
    '<rect class="i" x="156" y="56" width="32" height="15"><title>128 KiB at 256 KiB: idle, has room</title>' \
    'how much of it is in use is not known'; do
    grep -qF -e "$text" "$work/map.svg" || fail "the SVG of an older library has no '$text'"
done
finish_segment

# --- a library whose structs have more fields ---
start_segment --newer
picture > "$work/got"
cmp -s "$work/wanted" "$work/got" || { fail "the picture of a newer library is another"; diff "$work/wanted" "$work/got"; }
finish_segment

# --- without a page map; and one that is nothing but ones ---
start_segment --no-pages
expect 1 HF-E434 map "$victim"
finish_segment
start_segment --ones pages --ones others
expect 0 'node 0: 8 MiB' map "$victim"
"$holdfast" map --svg "$work/map.svg" "$victim" || fail "map --svg of ones fails"
is_xml < "$work/map.svg" || fail "the SVG of ones is not well-formed"
finish_segment

# --- a program whose threads keep pages that are empty: as many as stat counts, each of them one cell ---
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start sleepers 4 2
expect 0 'e kept empty' map "$live"
cells=$(sed -n 's/^ *[0-9.]* [KM]*i*B \([A-Za-z.]*\)$/\1/p' "$work/out" | tr -dc e | wc -c)
counted=$("$holdfast" stat --json "$live" | sed -n 's/.*"owned_empty": \([0-9]*\).*/\1/p')
[ "$cells" -gt 0 ] && [ $((cells * 65536)) = "$counted" ] || fail "$cells pages are drawn as kept empty, stat counts $counted bytes"
stop

# --- a process ---
"$holdfast" run --arena 64M --backing 4k sleep 60 > /dev/null 2>&1 &
live=$!
children="$children $live"
has_map() { "$holdfast" map "$live" > "$work/out" 2> "$work/err"; }
until_true has_map
expect 0 'node 0: 64 MiB on 4k pages' map "$live"
grep -q '^       0 B S' "$work/out" || fail "the process's node does not begin with its own structures"
[ "$(sed -n 's/^ *[0-9.]* [KM]*i*B \([A-Za-z.]*\)$/\1/p' "$work/out" | tr -d '\n' | wc -c)" = 1024 ] || fail "64 MiB are not 1024 cells"

exit "$failed"
