#!/bin/sh
# What killed processes leave: the next start, or the tool, keeps the last of them, and --last shows them.
#
# $srcdir and $top_builddir as Automake sets them.  Parts of it need root, for other users' files: they are passed
# over otherwise.
set -u
srcdir=${srcdir:-.}
# Where it can be had, a /dev/shm of its own: a library of before that another program of this machine has would remove
# what is to be kept.
# shellcheck disable=SC2016  # another shell's
if [ -z "${own_shm:-}" ] && unshare --mount sh -c 'mount -t tmpfs -o mode=1777 shm /dev/shm' 2> /dev/null; then
    own_shm=1 srcdir=$srcdir exec unshare --mount sh -c 'mount -t tmpfs -o mode=1777 shm /dev/shm && exec sh "$0"' "$0"
fi
. "$srcdir/tests/tool-part.sh"
# The program has a name of its own, so that nothing else's is taken for its.
program=last-$$
cp "$(command -v sleep)" "$work/$program"
kept_of() { ls /dev/shm | grep "^holdfast-last\.$1\." ; }
finish_last()
{
    for pid in ${pids:-}; do rm -f "/dev/shm/holdfast-last.$pid."* "/dev/shm/holdfast.$pid."*; done
    finish
}
trap finish_last EXIT
pids=

# killed [VARIABLE=VALUE]...: one that ended by SIGKILL, in $killed
has_segment() { [ -e "$(echo "/dev/shm/holdfast.$1."*)" ]; }
shows() { "$holdfast" stat "$1" > /dev/null 2>&1; } # the file is there a moment before
killed()
{
    env HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no "$@" LD_PRELOAD="$library" "$work/$program" 60 &
    killed=$!
    pids="$pids $killed"
    until_true shows "$killed" || fail "$program shows nothing"
    kill -KILL "$killed"
    wait "$killed" 2> /dev/null
}

# --- killed, and started again: the arena as it was ---
expect 1 'HF-E460' stat --last "$program"
grep -q "called $program that was killed" "$work/err" || fail "HF-E460 does not say of what nothing is kept"
killed A=1
first=$killed
has_segment "$first" || fail "a process that was killed leaves nothing"
HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k LD_PRELOAD=$library sleep 0
has_segment "$first" && fail "a program that starts leaves the segment of one that was killed"
[ -n "$(kept_of "$first")" ] || fail "a program that starts keeps nothing of one that was killed"
expect 0 'of 16 MiB used' stat --last "$program"
for text in "process $first ($program)" "left by a process that was killed: last slow path " 'live unknown (the process has ended)' 'published: arena of 16 MiB'; do
    grep -qF "$text" "$work/out" || fail "stat --last does not say '$text'"
done
expect 0 "\"name\": \"$program\"" stat --json --last "$program"
is_json < "$work/out" || fail "stat --json --last is no JSON"
expect 0 "process $first ($program)" stat --last "$first"
expect 0 "$program ($first)" map --last "$program"
expect 0 '' report --last "$program" -o "$work/last.html"
grep -q "$program" "$work/last.html" || fail "report --last does not name the program"
expect 0 '' record --last "$program" -o "$work/last.hfr"
expect 0 '' report "$work/last.hfr" -o "$work/last.html"
"$holdfast" tune --last "$program" > "$work/out" 2> "$work/err"
[ "$?" -le 1 ] || fail "tune --last: exit status"
expect 2 'HF-E420' stat --last --watch 1 "$program"
expect 2 'HF-E440' report --last "$program" other -o "$work/last.html"
expect 1 'HF-E460' stat --last "$program.service"
"$holdfast" list 2> /dev/null | grep -q "^ *$first " && fail "list shows a process that was killed"

# --- the tool itself keeps what it finds; a process that ends by itself leaves nothing ---
killed A=1
second=$killed
expect 0 "process $second ($program)" stat --last "$program"
[ -n "$(kept_of "$first")" ] || fail "the one before the last is not kept"
HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k LD_PRELOAD=$library "$work/$program" 0
expect 0 "process $second ($program)" stat --last "$program"

# --- no more than three of a program ---
killed A=1
killed A=1
expect 0 "process $killed ($program)" stat --last "$program"
[ -z "$(kept_of "$first")" ] || fail "of one program more than three are kept"
[ -n "$(kept_of "$second")" ] || fail "of one program fewer than three are kept"

