#!/bin/sh
# holdfast plan: described machines against what is known of them, this machine against an arena that is really made, and
# descriptions that are none.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
top_srcdir=${top_srcdir:-${srcdir:-.}}
# shellcheck source=tests/tool-part.sh
. "$top_srcdir/tests/tool-part.sh"
unset HOLDFAST_NODES HOLDFAST_PREFAULT HOLDFAST_PLACE HWLOC_XMLFILE
machines=$top_srcdir/tests/topologies

# --- the command line ---
expect 0 'usage: holdfast plan' plan --help
expect 2 'HF-E400 plan: option --nonsense' plan --nonsense
expect 2 'HF-E400 plan: option --topology needs a value' plan --topology
expect 2 'HF-E410 plan: 8G' plan 8G
for value in '' 0 8X 0:1G,0:1G; do expect 78 'HF-E402 plan: HOLDFAST_ARENA=' plan --arena "$value"; done
expect 78 'HF-E402 plan: HOLDFAST_BACKING=3m' plan --backing 3m
expect 78 'HF-E402 plan: HOLDFAST_NODES=2-1' plan --nodes 2-1
for value in x -1 1.5 ''; do expect 78 "HF-E432 plan: --forks $value: not a number" plan --forks "$value"; done

# --- described machines ---
expect 0 'arena of 1 GiB, backing auto, on 4 of 4 nodes of node:4' plan --topology 'node:4 core:2 pu:1' --arena 1G
expect 0 'on 2 of 3 nodes' plan --topology "$machines/cxl.xml" --arena 4G
expect 0 '   2   512 GiB slower           -' plan --topology "$machines/cxl.xml" --arena 4G
expect 0 '   0   256 GiB ordinary     2 GiB 2m       -    1024   4.2 MiB  1' plan --topology "$machines/cxl.xml" --arena 4G --backing 2m
expect 0 'io_uring       4 windows of 1 GiB to register; memlock 4 GiB' plan --topology "$machines/cxl.xml" --arena 4G
expect 0 'node 5 are at home on node 7' plan --topology "$machines/bare.xml" --arena 4G
expect 0 'arena that grows up to 128 GiB' plan --topology "$machines/bare.xml"
for machine in "$machines"/*.xml; do
    "$holdfast" plan --topology "$machine" --arena 512M > "$work/out" 2> "$work/err" || fail "plan of $machine: $?"
    awk 'length > 80 && !/mend: |nodes? of/ { exit 1 }' "$work/out" || fail "plan of $machine: a line over 80 columns"
done

# What does not fit: where, and by how much.
expect 1 'node 1: 513 MiB for the arena and its maps, of 256 MiB of memory; 257 MiB missing' \
    plan --topology 'package:2 [numa(memory=268435456)] pu:1' --arena 0:8M,1:512M --backing 4k
expect 0 'fits' plan --topology 'node:1(memory=1048576000) pu:1' --arena 947M --backing thp # 95 % of what the inspection segment leaves
expect 1 'on thp pages would be cut to 899.3 MiB of 1000 MiB' plan --topology 'node:1(memory=1048576000) pu:1' --arena 952M --backing thp
expect 0 'fits' plan --topology 'node:1(memory=1048576000) pu:1' --arena 990M --backing 2m # of a pool
expect 1 'node 0: 1002 MiB for the arena and its maps, of 1000 MiB of memory; 2 MiB missing' \
    plan --topology 'node:1(memory=1048576000) pu:1' --arena 1000M --backing 2m
expect 1 'node 9 is named by HOLDFAST_NODES, and is not there' plan --topology 'node:4 pu:1' --arena 64M --nodes 0,9
expect 1 'name nodes that there are' plan --topology 'node:4 pu:1' --arena 64M --nodes 9
expect 1 'an arena of 1 MiB is too small' plan --topology 'node:4 pu:1' --arena 4M
expect 1 'more than an arena can be' plan --topology 'node:8(memory=1099511627776) pu:1' --arena 7T
expect 1 '36, from node 64 on' plan --topology 'node:100 pu:1' --arena 1G

# --- for a unit, and for a pod ---
expect 2 'HF-E422 plan: a limit is made for an arena of a named size' plan --unit redis-server
expect 2 'HF-E422' plan --pod --arena auto
expect 2 'HF-E449' plan --pod --json --arena 64M
expect 2 'HF-E449' plan --pod --unit redis --arena 64M
for unit in '' 'a b' ../../passwd .service '-x' 'x%n'; do
    expect 78 "HF-E439 plan: --unit $unit: no name of a unit" plan --arena 64M "--unit=$unit"
done
has_line() { grep -qxF -e "$1" "$work/out" || fail "plan $words does not have the line '$1'"; }
has_no() { ! grep -q -e "$1" "$work/out" || fail "plan $words has '$1'"; }

# What is not of a pool is counted by a memory limit, with its maps, the segment, copies of forks, and an eighth.
words='--unit redis-server --topology node:1(memory=64GiB) pu:1 --arena 8G --backing thp --forks 1'
expect 0 'that machine has it' plan --unit redis-server --topology 'node:1(memory=64GiB) pu:1' --arena 8G --backing thp --forks 1
for line in '[Service]' 'Environment="HOLDFAST_ARENA=8G"' 'Environment="HOLDFAST_BACKING=thp"' 'Environment="HOLDFAST_STRICT=1"' \
    'Environment="HOLDFAST_ONLY=redis-server"' 'MemoryMax=17428M' 'LimitMEMLOCK=8209M' 'TimeoutStartSec=170' \
    '#   8 GiB     what forked children copy of it' \
    '# /etc/systemd/system/redis-server.service.d/holdfast.conf'; do has_line "$line"; done
has_line 'RemoveIPC=no'
grep -q '^ExecStopPost=-+/.*/holdfast report --last %n -o /var/log/holdfast-%N.html$' "$work/out" || fail "plan $words: no ExecStopPost"
grep -vE '^(#|\[Service\]$|[A-Z][A-Za-z]*=)' "$work/out" && fail "plan $words: a line that is neither setting nor comment"

