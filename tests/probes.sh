#!/bin/sh
# The USDT probes are in the library, and the tracing commands of holdfast(7) attach to a running process.  The second part needs
# root, bpftrace and a kernel that lets it.
set -eu
srcdir=${srcdir:-.}
library=$(readlink -f .libs/libholdfast.so)
work=$(mktemp -d)
traced=
trap 'rm -rf "$work"; [ -z "$traced" ] || kill "$traced" 2>/dev/null || true' EXIT
command -v readelf >/dev/null || exit 77
echo '#include <sys/sdt.h>' | ${CC:-gcc} -E -x c - >/dev/null 2>&1 || { echo "no <sys/sdt.h>: no probes"; exit 77; }
for probe in slow late steal remote full thread_exit; do
    readelf -n "$library" | grep -q "Name: $probe\$" || { echo "probes.sh: no probe $probe in $library"; exit 1; }
    grep -q "^\.It Li holdfast:$probe" "$srcdir/man/holdfast.7" || { echo "probes.sh: probe $probe is not in holdfast(7)"; exit 1; }
done

grep -o "^bpftrace -p PID -e .*" "$srcdir/man/holdfast.7" | sed 's/\\e/\\/g' >"$work/commands"
[ "$(wc -l <"$work/commands")" -ge 2 ] || { echo "probes.sh: holdfast(7) has no bpftrace commands"; exit 1; }
if [ "$(id -u)" != 0 ] || ! command -v bpftrace >/dev/null; then
    echo "attaching: left out, it takes root and bpftrace"
    exit 0
fi
cat >"$work/busy.c" <<'END'
#include <stdlib.h>
#include <unistd.h>
int main(void)
{
    for (;;) {
        void *volatile block = malloc(1 << 20);
        free(block);
        usleep(1000);
    }
}
END
${CC:-gcc} -O0 "$work/busy.c" -o "$work/busy"
cat >"$work/attach" <<'END'
[ -e /sys/kernel/tracing/uprobe_events ] || mount -t tracefs none /sys/kernel/tracing 2>/dev/null
HOLDFAST_ARENA=16M LD_PRELOAD=$1 "$2/busy" 2>/dev/null &
busy=$!
sleep 0.5
bpftrace -p $busy -e "usdt:$1:holdfast:slow { @ = count(); } interval:ms:200 { exit(); }" >"$2/probe" 2>&1
grep -q '^@:' "$2/probe" || { kill $busy; exit 77; } # this kernel does not let us trace
while read -r line; do
    command=$(echo "$line" | sed "s|PID|$busy|; s|/usr/local/lib/libholdfast.so.0|$1|; s|}'\$|} interval:ms:300 { exit(); }'|")
    eval "$command" >"$2/out" 2>&1 || { cat "$2/out"; kill $busy; exit 1; }
    grep -q 'Attaching' "$2/out" || { echo "does not attach: $command"; cat "$2/out"; kill $busy; exit 1; }
    echo "ok: $command"
done <"$2/commands"
kill $busy
END
apart="unshare -m" # so that what is mounted for this is gone with it
[ ! -e /sys/kernel/tracing/uprobe_events ] || apart=
if [ -n "$apart" ] && ! $apart true 2>"$work/probe"; then
    echo "attaching: left out, tracefs is not mounted, and cannot be: $(cat "$work/probe")"
    exit 0
fi
status=0
$apart sh "$work/attach" "$library" "$work" || status=$?
[ $status != 77 ] || { echo "attaching: left out, this kernel does not let us:"; cat "$work/probe"; exit 0; }
exit $status
