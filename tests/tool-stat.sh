#!/bin/sh
# holdfast stat and list: what they print of a program whose work is known, once and again and again, for people, as JSON and as
# OpenMetrics; and holdfast-inspect(5) against both and against <holdfast/inspect.h>.
set -u
srcdir=${srcdir:-.}
. "$srcdir/tests/tool-part.sh"
man=$srcdir/man/holdfast-inspect.5

# 80 columns at most
narrow()
{
    awk 'length > 80 { print FILENAME ": " $0; bad = 1 } END { exit bad }' "$work/out" > "$work/wide" || fail "$* prints lines of more than 80 columns"
}

# watching FILE OPTION...: stat in the background, as $watcher, once it has printed its head; a shell's children ignore SIGINT
watching()
{
    file=$1
    shift
    : > "$file" # what an earlier one said is no sign of this one
    env --default-signal=INT "$holdfast" stat "$@" > "$file" 2> "$work/err" &
    watcher=$!
    children="$children $watcher"
    until_true has slow "$file" || fail "--watch prints no head"
}
ended() { ! kill -0 "$1" 2> /dev/null; }
gone() { [ ! -e "$1" ]; }
has() { grep -q "$1" "$2"; }

HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start fill 20 || exit 1

# --- for people ---
expect 0 "process $live (tool-load)" stat "$live"
for text in 'node 0 ' ' of 64 MiB used' 'high water' '4k pages, bound' 'fresh pages cut into blocks' 'slow paths: ' 'blocks in use' 'published: arena of 64 MiB'; do
    grep -qF "$text" "$work/out" || fail "stat does not say '$text'"
done
narrow stat
[ "$(awk '/^where/ { here = 1 } /^and what/ { here = 0 } here && $4 == "%" && $1 != "away" { all += $3 } END { print (all > 99.7 && all < 100.3) }' "$work/out")" = 1 ] ||
    fail "the shares of the paths are not 100 % in all"
lines=$(wc -l < "$work/out")
expect 0 '' stat --classes --theaps --events "$live"
narrow stat --classes --theaps --events
[ "$(wc -l < "$work/out")" -gt "$lines" ] || fail "--classes shows no more than without"

# --- huge pages: as the kernel says ---
if grep -q '\[never\]' /sys/kernel/mm/transparent_hugepage/enabled 2> /dev/null || [ ! -e /sys/kernel/mm/transparent_hugepage ]; then
    : # none to be had
else
    first=$live
    HOLDFAST_ARENA=64M HOLDFAST_BACKING=thp start fill 20 || exit 1
    huge=$(awk '/^AnonHugePages:/ { all += $2 } END { printf "%d", all * 1024 }' "/proc/$live/smaps")
    expect 0 'thp pages, ' stat "$live"
    grep -q 'thp pages, .*; [0-9.]* [KMG]*i*B huge now$' "$work/out" || fail "stat of an arena on thp does not say how much is huge"
    expect 0 '"huge": ' stat --json "$live"
    told=$(sed -n 's/^ *"huge": \([0-9]*\),*$/\1/p' "$work/out")
    [ "$told" -le "$huge" ] && [ "$((told + (8 << 20)))" -ge "$huge" ] || fail "stat says that $told B are huge, the kernel $huge"
    stop
    live=$first
fi
expect 0 '"huge": 0' stat --json "$live" # on 4k

# --- again and again ---
expect 0 'slow/s' stat --watch 0.1 --count 3 "$live"
narrow stat --watch
[ "$(wc -l < "$work/out")" = 4 ] || fail "--count 3 does not print a head and three lines"
expect 0 'slow/s' stat --watch 0.05 --count 21 "$live"
[ "$(grep -c 'slow/s' "$work/out")" = 2 ] || fail "the head is not repeated after 20 lines"
expect 78 HF-E418 stat --watch 0 "$live"
expect 78 HF-E418 stat --watch nan "$live"
expect 78 HF-E418 stat --count many "$live"
expect 78 HF-E418 stat --count 1.5 "$live"
expect 78 HF-E419 stat --format xml "$live"
expect 2 HF-E420 stat --format openmetrics --watch 1 "$live"
expect 2 HF-E420 stat --format openmetrics --count 1 "$live"