# A pool is counted by a limit of its own; what was named besides goes along.
words='--unit postgres@.service --arena 1G --backing 2m --forks 3'
HOLDFAST_RESERVE=1% HOLDFAST_PREFAULT=none HOLDFAST_VERBOSE=1 "$holdfast" plan --unit postgres@.service \
    --topology 'node:2(memory=64GiB) pu:1' --arena 1G --backing 2m --forks 3 > "$work/out" 2> "$work/err"
for line in 'Environment="HOLDFAST_ONLY=postgres"' 'Environment="HOLDFAST_RESERVE=1%%"' 'Environment="HOLDFAST_PREFAULT=none"' \
    'Environment="HOLDFAST_VERBOSE=1"' 'MemoryMax=131M' 'LimitMEMLOCK=1024M'; do has_line "$line"; done
has_no TimeoutStartSec
words='--pod --topology node:2(memory=64GiB) pu:1 --arena 40% --backing 1g --forks 1'
expect 0 'that machine has it' plan --pod --topology 'node:2(memory=64GiB) pu:1' --arena 40% --backing 1g --forks 1
for line in '    hugepages-1Gi: 104Gi' '  - { name: HOLDFAST_ARENA, value: "53248M" }' '  - { name: HOLDFAST_BACKING, value: "1g" }' \
    '#   node 1: 26 GiB on 1g pages, never swapped'; do has_line "$line"; done
has_no 'hugepages-2Mi'
words='--pod --arena 48M --backing 2m'
expect 0 '' plan --pod --topology 'node:1(memory=64GiB) pu:1' --arena 48M --backing 2m
has_line '    hugepages-2Mi: 48Mi'
grep -q 'memory.max of 129 MiB, hugetlb.2MB.max of 48 MiB; and in it' "$work/out" || fail "plan $words does not say what the pod gets"
words='--pod --arena 64M --backing 4k'
expect 0 'this machine has it' plan --pod --arena 64M --backing 4k
HOLDFAST_LOCK=no expect 0 'on 4k pages, not locked' plan --pod --arena 64M --backing 4k
has_no hugepages
expect 1 'mend: ' plan --pod --arena 4000G --backing 4k
grep -v '^#' "$work/out" | grep -q 'mend:' && fail "plan --pod: a check that is no comment"

# Those who read them understand them.
if command -v python3 > /dev/null && python3 -c 'import yaml' 2> /dev/null; then
    HOLDFAST_ONLY='a "program" \ of 1%' "$holdfast" plan --pod --topology 'node:1(memory=64GiB) pu:1' --arena 48M --backing 2m |
        python3 -c 'import sys, yaml
