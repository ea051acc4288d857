# bash completion for holdfast(1)

_holdfast_pids()
{
    local name
    for name in /dev/shm/holdfast.*.*; do
        name=${name#/dev/shm/holdfast.}
        name=${name%%.*}
        [[ $name =~ ^[0-9]+$ ]] && echo "$name"
    done
}

_holdfast()
{
    local cur prev command i equals=
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
        mapfile -t COMPREPLY < <(compgen -W 'run doctor plan list stat top map record report tune help --help --version' -- "$cur")
        return
    fi
    case $prev in
        --arena) mapfile -t COMPREPLY < <(compgen -W 'auto 1G 4G 8G 25% 50%' -- "$cur"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text json openmetrics' -- "$cur"); return ;;
        --backing) mapfile -t COMPREPLY < <(compgen -W 'auto 1g 2m thp 4k' -- "$cur"); return ;;
        --prefault) mapfile -t COMPREPLY < <(compgen -W 'startup background none' -- "$cur"); return ;;
        --lock) mapfile -t COMPREPLY < <(compgen -W 'auto yes no' -- "$cur"); return ;;
        --on-full) mapfile -t COMPREPLY < <(compgen -W 'fail abort' -- "$cur"); return ;;
        --place) mapfile -t COMPREPLY < <(compgen -W 'local interleave node:0' -- "$cur"); return ;;
        --verbose)
            if [[ $equals ]]; then
                mapfile -t COMPREPLY < <(compgen -W '0 1 2 3' -- "$cur")
                return
            fi
            ;;
        -o | --output | --svg | --topology) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
        --delay) mapfile -t COMPREPLY < <(compgen -W '0.1 0.5 1 2 5' -- "$cur"); return ;;
        --interval | --duration | --seconds | --settled)
            mapfile -t COMPREPLY < <(compgen -W '1 10 60 600 3600' -- "$cur")
            return
            ;;
        --library) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    esac
    case $command in
        run)
            # Behind the program's name its own completion is meant.
            for ((i = 2; i < COMP_CWORD; i++)); do
                case ${COMP_WORDS[i]} in
                    --) i=$((i + 1)); break ;;
                    --arena | --backing | --prefault | --lock | --on-full | --place | --library)
                        [[ ${COMP_WORDS[i + 1]} == = ]] && i=$((i + 1))
                        i=$((i + 1)) ;;
                    --verbose) [[ ${COMP_WORDS[i + 1]} == = ]] && i=$((i + 2)) ;;
                    -*) ;;
                    *) break ;;
                esac
            done
            if ((i < COMP_CWORD)); then
                declare -F _command_offset > /dev/null && _command_offset "$i"
            elif [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--arena --backing --strict --verbose --prefault --lock --on-full --place
                    --library --report --help' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -c -- "$cur")
            fi
            ;;
        doctor) mapfile -t COMPREPLY < <(compgen -W '--arena --backing --json --help' -- "$cur") ;;
        plan) mapfile -t COMPREPLY < <(compgen -W '--topology --arena --backing --nodes --json --help' -- "$cur") ;;
        list) mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$cur") ;;
        stat)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--watch --delta --count --classes --theaps --events --format --json --help' -- "$cur")
            else
                # Digits only: compgen expands its words, and anybody can name a file there.
                mapfile -t COMPREPLY < <(compgen -W "$(_holdfast_pids)" -- "$cur")
            fi
            ;;
        top)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--delay --help' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_holdfast_pids)" -- "$cur")
            fi
            ;;
        map)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--node --width --no-color --svg --help' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_holdfast_pids)" -- "$cur")
            fi
            ;;
        record)
            if [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--output --interval --duration --help' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_holdfast_pids)" -- "$cur")
            fi
            ;;
        report | tune)
            if [[ $cur == -* && $command == report ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--output --seconds --settled --help' -- "$cur")
            elif [[ $cur == -* ]]; then
                mapfile -t COMPREPLY < <(compgen -W '--settled --json --help' -- "$cur")
            else
                mapfile -t COMPREPLY < <(compgen -W "$(_holdfast_pids)" -- "$cur"; compgen -f -- "$cur")
            fi
            ;;
        help) mapfile -t COMPREPLY < <(compgen -W 'run doctor plan list stat top map record report tune help environment --help' -- "$cur") ;;
    esac
}

complete -F _holdfast holdfast
