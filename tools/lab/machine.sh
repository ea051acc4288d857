# machine.sh: what boots a machine of several nodes in QEMU.  Sourced by lab.sh and by the project's tests.
#
# The one that sources it sets $kept, the folder of the kernel and its modules, $root, the folder that becomes the guest's
# first file system, and $processor, as `uname -m` names it.
lab_modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci netfs fscache 9pnet \
9pnet_virtio 9p overlay zsmalloc zram"

# What differs: Debian's names, and the two ports.  $lab_second is what QEMU makes the second one of.
case $processor in
aarch64)
    lab_architecture=arm64 lab_qemu_package=qemu-system-arm lab_machine="-machine virt,gic-version=3"
    lab_console=ttyAMA0 lab_output=ttyS0 lab_second="-device pci-serial,chardev=" lab_delays=
    ;;
*)
    lab_architecture=amd64 lab_qemu_package=qemu-system-x86 lab_machine=
    lab_console=ttyS0 lab_output=ttyS1 lab_second="-serial chardev:"
    # ticks of a clock of 2.5 GHz: measured on a host that stalls, they are wrong by up to ten times
    lab_delays="lpj=10000000"
    ;;
esac
lab_qemu=qemu-system-$processor
lab_busybox=/bin/busybox
[ "$processor" = "$(uname -m)" ] || lab_busybox=$kept/busybox

find_kernel() {
    for file in "$kept"/vmlinuz $(ls -r /boot/vmlinuz-*-"$lab_architecture" 2>/dev/null); do
        if [ -r "$file" ]; then
            echo "$file"
            return
        fi
    done
}

kernel_package() {
    apt-cache depends "linux-image-$lab_architecture:$lab_architecture" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1
}

# take PACKAGE PATTERN...: files of a package that is not installed, into the folder $unpacked
take() {
    package=$1
    shift
    # apt's user may not write here, and does not have to: it says so at length
    (cd "$unpacked" && apt-get download -qq "$package") 2>"$unpacked/log" || { cat "$unpacked/log" >&2; return 1; }
    dpkg-deb --fsys-tarfile "$unpacked"/*.deb | tar -x -C "$unpacked" --wildcards "$@" 2>"$unpacked/log" || true # some may be built in
    rm "$unpacked"/*.deb
}

# Debian's kernel and the modules above, which are not installed; of another processor, busybox too
fetch_kernel() {
    [ ! -e "$kept/vmlinuz" ] || return 0
    package=$(kernel_package)
    if [ -z "$package" ] && [ "$(id -u)" -eq 0 ] && apt-get update -qq; then
        package=$(kernel_package)
    fi
    if [ -z "$package" ]; then
        echo "lab: apt knows no linux-image-$lab_architecture: put a kernel at $kept/vmlinuz" >&2
        return 1
    fi
    unpacked=$(mktemp -d)
    # shellcheck disable=SC2046  # words
    take "$package" './boot/vmlinuz-*' $(printf '*/%s.ko ' $lab_modules) || return 1
    [ -x "$lab_busybox" ] || take "busybox-static:$lab_architecture" './bin/busybox' || return 1
    mkdir -p "$kept/modules"
    for module in $lab_modules; do
        find "$unpacked" -name "$module.ko" -exec mv {} "$kept/modules/" \;
    done
    [ ! -e "$unpacked/bin/busybox" ] || mv "$unpacked/bin/busybox" "$kept/"
    mv "$unpacked"/boot/vmlinuz-* "$kept/vmlinuz.part"
    mv "$kept/vmlinuz.part" "$kept/vmlinuz"
    rm -rf "$unpacked"
}

# what a machine needs and is not here; $1 says how to have a kernel
what_is_missing() {
    {
        command -v "$lab_qemu" >/dev/null || echo "$lab_qemu (package $lab_qemu_package)"
        [ -x /bin/busybox ] || echo "/bin/busybox (package busybox-static)"
        [ -x "$lab_busybox" ] || [ -z "$(find_kernel)" ] || echo "$lab_busybox (of package busybox-static:$lab_architecture)"
        [ -n "$(find_kernel)" ] || echo "a kernel ($1)"
    } | tr '\n' ',' | sed 's/,$//; s/,/, /g'
}

# busybox, the modules, and the first process
make_root() {
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/lab/modules"
    cp "$lab_busybox" "$root/bin/busybox"
    for module in $lab_modules; do
        [ ! -e "$kept/modules/$module.ko" ] || cp "$kept/modules/$module.ko" "$root/lab/modules/"
    done
    cp "$1" "$root/init"
    chmod 755 "$root/init"
}

# pack FILE: not compressed: unpacking would take the guest longer than QEMU takes to load it
pack_root() {
    (cd "$root" && find . | busybox cpio -o -H newc 2>/dev/null) >"$1"
}

# boot SECONDS ACCELERATOR-AND-CPU INITRAMFS COMMAND-LINE ARGUMENTS...: to its end
boot() {
    seconds=$1 accelerator=$2 initramfs=$3 command_line="console=$lab_console lab_output=$lab_output panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable $lab_delays $4"
    shift 4
    # shellcheck disable=SC2086  # words
    timeout --foreground "$seconds" "$lab_qemu" $lab_machine $accelerator -no-reboot -nodefaults -no-user-config \
        -display none -kernel "$(find_kernel)" -initrd "$initramfs" -append "$command_line" "$@"
}
