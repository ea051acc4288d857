#!/bin/sh
# holdfast stat and list: what they print of a program whose work is known, once and again and again, for people, as JSON and as
# OpenMetrics; and holdfast-inspect(5) against both and against <holdfast/inspect.h>.
set -u
name=tool-stat.sh
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"
man=$srcdir/man/holdfast-inspect.5

HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start fill 20 || exit 1

# --- for people ---
expect 0 "process $live (tool-load)" stat "$live"
for text in 'node 0 ' ' of 64 MiB used' 'high water' '4k pages, bound' 'fresh pages cut into blocks' 'slow paths: ' 'blocks in use' 'published: arena of 64 MiB'; do
    grep -qF "$text" "$work/out" || fail "stat does not say '$text'"
done
[ "$(awk 'length > 120' "$work/out" | wc -l)" = 0 ] || fail "stat prints lines of more than 120 columns"
lines=$(wc -l < "$work/out")
expect 0 '' stat --classes "$live"
[ "$(wc -l < "$work/out")" -gt "$lines" ] || fail "--classes shows no more than without"

# --- again and again ---
expect 0 'slow/s' stat --watch 0.1 --count 3 "$live"
[ "$(wc -l < "$work/out")" = 4 ] || fail "--count 3 does not print a head and three lines"
expect 0 'rem.frees' stat --delta --watch 0.1 --count 1 "$live"
[ "$(awk 'NR == 2 { print $7 + $8 + $9 + $10 }' "$work/out")" = 0 ] || fail "--delta: a program that waits has taken pages"
expect 2 HF-E418 stat --watch 0 "$live"
expect 2 HF-E418 stat --count many "$live"
expect 2 HF-E419 stat --format xml "$live"
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start waves 20 || exit 1
"$holdfast" stat --watch 0.1 "$live" > "$work/out" 2> "$work/err" &
watcher=$!
children="$children $watcher"
sleep 1
awk 'NR > 1 && $4 + $5 + $6 > 0 { busy = 1 } END { exit !busy }' "$work/out" || fail "--watch: a program at work takes no pages"
stop
for _ in $(seq 50); do kill -0 "$watcher" 2> /dev/null || break; sleep 0.1; done
kill -0 "$watcher" 2> /dev/null && fail "--watch goes on when the process has ended"
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start fill 20 || exit 1

# --- list ---
expect 0 "$live tool-load" list
expect 0 '"not_readable"' list --json
expect 2 HF-E416 list "$live"

# --- JSON, OpenMetrics and the manual ---
"$holdfast" stat --json "$live" > "$work/stat.json" || fail "stat --json"
"$holdfast" stat --format openmetrics "$live" > "$work/metrics" || fail "stat --format openmetrics"
tail -1 "$work/metrics" | grep -qx '# EOF' || fail "OpenMetrics does not end in # EOF"
python=
for candidate in python3 /usr/bin/python3; do
    command -v $candidate > /dev/null && $candidate -c 'import json' 2> /dev/null && python=$candidate
done
[ -n "$python" ] || { echo "$name: no python3: JSON and OpenMetrics are not parsed"; exit $failed; }
$python - "$work/stat.json" "$man" "$srcdir/include/holdfast/inspect.h" "$work/metrics" << 'END' || fail "stat and holdfast-inspect(5) differ"
import json, re, sys
stat, man, header, metrics = (open(path).read() for path in sys.argv[1:])
stat = json.loads(stat)
bad = 0
def same(what, one, other):
    global bad
    for name in sorted(one ^ other):
        print("%s %s is only %s" % (what, name, "in the program" if name in one else "in the manual"))
        bad = 1
def section(title):
    text = man[man.index(title):]
    return text[:re.search(r"\n\.S[sh] ", text[1:]).start() + 2]
for struct, body in re.findall(r"struct (hf_inspect_\w+) \{\n(.*?)\n\};", header, re.S):
    fields = set(re.findall(r"(\w+)(?:\[\w+\])?(?=[;,])", re.sub(r"/\*.*?\*/", "", body, flags=re.S)))
    same(struct, fields, set(re.findall(r"^\.It Va (\w+)", section(": struct " + struct), re.M)))
same("event", set(re.findall(r"(HF_EVENT_\w+) =", header)) - {"HF_EVENT_NONE"}, set(re.findall(r"^\.It Dv (\w+)", man, re.M)))
keys = {"The object": set(stat)}
for name in "nodes", "slow", "classes", "theaps", "events":
    keys["Of " + name] = set().union(*(set(entry) for entry in stat[name]))
keys["Of sum"] = set(stat["sum"])
for title, found in keys.items():
    same("key", found, set(re.findall(r"^\.It Cm (\w+)", section(".Ss " + title), re.M)))
same("metric", set(re.findall(r"^# HELP (\w+)", metrics, re.M)), set(re.findall(r"^\.It Li (holdfast_\w+)", man, re.M)))
node, total = stat["nodes"][0], sum(entry["pages"] for entry in stat["classes"]) * 65536
if node["used"] + node["free"] != node["total"] or total + node["large"] + node["meta"] != node["used"]:
    print("the figures do not add up:", node, total)
    bad = 1
if 20 << 20 > node["used"] or sum(entry["used_blocks"] * entry["block_bytes"] for entry in stat["classes"]) > node["used"]:
    print("less is shown than the program holds, or more than there is")
    bad = 1
sys.exit(bad)
END
if $python -c 'import prometheus_client' 2> /dev/null || { python=/usr/bin/python3; $python -c 'import prometheus_client' 2> /dev/null; }; then
    $python - "$work/metrics" "$work/stat.json" << 'END' || fail "OpenMetrics is not what its parser takes, or says other than JSON"
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
families = {family.name: family for family in text_string_to_metric_families(open(sys.argv[1]).read())}
stat = json.load(open(sys.argv[2]))
value = lambda name: [s.value for s in families[name].samples if not s.name.endswith("_created")]
assert value("holdfast_arena_bytes") == [64 << 20], value("holdfast_arena_bytes")
assert value("holdfast_used_bytes") == [stat["nodes"][0]["used"]]
assert families["holdfast_pages"].type == "counter" and len(value("holdfast_pages")) == 5
assert families["holdfast_slow_path_seconds"].type == "histogram"
assert all(s.labels["process"] == "tool-load" for family in families.values() for s in family.samples)
END
else
    echo "$name: no prometheus_client: OpenMetrics is not parsed"
fi

# A name that would break lines or quotes.
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start name 'a"b\c' 1 || exit 1
expect 0 'process="a\"b\\c"' stat --format openmetrics "$live"
exit $failed
