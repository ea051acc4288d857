#!/bin/sh
# The completions of bash, zsh and fish against the manual and the option table: every command, option
# and value is offered where it belongs, by each of the three.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
top_srcdir=$(cd "$top_srcdir" && pwd)
top_builddir=$(cd "$top_builddir" && pwd)
shown=

# --- what is asked: lines as they are typed behind the program's name ---
# They are kept, and each shell is asked all of them at once.
count=0
: > "$work/lines"

# ask KIND WANTED LINE: KIND says which shells are asked, and how WANTED is meant
ask()
{
    count=$((count + 1))
    echo "$1" > "$work/kind.$count"
    printf '%s\n' "$2" | sed '/^$/d' | sort -u > "$work/wanted.$count"
    printf '%s\n' "$3" >> "$work/lines"
}

is() { ask is "$@"; }         # exactly these, a line each
has() { ask has "$@"; }       # these are among them
nothing() { ask nothing '' "$@"; } # zsh, which then offers options, aside
# Of the program that is run, which completes for itself: bash hands that to a function of another package.
behind() { ask behind "$@"; }

# --- commands and options, as the manual has them ---
commands=$(sed -n 's/^\.Ss holdfast \([a-z]*\)$/\1/p' "$top_srcdir/man/holdfast.1")
[ -n "$commands" ] || fail "the manual has no commands"
is "$commands
--help
--version" ''
is "$commands
environment" 'help '
is doctor doc
for command in $commands; do
    options=$(awk -v wanted="$command" '
        /^\.S[sh]/ { here = ($1 == ".Ss" && $2 == "holdfast" && $3 == wanted) }
        here && /^\.It Fl -/ { for (i = 3; i <= NF; i++) if ($i ~ /^-[a-z]/) print "-" $i }
        ' "$top_srcdir/man/holdfast.1")
    is "$options" "$command --"
done
is '--arena' 'plan --ar'

# --- values: of each variable whose values are words, for each command that has its option ---
"$top_builddir/holdfast" help environment | sed -n 's/^HOLDFAST_\([A-Z_]*\)=\(.*\)/\1 \2/p' > "$work/table"
while read -r variable values; do
    option=--$(echo "$variable" | tr 'A-Z_' 'a-z-')
    words=$(echo "$values" | tr '|' '\n' | sed -n 's/^ *\([a-z0-9]\{1,\}\) *$/\1/p')
    for command in run doctor plan; do
        "$top_builddir/holdfast" "$command" --help | grep -qe "^  ${option}[ [][^ ]" || continue
        [ -n "$words" ] || continue
        [ "$option" = --verbose ] || has "$words" "$command $option "
        [ "$command" = plan ] || has "$words" "$command $option=" # and plan has those of doctor
    done
done < "$work/table"
[ -s "$work/table" ] || fail "there are no variables"
is '1g
2m
4k
auto
thp' 'plan --backing '
is '2m' 'doctor --backing=2'
is 'text
json
openmetrics
prometheus' 'stat --format '
is 'all' 'run --nodes a'
has 10 'record --interval '
has 8G 'plan --arena '

# --- files, processes, and programs with their own words ---
: > "$work/machine.xml"
is "$work/machine.xml" "plan --topology $work/mach"
is "$work/machine.xml" "map --svg $work/mach"
is "$work/machine.xml" "record -o $work/mach"
is "$work/machine.xml" "tune $work/mach"
nothing "stat $work/mach"
nothing "record $work/mach"
nothing 'doctor '
has sleep 'run --arena 1G slee'
has sleep 'run --verbose slee'
for line in '' '--arena 1G ' '--arena=1G ' '--strict ' '--verbose ' '--verbose=1 -- '; do
    behind stat "run ${line}holdfast sta"
done
if [ -w /dev/shm ]; then
    "$top_builddir/holdfast" run --arena 8M --backing 4k sleep 60 > /dev/null 2>&1 &
    live=$!
    children=$live
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.3
        "$top_builddir/holdfast" stat "$live" > /dev/null 2>&1 && break
    done
    for command in stat top map record report tune; do has "$live" "$command "; done
fi

# --- the shells: each prints "line", then a line per word that is offered ---
cat > "$work/complete.bash" << 'END'
source "$1/tools/holdfast.bash"
_command_offset() { COMPREPLY=("offset $1"); }
offer()
{
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _holdfast
    echo line
    ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
}
while IFS= read -r line; do
    read -ra COMP_WORDS <<< "holdfast ${line//=/ = }"
    [[ $line != *[^\ =] ]] && [[ $line != *= ]] && COMP_WORDS+=('')
    offer
done
END

cat > "$work/complete.fish" << 'END'
source $argv[1]/tools/holdfast.fish
while read -l line
    echo line
    complete -C "holdfast $line" | string replace -r '\t.*' ''
end
END

# zsh completes in its line editor alone: an interactive one on a terminal of its own, which says what it
# is about to offer.
cat > "$work/setup.zsh" << 'END'
fpath=($work $fpath)
autoload -Uz compinit
compinit -D -u
zstyle ':completion:*' verbose no
compadd()
{
    local -a hits
    local at prefix=
    [[ " $* " == *' '-[AOD]' '* ]] && { builtin compadd "$@"; return }
    for at in ${@[(i)-P]} ${@[(i)-p]}; do (( at < $# )) && prefix+=${@[at + 1]}; done
    builtin compadd -O hits "$@"
    (( $#hits )) && print -rl -- "offered $IPREFIX$prefix"$^hits
}
complete_and_say() { _main_complete; print -r -- 'offered !' }
zle -C complete-and-say complete-word complete_and_say
bindkey '^I' complete-and-say
bindkey '^U' kill-whole-line
PS1=
print -r -- 'offered !'
END
cat > "$work/complete.zsh" << 'END'
zmodload zsh/zpty || exit 77
say_until_all()
{
    local line
    while zpty -r shell line; do
        line=${${line%%$'\n'}%%$'\r'}
        [[ $line == *'offered !' ]] && return
        [[ $line == *'offered '* ]] && print -r -- "${line##*offered }"
    done
}
zpty shell zsh -f -i
zpty -w shell "work=${(q)1}; . ${(q)1}/setup.zsh"
say_until_all
while IFS= read -r line; do
    print line
    zpty -w -n shell "holdfast $line"$'\t'
    say_until_all
    zpty -w -n shell $'\C-u'
done
zpty -d shell
END
cp "$top_srcdir/tools/holdfast.zsh" "$work/_holdfast"

# check SHELL: what it offered against what is wanted
check()
{
    [ ! -s "$work/err" ] || { fail "$1 prints:"; sed 's/^/    /' "$work/err"; }
    number=0
    rm -f "$work"/got.*
    awk -v got="$work/got." '$0 == "line" { number++; printf "" > (got number); next }
        { print > (got number) }' "$work/out"
    while IFS= read -r line; do
        number=$((number + 1))
        sed 's/^--[a-z-]*=//' "$work/got.$number" 2> /dev/null | sort -u > "$work/got"
        [ -e "$work/got.$number" ] || { fail "$1 ends before 'holdfast $line'"; return; }
        case $(cat "$work/kind.$number"):$1 in
            is:* | nothing:bash | nothing:fish) cmp -s "$work/got" "$work/wanted.$number" && continue ;;
            nothing:zsh) continue ;;
            behind:bash) grep -qx 'offset [2-6]' "$work/got" && continue ;;
            *) [ -z "$(comm -13 "$work/got" "$work/wanted.$number")" ] && continue ;;
        esac
        fail "$1, 'holdfast $line': offered are '$(tr '\n' ' ' < "$work/got")'," \
            "not '$(tr '\n' ' ' < "$work/wanted.$number")'"
    done < "$work/lines"
}

PATH=$top_builddir:$PATH
export PATH
missing=
if command -v bash > /dev/null; then
    bash --norc --noprofile "$work/complete.bash" "$top_srcdir" < "$work/lines" > "$work/out" 2> "$work/err"
    check bash
else
    missing="$missing bash"
fi
if command -v zsh > /dev/null && zsh -f -c 'zmodload zsh/zpty' 2> /dev/null; then
    zsh -f "$work/complete.zsh" "$work" < "$work/lines" > "$work/out" 2> "$work/err"
    check zsh
else
    missing="$missing zsh"
fi
if command -v fish > /dev/null; then
    HOME=$work XDG_CONFIG_HOME=$work XDG_DATA_HOME=$work fish --no-config "$work/complete.fish" "$top_srcdir" \
        < "$work/lines" > "$work/out" 2> "$work/err"
    check fish
else
    missing="$missing fish"
fi

# Nobody's file name is expanded.
cat > "$work/names.bash" << 'END'
source "$1/tools/holdfast.bash"
COMP_WORDS=(holdfast tune '$')
COMP_CWORD=2
_holdfast
printf '%s\n' "${COMPREPLY[@]}"
END
mkdir "$work/dir" && cd "$work/dir" && : > '$(touch here)' && : > '`touch here`'
if command -v bash > /dev/null; then
    bash --norc --noprofile "$work/names.bash" "$top_srcdir" | grep -qxF -e '$(touch here)' ||
        fail "a file of a strange name is not offered"
fi
[ ! -e here ] || fail "a file name was expanded"

if [ -n "$missing" ]; then
    echo "completion.sh: not here, and so not tested:$missing"
    [ "$failed" = 0 ] && exit 77
fi
exit "$failed"
