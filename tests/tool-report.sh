#!/bin/sh
# holdfast record and report: recordings that end in every way, that are cut and corrupted, and the page: whole, escaped,
# without anything from elsewhere, with a table behind every picture; and in a browser, where there is one.
#
# $top_builddir as Automake sets it, . by default.
set -u
. "${srcdir:-$(dirname "$0")/..}/tests/tool-part.sh"

# page FILE: what every page must be
page()
{
    ! grep -qE '<script|<link|<iframe|<img|src=|@import|url\(|javascript:' "$1" || fail "$1 refers to something, or runs something"
    ! grep -oE '[a-z]+://[^"]*' "$1" | grep -v '^http://www.w3.org/2000/svg$\|^redis://me:\*\*\*@host/ ' | grep -q . || fail "$1 has an address in it"
    grep -q "default-src 'none'" "$1" || fail "$1 does not forbid what is from elsewhere"
    command -v python3 > /dev/null || return 0
    python3 - "$1" > "$work/out" 2>&1 <<'EOF' || fail "$1 is not well made"
import html.parser, sys

class Page(html.parser.HTMLParser):
    void = {'meta', 'br', 'hr', 'input'}
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.ids, self.links, self.figures, self.text = [], {}, [], [], [], ''
    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.seen[tag] = self.seen.get(tag, 0) + 1
        if tag not in self.void:
            self.open.append(tag)
        if 'id' in attributes:
            self.ids.append(attributes['id'])
        if tag == 'a':
            self.links.append(attributes['href'])
        if tag == 'figure':
            self.figures.append({'svg': 0, 'table': 0, 'figcaption': 0})
        if self.figures and 'figure' in self.open and tag in ('table', 'figcaption'):
            self.figures[-1][tag] += 1
        if tag == 'svg' and attributes.get('aria-hidden') != 'true':
            self.figures[-1]['svg'] += 1
            assert attributes.get('role') == 'img' and attributes.get('aria-label'), 'a picture without a name'
        if tag == 'th':
            assert attributes.get('scope') in ('row', 'col'), 'a head of no row or column'
    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.void:
            self.open.pop()
    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f'</{tag}> closes {self.open[-3:]}'
        self.open.pop()
    def handle_data(self, text):
        self.text += text

page = Page()
page.feed(open(sys.argv[1], encoding='utf-8').read())
page.close()
assert page.open == [], page.open
for tag in ('header', 'nav', 'main', 'footer', 'h1', 'title'):
    assert page.seen.get(tag) == 1 or tag == 'title', f'{page.seen.get(tag)} of {tag}'
assert len(page.ids) == len(set(page.ids)), 'an id twice'
assert all(link[0] == '#' and link[1:] in page.ids for link in page.links), 'a link to nowhere'
pictures = [figure for figure in page.figures if figure['svg']]
assert len(pictures) >= 6, f'{len(pictures)} pictures'
assert all(figure['table'] and figure['figcaption'] for figure in pictures), 'a picture without a table'
assert 'nan' not in page.text and 'inf ' not in page.text, 'a number that is none'
EOF
}

# figures FILE ASSERTION...: what report-figures.py makes of the page
figures()
{
    command -v python3 > /dev/null || return 0
    python3 "${srcdir:-$(dirname "$0")/..}/tests/report-figures.py" "$@" > "$work/out" 2>&1 || fail "$1 is not as it should be: $(tail -1 "$work/out")"
}

# reads FILE: what holds of every page's pictures and words
reads()
{
    figures "$1" 'fits()' 'colours()' 'plurals()' 'ticks_differ()' 'all(f.titles for f in over_time())' 'round_bytes(over_time()[0])'
}

# --- the command line ---
for command in record report; do
    expect 0 "usage: holdfast $command" "$command" --help
    expect 2 'HF-E400' "$command" --nonsense
    expect 2 'HF-E440' "$command" 1
    expect 2 'HF-E440' "$command" 1 2 3 -o "$work/none"
    expect 1 'HF-E411' "$command" 2147483647 -o "$work/none"
done
expect 78 'HF-E446' record 1 -o "$work/none" --interval 0
expect 78 'HF-E446' record 1 -o "$work/none" --interval 1e30
expect 78 'HF-E446' record 1 -o "$work/none" --duration x
expect 78 'HF-E446' report 1 -o "$work/none" --seconds ''
expect 1 'HF-E443' report "$work/none" -o "$work/none.html"
expect 1 'begin as a recording' report /dev/null -o "$work/none.html"
[ ! -e "$work/none" ] || fail "a command line that is refused makes a file"

