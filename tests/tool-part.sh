# Sourced by tests of the tool that look at an arena: of tool-load at work, or of made-segment.
. "${srcdir:-$(dirname "$0")/..}/tests/test.sh"
load=$top_builddir/tests/tool-load
edit=$top_builddir/tests/tool-edit
made=$top_builddir/tests/made-segment
library=$(cd "$top_builddir" && pwd)/.libs/libholdfast.so.0
victim='' segment=''
finish_segment()
{
    [ -z "$victim" ] || kill "$victim" 2> /dev/null
    [ -z "$segment" ] || rm -f "$segment"
    victim='' segment=''
}

trap 'finish_segment; finish' EXIT

# Whether standard input is JSON, where something here can tell.
if command -v jq > /dev/null; then
    is_json() { jq -e . > /dev/null; }
elif command -v python3 > /dev/null; then
    is_json() { python3 -m json.tool > /dev/null; }
else
    is_json() { cat > /dev/null; }
fi

for program in "$holdfast" "$load" "$edit" "$made"; do
    [ -x "$program" ] || { echo "$name: there is no $program"; exit 1; }
done
[ -n "${partly_without_shm:-}" ] || [ -w /dev/shm ] || { echo "$name: /dev/shm is not writable: nothing can be looked at"; exit 77; }

# start WORK...: tool-load at that work, in $live, when it is done with it; the environment is the caller's.
start()
{
    : > "$work/load" # of the one before
    # shellcheck disable=SC2086
    ${prefix:-} "$load" "$@" > "$work/load" 2> "$work/load.err" &
    live=$!
    children="$children $live"
    for _ in $(seq 300); do
        grep -q '^ready' "$work/load" && return 0
        kill -0 "$live" 2> /dev/null || { fail "tool-load $* has ended: $(cat "$work/load.err")"; return 1; }
        sleep 0.1
    done
    fail "tool-load $* is not ready after 30 s"
    return 1
}

stop()
{
    kill "$live" 2> /dev/null
    wait "$live" 2> /dev/null
}

# start_segment [OPTION | NAME=VALUE]...: a process that shows an arena of known figures, $victim, by the file $segment
start_segment()
{
    : > "$work/made"
    "$made" "$@" > "$work/made" &
    victim=$!
    until_true test -s "$work/made" || fail "made-segment $* makes none"
    segment=$(cat "$work/made")
}

# change_segment NAME=VALUE...: all of them at once
change_segment()
{
    "$made" --change "$segment" "$@" || fail "$* cannot be changed in the segment"
}

# namespace [FILE]: what stands behind the start time in a segment's name: the namespaces of processes and of time.
namespace()
{
    of_processes=$(stat -Lc %i "${1:-/proc/self/ns/pid}") || return
    time=$(stat -Lc %i /proc/self/ns/time 2> /dev/null) && printf '%x%08x' "$time" "$of_processes" || printf '%x' "$of_processes"
}
