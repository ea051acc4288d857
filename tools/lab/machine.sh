# machine.sh: what boots a machine of several nodes in QEMU.  Sourced by lab.sh and by the project's tests.
#
# The one that sources it sets $kept, the folder of the kernel and its modules, and $root, the folder that
# becomes the guest's first file system.
lab_modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci netfs fscache 9pnet \
9pnet_virtio 9p overlay zsmalloc zram"

find_kernel() {
    for file in "$kept"/vmlinuz $(ls -r /boot/vmlinuz-*-amd64 2>/dev/null); do
        if [ -r "$file" ]; then
            echo "$file"
            return
        fi
    done
}

kernel_package() {
    apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -1
}

# Debian's kernel and the modules above, which are not installed
fetch_kernel() {
    [ ! -e "$kept/vmlinuz" ] || return 0
    package=$(kernel_package)
    if [ -z "$package" ] && [ "$(id -u)" -eq 0 ] && apt-get update -qq; then
        package=$(kernel_package)
    fi
    if [ -z "$package" ]; then
        echo "lab: apt knows no linux-image-amd64: put a kernel at $kept/vmlinuz" >&2
        return 1
    fi
    mkdir -p "$kept/modules"
    unpacked=$(mktemp -d)
    status=0
    # apt's user may not write here, and does not have to: it says so at length
    if (cd "$unpacked" && apt-get download -qq "$package") 2>"$unpacked/log"; then
        dpkg-deb --fsys-tarfile "$unpacked"/*.deb | tar -x -C "$unpacked" --wildcards './boot/vmlinuz-*' \
            $(printf '*/%s.ko ' $lab_modules)
        for module in $lab_modules; do
            find "$unpacked" -name "$module.ko" -exec mv {} "$kept/modules/" \;
        done
        mv "$unpacked"/boot/vmlinuz-* "$kept/vmlinuz.part"
        mv "$kept/vmlinuz.part" "$kept/vmlinuz"
    else
        cat "$unpacked/log" >&2
        status=1
    fi
    rm -rf "$unpacked"
    return $status
}

# what a machine needs and is not here; $1 says how to have a kernel
what_is_missing() {
    {
        command -v qemu-system-x86_64 >/dev/null || echo "qemu-system-x86_64 (package qemu-system-x86)"
        [ -x /bin/busybox ] || echo "/bin/busybox (package busybox-static)"
        [ -n "$(find_kernel)" ] || echo "a kernel ($1)"
    } | tr '\n' ',' | sed 's/,$//; s/,/, /g'
}

# busybox, the modules, and the first process
make_root() {
    mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/lab/modules"
    cp /bin/busybox "$root/bin/busybox"
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
    seconds=$1 accelerator=$2 initramfs=$3 command_line="panic=-1 mitigations=off nokaslr no_timer_check tsc=reliable $4"
    shift 4
    # shellcheck disable=SC2086  # words
    timeout --foreground "$seconds" qemu-system-x86_64 $accelerator -no-reboot -nodefaults -no-user-config \
        -display none -kernel "$(find_kernel)" -initrd "$initramfs" -append "$command_line" "$@"
}
