#!/bin/sh
# `holdfast lab`: options that are refused, what is missing, and a command on a machine of three nodes.
#
# $top_srcdir (or $srcdir) and $top_builddir as Automake sets them, both . by default.
set -u
. "${srcdir:-${top_srcdir:-.}}/tests/test.sh"

expect 2 HF-E400 lab --nods 3
expect 78 HF-E432 lab --nodes 0
expect 78 HF-E432 lab --nodes 17
expect 78 HF-E432 lab --cpus many
expect 78 HF-E432 lab --timeout 0
expect 78 HF-E466 lab --memory 100M
expect 78 HF-E466 lab --memory 1G1
expect 78 HF-E466 lab --memory 1000001K
expect 78 HF-E466 lab --pool 25%
expect 78 HF-E467 lab --memory 512M --pool 258M

# nothing is fetched without being asked
mkdir "$work/empty"
for program in dirname head ls sed tr uname; do ln -s "$(command -v "$program")" "$work/empty/"; done
(
    PATH=$work/empty LAB_KEPT=$work/empty
    export PATH LAB_KEPT
    "$holdfast" lab true
) 2> "$work/err"
[ $? -eq 1 ] || fail "without QEMU, another status than 1"
grep -q 'HF-E465.*qemu-system-x86' "$work/err" || fail "nobody said what is missing"

# the kernel that the multi-node lab has fetched
LAB_KEPT=$(cd "$top_builddir" && pwd)/tests/lab
export LAB_KEPT
if [ ! -e "$LAB_KEPT/modules/9p.ko" ]; then
    echo "$name: no kernel to boot; ./quickstart check fetches one"
    [ "$failed" -eq 0 ] && exit 77
    exit 1
fi
status=0
# shellcheck disable=SC2016  # the guest's shell expands it
HOLDFAST_ARENA=24M "$holdfast" lab --nodes 3 --memory 256M --pool 16M --timeout 280 -- sh -c '
    echo "folder $(pwd)"
    echo "nodes $(echo /sys/devices/system/node/node?)"
    echo "pool $(cat /sys/devices/system/node/node2/hugepages/hugepages-2048kB/nr_hugepages)"
    echo "arena $HOLDFAST_ARENA, words $#: $1 $2"
    echo lost >"$3"
    "$4" run --strict --backing 2m --report true
    exit 9' sh "it's" 'two words' "$work/written" "$(cd "$top_builddir" && pwd)/holdfast" > "$work/out" 2> "$work/err" || status=$?
# one line each, without the carriage returns of a serial port
tr -d '\r' < "$work/out" > "$work/lines"
says() { grep -q -e "$1" "$work/lines" || fail "the machine did not say $1: $(cat "$work/lines" "$work/err")"; }
[ "$status" -eq 9 ] || fail "the command's status is not passed on: $status, $(cat "$work/err")"
says "^folder $(pwd)\$"
says '^nodes /sys/devices/system/node/node0 /sys/devices/system/node/node1 /sys/devices/system/node/node2$'
says '^pool 8$'
says "^arena 24M, words 4: it's two words\$"
says 'node 2 '
[ ! -e "$work/written" ] || fail "the machine wrote into this one's files"
exit "$failed"
