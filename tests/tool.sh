#!/bin/sh
# The holdfast program: help, bad options (exit status and id), doctor, run, and stat.
#
# $srcdir and $top_builddir as Automake sets them, both . by default.
set -u
partly_without_shm=yes
. "${srcdir:-.}/tests/tool-part.sh"
refused=0

# --- help ---
expect 0 'usage: holdfast COMMAND' --help
expect 0 'usage: holdfast COMMAND' help
expect 0 'holdfast ' --version
expect 2 'usage: holdfast COMMAND'
for command in $("$holdfast" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'); do
    expect 0 "usage: holdfast $command" "$command" --help
    expect 0 "usage: holdfast $command" help "$command"
done
expect 0 'HOLDFAST_ARENA=auto | SIZE' help environment
expect 2 'did you mean `holdfast doctor`' docter
expect 2 'did you mean `holdfast top`' tpo
expect 2 'did you mean `holdfast record`' rec
for word in foo x '' goal statistics; do # near to nothing: no guess
    expect 2 'HF-E401 tool: '"$word"' is no command; see `holdfast help`' "$word"
done
expect 2 'HF-E401' help docter

# --- bad options ---
expect 2 'HF-E400' run --nonsense true
expect 2 'HF-E400' run --arena
expect 2 'HF-E400 stat: option -x' stat -x
expect 2 'HF-E409' run
expect 2 'HF-E409' run --arena 64M --
expect 2 'HF-E410' doctor everything
expect 2 'HF-E416' stat one
expect 2 'HF-E416' stat 1 2
expect 2 'HF-E416' stat -- -1
expect 2 'HF-E416' stat 99999999999999999999
for value in '' 0 8X -1G 8G8 0:1G,0:1G 101% 99999999999999T; do
    expect 78 'HF-E402' run --arena "$value" true
    expect 78 'HF-E402' doctor --arena "$value"
done
expect 78 'HF-E402 run: HOLDFAST_BACKING=3m' run --backing 3m true
expect 78 'HF-E402' run --verbose=4 true
expect 78 'HF-E402' run --prefault soon true
expect 78 'HF-E402' run --lock maybe true
expect 78 'HF-E402' run --on-full panic true
expect 78 'HF-E402' run --place node: true
expect 78 'HF-E402' run --nodes 2-1 true
expect 78 'HF-E402' run --remote maybe true
expect 78 'HF-E402' run --fork no true
expect 78 'HF-E402' run --inspect yes true
expect 78 'HF-E402 doctor: HOLDFAST_NODES=2-1' doctor --nodes 2-1
expect 1 'HF-E456' run -o "$work/none/report" touch "$work/started"
[ ! -e "$work/started" ] || fail "run started a program whose report cannot be written"
expect 78 'HF-E403' run --library "$work/none.so" true
: > "$work/a b.so"
expect 78 'HF-E404' run --library "$work/a b.so" true
expect 127 'HF-E405' run holdfast-no-such-program
expect 127 'HF-E405' run --report holdfast-no-such-program
expect 126 'HF-E405' run "$work/a b.so"


expect 78 'HF-E447 record: -o 4121' record -o 4121
expect 78 'HF-E447 report: -o 4121' report 1 -o 4121

# A cgroup's limit of huge pages counts, and then the pool is not what is to be raised: its files, in a namespace.
cat > "$work/in-cgroup" << 'EOF'
mount -t tmpfs none /sys/fs/cgroup || exit 77
echo 8388608 > /sys/fs/cgroup/hugetlb.2MB.max && echo 0 > /sys/fs/cgroup/hugetlb.2MB.current
"$1" doctor --arena 16M --backing 2m
"$1" run --arena 16M --backing 2m --strict -- true
EOF
pool_free=$(cat /sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages 2> /dev/null || echo 0)
if [ "$pool_free" -ge 16 ] && unshare --mount true 2> /dev/null; then
    unshare --mount sh "$work/in-cgroup" "$holdfast" > "$work/out" 2> "$work/err"
    for text in "8 pages of 2m needed, 4 free by the cgroup's limit, 4 missing" 'let the cgroup have 4 pages more' \
        "16 MiB needs 8 huge pages of 2m, 4 are free by the cgroup's limit, 4 are missing" \
        "raise the cgroup's limit of huge pages"; do
        cat "$work/out" "$work/err" | grep -qF "$text" || fail "in a cgroup with 4 huge pages: does not say '$text'"
    done
    ! grep -q nr_hugepages "$work/out" "$work/err" || fail "in a cgroup with 4 huge pages: advises to raise the pool"
fi

# The limit itself, and what it is of, whatever the pool has.
cat > "$work/limits" << 'EOF'
mount -t tmpfs none /sys/fs/cgroup || exit 77
cd /sys/fs/cgroup && echo 8388608 > hugetlb.2MB.max && echo 2097152 > hugetlb.2MB.current
echo 4194304 > hugetlb.2MB.rsvd.max && echo 0 > hugetlb.2MB.rsvd.current && cd - > /dev/null
"$1" doctor --arena 16M --backing 2m
echo max > /sys/fs/cgroup/hugetlb.2MB.rsvd.max
"$1" doctor --arena 16M --backing auto
EOF
if unshare --mount true 2> /dev/null; then
    unshare --mount sh "$work/limits" "$holdfast" > "$work/out" 2> "$work/err"
    for text in '^fail HF-D19 pool limit    hugetlb.2MB.max is 8 MiB, 2 MiB used; the arena takes 16 MiB of 2m pages; 10 MiB too much$' \
        'mend: set hugetlb.2MB.max of this cgroup to 18874368 or more (Kubernetes: hugepages-2Mi: 18Mi)$' \
        '^fail HF-D19 pool limit    hugetlb.2MB.rsvd.max is 4 MiB, 0 B used; the arena takes 16 MiB of 2m pages; 12 MiB too much$' \
        '^ok   HF-D19 pool limit    hugetlb.2MB.max is 8 MiB, .* 10 MiB too much, so it goes on to others$'; do
        grep -q "$text" "$work/out" || fail "in a cgroup with limits of huge pages: doctor does not say '$text'"
    done
    [ "$(grep -c 'hugetlb.2MB.rsvd.max is' "$work/out")" = 1 ] || fail "doctor tells of a limit that there is not"
else
    echo "tool.sh: no namespace can be made: limits of huge pages are not tested"
fi

# What a program on the pool holds is counted once more when doctor is asked about it: both lines say so.
if [ "$pool_free" -ge 16 ]; then
    "$holdfast" run --arena 16M --backing 2m --strict sleep 60 2> "$work/err" &
    live=$!
    children="$children $live"
    for _ in $(seq 50); do "$holdfast" stat "$live" > "$work/out" 2>&1 && break; sleep 0.1; done
    grep -q 'of 16 MiB used' "$work/out" || fail "an arena on a pool is not shown"
    left=$(($(cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages) - 8))
    again='of the pool are taken: a program that runs already is counted again'
    "$holdfast" doctor --arena $((2 * left + 2))M --backing 2m > "$work/out" 2> "$work/err"
    grep "HF-D06.* pages of 2m needed.* missing; at least [1-9][0-9]* $again" "$work/out" > /dev/null ||
        fail "doctor does not say that a program holds pages of a pool that is short"
    "$holdfast" doctor --arena 16M --backing 2m --forks $((left / 8 + 1)) > "$work/out" 2> "$work/err"
    grep "HF-D18.* killed; at least [1-9][0-9]* $again" "$work/out" > /dev/null ||
        fail "doctor --forks does not say that a program holds pages of a pool that is short"
    kill "$live"
fi

# One rule for the status: 2 for what is not understood, 78 for a value that is refused, of any option of
# any command.
for command in $("$holdfast" help | sed -n 's/^  \([a-z][a-z]*\) .*/\1/p'); do
    expect 2 'HF-E400' "$command" --no-such-option
    "$holdfast" "$command" --help > "$work/help"
    sed -n 's/^  \(-[a-z], \)\{0,1\}\(--[a-z-]*\)[^a-z ]\{0,1\}[= ][A-Z][A-Z]*.*/\2/p' "$work/help" > "$work/with-value"
    while read -r option; do
        case $option in
            --output | --svg | --library | --topology | --only) continue ;; # a name may be anything
        esac
        expect 78 'error HF-E4' "$command" "$option=no such value"
        refused=$((refused + 1))
    done < "$work/with-value"
