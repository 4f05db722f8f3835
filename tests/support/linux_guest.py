"""A Linux guest that tells on its serial console which disks it sees: Debian's kernel, and an
initrd of busybox and the virtio modules, made here.

    GUEST READY
    GUEST DISK vda serial imgtool-1a2b3c4d bytes 8388608
    GUEST FILE vda1 hello            the content of /greeting on a file system of that disk
    GUEST GONE vda
"""
import glob
import os
import pathlib
import shutil
import subprocess
import unittest

BUSYBOX = "/bin/busybox"
MODULES = ["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod"]

INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt /bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /$module; done
exec </dev/console >/dev/console 2>&1
echo GUEST READY
seen=""
while true; do
    for disk in /sys/block/vd* /sys/block/sd*; do
        name=${disk##*/}
        case " $seen " in *" $name "*) continue ;; esac
        [ -e "$disk" ] || continue
        seen="$seen $name"
        serial=$(cat "$disk/serial" 2>/dev/null || tail -c +5 "$disk/device/vpd_pg80")
        echo "GUEST DISK $name serial $serial bytes $(($(cat "$disk/size") * 512))"
        for part in "/dev/$name" "/dev/$name"[0-9]; do
            mount -t ext4 -o ro,noload "$part" /mnt 2>/dev/null || continue
            [ -f /mnt/greeting ] && echo "GUEST FILE ${part##*/} $(cat /mnt/greeting)"
            umount /mnt
        done
    done
    left=""
    for name in $seen; do
        if [ -e "/sys/block/$name" ]; then left="$left $name"; else echo "GUEST GONE $name"; fi
    done
    seen=$left
    usleep 200000
done
"""


def kernel():
    """The newest kernel of Debian's cloud flavour; None where there is none."""
    found = sorted(glob.glob("/boot/vmlinuz-*-cloud-*"))
    return found[-1] if found else None


def requires_linux_guest(test):
    missing = [what for what, there in ((BUSYBOX, os.path.exists(BUSYBOX)),
                                        ("linux-image-cloud-amd64", kernel() is not None),
                                        ("modprobe", shutil.which("modprobe") is not None))
               if not there]
    return unittest.skipIf(missing, "needs " + ", ".join(missing))(test)


def module_files(version, modules):
    """The modules with all they need, in the order in which they are loaded."""
    files = []
    for module in modules:
        out = subprocess.run(["modprobe", "--show-depends", "-S", version, module], check=True,
                             capture_output=True, text=True).stdout
        for line in out.splitlines():
            words = line.split()
            if words[0] == "insmod" and words[1] not in files:
                files.append(words[1])
    return files


def cpio_entry(name, mode, content=b""):
    """One file of a "newc" archive."""
    encoded = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
    padded = head + bytes(-len(head) % 4) + content
    return padded + bytes(-len(content) % 4)


def with_libraries(programs):
    """The files of these programs of the host, and the libraries that they load."""
    files = {os.path.realpath(shutil.which(program)): shutil.which(program) for program in programs}
    places = {name: file for file, name in files.items()}
    for program in list(files):
        out = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for word in out.split():
            if word.startswith("/"):
                places[word] = os.path.realpath(word)
    return places


def make_initrd(path, init=INIT, modules=tuple(MODULES), programs=()):
    """`programs`: of the host, in the same places and with their libraries."""
    version = pathlib.Path(kernel()).name.removeprefix("vmlinuz-")
    files = with_libraries(programs)
    folders = {"bin", "dev"}
    for name in files:
        folders.update(str(folder).lstrip("/") for folder in pathlib.Path(name).parents)
    entries = [cpio_entry(folder, 0o40755) for folder in sorted(folders - {""})]
    for name, file in files.items():
        entries.append(cpio_entry(name.lstrip("/"), 0o100755, pathlib.Path(file).read_bytes()))
    entries.append(cpio_entry("bin/busybox", 0o100755, pathlib.Path(BUSYBOX).read_bytes()))
    entries.append(cpio_entry("init", 0o100755, init.encode()))
    names = []
    for file in module_files(version, modules):
        names.append(pathlib.Path(file).name)
        entries.append(cpio_entry(names[-1], 0o100644, pathlib.Path(file).read_bytes()))
    entries.append(cpio_entry("modules", 0o100644, "\n".join(names).encode()))
    entries.append(cpio_entry("TRAILER!!!", 0))
    pathlib.Path(path).write_bytes(b"".join(entries))


SCRIPT_INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /etc /mnt /var/lock
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /$module 2>/dev/null; done
exec </dev/console >/dev/console 2>&1
cat > /script <<'END OF SCRIPT'
%s
END OF SCRIPT
sh -e /script && echo GUEST DONE
poweroff -f
"""


# Time passes unevenly where the processor is emulated on a busy machine: no check of the timers.
KERNEL_OPTIONS = "console=ttyS0 quiet loglevel=1 panic=-1 tsc=unstable no_timer_check"


def run_guest(test, disks, script, modules, programs=()):
    """Runs a script of busybox's shell in a guest, its disks are vda, vdb ...; its output. It must
    end within five minutes, or say GUEST DONE itself before it crashes the machine."""
    initrd = test.path()
    make_initrd(initrd, SCRIPT_INIT % script.strip(), ("virtio_pci", "virtio_blk", *modules),
                programs)
    command = ["qemu-system-x86_64", "-m", "384", "-nographic", "-no-reboot", "-accel", "tcg",
               "-nic", "none", "-kernel", kernel(), "-initrd", initrd, "-append", KERNEL_OPTIONS]
    for disk in disks:
        command += ["-drive", f"file={disk},format=raw,if=virtio,cache=unsafe"]
    out = subprocess.run(command, timeout=300, check=False, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace").stdout.replace("\r", "")
    if "GUEST DONE" not in out:
        raise AssertionError(f"the guest failed:\n{out}")
    return out


def os_xml(initrd):
    """For <os> of a domain's XML."""
    return (f"<kernel>{kernel()}</kernel><initrd>{initrd}</initrd>"
            f"<cmdline>{KERNEL_OPTIONS}</cmdline>")