# An interrupt ends it; so does the process's end, even where nobody waits for it.
for signal in INT TERM; do
    watching "$work/out" --watch 30 "$live"
    kill -s "$signal" "$watcher"
    if until_true ended "$watcher"; then wait "$watcher" || fail "SIG$signal: exit status $?"; else fail "SIG$signal does not end --watch"; fi
done
stop
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start waves 20 || exit 1
watching "$work/out" --watch 0.1 "$live"
busy() { awk '$1 != "time" && $5 > 0 && $7 > 0 && NF == 11 { busy = 1 } END { exit !busy }' "$work/out"; }
until_true busy || fail "--watch: a program at work takes no pages"
stop
until_true ended "$watcher" || fail "--watch goes on when the process has ended"
: > "$work/orphan"
sh -c 'HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k "$1" fill 20 > "$2/orphan" & echo $! > "$2/pid"; exec sleep 60' sh "$load" "$work" &
children="$children $!"
until_true has ready "$work/orphan"
live=$(cat "$work/pid")
watching "$work/out" --watch 0.1 "$live"
kill -9 "$live"
until_true ended "$watcher" || fail "--watch goes on when the process was killed and nobody waited for it"
expect 0 '' list
until_true gone /dev/shm/holdfast."$live".* || fail "list leaves what a killed process left, as long as nobody waited for it"

# --- a segment whose every figure is known; one run is cut short by its node's end ---
start_segment --cut-run
expect 0 'away                      23  18.7 %' stat "$victim"
narrow stat
for line in '^node 0  .*L.* 4.69 MiB of 8 MiB used$' '^node 3   \[\.*\] 0 B of 4 MiB used$' '^  owned 256 KiB, full 64 KiB, large 4 MiB, idle 128 KiB (30 % live)$' \
    '^  kept empty 128 KiB, own 128 KiB, free 3.31 MiB; longest free run 2.69 MiB$' '^node 0   \[OFLLLLLLLLLLLLLLLLLLieS\.*\]' \
    '^  O owned  F full  L large  I idle  e kept empty  S own  . free  o unused$' '  2m pages, bound, locked, fixed, FULL$' '  2m pages, bound, not locked, fixed$' \
    "^made  *$victim  *0  *5  *2  *70Ki  *44  *55  *11  *22  *33\$" '^?  *4000001  *3  *6  *5  *192Ki  *144  *155  *111  *122  *133$' \
    '^ *64  *320 KiB  *2758  *5120  *54 %  *148 KiB$' '^ *8192  *320 KiB  *32  *48  *67 %  *128 KiB$' \
    'ago  node 0: node full: 8 MiB did not fit$' '^slow paths: 185,' '^slow calls  *calls  *p50 <  *p99 <  *p99.9 <  *longest  *> 50 us$' \
    '^  fresh  *5 .* 3$' '^  cleared  *1 .* 0$' '^  calls of threads that were moved are in all of these: ' '^and what else happened; a thread.s part is as of its last slow path$'; do
    grep -q "$line" "$work/out" || fail "stat of a known segment does not say '$line'"
done
# slim COMMAND [PID]: on a terminal of 40 columns its lines break at words, and lose none
slim()
{
    for _ in 1 2 3 4 5; do # other processes come and go between two lists
        ! slim_once "$@" || return 0
    done
    fail "$* says less on a narrow terminal"
}

slim_once()
{
    "$holdfast" "$@" | tr -s ' \n' '\n\n' | grep '[a-z]' > "$work/words"
    SHELL=/bin/sh script -qec "stty cols 40; $holdfast $* 2> /dev/null" "$work/script" < /dev/null | tr -d '\r' > "$work/out"
    awk 'length > 40 { exit 1 }' "$work/out" || fail "$* prints lines of more than 40 columns on a terminal of 40"
    tr -s ' \n' '\n\n' < "$work/out" | grep '[a-z]' > "$work/slim"
    [ "$(grep -c . "$work/words")" -le "$(grep -c . "$work/slim")" ]
}
if command -v script > /dev/null; then
    slim stat "$victim"
    slim list
    slim map --no-color "$victim"
