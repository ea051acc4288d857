#!/bin/sh
# hf-bench: which rows and peers it takes, and what it says to those it cannot take.  The times are those of a workload
# made for this test, by its allocator.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"
bench=$PWD/tests/bench/hf-bench

cat > "$work/workload" <<'END'
#!/bin/sh
# Takes the time that its allocator's file tells.
[ "$1" != --list ] || { printf 'alone\nmany 1\nmany 2\n'; exit 0; }
[ "$3" != latency ] || printf 'malloc p99.99 %s max 9\nfree p99.99 7 max 9\nempty p99.99 6 max 9\n' "${SECONDS_GIVEN:-5}"
echo "$*" >> "${0%/*}/calls"
case ${LD_PRELOAD:=${0%/*}/glibc} in
    "${0%/*}"/*) read -r seconds < "$LD_PRELOAD" ;;
    *) seconds=5 ;; # a peer of the system
esac
[ -z "${HOLDFAST_ARENA:-}" ] || seconds=1
echo "seconds ${SECONDS_GIVEN:-$seconds}"
END
chmod +x "$work/workload"
echo 4 > "$work/glibc"
echo 3 > "$work/holdfast"
echo 2 > "$work/quick.so"
echo 8 > "$work/slow.so"

# bench STATUS PATTERN ARGUMENT...: on the workload made here
bench()
{
    status=$1 pattern=$2
    shift 2
    : > "$work/calls"
    "$bench" --workload "$work/workload" --holdfast "$work/holdfast" --rounds 1 "$@" > "$work/out" 2> "$work/err"
    got=$?
    [ "$got" = "$status" ] || fail "hf-bench $*: exit status $got, not $status"
    cat "$work/out" "$work/err" | grep -Eq -e "$pattern" || fail "hf-bench $*: does not say '$pattern'"
}

# --- rows ---
bench 0 '^many 2 '
bench 0 '^many 1 ' --only many
bench 0 '^many 16 ' --only 'many 16'
grep -q 'many 16$' "$work/calls" || fail 'many 16 was not run with sixteen threads'
[ "$(grep -c '^many' "$work/out")" = 2 ] || fail 'many 16 is not the only row of both tables'
bench 0 '^alone ' --only 'many 2,alone,many'
[ "$(grep -c '^many 2' "$work/out")" = 2 ] || fail 'a row that is named twice was run twice'
bench 2 'no such workload: some' --only alone,some
bench 2 'no such workload: alone 2' --only 'alone 2'
bench 2 'no workload is named' --only ''

# --- peers ---
bench 0 ' quick +slow .* holdfast$' --only alone --so quick="$work/quick.so" --so slow="$work/slow.so"
bench 0 '^workload .* holdfast +growing$' --only alone --growing
bench 0 '^alone .* 1\.000 .* 3\.000 \(' --only alone --growing # the named arena has HOLDFAST_ARENA set
bench 0 '^alone .* 7\.000' --only alone --so set="$work/quick.so,SECONDS_GIVEN=7,OTHER=1"
bench 0 '^alone .* 2\.000' --only alone --so tcmalloc="$work/quick.so"
! grep -q '^hf-bench: tcmalloc' "$work/err" || fail 'the system'"'"'s tcmalloc was looked for beside the one given'
bench 2 'two allocators are called quick' --so quick="$work/quick.so" --so quick="$work/slow.so"
bench 2 'two allocators are called glibc' --so glibc="$work/quick.so"
bench 2 'two allocators are called holdfast' --so holdfast="$work/quick.so"
bench 2 'cannot read the library .*/none.so' --so none="$work/none.so"
bench 2 'cannot read the library .*/none' --holdfast "$work/none"
bench 2 '--so wants NAME=PATH' --so "$work/quick.so"
bench 2 '--so wants NAME=PATH' --so ="$work/quick.so"
bench 2 'not VARIABLE=VALUE.*: OTHER' --so quick="$work/quick.so,OTHER"

# --- ratios: of the base, the best peer, and of that ---
bench 0 '^alone( +[0-9.]+)* +quick +0\.50 +0\.50$' --only alone --so quick="$work/quick.so" --so slow="$work/slow.so"
bench 0 '^alone +0\.50 +0\.25 +1\.00 .* quick +0\.25 +0\.50 +1\.50$' --only alone --growing --base slow \
    --so quick="$work/quick.so" --so slow="$work/slow.so"
bench 0 '^geometric mean +0\.50 +0\.25 +1\.00 .* +0\.25 +0\.50 +1\.50$' --growing --base slow \
    --so quick="$work/quick.so" --so slow="$work/slow.so"
bench 2 '--base wants an allocator of the run, not none' --base none

# --- latency: of each, beside the same runs with nothing measured ---
bench 0 '^4 .* 2/ +7/ +6 .* 5/ +7/ +6 +holdfast 2\.50$' --no-workloads --latency --quick --so quick="$work/quick.so,SECONDS_GIVEN=2"
exit "$failed"
