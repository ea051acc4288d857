# Sourced by the scripts that need systemd: boots it (boot), and runs commands in that machine.
# shellcheck shell=sh
. "${srcdir:-.}/tests/test.sh"
build=$(cd "$top_builddir" && pwd)
sources=$(cd "$srcdir" && pwd)
machine= # the number of its first process
boot=
HOLDFAST_TEST_GROUP=holdfast-units-$$
export HOLDFAST_TEST_GROUP

remove_groups()
{
    for group in /sys/fs/cgroup/"$HOLDFAST_TEST_GROUP" /sys/fs/cgroup/*/"$HOLDFAST_TEST_GROUP"; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} \; 2> /dev/null
    done
    ! ls -d /sys/fs/cgroup/"$HOLDFAST_TEST_GROUP" /sys/fs/cgroup/*/"$HOLDFAST_TEST_GROUP" > /dev/null 2>&1
}

finish_machine()
{
    [ -z "$machine" ] || kill -KILL "$machine" 2> /dev/null # and all that are in it
    [ -z "$boot" ] || wait "$boot" 2> /dev/null
    [ -z "$boot" ] || until_true remove_groups
    finish
}
trap finish_machine EXIT

# inside COMMAND...: in the machine, as root
inside() { nsenter --target "$machine" --all -- "$@"; }

is_up()
{
    machine=$(cat "/proc/$boot/task/$boot/children" 2> /dev/null) && machine=${machine%% *} && [ -n "$machine" ] &&
        inside systemctl is-system-running 2> /dev/null | grep -qE 'running|degraded'
}

# no_machine WHY: the end, where that cannot be tested here; what failed before fails all the same
no_machine()
{
    echo "$name: $*: nothing is tested under systemd"
    [ "$failed" = 0 ] || exit 1
    exit 77
}

# The tool and the library are installed in it, and $work/shared is there as here.
boot_machine()
{
    [ "$(id -u)" = 0 ] || no_machine "needs root"
    [ -x /lib/systemd/systemd ] && command -v systemctl nsenter unshare > /dev/null || no_machine "there is no systemd"
    unshare --mount --pid --fork --uts --ipc --net --cgroup true 2> /dev/null || no_machine "no namespaces can be made"
    mkdir "$work/machine" "$work/shared"
    "$sources/tests/units/boot" "$work/machine" "$build" "$work/shared" > "$work/console" 2>&1 < /dev/null &
    boot=$!
    for _ in $(seq 100); do
        is_up && break
        kill -0 "$boot" 2> /dev/null || break
        sleep 0.1
    done
    is_up || { sed 's/^/    /' "$work/console"; no_machine "systemd does not start here"; }
    inside mkdir -p /usr/local/lib /usr/local/bin
    must inside cp -L "$build/.libs/libholdfast.so.0" /usr/local/lib/
    must inside cp "$build/holdfast" /usr/local/bin/
}

# drop_in UNIT: standard input is that of it, and nothing else
drop_in()
{
    inside mkdir -p "/etc/systemd/system/$1.d"
    inside tee "/etc/systemd/system/$1.d/holdfast.conf" > /dev/null
    inside systemctl daemon-reload
    inside systemctl reset-failed
}

# property UNIT NAME
property() { inside systemctl show -P "$2" "$1"; }
