#!/bin/bash
# pools: Redis and PostgreSQL on a pool of huge pages with few spare pages, or many: who lives, who is
# killed, and whether `holdfast doctor --forks` and HF-W007 said so before.
#
#   tests/pools.sh [--holdfast PATH] [--spare "0 2 20 2000"] [--only redis|postgresql]
#
# Sets the machine's pool of 2 MiB pages, which takes root, and sets it back at the end: nothing else may use
# it meanwhile.  A line per program and number of spare pages, and "N right, N wrong".  Right means:
#
#   the process that made the arena is not killed (PostgreSQL's ends by itself where it gets no children);
#   a child is killed only where doctor counted too few pages, and HF-W007 was printed before;
#   where doctor counted enough, nobody is killed, and nothing is printed.
#
# Ends with 77 where there is nothing to try.
set -u
export LC_ALL=C
holdfast=${top_builddir:-.}/holdfast
spares='0 2 20 2000'
only=
while [ $# -gt 0 ]; do
    case $1 in
    --holdfast) holdfast=$2; shift ;;
    --spare) spares=$2; shift ;;
    --only) only=$2; shift ;;
    *) echo "usage: pools.sh [--holdfast PATH] [--spare 'COUNT...'] [--only redis|postgresql]" >&2; exit 2 ;;
    esac
    shift
