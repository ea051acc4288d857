#!/bin/sh
# The inspection segment as other processes meet it: what is shown, what is a leftover and what is not, and what is said about
# processes that show nothing.
#
# $srcdir and $top_builddir as Automake sets them.  Parts of it need root, for namespaces and cgroups:
# they are passed over otherwise.
set -u
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"

runs() { [ "$(cat "/proc/$1/comm" 2> /dev/null)" = "$2" ]; }
segment_of() { echo "/dev/shm/holdfast.$1."*; }
has_segment() { [ -e "$(segment_of "$1")" ]; }
own=$(namespace)

# --- exec: the segment of the program before is none of the one that runs now ---
mkfifo "$work/go"
HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k LD_PRELOAD=$library sh -c 'read -r line < "$1"; unset LD_PRELOAD; exec sleep 60' sh "$work/go" &
live=$!
children="$children $live"
until_true has_segment "$live" || fail "a program shows nothing"
expect 0 'of 16 MiB used' stat "$live"
"$holdfast" stat --watch 0.1 "$live" > "$work/watched" 2>&1 &
watcher=$!
children="$children $watcher"
sleep 0.3
echo go > "$work/go"
until_true runs "$live" sleep || fail "sh does not execute sleep"
gone() { ! kill -0 "$1" 2> /dev/null; }
until_true gone "$watcher" || fail "stat --watch goes on with the arena of the program before exec"
left=$(segment_of "$live")
[ -e "$left" ] || fail "there is no leftover to be told from a segment"
expect 1 'has executed another program since' stat "$live"
[ -e "$left" ] && fail "stat leaves the segment of the program before exec"
expect 1 'no libholdfast.so mapped' stat "$live"
kill "$live"

# --- a program that changes the user before exec leaves a file that the next one cannot replace ---
as_nobody() # VARIABLE=VALUE: in $live a program of another user than the one before it in the same process
{
    env "$1" HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k LD_PRELOAD="$library" setpriv --reuid=65534 --clear-groups sleep 60 2> "$work/nobody" &
    live=$!
    children="$children $live"
    until_true runs "$live" sleep || fail "setpriv does not execute sleep"
}
if [ "$(id -u)" = 0 ] && setpriv --reuid=65534 --clear-groups test -r "$library"; then
    as_nobody HOLDFAST_ONLY=all
    until_true grep -q "HF-W006.*another user's.*set HOLDFAST_ONLY" "$work/nobody" || fail "it is not said whose file stands in the way"
    kill "$live"
    as_nobody HOLDFAST_ONLY=sleep
    until_true has_segment "$live" || fail "with HOLDFAST_ONLY the program of another user shows nothing"
    expect 0 'of 16 MiB used' stat "$live"
    [ -s "$work/nobody" ] && fail "HOLDFAST_ONLY: $(cat "$work/nobody")"
    kill "$live"
else
    echo "segment.sh: no program can be run as another user: its segment is not tested"
fi

# --- processes that have the library and show nothing: why, and what to set ---
start_child() # VARIABLE=VALUE...: a shell, and in $live its forked child, which waits
{
    rm -f "$work/never" "$work/pid"
    mkfifo "$work/never"
    env "$@" HOLDFAST_BACKING=4k LD_PRELOAD="$library" sh -c '{ read -r line < "$1"; } & echo $! > "$1.pid"; mv "$1.pid" "$2"; wait' sh \
        "$work/never" "$work/pid" &
    children="$children $!"
    until_true test -e "$work/pid" || fail "no child"
    live=$(cat "$work/pid")
    children="$children $live"
}
start_child HOLDFAST_ARENA=16M
expect 1 'it is the child of a fork' stat "$live"
expect 1 'or still populates its arena' stat "$live"
expect 1 'start it with HOLDFAST_INSPECT=children' stat "$live"
expect 0 "show no arena: holdfast stat PID says why" list
# It names ten, the lowest numbers first, and what else runs on this machine may be among them.
grep -A1 "show no arena" "$work/out" | tail -n 1 | grep -qE "(^| )$live( |\$)|\.\.\.\$" ||
    fail "list does not name a child that shows nothing"