done
[ "$refused" -ge 15 ] || fail "only $refused options take a value"

# --- doctor ---
expect 0 'HF-D16' doctor
"$holdfast" doctor --json --arena 64M > "$work/out" 2> "$work/err"
[ $? -le 1 ] || fail "doctor --json: exit status over 1"
is_json < "$work/out" || fail "doctor --json is no JSON"
expect 1 'fail HF-D0' doctor --arena 4000G
expect 1 '10 TiB are more than an arena can be' doctor --arena 10T
expect 0 'ok   HF-D18 forks         2 forked children copy up to 128 MiB' doctor --arena 64M --backing 4k --forks 2
expect 1 'the arena would stand as asked, and its forked children may be killed; 1 failed' \
    doctor --arena 64M --backing 4k --forks 100000
expect 78 'HF-E432 doctor: --forks many: not a number from 0 to 100000' doctor --forks many
expect 1 'an arena of 20 KiB is too small' doctor --arena 20K
HOLDFAST_ARENA=nonsense "$holdfast" doctor > "$work/out" 2> "$work/err"
[ $? = 1 ] || fail "doctor with a bad HOLDFAST_ARENA: exit status is not 1"
grep -q 'fail HF-D01' "$work/out" || fail "doctor with a bad HOLDFAST_ARENA does not say so"
HOLDFAST_LIBRARY=$work/none.so "$holdfast" doctor --arena 64M > "$work/out" 2> "$work/err"
[ $? = 1 ] || fail "doctor without the library: exit status is not 1"
grep -q 'fail HF-D02' "$work/out" || fail "doctor without the library does not say so"