fi
change_segment node1.high_water=1032192
expect 0 '  high water 1008 KiB (25 %), ' stat "$victim" # not 0.984 MiB
change_segment node1.high_water=0
watching "$work/watched" --delta --watch 1.5 --count 2 "$victim"
change_segment theap0.claimed=16 theap0.stolen=29 theap0.fresh=4 theap0.remote_frees=1044 theap0.failed=2 theap0.away=9 \
    theap0.slow=13 theap0.kept=0
until_true has ' 4.62Mi ' "$work/watched"
change_segment theap0.claimed=11 theap0.stolen=22 theap0.fresh=0 theap0.remote_frees=44 theap0.failed=0 theap0.away=6 \
    theap0.slow=7 theap0.kept=131072
wait "$watcher"
grep -vqE '^(time    |[0-2][0-9]:[0-5][0-9]:[0-5][0-9]) ' "$work/watched" && fail "a line of --watch does not begin with the time"
sed 's/^[^ ]* *//; s/  */ /g' "$work/watched" > "$work/out"
[ "$(sed -n 2,3p "$work/out")" = "4.36Mi 4.62Mi 7.31Mi 6 5 4 7 1000 3 2
4.36Mi 4.62Mi 7.31Mi 0 0 0 0 0 0 0" ] || fail "--delta does not tell what was added, or tells of counters that went back"
"$holdfast" stat --json "$victim" > "$work/made.json" 2> "$work/err" || fail "stat --json of a known segment"
finish_segment

start_segment --heaps
"$holdfast" stat --json "$victim" > "$work/heaps.json" 2> "$work/err" || fail "stat --json of a segment with heaps"
finish_segment

# --- a library that counts no blocks: what they are is nowhere told ---
start_segment --older --cut-run
expect 0 'away                      23  18.7 %' stat "$victim"
narrow stat
for line in '^  owned 384 KiB, full 64 KiB, large 4 MiB, idle 128 KiB$' '^  kept empty ?, own 128 KiB, free 3.31 MiB; longest free run 2.69 MiB$' \
    '^node 0   \[OOFLLLLLLLLLLLLLLLLLLIS\.*\]' '^  O owned  F full  L large  I idle  e kept empty  S own  . free$' \
    '^  how much of it is in use is not known$' '^live unknown (its library is of before this tool), held 4.62 MiB$' \
    "^made  *$victim  *0  *5  *2  *?  *44  *55  *11  *22  *33\$" '^?  *4000001  *3  *6  *5  *?  *144  *155  *111  *122  *133$' \
    '^ *64  *320 KiB  *?  *5120  *? %  *?$' '^ *8192  *320 KiB  *?  *48  *? %  *?$' '^  unowned frees  *?  *blocks '; do
    grep -q "$line" "$work/out" || fail "stat of an older library does not say '$line'"
done
expect 0 ' 4.62Mi ' stat --watch 0.1 --count 1 "$victim"
grep -q ' ? *4.62Mi ' "$work/out" || fail "--watch tells what is live of an older library"
"$holdfast" stat --json "$victim" > "$work/older.json" 2> "$work/err" || fail "stat --json of an older library"
expect 0 holdfast_remote_frees_total stat --format openmetrics "$victim"
grep -q holdfast_unowned_frees "$work/out" && fail "OpenMetrics has what an older library does not count"
finish_segment

# --- a library whose structs have more fields: all is told that this tool knows ---
start_segment --newer --cut-run
"$holdfast" stat --json "$victim" > "$work/newer.json" 2> "$work/err" || fail "stat --json of a newer library"
lasting() { grep -vE '"(pid|start_ticks|tid|from_ns|([a-z_]*_)?seconds)":' "$1"; } # from process to process
lasting "$work/newer.json" > "$work/out"
lasting "$work/made.json" | cmp -s - "$work/out" || fail "a newer library of the same figures is shown otherwise"
finish_segment

# --- more threads than the table has room for: the sums are of all ---
HOLDFAST_ARENA=128M HOLDFAST_BACKING=4k start crowd 300 100 || exit 1
had=$(sed -n 's/^had \([0-9]*\), failed \([0-9]*\)$/large *\1 |failed *\2 |302 threads have a theap/p' "$work/load")
expect 0 '256 of 302 threads shown' stat "$live"
narrow stat
[ "$(grep -cE "$had" "$work/out")" = 3 ] || fail "stat does not count threads past the table's end: $had"
expect 0 " 302 " list
expect 0 '256 of 302 threads listed' report --seconds 0 -o - "$live"
expect 1 "$(sed -n 's/^.*failed //p' "$work/load") calls of threads at home here failed" tune "$live"
stop

# --- list ---
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start fill 20 || exit 1
expect 0 "$live tool-load" list
narrow list
awk -v pid="$live" '$1 == pid && $3 == "64Mi" && $4 == "4k" && $6 + 0 > 30 && $8 == 1 && $NF ~ /^0:[34][0-9]%$/ { found = 1 } END { exit !found }' "$work/out" ||
    fail "list tells other figures of it"
expect 2 HF-E416 list "$live"
start_segment
expect 0 "3:0%" list
change_segment magic=1
expect 0 'more, of another version' list
finish_segment
sleep 0 &
left=/dev/shm/holdfast.$!.1.$(namespace)
wait "$!"
swept() # another test may sweep first
{
    : > "$left"
    "$holdfast" list > "$work/out" 2> "$work/err"
    [ -e "$left" ] && fail "list leaves $left" && rm -f "$left"
    grep -q 'HF-I417 list: removed [1-9]' "$work/err"
}
until_true swept || fail "list does not say what it removed"
"$holdfast" list --json > "$work/list.json" || fail "list --json"
if [ "$(id -u)" = 0 ] && command -v setpriv > /dev/null && setpriv --reuid=65534 --clear-groups "$holdfast" --version > /dev/null 2>&1; then
    setpriv --reuid=65534 --clear-groups "$holdfast" list > "$work/out" 2> "$work/err" || fail "list as another user: exit status"
    grep -q '^[1-9][0-9]* more, not yours to read$' "$work/out" || fail "list as another user does not count what it may not read"
    grep -q "^ *$live " "$work/out" && fail "list shows another user's process"
    setpriv --reuid=65534 --clear-groups "$holdfast" stat "$live" > "$work/out" 2> "$work/err" && fail "stat shows another user's process"
    grep -q HF-E413 "$work/err" || fail "stat does not say that another user's segment cannot be read"
fi

# --- JSON, OpenMetrics and the manual ---
"$holdfast" stat --json "$live" > "$work/stat.json" || fail "stat --json"
"$holdfast" stat --watch 0.1 --count 2 --json "$live" > "$work/watch.json" || fail "stat --watch --json"
"$holdfast" stat --format openmetrics "$live" > "$work/metrics" || fail "stat --format openmetrics"
"$holdfast" stat --format openmetrics "$live" > "$work/metrics2" || fail "stat --format openmetrics"
for counter in remote unowned; do
    grep -q "^# HELP holdfast_${counter}_frees .* as of each thread's last slow path" "$work/metrics" || fail "$counter frees do not say what they are as of"
done
tail -1 "$work/metrics" | grep -qx '# EOF' || fail "OpenMetrics does not end in # EOF"
python=
for candidate in python3 /usr/bin/python3; do
    command -v $candidate > /dev/null && $candidate -c 'import json' 2> /dev/null && python=$candidate
done
[ -n "$python" ] || { echo "$name: no python3: JSON and OpenMetrics are not parsed"; exit $failed; }
$python - "$work/stat.json" "$man" "$srcdir/include/holdfast/inspect.h" "$work/metrics" "$work/list.json" "$work/watch.json" "$work/heaps.json" << 'END' || fail "stat and holdfast-inspect(5) differ"
import json, re, sys
stat, man, header, metrics, listed, watched, heaps = (open(path).read() for path in sys.argv[1:])
stat, listed, watched = json.loads(stat), json.loads(listed), [json.loads(line) for line in watched.splitlines()]
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
for name in "nodes", "slow", "causes", "classes", "theaps", "events":
    keys["Of " + name] = set().union(*(set(entry) for entry in stat[name]))
keys["Of sum"], keys["Of heap_sum"] = set(stat["sum"]), set(stat["heap_sum"])
keys["Of heaps"] = set().union(*(set(heap) for heap in json.loads(heaps)["heaps"]))
keys["The object of list"], keys["Of processes"] = set(listed), set(listed["processes"][0])
keys["Of a line of --watch"] = set(watched[-1])
for title, found in keys.items():
    same("key of %s:" % title, found, set(re.findall(r"^\.It Cm (\w+)", section(".Ss " + title + "\n"), re.M)))
same("metric", set(re.findall(r"^# HELP (\w+)", metrics, re.M)), set(re.findall(r"^\.It Li (holdfast_\w+)", man, re.M)))
import time
if not all(abs(time.time() - line["time"]) < 600 for line in watched):
    print("--watch --json: the time is another:", watched)
    bad = 1
if len(watched) != 2 or not 0.05 < watched[1]["seconds"] < 60 or watched[1]["used"] != stat["nodes"][0]["used"]:
    print("--watch --json:", watched)
    bad = 1
if sorted(listed["processes"][0]["nodes"][0]) != "backing high_water id threads total used".split():
    print("list --json: nodes have other keys than the manual says")
    bad = 1
node, total = stat["nodes"][0], sum(entry["pages"] for entry in stat["classes"]) * 65536
if node["used"] + node["free"] != node["total"] or total + node["large"] + node["meta"] != node["used"]:
    print("the figures do not add up:", node, total)
    bad = 1
if 20 << 20 > node["used"] or sum(entry["used_blocks"] * entry["block_bytes"] for entry in stat["classes"]) > node["used"]:
    print("less is shown than the program holds, or more than there is")
    bad = 1
sys.exit(bad)
END
$python - "$work/made.json" "$work/older.json" << 'END' || fail "stat --json of a known segment is another"
import json, sys
stat, older = (json.load(open(path)) for path in sys.argv[1:])
def want(found, **wanted):
    for key, value in wanted.items():
        if found[key] != value:
            sys.exit("%s is %r, not %r" % (key, found[key], value))
for each in stat, older:
    want(each["sum"], in_use=2, claimed=123, stolen=145, lost=167, remote_frees=189, received=211, away=23, away_by_distance=[23, 0, 0, 0])
want(stat["classes"][0], runs=5, pages=5, used_blocks=2758, room_blocks=5120, waste_bytes=5 * 65536 - 2758 * 64)
want(stat["classes"][1], runs=3, pages=5, used_blocks=32, room_blocks=48, waste_bytes=131072)
want(stat["theaps"][1], tid=4000001, cpu=6, home_node=1, pages=5, used_bytes=3 * 65536, name="?")
want(older["classes"][0], runs=5, pages=5, used_blocks=None, room_blocks=5120, waste_bytes=None)
want(older["classes"][1], runs=3, pages=5, used_blocks=None, room_blocks=48, waste_bytes=None)
want(stat["sum"], unowned_frees=0)
want(older["sum"], unowned_frees=None)
want(older["theaps"][0], unowned_frees=None)
want(older["theaps"][1], tid=4000001, cpu=6, home_node=1, pages=5, used_bytes=None, name="?")
want(stat["nodes"][0], full=True, bound=True, locked=True, idle=2 << 16, longest_free=43 << 16)
want(stat["nodes"][0], reserve=8 << 16, reserve_used=3 << 16, reserve_uses=7)
want(stat["nodes"][1], reserve=0, reserve_used=0, reserve_uses=0)
want(stat["events"][1], kind="node_full", node=0, tid=4000001, a=8 << 20)
want(stat, options=[], asked_arena="bytes", asked_backing="2m", event_count=2, theap_count=3)
want(stat["slow"][0], calls=185)
want(stat, slo_seconds=5e-05, interrupted_told=False)
want(stat["causes"][2], cause="fresh", calls=5, late=3, buckets=[0] * 6 + [3, 2] + [0] * 24)
want(stat["causes"][7], cause="cleared", calls=1, late=0)
if not 0.5 < stat["causes"][2]["longest_seconds"] / (stat["causes"][2]["seconds"] * 200 / 500) < 2:
    sys.exit("the longest call of two shards is %r" % stat["causes"][2])
want(older, slo_seconds=None, causes=None)
END
series() { sed -n 's/ [^ ]*$//p' "$1" | grep -v '^#'; } # names and labels
series "$work/metrics" > "$work/series"
series "$work/metrics2" | cmp -s - "$work/series" || fail "two scrapes have other series: bounds of buckets have moved"
[ -z "$(sed -n 's/^# TYPE [^ ]* //p' "$work/metrics" | grep -vx 'counter\|gauge\|histogram')" ] || fail "there are types that the older text format does not have"

# The service of the manual's example, with this process for its main one, then with none.
mkdir "$work/bin" "$work/collected"
sed -n "/^ExecStart=.bin.sh -c '/,/'\$/p" "$man" | sed "s/^ExecStart=.bin.sh -c '//; s/'\$//; s/\\\\e\$//; s/%i/demo/g; s/\\\$\\\$/\$/g" | tr '\n' ' ' > "$work/service"
printf '#!/bin/sh\ncat "%s/main"\n' "$work" > "$work/bin/systemctl"
printf '#!/bin/sh\nexec "%s" "$@"\n' "$(cd "$top_builddir" && pwd)/holdfast" > "$work/bin/holdfast"
chmod +x "$work/bin/systemctl" "$work/bin/holdfast"
echo "$live" > "$work/main"
service() { (cd "$work/collected" && PATH=$work/bin:$PATH sh -c "$(cat "$work/service")"); }
service > "$work/out" 2> "$work/err" || fail "the manual's service fails"
[ "$(ls -A "$work/collected")" = holdfast-demo.prom ] || fail "the manual's service leaves $(ls -A "$work/collected")"
series "$work/collected/holdfast-demo.prom" | cmp -s - "$work/series" || fail "the manual's service writes something else"
echo 0 > "$work/main"
service > "$work/out" 2> "$work/err" && fail "the manual's service does not fail when there is no process"
[ -z "$(ls -A "$work/collected")" ] || fail "the manual's service leaves figures of a process that is gone"

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
assert value("holdfast_slow_path_seconds")[-1] == sum(bucket["calls"] for bucket in stat["slow"]) > 0
samples = [(s.labels["le"], s.value) for s in families["holdfast_slow_path_seconds"].samples if s.name.endswith("_bucket")]
for le, count in samples: # late at most: none above a bound's half is counted under it
    limit = float(le) * 1e9
    assert sum(b["calls"] for b in stat["slow"] if 2 * max(b["from_ns"], .2) <= limit / 2) <= count <= sum(b["calls"] for b in stat["slow"] if b["from_ns"] < limit)
assert all(s.labels["process"] == "tool-load" for family in families.values() for s in family.samples)
END
else
    echo "$name: no prometheus_client: OpenMetrics is not parsed"
fi

# A name that would break lines or quotes.
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start name 'a"b\c' 1 || exit 1
expect 0 'process="a\"b\\c"' stat --format openmetrics "$live"
expect 0 '"name": "a\"b\\c"' stat --json "$live"
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start name "$(printf 'a\033[2J\nb')" 1 || exit 1
for arguments in "stat $live" "stat --json $live" "stat --format openmetrics $live" list 'list --json'; do
    expect 0 'a?[2J' $arguments # a terminal would clear itself
done

# A name in UTF-8 is itself where that can be shown; what is none, turns the writing round or obeys nobody is a question mark.
utf8=$(printf 'caf\303\251-\346\227\245')
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start name "$utf8" 1 || exit 1
for arguments in "stat --json $live" "stat --format openmetrics $live" 'list --json' "report --seconds 0 -o - $live" "tune --json $live"; do
    "$holdfast" $arguments 2> /dev/null | grep -qF -e "$utf8" || fail "$arguments: the name is not $utf8"
done
for arguments in "stat $live" list; do
    LC_ALL=C.UTF-8 expect 0 "$utf8" $arguments
    LC_ALL=C expect 0 'caf?-?' $arguments
done
LC_ALL=C.UTF-8 "$holdfast" list | grep -q "^ *$live $utf8         *64M" || fail "list: columns do not stand below one another"
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start name "$(printf 'a\303(\302\233b\342\200\256c\300\257d')" 1 || exit 1
for arguments in "stat $live" "stat --json $live" "stat --format openmetrics $live" list 'list --json'; do
    LC_ALL=C.UTF-8 expect 0 'a?(?b?c?d' $arguments
done
exit $failed
