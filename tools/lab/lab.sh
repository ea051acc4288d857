#!/bin/sh
# lab.sh: `holdfast lab` behind its options: boots a machine of several nodes and runs a command in it.
#
#   lab.sh kernel           fetches Debian's kernel
#   lab.sh missing          prints what is not there, in one line
#   lab.sh run COMMAND...   runs it; 125 where the machine did not come to the command's end
#   lab.sh shell
#
# LAB_NODES, LAB_CPUS (of each node), LAB_MEMORY_MIB (of each), LAB_POOL_PAGES (of each), LAB_SECONDS, LAB_ACCELERATOR (words for
# QEMU) and LAB_KEPT, the folder of the kernel, come from lab.c, which has checked them.
set -eu
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
kept=$LAB_KEPT
processor=$(uname -m)
. "$here/machine.sh"

# the words of a command, for the guest's shell
quote() {
    for word in "$@"; do
        printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")"
    done
    echo
}

# the command with its folder and variables
write_command() {
    env -0 | tr '\n\0' '\001\n' | grep -a -E '^(HOLDFAST_[A-Z_]*|PATH|HOME|LANG|TERM|LD_LIBRARY_PATH)=' |
        while IFS= read -r setting; do
            echo "export ${setting%%=*}=$(quote "$(printf %s "${setting#*=}" | tr '\001' '\n')")"
        done
    echo "cd $(quote "$(pwd)")"
    if [ $# -eq 0 ]; then echo "exec /bin/sh -i"; else echo "exec $(quote "$@")"; fi
}

# the arguments that make the nodes, each in a socket of its own
write_nodes() {
    echo "-m $((LAB_NODES * LAB_MEMORY_MIB)) -smp $((LAB_NODES * LAB_CPUS)),sockets=$LAB_NODES,cores=$LAB_CPUS,threads=1"
    for node in $(seq 0 $((LAB_NODES - 1))); do
        echo "-object memory-backend-ram,id=m$node,size=${LAB_MEMORY_MIB}M"
        echo "-numa node,nodeid=$node,cpus=$((node * LAB_CPUS))-$(((node + 1) * LAB_CPUS - 1)),memdev=m$node"
    done
}

start_machine() {
    root=$work/root
    make_root "$here/guest"
    echo "$lab_modules" >"$root/lab/modules/order"
    echo "pool=$LAB_POOL_PAGES shell=$shell" >"$root/lab/settings"
    write_command "$@" >"$root/lab/command"
    pack_root "$work/initramfs"
    # shellcheck disable=SC2046  # words
    set -- $(write_nodes) -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
        -device virtio-9p-pci,fsdev=host,mount_tag=host
    if [ "$shell" = 1 ]; then
        boot "$LAB_SECONDS" "$LAB_ACCELERATOR" "$work/initramfs" "loglevel=1" "$@" \
            -serial mon:stdio 2>"$work/qemu"
    else
        boot "$LAB_SECONDS" "$LAB_ACCELERATOR" "$work/initramfs" "loglevel=5" "$@" \
            -chardev "file,id=console,path=$work/console" -serial chardev:console \
            -chardev stdio,id=output,signal=on ${lab_second}output </dev/null 2>"$work/qemu"
    fi
}

verb=$1
shift
shell=0
case $verb in
kernel)
    mkdir -p "$kept"
    fetch_kernel >&2 # which lab.c leaves where it is
    exit
    ;;
missing)
    what_is_missing "run: holdfast lab --fetch"
    exit
    ;;
shell) shell=1 ;;
esac
work=$(mktemp -d)
: >"$work/console"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
status=0
start_machine "$@" || status=$?
[ "$shell" = 0 ] || exit "$status"
ended=$(tr -d '\r' <"$work/console" | sed -n 's/.*lab: status \([0-9]*\)$/\1/p' | tail -1)
tr -d '\r' <"$work/console" | sed -n 's/.*lab: the/lab: the/p' >&2
[ -z "$ended" ] || exit "$ended"
{
    sed 's/^/lab: qemu: /' "$work/qemu"
    tail -40 "$work/console" | tr -d '\r' | sed 's/^/lab: console: /'
    echo "lab: the machine ended before the command did (QEMU's status $status; 124: after $LAB_SECONDS s)"
} >&2
exit 125
