#!/bin/sh
# The manual against the program: variables, message ids, calls, counters, commands and options are
# the same here and there.  Prints what differs; exit status 1 then.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
man=$top_srcdir/man

# compare WHAT FILE PLACE FILE PLACE: two lists, made sorted and unique here
compare()
{
    sort -u "$2" > "$work/one"
    sort -u "$4" > "$work/two"
    comm -23 "$work/one" "$work/two" > "$work/first"
    comm -13 "$work/one" "$work/two" > "$work/second"
    while read -r line; do fail "$1 '$line' is in $3 but not in $5"; done < "$work/first"
    while read -r line; do fail "$1 '$line' is in $5 but not in $3"; done < "$work/second"
    [ -s "$work/one" ] || fail "$1: nothing found in $3"
}

[ -x "$holdfast" ] || { fail "there is no $holdfast"; exit 1; }

# --- variables: name, values and default ---
"$holdfast" help environment > "$work/environment"
awk '/^HOLDFAST_/ { entry = $0; next } { sub(/.*\(default: /, ""); sub(/\)$/, ""); print entry " default " $0 }' \
    "$work/environment" > "$work/table"
awk '/^\.It Ev HOLDFAST_/ { entry = $3; values = $0; sub(/[^"]*"/, "", values); sub(/"$/, "", values); next }
     entry != "" && /^\.Li / { print entry "=" values " default " $2; entry = "" }' "$man/holdfast.7" > "$work/manual"
compare variable "$work/table" "holdfast help environment" "$work/manual" "holdfast(7)"

# Names mentioned anywhere in the manual, except for the tool's own and the prefixes.
{ sed -n 's/^\(HOLDFAST_[A-Z_]*\)=.*/\1/p' "$work/environment"; echo HOLDFAST_LIBRARY; } | sort -u > "$work/known"
grep -ho 'HOLDFAST_[A-Z_]*[A-Z]' "$man"/*.[1357] | grep -v '^HOLDFAST_TEST$' | sort -u > "$work/mentioned"
comm -13 "$work/known" "$work/mentioned" > "$work/unknown"
while read -r name; do fail "the manual mentions $name, which does not exist"; done < "$work/unknown"

# --- message ids ---
# In the sources an id is a string of its own: those in comments do not count.
cat "$top_srcdir"/src/*/*.[ch] "$top_srcdir"/numa/*.[ch] "$top_srcdir"/tools/*.[ch] "$top_srcdir"/tools/*/*.[ch] |
    grep -oE '"HF-([EWI][0-9]{3}|D[0-9]{2})"' | tr -d '"' > "$work/source_ids"
grep '^\.It Sy HF-' "$man/holdfast-messages.7" | grep -o 'HF-[EWID][0-9]*' > "$work/manual_ids"
compare message "$work/source_ids" "the sources" "$work/manual_ids" "holdfast-messages(7)"
sort "$work/manual_ids" | uniq -d > "$work/twice"
while read -r id; do fail "$id is explained twice in holdfast-messages(7)"; done < "$work/twice"
cat "$man"/*.[1357] | grep -oE 'HF-([EWI][0-9]{3}|D[0-9]{2})' | sort -u > "$work/one"
sort -u "$work/manual_ids" | comm -23 "$work/one" - > "$work/unknown"
while read -r id; do fail "the manual refers to $id, which it does not explain"; done < "$work/unknown"

# --- calls: of each header, in the page that is its own ---
calls_of()
{
    sed -e 's,/\*.*\*/,,' -e '/\/\*/,/\*\//d' "$top_srcdir/include/holdfast/$1" | grep -oE '\bhf_[a-z_]+ ?\(' | grep -oE 'hf_[a-z_]+'
    case $1 in
    holdfast.h) echo hf_pressure_function hf_pressure_handler | tr ' ' '\n' ;;
    heap.h) echo hf_heap_soft_function ;;
    esac
}
: > "$work/all_calls"
for pair in claim.h:hf_claim holdfast.h:holdfast frames.h:hf_frames_alloc heap.h:hf_heap_create uring.h:hf_uring_register; do
    calls_of "${pair%:*}" | sort -u > "$work/header_calls"
    sed -n 's/^\.Fn \(hf_[a-z_]*\).*/\1/p' "$man/${pair#*:}.3" | sort -u > "$work/manual_calls"
    cat "$work/header_calls" >> "$work/all_calls"
    # In its own page a call may refer to those of others.
    comm -23 "$work/manual_calls" "$work/header_calls" > "$work/foreign"
    grep -vxFf "$work/foreign" "$work/manual_calls" > "$work/own_calls"
    compare call "$work/header_calls" "${pair%:*}" "$work/own_calls" "${pair#*:}(3)"