"$holdfast" list --json | grep -q "^ *$live,*\$" || fail "list --json does not name a child that shows nothing"
start_child HOLDFAST_ARENA=16M HOLDFAST_INSPECT=children
expect 0 'of 16 MiB used' stat "$live"
start_child HOLDFAST_ARENA=16M HOLDFAST_INSPECT=0
expect 1 'HOLDFAST_INSPECT=0 is set; start it without' stat "$live"
start_child HOLDFAST_ARENA=auto
expect 1 'its arena grows, and has used less than 8 MiB' stat "$live"

# --- whom HOLDFAST_ONLY does not mean has a growing arena, whatever the other variables say ---
for setting in HOLDFAST_INSPECT=1 HOLDFAST_INSPECT=0; do
    env "$setting" HOLDFAST_ONLY=elsewhere HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k LD_PRELOAD="$library" sleep 60 &
    live=$!
    children="$children $live"
    until_true grep -q libholdfast "/proc/$live/maps" || fail "sleep does not start" # the loader comes after exec
    expect 1 'HOLDFAST_ONLY=elsewhere names another program, so its arena grows, whatever size is set, and has used less than 8 MiB' stat "$live"
    kill "$live"
done
start_child HOLDFAST_ARENA=16M HOLDFAST_ONLY=sh
expect 1 'it is the child of a fork' stat "$live"
start_of_run() # ARGUMENT...: of holdfast run; a shell, and in $live the program that it starts
{
    rm -f "$work/pid"
    "$holdfast" run --library "$library" --arena 16M --backing 4k "$@" &
    children="$children $!"
    until_true test -e "$work/pid" || fail "no child"
    live=$(cat "$work/pid")
    children="$children $live"
}
# shellcheck disable=SC2016  # another shell's
start_of_run sh -c 'sleep 60 & echo $! > "$1.pid"; mv "$1.pid" "$1"; wait' sh "$work/pid"
until_true runs "$live" sleep || fail "sh does not start sleep"
expect 1 " names another process, so its arena grows, whatever size is set, and has used less than 8 MiB" stat "$live"
# shellcheck disable=SC2016
start_of_run sh -c '{ read -r line < "$2"; } & echo $! > "$1.pid"; mv "$1.pid" "$1"; wait' sh "$work/pid" "$work/never"
expect 1 'it is the child of a fork, or still populates its arena' stat "$live"
# shellcheck disable=SC2016
start_of_run sh -c 'sleep 60 & echo $! > "$1.pid"; mv "$1.pid" "$1"' sh "$work/pid"
until_true runs "$live" sleep || fail "sh does not start sleep"
wait $! 2> /dev/null
expect 1 ' names a process that has ended: it is the child of a fork of that one, or its arena grows' stat "$live"

# --- leftovers, as a program that starts sees them ---
preloaded() { HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k LD_PRELOAD=$library sleep 0; }
sleep 0 &
ended=$!
wait "$ended"
for file in "$ended.1.$own" "$$.1.$own" "$ended.1.1$own"; do : > "/dev/shm/holdfast.$file"; done
preloaded
[ -e "/dev/shm/holdfast.$ended.1.$own" ] && fail "a program that starts leaves the file of one that has ended"
[ -e "/dev/shm/holdfast.$$.1.$own" ] && fail "a program that starts leaves the file of a number that was used again"
[ -e "/dev/shm/holdfast.$ended.1.1$own" ] || fail "a program that starts removes a file of another namespace"
for file in "$ended.1.$own" "$$.1.$own" "$ended.1.1$own"; do rm -f "/dev/shm/holdfast.$file"; done

# --- a program that is killed over and over leaves the last segment, and those that others have not removed yet ---
left_of() # PID...: how many segments there are of them
{
    left=0
    for pid in "$@"; do has_segment "$pid" && left=$((left + 1)); done
    echo "$left"
}
killed=
for _ in $(seq 100); do
    HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k LD_PRELOAD=$library sh -c 'kill -KILL $$' 2> /dev/null &
    wait $! 2> /dev/null
    killed="$killed $!"
done
[ "$(left_of $killed)" -le 1 ] || fail "100 programs that were killed leave $(left_of $killed) segments"

