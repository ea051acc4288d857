#!/bin/sh
# holdfast plan: this machine, described ones, what does not fit, and what is no description.
set -u
name=tool-plan.sh
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"
topologies=$srcdir/tests/topologies

expect 0 'in all: an arena that may grow to' plan
expect 0 'in all: an arena of 64 MiB, 10 GiB of address space, 1 windows' plan --arena 64M --backing 4k
expect 1 'does not fit: node' plan --arena 1T --backing 4k
expect 78 HF-E402 plan --arena much
expect 2 HF-E400 plan --nonsense
expect 2 HF-E410 plan 4121
expect 78 HF-E450 plan --topology nonsense
echo '<topology' > "$work/broken.xml"
expect 78 HF-E450 plan --topology "$work/broken.xml"
expect 78 HF-E450 plan --topology "$topologies/make"

expect 0 'node 7: 512 GiB of memory, 128 CPUs; arena 8 GiB on 2m pages' plan --topology "$topologies/eight-sockets.xml" --arena 64G
grep -q 'when full: node 1 (21)' "$work/out" || fail "eight sockets: node 0 does not turn to node 1 first"
[ "$(grep -c 'on 2m: 4096 huge pages$' "$work/out")" = 8 ] || fail "eight sockets: not 4096 huge pages on each node"
expect 0 'node 2: 512 GiB of slower memory without CPUs; no arena' plan --topology "$topologies/cxl.xml" --arena 64G
expect 0 'node 2: 512 GiB of slower memory without CPUs; arena 64 GiB' plan --topology "$topologies/cxl.xml" --arena 2:64G
expect 1 'does not fit: node 3: 64 GiB' plan --topology "$topologies/node-three.xml" --arena 64G
expect 0 'node 1: ' plan --topology 'node:2(memory=17179869184) core:2 pu:1' --arena 8G
expect 1 'no node gets an arena' plan --topology 'node:2 core:2 pu:1' --arena 8G --nodes 5

# The library reserves what was planned: sizes and order of nodes, on a machine described to both.
"$holdfast" plan --topology "$topologies/snc-sixteen.xml" --arena 256M --backing 4k --json > "$work/plan" || fail "plan --json"
HWLOC_XMLFILE=$topologies/snc-sixteen.xml HOLDFAST_ARENA=256M HOLDFAST_BACKING=4k HOLDFAST_LOCK=no HOLDFAST_VERBOSE=0 start fill 1 || exit 1
"$holdfast" stat --json "$live" > "$work/stat" || fail "stat of a process on a described machine"
stop
python=
for candidate in python3 /usr/bin/python3; do command -v $candidate > /dev/null && python=$candidate; done
[ -n "$python" ] || exit $failed
$python - "$work/plan" "$work/stat" << 'END' || fail "the plan is not what the library does"
import json, os, sys
plan, stat = (json.load(open(path)) for path in sys.argv[1:])
planned = [(node["id"], node["arena"], node["backing"]) for node in plan["nodes"] if node["arena"]]
reserved = [(node["id"], node["total"], node["backing"]) for node in stat["nodes"]]
print(planned, reserved)
assert planned == reserved and len(planned) == 16
assert plan["address_space"] == stat["arena_span"] and plan["misfits"] == []
END
exit $failed
