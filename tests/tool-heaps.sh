#!/bin/sh
# Heaps of the program, in everything that shows memory: of a segment whose every figure is known, of one that is corrupt, and of
# a library of before them.
set -u
LC_ALL=C
export LC_ALL
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"

# says COMMAND...: what it prints has each line of standard input, as a basic regular expression
says()
{
    "$holdfast" "$@" > "$work/out" 2> "$work/err" || fail "$*: exit status $?: $(cat "$work/err")"
    while IFS= read -r line; do
        grep -q -e "$line" "$work/out" || fail "$* does not say '$line'"
    done
    [ "$*" != "stat $victim" ] || awk 'length > 80 { exit 1 }' "$work/out" || fail "$* prints lines of more than 80 columns"
}

# --- for people: the one that holds most first; what is not whole, or has no slot, is among the others ---
start_segment --heaps
says stat "$victim" << 'END'
^node 0   \[OFLLLLLLLLLHHHHHHHHHieS\.*\]
^  owned 256 KiB, full 64 KiB, large 2 MiB, heaps 2 MiB, idle 128 KiB (30 % live)$
^  O owned  F full  L large  H heaps  I idle  e kept empty  S own  . free$
^  o unused$
^  of live: 2 MiB in pages of heaps, which count whole$
^heaps: 42 hold 1.66 MiB of 2 MiB in their pages; 57 were made so far$
^  their limits failed 1234600 calls$
^heap                number kind    node   held   most  limit     % failed    for$
^cache                    1 region   any  950Ki    1Mi    1Mi    93      0 .* [smhd]*$
^(no name)               12 general  any   64Ki   64Ki      -     -      0 
^que"ry\\??\[2J?            9 region     3   48Ki   64Ki   64Ki    75  1.23M 
^                 39 more hold 640 KiB: the segment does not tell of each$
END
[ "$(awk '/^heap /{ on = 1 } on && /^(cache|\(no|que)/ { printf "%s ", $1 }' "$work/out")" = 'cache (no que"ry\??[2J? ' ] ||
    fail "stat: the heap that holds most is not the first"
says stat --json "$victim" << 'END'
"failures": 1234600,
"others": 39,
"others_held": 655360
"made": 57,
"live": 42,
"heaps": 2097152,
"name": "que\\"ry\\\\??\[2J
"soft_limit": 524288
"crossings": 3
"limit": null
"reserved": true
END
is_json < "$work/out" || fail "stat --json of heaps is no JSON"
says stat --format openmetrics "$victim" << 'END'
^holdfast_heaps{pid="[0-9]*",process="made"} 42$
^holdfast_heaps_made_total{.*} 57$
^holdfast_heap_failures_total{.*} 1234600$
^holdfast_heap_held_bytes{.*,heap="cache"} 972800$
^holdfast_heap_held_bytes{.*,heap="que\\"ry\\\\??\[2J
^holdfast_heap_held_bytes{.*,heap=""} 720896$
^holdfast_named_heaps{.*,heap=""} 40$
^holdfast_heap_fullest_ratio{.*,heap="cache"} 0.9277$
^holdfast_heap_failed_calls{.*,heap="cache"} 0$
^holdfast_heaps_bytes{.*,node="0",index="0"} 2097152$
END
[ "$(awk '/^holdfast_heap_held_bytes/ { sum += $NF } END { print sum }' "$work/out")" = "$((950 * 1024 + 64 * 1024 + 48 * 1024 + 32 * 1024 + 16 * 1024 + 592 * 1024))" ] ||
    fail "OpenMetrics: what heaps hold is not the sum"
says map --width 80 --no-color "$victim" << 'END'
LLHHHH
H pages of heaps
END
says map --svg - "$victim" << 'END'
class="h"
pages of heaps
END
finish_segment

# --- recorded, and what is made of that ---
start_segment --heaps
must "$holdfast" record "$victim" -o "$work/a.hfr" --interval 0.02 --duration 0.5
[ "$(wc -c < "$work/a.hfr")" -lt 300000 ] || fail "heaps that rest make a recording large"
says report "$work/a.hfr" -o - << 'END'
Held by heaps<small>42 heaps hold 1.66 MiB at the end; 57 made, limits failed 1,234,600 calls
<th scope="row">cache</th><td>1</td><td>region</td><td>any</td><td>950 KiB</td><td>1 MiB</td><td>1 MiB</td><td>92.8 %</td><td>0</td><td>512 KiB</td><td>3</td>
<th scope="row">que&quot;ry.??\[2J.*</th><td>9</td><td>region</td><td>3</td><td>48 KiB</td>
<th scope="row">all others</th><td>-</td><td>-</td><td>-</td><td>640 KiB</td>
que&quot;ry.*(9), now 48 KiB</li>
pages of heaps, now\|heaps, now 2 MiB
END
grep -q "$(printf '\033')" "$work/out" && fail "report has a control character of a heap's name"
must "$edit" "$work/a.hfr" "$work/grows.hfr" step=20 heap_grows=65536
expect 1 '"rule": "heap-over-limit"' tune --json "$work/a.hfr"
is_json < "$work/out" || fail "tune --json of heaps is no JSON"
expect 0 'held by heaps ' diff "$work/a.hfr" "$work/a.hfr"
grep -q '^heaps  *42 ' "$work/out" || fail "diff does not count heaps"
expect 0 'Calls over limits of heaps' report "$work/a.hfr" "$work/grows.hfr" -o -
finish_segment

# --- no heap was ever made: nothing is said of any ---
start_segment
must "$holdfast" record "$victim" -o "$work/none.hfr" --interval 0.05 --duration 0.3
says stat --json "$victim" << 'END'
"made": 0,
"heaps": \[\]
END
"$holdfast" stat "$victim" | grep -q '^heap' && fail "stat speaks of heaps where there was none"
expect 0 '</html>' report "$work/none.hfr" -o -
grep -q 'Held by heaps' "$work/out" && fail "report speaks of heaps where there was none"
expect 0 'threads ' diff "$work/none.hfr" "$work/none.hfr"
grep -q heaps "$work/out" && fail "diff speaks of heaps where there was none"
finish_segment

# --- of another library ---
start_segment --heaps --older
says stat --json "$victim" << 'END'
"heap_sum": null
"heaps": \[\]
END
"$holdfast" stat "$victim" | grep -q '^heap' && fail "stat speaks of heaps that an older library does not tell of"
"$holdfast" stat --format openmetrics "$victim" | grep -q 'holdfast_heaps{' && fail "OpenMetrics has heaps that an older library does not tell of"
finish_segment
start_segment --heaps --newer
says stat "$victim" << 'END'
^heaps: 42 hold 1.66 MiB of 2 MiB in their pages; 57 were made so far$
END
finish_segment

# --- a corrupt table ---
for change in heaps.count=1025 heaps.entry_bytes=120 heaps.entry_bytes=132 heaps.offset=18446744073709551615 heaps.count=1024; do
    start_segment --heaps "$change"
    for command in stat map 'stat --json' 'stat --format openmetrics' 'report --seconds 0 -o -'; do
        # shellcheck disable=SC2086
        expect 1 'its table of heaps does not fit into it' $command "$victim"
    done
    finish_segment
done
start_segment --heaps --ones heaps
says stat "$victim" << 'END'
^heaps: 42 hold 16 EiB of 2 MiB in their pages; 18.4E were made so far
^????
END
says stat --format openmetrics "$victim" << 'END'
# EOF
END
is_json < /dev/null || "$holdfast" stat --json "$victim" | is_json || fail "stat --json of a hostile table of heaps is no JSON"
finish_segment
exit "$failed"
