#!/bin/sh
# holdfast tune: each rule is provoked, and its advice given with the setting; where it does not apply, it is not given.
# Then the advice is followed on three runs that are set up badly, and their figures are better.
#
# $top_builddir as Automake sets it, . by default.
set -u
. "${srcdir:-$(dirname "$0")/..}/tests/tool-part.sh"

# given RULE PATTERN WHAT...: that advice, with a line that matches; exit status 1
given()
{
    rule=$1 pattern=$2
    shift 2
    "$holdfast" tune "$@" > "$work/out" 2> "$work/err"
    got=$?
    [ "$got" = 1 ] || fail "tune $*: exit status $got, not 1, where $rule applies"
    grep -qE "^(fault|cost |hint ) ${rule}[,:]" "$work/out" || fail "tune $*: no $rule"
    grep -qE -e "$pattern" "$work/out" || fail "tune $*: $rule without '$pattern'"
    given_rules="$given_rules $rule"
}
given_rules=

# spared RULE WHAT...: not that advice
spared()
{
    rule=$1
    shift
    "$holdfast" tune "$@" > "$work/out" 2> "$work/err"
    got=$?
    [ "$got" -le 1 ] || fail "tune $*: exit status $got"
    ! grep -qE "^(fault|cost |hint ) ${rule}[,:]" "$work/out" || fail "tune $*: $rule, which does not apply"
}

field()
{
    sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" | head -1
}

# --- the command line ---
expect 0 'usage: holdfast tune' tune --help
expect 2 'HF-E440' tune 1 2
expect 2 'HF-E400' tune --nonsense
expect 78 'HF-E446' tune --settled soon 1
expect 78 'HF-E446' tune --settled -1 1
expect 78 'HF-E446' tune --settled nan 1
expect 2 'HF-E443' tune "$work/none"
expect 2 'HF-E411' tune 2147483647

# --- nothing to change ---
HOLDFAST_ARENA=66240K HOLDFAST_BACKING=4k start fill 32
expect 0 ' MiB of 64.7 MiB, on 4k pages' tune "$live" # they are 64.6875
stop
HOLDFAST_ARENA=64M HOLDFAST_BACKING=thp start fill 32
expect 0 'nothing to change: 0 calls failed' tune "$live"
for rule in backing-short arena-too-small request-too-large node-full io-uring-memlock node-not-bound threads-elsewhere fork-on-huge-pages \
    growing-arena idle-threads arena-too-large reserve-used; do
    spared "$rule" "$live" --settled 0
done
"$holdfast" record "$live" -o "$work/long" --interval 0.02 --duration 0.5 2> /dev/null || fail "no longer recording of a good run"
"$holdfast" record "$live" -o "$work/good" --duration 0.1 2> /dev/null || fail "no recording of a good run"
expect 0 'nothing to change' tune "$work/good"
expect 0 'too young to be told a size: the arena was made' tune "$work/good"
"$holdfast" tune --settled 0 "$work/good" | grep -q 'too young' && fail 'a settled arena is called too young'
"$holdfast" tune --json "$work/good" > "$work/out" 2> "$work/err" || fail "tune --json of a good run: exit status is not 0"
grep -q '"advice": \[\]' "$work/out" || fail "tune --json of a good run gives advice"
stop
good=$work/good