# --- a recording, and its page ---
HWLOC_SYNTHETIC='numa:2 pu:1' HOLDFAST_ARENA=0:16M,1:64M HOLDFAST_PREFAULT=background HOLDFAST_LOCK=no HOLDFAST_PLACE=node:0 start waves 30
expect 0 'HF-I442' record "$live" -o "$work/waves" --interval 0.1 --duration 3
expect 0 '' report "$work/waves" -o "$work/waves.html"
page "$work/waves.html"
grep -q '<section class="status fault"' "$work/waves.html" || fail "the page of a run with a fault does not begin with it"
grep -q 'Fault: node 0: remote fallback' "$work/waves.html" || fail "the page does not name the fault"
grep -q 'remote fallback began (' "$work/waves.html" || fail "the page has no event of it"
grep -q 'class="alarm-line"' "$work/waves.html" || fail "the fault is not on the axis of time"
reads "$work/waves.html"
figures "$work/waves.html" 'round_bytes(figure("Node 0: "))' 'left(figure("Node 0: "))[-1] == "16 MiB"' \
    'round_counts(figure("Pages taken per second"), "/s")' 'round_counts(figure("Threads over time"), "")' \
    'all(re.fullmatch("[125]0* (ns|\u00b5s|ms|s)", tick) for tick in below(figure("Slow paths")))' \
    'page.text.index("Held over live") < page.text.index("Most ever used") < page.text.index("Failed calls")'
# Every part of a picture says its number; idle pages have a colour, and unused bytes another.
figures "$work/waves.html" 'tips(figure("Node 0: "), "^[0-9:.]+: live .*, held .* of 16 MiB") > 10' \
    'tips(figure("Live and held"), "^[0-9:.]+: live .*, held .* of 80 MiB") > 10' \
    'tips(figure("Pages taken per second"), "pages a second, .* from other nodes") > 10' \
    'tips(figure("Threads over time"), ": 1 thread$") > 10' 'round_bytes(figure("Live bytes by size"))' \
    'tips(figure("Live bytes by size"), "^[0-9:.]+: blocks of .* [KM]iB: .*, blocks of ") > 10' 'len(set(figure("Live bytes by size").keys)) == 5' \
    'tips(figure("Node 0 by place"), "of 48 parts mostly") > 10' \
    'tips(figure("Bytes by size of block"), "^blocks of .* in use, in .* unused$") == 12' \
    '"all threads, each as of its last slow path" in page.text' \
    '"1 thread now; here all of them" in page.text and "made so far" not in page.text' \
    'tips(figure("Bytes by thread"), "^tool-load, thread [0-9]+: .* unused; last slow path .* ago$") == 1' \
    'tips(figure("From which node"), "^nearest other node: [0-9,]+ pages, ") == 1' 'tips(figure("Slow paths"), " to .*: [0-9,]+ calls?$") > 0' \
    'tips(figure("What happened"), "node full: .* did not fit; node 0$") > 0' \
    'figure("Bytes by size of block").keys == ["blocks", "unused"]' '"idle" in figure("Node 0 by place").keys' \
    '"unused" in figure("Node 0: ").keys' '"idle" not in figure("Node 0: ").keys'
# Events in words, not "a" and "b"; settings as they were asked for.
figures "$work/waves.html" 'not {"a", "b"} & set(figure("What happened").cells)' \
    '"remote fallback began: from node 1" in figure("What happened").cells' \
    'setting(figure("As asked"), "HOLDFAST_ARENA") == "node 0: 16 MiB, node 1: 64 MiB"' \
    'setting(figure("As asked"), "HOLDFAST_PREFAULT") == "background"' 'setting(figure("As asked"), "HOLDFAST_LOCK") == "no"' \
    'setting(figure("As asked"), "HOLDFAST_PLACE") == "node:0"' 'setting(figure("As asked"), "HOLDFAST_NODES") == "all"'
