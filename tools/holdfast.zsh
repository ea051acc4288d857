#compdef holdfast
# zsh completion for holdfast(1)
#
# As in holdfast.bash, nothing is listed here: the program is asked, by `holdfast help`, `holdfast COMMAND
# --help` and `holdfast help environment`.  tests/completion.sh compares with the manual.

_holdfast_ask()
{
    local program=${_holdfast_program/#\~/$HOME}
    whence -p -- "$program" > /dev/null || program=holdfast
    command "$program" "$@" 2> /dev/null < /dev/null
}

# A line per name: the name, what its value is called, and what the help says; tabs between them.
_holdfast_options()
{
    _holdfast_ask help "$1" | awk '/^  -/ {
        at = match($0, /[^ ]  +[^ ]/)
        names = at ? substr($0, 3, at - 2) : substr($0, 3)
        meaning = at ? substr($0, at + RLENGTH - 1) : ""
        value = names
        sub(/.*--[a-z-]*[[ =]*/, "", value)
        sub(/\]$/, "", value)
        optional = names ~ /\[=/
        count = split(names, name, /, /)
        for (i = 1; i <= count; i++) {
            sub(/[[ =].*/, "", name[i])
            print name[i] "\t" (optional ? "?" : "") value "\t" meaning
        } }'
}

_holdfast_pids()
{
    local -a pids
    pids=(/dev/shm/holdfast.<->.*(N:t))
    pids=(${${pids#holdfast.}%%.*})
    (( $#pids )) && _wanted processes expl 'process that shows an arena' compadd -- $pids
}

_holdfast_commands()
{
    local -a commands
    commands=(${(f)"$(_holdfast_ask help | sed -n 's/^  \([a-z][a-z]*\)  *\(.*\)/\1:\2/p')"})
    [[ $1 == help ]] && commands+=('environment:the HOLDFAST_* variables')
    [[ $1 == all ]] && commands+=('--help:the commands' '--version:the version')
    _describe -t commands command commands
}

# The words that a variable may have.
_holdfast_words()
{
    _holdfast_ask help environment | sed -n "s/^HOLDFAST_$1=//p" | tr '|' '\n' | tr -d ' ' | grep -x '[a-z0-9]*'
}

# Those of an option whose help says "a, b or c".
_holdfast_alternatives()
{
    _holdfast_options "$1" | awk -F '\t' -v option="$2" '$1 == option && $3 ~ / or / {
        gsub(/,| or /, "\n", $3); print $3 }' | tr -d ' ' | grep -x '[a-z0-9]*'
}

# The values of an option of a command: by what they are called, else its words.
_holdfast_value()
{
    local option=$2 value=$3 variable=${(U)${2#--}//-/_}
    local -a words
    case $value in
        FILE*|PATH) _files; return ;;
        SIZE) words=(auto 1G 4G 8G 25% 50%) ;;
        SECONDS) words=(1 10 60 600 3600) ;;
        NODES|N) words=(${${(f)"$(print -l /sys/devices/system/node/node<->(N:t))"}#node})
            [[ $value == NODES ]] && words+=(all) ;;
        *) words=(${(f)"$(_holdfast_words "$variable")"})
            (( $#words )) || words=(${(f)"$(_holdfast_alternatives "$1" "$option")"}) ;;
    esac
    _wanted values expl "$value" compadd -- $words
}

_holdfast()
{
    local _holdfast_program=${(Q)words[1]} command=${words[2]} name value meaning usage
    local -a specs
    if (( CURRENT == 2 )); then
        _holdfast_commands all
        return
    fi
    shift words
    (( CURRENT-- ))
    # _arguments has its own signs: colons and brackets of a text get a backslash.
    while IFS=$'\t' read -r name value meaning; do
        meaning=${meaning//(#m)[\]\[:\\]/\\$MATCH}
        case $name:$value in
            *:) specs+=("$name""[$meaning]") ;;
            *:\?*) specs+=("$name=-""[$meaning]::${value#\?}: _holdfast_value $command $name ${value#\?}") ;;
            --*) specs+=("$name=""[$meaning]:$value: _holdfast_value $command $name $value") ;;
            *) specs+=("$name+""[$meaning]:$value: _holdfast_value $command $name $value") ;;
        esac
    done < <(_holdfast_options "$command")
    # What a command is about, by its usage; what belongs to an option aside.
    usage=$(_holdfast_ask help "$command" | sed -n '1{s/-[-a-z]* [A-Z]*\(\.html\)*//g;p;}')
    case $command:$usage in
        run:*|lab:*) specs+=('(-)1:program:_command_names -e' '*::arguments:_normal') ;;
        help:*) specs+=('1:command: _holdfast_commands help') ;;
        *PID*FILE*) specs+=('1: :_alternative "processes\:process\:_holdfast_pids" "files\:recording\:_files"') ;;
        *PID*) specs+=('1: :_holdfast_pids') ;;
    esac
    _arguments -s -S : $specs
}

_holdfast "$@"