# --- each rule, live ---
HOLDFAST_ARENA=16M start fill 64
given arena-too-small 'set: HOLDFAST_ARENA=3[2-9]M' "$live"
grep -qE '6[45] calls' "$work/out" || fail "the failed calls are not counted"
"$holdfast" tune --json "$live" > "$work/out"
command -v python3 > /dev/null && { python3 -c 'import json, sys
tune = json.load(open(sys.argv[1]))
advice = [a for a in tune["advice"] if a["rule"] == "arena-too-small"][0]
assert advice["severity"] == "fault" and advice["node"] == 0 and advice["setting"].startswith("HOLDFAST_ARENA=") and advice["evidence"]
' "$work/out" || fail "tune --json is not as the manual says"; }
stop

HOLDFAST_ARENA=64M start request 1000000000000
given request-too-large 'set: HOLDFAST_ON_FULL=abort' "$live"
grep -q '1 calls failed' "$work/out" || fail "the failed call is not counted"
spared arena-too-small "$live"
stop

HOLDFAST_ARENA=64M start fill 4
given arena-too-large 'set: HOLDFAST_ARENA=[0-9]*M' --settled 0 "$live"
spared arena-too-large "$live"
spared arena-too-large --settled 3600 "$live"
stop

start fill 32
given growing-arena 'set: HOLDFAST_ARENA=[3-9][0-9]M' --settled 0 "$live"
spared growing-arena "$live"
stop

HWLOC_SYNTHETIC='numa:2 pu:1'
export HWLOC_SYNTHETIC
HOLDFAST_ARENA=0:8M,1:64M start fill 32
given node-full 'set: HOLDFAST_ARENA=0:[0-9]*M,1:' "$live"
given node-not-bound 'CAP_SYS_NICE|SYS_NICE' "$live"
stop
HOLDFAST_ARENA=0:64M,1:64M start fill 32
spared node-full "$live"
stop
HOLDFAST_ARENA=0:64M,1:64M HOLDFAST_PLACE=interleave start fill 32
given threads-elsewhere 'set: HOLDFAST_PLACE=local' "$live"
stop
HOLDFAST_ARENA=0:64M,1:64M HOLDFAST_PLACE=local start fill 32
spared threads-elsewhere "$live"
stop
unset HWLOC_SYNTHETIC

HOLDFAST_ARENA=64M start sleepers 8 3
HOLDFAST_ARENA=64M start thoughtful 8 3
thoughtful=$live
sleepers=$(echo "$children" | awk '{ print $(NF - 1) }')
sleep 5.5
given idle-threads 'set: call hf_thread_idle' "$sleepers"
grep -q 'most of it sleeper' "$work/out" || fail "the thread that holds most is not named"
spared idle-threads "$thoughtful"
kill "$sleepers" "$thoughtful"

HOLDFAST_ARENA=32M HOLDFAST_BACKING=1g HOLDFAST_PREFAULT=none start fill 16
case $("$holdfast" stat --json "$live" | sed -n 's/^ *"backing": "\([0-9a-z]*\)",$/\1/p') in
1g) ;;
*) given huge-page-pool 'hugepages-1048576kB/nr_hugepages.*hugepagesz=1G|vm.nr_hugepages = ' "$live" ;;
esac
stop

HOLDFAST_ARENA=32M HOLDFAST_BACKING=2m start fork 3
if "$holdfast" stat --json "$live" | grep -q '"backing": "2m"'; then
    given fork-on-huge-pages 'set: HOLDFAST_BACKING=thp' "$live"
    grep -q ': 3 forks' "$work/out" || fail "forks are not counted"
    stop
    HOLDFAST_ARENA=32M HOLDFAST_BACKING=2m HOLDFAST_FORK=dontfork start fork 3
    spared fork-on-huge-pages "$live"
fi
stop

[ "$(id -u)" != 0 ] || prefix='setpriv --bounding-set=-ipc_lock'
if command -v prlimit > /dev/null && command -v setpriv > /dev/null; then
    prefix="$prefix prlimit --memlock=1048576"
    if HOLDFAST_ARENA=6M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no start ring && grep -q '^registering: -12' "$work/load"; then
        given io-uring-memlock 'set: LimitMEMLOCK=8M ' "$live"
        grep -q 'may lock 1 MiB' "$work/out" || fail "the limit of the process is not told"
        stop
        prefix="${prefix%prlimit *} prlimit --memlock=$((8 * 1048576))"
        if HOLDFAST_ARENA=6M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no start ring; then
            spared io-uring-memlock "$live"
            grep -q '^registering: 0' "$work/load" || fail "with the limit that was advised registering fails too"
            stop
        fi
    fi
