#!/bin/sh
# The examples of holdfast(1) are executed as they stand there, on a process of ours and for a shorter time.
set -u
name=tool-manual.sh
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"

# --- examples ---
sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/s/^\.Dl \$ //p' "$srcdir/man/holdfast.1" | sed 's/\\(aq/'"'"'/g' > "$work/examples"
[ "$(wc -l < "$work/examples")" -ge 10 ] || fail "holdfast(1) has no examples"
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start waves 20 || exit 1
cp "$srcdir/tests/topologies/eight-sockets.xml" "$work/server.xml"
printf '#!/bin/sh\nexit 0\n' | tee "$work/server" > "$work/job"
chmod +x "$work/server" "$work/job"
ln -s "$(cd "$(dirname "$holdfast")" && pwd)/holdfast" "$work/holdfast"
while read -r example; do
    allowed=0
    case $example in
        *jq*) command -v jq > /dev/null || continue ;;
        *'holdfast top'*) continue ;; # a terminal's affair: tool-top.sh
        *'holdfast doctor'* | *'holdfast tune'*) allowed=1 ;; # an answer, too
        *'holdfast run --arena 64G'*) example=$(echo "$example" | sed 's/64G --backing 2m/16M --backing 4k/') ;;
    esac
    short=$(echo "$example" | sed "s/4121/$live/; s/--interval 10 --duration 86400/--interval 0.1 --duration 0.5/; s/--watch 1 --count 60/--watch 0.1 --count 3/")
    (cd "$work" && PATH=$work:$PATH HOLDFAST_LIBRARY=$library sh -c "$short") > "$work/out" 2> "$work/err" < /dev/null
    status=$?
    [ $status = 0 ] || [ $status = $allowed ] || fail "$example: exit status $status"
    [ -s "$work/out" ] || [ -s "$work/err" ] || [ $status = 0 ] || fail "$example: says nothing"
done < "$work/examples"
for file in day.hfr day.html arena.svg; do
    [ -s "$work/$file" ] || fail "the examples do not make $file"
done

exit $failed
