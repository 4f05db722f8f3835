"""A guest that boots: Debian's kernel and GRUB as they are installed here, and busybox.

    guest = BootGuest(test, MBR)     # GRUB in the gap; root, and as logical ones swap and data
    guest = BootGuest(test, GPT)     # GRUB in a BIOS boot partition, and the same three
    ...
    text = boot(test, "small.img")   # what it says on its serial console until it turns itself off

It finds its file systems by UUID, looks through all that is in them, and says so in one line that
begins with `says`. Needs root; nothing is fetched from anywhere.
"""
import dataclasses
import hashlib
import os
import shutil
import subprocess

from imgtool_testing import MiB, check, random_bytes, requires, run, unmount
from linux_guest import BUSYBOX, kernel, make_initrd, requires_linux_guest

says = "guest of imgtool:"


def requires_boot(test):
    return requires("qemu-system-x86_64", "grub-install", "mkfs.ext4", "sfdisk", "partx")(
        requires_linux_guest(test))


@dataclasses.dataclass
class Table:
    """Of a guest's disk: what sfdisk takes, and the numbers of its partitions."""
    text: str
    root: int
    swap: int
    data: int
    grub_module: str
    boot_area: tuple  # where GRUB lies behind the first sector: begin and end, in bytes


MBR = Table("""label: dos
label-id: 0x1b2c3d4e
1 : start=2048, size=1433600, type=83, bootable
2 : start=1437696, size=1226752, type=f
5 : start=1439744, size=409600, type=82
6 : start=1851392, size=813056, type=83
""", root=1, swap=5, data=6, grub_module="part_msdos", boot_area=(512, MiB))
GPT = Table("""label: gpt
1 : start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649
2 : start=4096, size=1433600, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
3 : start=1437696, size=409600, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
4 : start=1847296, size=813056, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
""", root=2, swap=3, data=4, grub_module="part_gpt", boot_area=(MiB, 2 * MiB))

ROOT_UUID, SWAP_UUID, DATA_UUID = (f"0a0b0c0d-0000-4000-8000-00000000000{n}" for n in range(3))

# The initrd: drivers, then the root file system.
FIRST = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /root
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod "/$module"; done
for wait in 1 2 3 4 5 6 7 8 9 10; do
  root=$(findfs UUID={root}) && break
  sleep 1
done
mount -t ext4 -o ro "$root" /root || poweroff -f
exec switch_root /root /sbin/init
"""
# The guest itself.
INIT = """#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -o remount,rw / && root=writable
mount -t ext4 "$(findfs UUID={data})" /data && data=mounted
swapon "$(findfs UUID={swap})" && swap=$(tail -n 1 /proc/swaps | tr -s ' \\t' ' ' | cut -d' ' -f3)
(cd / && sha256sum -c -s /manifest) && files=right
echo "{says} root $root, data $data, swap $swap, files $files"
umount /data
mount -o remount,ro /
poweroff -f
"""


class BootGuest:
    def __init__(self, test, table):
        self.test = test
        self.table = table
        self.path = test.path("guest.img")
        with open(self.path, "wb") as file:
            file.truncate(1302 * MiB)
        assert run(["sfdisk", "--quiet", self.path], input=table.text.encode()).code == 0
        self.disk = self.attach()
        self.make_file_systems()
        root, data = self.mount(table.root), self.mount(table.data)
        try:
            self.fill(root, data)
            self.install_boot_loader(root)
        finally:
            unmount(root, data)
        self.test.detach(self.disk)

    def attach(self):
        disk = self.test.loop_device(self.path, partitions=True)
        for number in (self.table.root, self.table.swap, self.table.data):
            self.test.partition_node(disk, number)
        return disk

    def make_file_systems(self):
        for number, uuid in ((self.table.root, ROOT_UUID), (self.table.data, DATA_UUID)):
            check("mkfs.ext4", "-q", "-F", "-U", uuid, f"{self.disk}p{number}")
        check("mkswap", "-q", "-U", SWAP_UUID, f"{self.disk}p{self.table.swap}")

    def mount(self, number):
        folder = self.test.path(f"mount{number}")
        folder.mkdir()
        check("mount", f"{self.disk}p{number}", folder)
        return folder

    def fill(self, root, data):
        """What is deleted lies before what stays, so that something has to be moved."""
        junk = [folder / "junk" for folder in (root, data)]
        for file in junk:
            file.write_bytes(os.urandom(48 * MiB))
        os.sync()
        install_system(root)
        for folder in (root / "etc", data):
            for index in range(20):
                (folder / f"file {index}").write_bytes(random_bytes(index * 9973 + 1, index))
        os.sync()
        for file in junk:
            file.unlink()
        write_manifest(root, data)

    def install_boot_loader(self, root):
        shutil.copyfile(kernel(), root / "boot/vmlinuz")
        make_initrd(root / "boot/initrd", FIRST.format(root=ROOT_UUID),
                    ("virtio_pci", "virtio_blk", "ext4"))
        check("grub-install", "--target=i386-pc", f"--boot-directory={root}/boot",
              f"--modules={self.table.grub_module} ext2", "--no-floppy", self.disk)
        (root / "boot/grub/grub.cfg").write_text(
            f"search --no-floppy --fs-uuid --set=root {ROOT_UUID}\n"
            "linux /boot/vmlinuz console=ttyS0 quiet panic=-1 no_timer_check\n"
            "initrd /boot/initrd\nboot\n")


def install_system(root):
    for name in ("bin", "sbin", "proc", "sys", "dev", "etc", "boot", "data"):
        (root / name).mkdir(exist_ok=True)
    shutil.copy(BUSYBOX, root / "bin/busybox")
    for name in check(BUSYBOX, "--list").split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    init = root / "sbin/init"
    init.write_text(INIT.format(says=says, data=DATA_UUID, swap=SWAP_UUID))
    init.chmod(0o755)


def write_manifest(root, data):
    """Digests of all files that do not change, for the guest to check."""
    lines = []
    for folder, shown in ((root, ""), (data, "data/")):
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.is_symlink():
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                lines.append(f"{digest}  {shown}{file.relative_to(folder)}\n")
    (root / "manifest").write_text("".join(lines))


def boot(test, image, form="raw", seconds=240):
    """What the guest says, once it has turned itself off. The image is not changed."""
    process = test.start(
        ["qemu-system-x86_64", "-accel", "tcg", "-m", 256, "-display", "none", "-monitor", "none",
         "-serial", "stdio", "-nic", "none", "-no-reboot",
         "-drive", f"file={image},format={form},if=virtio,snapshot=on"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
    return out.decode(errors="replace")