expect 0 '' report "$live" -o "$work/live.html" --seconds 0.5
page "$work/live.html"
expect 0 '' report "$live" -o "$work/once.html" --seconds 0
page "$work/once.html"
reads "$work/once.html"
figures "$work/once.html" '"one look at" in page.text' 'tips(figure("Live and held"), "held") == 1'
expect 0 '' report "$work/waves" "$work/waves" -o "$work/twice.html"
page "$work/twice.html"
figures "$work/twice.html" 'figure("In settings").cells[3] == "none"' 'set(column(figure("In numbers"), "B against A", 4)) == {"the same"}'
"$holdfast" report "$work/waves" -o - > "$work/standard.html" 2> "$work/err" || fail "report -o -: exit status $?"
cmp -s "$work/waves.html" "$work/standard.html" || fail "the page on standard output is another"
samples=$(sed -n 's/.*in \([0-9]*\) samples.*/\1/p' "$work/waves.html" | head -1)
[ "${samples:-0}" -ge 5 ] || fail "$samples samples in 3 s"
bytes=$(wc -c < "$work/waves")
[ "$bytes" -lt $((samples * 8192 + 65536)) ] || fail "$bytes bytes for $samples samples"
mode=$(ls -l "$work/waves" | cut -c1-10)
[ "$mode" = -rw------- ] || fail "a recording can be read by others: $mode"
expect 1 'HF-E441' record "$live" -o /dev/full --duration 0.1
grep -q '/dev/full could not be written (No space left on device), and holds no sample;' "$work/err" || fail "a full device is said to hold samples"
(ulimit -f 16; "$holdfast" record "$live" -o "$work/limited" --interval 0.01 --duration 20 2> "$work/err")
[ $? = 1 ] || fail "a recording beyond the limit of file sizes: exit status $?"
whole=$(sed -n 's/.*limited could not be written to its end (File too large): the first \([0-9]*\) samples are whole.*/\1/p' "$work/err")
[ "${whole:-0}" -ge 1 ] || fail "a recording beyond the limit of file sizes does not say how many samples are whole"
expect 0 "the $whole samples before" report "$work/limited" -o "$work/limited.html"
expect 1 'HF-E441' record "$live" -o "$work/no/such" --duration 0.1
expect 1 'HF-E441' report "$live" -o /dev/full --seconds 0

# --- how it ends ---
# An interrupt is an end; a kill leaves whole samples, without the map; so does the end of the process, with it.
"$holdfast" record "$live" -o "$work/interrupted" --interval 0.1 --duration 60 2> "$work/err" &
recorder=$!
sleep 1
kill -INT "$recorder"
wait "$recorder" || fail "an interrupted record: exit status $?"
grep -q HF-I442 "$work/err" && ! grep -q 'samples in 6[0-9]\.' "$work/err" || fail "an interrupted record does not end well, or goes on"
expect 0 '' report "$work/interrupted" -o "$work/interrupted.html"
! grep -q 'There is no map' "$work/interrupted.html" || fail "an interrupted recording has no map"
"$holdfast" record "$live" -o "$work/killed" --interval 0.1 --duration 60 2> "$work/err" &
recorder=$!
sleep 1
kill -KILL "$recorder"
wait "$recorder" 2> /dev/null
expect 0 '' report "$work/killed" -o "$work/killed.html"
samples=$(sed -n 's/.*in \([0-9]*\) samples.*/\1/p' "$work/killed.html" | head -1)
[ "${samples:-0}" -ge 3 ] || fail "a record that was killed after 1 s leaves ${samples:-0} samples"
! grep -q HF-W444 "$work/err" || fail "a record that was killed leaves half a sample"
page "$work/killed.html"
grep -q 'There is no map' "$work/killed.html" || fail "a recording that was killed has a map"
"$holdfast" record "$live" -o "$work/outlived" --interval 0.1 --duration 60 2> "$work/err" &
recorder=$!
sleep 0.5
stop
wait "$recorder" || fail "record of a process that ends: exit status $?"
grep -q 'the process ended' "$work/err" || fail "record does not say that the process ended"
expect 0 '' report "$work/outlived" -o "$work/outlived.html"
! grep -q 'There is no map' "$work/outlived.html" || fail "the recording of a process that ended has no map"
figures "$work/outlived.html" '"; the process has ended." in page.text'
figures "$work/interrupted.html" '"has ended" not in page.text'

# --- live bytes that are known: one block of 16 MiB, and little beside it ---
HOLDFAST_ARENA=64M start request 16777216
expect 0 '' report "$live" -o "$work/block.html" --seconds 0
figures "$work/block.html" 'all(16 <= float(page.tiles[name].split(" MiB")[0]) <= 16.16 for name in ("Live", "Held"))' \
    'page.tiles["Held over live"] in ("1.00 times", "1.01 times")'