done
sort -u -o "$work/all_calls" "$work/all_calls"
{ grep -ho '^\.F[no] hf_[a-z_]*' "$man"/*.[1357]; grep -ho '\.Nm hf_[a-z_]*' "$man"/*.3; } | grep -o 'hf_[a-z_]*' | sort -u > "$work/mentioned"
comm -13 "$work/all_calls" "$work/mentioned" > "$work/unknown"
while read -r name; do fail "the manual mentions $name, which does not exist"; done < "$work/unknown"

# --- counters: of the list, in the public header, in the code that counts, and wherever the manual has them ---
list=$top_srcdir/src/heap/counter-list.h
page=$man/holdfast-inspect.5
# section TITLE: of that page, without what follows it
section() { awk -v title="$1" '/^\.S[sh] / { here = index($0, title) != 0 } here' "$page"; }
sed -n 's/^COUNTER\(_ADDED\)\{0,1\}(\([a-z_]*\),.*/\2/p' "$list" > "$work/counters"
sed -n '/^struct hf_inspect_theap {/,/^};/s/^    uint[36][24]_t \([a-z_]*\)[;[].*/\1/p' "$top_srcdir/include/holdfast/inspect.h" |
    grep -vx -e in_use -e home_node -e cpu -e tid -e updated_ticks -e kept -e away -e 'slow.*' -e unused > "$work/fields"
compare counter "$work/counters" counter-list.h "$work/fields" "struct hf_inspect_theap"
while read -r counter; do
    grep -qE "counters(\.|->)$counter\\b" "$top_srcdir"/src/heap/*.[ch] "$top_srcdir"/src/malloc/*.[ch] || fail "nothing counts $counter"
    for title in 'struct hf_inspect_theap' 'Of sum' 'Of theaps'; do
        section "$title" | grep -qxE "\.It (Va|Cm) $counter" || fail "holdfast-inspect(5) lacks the counter $counter under '$title'"
    done
    grep -q "($counter, COUNTER_UNSEEN" "$list" || grep -qx "\.It $(echo "$counter" | tr _ ' ')" "$man/holdfast.1" ||
        fail "holdfast(1) lacks the counter $counter among what \`holdfast stat\` shows"
    grep -q "COUNTED_AS($counter)" "$top_srcdir/tools/report/report-slow.c" || [ "$counter" = received ] ||
        fail "the report lacks the counter $counter"
done < "$work/counters"
tr '\n' ' ' < "$list" | grep -oE 'FAMILY\( *"[^"]*", *"[^"]*"' | sed 's/^[^"]*"\([^"]*\)", *"\(.*\)"$/holdfast_\1 \2/' > "$work/families"
section OPENMETRICS | sed "s/\\\\(aq/'/g" | awk '/^\.It Li / { name = $3; next } name != "" { print name " " $0; name = "" }' > "$work/manual_families"
[ -s "$work/families" ] || fail "counter-list.h has no family of metrics"
while read -r family; do
    grep -qxF "$family" "$work/manual_families" || fail "holdfast-inspect(5) does not say: $family"
done < "$work/families"

# --- what `man` finds: each call that the library exports, each command ---
sh "$man/links.sh" "$man" > "$work/links" || fail "links.sh fails"
while read -r page link; do
    [ -e "$man/$page" ] || fail "$link is a link to $page, which does not exist"
    [ ! -e "$man/$link" ] || fail "$link is a link and a page"
done < "$work/links"
{ sed 's/.* //' "$work/links"; (cd "$man" && ls -- *.[1357]); } | sort > "$work/found"
uniq -d "$work/found" > "$work/twice"
while read -r link; do fail "$link leads to two pages"; done < "$work/twice"
nm -D --defined-only "$top_builddir/.libs/libholdfast.so" | sed -n 's/.* [Ti] \(hf_[a-z_]*\)$/\1.3/p' | sort > "$work/exported"
[ -s "$work/exported" ] || fail "nm finds no call that the library exports"
comm -23 "$work/exported" "$work/found" > "$work/missing"
while read -r call; do fail "man finds no $call"; done < "$work/missing"

# --- commands and their options ---
"$holdfast" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' > "$work/commands"
sed -n 's/^\.Ss holdfast \([a-z]*\)$/\1/p' "$man/holdfast.1" > "$work/manual_commands"
compare command "$work/commands" "holdfast help" "$work/manual_commands" "holdfast(1)"
sed 's/.*/holdfast-&.1/' "$work/commands" | sort | comm -23 - "$work/found" > "$work/missing"
while read -r command; do fail "man finds no $command"; done < "$work/missing"
while read -r command; do
    "$holdfast" "$command" --help | sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\).*/\2/p' > "$work/options"
    awk -v wanted="$command" '/^\.S[sh]/ { here = ($1 == ".Ss" && $2 == "holdfast" && $3 == wanted) }
        here && /^\.It Fl -/ { print "-" $3 }' "$man/holdfast.1" > "$work/manual_options"
    compare "option of $command" "$work/options" "holdfast $command --help" "$work/manual_options" "holdfast(1)"
    awk -v wanted="$command" '/^\.S[sh]/ { synopsis = ($2 == "SYNOPSIS") } /^\.Nm$/ { here = 0 }
        synopsis && $1 == ".Cm" && $2 == wanted { here = 1 }
        synopsis && here && /^\.(Op )?Fl / { print ($1 == ".Op" ? $3 : $2) }' "$man/holdfast.1" |
        sed 's/^o$/-output/; s/^/-/' > "$work/synopsis"
    sort -u -o "$work/synopsis" "$work/synopsis"
    grep -vx -e --help "$work/options" | sort -u | comm -23 - "$work/synopsis" > "$work/missing"
    while read -r option; do fail "the SYNOPSIS of holdfast(1) lacks $option of $command"; done < "$work/missing"
done < "$work/commands"

# --- mdoc ---
if command -v mandoc > /dev/null; then
    for page in "$man"/*.[1357]; do
        mandoc -Tlint -W warning "$page" > "$work/lint" 2>&1
        while read -r line; do fail "$line"; done < "$work/lint"
    done
elif [ "$failed" = 0 ]; then
    echo "manual.sh: no mandoc: the pages were not linted"
    exit 77
fi
exit "$failed"
