#!/bin/sh
# holdfast top: driven through tmux, on a segment made by hand and on a process: what it shows in two sizes, keys, changes of size,
# no colours, names that somebody chose badly, how it ends and leaves the terminal.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
export LC_ALL=C
unset NO_COLOR TMUX HOLDFAST_ARENA HOLDFAST_BACKING
top_srcdir=${top_srcdir:-${srcdir:-.}}
top_builddir=${top_builddir:-.}
holdfast=$(cd "$top_builddir" && pwd)/holdfast
failed=0
live=
servers=0 # each terminal has one of its own: a socket is not at once free again
work=$(mktemp -d) || exit 1
. "$top_srcdir/tests/made-segment.sh"
tmux()
{
    command tmux -u -f /dev/null -S "$work/tmux.$servers" "$@" 2> /dev/null
}
finish()
{
    tmux kill-server
    finish_segment
    [ -z "$live" ] || kill "$live" 2> /dev/null
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

fail()
{
    echo "tool-top.sh: $*"
    tmux capture-pane -p | sed -e 's/ *$//' -e 's/^/    /'
    failed=1
}

# expect STATUS TEXT ARGUMENT...: without a terminal
expect()
{
    status=$1 text=$2
    shift 2
    "$holdfast" top "$@" > "$work/out" 2> "$work/err" < /dev/null
    got=$?
    [ "$got" = "$status" ] || fail "top $*: exit status $got, not $status"
    cat "$work/out" "$work/err" | grep -qF -e "$text" || fail "top $*: does not say '$text'"
}

# --- what it refuses ---
expect 0 'usage: holdfast top' --help
expect 2 HF-E400 --nonsense
expect 2 HF-E400 --delay
expect 2 HF-E400 -d 1
for delay in 0 0.09 61 -1 1e1 nan x ''; do expect 78 HF-E436 --delay "$delay"; done
expect 2 HF-E416 1 2
expect 1 HF-E411 2147483647
[ -w /dev/shm ] || { echo "tool-top.sh: /dev/shm is not writable"; exit 77; }
start_segment 192
expect 1 HF-E435 "$victim"
command -v tmux > /dev/null || { echo "tool-top.sh: no tmux: the screen is not tested"; [ "$failed" = 0 ] && exit 77; exit 1; }

# start SIZE ENVIRONMENT ARGUMENT...: top in a terminal of that size; afterwards it says how top ended, and what the terminal was then
start()
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
start 80x24 "$colours" "$victim"
await "$victim"
if grep -q HF-E437 "$work/screen"; then
    echo "tool-top.sh: built without ncurses"
    [ "$failed" = 0 ] && exit 77
    exit 1
fi

# --- 80x24: every line ---
await 'by bytes, most first'
own=$(printf 'sleep       %7s  0   5     2     ?      0     0     0    11   22   33     6' "$victim")
other='?           4000001  3   6     4     ?      0     0     0   111  122  133    16'
await "$own"
line ' live unknown  held 4.56Mi'
await ' slow paths 0/s  remote 0.0 % (ever 18.7 %)  p99 - (ever < '
line ' threads 2  failed 0  claimed 0/s  fresh 0/s  stolen 0/s  large 0/s'
line ' node 0 [██████████████████████████·················]  58.6 % of 8 MiB FULL'
line ' node 3 [···········································]   0.0 % of 4 MiB 2m'
line '         █ owned  █ full  █ large  █ idle  ░ kept empty  █ own  · free  ? unused'
line '  1 theaps   2 classes   3 events   4 nodes   5 history  by bytes, most first'
line 'name            tid nd cpu pages bytes slow/s out/s  in/s claim stol lost  away'
line "$own"
line "$other"
line '      64B       5    320Ki        ?     5120       ?        ?' # below the two threads: size classes, and events
order '    block    runs     held' 'last events'
order 'last events' 'node full: 8 MiB did not fit  (4000001 ?)'
order 'node full: 8 MiB did not fit' 'published: arena of 12 MiB'
tmux capture-pane -p > "$work/screen"
lacks 4000002
[ "$(wc -l < "$work/screen")" = 24 ] || fail "not 24 lines"
tmux capture-pane -p -e > "$work/colours"
for text in '[31mFULL' '[32m█' '[36m█' '[94m█████' '[33m█' '[35m█'; do
    grep -qF -e "$text" "$work/colours" || fail "the colours lack $text"
done

# --- keys ---
order "$own" "$other"
keys T && await 'by tid, most first' && order "$other" "$own"
keys r && await 'by tid, least first' && order "$own" "$other"
keys N && await 'by name, least first' && order "$other" "$own"
keys '>' && await 'by tid, most first'
keys '<' && keys '<' && await 'by away, most first'
keys 2 && await 'by held, most first'
line '    block    runs     held   in use     room  fill %    waste'
line '      64B       5    320Ki        ?     5120       ?        ?'
line '      8Ki       2    256Ki        ?       32       ?        ?'
lacks "$own"
keys B && await 'by block, least first'
keys Tab && await '2 so far, the last 2'
order 'node full: 8 MiB did not fit  (4000001 ?)' 'published: arena of 12 MiB'
keys 4 && await 'node  total   used   live   idle  large   free longest    most      ago theaps'
await '   3    4Mi      0      ?      0      0    4Mi     4Mi   0.0 %'
line 'node 0: a cell is 64 KiB'
line '       0 B ███████████·····················································'
line '     4 MiB ████████████████████████████████████████████████████████████████'
order 'node 0: a cell' 'node 3: a cell'
await 'history: '
keys 5 && await '5 history' && await 'held    '
lacks 'live    '
line_of() { sed -n "s/^$1  *\([^ ]*\) .*/\1/p" "$work/screen"; }
case $(line_of held) in *[!█▇▆▅]* | '') fail "what is held is drawn as '$(line_of held)'" ;; esac
keys 4 && await 'node  total'
keys Tab && keys Tab && await 'by away, most first'
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

