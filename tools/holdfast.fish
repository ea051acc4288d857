# fish completion for holdfast(1)
#
# As in holdfast.bash, nothing is listed here: the program is asked, by `holdfast help`, `holdfast COMMAND
# --help` and `holdfast help environment`.  tests/completion.sh compares with the manual.

function __holdfast_ask
    set -l tokens (commandline -opc)
    set -l program (string replace -r '^~' $HOME -- $tokens[1])
    command -q -- $program; or set program holdfast
    command -q -- $program; or return
    command $program $argv 2>/dev/null </dev/null
end

# A line per name: the name, what its value is called, and what the help says; tabs between them.
function __holdfast_options
    __holdfast_ask help $argv[1] | awk '/^  -/ {
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
end

# What an option's value is called, with "?" in front where it stands behind an equals sign alone; nothing
# for those without.
function __holdfast_metavariable
    __holdfast_options $argv[1] | awk -F '\t' -v option=$argv[2] '$1 == option { print $2 }'
end

function __holdfast_pids
    for name in (string replace -rf '^holdfast\.([0-9]+)\..*' '$1' (command ls /dev/shm 2>/dev/null))
        printf '%s\tprocess that shows an arena\n' $name
    end
end

function __holdfast_commands
    __holdfast_ask help | sed -n 's/^  \([a-z][a-z]*\)  *\(.*\)/\1\t\2/p'
end

# The words that a variable may have.
function __holdfast_words
    __holdfast_ask help environment | sed -n "s/^HOLDFAST_$argv[1]=//p" | tr '|' '\n' | tr -d ' ' |
        string match -r '^[a-z0-9]+$'
end

# Those of an option whose help says "a, b or c".
function __holdfast_alternatives
    __holdfast_options $argv[1] | awk -F '\t' -v option=$argv[2] '$1 == option && $3 ~ / or / {
        gsub(/,| or /, "\n", $3); print $3 }' | tr -d ' ' | string match -r '^[a-z0-9]+$'
end

# The values of an option of a command, with what stands in front of them.
function __holdfast_values
    set -l variable (string upper -- (string replace -a -- - _ (string replace -r '^--' '' -- $argv[2])))
    set -l words
    switch (string replace '?' '' -- $argv[3])
        case 'FILE*' PATH
            set -l begun (string replace -r '^--[a-z-]*=' '' -- (commandline -ct))
            __fish_complete_path $begun | string replace -r '^' -- $argv[4]
            return
        case SIZE
            set words auto 1G 4G 8G 25% 50%
        case SECONDS
            set words 1 10 60 600 3600
        case NODES N
            set -l nodes (command ls /sys/devices/system/node 2>/dev/null)
            set words (string replace -rf '^node([0-9]+)$' '$1' -- $nodes)
            test $argv[3] = NODES; and set -a words all
        case '*'
            set words (__holdfast_words $variable)
            test -n "$words"; or set words (__holdfast_alternatives $argv[1] $argv[2])
    end
    for word in $words
        echo $argv[4]$word
    end
end

# Behind the program's name its own completion is meant: the index of that name, if the cursor is past it.
function __holdfast_program
    set -l tokens (commandline -opc)
    set -l i 3
    while test $i -le (count $tokens)
        switch $tokens[$i]
            case --
                set i (math $i + 1)
                break
            case '--*=*' --verbose
                set i (math $i + 1)
            case '-*'
                test -n "$(__holdfast_metavariable $tokens[2] $tokens[$i])"; and set i (math $i + 1)
                set i (math $i + 1)
            case '*'
                break
        end
    end
    test $i -le (count $tokens); and echo $i
end

function __holdfast_complete
    set -l tokens (commandline -opc)
    set -l current (commandline -ct)
    set -l name $tokens[2]
    set -l last $tokens[-1]
    if contains $name run lab
        set -l index (__holdfast_program)
        if test -n "$index"
            complete -C "$(string escape -- $tokens[$index..-1] | string join ' ') $current"
            return
        end
    end
    if string match -qr '^--[a-z-]+=' -- $current
        set -l option (string replace -r '=.*' '' -- $current)
        set -l value (__holdfast_metavariable $name $option)
        test -n "$value"; and __holdfast_values $name $option $value $option=
        return
    end
    set -l value (__holdfast_metavariable $name $last)
    if test -n "$value"; and not string match -q '?*' -- (string match -r '^\?' -- $value)
        __holdfast_values $name $last $value ''
        return
    end
    if string match -q -- '-*' $current
        __holdfast_options $name | awk -F '\t' '{ print $1 "\t" $3 }'
        return
    end
    set -l usage (__holdfast_ask help $name | sed -n '1{s/-[-a-z]* [A-Z]*\(\.html\)*//g;p;}')
    string match -q '*PID*' -- $usage; and __holdfast_pids
    string match -q '*FILE*' -- $usage; and __fish_complete_path $current
    switch $name
        case run lab
            __fish_complete_command
        case help
            __holdfast_commands
            printf 'environment\tthe HOLDFAST_* variables\n'
    end
end

complete -c holdfast -f
complete -c holdfast -n 'test (count (commandline -opc)) -eq 1' -a '(__holdfast_commands)'
complete -c holdfast -n 'test (count (commandline -opc)) -eq 1' -a '--help' -d 'the commands'
complete -c holdfast -n 'test (count (commandline -opc)) -eq 1' -a '--version' -d 'the version'
complete -c holdfast -n 'test (count (commandline -opc)) -gt 1' -a '(__holdfast_complete)'