fi
prefix=

# --- each rule, on recordings of machines that are not here ---
# changed NAME=VALUE...: the good run's recording with these figures, in $work/changed
changed()
{
    "$edit" "$good" "$work/changed" "$@" 2> "$work/err" || fail "tool-edit $*"
}
changed asked=268435456
given backing-short 'set: HOLDFAST_ARENA=64M' "$work/changed"
changed populate_error=14 free=0
given backing-short 'EFAULT' "$work/changed"
changed failed=3
given arena-too-small '3 calls of threads' "$work/changed"
grep -q '^fault arena-too-small' "$work/out" || fail "calls that failed are no fault"
changed high_water=66900000
given arena-too-small 'at most 63.8 MiB of 64 MiB were in use' "$work/changed"
grep -q '^cost  arena-too-small' "$work/out" || fail "an arena of which nothing was refused is a fault"
changed reserve=1048576 reserve_uses=3
given reserve-used "the reserve of 1 MiB was begun upon 3 times" "$work/changed"
changed away=100000
given node-full 'came from other nodes' "$work/changed"
changed refused=12 memlock=65536
given io-uring-memlock 'set: LimitMEMLOCK=66M .*ulimit -l 67584' "$work/changed"
changed refused=12 memlock=65536 registered=67108864
given io-uring-memlock 'set: LimitMEMLOCK=131M .*; 64 MiB are pinned already, counted once' "$work/changed"
changed refused=22 memlock=65536
spared io-uring-memlock "$work/changed"
changed backing=4 thp=1 asked_backing=0 pool_pages=20 pool_free=12
given transparent-huge-pages 'set: echo madvise .*; for good: .* /etc/tmpfiles.d/holdfast-thp.conf' "$work/changed"
given huge-page-pool 'has 12 of 20 free, 32 are needed' "$work/changed"
given huge-page-pool "set: echo 40 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages before it starts; for good: echo 'vm.nr_hugepages = 40' > /etc/sysctl.d/60-holdfast-hugepages.conf" "$work/changed"
changed backing=4 thp=2 asked_backing=0 pool_pages=64 pool_free=64
spared transparent-huge-pages "$work/changed"
given huge-page-pool "set: start the program again: the pool holds it now; for good: echo 'vm.nr_hugepages = 64' > /etc/sysctl.d/" "$work/changed"
changed backing=4 thp=1 asked_backing=4
spared transparent-huge-pages "$work/changed"
spared huge-page-pool "$work/changed"
changed backing=3 asked_backing=3
spared huge-page-pool "$work/changed"
changed backing=3 asked_backing=2 pool_pages=0 pool_free=0
given huge-page-pool 'set: echo 32 > .*2048kB' "$work/changed"
changed backing=2 asked_backing=1
given huge-page-pool 'set: echo 1 > .*1048576kB.*; for good: sed -i .*&hugepagesz=1G hugepages=1 ' "$work/changed"
changed backing=2 forks=2 options=0
given fork-on-huge-pages '2 forks' "$work/changed"
given fork-on-huge-pages 'MiB spare in the pool for each of them' "$work/changed"
changed backing=2 forks=1 options=0
given fork-on-huge-pages ': 1 fork with' "$work/changed"
changed backing=2 forks=2 options=4
spared fork-on-huge-pages "$work/changed"
changed backing=4 asked_backing=4 forks=2
spared fork-on-huge-pages "$work/changed"
changed late-cleared=3 late-fresh=2
given late-calls '5 calls took longer than 50 us; most of them, 3, by the cause .cleared., whose longest took 1 ms' "$work/changed"
given late-calls 'set: malloc.3. instead of calloc' "$work/changed"
grep -q '^cost  late-calls' "$work/out" || fail "late calls are no cost"
for late in 'searched set: HOLDFAST_ARENA=' 'away set: HOLDFAST_ARENA=' 'stolen set: HOLDFAST_ARENA=' 'attached set: threads that stay' \
    'interrupted set: fewer threads' 'fresh set: nothing of the arena'; do
    changed "late-${late%% *}=7"
    given late-calls "${late#* }" "$work/changed"
