"""A folder with everything that file systems do in their own ways, and images that hold it.

    trees = FileTrees()      # in setUpModule(); trees.close() in tearDownModule()
    trees.image("ext4")      # made once

What an image holds is what the kernel, or the tool that made it, put there from `trees.source`.
"""
import contextlib
import os
import subprocess

from fuse_testing import ExfatTestCase, NtfsTestCase
from imgtool_testing import KiB, MiB, check, random_bytes

ODD_NAMES = ["with space", "tab\there", "new\nline", "esc\x1b[31mred", "quote'\"s", "back\\slash",
             "ünïcödé", "日本語", "-dash", "..two", "x" * 255]
# What Windows' file systems take.
PLAIN_NAMES = ["with space", "ünïcödé, too long for 8.3", "日本語", "-dash", "..two", "long " + "x" * 200]
MANY = 3000  # entries in a folder: several levels of any index


class NtfsMaker(NtfsTestCase):
    def runTest(self):
        pass


class ExfatMaker(ExfatTestCase):
    def runTest(self):
        pass


def fill(folder, unix=True, entries=MANY):
    """The tree itself. `unix`: with links, modes and names that Windows does not take."""
    names = ODD_NAMES if unix else PLAIN_NAMES
    for index, name in enumerate(names):
        (folder / name).write_bytes(random_bytes(1000 + index, index))
    (folder / "empty").write_bytes(b"")
    (folder / "tiny").write_bytes(b"tiny\n")  # lies in its inode where there is room
    (folder / "small").write_bytes(random_bytes(130, 77))
    (folder / "large").write_bytes(random_bytes(3 * MiB + 17, 5))
    (folder / "text").write_bytes(b"all work and no play makes jack a dull boy\n" * 30000)
    with open(folder / "sparse", "wb") as file:
        file.truncate(9 * MiB + 5)
        for offset in (0, 3 * MiB + 4096, 8 * MiB):
            file.seek(offset)
            file.write(random_bytes(70 * KiB, offset))
    place = folder
    for depth in range(20):
        place = place / f"d{depth}"
        place.mkdir()
    (place / "deep").write_bytes(b"deep")
    many = folder / "many"
    many.mkdir()
    for number in range(entries):
        (many / f"entry number {number}").write_bytes(b"")
    if not unix:
        return
    (folder / "short link").symlink_to("large")
    (folder / "long link").symlink_to("/" + "a" * 200 + "/../" + "b" * 100)
    (folder / "absolute").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    os.link(folder / "large", folder / "other name")
    os.chmod(folder / "small", 0o640)
    os.chmod(many, 0o701)


class FileTrees:
    def __init__(self):
        self.makers = {"ntfs": NtfsMaker(), "exfat": ExfatMaker()}
        for maker in self.makers.values():
            maker.setUp()
        self.maker = self.makers["ntfs"]
        self.images = {}
        self.source = self.maker.path("source")
        self.source.mkdir()
        fill(self.source)
        self.plain = self.maker.path("plain")
        self.plain.mkdir()
        fill(self.plain, unix=False)
        self.few = self.maker.path("few")  # mtools takes minutes for thousands of entries
        self.few.mkdir()
        fill(self.few, unix=False, entries=100)

    def close(self):
        for maker in self.makers.values():
            maker.doCleanups()

    def image(self, kind):
        if kind not in self.images:
            self.images[kind] = getattr(self, "make_" + kind)()
        return self.images[kind]

    def source_of(self, kind):
        if kind in ("fat32", "fat16"):
            return self.few
        return self.plain if kind in ("ntfs", "exfat") else self.source

    def empty(self, size):
        path = self.maker.path()
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    @staticmethod
    def copy(source, folder):
        check("cp", "-a", "--sparse=always", f"{source}/.", folder)

    @contextlib.contextmanager
    def mounted(self, image, *options):
        folder = self.maker.path()
        folder.mkdir()
        check("mount", "-o", ",".join(["loop", *options]), image, folder)
        try:
            yield folder
        finally:
            check("umount", folder)

    def make_mounted(self, size, *command, options=()):
        image = self.empty(size)
        check(*command, image)
        with self.mounted(image, *options) as folder:
            self.copy(self.source, folder)
        return image

    def make_ext4(self):
        return self.make_mounted(64 * MiB, "mkfs.ext4", "-q", "-O", "inline_data", "-N", "8192")

    def make_ext2(self):
        return self.make_mounted(64 * MiB, "mkfs.ext2", "-q", "-b", "1024", "-N", "8192")

    def make_xfs(self):
        return self.make_mounted(320 * MiB, "mkfs.xfs", "-q", "-i", "size=512")

    def make_btrfs(self):
        """Each file compressed in another way, and in a snapshot."""
        image = self.empty(256 * MiB)
        check("mkfs.btrfs", "-q", image)
        for kind in ("zlib", "lzo", "zstd"):
            with self.mounted(image, f"compress-force={kind}") as folder:
                (folder / kind).mkdir()
                for name in ("text", "sparse", "tiny", "large"):
                    check("cp", "--sparse=always", self.source / name, folder / kind)
        with self.mounted(image) as folder:
            check("btrfs", "subvolume", "create", folder / "sub")
            self.copy(self.source, folder / "sub")
            os.sync()
            check("btrfs", "subvolume", "snapshot", "-r", folder / "sub", folder / "snap")
        return image

    def make_ntfs(self):
        image = self.empty(64 * MiB)
        check("mkntfs", "-Q", "-F", "-q", "-L", "win", image)
        with self.makers["ntfs"].mounted(image, "compression") as folder:
            self.copy(self.plain, folder)
            packed = folder / "packed"
            packed.mkdir()
            # FILE_ATTRIBUTE_COMPRESSED, which what is made in the folder takes over.
            os.setxattr(packed, "system.ntfs_attrib", (0x810).to_bytes(4, "little"))
            for name in ("text", "sparse", "large", "tiny"):
                check("cp", "--sparse=never", self.plain / name, packed)
            (packed / "mixed").write_bytes(random_bytes(65536, 9) + bytes(200000) + b"ab" * 70000)
        return image

    def make_exfat(self):
        image = self.empty(64 * MiB)
        check("mkfs.exfat", image)
        with self.makers["exfat"].mounted(image) as folder:
            subprocess.run(["cp", "-r", f"{self.plain}/.", folder], check=False,
                           capture_output=True)  # it has no owners and modes
        return image

    def make_fat(self, *options):
        image = self.empty(64 * MiB)
        check("mkfs.fat", *options, image)
        entries = [self.few / name for name in sorted(os.listdir(self.few))]
        check("mcopy", "-s", "-i", image, *entries, "::")
        return image

    def make_fat32(self):
        return self.make_fat("-F", "32", "-s", "1")

    def make_fat16(self):
        return self.make_fat("-F", "16")
