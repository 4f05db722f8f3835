#!/usr/bin/env python3
"""Makes tests/fuzz/corpus/f2fs: metadata of small file systems, as overlay disks.

    tests/fuzz/make_f2fs_corpus.py
    tests/fuzz/make_f2fs_corpus.py --kernel DIRECTORY

The form is described in tests/support/overlay_disk.hpp. The first call makes what mkfs.f2fs and
sload.f2fs write, the second what a kernel writes: DIRECTORY is an unpacked package of Debian
(dpkg-deb -x linux-image-VERSION-amd64_*.deb DIRECTORY), whose kernel has f2fs as a module; it runs
in qemu, a minute without KVM. Needs f2fs-tools; for the kernel qemu-system-x86_64, busybox and
depmod.
"""
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support")]

from linux_guest import cpio_entry  # noqa: E402
from make_xfs_btrfs_corpus import CORPUS, MiB, UUID, new_image, run, save  # noqa: E402

BLOCK = 4096
SIZE = 64 * MiB

GUEST = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /mnt
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
for module in $(cat /modules); do insmod /$module; done

fill() { dd if=/dev/zero bs=4096 2>/dev/null "$@"; }

mount -t f2fs /dev/vda /mnt
for i in 1 2 3 4 5 6 7 8 9; do fill of=/mnt/file$i count=$((i * 30)); done
mkdir /mnt/directory; echo inline > /mnt/directory/inline
sync
rm /mnt/file2 /mnt/file5 /mnt/file8
for i in 1 3 4 6; do fill of=/mnt/file$i count=5 seek=$((i * 7)) conv=notrunc; done
fill of=/mnt/indirect count=2 seek=1000000
fill of=/mnt/double count=2 seek=2500000
ln -s target /mnt/link; mkfifo /mnt/fifo; mknod /mnt/null c 1 3
umount /mnt
mount -t f2fs /dev/vda /mnt
rm /mnt/file1; echo again > /mnt/again
umount /mnt

mount -t f2fs -o compress_algorithm=lz4,compress_extension=* /dev/vdb /mnt
for i in 1 2 3; do fill of=/mnt/file$i count=$((i * 20)); done
dd if=/dev/urandom of=/mnt/random bs=4096 count=9
umount /mnt

mount -t f2fs /dev/vdc /mnt
echo first > /mnt/first
umount /mnt
mount -t f2fs /dev/vdc /mnt
fill of=/mnt/synced count=5 conv=fsync
echo GUEST DONE
echo o > /proc/sysrq-trigger
sleep 60
"""


def ranges(content):
    """The superblocks, the checkpoints, SIT, NAT, and all nodes that NAT has."""
    word = lambda at: int.from_bytes(content[at:at + 4], "little")
    checkpoints, _, nat, summaries = (word(1024 + at) * BLOCK for at in (76, 80, 84, 88))
    found = [(0, 2 * BLOCK), (checkpoints, summaries - checkpoints)]
    main = word(1024 + 92) * BLOCK
    for at in range(main, len(content), BLOCK):
        number, inode, flag = struct.unpack_from("<3I", content, at + BLOCK - 24)
        if number and inode and number < 100000 and inode < 100000:
            found.append((at, BLOCK))
    return found


def make_image(directory, *options, size=SIZE):
    image = new_image(directory, size)
    run("mkfs.f2fs", "-q", "-U", UUID, *options, image)
    return image


def make_tree(directory):
    tree = pathlib.Path(directory) / "tree"
    (tree / "directory").mkdir(parents=True)
    for name, size in (("inline", 100), ("small", 5000), ("large", 400000)):
        (tree / "directory" / name).write_bytes(b"x" * size)
    (tree / "link").symlink_to("target")
    return tree


def make_by_tools(directory):
    tree = make_tree(directory)
    kinds = {
        "plain": [],
        "extra": ["-O", "extra_attr,inode_checksum,sb_checksum"],
        "large_nat": ["-i"],
    }
    for name, options in kinds.items():
        image = make_image(directory, "-l", "label", *options, size=100 * MiB)
        run("sload.f2fs", "-f", tree, image)
        content = image.read_bytes()
        save(CORPUS / "f2fs" / name, content, ranges(content))


def make_initrd(package, path):
    version = next((package / "lib" / "modules").iterdir()).name
    run("depmod", "-b", package, version)
    modules = []
    for module in ("virtio_pci", "virtio_blk", "crc32_generic", "f2fs"):
        out = subprocess.run(["modprobe", "-d", str(package), "-S", version, "--show-depends",
                              module], check=True, capture_output=True, text=True).stdout
        modules += [line.split()[1] for line in out.splitlines() if line.startswith("insmod")]
    modules = list(dict.fromkeys(modules))
    entries = [cpio_entry(folder, 0o40755) for folder in ("bin", "dev")]
    entries.append(cpio_entry("bin/busybox", 0o100755,
                              pathlib.Path("/bin/busybox").read_bytes()))
    entries.append(cpio_entry("init", 0o100755, GUEST.encode()))
    names = [pathlib.Path(module).name for module in modules]
    entries += [cpio_entry(name, 0o100644, pathlib.Path(module).read_bytes())
                for name, module in zip(names, modules)]
    entries.append(cpio_entry("modules", 0o100644, "\n".join(names).encode()))
    entries.append(cpio_entry("TRAILER!!!", 0))
    path.write_bytes(b"".join(entries))
    return package / "boot" / f"vmlinuz-{version}"


def make_by_kernel(directory, package):
    initrd = pathlib.Path(directory) / "initrd"
    kernel = make_initrd(package, initrd)
    kinds = {
        "kernel": [],
        "compressed": ["-O", "extra_attr,inode_checksum,sb_checksum,compression,"
                             "flexible_inline_xattr"],
        "synced": [],
    }
    images = []
    for name, options in kinds.items():
        images.append(make_image(directory, *options).rename(pathlib.Path(directory) / name))
    drives = [word for image in images
              for word in ("-drive", f"file={image},format=raw,if=virtio,cache=unsafe")]
    run("qemu-system-x86_64", "-M", "pc", "-cpu", "max", "-m", "512", "-display", "none",
        "-serial", f"file:{directory}/console", "-no-reboot", "-kernel", kernel, "-initrd",
        initrd, "-append", "console=ttyS0 quiet panic=-1", *drives)
    assert "GUEST DONE" in pathlib.Path(f"{directory}/console").read_text(errors="replace")
    for image in images:
        content = image.read_bytes()
        save(CORPUS / "f2fs" / image.name, content, ranges(content))


def main():
    with tempfile.TemporaryDirectory() as directory:
        if sys.argv[1:2] == ["--kernel"]:
            make_by_kernel(directory, pathlib.Path(sys.argv[2]).resolve())
        else:
            make_by_tools(directory)


if __name__ == "__main__":
    main()