# --- what is no segment: said, passed over, and what is right is shown ---
forge() { cat > "/dev/shm/holdfast-last.$1"; }
whole=/dev/shm/$(kept_of "$killed")
tail=${whole#*.*.}
forged=$((killed + 1)).$tail
pids="$pids $((killed + 1))"
passed_over() # TEXT: of the forged file; another test may have started a program, which removes it
{
    expect 0 "process $killed ($program)" stat --last "$program"
    [ ! -e "/dev/shm/holdfast-last.$forged" ] || grep -q "HF-W461.*$forged is passed over: $1" "$work/err" || fail "HF-W461 does not say: $1"
}
cut='it was cut short'
head -c 200 "$whole" | forge "$forged"
passed_over "$cut"
cat "$whole" | forge "$forged" # another number than its name
passed_over "$cut"
rm -f "/dev/shm/holdfast-last.$forged"
ln -s /etc/passwd "/dev/shm/holdfast-last.$forged"
passed_over 'it is a symbolic link'
rm -f "/dev/shm/holdfast-last.$forged"
nodes() { printf '%b' "$1" | dd of="$whole" bs=1 seek=80 conv=notrunc 2> /dev/null; } # their number
nodes '\0101'
expect 1 "HF-E414 stat: $whole" stat --last "$killed"
nodes '\0001'

# --- a service is known by its name, where a group for one can be made ---
group=/sys/fs/cgroup
[ -e "$group/cgroup.procs" ] || group=$group/pids
group=$group/$program.service
if [ -e "${group%/*}/cgroup.procs" ] && mkdir "$group" 2> /dev/null; then
    # shellcheck disable=SC2016  # another shell's
    killed sh -c 'echo $$ > "$1/cgroup.procs"; shift; exec env "$@"' sh "$group"
    expect 0 "user root, $program.service" stat --last "$program.service"
    expect 0 "\"unit\": \"$program.service\"" stat --json --last "$program"
    rmdir "$group"
else
    echo "last.sh: no group of processes can be made: the name of a service is not tested"
fi

# --- where a new segment finds no room, what is kept goes ---
# shellcheck disable=SC2016
if unshare --mount sh -c 'mount -t tmpfs -o size=2m shm /dev/shm' 2> /dev/null; then
    PROGRAM=$work/$program LIBRARY=$library HOLDFAST=$holdfast unshare --mount sh -c '
        mount -t tmpfs -o size=2m shm /dev/shm
        export HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no
        begin() {
            LD_PRELOAD=$LIBRARY "$PROGRAM" 60 &
            for _ in $(seq 100); do "$HOLDFAST" stat $! > /dev/null 2>&1 && return; sleep 0.1; done
            echo "a program shows nothing"
        }
        begin
        kill -KILL $!
        wait $! 2> /dev/null
        "$HOLDFAST" list > /dev/null 2>&1
        ls /dev/shm/holdfast-last.* > /dev/null || echo "nothing is kept"
        cat /dev/zero > /dev/shm/full 2> /dev/null
        begin
        ls /dev/shm/holdfast-last.* 2> /dev/null && echo "what is kept stays where there is no room"
        kill $!
    ' > "$work/out" 2> "$work/err"
    [ -s "$work/out" ] && fail "in a small /dev/shm"
else
    echo "last.sh: no file system can be mounted: one without room is not tested"
fi

# --- other users ---
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --clear-groups test -r "$library" 2> /dev/null; then
    chmod 755 "$work"
    as_other() { setpriv --reuid 65534 --clear-groups "$@"; }
    as_other "$holdfast" stat --last "$program" > "$work/out" 2> "$work/err" && fail "another user sees what root's process left"
    grep -q 'HF-E460.* are not yours to read' "$work/err" || fail "another user is not told that there is more"
    setpriv --reuid 65534 --clear-groups env HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no \
        LD_PRELOAD="$library" "$work/$program" 60 2> /dev/null &
    other=$!
    pids="$pids $other"
    until_true shows "$other" || fail "another user's process shows nothing"
    kill -KILL "$other"
    wait "$other" 2> /dev/null
    expect 0 "process $other ($program)" stat --last "$program"
    grep -q 'user nobody' "$work/out" || fail "stat --last does not say whose it was"
    [ -n "$(kept_of "$second")" ] || fail "what one user left pushes out what another did"
    as_other "$holdfast" stat --last "$program" > "$work/out" 2> "$work/err" || fail "a user does not see what his process left"
    # many that a user has forged
    keep=$killed
    whole=$(kept_of "$other")
    for i in $(seq 100 180); do as_other cp "/dev/shm/$whole" "/dev/shm/${whole%.*}.$i"; done
    killed A=1
    expect 0 "process $killed ($program)" stat --last "$killed"
    [ -n "$(kept_of "$keep")" ] || fail "what one user forged pushes out what another left"
    [ "$(kept_of "$other" | wc -l)" -le 12 ] || fail "what a user forged stays"
else
    echo "last.sh: no program can be run as another user: its segment is not tested"
fi

exit "$failed"