done
changed late-own=1 options=1280
given late-calls 'set: HOLDFAST_PREFAULT=startup' "$work/changed"
changed late-opened=1 flags=4
given late-calls 'set: HOLDFAST_ARENA=' "$work/changed"
changed late-own=0
spared late-calls "$work/changed"
changed failed=3 memory=16777216
given arena-too-small 'which needs more memory: node 0 has 16 MiB' "$work/changed"

# --- what rises, and what is known of it ---
samples=$("$holdfast" tune --json "$work/long" | sed -n 's/.*"samples": \([0-9]*\).*/\1/p')
[ "${samples:-0}" -ge 8 ] || fail "a recording of half a second has ${samples:-no} samples"
"$edit" "$work/long" "$work/changed" step=600 grows=262144 || fail "tool-edit"
given arena-fills-up "rose all the while, from [0-9.]* MiB to [0-9.]* MiB in [0-9.]* hours: at that rate 64 MiB are full in [0-9.]* (minutes|hours)" "$work/changed"
"$holdfast" report "$work/changed" -o "$work/out" && grep -q 'are full in' "$work/out" || fail "the report does not say when the arena is full"
"$holdfast" tune "$work/changed" | awk '/rose all the while/ { # a MiB in forty minutes
    for (i = 1; i <= NF; i++) { if ($i == "to" && $(i + 2) == "MiB" && most == 0) most = $(i + 1); if ($i == "full") { time = $(i + 2); unit = $(i + 3) } }
    if (unit == "hours") time *= 60
    found = time > (64 - most) * 38 && time < (64 - most) * 42 } END { exit !found }' || fail "another time than by a MiB in forty minutes"
"$edit" "$work/long" "$work/changed" step=600 total=268435456 grows=65536 || fail "tool-edit"
spared arena-too-large "$work/changed"
"$edit" "$work/long" "$work/changed" step=600 total=268435456 || fail "tool-edit"
given arena-too-large '' "$work/changed"
spared arena-fills-up "$work/changed"
"$edit" "$work/long" "$work/changed" step=1 grows=1048576 || fail "tool-edit"
spared arena-fills-up "$work/changed"

# --- heaps: one near its limit, one that is stopped by it, and one that grows and never falls ---
start_segment --heaps
"$holdfast" record "$victim" -o "$work/heaps" --interval 0.02 --duration 0.4 2> /dev/null || fail "no recording of heaps"
finish_segment
# changed_heaps NAME=VALUE...
changed_heaps() { "$edit" "$work/heaps" "$work/changed" "$@" || fail "tool-edit"; }
given heap-near-limit 'heap "cache" \(1\) holds 950 KiB of 1 MiB, 92.8 %$' "$work/heaps"
given heap-over-limit 'failed 1234600 calls, of 57 heaps made so far; heap "que"ry.{3,4}2J.*" \(9\) failed 1234567, holds 48 KiB and may hold 64 KiB$' "$work/heaps"
spared heap-grows "$work/heaps"
changed_heaps heap_limit=0 heap_failed=0
spared heap-near-limit "$work/changed"
spared heap-over-limit "$work/changed"
changed_heaps step=20 heap_grows=65536 heap_limit=20971520
given heap-grows 'heap "cache" \(1\) never fell, and rose from 944 KiB to [0-9.]* MiB, [0-9.]* MiB an hour; at that rate it is at its limit in 1.[0-9] hours$' \
    "$work/changed"
spared heap-near-limit "$work/changed"
changed_heaps step=20 heap_grows=65536 heap_falls=12
spared heap-grows "$work/changed"
changed_heaps step=1 heap_grows=65536 # less than a minute
spared heap-grows "$work/changed"

