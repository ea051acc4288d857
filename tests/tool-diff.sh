#!/bin/sh
# holdfast diff: what it says of two recordings whose difference is known, and of what is none.
#
# $srcdir and $top_builddir as Automake sets them.
set -u
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"

HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start fill 20 || exit 1
expect 0 '' record "$live" -o "$work/a.hfr" --interval 0.05 --duration 1.5
must "$edit" "$work/a.hfr" "$work/b.hfr" used=33554432 free=33554432 asked_backing=3
must "$edit" "$work/a.hfr" "$work/slow.hfr" step=1 grows=65536
must "$edit" "$work/a.hfr" "$work/slower.hfr" step=1 grows=131072
row() { grep -q "^$1 .*$2\$" "$work/out" || fail "diff: the row of $1 does not end with '$2'"; }

# --- the same ---
expect 0 '0 of ' diff "$work/a.hfr" "$work/a.hfr"
row used same
row 'pages taken/s' same
grep -q 'settings that differ' "$work/out" && fail "diff finds settings that differ in one recording"
awk 'length > 80 { exit 1 }' "$work/out" || fail "diff prints lines of more than 80 columns"

# --- a figure, and a setting ---
expect 1 '3 of ' diff "$work/a.hfr" "$work/b.hfr"
row used ' \*'
row free ' \*'
row threads same
grep -A2 '^  HOLDFAST_BACKING$' "$work/out" | grep -q '^    B thp' || fail "diff does not show the setting that differs"
expect 1 '"spread": "beyond"' diff --json "$work/a.hfr" "$work/b.hfr"
is_json < "$work/out" || fail "diff --json is no JSON"

# --- what rises by itself: another rise is within the spread ---
expect 0 '0 of ' diff "$work/slow.hfr" "$work/slower.hfr"
row used '%'

# --- a live process; too few samples; what is no recording ---
expect 0 "samples in " diff --seconds 0.5 "$work/a.hfr" "$live"
expect 0 '' record "$live" -o "$work/few.hfr" --interval 5 --duration 0.1
expect 2 '0 of 0 figures' diff "$work/a.hfr" "$work/few.hfr"
row used ' ?'
expect 2 'HF-E443' diff "$work/a.hfr" "$work/none.hfr"
head -c 3000 "$work/a.hfr" > "$work/cut.hfr"
"$holdfast" diff "$work/cut.hfr" "$work/a.hfr" > "$work/out" 2> "$work/err"
grep -q 'HF-[WE]44[34]' "$work/err" || fail "diff does not say that a recording was cut"
expect 2 'HF-E440' diff "$work/a.hfr"
expect 78 'HF-E446' diff --seconds never "$work/a.hfr" "$work/b.hfr"

exit "$failed"
