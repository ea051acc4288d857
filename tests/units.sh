#!/bin/sh
# Under systemd for real, and in containers: units of every kind of strictness, a start that takes longer than the
# unit gives it, a server that the kernel kills for want of memory and that is started again, by the README's
# unit and by what holdfast plan prints.
#
# $srcdir and $top_builddir as Automake sets them.  Needs root and systemd, which need not run here.
set -u
. "${srcdir:-.}/tests/units/machine.sh"

# --- a user namespace without privileges ---
library=$build/.libs/libholdfast.so.0
if setpriv --reuid 65534 --regid 65534 --clear-groups test -r "$library" 2> /dev/null &&
    setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user --mount true 2> /dev/null; then
    chmod 755 "$work"
    for backing in thp 4k; do
        setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user --mount --pid --fork --mount-proc \
            env HOLDFAST_LIBRARY="$library" "$build/holdfast" run --arena 64M --backing $backing --strict --verbose -- \
            sh -c "seq 100000 | sort -n | tail -1; $build/holdfast stat \$\$" > "$work/out" 2> "$work/err" ||
            fail "in a user namespace, on $backing: $?"
        grep -qx 100000 "$work/out" && grep -q 'of 64 MiB used' "$work/out" || fail "in a user namespace, on $backing: no work, or not shown"
    done
else
    echo "$name: no user namespace can be made by nobody, or the build is not to be read: that is not tested"
fi

# --- a container of systemd-nspawn, which has a filter of system calls too ---
cat > "$work/contained" << 'EOF'
export HOLDFAST_ARENA=64M HOLDFAST_BACKING=4k HOLDFAST_STRICT=1 HOLDFAST_VERBOSE=1 HOLDFAST_ONLY=sort
seq 100000 | LD_PRELOAD=/usr/local/lib/libholdfast.so.0 sort -n | tail -1
holdfast doctor
EOF
cat > "$work/nspawn" << 'EOF'
set -e
mount -t tmpfs nspawn "$1"
mkdir -p "$1/upper" "$1/under" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/under" root "$1/root"
mkdir -p "$1/root/usr/local/lib" "$1/root/usr/local/bin" /run/systemd
cp -L "$2/.libs/libholdfast.so.0" "$1/root/usr/local/lib/"
cp "$2/holdfast" "$1/root/usr/local/bin/"
cp "$3" "$1/root/contained"
mount -t tmpfs run /run/systemd
exec systemd-nspawn --quiet --register=no --keep-unit --machine=holdfast-units --directory="$1/root" sh /contained
EOF
if command -v systemd-nspawn > /dev/null && mkdir "$work/nspawned" &&
    unshare --mount sh "$work/nspawn" "$work/nspawned" "$build" "$work/contained" > "$work/out" 2> "$work/err" < /dev/null; then
    for text in '^100000' 'HF-I001' 'would stand as asked'; do
        cat "$work/out" "$work/err" | grep -q "$text" || fail "in a container of systemd-nspawn: does not say '$text'"
    done
elif grep -q . "$work/out"; then
    fail "in a container of systemd-nspawn"
else
    echo "$name: no container of systemd-nspawn can be made here: that is not tested"
fi

boot_machine

# --- strict units: a program works, on the arena that it asks for, and the journal has no warning ---
# in_unit WANTED SETTING...: sort in a service of those, and what it is to say
in_unit()
{
    wanted=$1
    shift
    for setting; do set -- "$@" -p "$setting"; shift; done
    inside systemd-run --quiet --wait --pipe --service-type=exec -p Environment=LD_PRELOAD=/usr/local/lib/libholdfast.so.0 \
        -p 'Environment=HOLDFAST_STRICT=1 HOLDFAST_VERBOSE=1 HOLDFAST_BACKING=4k HOLDFAST_ONLY=sort' "$@" \
        sh -c 'seq 100000 | sort -n | tail -1' > "$work/out" 2> "$work/err" || fail "in a unit with $*: $?"
    grep -qx 100000 "$work/out" || fail "in a unit with $*: no work"
    grep -q -e "$wanted" "$work/err" || fail "in a unit with $*: does not say '$wanted'"
    grep -E 'warning|error' "$work/err" && fail "in a unit with $*: a warning"
}
in_unit 'node 0: 64 MiB' Environment=HOLDFAST_ARENA=64M
in_unit 'node 0: 64 MiB' Environment=HOLDFAST_ARENA=64M MemoryMax=128M LimitMEMLOCK=64K PrivateTmp=yes MemoryDenyWriteExecute=yes
in_unit 'node 0: 64 MiB' Environment=HOLDFAST_ARENA=64M MemoryMax=128M DynamicUser=yes PrivateTmp=yes PrivateDevices=yes \
    PrivateNetwork=yes PrivateUsers=yes ProtectSystem=strict ProtectHome=yes ProtectProc=invisible ProcSubset=pid \
    ProtectKernelTunables=yes ProtectKernelLogs=yes ProtectControlGroups=yes ProtectClock=yes ProtectHostname=yes \
    MemoryDenyWriteExecute=yes LockPersonality=yes RestrictRealtime=yes RestrictNamespaces=yes RestrictSUIDSGID=yes \
    RestrictAddressFamilies=AF_UNIX SystemCallArchitectures=native SystemCallFilter=@system-service \
    'SystemCallFilter=~@privileged @resources' CapabilityBoundingSet= NoNewPrivileges=yes UMask=077 RemoveIPC=yes
[ ! -d /sys/fs/cgroup/memory ] && ! grep -qw memory /sys/fs/cgroup/cgroup.controllers 2> /dev/null ||
    in_unit 'node 0: 64 MiB' Environment=HOLDFAST_ARENA=50% MemoryMax=128M ProcSubset=pid ProtectProc=invisible
