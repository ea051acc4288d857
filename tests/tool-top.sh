#!/bin/sh
# holdfast top: driven through tmux, on a segment made by hand and on a process: what it shows in two sizes, keys, changes of size,
# no colours, names that somebody chose badly, how it ends and leaves the terminal.
#
# $srcdir and $top_builddir as Automake sets them, both . by default.
set -u
unset NO_COLOR TMUX
. "${srcdir:-.}/tests/tool-part.sh"
holdfast=$(cd "$top_builddir" && pwd)/holdfast
servers=0 # each terminal has one of its own: a socket is not at once free again
tmux()
{
    command tmux -u -f /dev/null -S "$work/tmux.$servers" "$@" 2> /dev/null
}
trap 'tmux kill-server; finish_segment; finish' EXIT

fail()
{
    echo "$name: $*"
    tmux capture-pane -p | sed -e 's/ *$//' -e 's/^/    /'
    failed=1
}

# --- what it refuses ---
expect 0 'usage: holdfast top' top --help
expect 2 HF-E400 top --nonsense
expect 2 HF-E400 top --delay
expect 2 HF-E400 top -d 1
for delay in 0 0.09 61 -1 1e1 nan x ''; do expect 78 HF-E436 top --delay "$delay"; done
expect 2 HF-E416 top 1 2
expect 1 HF-E411 top 2147483647
start_segment
expect 1 HF-E435 top "$victim"
command -v tmux > /dev/null || { echo "$name: no tmux: the screen is not tested"; [ "$failed" = 0 ] && exit 77; exit 1; }

# screen SIZE ENVIRONMENT ARGUMENT...: top in a terminal of that size; afterwards it says how top ended, and what the terminal was then
screen()
{
    size=$1 environment=$2
    shift 2
    tmux kill-server
    servers=$((servers + 1))
    cat > "$work/session" << END
before=\$(stty -g)
sh -c 'echo \$\$ > "$work/pid"; exec env $environment "$holdfast" top --delay 0.2 $*'
echo "status=\$?"
[ "\$before" = "\$(stty -g)" ] && echo restored
sleep 600
END
    tmux new-session -d -x "${size%x*}" -y "${size#*x}" "sh $work/session"
}

# await TEXT: on the screen, sooner or later; tries for some 20 s, as the machine may be busy
await()
{
    tries=100
    while [ "$tries" -gt 0 ]; do
        tmux capture-pane -p > "$work/screen" || break
        grep -qF -e "$1" "$work/screen" && return 0
        sleep 0.2
        tries=$((tries - 1))
    done
    fail "'$1' does not appear${2:+ ($2)}"
    return 1
}

keys()
{
    tmux send-keys "$@"
}

# line TEXT: is a line of the screen as it was awaited, blanks at the end aside
line()
{
    sed 's/ *$//' "$work/screen" | grep -qxF -e "$1" || fail "no line '$1'"
}

# lacks TEXT
lacks()
{
    grep -qF -e "$1" "$work/screen" && fail "'$1' is still there"
}

# order TEXT TEXT: the first stands above the second; awaited
order()
{
    tries=100
    while [ "$tries" -gt 0 ]; do
        tmux capture-pane -p > "$work/screen"
        [ "$(grep -oF -e "$1" -e "$2" "$work/screen" | head -1)" = "$1" ] && return 0
        sleep 0.2
        tries=$((tries - 1))
    done
    fail "$1 is not above $2"
}

colours='TERM=screen-256color LC_ALL=C.UTF-8'
screen 80x24 "$colours" "$victim"
await "$victim"
if grep -q HF-E437 "$work/screen"; then
    echo "$name: built without ncurses"
    [ "$failed" = 0 ] && exit 77
    exit 1
fi

