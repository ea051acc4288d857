#!/bin/sh
# The bash completion against the manual and the option table: every command, option and value is offered where it belongs.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
export LC_ALL=C
top_srcdir=${top_srcdir:-${srcdir:-.}}
top_builddir=${top_builddir:-.}
command -v bash > /dev/null || { echo "completion.sh: no bash: nothing is completed"; exit 77; }
work=$(mktemp -d) || exit 1
live=
trap '[ -z "$live" ] || kill "$live" 2> /dev/null; rm -rf "$work"' EXIT
failed=0

fail()
{
    echo "completion.sh: $*"
    failed=1
}

# What is offered for the last of these words, the program's name aside, sorted.
cat > "$work/complete" << 'EOF'
source "$1"
COMP_WORDS=("${@:2}")
COMP_CWORD=$(($# - 2))
_command_offset() { COMPREPLY=("offset $1"); }
_holdfast
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort
EOF
offered()
{
    bash --norc --noprofile "$work/complete" "$top_srcdir/tools/holdfast.bash" "$top_builddir/holdfast" "$@" 2> "$work/err"
    [ ! -s "$work/err" ] || { fail "completing '$*' prints:"; sed 's/^/    /' "$work/err"; }
}

# is WANTED WORD...: exactly these, a line each, are offered
is()
{
    wanted=$(printf '%s\n' "$1" | sed '/^$/d' | sort -u)
    shift
    got=$(offered "$@")
    [ "$got" = "$wanted" ] || fail "completing '$*': offered are $(echo "$got" | tr '\n' ' ')and not $(echo "$wanted" | tr '\n' ' ')"
}

# has WANTED WORD...: this is among what is offered
has()
{
    wanted=$1
    shift
    offered "$@" | grep -qxF -e "$wanted" || fail "completing '$*': '$wanted' is not offered"
}

# --- commands and options, as the manual has them ---
commands=$(sed -n 's/^\.Ss holdfast \([a-z]*\)$/\1/p' "$top_srcdir/man/holdfast.1")
[ -n "$commands" ] || fail "the manual has no commands"
is "$commands
--help
--version" ''
is "$commands
environment" help ''
is doctor doc
for command in $commands; do
    options=$(awk -v wanted="$command" '/^\.S[sh]/ { here = ($1 == ".Ss" && $2 == "holdfast" && $3 == wanted) }
        here && /^\.It Fl -/ { for (i = 3; i <= NF; i++) if ($i ~ /^-[a-z]/) print "-" $i }' "$top_srcdir/man/holdfast.1")
    is "$options" "$command" --
done
is '--arena' plan --ar

# --- values: of each variable whose values are words, for each command that has its option ---
"$top_builddir/holdfast" help environment | sed -n 's/^HOLDFAST_\([A-Z_]*\)=\(.*\)/\1 \2/p' > "$work/table"
while read -r variable values; do
    option=--$(echo "$variable" | tr 'A-Z_' 'a-z-')
    words=$(echo "$values" | tr '|' '\n' | sed -n 's/^ *\([a-z0-9]\{1,\}\) *$/\1/p')
    for command in run doctor plan; do
        "$top_builddir/holdfast" "$command" --help | grep -qe "^  ${option}[ [][^ ]" || continue
        [ "$option" = --verbose ] || for word in $words; do has "$word" "$command" "$option" ''; done
        for word in $words; do has "$word" "$command" "$option" = ''; done
    done
done < "$work/table"
[ -s "$work/table" ] || fail "there are no variables"
is '1g
2m
4k
auto
thp' plan --backing ''
is '2m' doctor --backing = 2
is 'text
json
openmetrics' stat --format ''
is 'all' run --nodes a
has 10 record --interval ''
has 8G plan --arena ''

# --- files, processes, and programs with their own words ---
: > "$work/machine.xml"
is "$work/machine.xml" plan --topology "$work/mach"
is "$work/machine.xml" record -o "$work/mach"
is "$work/machine.xml" tune "$work/mach"
is '' stat "$work/mach"
is '' record "$work/mach"
is '' doctor ''
is 'offset 2' run ls ''
is 'offset 4' run --arena 1G ls -
is 'offset 5' run --arena = 1G ls ''
is 'offset 3' run --strict ls ''
is 'offset 3' run --verbose ls ''
is 'offset 6' run --verbose = 1 -- ls ''
has sleep run --arena 1G slee
if [ -w /dev/shm ]; then
    "$top_builddir/holdfast" run --arena 8M --backing 4k sleep 60 > /dev/null 2>&1 &
    live=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.3
        "$top_builddir/holdfast" stat "$live" > /dev/null 2>&1 && break
    done
    for command in stat top map record report tune; do has "$live" "$command" ''; done
fi

# Nobody's file name is expanded.
mkdir "$work/dir" && cd "$work/dir" && : > '$(touch here)' && : > '`touch here`'
case $top_srcdir in /*) ;; *) top_srcdir=$OLDPWD/$top_srcdir ;; esac
case $top_builddir in /*) ;; *) top_builddir=$OLDPWD/$top_builddir ;; esac
has '$(touch here)' tune '$'
[ ! -e here ] || fail "a file name was expanded"
exit "$failed"