# --- a counter that moves: theap 0's slow paths, at 576 + 192 in the segment ---
keys S && await 'by slow/s, most first'
tries=100 slow=7
while [ "$tries" -gt 0 ]; do
    slow=$((slow + 1000)) tries=$((tries - 1))
    le32 "$slow" | dd of="$segment" bs=4 seek=192 conv=notrunc 2> /dev/null
    sleep 0.1
    tmux capture-pane -p > "$work/screen"
    grep -qE "^sleep +$victim +0 +5 +2 +[?] +[1-9][0-9.]*k? " "$work/screen" && break
done
[ "$tries" -gt 0 ] || fail "slow paths do not show as a rate"
order 'sleep      ' '?          '
keys 5 && await '5 history'
grep -q '^slow/s .*[▁▂▃▄▅▆▇█]' "$work/screen" || fail "a rate is not drawn over time"
keys 1 && await 'by slow/s, most first'

# --- other sizes ---
tmux resize-window -x 200 -y 60
await "$(printf 'sleep            %10s     0      5        2        ?' "$victim")"
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
await ' 1 theaps 2 3 4 5 by away, most first'
keys 5 && await ' 1 2 3 4 5 history' && await 'held    '
keys 1 && await 'by away, most first'
tmux resize-window -x 40 -y 24
await ' ░ kept empty  █ own  · free  ? unused'
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
start 200x60 "$colours strace -y -e trace=write,ppoll,poll -o $work/calls" "$victim"
if await "sleep ($victim)" > "$work/refused"; then
    sleep 1
    keys q && await 'status=0'
    writes=$(sed '/ppoll/q' "$work/calls" | grep -c 'write(1<[^>]*/dev/pts/')
    waits=$(grep -c '^ppoll' "$work/calls")
    [ "$writes" -le 3 ] || fail "the first picture takes $writes writes" # one to enter the screen
    polls=$(grep -c '^poll' "$work/calls")
    [ "$polls" -le $((2 * waits + 4)) ] || fail "$waits refreshes look for keys $polls times"
else
    failed=$failed_before
    echo "tool-top.sh: strace traces nothing here: writes are not counted"
fi

