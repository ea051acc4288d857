#!/bin/sh
# holdfast stat on segments that somebody else could have put there, or a library of another layout; and what the tool removes of
# those that were left.
#
# $srcdir and $top_builddir as Automake sets them, both . by default.
set -u
. "${srcdir:-.}/tests/tool-part.sh"

# strange STATUS TEXT [OPTION | NAME=VALUE]...: what stat says of a segment that was made so
strange()
{
    status=$1 text=$2
    shift 2
    start_segment "$@"
    expect "$status" "$text" stat "$victim"
    finish_segment
}

# --- no segment, and what is none ---
sleep 60 &
children="$children $!"
expect 1 'HF-E412' stat "$!"
grep -q 'no libholdfast.so mapped' "$work/err" || fail "HF-E412 does not say that the library is not there"
start_segment
cp "$segment" "$work/whole"
bytes=$(stat -c %s "$segment")
: > "$segment"
expect 1 'HF-E414' stat "$victim"
head -c 100 "$work/whole" > "$segment"
expect 1 'too short' stat "$victim"
head -c $((bytes - 1)) "$work/whole" > "$segment"
expect 1 'do not agree' stat "$victim"
{ printf 'nonsense'; tail -c +9 "$work/whole"; } > "$segment"
expect 1 'HF-E414' stat --json "$victim"
rm "$segment"
ln -s /etc/passwd "$segment"
expect 1 'symbolic link' stat "$victim"
rm "$segment"
mkdir "$segment"
expect 1 'HF-E413' stat "$victim"
rmdir "$segment"
if mkfifo "$segment"; then
    expect 1 'HF-E413' stat "$victim"
    rm "$segment"
fi
if [ "$(id -u)" = 0 ]; then
    cp "$work/whole" "$segment"
    chown 65534 "$segment"
    expect 1 'owner' stat "$victim"
fi
finish_segment

# --- a header that is wrong ---
strange 1 'do not agree' --older header_bytes=248
strange 1 'do not agree' header_bytes=8192
strange 1 'other sizes' nodes.entry_bytes=120
strange 1 'other sizes' nodes.entry_bytes=132
strange 1 'do not fit' nodes.count=65
strange 1 'do not fit' nodes.count=1 nodes.offset=$((bytes - 127))
strange 1 'do not fit' nodes.offset=18446744073709551615
strange 1 'another process' pid=1
strange 1 'no node' nodes.count=0

# --- a library of another version: the tool that knows it is named ---
strange 1 'in version 1, this tool reads version 3; use the `holdfast` that was installed with its library' version=1
strange 1 'HF-E421' --older version=4 header_bytes=8 nodes.entry_bytes=8
(
    export LD_PRELOAD="$library" HOLDFAST_INSPECT=0
    start_segment version=4
    unset LD_PRELOAD
    expect 1 "was installed with $library" stat "$victim"
    expect 1 'HF-E421' map "$victim"
    expect 2 'HF-E421' tune "$victim"
    expect 0 '1 more, of another version' list
    finish_segment
    exit "$failed"
) || failed=1

# --- right at the front, and the largest numbers everywhere else: printed, not believed ---
for age in '' --older --newer; do
    # shellcheck disable=SC2086
    start_segment $age --no-pages --ones header --ones nodes --ones theaps --ones events --ones others nodes.count=64 classes.count=0
    expect 0 'node 4294967295' stat "$victim"
    [ "$(grep -c '^node ' "$work/out")" = 64 ] || fail "not all nodes are shown"
    expect 0 '"theaps"' stat --json "$victim"
    is_json < "$work/out" || fail "stat --json of a hostile segment is no JSON"
    finish_segment
done

# --- leftovers: swept when the process is gone and the name is whole, and nothing else is ---
sleep 60 &
victim=$!
children="$children $victim"
sleep 0 &
gone=$!
wait "$gone"
own=$(namespace)
left="holdfast.$gone.1.$own holdfast.$gone.1.$own.old holdfast.0$gone.1.$own holdfast.$victim.1.$own holdfast.$gone.1.1$own"
for file in $left; do : > "/dev/shm/$file"; done
"$holdfast" stat > "$work/out" 2> "$work/err"
[ -e "/dev/shm/holdfast.$gone.1.$own" ] && fail "the leftover of a process that is gone is not swept"
[ -e "/dev/shm/holdfast.$victim.1.$own" ] && fail "the leftover of a number that was used again is not swept"
[ -e "/dev/shm/holdfast.$gone.1.1$own" ] || fail "a segment of another namespace was swept"
[ -e "/dev/shm/holdfast.$gone.1.$own.old" ] || fail "a file that is no segment was swept"
[ -e "/dev/shm/holdfast.0$gone.1.$own" ] || fail "a file whose name is no segment's was swept"
for file in $left; do rm -f "/dev/shm/$file"; done

exit "$failed"