# --- root starts, somebody else ends: root alone can remove its file, and removes everybody's ---
if [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --clear-groups test -r "$library" 2> /dev/null; then
    HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k LD_PRELOAD=$library setpriv --reuid 65534 --clear-groups sh -c 'kill -KILL $$' 2> /dev/null &
    wait $! 2> /dev/null
    dropped=$!
    has_segment "$dropped" || fail "there is no segment that root started and somebody else left"
    setpriv --reuid 65534 --clear-groups env HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k LD_PRELOAD="$library" sh -c 'kill -KILL $$' 2> /dev/null &
    wait $! 2> /dev/null
    other=$!
    preloaded
    [ "$(left_of "$dropped" "$other")" = 0 ] || fail "a program that root starts leaves segments of dead processes of others"
fi

# --- another namespace of processes, and the same /dev/shm ---
# Its number is one that nobody has here, so that it looks as if it had ended.
free_number() { number=$((number + 1)); ! kill -0 "$number" 2> /dev/null; }
number=$(($(cat /proc/sys/kernel/pid_max) / 2))
until_true free_number
if unshare --pid --fork --mount-proc true 2> /dev/null; then
    HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k unshare --pid --fork --kill-child --mount-proc sh -c '
        echo $(($1 - 1)) > /proc/sys/kernel/ns_last_pid
        LD_PRELOAD=$2 sleep 60 & wait' sh "$number" "$library" &
    inside=$!
    children="$children $inside"
    until_true has_segment "$number" || fail "a program in another namespace shows nothing"
    segment=$(segment_of "$number")
    preloaded
    [ -e "$segment" ] || fail "a program that starts removes the segment of another namespace"
    expect 0 'in other namespaces' list
    [ -e "$segment" ] || fail "list removes the segment of another namespace"
    rm -f "$segment"

    # A raw clone into a namespace of its own, by the first process of one: both have number 1.
    publish=$top_builddir/tests/programs/publish
    files_of_first() { ls /dev/shm | grep -c "^holdfast\.1\.[0-9]*\.$1\$"; }
    for proc in --mount-proc --kill-child; do
        HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k unshare --pid --fork "$proc" "$publish" clone-first ||
            fail "a child that is the first of its namespace removes its parent's segment ($proc)"
    done
    rm -f /dev/shm/holdfast.1.0.0
    HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k unshare --pid --fork --mount sh -c 'mount -t tmpfs none /proc && exec "$1" clone-first-without-proc' \
        sh "$publish" || fail "clone-first-without-proc fails"
    [ -e /dev/shm/holdfast.1.0.0 ] || fail "a child that is the first of its namespace removes its parent's segment, without /proc"
    rm -f /dev/shm/holdfast.1.0.0

    # First processes of two namespaces, whose /proc is this one: each has a file of its own, by its namespace.
    firsts=
    for first in one two; do
        HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k unshare --pid --fork --kill-child env LD_PRELOAD="$library" sleep 60 &
        firsts="$firsts $!"
    done
    children="$children $firsts"
    first_shows() { [ "$(files_of_first "$(namespace "/proc/$1/ns/pid_for_children" 2> /dev/null)")" = 1 ]; }
    for first in $firsts; do
        until_true first_shows "$first" || fail "the first process of a namespace shows nothing under a name of its own"
    done
    expect 0 'in other namespaces' list
    for first in $firsts; do
        first_shows "$first" || fail "the segment of a first process is gone while it lives"
        # the tool needs a /proc of that namespace to find it
        nsenter --pid="/proc/$first/ns/pid_for_children" unshare --mount-proc "$holdfast" stat 1 > "$work/out" 2> "$work/err" ||
            fail "stat does not find the first process of a namespace: $(cat "$work/err")"
        grep -q 'of 8 MiB used' "$work/out" || fail "stat shows no arena of the first process of a namespace"
        rm -f "/dev/shm/holdfast.1."*".$(namespace "/proc/$first/ns/pid_for_children")"
    done

    # What a killed process left there, the next one of that namespace keeps; what lives stays.
    HOLDFAST_ARENA=8M HOLDFAST_BACKING=4k unshare --pid --fork --kill-child sh -c '
        LD_PRELOAD=$1 sh -c "kill -KILL \$\$"
        LD_PRELOAD=$1 sh -c "kill -STOP \$\$" & live=$!
        until ls /dev/shm/holdfast.$live.* > /dev/null 2>&1; do sleep 0.1; done
        LD_PRELOAD=$1 sleep 0
        ls /dev/shm | grep "$(printf %08x "$(stat -Lc %i /proc/self/ns/pid)")\$"' sh "$library" > "$work/out" 2> /dev/null
    [ "$(grep -c '^holdfast-last\.2\.' "$work/out")" = 1 ] || fail "nobody keeps what a process left whose /proc is another namespace's"
    [ "$(grep -c '^holdfast\.' "$work/out")" = 1 ] || fail "not the one live process is shown: $(cat "$work/out")"
    while read -r left; do rm -f "/dev/shm/$left"; done < "$work/out"
fi

# --- as large as the arena, not as the addresses that it spans: sixteen small nodes lie a window apart ---
HWLOC_XMLFILE=$srcdir/tests/topologies/snc-sixteen.xml HOLDFAST_ARENA=128M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no LD_PRELOAD=$library sleep 60 2> /dev/null &
live=$!
children="$children $live"
until_true has_segment "$live" || fail "an arena of sixteen nodes is not shown"
bytes=$(stat -c %s "$(segment_of "$live")")
[ "$bytes" -lt 200000 ] || fail "the segment of 128 MiB on sixteen nodes has $bytes bytes"
expect 0 '"sum"' stat --json "$live"
expect 0 'node 15' map "$live"

# --- a file that somebody removed while the program runs ---
HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no LD_PRELOAD=$library sleep 60 2> "$work/err" &
live=$!
children="$children $live"
until_true has_segment "$live" || fail "an arena is not shown"
rm -f "$(segment_of "$live")"
expect 1 'its file was removed from /dev/shm while it runs, as systemd does where a unit has RemoveIPC=' stat "$live"
kill "$live"

# --- an arena cut to what a cgroup leaves comes with a segment that fits as well ---
group= limit=
for root in /sys/fs/cgroup/memory$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup) /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup); do
    for file in memory.limit_in_bytes memory.max; do
        [ -z "$group" ] && mkdir "$root/holdfast-segment.$$" 2> /dev/null || continue
        if [ -w "$root/holdfast-segment.$$/$file" ]; then
            group=$root/holdfast-segment.$$ limit=$file
        else
            rmdir "$root/holdfast-segment.$$"
        fi
    done