# --- 80x24: every line ---
await 'by bytes, most first'
own=$(printf 'made        %7s  0   5     2  70Ki      0     0     0    11   22   33     6' "$victim")
other='?           4000001  3   6     4 128Ki      0     0     0   111  122  133    16'
await "$own"
line ' live 4.29Mi  held 4.56Mi  held/live 1.06  unused 276Ki'
await ' slow paths 0/s  remote 0.0 % (ever 18.7 %)  p99 - (ever < '
line ' threads 2  failed 0  claimed 0/s  fresh 0/s  stolen 0/s  large 0/s'
line ' node 0 [███████████████████████░░█·················]  58.6 % of 8 MiB FULL'
line ' node 3 [···········································]   0.0 % of 4 MiB 2m'
line '         █ owned  █ full  █ large  █ idle  ░ kept empty  █ own  · free  ░ unused'
line ' reserve 192Ki of 512Ki, begun 7 times'
line ' 1 theaps 2 classes 3 events 4 nodes 5 history 6 heaps by bytes, most first'
line 'name            tid nd cpu pages bytes slow/s out/s  in/s claim stol lost  away'
line "$own"
line "$other"
line '      64B       5    320Ki     2758     5120    53.9    148Ki' # below the two threads: size classes, and events
order '    block    runs     held' 'last events'
order 'last events' 'node full: 8 MiB did not fit  (4000001 ?)'
order 'node full: 8 MiB did not fit' 'published: arena of 12 MiB'
tmux capture-pane -p > "$work/screen"
lacks 4000002
[ "$(wc -l < "$work/screen")" = 24 ] || fail "not 24 lines"
tmux capture-pane -p -e > "$work/colours"
for text in '[31mFULL' '[32m█' '[36m█' '[94m█████' '[33m░' '[35m█'; do
    grep -qF -e "$text" "$work/colours" || fail "the colours lack $text"
done

# --- keys ---
order "$other" "$own"
keys T && await 'by tid, most first' && order "$other" "$own"
keys r && await 'by tid, least first' && order "$own" "$other"
keys N && await 'by name, least first' && order "$other" "$own"
keys '>' && await 'by tid, most first'
keys '<' && keys '<' && await 'by away, most first'
keys 2 && await 'by held, most first'
line '    block    runs     held   in use     room  fill %    waste'
line '      64B       5    320Ki     2758     5120    53.9    148Ki'
line '      8Ki       2    256Ki       16       32    50.0    128Ki'
lacks "$own"
keys B && await 'by block, least first'
keys Tab && await '2 so far, the last 2'
order 'node full: 8 MiB did not fit  (4000001 ?)' 'published: arena of 12 MiB'
keys 4 && await 'node  total   used   live   idle  large   free longest    most      ago theaps'
await '   3    4Mi      0      0      0      0    4Mi     4Mi   0.0 %'
line 'node 0: a cell is 64 KiB'
line '       0 B ███░▓░███░░·····················································'
line '     4 MiB ████████████████████████████████████████████████████████████████'
order 'node 0: a cell' 'node 3: a cell'
tmux resize-window -x 80 -y 25
await 'history: '
tmux resize-window -x 80 -y 24
keys 5 && await '5 history' && await 'live    '
line 'slow calls     calls     p50 <     p99 <   p99.9 <   longest   late'
grep -qE '^fresh +5 .* 3 *$' "$work/screen" && grep -qE '^cleared +1 .* 0 *$' "$work/screen" || fail "slow calls are not shown by cause"
line_of() { sed -n "s/^$1  *\([^ ]*\) .*/\1/p" "$work/screen"; }
case $(line_of live) in *[!█▇▆▅]* | '') fail "what is live is drawn as '$(line_of live)'" ;; esac
[ "$(line_of live)" = "$(line_of held)" ] || fail "live and held have two scales, or times"
keys 4 && await 'node  total'
keys Tab && await '5 history' && keys Tab && await 'has made no heap' && keys Tab && await 'by away, most first'
keys h && await 'holdfast top: keys' && await 'frees into others'
keys h && await 'by away, most first'
keys d && await 'delay in seconds: _'
keys 7 BSpace 0 . 3 Enter && await '0.3 s  h help'
keys h && await 'holdfast top: keys'
keys Escape && await 'by away, most first'
keys d && await 'delay in seconds: _'
keys 9 9 Enter && await '99 is not 0.1 to 60; delay in seconds: _' # and is asked for again
keys . Enter && await '. is not 0.1 to 60; delay in seconds: _'
keys a b Enter && await 'ab is not 0.1 to 60; delay in seconds: _'
keys 5 Space x && await 'delay in seconds: 5 x_'
keys Enter && await '5 x is not 0.1 to 60; delay in seconds: _'
keys 0 . 1 0 0 0 0 9 x Enter && await '0.1000> is not 0.1 to 60; delay in seconds: _'
keys Escape && await '0.3 s  h help'
keys d && await 'delay in seconds: _'
keys 0 . 2 Enter && await '0.2 s  h help'

