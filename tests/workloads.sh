#!/bin/sh
# The workloads of the bench run under the library, a little of each, and say so; --help and the bench's README name
# each.  Under an allocator that hands out blocks twice (bench/broken.c), those that mark their blocks fail.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
library=$PWD/.libs/libholdfast.so
workload=./tests/bench/hf-workload

# under LIBRARY ARGUMENT...: a little of a workload; what it says is in $work/out and $work/err
under()
{
    preload=$1
    shift
    LD_PRELOAD=$preload timeout 60 "$workload" --quick "$@" > "$work/out" 2> "$work/err"
}

# says PATTERN ARGUMENT...: what it has to print comes first
says()
{
    word=$1
    shift
    under "$library" "$@" || fail "hf-workload $* failed"
    [ -z "$word" ] || grep -q "$word" "$work/out" || fail "hf-workload $* does not print '$word'"
}

must "$workload" --list > "$work/list"
must "$workload" --help > "$work/help"
[ "$(wc -l < "$work/list")" -ge 20 ] || fail 'hf-workload --list names fewer than 20'
while read -r name threads; do
    # shellcheck disable=SC2086  # no argument where it takes none
    says '^seconds [0-9]' "$name" $threads
    grep -q "^  $name " "$work/help" || fail "hf-workload --help does not name $name"
    grep -q "\`$name\`.* | " "$srcdir/tests/bench/README.md" || fail "tests/bench/README.md does not name $name"
done < "$work/list"

says '^malloc p50' latency 2
says '^live_bytes [1-9]' memory 8 64 500
says '^live_bytes [1-9]' memory 4 0 500 one-frees
says '^minor_faults' touch 4
says '^now' now
says '' small
for way in alternate batch alternate-none batch-none; do says '' pairs 16 "$way" 2000; done
HOLDFAST_ARENA=32M says '^big_block_fits 1' fill 32

# What is held is told of the library's arena, too.
held='^live_bytes [1-9].* rss_bytes [1-9].* arena_bytes [1-9]'
says "$held" alternate 20 64
says "$held" crowd 10 64
says "$held" freer 4 1 500
grep -q 'rss_growth [0-9.]* arena_growth' "$work/out" || fail 'hf-workload freer: no growth'
says "$held" freer 4 1 500 allocates

# --- a broken allocator is found out ---
# shellcheck disable=SC2086  # a compiler with options
must ${CC:-cc} -O1 -fno-builtin -fPIC -shared -ftls-model=initial-exec "$srcdir/tests/bench/broken.c" -o "$work/broken.so"
finds()
{
    if under "$work/broken.so" "$@"; then
        fail "hf-workload $*: blocks came twice, and it did not notice"
    else
        grep -q 'overwritten' "$work/err" || fail "hf-workload $*: failed for something else"
    fi
}
for name in server prodcons exchange churn churn-threads cache small crowd alternate freer 'batches 2' 'crossing 2' 'successors 2' \
    'replace 2'; do
    # shellcheck disable=SC2086  # with its threads
    finds $name
done
exit "$failed"