in_unit 'populated in steps' MemoryMax=128M DynamicUser=yes SystemCallFilter=@system-service 'SystemCallFilter=~@privileged @resources'

# --- Redis, by Debian's unit, or by one that forbids as much: its tools have the server, too ---
if ! inside systemctl cat redis-server.service > /dev/null 2>&1 && inside sh -c 'command -v redis-check-rdb' > /dev/null; then
    inside ln -sf redis-check-rdb /usr/bin/redis-server
    inside tee /etc/systemd/system/redis-server.service > /dev/null << 'EOF'
[Service]
Type=notify
ExecStart=/usr/bin/redis-server --supervised systemd --daemonize no --dir /var/lib/redis --bind 127.0.0.1
TimeoutStopSec=0
Restart=always
User=nobody
StateDirectory=redis
PrivateTmp=true
PrivateDevices=true
ProtectSystem=strict
CapabilityBoundingSet=
MemoryDenyWriteExecute=true
PrivateUsers=true
ProtectProc=invisible
RemoveIPC=true
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~ @privileged @resources
NoExecPaths=/
ExecPaths=/usr/bin/redis-server /usr/bin/redis-check-rdb /usr/lib /lib
EOF
    inside systemctl daemon-reload
fi
if ! inside systemctl cat redis-server.service > /dev/null 2>&1; then
    echo "$name: no redis-server, no redis-tools: a server that is killed and started again is not tested"
    exit "$failed"
fi
answers() { [ "$(inside redis-cli "$@" 2> /dev/null)" ]; }
start_redis()
{
    inside systemctl restart redis-server || fail "redis-server does not start: $(inside journalctl -u redis-server -n 20)"
    pid=$(property redis-server MainPID)
    until_true answers ping || fail "redis-server does not answer"
}
# What the server has in its arena: megabytes of values.
fill_redis() { inside redis-cli eval "for i = 1, $1 * 1000 do redis.call('SET', 'key:' .. i, string.rep('x', 1000)) end" 0 > /dev/null 2>&1; }
is_another() { now=$(property redis-server MainPID) && [ "$now" != 0 ] && [ "$now" != "$pid" ] && answers ping; }
# died HOW: it runs again, and the arena of before can be looked at: $1 is what its size is to be
died()
{
    until_true is_another || fail "redis-server is not started again after $2"
    inside holdfast stat --last redis-server.service > "$work/out" 2> "$work/err" || fail "after $2: stat --last"
    grep -q "^process $pid (redis-server)" "$work/out" && grep -q "$1" "$work/out" || fail "after $2: stat --last does not show it"
    inside holdfast report --last redis-server.service -o "$work/shared/last.html" 2> "$work/err" || fail "after $2: report --last"
    grep -q "$pid" "$work/shared/last.html" || fail "after $2: report --last is of another process"
    inside sh -c "grep -q $pid $3" || fail "after $2: ExecStopPost= made no report of it"
}

# The README's unit, with a size that this machine has.
sed -n '/^In a unit file:/,/^With /s/^    //p' "$sources/README.md" | sed 's/HOLDFAST_ARENA=8G/HOLDFAST_ARENA=64M/; s/BACKING=thp/BACKING=4k/' > "$work/unit"
grep -q '^ExecStopPost=.*report --last %n' "$work/unit" || fail "README.md has no ExecStopPost="
drop_in redis-server.service < "$work/unit"
start_redis
fill_redis 5
inside systemctl kill --signal=KILL --kill-whom=main redis-server
died '64 MiB used' 'a SIGKILL' /var/lib/redis/last.html

# What plan prints, and the kernel as the one who kills: the arena is not the limit, what grows beside it is.
inside holdfast plan --unit redis-server --arena 64M --backing 4k > "$work/unit" 2> "$work/err" || fail "plan --unit"
sed -i 's/^#ExecPaths=/ExecPaths=/' "$work/unit"
drop_in redis-server.service < "$work/unit"
start_redis
limit=$(sed -n 's/^MemoryMax=\([0-9]*\)M$/\1/p' "$work/unit")
[ "$(property redis-server MemoryMax)" = $((limit << 20)) ] || fail "plan --unit: systemd has another MemoryMax"
inside holdfast stat "$pid" > "$work/out" 2> "$work/err"
grep -q 'of 64 MiB used' "$work/out" || fail "plan --unit: no such arena"
if inside sh -c 'grep -qw memory /sys/fs/cgroup/cgroup.controllers 2> /dev/null || [ -d /sys/fs/cgroup/memory ]'; then
    sed '/HOLDFAST_ARENA\|HOLDFAST_STRICT/d; s/^MemoryMax=.*/MemoryMax=40M/' "$work/unit" > "$work/oom"
    drop_in redis-server.service < "$work/oom"
    start_redis
    fill_redis 100
    died 'left by a process that was killed' 'the kernel killed it for want of memory' '/var/log/holdfast-redis-server.html'
    used=$(sed -n 's/^node 0 .* \([0-9]*\)[0-9.]* MiB of .* used$/\1/p' "$work/out")
    [ "${used:-0}" -ge 20 ] || fail "after the kernel killed it: of 40 MiB $used MiB were used"
else
    echo "$name: no limits of memory can be set here: a server that the kernel kills is not tested"
fi

# A start that takes longer than the unit gives it: it asks for more.
{
    cat "$work/unit"
    printf '%s\n' TimeoutStartSec=1s CPUQuota=10% MemoryMax=400M Environment=HOLDFAST_ARENA=256M
} | drop_in redis-server.service
start_redis
[ "$(property redis-server NRestarts)" = 0 ] || fail "a start that takes long was given up"
exit "$failed"