expect 1 'fail HF-D03 topology      node 63 is named by HOLDFAST_NODES, and has no memory this process may use' doctor --arena 64M --nodes 63
expect 0 'ok   HF-D17 registering   with io_uring: only an arena of a named size can be' doctor
expect 0 'ok   HF-D12 mbind         ' doctor
expect 0 'the arena would stand as asked' doctor
"$holdfast" doctor --arena 4000G > "$work/out" 2> "$work/err"
awk '{ at = index($0, "mend: ") } /^(ok  |warn|fail) HF-D[0-9][0-9] .............[^ ]* / { next } /^ *mend: / && at == 27 { next } /^ *keep: / && index($0, "keep: ") == 27 { next } /^the arena would not stand as asked; [0-9]+ failed/ { end = NR; next } { exit 1 }
    END { exit end != NR }' "$work/out" || fail "doctor: a line that is neither a verdict nor what mends it"
# In a container's environment the settings are for the program that is named there, and asked about.
HOLDFAST_ONLY=some-server HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k expect 0 'node 0: 64 MiB would stand on 4k pages' doctor
HOLDFAST_ONLY=some-server expect 1 'fail HF-D0' doctor --arena 4000G
HOLDFAST_ONLY=some/ expect 1 'HF-D01 options       1 value of HOLDFAST_* refused' doctor --arena 64M
# What is registered is pinned, so a limit of 64 KiB is too low for anybody but who holds CAP_IPC_LOCK.
if [ "$(id -u)" != 0 ]; then
    (ulimit -l 64; "$holdfast" doctor --arena 64M) > "$work/out" 2> "$work/err"
    grep -q '^warn HF-D17 registering   with io_uring: 1 window pins 64 MiB, limit 64 KiB$' "$work/out" || fail "doctor says nothing about a low memlock"
