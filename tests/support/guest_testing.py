"""Disks with real file systems in them, for the tests of shrink and sparsify, and what of their
content has to be the same afterwards.

    disk = GuestDisk(test, 2 * GiB)
    disk.gpt([("8300", 256), ("8200", 64)])          # type, MiB
    disk.make(1, "mkfs.ext4", "-q", "-L", "root")
    disk.fill(1)                                      # files, links, owners, xattrs, deleted ones
    before = disk.listing(1)
    ...
    self.assertEqual(disk_of(test, "small.img").listing(1), before)

Partitions are reached through loop devices with an offset: that needs no kernel that scans
partitions. Needs root.
"""
import hashlib
import os
import pathlib
import re
import shutil
import stat

from imgtool_testing import MiB, check, requires, run, unmount, wait_until

# Tests emulate: a KVM that hangs, as nested ones do, costs half a minute each time.
os.environ.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")

requires_appliance = requires("qemu-system-x86_64", "qemu-img", "supermin")
# What the direct engine works with. An appliance takes half a minute, this one a second: what does
# not depend on the engine is tested with this one, each kind of disk at least once with both.
requires_direct = requires("e2fsck", "resize2fs", "ntfsresize")
APPLIANCE, DIRECT = "appliance", "direct"


class GuestDisk:
    def __init__(self, test, size=None, path=None, sector_size=512):
        self.test = test
        self.path = path or test.zero_image(size)
        self.sector_size = sector_size

    # --- tables ---

    def table(self, *command):
        """A program for tables on the disk: of a file, all of them believe that it has sectors of
        512 bytes."""
        if self.sector_size == 512:
            return check(*command, self.path)
        device = self.test.loop_device(self.path, self.sector_size, direct_io=False)
        try:
            return check(*command, device)
        finally:
            self.test.detach(device)

    def gpt(self, partitions):
        """(type, MiB) each, from 1 MiB on."""
        args, start = [], 1
        for number, (kind, size) in enumerate(partitions, 1):
            args += ["-n", f"{number}:{start}M:+{size}M", "-t", f"{number}:{kind}",
                     "-c", f"{number}:part{number}"]
            start += size
        self.table("sgdisk", "-a", 1, *args)

    def mbr(self, script):
        """What sfdisk takes."""
        result = run(["sfdisk", "-q", self.path], input=script.encode())
        assert result.code == 0, repr(result)

    def partitions(self):
        """{number: (start, length)} in bytes, and what does not change when it is shrunk."""
        found, identity = {}, {}
        label = ""
        for line in self.table("sfdisk", "-d").splitlines():
            if line.startswith("label-id"):
                label = line
            match = re.match(r".*?(\d+) : start= *(\d+), size= *(\d+), (.*)", line)
            if match:
                number = int(match[1])
                unit = self.sector_size
                found[number] = (int(match[2]) * unit, int(match[3]) * unit)
                identity[number] = match[4]
        return found, (label, identity)

    # --- partitions ---

    def range(self, number):
        if number == 0:
            return 0, os.path.getsize(self.path)
        return self.partitions()[0][number]

    def loop(self, number):
        start, length = self.range(number)
        device = check("losetup", "--find", "--show", "--offset", start, "--sizelimit", length,
                       self.path)
        self.test.attached.add(device)
        self.test.addCleanup(self.test.detach, device)
        return device

    def make(self, number, *command):
        """Runs a mkfs or the like on a partition."""
        device = self.loop(number)
        check(*command, device)
        self.test.detach(device)

    def mounted(self, number, *options):
        return Mounted(self.test, self.loop(number), options)

    def fill(self, number, *options, size=24, garbage=48):
        with self.mounted(number, *options) as folder:
            fill(folder, size, garbage)

    def listing(self, number, *options):
        with self.mounted(number, *(options or ("-o", "ro"))) as folder:
            return listing(folder)

    def blkid(self, number):
        device = self.loop(number)
        text = run(["blkid", "-p", "-o", "export", device]).out
        self.test.detach(device)
        keys = ("UUID", "LABEL", "TYPE", "VERSION")
        return {line.split("=")[0]: line.split("=", 1)[1] for line in text.splitlines()
                if line.split("=")[0] in keys}

    def ext_sizes(self, number):
        """What an ext file system has by its superblock, and what statvfs says of it, in bytes."""
        with self.mounted(number, "-o", "ro") as folder:
            info = os.statvfs(folder)
        with open(self.path, "rb") as file:
            file.seek(self.range(number)[0] + 1024)
            superblock = file.read(1024)
        blocks = int.from_bytes(superblock[4:8], "little")
        return blocks * info.f_bsize, info.f_blocks * info.f_frsize

    def fsck(self, number, *command):
        device = self.loop(number)
        result = run([*command, device])
        self.test.detach(device)
        self.test.assertEqual(result.code, 0, repr(result))


class Mounted:
    def __init__(self, test, device, options):
        self.test, self.device, self.options = test, device, options
        self.folder = test.path()
        self.folder.mkdir()

    def __enter__(self):
        if self.options and self.options[0] == "ntfs-3g":
            check("ntfs-3g", *self.options[1:], self.device, self.folder)
        else:
            # An XFS is refused while the kernel is not done with the last mount of the same UUID.
            wait_until(lambda: run(["mount", *self.options, self.device, self.folder]).code == 0,
                       f"the mount of {self.device}")
        return self.folder

    def __exit__(self, *_):
        unmount(self.folder)
        self.test.detach(self.device)


def fill(folder, size, garbage):
    """`size` MiB of files behind `garbage` MiB that are deleted then, so that there is something
    to move, and something to leave out."""
    junk = folder / "junk"
    junk.write_bytes(os.urandom(garbage * MiB))
    os.sync()
    late = folder / "late"
    late.write_bytes(os.urandom(size * MiB // 2))
    deep = folder / "a" / "b c" / "d"
    deep.mkdir(parents=True)
    for index in range(60):
        file = deep / f"file {index}"
        file.write_bytes(os.urandom(index * 997) + bytes(4096))
    (folder / "half").write_bytes(os.urandom(size * MiB // 3))
    os.sync()
    junk.unlink()
    try:
        os.chown(deep / "file 3", 1234, 4321)
        os.chmod(deep / "file 4", 0o4711)
        os.link(deep / "file 5", folder / "hard")
        os.symlink("a/b c", folder / "soft")
        os.setxattr(deep / "file 6", "user.note", b"kept")
        os.setxattr(deep / "file 7", "trusted.note", b"kept, too")
        os.mkfifo(folder / "pipe")
        os.utime(deep / "file 8", ns=(10**18 + 1000, 10**18 + 2000))
    except OSError:
        if shutil.disk_usage(folder).total == 0:
            raise  # what a file system cannot do, it does not have


def listing(folder):
    """{path: all that has to stay the same}."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders + files:
            path = pathlib.Path(base) / name
            info = path.lstat()
            entry = [stat.S_IFMT(info.st_mode), stat.S_IMODE(info.st_mode), info.st_uid,
                     info.st_gid]
            if not path.is_dir() or path.is_symlink():
                entry += [info.st_size, info.st_mtime_ns, info.st_nlink]
            if path.is_symlink():
                entry.append(os.readlink(path))
            elif path.is_file():
                entry.append(hashlib.sha256(path.read_bytes()).hexdigest())
            try:
                names = sorted(os.listxattr(path, follow_symlinks=False))
                entry.append([(key, os.getxattr(path, key, follow_symlinks=False))
                              for key in names])
            except OSError:
                pass
            found[str(path.relative_to(folder))] = entry
    return found