pod = yaml.safe_load(sys.stdin)
names = {entry["name"]: entry["value"] for entry in pod["env"]}
assert names["HOLDFAST_ONLY"] == "a \"program\" \\ of 1%", names
assert pod["resources"]["limits"] == {"memory": "129Mi", "hugepages-2Mi": "48Mi"}, pod' > "$work/out" 2> "$work/err" ||
        fail "plan --pod is not what YAML has"
else
    echo "$name: no yaml of python3: what --pod prints is not parsed"
fi
if command -v systemd-analyze > /dev/null; then
    mkdir -p "$work/units/try.service.d"
    printf '[Service]\nExecStart=/bin/true\n' > "$work/units/try.service"
    "$holdfast" plan --unit try --arena 64M --backing 4k > "$work/units/try.service.d/holdfast.conf" 2> "$work/err"
    systemd-analyze verify --man=no "$work/units/try.service" > "$work/out" 2>&1
    grep 'try\.service' "$work/out" > "$work/err" && fail "systemd does not understand what plan --unit prints"
else
    echo "$name: no systemd-analyze: what --unit prints is not verified"
fi

# Of this machine the table says what the checks go by, though a node's own file may not have heard of memory that was added.
"$holdfast" plan --arena 4T > "$work/out" 2> "$work/err"
sed -n 's/^ *\([0-9][0-9]*\)  *\([0-9.]* [KMGT]iB\) [ a-z]* .* [0-9a-z]* .*/\1 \2/p' "$work/out" | sort > "$work/table"
sed -n 's/.* node \([0-9]*\): [0-9.]* [KMGT]iB for the arena and its maps, of \([0-9.]* [KMGT]iB\) of .*/\1 \2/p' "$work/out" | sort > "$work/checks"
[ -z "$(comm -13 "$work/table" "$work/checks")" ] || fail "plan: the table and the checks have other memory"

# The whole of it, by figures that are worked out here.
cat > "$work/check.py" << 'EOF'
import glob, json, os, subprocess, sys
holdfast, machines = sys.argv[1:3]
GIB, MIB = 1 << 30, 1 << 20
bad = 0