# --- a counter that moves: theap 0's slow paths ---
keys S && await 'by slow/s, most first'
tries=100 slow=7
while [ "$tries" -gt 0 ]; do
    slow=$((slow + 1000)) tries=$((tries - 1))
    change_segment theap0.slow="$slow"
    sleep 0.1
    tmux capture-pane -p > "$work/screen"
    grep -qE "^made +$victim +0 +5 +2 +70Ki +[1-9][0-9.]*k? " "$work/screen" && break
done
[ "$tries" -gt 0 ] || fail "slow paths do not show as a rate"
order 'made       ' '?          '
keys 5 && await '5 history'
grep -q '^slow/s .*[▁▂▃▄▅▆▇█]' "$work/screen" || fail "a rate is not drawn over time"
keys 1 && await 'by slow/s, most first'

# --- heaps: of a segment that has some ---
finish_segment
start_segment --heaps
screen 80x24 "$colours" "$victim"
await ' heaps 42 hold 1.66Mi  over limits 1.23M  reserve 192Ki of 512Ki, begun 7 times'
await ' node 0 [███████████████████████░░█·················]  58.6 % of 8 MiB FULL'
await '█ large  █ heaps  █ idle'
keys 6 && await '42 live; not in the list: 39, which hold 640Ki; 57 made so far'
await 'by held, most first'
line 'heap               number   held   most  limit full % failed  grow/s    for'
for heap in 'cache                   1  950Ki    1Mi    1Mi   92.8      0       0 ' \
    '(no name)              12   64Ki   64Ki      -      -      0       0 ' \
    'que"ry\??[2Jé           9   48Ki   64Ki   64Ki   75.0  1.23M       0 '; do await "$heap"; done
order 'cache    ' '(no name)'
order '(no name)' 'que"ry'
keys X && await 'by failed, most first' && order 'que"ry' 'cache    '
keys N && await 'by heap, least first' && order '(no name)' 'cache    '
keys O && await 'by over, most first' && await ' 512Ki     3'
keys h && await 'times that it came over the soft limit'
keys h H && await 'by held, most first'
tries=100 held=950
while [ "$tries" -gt 0 ]; do # one that grows
    held=$((held + 64)) tries=$((tries - 1))
    change_segment heap1.held="$((held << 10))"
    sleep 0.1
    tmux capture-pane -p > "$work/screen"
    grep -qE '^cache +1 +[0-9.]+Mi +[0-9.]+Mi +1Mi +[0-9.]+ +0 +[1-9][0-9.]*[KM]i ' "$work/screen" && break
done
[ "$tries" -gt 0 ] || fail "a heap that grows has no rate"
finish_segment
start_segment --heaps --older
screen 80x24 "$colours" "$victim"
keys 6 && await 'its library does not tell of heaps'
finish_segment
start_segment
screen 80x24 "$colours" "$victim"
await 'by bytes, most first'
keys A && await 'by away, most first'

