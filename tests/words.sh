#!/bin/sh
# One word, one meaning:
# - words that went (tests/words.list) stand nowhere, not even parted by the end of a line;
# - the glossary of ARCHITECTURE.md has at most 30 words, and none twice;
# - a label of an invariant (P4) is defined once, in the head of a file or as a guarantee in
#   holdfast(7), and each label that is mentioned is defined.
cd "${srcdir:-.}" || exit 1
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
tab=$(printf '\t')

fail()
{
    echo "words.sh: $*"
    failed=1
}

code=$(find src numa tools tests include -name '*.[ch]' -o -name '*.cc' -o -name '*.pml' -o -name '*.sh' \
    -o -name '*.mk' | grep -v '^tests/words\.' | sort)
library=$(echo "$code" | grep -E '^(src|numa)/')
backing=$(echo "$code" | grep -E '^(numa|tools)/')
documents=$(ls ./*.md doc/*.md man/*.[1357] configure.ac)
[ -n "$library" ] && [ -n "$backing" ] && [ -n "$documents" ] || fail "there are no files to look at"

# --- words that went ---

# "FILE: text" in one line, without marks of comments.
flat()
{
    awk 'FNR == 1 { printf "%s%s: ", (NR > 1 ? "\n" : ""), FILENAME }
        { sub(/^[ \t]*(\/\*|\*|\/\/|#)[ \t]*/, ""); gsub(/[ \t]+/, " "); printf "%s ", $0 }
        END { print "" }' "$@"
}

# shellcheck disable=SC2086  # lists of names
flat $code $documents > "$work/all"
grep -E '^(src|numa)/' "$work/all" > "$work/library"
grep -E '^(numa|tools)/' "$work/all" > "$work/backing"
grep -v '^#' tests/words.list > "$work/list"
while IFS="$tab" read -r where word instead; do
    [ -s "$work/$where" ] && [ -n "$instead" ] || fail "tests/words.list: $where $word is no entry"
    grep -iwE "$word" "$work/$where" > "$work/hits"
    while IFS= read -r hit; do
        said=$(echo "$hit" | grep -oiwE ".{0,30}$word.{0,30}" | head -1)
        fail "${hit%%: *} says \"$said\": say $instead"
    done < "$work/hits"
done < "$work/list"

# --- the glossary ---
sed -n '/^## Glossary/,/^## Layers/p' ARCHITECTURE.md > "$work/glossary"
grep -o '\*\*[^*]*\*\*' "$work/glossary" | tr '[:upper:]' '[:lower:]' | sort > "$work/words"
words=$(wc -l < "$work/words")
[ "$words" -gt 0 ] && [ "$words" -le 30 ] || fail "the glossary has $words words, not 1 to 30"
uniq -d "$work/words" > "$work/twice"
while read -r word; do fail "the glossary has $word twice"; done < "$work/twice"

# --- labels ---
{
    # shellcheck disable=SC2086  # a list of names
    grep -HoE '^( \*|//|#) [A-Z]{1,2}[1-9][0-9]?: ' $code | sed -E 's,^([^:]*):( \*|//|#) ([A-Z]+[0-9]+): ,\3 \1,'
    sed -n 's,^\.It \(G[1-9]\)$,\1 man/holdfast.7,p' man/holdfast.7
} | sort > "$work/defined"
cut -d ' ' -f 1 "$work/defined" | uniq -d > "$work/twice"
while read -r label; do
    fail "the label $label is defined in each of $(sed -n "s/^$label //p" "$work/defined" | tr '\n' ' ')"
done < "$work/twice"
cut -d ' ' -f 1 "$work/defined" | sort -u > "$work/labels"
letters=$(sed 's/[0-9]*$//' "$work/labels" | sort -u | paste -s -d '|')
# shellcheck disable=SC2086
grep -HoE "(^|[^-[:alnum:]_.%\"#+])($letters)[1-9][0-9]?($|[^[:alnum:]_])" $code doc/protocols.md \
    ARCHITECTURE.md HACKING.md doc/measurements.md README.md |
    sed -E "s,^([^:]*):[^[:alnum:]]*([A-Z]+[0-9]+)[^[:alnum:]]*$,\2 \1," | sort -u > "$work/mentioned"
cut -d ' ' -f 1 "$work/mentioned" | sort -u | comm -23 - "$work/labels" > "$work/undefined"
while read -r label; do
    fail "the label $label is defined nowhere: $(sed -n "s/^$label //p" "$work/mentioned" | tr '\n' ' ')"
done < "$work/undefined"
[ "$(wc -l < "$work/labels")" -ge 100 ] || fail "only $(wc -l < "$work/labels") labels were found"
exit "$failed"
