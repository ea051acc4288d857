# Sourced by tests of the tool: $name is set; failures are counted in $failed.
export LC_ALL=C
unset HOLDFAST_ARENA HOLDFAST_BACKING HOLDFAST_STRICT HOLDFAST_LIBRARY HOLDFAST_INSPECT HOLDFAST_VERBOSE HOLDFAST_ONLY HWLOC_SYNTHETIC
top_builddir=${top_builddir:-.}
holdfast=$top_builddir/holdfast
load=$top_builddir/tests/tool-load
edit=$top_builddir/tests/tool-edit
made=$top_builddir/tests/made-segment
failed=0
children=
library=$(cd "$top_builddir" && pwd)/.libs/libholdfast.so.0
work=$(mktemp -d) || exit 1
victim='' segment=''
finish_segment()
{
    [ -z "$victim" ] || kill "$victim" 2> /dev/null
    [ -z "$segment" ] || rm -f "$segment"
    victim='' segment=''
}

finish()
{
    finish_segment
    for child in $children; do kill "$child" 2> /dev/null; done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

fail()
{
    echo "$name: $*"
    sed 's/^/    /' "$work/out" "$work/err" 2> /dev/null | head -40
    failed=1
}

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
        kill -0 "$live" 2> /dev/null || return 1
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

# What stands behind the start time in a segment's name: the namespaces of processes and of time.
namespace()
{
    time=$(stat -Lc %i /proc/self/ns/time 2> /dev/null) && printf '%x%08x' "$time" "$(stat -Lc %i /proc/self/ns/pid)" ||
        printf '%x' "$(stat -Lc %i /proc/self/ns/pid)"
}

# until_true COMMAND...: within ten seconds
until_true()
{
    for _ in $(seq 100); do
        "$@" && return 0
        sleep 0.1
    done
    return 1
}

# expect STATUS TEXT ARGUMENT...: exit status, and a text on standard output or error ('' for any)
expect()
{
    status=$1 text=$2
    shift 2
    "$holdfast" "$@" > "$work/out" 2> "$work/err" < /dev/null
    got=$?
    [ "$got" = "$status" ] || fail "holdfast $*: exit status $got, not $status"
    [ -z "$text" ] || cat "$work/out" "$work/err" | grep -qF -e "$text" || fail "holdfast $*: does not say '$text'"
}
