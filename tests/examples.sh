#!/bin/sh
# Every command line of EXAMPLES in holdfast(1) is run, against a process of this test where it names one.  Only sizes and times
# are made smaller; each is to print something, or to write the file that it names, and no error.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
top_srcdir=${top_srcdir:-${srcdir:-.}}
# shellcheck source=tests/tool-part.sh
. "$top_srcdir/tests/tool-part.sh"

# The lines, as mdoc writes them.
awk '/^\.S[hH]/ { here = /EXAMPLES/ } here && /^\.Dl \$ / { sub(/^\.Dl \$ /, ""); gsub(/\\\(aq/, "'\''"); gsub(/\\&/, ""); print }' \
    "$top_srcdir/man/holdfast.1" > "$work/lines"

# What they speak of: the program by its name, a server, a job, a description, and a process.
mkdir "$work/bin" "$work/here"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(cd "$(dirname "$holdfast")" && pwd)/$(basename "$holdfast")" > "$work/bin/holdfast"
printf '#!/bin/sh\necho ready; sleep 0.2\n' > "$work/here/server"
cp "$work/here/server" "$work/here/job"
chmod +x "$work/bin/holdfast" "$work/here/server" "$work/here/job"
cp "$top_srcdir/tests/topologies/eight-sockets.xml" "$work/here/machine.xml"
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start fill 20 || exit 1
cd "$work/here" || exit 1
for file in before.hfr after.hfr; do
    "$work/bin/holdfast" record "$live" -o "$file" --duration 0.1 2> "$work/err" || fail "no recording to compare"
done
PATH=$work/bin:$PATH

has_screen=true
"$work/bin/holdfast" top "$live" 2>&1 < /dev/null | grep -q HF-E437 && has_screen=false
run=0
while read -r line; do
    case $line in
        *jq*) command -v jq > /dev/null || { echo "$name: no jq, not run: $line"; continue; } ;;
    esac
    small=$(printf '%s\n' "$line" |
        sed "s/4121/$live/; s/--arena 64G /--arena 64M /; s/--interval 10 --duration 86400/--interval 0.1 --duration 0.5/; s/--watch 1 --count 60/--watch 0.1 --count 3/; s/--backing 2m --strict/--backing 4k --strict/")
    : > "$work/file"
    case $small in
        *'holdfast top '*)
            if ! $has_screen || ! command -v script > /dev/null; then
                echo "$name: no screen, not run: $line"
                continue
            fi
            { sleep 2; echo q; } | TERM=xterm script -qec "stty rows 24 cols 80; $small" /dev/null > "$work/out" 2> "$work/err" ;;
        *) sh -c "$small" > "$work/out" 2> "$work/err" < /dev/null ;;
    esac
    got=$?
    run=$((run + 1))
    case $got:$small in
        0:*) ;;
        1:holdfast\ doctor* | 1:holdfast\ tune*) ;; # that is an answer, too, of this machine
        *) fail "$line: exit status $got" ;;
    esac
    grep -q 'HF-E' "$work/err" && fail "$line: an error"
    file=$(printf '%s\n' "$small" | sed -n 's/.*\(-o\|--svg\|>\) \([a-z]*\.[a-z]*\).*/\2/p')
    if [ -n "$file" ]; then
        [ -s "$file" ] || fail "$line: writes no $file"
    else
        [ -s "$work/out" ] || grep -q '^holdfast: ' "$work/err" || fail "$line: prints nothing"
    fi
done < "$work/lines"
[ "$run" -ge 15 ] || fail "only $run examples were found and run"
exit "$failed"
