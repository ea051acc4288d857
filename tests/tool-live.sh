#!/bin/sh
# Live, held and unused bytes from outside: of a program that knows them to the byte, in each of its
# states (tests/programs/live.c), by stat, list and OpenMetrics; where its memory must not be read; of
# a recording of before they were told.
#
# $top_builddir as Automake sets it, . by default.
set -u
. "${srcdir:-$(dirname "$0")/..}/tests/tool-part.sh"
command -v python3 > /dev/null || { echo "tool-live.sh: no python3"; exit 77; }

# --- in each state: a line with live and held bytes, and remote frees, which it waits to have answered ---
program=$top_builddir/tests/programs/live
timeout 60 python3 - "$holdfast" "$program" > "$work/out" 2> "$work/err" <<'EOF' || fail "$(tail -1 "$work/err")"
import json, os, re, shutil, subprocess, sys

holdfast, program = sys.argv[1:]
os.environ['HOLDFAST_VERBOSE'] = '0'

def run(*arguments, before=()):
    return subprocess.run([*before, holdfast, *arguments], check=True, capture_output=True, text=True).stdout

def near(what, got, wanted):
    assert abs(got - wanted) <= wanted / 100, f'{state}: {what} is {got}, not {wanted}'

def unknown(text, stat, metrics, listed):
    """Of a process whose counts may not be read: nothing that depends on them is told."""
    assert re.match(r'live unknown \(run as root, or as a user who may trace it\), held [0-9.]+ [KM]iB$', text.splitlines()[1]), text
    assert 'times live' not in text and '% live' not in text and 'kept empty ?' in text, text
    assert 'how much of it is in use is not known' in text, text
    assert re.search(r'^ +64 +[0-9.]+ [KM]iB +\? +\d+ +\? % +\?$', text, re.M), text
    assert stat['live_as_of'] == 'slow_paths' and stat['held'] > 0, stat['live_as_of']
    nothing = [stat[key] for key in ('live', 'unused', 'magazines')]
    for node in stat['nodes']:
        nothing += [node[key] for key in ('live', 'idle_live', 'magazines', 'owned_empty', 'owned_partly')]
    for each in stat['classes']:
        nothing += [each[key] for key in ('used_blocks', 'waste_bytes', 'live_bytes')]
    nothing += [theap['used_bytes'] for theap in stat['theaps']]
    assert all(figure is None for figure in nothing), 'what is not known is not null'
    assert 'holdfast_held_bytes{' in metrics and re.search(r'^holdfast_live_exact\{.*\} 0$', metrics, re.M), metrics
    assert not re.search(r'^holdfast_(live_bytes|idle_live_bytes|magazine_bytes|class_blocks|class_waste_bytes)\{', metrics, re.M)
    assert re.search(rf"^ *{stat['pid']} \S+ +128Mi +\S+ +\? ", listed, re.M) and '\n? not known' in listed, listed

