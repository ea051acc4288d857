# bash completion for holdfast(1)
#
# Commands, options and values are not listed here: the program is asked for them, by `holdfast help`, `holdfast COMMAND --help` and
# `holdfast help environment`, so that none can be forgotten.  tests/completion.sh compares with the manual.

_holdfast_ask()
{
    local program=${COMP_WORDS[0]/#\~/$HOME}
    type -P "$program" > /dev/null || program=holdfast
    "$program" "$@" 2> /dev/null < /dev/null
}

_holdfast_commands()
{
    _holdfast_ask help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'
}

# The options of a command, a line each with what its help says: "--arena SIZE" or "--json", a tab, the description.
_holdfast_options()
{
    _holdfast_ask help "$1" | awk '/^  -/ {
        at = match($0, /[^ ]  +[^ ]/)
        names = at ? substr($0, 3, at - 2) : substr($0, 3)
        meaning = at ? substr($0, at + RLENGTH - 1) : ""
        count = split(names, name, /, /)
        for (i = 1; i <= count; i++) if (name[i] ~ /^--/) print name[i] "\t" meaning }'
}

# What an option's value is called, of a variable or of the option itself: "SIZE"; nothing for those without.
_holdfast_metavariable()
{
    [[ $2 == -o ]] && set -- "$1" --output
    _holdfast_options "$1" | awk -F '\t' -v option="$2" '{ split($1, word, /[ =[]+/) } word[1] == option { sub(/\]$/, "", word[2]); print word[2] }'
}

# The values of a variable that are words, and of "a, b or c".
_holdfast_values()
{
    local variable=${2#--}
    variable=${variable//-/_}
    _holdfast_ask help environment | sed -n "s/^HOLDFAST_${variable^^}=//p" | tr '|' '\n'
    _holdfast_options "$1" | awk -F '\t' -v option="$2" '{ split($1, word, / /) } word[1] == option && $2 ~ / or / { gsub(/,| or /, "\n", $2); print $2 }'
}

_holdfast_pids()
{
    local name
    for name in /dev/shm/holdfast.*.*; do
        name=${name#/dev/shm/holdfast.}
        name=${name%%.*}
        [[ $name =~ ^[0-9]+$ ]] && echo "$name"
    done
}

# Offers those of the given words that go on as $cur does; compgen would expand them, so they are simple ones only.
_holdfast_offer()
{
    local word
    for word in $1; do
        [[ $word =~ ^[a-zA-Z0-9%.:_-]+$ && $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}

_holdfast_offer_value()
{
    local command=$1 option=$2 metavariable=$3
    case $metavariable in
        FILE* | PATH) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
        SIZE) _holdfast_offer 'auto 1G 4G 8G 25% 50%' ;;
        SECONDS) _holdfast_offer '1 10 60 600 3600' ;;
        NODES | N) _holdfast_offer "$([[ $metavariable == N ]] || echo all) $(cd /sys/devices/system/node 2> /dev/null && printf '%s\n' node[0-9]* | sed 's/^node//')" ;;
        *) _holdfast_offer "$(_holdfast_values "$command" "$option" | sed -n 's/^ *\([a-z0-9]\{1,\}\) *$/\1/p')" ;;
    esac
}

# Behind the program's name its own completion is meant: the index of that name, if the cursor is past it.
_holdfast_program()
{
    local i word
    for ((i = 2; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if [[ $word == -- ]]; then
            i=$((i + 1))
            break
        elif [[ $word != -* ]]; then
            break
        elif [[ ${COMP_WORDS[i + 1]-} == = ]]; then
            i=$((i + 2))
        elif [[ $word != --verbose && -n $(_holdfast_metavariable "$command" "$word") ]]; then
            i=$((i + 1))
        fi
    done
    ((i < COMP_CWORD)) && echo "$i"
}

_holdfast()
{
    local cur prev command usage metavariable index equals=
    COMPREPLY=()
    cur=${COMP_WORDS[COMP_CWORD]}
    prev=${COMP_WORDS[COMP_CWORD - 1]}
    command=${COMP_WORDS[1]}
    # bash cuts --option=value at the equals sign
    if [[ $cur == = ]]; then
        cur=
        equals=yes
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
        equals=yes
    fi

    if ((COMP_CWORD == 1)); then
        _holdfast_offer "$(_holdfast_commands) --help --version"
        return
    fi
    if [[ $command == run || $command == lab ]]; then
        index=$(_holdfast_program)
        if [[ $index ]]; then
            declare -F _command_offset > /dev/null && _command_offset "$index"
            return
        fi
    fi
    if [[ $prev == -* ]]; then
        metavariable=$(_holdfast_metavariable "$command" "$prev")
        if [[ $metavariable && ($prev != --verbose || $equals) ]]; then
            _holdfast_offer_value "$command" "$prev" "$metavariable"
            return
        fi
    fi
    if [[ $cur == -* ]]; then
        _holdfast_offer "$(_holdfast_options "$command" | sed 's/[^-a-z].*//')"
        return
    fi
    # What a command is about, by its usage; what belongs to an option aside.
    usage=$(_holdfast_ask help "$command" | sed -n '1{s/-[-a-z]* [A-Z]*\(\.html\)*//g;p;}')
    [[ $usage == *PID* ]] && _holdfast_offer "$(_holdfast_pids)"
    [[ $usage == *FILE* ]] && mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
    case $command in
        run | lab) mapfile -t COMPREPLY < <(compgen -c -- "$cur") ;;
        help) _holdfast_offer "$(_holdfast_commands) environment" ;;
    esac
}

complete -F _holdfast holdfast