stop

# --- every size is right to half a per cent, and so the same as in stat: 19.6875 MiB are 19.7 ---
HOLDFAST_ARENA=20160K HOLDFAST_BACKING=4k start request 3538944
expect 0 '' report "$live" -o "$work/digits.html" --seconds 0
"$holdfast" stat --json "$live" > "$work/stat"
figures "$work/digits.html" 'page.tiles["Live"] == size(json.load(open("'"$work/stat"'"))["live"])' \
    'page.tiles["Held"] == size(json.load(open("'"$work/stat"'"))["held"])' '"19.7 MiB" in page.text and "19.6 MiB" not in page.text'
for command in stat map; do expect 0 ' 19.7 MiB ' $command "$live"; done
stop

# --- one unit to an axis: bytes to some 1.6 MiB, and rates that double until they pass 10,000 ---
HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k start request 786432
expect 0 '' report "$live" -o "$work/axis.html" --seconds 0
figures "$work/axis.html" 'round_bytes(figure("Live and held"))' 'left(figure("Live and held"))[1][:2] == "0."'
stop
for step in 0.4 0.2 0.1 0.05 0.025 0.0125 0.00625 0.003; do
    "$edit" "$work/waves" "$work/fast" step=$step || fail "tool-edit cannot edit the recording"
    expect 0 '' report "$work/fast" -o "$work/fast.html"
    figures "$work/fast.html" 'round_counts(figure("Pages taken per second"), "/s")'
done

# --- one node, a short time, and where it ran ---
HOLDFAST_ARENA=64M HOLDFAST_NODES=0 start fill 20 --password hunter2 --api-key=hunter3 redis://me:hunter4@host/ 'two words'
expect 0 'with the command line in it, which --no-command leaves out' record "$live" -o "$work/one" --interval 0.02 --duration 0.3
expect 0 '' report "$work/one" -o "$work/one.html"
page "$work/one.html"
reads "$work/one.html"
figures "$work/one.html" '"rom another node" not in page.text and "rom other nodes" not in page.text' 'not [f for f in page.figures if "From which" in f.caption]' \
    '"1 event" in figure("What happened").caption' \
    'setting(figure("As asked"), "HOLDFAST_NODES") == "0"' 'setting(figure("As asked"), "HOLDFAST_PREFAULT") == "startup"' \
    'setting(figure("As asked"), "HOLDFAST_LOCK") == "auto"' 'setting(figure("As asked"), "HOLDFAST_PLACE") == "local"'
figures "$work/one.html" 'setting(figure("Where it ran"), "host") == "'"$(uname -n)"'"' \
    'setting(figure("Where it ran"), "kernel") == "'"$(uname -s) $(uname -r), $(uname -m)"'"' '"cgroup limits" in figure("Where it ran").cells' \
    'setting(figure("Where it ran"), "cgroup") in open("/proc/'"$live"'/cgroup").read()' 'setting(figure("Where it ran"), "cgroup")[0] == "/"' \
    '"hunter" not in page.text' "page.text.count(\"fill 20 --password *** --api-key=*** redis://me:***@host/ 'two words'\") == 2" \
    'setting(figure("Where it ran"), "command line").endswith("(3 values are hidden)")' '"The command line is on this page" in page.text'
"$edit" "$work/one" "$work/even" step=0.02 || fail "tool-edit cannot edit the recording"
expect 0 '' report "$work/even" -o "$work/even.html"
figures "$work/even.html" 'len(set(column(figure("Threads over time"), "Time", 4))) == len(column(figure("Threads over time"), "Time", 4)) > 1' \
    'all(tick.endswith((" s", " ms")) for tick in below(figure("Threads over time")))' 'ticks_differ()'
"$holdfast" stat --json "$live" > "$work/stat"
figures "$work/one.html" 'len(page.tiles) == 7 and list(page.tiles)[0] == "Held over live"' \
    "'{:.2f} times'.format(json.load(open('$work/stat'))['held'] / json.load(open('$work/stat'))['live']) == page.tiles['Held over live']" \
    "tips(figure('Live and held'), 'live ' + page.tiles['Live'] + ', held ' + page.tiles['Held'] + ' of 64 MiB') > 0" \
    'tips(figure("Held over live"), " held for .* live$") > 0'
