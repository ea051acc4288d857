# Sourced, with $srcdir set: a build of the core with flags of its own, and the tests that run in it.
# What runs, and what a program needs, is said in tests/list.mk; flags in tests/local.mk and src/local.mk.
# A caller may set $test_flags for the tests alone, $links_core to link them with the core instead of
# the library, and $under, a command that runs each.
# shellcheck shell=sh disable=SC2016,SC2034,SC2046,SC2086,SC2089,SC2090  # flags are lists of words
cc=${CC:-gcc} cxx=${CXX:-g++}
srcdir=$(cd "$srcdir" && pwd)
export srcdir
core_sources=$(find "$srcdir/src" "$srcdir/numa" -name '*.c' ! -name 'override*.c' | sort)
core_libraries='-lhwloc -luring'
test_flags='' links_core='' under=''
short_loops='-DSTRESS_STEPS=30000 -DDUEL_ROUNDS=3000' # of unit tests, where a build is for other things
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# value FILE VARIABLE [DEFAULT]: what a file of Automake's gives it, less what only Automake knows
value()
{
    awk -v name="$2" -v value="${3:-}" '
        { line = $0; while (sub(/\\$/, "", line) && (getline more) > 0) line = line more }
        index(line, name " =") == 1 { value = substr(line, length(name) + 3) }
        END { print value }' "$srcdir/$1" |
        sed -e "s|%D%|$(dirname "$1")|g" -e "s|\$(srcdir)|$srcdir|g" -e 's|\$(hf_wrap)|-Wl,--wrap=hfi_|g' \
            -e 's|-version-info||; s|\$([A-Za-z_]*)||g'
}

# core_flags VERSION: $flags, words for the compiler; a test adds its own
core_flags()
{
    flags="-std=gnu11 -O1 -g -D_GNU_SOURCE -DHFI_VERSION=\"$1\" -w -pthread"
    flags="$flags -iquote $srcdir/src -iquote $srcdir -I$srcdir/include"
}

# core_objects FOLDER: the core's objects, with $flags and those of the library, two compilers at a time
core_objects()
{
    mkdir -p "$1"
    (cd "$1" && printf '%s\n' $core_sources |
        xargs -P 2 -n 6 $cc $flags -fPIC -DPIC $(value src/local.mk libholdfast_core_la_CFLAGS) -c)
}

# The library, of the core's objects, where late.c looks for it.
core_library()
{
    mkdir -p "$work/.libs"
    $cc $flags -fPIC -DPIC -shared $(value src/local.mk libholdfast_core_la_CFLAGS) $(value src/local.mk libholdfast_la_CFLAGS) \
        $(value src/local.mk libholdfast_la_LDFLAGS) "$work"/core/*.o $(find "$srcdir/src" -name 'override*.c') \
        -o "$work/.libs/libholdfast.so" $core_libraries
}

# build NAME PROGRAM: of the list, by its name there, as PROGRAM
build()
{
    needs=%C%_$(echo "$1" | tr '/.-' '___')
    compiler=$cc objects='' number=0
    for source in $(value tests/list.mk "${needs}_SOURCES" "tests/${1%.*}.c"); do
        number=$((number + 1))
        own=$(value tests/list.mk "${needs}_CFLAGS" "$(value tests/local.mk "hf_cflags_${1%%/*}")")
        case $source in
            *.cc) compiler=$cxx; $cxx $flags -std=c++17 $test_flags $own -c "$srcdir/$source" -o "$2.$number.o" ;;
            *) $cc $flags $test_flags $own -c "$srcdir/$source" -o "$2.$number.o" ;;
        esac || return 1
        objects="$objects $2.$number.o"
    done
    case $links_core$1$(value tests/list.mk "${needs}_LDADD" libholdfast.la) in
        *unit/*) objects="$objects $work/core/*.o -lcriterion" ;;
        *core*) objects="$objects $work/core/*.o" ;;
        *libholdfast.la*) objects="$objects -L$work/.libs -lholdfast -Wl,-rpath,$work/.libs" ;;
    esac
    $compiler $flags $(value tests/list.mk "${needs}_LDFLAGS") $objects -o "$2" $core_libraries
}

# runs KIND LIST [all]: of each test whose line names that kind of build, or of all: its name and environment
runs()
{
    awk -v kind="$1" -v list="$2" -v all="${3:+1}" '
        $1 == list && $2 == "+=" {
            sub(/^%D%\//, "", $3); found = 0
            for (i = 5; i <= NF; i++) {
                words = split($i, word, ":")
                if (word[1] == "not-" kind) { found = 1 }
                if (word[1] == kind) {
                    printf "%s", $3; for (w = 2; w <= words; w++) printf " %s", word[w]; print ""; found = 1
                }
            }
            if (all && !found) print $3
        }' "$srcdir/tests/list.mk"
}

# run FOLDER NAME [VARIABLE=VALUE...]: builds it in the folder and runs it; what it says is in result and log
run()
{
    folder=$1 test=$2
    shift 2
    if ! build "$test" "$folder/test" > "$folder/log" 2>&1; then
        echo "NOT OK: $test does not build" > "$folder/result"
        return
    fi
    status=0 began=$(date +%s)
    (cd "$work" && env "$@" $under "$folder/test" > "$folder/log" 2>&1) || status=$?
    case $status:$(grep -c '^not ok' "$folder/log") in
        0:0) echo "ok: $test $* ($(($(date +%s) - began)) s)" ;;
        77:0) echo "skipped: $test $*: $(tail -n 1 "$folder/log")" ;;
        *:0) echo "NOT OK: $test $*: exit status $status" ;;
        *) echo "NOT OK: $test $*: $(grep '^not ok' "$folder/log")" ;;
    esac > "$folder/result"
}

# Runs what $work/runs lists, and leaves alone what another lane has taken.
lane()
{
    turn=0
    while read -r line; do
        turn=$((turn + 1))
        mkdir "$work/turn.$turn" 2> /dev/null || continue
        run "$work/turn.$turn" $line
    done < "$work/runs"
}

# run_all: reads runs from standard input, and runs them, two at a time; says what became of each
run_all()
{
    cat > "$work/runs"
    [ -s "$work/runs" ] || { echo "tests/list.mk: nothing is listed for this build"; exit 1; }
    if grep -q '^unit/' "$work/runs" && ! echo '#include <criterion/criterion.h>' | $cc -E - > /dev/null 2>&1; then
        echo "no Criterion: without the unit tests"
        sed -i '/^unit\//d' "$work/runs"
        [ -s "$work/runs" ] || exit 77
    fi
    lane &
    lane
    wait
    for turn in $(seq "$(grep -c . "$work/runs")"); do
        folder=$work/turn.$turn
        cat "$folder/result"
        grep -q '^NOT OK' "$folder/result" && cat "$folder/log"
    done
    ! grep -q '^NOT OK' "$work"/turn.*/result
}
