#!/bin/sh
# Suites that others wrote, under Holdfast.  None of their code is here: they lie, built, in a folder.
#
#   tests/others/run.sh [--plain LIBRARY] [--secure LIBRARY] [--ways 'named growing'] FOLDER [SUITE...]
#
# SUITE.list beside this script says where the suite's programs lie below FOLDER, what is run and how each has to
# end, in the plain and in the secure build.  Prints what ended otherwise, and a line for each suite and way; one that
# is not in FOLDER is skipped by name.  doc/others-tests.md has the versions, and why what is left out is left out.
#
# A line of a list, which goes on behind a \ at its end:
#   in PATH            where the programs lie below FOLDER; - for those of the system
#   arena SIZE         of the named arena (512M)
#   seconds N          that a program may take (60)
#   with NAME=VALUE... variables that the programs get
#   PLAIN SECURE COMMAND...
#                      how it ends: an exit status; HF-Ennn, the message it aborts with; unseen, status 0 after it
#                      said NOT_CAUGHT; fault, a SIGSEGV; - to leave it out; several with | between them.
#                      Behind /, in a growing arena, where that differs.
set -u
here=$(cd "$(dirname "$0")" && pwd)
plain=.libs/libholdfast.so secure='' ways='named growing'
while [ $# -gt 1 ]; do
    case $1 in
    --plain) plain=$2 ;;
    --secure) secure=$2 ;;
    --ways) ways=$2 ;;
    *) break ;;
    esac
    shift 2
done
folder=${1:-}
if [ ! -d "$folder" ]; then
    echo "others: skipped, no folder with the suites of others ('$folder')"
    exit 0
fi
shift
folder=$(cd "$folder" && pwd)
[ $# -gt 0 ] || set -- $(cd "$here" && ls ./*.list | sed 's,.*/,,; s/\.list$//')
[ -z "$plain" ] || plain=$(realpath "$plain") || exit 2
[ -z "$secure" ] || secure=$(realpath "$secure") || exit 2
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
failed=0

# outcome STATUS: how it ended, in the words of the lists
outcome()
{
    id=$(tr '\0' '\n' < "$work/out" | grep -aoE 'HF-E[0-9]+' | grep -v HF-E012 | head -1)
    case $1 in
    0) if grep -aq NOT_CAUGHT "$work/out"; then echo unseen; else echo 0; fi ;;
    134) echo "${id:-abort}" ;;
    139) echo fault ;;
    *) echo "$1" ;;
    esac
}

# of WAY OUTCOMES: those of that way, with | around each
of()
{
    case $1:$2 in
    growing:*/*) echo "|${2#*/}|" ;;
    *) echo "|${2%%/*}|" ;;
    esac
}

# run COMMAND...: under $library in $way; its outcome
run()
{
    program=$1
    shift
    [ "$in" = - ] || program=./$program
    case $way in
    named) arena=$size backing=thp ;;
    growing) arena=auto backing=auto ;;
    esac
    # shellcheck disable=SC2086  # words of a line
    env $with HOLDFAST_ARENA=$arena HOLDFAST_BACKING=$backing LD_PRELOAD="$library" \
        timeout --kill-after=5 "$seconds" "$program" "$@" > "$work/out" 2>&1 < /dev/null
    outcome $?
}

there()
{
    if [ "$in" = - ]; then command -v "$1" > /dev/null; else [ -x "$1" ]; fi
}

# one PLAIN SECURE COMMAND...: counts it
one()
{
    expected=$1
    [ "$build" = plain ] || expected=$2
    shift 2
    expected=$(of "$way" "$expected")
    [ "$expected" != '|-|' ] || return 0
    if ! there "$1"; then
        missing=$((missing + 1))
        return 0
    fi
    got=$(run "$@")
    case $expected in
    *"|$got|"*) good=$((good + 1)) ;;
    *)
        bad=$((bad + 1)) failed=1
        echo "FAILED  $suite, $build, $way: $*: $got, not ${expected#|}" | sed 's/|$//'
        tr '\0' '\n' < "$work/out" | tail -8 | cut -c 1-200 | sed 's/^/    /'
        ;;
    esac
}

# list_of SUITE: each program of its list, under $library in $way
list_of()
{
    in=- size=512M seconds=60 with='' good=0 bad=0 missing=0
    # shellcheck disable=SC2162  # a line that ends in \ goes on
    while read first rest; do
        case $first in
        '' | '#'*) ;;
        in) in=$rest ;;
        arena) size=$rest ;;
        seconds) seconds=$rest ;;
        with) with=$rest ;;
        *)
            # shellcheck disable=SC2086  # words of a line
            one "$first" $rest
            ;;
        esac
    done < "$here/$1.list"
    [ "$missing" -eq 0 ] || missing=", $missing not there"
    echo "$suite, $build, $way: $good as they should, $bad not${missing#0}"
}

for suite in "$@"; do
    [ -f "$here/$suite.list" ] || { echo "others: there is no suite $suite"; exit 2; }
    below=$(sed -n 's/^in //p' "$here/$suite.list")
    [ "${below:--}" = - ] || cd "$folder/$below" 2> /dev/null || { echo "$suite: skipped, no $folder/$below"; continue; }
    [ "${below:--}" != - ] || cd "$work" || exit 1
    for build in plain secure; do
        library=$plain
        [ "$build" = plain ] || library=$secure
        [ -n "$library" ] || continue
        for way in $ways; do list_of "$suite"; done
    done
done
exit $failed