done
if [ -n "$group" ]; then
    echo $((300 << 20)) > "$group/$limit"
    for prefault in startup none; do
        HOLDFAST_ARENA=3T HOLDFAST_PREFAULT=$prefault HOLDFAST_BACKING=4k HOLDFAST_LOCK=no \
            sh -c 'echo $$ > "$1/cgroup.procs"; LD_PRELOAD=$2 exec true' sh "$group" "$library" > "$work/out" 2> "$work/err"
        status=$?
        [ "$status" = 0 ] || fail "3T in a cgroup of 300 MiB, HOLDFAST_PREFAULT=$prefault: exit status $status"
    done
    HOLDFAST_ARENA=3T HOLDFAST_BACKING=4k HOLDFAST_LOCK=no \
        sh -c 'echo $$ > "$1/cgroup.procs"; LD_PRELOAD=$2 exec sleep 60' sh "$group" "$library" 2> "$work/err" &
    live=$!
    children="$children $live"
    until_true has_segment "$live" || fail "an arena that was cut is not shown"
    grep -q "HF-W227.*3 TiB were asked for .* the cgroup's limit allows at all (300 MiB, .*: taking 1.* MiB, half" "$work/err" || fail "an arena that was cut says nothing"
    expect 0 '  3 TiB were asked for, and cut at start' stat "$live"
    kill "$live"
    until_true rmdir "$group" 2> /dev/null || fail "$group cannot be removed"
else
    echo "segment.sh: no cgroup can be made: an arena that is cut is not tested"
fi
exit "$failed"