def look(state, live, held, remote, pid):
    stat, text = json.loads(run('stat', '--json', pid)), run('stat', pid)
    if stat['live_as_of'] != 'now':
        unknown(text, stat, run('stat', '--format', 'openmetrics', pid), run('list'))
        return
    assert stat['live'] == live, f"{state}: live is {stat['live']}, not {live}"
    near('held', stat['held'], held)
    near('unused', stat['unused'], held - live)
    assert stat['held'] == stat['live'] + stat['unused'] and stat['magazines'] <= stat['unused'], state
    for key in 'live', 'held', 'magazines':
        assert sum(node[key] for node in stat['nodes']) == stat[key], f'{state}: {key} of the nodes'
    of_classes = sum(c['live_bytes'] for c in stat['classes'])
    large = sum(node['large'] for node in stat['nodes'])
    guards = of_classes + large - live
    assert 0 <= guards <= 6 * 4096, f'{state}: size classes have {of_classes}, large blocks {large}'
    assert all(c['live_bytes'] == c['used_blocks'] * c['block_bytes'] for c in stat['classes']), state
    assert all(node['idle_live'] <= node['idle'] for node in stat['nodes']), state
    first = text.splitlines()[1]
    assert re.match(r'live .*, held .* times live\), unused ', first), f'{state}: not the first line'
    units = {'B': 1, 'KiB': 1 << 10, 'MiB': 1 << 20, 'GiB': 1 << 30}
    sizes = [float(number) * units[unit] for number, unit in re.findall(r'([0-9.]+) ([KMG]?i?B)', first)]
    assert len(sizes) == 3, first
    for shown, exact in zip(sizes, (stat['live'], stat['held'], stat['unused'])):
        assert abs(shown - exact) <= exact * 0.0051, f'{state}: stat says {first}, which is {exact}'
    listed = [p for p in json.loads(run('list', '--json'))['processes'] if str(p['pid']) == pid]
    assert [(p['live'], p['held']) for p in listed] == [(live, stat['held'])], f'{state}: list says {listed}'
    metrics = run('stat', '--format', 'openmetrics', pid)
    shown = re.findall(r'^holdfast_live_bytes\{.*\} (\d+)$', metrics, re.M)
    assert shown == [str(live)], f'{state}: OpenMetrics says {shown}'
    line = json.loads(run('stat', '--watch', '0.05', '--count', '1', '--json', pid))
    assert (line['live'], line['held']) == (live, stat['held']), f'{state}: --watch says {line}'
    if state == 'two-thirds-freed':
        picture = run('map', '--node', str(stat['nodes'][0]['id']), pid)
        assert re.search(r'^ +[0-9.]+ [KM]?i?B [A-Zoif.e]*[oi]', picture, re.M), picture
        assert '\n  small letter: less than half of it in use' in picture, picture
    if state == 'asleep':
        assert stat['nodes'][0]['owned_empty'] == 0, 'pages with live blocks are called empty'
    if state == 'many' and os.geteuid() == 0 and shutil.which('setpriv'):
        bounds = ['setpriv', '--inh-caps=-sys_ptrace', '--bounding-set=-sys_ptrace']
        unknown(run('stat', '--classes', pid, before=bounds), json.loads(run('stat', '--json', pid, before=bounds)),
                run('stat', '--format', 'openmetrics', pid, before=bounds), run('list', before=bounds))
        picture = run('map', pid, before=bounds)
        assert picture.splitlines()[1].startswith('live unknown (run as root'), picture
        assert '\n  how much of it is in use is not known' in picture and 'times live' not in picture, picture
        page = run('report', '-o', '-', '--seconds', '0', pid, before=bounds)
        assert '<dd>unknown</dd><dd class="sub">run as root' in page and 'Live bytes by size' not in page, 'report'
        assert ' times</dd>' not in page and 'an unknown part of it unused' in page, 'the report tells what is not known'

pipe = subprocess.PIPE
process = subprocess.Popen([program, 'wait'], stdin=pipe, stdout=pipe, text=True, bufsize=1)
try:
    states = []
    for line in process.stdout:
        state, *figures = line.split()
        look(state, *map(int, figures), str(process.pid))
        states.append(state)
        process.stdin.write('\n')
    assert process.wait() == 0, 'the program itself says otherwise'
    assert len(states) == 7, states
finally:
    process.kill()

# --- the child of a process with threads, which counts blocks as out that were free at the fork ---
forked = subprocess.Popen([program, 'forked'], stdin=pipe, stdout=pipe, text=True, bufsize=1)
try:
    pid = forked.stdout.readline().split()[1]
    stat = json.loads(run('stat', '--json', pid))
    if stat['live_as_of'] != 'slow_paths':
        assert stat['live_as_of'] == 'at_most', f"what is at most live is as of {stat['live_as_of']}"
        assert stat['live'] > 64 * 10000, stat['live'] # what lay in idle pages the forking thread had taken
        lines = run('stat', pid).splitlines()
        assert re.match(r'live at most .*, held .* \(at least .* times live\), unused at least ', lines[1]), lines[1]
        assert '  blocks that other threads had freed before the fork count as live' in lines[2:4], lines[:4]
        assert re.search(r'^holdfast_live_exact\{.*\} 0$', run('stat', '--format', 'openmetrics', pid), re.M), 'exact'
        listed = run('list')
        assert re.search(rf'^ *{pid} \S+ .* <[0-9.]+Mi ', listed, re.M) and '\n< at most' in listed, listed
    forked.stdin.write('\n')
    assert forked.wait() == 0
finally:
    forked.kill()