elif command -v setpriv > /dev/null; then
    (ulimit -l 64; setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock "$holdfast" doctor --arena 64M) > "$work/out" 2> "$work/err"
    grep -q '^warn HF-D17 registering   with io_uring: 1 window pins 64 MiB, limit 64 KiB$' "$work/out" || fail "doctor says nothing about a low memlock"
fi
# Transparent huge pages that what started this forbids: the machine's setting is not what is to be mended.
if command -v python3 > /dev/null && ! grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled; then
    forbidding() { python3 -c 'import ctypes, os, sys
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])' "$@" > "$work/out" 2> "$work/err"; }
    forbidding "$holdfast" doctor --arena 64M --backing thp
    grep -q '^fail HF-D07 thp .* forbidden to this process (PR_SET_THP_DISABLE); cannot be used$' "$work/out" ||
        fail "doctor does not say that prctl forbids transparent huge pages"
    grep -q 'mend: start this from a program that has not called prctl(PR_SET_THP_DISABLE)' "$work/out" && ! grep -q 'echo madvise' "$work/out" ||
        fail "doctor's mend of what prctl forbids"
    forbidding "$holdfast" run --arena 64M --backing thp -- true
    grep -q 'HF-W204 .*forbidden to this process: using 4k; have what starts this program clear PR_SET_THP_DISABLE' "$work/err" ||
        fail "a start does not say that prctl forbids transparent huge pages"
else
    echo "tool.sh: no python3, or no transparent huge pages: those that prctl forbids are not tested"
fi
# What outlives a reboot: lines that a shell understands, and that name files of their own.
(ulimit -v 10000000; "$holdfast" doctor --arena 16G) > "$work/out" 2> "$work/err"
for line in "printf '\[Service\]\\\\nLimitAS=infinity\\\\nLimitDATA=infinity\\\\n' > /etc/systemd/system/NAME.service.d/holdfast-as.conf" \
    "$(id -un) - as unlimited"; do
    grep -q "^ *keep: .*$line" "$work/out" || fail "doctor has no '$line' for good"
done
sed -n 's/^ *keep: //p' "$work/out" > "$work/keep"
[ -s "$work/keep" ] && sh -n "$work/keep" || fail "doctor: a line to paste is no line of a shell"
[ -z "$(grep -o '> /etc/[^ ]*' "$work/keep" | sort | uniq -d)" ] || fail "doctor: two lines write the same file"
# A pool that is short: what keeps it, in the words of the machine's one node or of each of several; and
# nothing is both ok and missing.
expect 1 "keep: echo 'vm.nr_hugepages = " doctor --arena 75% --backing 2m
for arena in 1G 2G; do
    "$holdfast" doctor --arena $arena > "$work/out" 2> "$work/err"
    grep '^ok .*missing' "$work/out" && fail "doctor --arena $arena: ok, and something is missing"
done
# Several nodes: each has its lines; binding to those that this machine does not have is refused.
export HWLOC_SYNTHETIC='numa:2 pu:1'
expect 1 'fail HF-D12 mbind         node 1: a page cannot be bound' doctor --arena 64M
export HWLOC_SYNTHETIC='numa:2(memory=32GiB) pu:1'
expect 1 "keep: echo 'w /sys/" doctor --arena 32G --backing 2m
expect 1 'hugepagesz=1G hugepages=0:16,1:16 ' doctor --arena 32G --backing 1g
[ "$(grep -c 'hugepagesz=1G' "$work/out")" = 1 ] || fail "doctor: the kernel's command line is said twice"
export HWLOC_SYNTHETIC='numa:2 pu:1'
expect 1 'fail HF-D12 mbind         node 1' doctor --arena 64M
for line in 'HF-D03 topology      node 0' 'HF-D03 topology      node 1' 'HF-D06 huge pages    node 1' 'HF-D16 arena         node 1'; do
    grep -q "$line" "$work/out" || fail "doctor with two nodes does not have '$line'"