expect 0 '' report "$work/one" -o "$work/without.html" --no-command
figures "$work/without.html" '"--password" not in page.text' 'setting(figure("Where it ran"), "command line") == "left out"'
expect 0 'HF-I442' record "$live" -o "$work/less" --interval 0.02 --duration 0.1 --no-command
! grep -q 'command line' "$work/err" || fail "record --no-command says that the command line is in the file"
expect 0 '' report "$work/less" -o "$work/without.html"
figures "$work/without.html" '"--password" not in page.text' 'setting(figure("Where it ran"), "command line") == "left out"'
stop

# --- two side by side: the same scales, and what differs by its name ---
expect 0 '' report "$work/waves" "$work/one" -o "$work/pair.html"
page "$work/pair.html"
reads "$work/pair.html"
for picture in 'Live and held' 'Live bytes by size' 'Node 0: ' 'Pages taken' 'Threads over' 'Slow paths'; do
    figures "$work/pair.html" "left(figure('A $picture')) == left(figure('B $picture'))" "below(figure('A $picture')) == below(figure('B $picture'))"
done
figures "$work/pair.html" 'below(figure("A Live and held"))[0] == "0 s"' 'figure("In numbers").cells[4] == "Held over live"' \
    'figure("In settings").cells[figure("In settings").cells.index("HOLDFAST_NODES"):][1:3] == ["all", "0"]' \
    'figure("In settings").cells[figure("In settings").cells.index("HOLDFAST_PREFAULT"):][1:3] == ["background", "startup"]' \
    're.search("The same in both: library[^.]*HOLDFAST_BACKING", page.text)' '"HOLDFAST_BACKING" not in figure("In settings").cells'
# On a small screen cells wrap, and what is around the map of pages does: only the map itself is wider.
figures "$work/pair.html" 'all(re.fullmatch("[0-9.]+ [KMG]?i?B", text) for text, *_ in figure("A Node 0 at the last sample").texts)' \
    'figure("A Node 0 at the last sample").keys == list("onlikmf")' 're.search("16 MiB on [0-9a-z]+ pages: live .* free, longest run ", page.text)' \
    '".whole th,.whole td{white-space:normal" in page.style.split("@media (max-width:40rem)")[1]'

# --- names that another process chose ---
HOLDFAST_ARENA=64M start name WWWWWWWWWWWWWWW 1
expect 0 '' report "$live" -o "$work/name.html" --seconds 0
reads "$work/name.html"
figures "$work/name.html" '("WWWWWWWWWWWWWWW", 122.0, "e", True) in figure("Bytes by thread").texts'
stop
HOLDFAST_ARENA=64M HOLDFAST_BACKING=thp start name '<i>&"'"'"'x</i>' 16
expect 0 '' report "$live" -o "$work/name.html" --seconds 0.2
page "$work/name.html"
grep -qF '&lt;i&gt;&amp;&quot;&#39;x&lt;/i&gt;' "$work/name.html" || fail "the thread's name is not on the page"
! grep -qF '<i>' "$work/name.html" || fail "the thread's name is not escaped"
grep -q 'Healthy' "$work/name.html" || fail "a healthy run is not called so"
"$holdfast" record "$live" -o "$work/small" --interval 0.05 --duration 0.3 2> "$work/err"
stop

# --- cut at any byte, or corrupted ---
bytes=$(wc -c < "$work/small")
cut=0 last=0
while [ "$cut" -lt "$bytes" ]; do
    head -c "$cut" "$work/small" > "$work/cut"
    "$holdfast" tune "$work/cut" --json > "$work/out" 2> "$work/err"
    status=$?
    if [ "$status" = 2 ]; then
        grep -q HF-E443 "$work/err" || fail "cut at $cut: no message"
        [ "$last" = 0 ] || fail "cut at $cut: samples that were there before are not read"
    elif [ "$status" -gt 1 ]; then
        fail "cut at $cut: exit status $status"
    else
        now=$(sed -n 's/.*"samples": \([0-9]*\).*/\1/p' "$work/out")
        [ "$now" -ge "$last" ] || fail "cut at $cut: $now samples, $last before"
        last=$now
    fi
    cut=$((cut + bytes / 97 + 1))
