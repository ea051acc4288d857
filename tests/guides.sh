#!/bin/sh
# The guides in doc/, and README.md, against the program: the variables and their values, message
# ids, commands, options and calls that they name exist, their links lead somewhere, and
# doc/README.md lists each.  Prints what differs.
#
# How a guide is written so that this can be told: another program's option stands behind that
# program's name, a span in backquotes that begins with -- is an option of holdfast, and
# `holdfast run` has -- in front of the program.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
# guides.sh FILE...: these files only; the list is not looked at then.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
shown=

[ -x "$holdfast" ] || { fail "there is no $holdfast"; exit 1; }

# --- what there is ---
"$holdfast" help environment > "$work/environment"
{
    sed -n 's/^\(HOLDFAST_[A-Z_]*\)=.*/\1/p' "$work/environment"
    echo HOLDFAST_LIBRARY
} | sort -u > "$work/variables"
grep '^\.It Sy HF-' "$top_srcdir/man/holdfast-messages.7" | grep -o 'HF-[EWID][0-9]*' | sort -u > "$work/ids"
grep -oh '\bhf_[a-z_]*[a-z]' "$top_srcdir"/include/holdfast/*.h | sort -u > "$work/calls"
"$holdfast" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p' > "$work/commands"
: > "$work/every"
while read -r command; do
    "$holdfast" "$command" --help | grep -E '^  -' | sed 's/   *[^- ].*//' |
        grep -oE -e '--[a-z-]+' > "$work/options.$command"
    cat "$work/options.$command" >> "$work/every"
done < "$work/commands"
for list in variables ids calls commands every; do
    [ -s "$work/$list" ] || fail "there are no $list to compare with"
done

# --- what a guide says ---

# named FILE PATTERN LIST WHAT: whatever matches the pattern is in the list
named()
{
    grep -ohE -e "$2" "$1" | sort -u | while read -r name; do
        grep -qxF -e "$name" "$work/$3" || echo "$1 names $name, which is no $4"
    done
}

# One line per command line or span of code: indented lines, continued ones joined, and what stands
# in backquotes.
code_of()
{
    sed -e ':again' -e '/^    .*\\$/{N;s/\\\n *//;b again' -e '}' "$1" | sed -n 's/^    //p'
    grep -v '^    ' "$1" | tr '\n' ' ' | grep -oE '`[^`]+`' | tr -d '`'
}

# Its commands, each with what stands behind it up to the program that it runs, or to the next
# command of the shell.
command_lines()
{
    sed -e 's/\$(pkg-config[^)]*)//g' "$1" | grep -oE '(^|[^A-Za-z0-9_.-])holdfast +[a-z][^|;&#>)]*' |
        sed -e 's/^.*holdfast  *//' -e 's/ -- .*//' -e 's/ --$//'
}

# value NAME VALUE: the library takes it; capitals stand for a value
value()
{
    case $2 in '' | *[!A-Z]*) ;; *) return ;; esac
    env "$1=$2" "$holdfast" doctor --json 2> "$work/err" > "$work/doctor"
    ! grep -q 'HF-E102' "$work/err" || echo "$file: $1=$2 is refused"
}

# Their names, and that each option is one of its command's.
commands()
{
    while read -r command rest; do
        if ! grep -qxF -e "$command" "$work/commands"; then
            echo "$file: holdfast $command is no command"
            continue
        fi
        echo "$rest" | grep -oE -e '(^| )--[a-z-]+' | tr -d ' ' | while read -r option; do
            grep -qxF -e "$option" "$work/options.$command" ||
                echo "$file: holdfast $command has no option $option"
        done
    done < "$work/lines"
    grep -oE -e '^--[a-z][a-z-]*' "$work/code" | sort -u | while read -r option; do
        grep -qxF -e "$option" "$work/every" || echo "$file: no command of holdfast has the option $option"
    done
}

# Of variables, and of those options of run, doctor and plan that stand for one.
values()
{
    text='[A-Za-z0-9][A-Za-z0-9%:.,-]*'
    {
        grep -oE "HOLDFAST_[A-Z_]*[A-Z]=$text" "$work/code" | sed 's/[.,:]*$//'
        sed -n 's/^\(run\|doctor\|plan\) //p' "$work/lines" | grep -oE -e "--[a-z-]+[ =]$text" |
            sed 's/^--//; s/[ =]/ /' | while read -r option given; do
                echo "HOLDFAST_$(echo "$option" | tr 'a-z-' 'A-Z_')=$given"
            done
    } | sort -u | while IFS='=' read -r name given; do
        ! grep -q "^$name=" "$work/environment" || value "$name" "$given"
    done
}

look_at()
{
    named "$file" 'HOLDFAST_[A-Z_]*[A-Z]' variables "variable"
    named "$file" 'HF-[A-Z]*[0-9]+' ids "message in holdfast-messages(7)"
    named "$file" '\bhf_[a-z_]*[a-z]' calls "call or type of a header"
    code_of "$file" > "$work/code"
    command_lines "$work/code" | sort -u > "$work/lines"
    commands
    values
    links
}

# Anchors are those that GitHub makes of headings.
links()
{
    grep -ohE '\]\([^)]+\)' "$file" | sed 's/^](//; s/)$//' | sort -u | while read -r link; do
        case $link in *://*) continue ;; esac
        target=${link%%#*} anchor=
        case $link in *'#'*) anchor=${link#*#} ;; esac
        path=${target:+$(dirname "$file")/$target}
        path=${path:-$file}
        [ -e "$path" ] || { echo "$file links to $target, which is not there"; continue; }
        [ -z "$anchor" ] ||
            sed -n 's/^##* //p' "$path" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z0-9_\n-' | grep -qxF -e "$anchor" ||
            echo "$file links to #$anchor of $path, which has no such heading"
    done
}

guides()
{
    for file; do look_at; done > "$work/found"
}

# A guide with one mistake of each kind, which this must find.
cat > "$work/wrong.md" << 'EOF'
# Wrong
Set `HOLDFAST_ARNEA=8G` or `HOLDFAST_BACKING=3m`; HF-E912 and HF-E12; hf_mallloc(); `holdfast
tuna`, `holdfast stat --clases`, `--backings`. [gone](gone.md) [nowhere](#nope) [here](#wrong)

    $ holdfast run --arena 2X -- redis-server --port 5
    $ sudo holdfast doctor --arena 1G \
        --bucking thp | grep -v ^ok
EOF
printf '%s\n' HOLDFAST_ARNEA, HOLDFAST_BACKING=3m HF-E912, HF-E12, hf_mallloc, 'holdfast tuna' --clases \
    --backings gone.md '#nope' HOLDFAST_ARENA=2X --bucking > "$work/mistakes"
guides "$work/wrong.md"
while read -r mistake; do
    grep -qF -e "$mistake" "$work/found" || fail "does not find $mistake"
done < "$work/mistakes"
[ "$(wc -l < "$work/found")" = "$(wc -l < "$work/mistakes")" ] ||
    fail "finds other mistakes: $(cat "$work/found")"

if [ $# -gt 0 ]; then
    guides "$@"
else
    guides "$top_srcdir"/README.md "$top_srcdir"/doc/*.md
    for file in "$top_srcdir"/doc/*.md; do
        name=$(basename "$file")
        [ "$name" = README.md ] || grep -qF "]($name)" "$top_srcdir/doc/README.md" ||
            echo "doc/README.md does not list $name"
    done >> "$work/found"
fi
while read -r line; do fail "$line"; done < "$work/found"
exit "$failed"