done
unset HWLOC_SYNTHETIC

# --- run ---
# Each variable has its option.
for variable in $("$holdfast" help environment | sed -n 's/^HOLDFAST_\([A-Z_]*\)=.*/\1/p'); do
    option=--$(echo "$variable" | tr 'A-Z_' 'a-z-')
    grep -q -e "(HOLDFAST_$variable)" "$work/help" 2> /dev/null || "$holdfast" run --help > "$work/help"
    grep -e "^  $option[ [].*(HOLDFAST_$variable)" "$work/help" > /dev/null || fail "run has no option $option for HOLDFAST_$variable"
done
expect 0 '' run true

# arenas NUMBER OPTION...: how many of a shell and the two programs it starts take the arena
arenas()
{
    wanted=$1
    shift
    expect 0 '' run --arena 16M --backing 4k --verbose "$@" -- sh -c 'ls / | head -1; exit 0'
    got=$(grep -c 'HF-I001.*16 MiB' "$work/err")
    [ "$got" = "$wanted" ] || fail "run $*: $got arenas of the named size, not $wanted"
}
arenas 1
arenas 3 --children
arenas 1 --only ls
arenas 0 --only nobody
expect 2 'HF-E459 run: --children is for all that the program starts, --only ls for' run --only ls --children -- true
expect 2 'HF-E459' run --children --arena 16M --only true -- true
HOLDFAST_ONLY=ls expect 0 '' run --children -- true
expect 78 'HF-E215' run --arena 16M -- "$holdfast" run --strict --arena 64T -- true
expect 0 'HF-I001' run --arena 16M -- "$holdfast" run --children --verbose --arena 16M -- sh -c 'ls / > /dev/null; exit 0'
expect 3 'exited with status 3' run --arena 16M -- perl -e '$SIG{CHLD} = "IGNORE"; exec @ARGV' "$holdfast" run --report -- sh -c 'exit 3'
expect 7 '' run --arena 64M -- sh -c 'exit 7'
expect 5 'exited with status 5' run --arena 64M --report sh -c 'exit 5'
expect 143 'signal 15' run --arena 64M --report sh -c 'kill -TERM $$'
expect 0 'node 0     64 MiB on 4k pages, populated 64 MiB' run --arena 64M --backing 4k --report sleep 0.1
expect 0 '  live       at most ' run --arena 64M --backing 4k --report sleep 0.3
grep -qE '^             live [0-9.]+ [KM]?i?B, held [0-9.]+ [KM]iB \([0-9.]+ times live\), unused' "$work/err" || fail "run --report: what is live at last is missing"
expect 0 '  ok         every node as asked, every request served from its own' run --arena 64M --backing 4k --report sleep 0.1
# Resident is what the kernel counts; the pages of a pool are not among that.
expect 0 '  memory     resident at most ' run --arena 8M --backing 4k --report sleep 0.1
"$holdfast" run --arena 8M --backing 2m --strict --report sleep 0.2 > "$work/out" 2> "$work/err"
if [ $? = 0 ]; then
    grep -q '^  memory     at most [0-9.]* MiB: 8 MiB in huge pages of the pool, and [0-9.]* [KM]iB resident' "$work/err" || fail "run --report: the pool's pages are missing"
    "$holdfast" run --arena 8M --backing 2m --json -o "$work/report" sleep 0.2
    grep -q '"huge_pages": 8388608' "$work/report" || fail "run --json: the pool's pages are missing"
else
    grep -q 'HF-E20[13]' "$work/err" || fail "run --strict on a pool fails"
    echo "$name: no huge pages in the pool: what run --report says of them is not tested"
fi
# A program that ends at once may be over before its arena was seen (HF-W408): again, then.
for _ in 1 2 3 4 5 6 7 8 9; do
    "$holdfast" run --arena 16M --backing 4k --report dd if=/dev/zero bs=64M count=1 of=/dev/null > "$work/out" 2> "$work/err"
    status=$?
    grep -q HF-W408 "$work/err" || break