# What was refused is counted: not a little more than there is.
HOLDFAST_ARENA=64M start crowd 1 40
given arena-too-small '' "$live"
more=$(sed -n 's/.*HOLDFAST_ARENA=\([0-9]*\)M.*/\1/p' "$work/out" | head -1)
[ "${more:-0}" -ge 256 ] || fail "40 calls of 8 MiB on 64M: ${more:-nothing} advised"
stop

# Every rule of the table was given at least once.
sed -n 's/^    \.name = "\([a-z0-9-]*\)",$/\1/p' "${srcdir:-$(dirname "$0")/..}"/tools/advice/rules-*.c > "$work/rules"
[ -s "$work/rules" ] || fail "tools/advice has no rules"
while read -r rule; do
    case " $given_rules " in *" $rule "*) ;; *) fail "no test gives $rule" ;; esac
    grep -q "^\.It Cm $rule\$" "${srcdir:-$(dirname "$0")/..}/man/holdfast.1" || fail "holdfast(1) does not explain $rule"
done < "$work/rules"

# --- three runs that are set up badly, and the advice followed ---
# advised RULE: the value of HOLDFAST_ARENA or HOLDFAST_PLACE that the advice gives, of the last tune
advised()
{
    sed -n "/ ${1}[,:]/,/set:/s/.*set: HOLDFAST_[A-Z]*=\([^ ,]*\(,[0-9]:[0-9MG]*\)*\).*/\1/p" "$work/out" | head -1
}

arena=16M
HOLDFAST_ARENA=$arena start fill 30
given arena-too-small '' "$live"
before=$("$holdfast" stat --json "$live" | field failed)
rounds=0
while "$holdfast" tune "$live" > "$work/out"; [ -n "$(advised arena-too-small)" ] && [ "$rounds" -lt 5 ]; do
    arena=$(advised arena-too-small)
    stop
    HOLDFAST_ARENA=$arena start fill 30
    rounds=$((rounds + 1))
done
failures=$(sed -n 's/^had \([0-9]*\) MiB/\1/p' "$work/load")
echo "arena too small: 16M had room for less than 30 MiB; after $rounds round(s) of advice $arena has room for $failures MiB"
[ "$failures" -ge 29 ] || fail "after $rounds rounds of advice ($arena) there is room for $failures MiB, not 30"
spared arena-too-small "$live"
stop

HWLOC_SYNTHETIC='numa:2 pu:1'
export HWLOC_SYNTHETIC
arena=0:8M,1:64M
HOLDFAST_ARENA=$arena start fill 20
before=$("$holdfast" stat --json "$live" | field away)
rounds=0
while "$holdfast" tune "$live" > "$work/out"; [ -n "$(advised node-full)" ] && [ "$rounds" -lt 8 ]; do
    arena=$(advised node-full)
    stop
    HOLDFAST_ARENA=$arena start fill 20
    rounds=$((rounds + 1))
done
after=$("$holdfast" stat --json "$live" | field away)
echo "node too small: $before pages from another node; after $rounds round(s) of advice $arena: $after"
[ "${before:-0}" -gt 0 ] && [ "${after:-1}" = 0 ] || fail "advice on a full node does not end remote memory: $before pages, then $after"
stop

HOLDFAST_ARENA=0:64M,1:64M HOLDFAST_PLACE=interleave start fill 20
"$holdfast" tune "$live" > "$work/out"
place=$(advised threads-elsewhere)
before=$(sed -n 's/.*: \([0-9.]* [KM]iB\) of this node.*/\1/p' "$work/out")
stop
HOLDFAST_ARENA=0:64M,1:64M HOLDFAST_PLACE=$place start fill 20
spared threads-elsewhere "$live"
echo "interleaved: $before of a thread's memory were on another node; with HOLDFAST_PLACE=$place none"
[ -n "$before" ] || fail "interleaved memory was not seen"
stop

exit "$failed"