# --- without colours, without UTF-8 ---
without_colours()
{
    tmux capture-pane -p -e > "$work/colours"
    grep -q "$(printf '\033')\\[[0-9;]*3[0-7]" "$work/colours" && fail "colours with $1"
}
start 80x24 'TERM=vt100 LC_ALL=C' "$victim"
await ' node 0 [OOFLLLLLLLLLLLLLLLLLLLLLIS.................]  58.6 % of 8 MiB FULL'
line '         O owned  F full  L large  I idle  e kept empty  S own  . free  ? unused'
without_colours TERM=vt100
keys 5 && await '5 history'
grep -qE '^held +[|#]+ +4.56Mi most 4.56Mi$' "$work/screen" || fail "no graph without UTF-8"
start 80x24 "$colours NO_COLOR=1" "$victim"
await ' node 0 [OOFLLLLLLLLLLLLLLLLLLLLLIS.................]  58.6 % of 8 MiB FULL'
without_colours NO_COLOR
start 80x24 'TERM=screen-256color LC_ALL=C' "$victim"
await ' node 0 [OOFLLLLLLLLLLLLLLLLLLLLLIS.................]  58.6 % of 8 MiB FULL'
start 80x24 'TERM=no-such-terminal' "$victim"
await HF-E438
await 'status=1'

# --- signals: it ends by them, and leaves the terminal as it was ---
for pair in INT:130 TERM:143 HUP:129 QUIT:131 SEGV:139 ABRT:134; do
    start 80x24 "$colours" "$victim"
    await "sleep ($victim)" || break
    kill -"${pair%:*}" "$(cat "$work/pid")"
    await "status=${pair#*:}" "after SIG${pair%:*}"
    await restored "after SIG${pair%:*}"
    lacks "sleep ($victim)"
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
start 80x24 "$colours" "$victim"
await "sleep ($victim)"
keys C-s # the terminal is stopped
sleep 1
stopped=$(cat "$work/pid")
kill -TERM "$stopped"
ended "$stopped" || { kill -9 "$stopped"; fail "SIGTERM does not end it while its terminal takes nothing"; }
keys C-q
await 'status=143' 'on a terminal that was stopped' && await restored

# --- a terminal that is gone ---
start 80x24 "$colours" "$victim"
await "sleep ($victim)"
gone=$(cat "$work/pid")
tmux kill-server
ended "$gone" || { kill -9 "$gone"; fail "it outlives its terminal"; }

# --- the end of the process, and of what it shows ---
start 80x24 "$colours" "$victim"
await "sleep ($victim)"
printf 'X' | dd of="$segment" conv=notrunc 2> /dev/null
await HF-E414 && await 'status=1' && await restored
cp "$work/made" "$segment"
start 80x24 "$colours" "$victim"
await "sleep ($victim)"
kill "$victim"
await "process $victim (sleep) has ended" && await 'status=0' && await restored
finish_segment

# --- nothing but ones where figures may be anything: drawn, not believed ---
# drawn_whole: every view, and it still ends as it should
drawn_whole()
{
    start 80x24 "$colours" "$victim"
    await "sleep ($victim)"
    for key in N 2 W 3 4 5 1 A r; do keys "$key"; done
    await 'by away, least first'
    keys h
    await 'holdfast top: keys'
    keys q
    await 'status=0' && await restored
}
start_segment 0
{ head -c 256 "$work/made"; repeat 32 -1; head -c 576 "$work/made" | tail -c 64; repeat 440 -1; } > "$segment"
drawn_whole
finish_segment
start_segment 192
{ head -c 576 "$work/made"; repeat 440 -1; } > "$segment"
drawn_whole
finish_segment

# --- a process of ours, whose name a terminal would obey ---
strange=$(printf 'a\033[31mb\ac')
if cp "$(command -v sleep)" "$work/$strange" 2> /dev/null; then
    "$holdfast" run --arena 64M --backing 4k "$work/$strange" 600 > /dev/null 2>&1 &
    live=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.3
        "$holdfast" stat "$live" > /dev/null 2>&1 && break
    done
    start 80x24 "$colours" "$live"
    await "a?[31mb?c ($live)  64 MiB on 1 node"
    await "$(printf 'a?[31mb?c   %7s' "$live")"
    await ' of 64 MiB 4k'
    keys 3 && await 'published: arena of 64 MiB'
    kill "$live"
    await 'has ended' && await 'status=0'
    live=
fi

exit "$failed"