done
[ "$last" -ge 3 ] || fail "a recording that lacks its last bytes has $last samples"
head -c $((bytes - 1)) "$work/small" > "$work/cut"
expect 0 'HF-W444' report "$work/cut" -o "$work/cut.html"
page "$work/cut.html"
grep -q 'was cut short' "$work/cut.html" || fail "the page does not say that the recording was cut"
at=0
while [ "$at" -lt "$bytes" ]; do
    { head -c "$at" "$work/small"; printf '\377'; tail -c +$((at + 2)) "$work/small"; } > "$work/cut"
    "$holdfast" report "$work/cut" -o "$work/cut.html" > "$work/out" 2> "$work/err"
    status=$?
    [ "$status" -le 1 ] || fail "corrupted at $at: exit status $status"
    cmp -s "$work/cut" "$work/small" || grep -q 'HF-E44[38]\|HF-W444' "$work/err" || fail "corrupted at $at: no message"
    at=$((at + bytes / 41 + 1))
done
{ cat "$work/small"; printf 'more'; } > "$work/cut"
expect 0 'behind its end' report "$work/cut" -o "$work/cut.html"

# --- of a tool of another release: what both know is shown, what one lacks is unknown ---
if command -v python3 > /dev/null; then
    cp "$work/small" "$work/of"
    expect 0 '' report "$work/of" -o "$work/small.html"
    grep -q '<dd>unknown' "$work/small.html" && fail "live bytes of a recording are unknown"
    for release in older newer; do
        python3 "${srcdir:-.}/tests/recording-layout.py" "$release" "$work/small" "$work/of" || fail "no recording of an $release release"
        expect 0 '' report "$work/of" -o "$work/of.html"
        if [ "$release" = newer ]; then
            cmp -s "$work/small.html" "$work/of.html" || fail "a recording of a newer release has another page"
        else
            page "$work/of.html"
            grep -q 'blocks freed into unowned pages</th><td>unknown' "$work/of.html" || fail "a counter that an older release has not is known"
            grep -q '<dd>unknown' "$work/of.html" || fail "live bytes that an older release did not record are known"
        fi
    done
fi
{ head -c 16 "$work/small"; printf '\004'; tail -c +18 "$work/small"; } > "$work/of"
expect 1 'HF-E448' report "$work/of" -o "$work/of.html"

# --- in a browser ---
if ! command -v chromium > /dev/null; then
    echo "$name: no chromium: the page was not looked at in a browser"
    [ "$failed" != 0 ] || exit 77
    exit "$failed"
fi

# shot NAME WIDTH FLAG...: a picture of the page, and what the browser complains of
shot()
{
    shot=$1 width=$2
    shift 2
    HOME=$work timeout 120 chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --enable-logging=stderr --user-data-dir="$work/profile" "$@" \
        --window-size="$width",2000 --screenshot="$work/$shot.png" "file://$work/waves.html" > "$work/out" 2> "$work/browser"
    grep CONSOLE "$work/browser" > "$work/err"
    [ ! -s "$work/err" ] || fail "the browser complains of the page ($shot)"
    [ "$(head -c 4 "$work/$shot.png" 2> /dev/null | tail -c 3)" = PNG ] || { tail -3 "$work/browser"; fail "the browser makes no picture ($shot)"; }
    [ "$(wc -c < "$work/$shot.png")" -gt 30000 ] || fail "there is little in the picture of the page ($shot)"
}
shot light 1280
shot narrow 600
shot dark 1280 --force-dark-mode --blink-settings=preferredColorScheme=0
# corner NAME: brightness of the first pixel of a picture, 0 to 255
corner()
{
    python3 -c 'import struct, sys, zlib
data, at, pixels = open(sys.argv[1], "rb").read(), 8, b""
while at < len(data):
    length, kind = struct.unpack(">I4s", data[at:at + 8])
    pixels += data[at + 8:at + 8 + length] if kind == b"IDAT" else b""
    at += length + 12
print(max(zlib.decompress(pixels)[1:4]))' "$work/$1.png"
}
if command -v python3 > /dev/null; then
    [ "$(corner light)" -gt 200 ] || fail "the page in light is not"
    [ "$(corner dark)" -lt 60 ] || fail "the page in dark is not"
fi
[ -z "${REPORT_PICTURES:-}" ] || cp "$work"/*.png "$work"/*.html "$REPORT_PICTURES"

exit "$failed"