done
skip() { echo "pools.sh: $*"; exit 77; }
[ -x "$holdfast" ] || { echo "pools.sh: no $holdfast; build it, or name it with --holdfast"; exit 2; }
holdfast=$(realpath "$holdfast") || exit 2
pool=/sys/kernel/mm/hugepages/hugepages-2048kB
[ "$(id -u)" = 0 ] || skip "only root sets the pool of 2 MiB pages"
[ -w $pool/nr_hugepages ] || skip "the pool of 2 MiB pages cannot be set here"
[ "$(cat $pool/free_hugepages)" = "$(cat $pool/nr_hugepages)" ] || skip "the pool is in use"
before=$(cat $pool/nr_hugepages)
work=$(mktemp -d) || exit 1
chmod 755 "$work"
server=
finish()
{
    [ -z "$server" ] || kill "$server" 2> /dev/null
    echo "$before" > $pool/nr_hugepages
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
right=0 wrong=0 tried=0

# wait_for SECONDS COMMAND...: until that succeeds
wait_for()
{
    local end=$((SECONDS + $1))
    shift
    until "$@" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

# set_pool ARENA SPARE FORKS: the pool holds the arena, of so many MiB, and the spare pages; $enough is
# whether doctor counts enough
set_pool()
{
    local needed
    needed=$(("$1" / 2 + $2))
    echo $needed > $pool/nr_hugepages
    if [ "$(cat $pool/nr_hugepages)" != $needed ]; then
        echo "skipped: the kernel gives $(cat $pool/nr_hugepages) of $needed pages"
        return 1
    fi
    enough=no
    "$holdfast" doctor --arena "$1M" --backing 2m --forks "$3" > "$work/doctor" 2>&1 && enough=yes
    grep -q 'ok   HF-D06.* 2m needed' "$work/doctor" || { cat "$work/doctor"; return 1; }
}

# judge PROGRAM SPARE SERVER CHILDREN TEXT: SERVER is "not killed" or KILLED, CHILDREN live or killed
judge()
{
    local verdict=right said=no
    grep -q HF-W007 "$work/log" && said=yes
    [ "$3" = "not killed" ] || verdict=WRONG
    [ "$4" = live ] || { [ "$enough" = no ] && [ $said = yes ]; } || verdict=WRONG
    [ "$enough" = no ] || [ $said = no ] || verdict=WRONG
    printf '%-5s %-10s %4s spare: doctor counts enough: %-3s  HF-W007: %-3s  server %s, children %s%s\n' \
        $verdict "$1" "$2" "$enough" $said "$3" "$4" "${5:+ ($5)}"
    if [ $verdict = right ]; then
        right=$((right + 1))
    else
        wrong=$((wrong + 1))
        tail -20 "$work/log" | sed 's/^/    /'
    fi
}

# --- Redis: 90,000 keys, BGSAVE and a rewrite of the append-only file, while others write ---

redis() { timeout 10 redis-cli -p 17379 "$@"; }

# redis_child COMMAND FIELD DONE: what became of that child
redis_child()
{
    local writers
    redis-benchmark -p 17379 -q -n 100000000 -P 4 -r 10000000 -d 1000 -t set > /dev/null 2>&1 &
    writers=$!
    redis "$1" > /dev/null
    wait_for 60 sh -c "timeout 10 redis-cli -p 17379 info persistence | grep -q '$3:0'"
    { kill $writers && wait $writers; } 2> /dev/null
    redis info persistence | tr -d '\r' | sed -n "s/^$2://p"
}

try_redis()
{
    local save rewrite state="not killed" children=live
    set_pool 256 "$1" 1 || return 0
    mkdir "$work/redis"
    "$holdfast" run --arena 256M --backing 2m --strict -- redis-server --port 17379 --bind 127.0.0.1 \
        --dir "$work/redis" --save '' --maxmemory 120mb --maxmemory-policy allkeys-random > "$work/log" 2>&1 &
    server=$!
    wait_for 20 redis ping || { echo "redis does not start"; cat "$work/log"; wrong=$((wrong + 1)); return; }
    redis-benchmark -p 17379 -q -n 90000 -P 16 -r 10000000 -d 1000 -t set > /dev/null 2>&1
    save=$(redis_child bgsave rdb_last_bgsave_status rdb_bgsave_in_progress)
    rewrite=$(redis_child bgrewriteaof aof_last_bgrewrite_status aof_rewrite_in_progress)
    [ "$save $rewrite" = 'ok ok' ] || children=killed
    redis ping | grep -q PONG || state=KILLED
    kill $server 2> /dev/null
    wait $server
    [ $? = 0 ] || state=KILLED
    server=
    judge redis "$1" "$state" $children "BGSAVE $save, AOF rewrite $rewrite"
    rm -rf "$work/redis"
}

# --- PostgreSQL: a child for each connection, some of its own; shared memory is not on the pool ---

as_postgres() { runuser -u postgres -- "$@"; }

# Of 20 connections and 8 of its own each could copy 32 pages, and few do.
try_postgresql()
{
    local bin data=$work/pg state="not killed" children=live tps=
    bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
    set_pool 64 "$1" 28 || return 0
    mkdir "$data" && chown postgres "$data"
    as_postgres "$bin/initdb" -D "$data" -A trust > /dev/null || return
    as_postgres "$holdfast" run --arena 64M --backing 2m --strict -- "$bin/postgres" -D "$data" -k "$data" \
        -c listen_addresses= -c fsync=off -c huge_pages=off -c max_connections=20 > "$work/log" 2>&1 &
    server=$!
    wait_for 5 as_postgres psql -h "$data" -c 'select 1' postgres
    as_postgres pgbench -h "$data" -i -s 3 -q postgres > "$work/bench" 2>&1 &&
        as_postgres pgbench -h "$data" -c 4 -j 2 -T 3 postgres >> "$work/bench" 2>&1 &&
        tps=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$work/bench")
    as_postgres "$bin/pg_ctl" -D "$data" -m fast -w -t 30 stop > /dev/null 2>&1 # where it has not given up
    wait $server
    [ $? -lt 128 ] || state=KILLED # by a signal
    server=
    grep -q 'terminated by signal' "$work/log" && children=killed
    [ $children = killed ] || [ -n "$tps" ] || children='do not work'
    judge postgresql "$1" "$state" "$children" "${tps:-no} transactions per second"
    rm -rf "$data"
}

for spare in $spares; do
    case $only in '' | redis) ;; *) continue ;; esac
    command -v redis-server > /dev/null || { echo "skipped redis: redis-server is not installed"; break; }
    tried=1
    try_redis "$spare"
done
for spare in $spares; do
    case $only in '' | postgresql) ;; *) continue ;; esac
    command -v pgbench > /dev/null && ls -d /usr/lib/postgresql/*/bin > /dev/null 2>&1 ||
        { echo "skipped postgresql: postgres or pgbench is not installed"; break; }
    tried=1
    try_postgresql "$spare"
done
[ $tried = 1 ] || exit 77
echo "$right right, $wrong wrong"
[ $wrong -eq 0 ]