def plan(*words):
    done = subprocess.run([holdfast, "plan", "--json", *words], capture_output=True, text=True)
    plan = json.loads(done.stdout)
    check((done.returncode == 0) == plan["fits"], words, "status against fits")
    check(plan["fits"] == all(c["verdict"] != "fail" for c in plan["checks"]), words, "checks against fits")
    check(sum(n["arena"] for n in plan["nodes"]) == plan["arena"], words, "sum of the nodes")
    check(sum(n["own_maps"] for n in plan["nodes"]) == plan["owners"] + plan["page_table"], words, "sum of the maps")
    check(sum(n["windows"] for n in plan["nodes"]) == plan["windows"], words, "sum of the windows")
    check(plan["address_space_least"] < plan["address_space"], words, "address space")
    for node in plan["nodes"]:
        if node["arena"]:
            pages = node["arena"] >> 16
            check(node["own_maps"] == sum(-(-pages * n // 4096) * 4096 for n in (8, 128)), words, "own maps")
            check(node["windows"] == -(-node["arena"] // GIB), words, "windows")
            check(node["order"][0] == node["id"] == node["home"], words, "itself first")
            check(sorted(node["order"]) == [n["id"] for n in plan["nodes"] if n["arena"]], words, "everybody once")
            ids = [n["id"] for n in plan["nodes"] if n["memory"]]
            far = [node["distances"][ids.index(i)] for i in node["order"]]
            check(far == sorted(far), words, "nearest first")
            for pool in node["pools"][:1]: # the next is of the size before this one rounded it
                check(pool["pages"] == -(-node["arena"] // pool["page_bytes"]), words, "pages of " + pool["backing"])
    return plan

def check(good, words, what):
    global bad
    if not good:
        print("plan %s: %s" % (" ".join(words), what))
        bad = 1

eight = plan("--topology", machines + "/eight-sockets.xml", "--arena", "2T")
check([n["order"] for n in eight["nodes"]][2] == [2, 3, 0, 1, 4, 5, 6, 7], ["eight-sockets"], "order of node 2")
check([n["arena"] for n in eight["nodes"]] == [256 * GIB] * 8, ["eight-sockets"], "split")
check(eight["address_space"] == 2048 * GIB + 9 * GIB + 4 * MIB, ["eight-sockets"], "address space")
check([p["pages"] for p in eight["nodes"][0]["pools"]] == [256, 256 * 512], ["eight-sockets"], "pools of auto")
odd = plan("--topology", machines + "/eight-sockets.xml", "--arena", "1001M")
check([p["backing"] for p in odd["nodes"][0]["pools"]] == ["2m"], ["1001M"], "no 1g of auto where that is no multiple")
one = plan("--topology", machines + "/eight-sockets.xml", "--arena", "1001M", "--backing", "1g")
check([(p["backing"], p["pages"]) for p in one["nodes"][0]["pools"]] == [("1g", 1), ("2m", 63)] and one["nodes"][0]["arena"] == GIB, ["1g"], "rounded up")
check(plan("--topology", machines + "/eight-sockets.xml", "--arena", "1G", "--backing", "thp")["nodes"][0]["pools"] == [], ["thp"], "no pool")
check([n["kind"] for n in plan("--topology", machines + "/hbm.xml")["nodes"]] == ["ordinary", "ordinary", "faster", "faster"], ["hbm"], "kinds")
slow = plan("--topology", machines + "/cxl.xml", "--arena", "2:1G,0:2G")
check([n["arena"] for n in slow["nodes"]] == [2 * GIB, 0, GIB] and slow["nodes"][1]["home"] == 0, ["cxl"], "named")
check(plan("--topology", machines + "/bare.xml", "--arena", "50%")["arena"] // GIB == 64, ["bare"], "a share is one of that machine's memory")

# This machine: what is planned is what a program gets.
check(plan("--arena", "96M")["segment"] == os.stat(glob.glob("/dev/shm/holdfast.%s.*" % sys.argv[3])[0]).st_size, ["96M"], "size of the segment of such an arena")
for words in (["--arena", "96M", "--backing", "4k"], ["--arena", "97M", "--backing", "thp"], ["--arena", "70M"], ["--arena", "3M"]):
    here = plan(*words)
    ran = subprocess.run([holdfast, "run", "--json", "-o", "/dev/stdout", *words, "sleep", "0.2"], capture_output=True, text=True)
    arena = json.loads(ran.stdout)["arena"]
    check([(n["id"], n["total"], n["backing"]) for n in arena["nodes"]] ==
          [(n["id"], n["arena"], n["backing"]) for n in here["nodes"] if n["arena"]], words, "against the arena that was made: %s" % ran.stderr)
    check(arena["arena_span"] + 4 * MIB == here["address_space"], words, "address space against the arena that was made")

# And on a machine of sixteen nodes that is described to both.
machine = machines + "/snc-sixteen.xml"
words = ["--arena", "256M", "--backing", "4k"]
sixteen = plan("--topology", machine, *words)
ran = subprocess.run([holdfast, "run", "--json", "-o", "/dev/stdout", "--lock", "no", *words, "sleep", "0.2"], capture_output=True, text=True,
                     env={**os.environ, "HWLOC_XMLFILE": machine})
arena = json.loads(ran.stdout)["arena"]
check([(n["id"], n["total"], n["backing"]) for n in arena["nodes"]] == [(n["id"], n["arena"], n["backing"]) for n in sixteen["nodes"]] and
      len(arena["nodes"]) == 16 and arena["arena_span"] + 4 * MIB == sixteen["address_space"], words, "against sixteen nodes that were made")

# What forked children copy comes from the same pool.
for words, children in (([], 0), (["--forks", "0"], 0), (["--forks", "3"], 3)):
    forking = plan("--arena", "6G", "--backing", "2m", *words)
    for pool in (pool for node in forking["nodes"] for pool in node["pools"]):
        sum_of_all = pool["pages"] * (1 + children)
        check(pool["copies"] == pool["pages"] * children, words, "copies")
        check(pool["free"] >= sum_of_all or pool["mend"] == "echo %d > %s" % (pool["total"] + sum_of_all - pool["free"], pool["path"]), words, "the command")
for words, fits in ((["--arena", "64M", "--backing", "4k", "--forks", "1"], True), (["--arena", "64M", "--backing", "4k", "--forks", "100000"], False)):
    forking = plan(*words)
    check(forking["fits"] == fits, words, "fits")
    if not fits:
        found = [c for c in forking["checks"] if c["id"] == "HF-D18"]
        check(len(found) == 1 and found[0]["verdict"] == "fail" and found[0]["need"] == 100000 * 64 * MIB, words, "the check")

# A pool that is short: by how much, and what mends it.
short = plan("--arena", "6G", "--backing", "2m")
pools = [pool for node in short["nodes"] for pool in node["pools"]]
for pool in pools:
    lack = max(0, pool["pages"] - pool["free"])
    check((pool["mend"] is None) == (lack == 0), ["6G"], "a command where there is something to mend, and nowhere else")
    check(lack == 0 or pool["mend"] == "echo %d > %s" % (pool["total"] + lack, pool["path"]), ["6G"], "the command")
    check(os.path.exists(pool["path"]), ["6G"], "the pool is %s" % pool["path"])
    check(lack == 0 or any(c["id"] == "HF-D06" and c["verdict"] == "fail" and "%d missing" % lack in c["found"] and
                           (c["mend"] == pool["mend"] or "lower" in c["mend"]) for c in short["checks"]), ["6G"], "how much is missing")
check(len(pools) != 0, ["6G"], "no pool")
sys.exit(bad)
EOF
python=
for candidate in python3 /usr/bin/python3; do command -v "$candidate" > /dev/null && python=$candidate && break; done
if [ -n "$python" ]; then
    HOLDFAST_ARENA=96M HOLDFAST_BACKING=4k start fill 1 || exit 1
    segment=$live.$(sed 's/.*) //' "/proc/$live/stat" | cut -d' ' -f20)
    $python "$work/check.py" "$holdfast" "$machines" "$segment" > "$work/out" 2> "$work/err" || fail "figures of plan --json"
else
    echo "$name: no python3: the figures of --json are not compared"
fi

# --- what is no description ---
expect 78 'HF-E450 plan: /tmp cannot be read (no regular file)' plan --topology /tmp
expect 78 'HF-E450' plan --topology /dev/zero
expect 78 'HF-E452' plan --topology ''
expect 78 'HF-E452' plan --topology "$work/none.xml"
expect 78 "HF-E452 plan: 'node:4 core:x pu:1'" plan --topology 'node:4 core:x pu:1'
expect 78 "HF-E452 plan: '?[31mred" plan --topology "$(printf '\033[31mred')"
expect 78 'HF-E455 plan: hwloc did not get to the end' plan --topology 'node:64 core:100000 pu:1000'
: > "$work/none.xml"
expect 78 'HF-E451' plan --topology "$work/none.xml"
HWLOC_XMLFILE=$machines/cxl.xml
HWLOC_THISSYSTEM=1
export HWLOC_XMLFILE HWLOC_THISSYSTEM
expect 78 'HF-E451' plan --topology "$work/none.xml" # never another machine in its place
expect 0 'on 4 of 4 nodes of node:4 pu:1' plan --topology 'node:4 pu:1'
unset HWLOC_XMLFILE HWLOC_THISSYSTEM

# Cut at many bytes, and with bytes changed: a plan or a message, and nothing else.
hostile()
{
    "$holdfast" plan --topology "$work/hostile.xml" --arena 1G > "$work/out" 2> "$work/err"
    got=$?
    case $got in
        0 | 1) grep -q '^node ' "$work/out" || grep -q HF-D "$work/out" || fail "a description $1: neither a plan nor a message" ;;
        78) grep -q 'HF-E45[15]' "$work/err" || fail "a description $1: no message" ;;
        *) fail "a description $1: exit status $got" ;;
    esac
}
original=$machines/cxl.xml
bytes=$(wc -c < "$original")
for part in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19; do
    head -c $((bytes * part / 20)) "$original" > "$work/hostile.xml"
    hostile "cut at $part/20"
done
for seed in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    awk -v seed="$seed" 'BEGIN { srand(seed) }
        { for (i = 0; i < 3; i++) if (rand() < 0.1) { at = 1 + int(rand() * length($0))
              $0 = substr($0, 1, at - 1) substr("0123456789<>\"&/ xF-", 1 + int(rand() * 19), 1) substr($0, at + 1) } print }' \
        "$original" > "$work/hostile.xml"
    hostile "changed by seed $seed"
done

exit "$failed"