# --- other sizes ---
tmux resize-window -x 200 -y 60
await "$(printf 'made             %10s     0      5        2   70.2Ki' "$victim")"
await 'remote frees 0/s  given back 0/s'
[ "$(wc -l < "$work/screen")" = 60 ] || fail "not 60 lines"
grep -q ' node 0 \[[^]]*\]  58.6 % of 8 MiB FULL$' "$work/screen" || fail "no bar on a wide screen"
[ "$(grep -o '█' "$work/screen" | wc -l)" -gt 80 ] || fail "the bar is not wider on a wide screen"
keys A && await 'by away, most first'
tmux resize-window -x 60 -y 12
await 'name            tid slow/s out/s  in/s claim stol lost  away'
lacks 'kept empty'
tmux resize-window -x 40 -y 10
await 'node 0 ' && await 'away'
await ' 1 theaps 2 3 4 5 6 by away, most first'
keys 5 && await ' 1 2 3 4 5 history 6' && await 'live    '
keys 1 && await 'by away, most first'
tmux resize-window -x 40 -y 24
await ' ░ kept empty  █ own  · free  ░ unused'
tmux resize-window -x 39 -y 10
await 'too small: 39x10, top needs 40x10'
tmux resize-window -x 80 -y 9
await 'too small: 80x9, top needs 40x10'
tmux resize-window -x 1 -y 1
sleep 0.5
tmux resize-window -x 80 -y 24
await 'by away, most first'
keys q && await 'status=0' && await restored

# --- a refresh is one write to the terminal ---
failed_before=$failed
screen 200x60 "$colours strace -y -e trace=write,ppoll,poll -o $work/calls" "$victim"
if await "made ($victim)" > "$work/refused"; then
    sleep 1
    keys q && await 'status=0'
    writes=$(sed '/ppoll/q' "$work/calls" | grep -c 'write(1<[^>]*/dev/pts/')
    waits=$(grep -c '^ppoll' "$work/calls")
    [ "$writes" -le 3 ] || fail "the first picture takes $writes writes" # one to enter the screen
    polls=$(grep -c '^poll' "$work/calls")
    [ "$polls" -le $((2 * waits + 4)) ] || fail "$waits refreshes look for keys $polls times"
else
    failed=$failed_before
    echo "$name: strace traces nothing here: writes are not counted"
fi

# --- without colours, without UTF-8 ---
without_colours()
{
    tmux capture-pane -p -e > "$work/colours"
    grep -q "$(printf '\033')\\[[0-9;]*3[0-7]" "$work/colours" && fail "colours with $1"
}
screen 80x24 'TERM=vt100 LC_ALL=C' "$victim"
await ' node 0 [OFLLLLLLLLLLLLLLLLLLLLLieS.................]  58.6 % of 8 MiB FULL'
line '         O owned  F full  L large  I idle  e kept empty  S own  . free  o unused'
without_colours TERM=vt100
keys 5 && await '5 history'
grep -qE '^held +[|#]+ +4.56Mi most 4.56Mi$' "$work/screen" || fail "no graph without UTF-8"
screen 80x24 "$colours NO_COLOR=1" "$victim"
await ' node 0 [OFLLLLLLLLLLLLLLLLLLLLLieS.................]  58.6 % of 8 MiB FULL'
without_colours NO_COLOR
screen 80x24 'TERM=screen-256color LC_ALL=C' "$victim"
await ' node 0 [OFLLLLLLLLLLLLLLLLLLLLLieS.................]  58.6 % of 8 MiB FULL'
screen 80x24 'TERM=no-such-terminal' "$victim"
await HF-E438
await 'status=1'

# --- signals: it ends by them, and leaves the terminal as it was ---
for pair in INT:130 TERM:143 HUP:129 QUIT:131 SEGV:139 ABRT:134; do
    screen 80x24 "$colours" "$victim"
    await "made ($victim)" || break
    kill -"${pair%:*}" "$(cat "$work/pid")"
    await "status=${pair#*:}" "after SIG${pair%:*}"
    await restored "after SIG${pair%:*}"
    lacks "made ($victim)"
done

