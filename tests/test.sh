# Sourced by the scripts: a folder of their own, what fails, what is ended with them, and the tool.
# shellcheck shell=sh disable=SC2034  # for those who source it
export LC_ALL=C
unset HOLDFAST_ARENA HOLDFAST_BACKING HOLDFAST_STRICT HOLDFAST_LIBRARY HOLDFAST_INSPECT HOLDFAST_VERBOSE HOLDFAST_ONLY
unset HWLOC_SYNTHETIC
srcdir=${srcdir:-.}
top_srcdir=${top_srcdir:-$srcdir}
top_builddir=${top_builddir:-.}
holdfast=$top_builddir/holdfast
name=${0##*/}
failed=0
children=
work=$(mktemp -d) || exit 1
finish()
{
    for child in $children; do kill "$child" 2> /dev/null; done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# fail TEXT: says so, and what the last command printed, where a script keeps that in these files
shown="$work/out $work/err"
fail()
{
    echo "${0##*/}: $*" # $name is taken by lists of names
    # shellcheck disable=SC2086  # a list of files
    [ -z "$shown" ] || sed 's/^/    /' $shown 2> /dev/null | head -40
    failed=1
}

# must COMMAND...: what the rest of the script builds on
must()
{
    "$@" && return 0
    fail "$* failed"
    exit 1
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