# --- a program that says more of its theaps than a reader has time for ---
forged = subprocess.Popen([program, 'forged'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
try:
    assert forged.stdout.readline() == 'forged\n', 'no forged segment'
    stat = json.loads(run('stat', '--json', str(forged.pid)))
    assert stat['live_as_of'] != 'now', 'all of an endless list was read'
finally:
    forged.kill()
EOF

# --- a process that ends while it is recorded: its last counts stay, and all of the file was written ---
valgrind='valgrind -q --error-exitcode=99'
command -v valgrind > /dev/null || { valgrind=; echo "tool-live.sh: no valgrind: record is not looked at by it"; }
HOLDFAST_ARENA=16M HOLDFAST_BACKING=4k start fill 4 || exit 1
# shellcheck disable=SC2086
$valgrind "$holdfast" record "$live" -o "$work/ended" --interval 0.2 > "$work/out" 2> "$work/err" &
recorder=$!
children="$children $recorder"
for _ in $(seq 100); do [ -s "$work/ended" ] && break; sleep 0.1; done
"$holdfast" stat --json "$live" > "$work/before" 2>> "$work/err"
sleep 0.3
stop
wait "$recorder" || fail "record of a process that ends: exit status $?"
grep -q ', and the process ended' "$work/err" || fail "record does not say that the process ended"
expect 0 '' report "$work/ended" -o "$work/page"
if grep -q '"live_as_of": "now"' "$work/before"; then
    grep -q 'counted in the process' "$work/page" || fail "the last exact counts of a process are forgotten"
fi

# --- a recording of before: 8 MiB, three samples, of version 1 ---
base64 -d > "$work/old.gz" <<'EOF'
H4sIAAAAAAACA7VUXWxURRSeM/dvu112N5ImPsGYGEN4g4QHkyZuIiY8mEDENwPdkOirrzzw8LHd0nZTy6ZuScWmLqY2FSE0TUBUCreNGkII
2YRSAiayItGqDVbB2kB0/c6lRMOD8cVz75xvZs6ZO/OdM+e+vHPH9ldeenGLGGMcm8fW9ybVN78FRsU35sDYsXER01Gduf35Ym1yft8hUApA
+5EFO33pmOiweusFhV13D49e/aCRm57pnpsphfBLOusQrir66EBZvXA0jYPsZHApDXWxNut5ia+0KO+drHy1Is2z/d/2ZDyL4XRi2mXFhNWH
b03MlsKVm398dqqRw/zYqaHzt8uQhaF7rZUji0tb7s68/fHJdz5BSUo9ldpkoz5bEk+M9fmFlHiIqx+eE8S160PS3CiytOGhNb6YAMnuoXo9
alUrFlgOHvfyDyYmfyU3yxOpQyEQsefEWet8seyFYmhSI8MVdZr99YR7IU7ANRWOdyhxh3xd4btMrDCfbioMtWksHFJ1hcEoVpgOmwqLAbp1
eVBXWPFjhYt+U+F9X6Pq4McKX3roIYx4scJ9i0O6g40VPrXoJYzbWKFq0afrLCqEy4IB3UEwqGcRVNUmqBHewAj1qxil3gHScgVMUm/FFPVm
nKV+FuTpHBq8G1tBsoXNWObMUyBjlwcJF58D+RYdSLfA+RJcCmRZFwfSK+ahtISWMhzz1UNLHiRQZDp60dRBHxwjXKGFcwMo0m2QFs0XCrTU
aOHcCIocjNLCAQ8sNtXZK4Fzl3PgWby6mDZNVyN3MfKts5EMDEvaz4SpkMleb9KyybQX6PDjtf4k6aLXPMW7koEzkK/57H1C3P8q5+XfH2w0
66JlXknxWZeV4eSuPqbXrvQ8ywSj2KeKfm0mG2Usk3EgF1ld94/Xk0dl9PzC0XcXAjGv8Vewe9/TSyLOaBXOnfio686N2d/l8OoPN3fenzve
1VqTg9Iq/1123R5rK28CSZtQfBbFfpPqPGEZ+21rIYanEWVMB7nF62PLv6xt4d/5PjNef+be6StfSPXndms88aV1YUL+tP/5k+uiEUuSWZOL
1kt5+kyXmDzEiIbBiaz+NIVmLmv12BfC7qUpxG17bCX5U/UnOmv+AqhPL54hBQAA
EOF
gzip -dc "$work/old.gz" > "$work/old"
expect 0 'nothing to change' tune "$work/old"
expect 0 '' report "$work/old" -o "$work/page"
grep -q 'worker' "$work/page" || fail "the report of an old recording is none"
# And nothing else in its place.
{ head -c 8 "$work/old"; printf '\003'; tail -c +10 "$work/old"; } > "$work/bad"
expect 2 'HF-E448' tune "$work/bad"
{ head -c 20 "$work/old"; printf '\377'; tail -c +22 "$work/old"; } > "$work/bad"
expect 2 'its tables are not those of this tool' tune "$work/bad"

exit "$failed"