# --- a terminal that takes nothing: it hears a signal all the same ---
# ended PID: within some 10 s
ended()
{
    tries=50
    while [ "$tries" -gt 0 ] && kill -0 "$1" 2> /dev/null; do
        sleep 0.2
        tries=$((tries - 1))
    done
    [ "$tries" -gt 0 ]
}
screen 80x24 "$colours" "$victim"
await "made ($victim)"
keys C-s # the terminal is stopped
sleep 1
stopped=$(cat "$work/pid")
kill -TERM "$stopped"
ended "$stopped" || { kill -9 "$stopped"; fail "SIGTERM does not end it while its terminal takes nothing"; }
keys C-q
await 'status=143' 'on a terminal that was stopped' && await restored

# --- a terminal that is gone ---
screen 80x24 "$colours" "$victim"
await "made ($victim)"
gone=$(cat "$work/pid")
tmux kill-server
ended "$gone" || { kill -9 "$gone"; fail "it outlives its terminal"; }

# --- the end of the process, and of what it shows ---
screen 80x24 "$colours" "$victim"
await "made ($victim)"
change_segment magic=1
await HF-E414 && await 'status=1' && await restored
finish_segment
start_segment
screen 80x24 "$colours" "$victim"
await "made ($victim)"
kill "$victim"
await "process $victim (made) has ended" && await 'status=0' && await restored
finish_segment

# --- a library that counts no blocks: nothing of them is told ---
start_segment --older
screen 80x24 "$colours" "$victim"
await ' live unknown  held 4.56Mi'
own=$(printf 'made        %7s  0   5     2     ?      0     0     0    11   22   33     6' "$victim")
await "$own"
line ' node 0 [██████████████████████████·················]  58.6 % of 8 MiB FULL'
line '         █ owned  █ full  █ large  █ idle  ░ kept empty  █ own  · free  ? unused'
line '      64B       5    320Ki        ?     5120       ?        ?'
order "$own" '?           4000001  3   6     4     ?      0     0     0   111  122  133    16'
keys 4 && await '   3    4Mi      0      ?      0      0    4Mi     4Mi   0.0 %'
line '       0 B ███████████·····················································'
keys 5 && await '5 history' && await 'held    '
lacks 'live    '
case $(line_of held) in *[!█▇▆▅]* | '') fail "what is held is drawn as '$(line_of held)'" ;; esac
screen 80x24 'TERM=vt100 LC_ALL=C' "$victim"
await ' node 0 [OOFLLLLLLLLLLLLLLLLLLLLLIS.................]  58.6 % of 8 MiB FULL'
line '         O owned  F full  L large  I idle  e kept empty  S own  . free  ? unused'
finish_segment

# --- nothing but ones where figures may be anything: drawn, not believed ---
# drawn_whole: every view, and it still ends as it should
drawn_whole()
{
    screen 80x24 "$colours" "$victim"
    await "made ($victim)"
    for key in N 2 W 3 4 5 6 N G 1 A r; do keys "$key"; done
    await 'by away, least first'
    keys h
    await 'holdfast top: keys'
    keys q
    await 'status=0' && await restored
}
start_segment --no-pages --ones nodes --ones theaps --ones events --ones others --ones heaps
drawn_whole
finish_segment
start_segment --ones theaps --ones events --ones pages --ones others
drawn_whole
finish_segment

# --- a process of ours, whose name a terminal would obey ---
strange=$(printf 'a\033[31mb\ac')
if cp "$(command -v sleep)" "$work/$strange" 2> /dev/null; then
    "$holdfast" run --arena 64M --backing 4k "$work/$strange" 600 > /dev/null 2>&1 &
    live=$!
    children="$children $live"
    shows() { "$holdfast" stat "$live" > /dev/null 2>&1; }
    until_true shows
    screen 80x24 "$colours" "$live"
    await "a?[31mb?c ($live)  64 MiB on 1 node"
    await "$(printf 'a?[31mb?c   %7s' "$live")"
    await ' of 64 MiB 4k'
    keys 3 && await 'published: arena of 64 MiB'
    kill "$live"
    await 'has ended' && await 'status=0'
fi

exit "$failed"