done
[ "$status" = 1 ] && grep -qF 'fail       1 request found no room; mend: raise --arena' "$work/err" || fail "run --report: a request that found no room is not said"
for _ in 1 2 3 4 5 6 7 8 9; do
    (ulimit -v 2000000; "$holdfast" run --report dd if=/dev/zero ibs=600M obs=500M count=1 of=/dev/null) > "$work/out" 2> "$work/err"
    grep -q HF-W408 "$work/err" || break
done
grep -q 'mend: HF-E012 says what bounds an arena without a named size' "$work/err" || fail "run --report: a size is to be raised that was not named"
export HWLOC_SYNTHETIC='numa:2 pu:1'
expect 0 'used at most 8.19 MiB (26 %), at last 8.19 MiB' run --arena 0:4M,1:32M --backing 4k --report dd if=/dev/zero bs=8M count=300 of=/dev/null
unset HWLOC_SYNTHETIC
"$holdfast" run --arena 64M --backing 4k --json -o "$work/report" sh -c 'exit 5' > "$work/out" 2> "$work/err"
[ $? = 5 ] || fail "run --json: the exit status is not the program's"
expect 1 'HF-E457' run --report -o /dev/full -- true
expect 5 'HF-E457' run --report -o /dev/full -- sh -c 'exit 5'
is_json < "$work/report" || fail "run --json is no JSON"
grep -q '"status": 5' "$work/report" && grep -q '"minor_faults"' "$work/report" || fail "run --json does not say how it ended"
sed -n 's/^  "\([a-z_]*\)": .*/\1/p' "$work/report" > "$work/keys"
[ -s "$work/keys" ] || fail "run --json: no key is found"
"$holdfast" run --help > "$work/help"
while read -r key; do grep -qw "$key" "$work/help" || fail "run --help does not name the key $key of --json"; done < "$work/keys"
expect 0 'HOLDFAST_ARENA=64M' run --arena 64M --strict --lock no --place local --on-full abort --nodes 0 --remote deny --fork dontfork --inspect 0 env
for value in HOLDFAST_STRICT=1 HOLDFAST_LOCK=no HOLDFAST_PLACE=local HOLDFAST_ON_FULL=abort HOLDFAST_NODES=0 HOLDFAST_REMOTE=deny \
    HOLDFAST_FORK=dontfork HOLDFAST_INSPECT=0 LD_PRELOAD=/; do
    grep -q "^$value" "$work/out" || fail "run does not set $value"
done
: > "$work/other.so"
LD_PRELOAD=$work/other.so "$holdfast" run env > "$work/out" 2> "$work/err"
grep -q "^LD_PRELOAD=/.*libholdfast[^:]*:$work/other.so\$" "$work/out" || fail "run does not keep LD_PRELOAD"
printf 'int main(void) { return 0; }\n' > "$work/static.c"
if cc -static -o "$work/static" "$work/static.c" 2> /dev/null; then
    expect 0 'HF-W407' run "$work/static"
fi

# --- stat ---
expect 1 'HF-E411' stat 2147483647
if [ ! -w /dev/shm ]; then
    echo "$name: /dev/shm is not writable: stat is not tested"
    exit "$failed"
fi

"$holdfast" run --arena 64M sleep 60 > /dev/null 2>&1 &
live=$!
children="$children $live"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.3
    "$holdfast" stat "$live" > "$work/out" 2> "$work/err" && break
done
expect 0 'of 64 MiB used' stat "$live"
expect 0 '"high_water"' stat --json "$live"
is_json < "$work/out" || fail "stat --json is no JSON"
"$holdfast" stat > "$work/out" 2> "$work/err"
[ $? = 0 ] || [ $? = 2 ] || grep -q HF-E415 "$work/err" || fail "stat without a number finds nothing"

exit "$failed"
