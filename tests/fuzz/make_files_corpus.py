#!/usr/bin/env python3
"""Makes the corpora files and packed: small file systems with a few files of each kind.

    sudo PYTHONPATH=tests/support tests/fuzz/make_files_corpus.py

Root and FUSE, to put compressed files into NTFS and btrfs.
"""
import os
import pathlib
import shutil
import struct

from file_trees import NtfsMaker
from imgtool_testing import MiB, check, make, random_bytes
from sparse_corpus import sparse_input

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
TYPES = ("ext4", "vfat", "exfat", "ntfs", "xfs", "btrfs")
UUID = "11111111-2222-3333-4444-555555555555"


class Maker(NtfsMaker):
    def runTest(self):
        for corpus in ("files", "packed"):
            shutil.rmtree(CORPUS / corpus, ignore_errors=True)
            (CORPUS / corpus).mkdir()
        self.tree = self.path()
        self.fill(self.tree)
        self.ext()
        self.fat()
        self.ntfs()
        self.mounted_ones()
        self.packed()

    @staticmethod
    def fill(folder):
        (folder / "d" / "e").mkdir(parents=True)
        (folder / "tiny").write_bytes(b"tiny")
        (folder / "a longer name than 8.3").write_bytes(b"x" * 300)
        (folder / "d" / "text").write_bytes(b"abc" * 7000)
        with open(folder / "d" / "e" / "sparse", "wb") as file:
            file.truncate(100000)
            file.seek(60000)
            file.write(b"here")

    def write(self, kind, name, image):
        skipped = [self.log_of(image)] if kind == "xfs" else []
        (CORPUS / "files" / name).write_bytes(
            bytes([TYPES.index(kind)]) + sparse_input(image, skipped))

    @staticmethod
    def log_of(image):
        """Of an XFS with one allocation group; where it is zeros it is clean."""
        head = image.read_bytes()[:512]
        block, = struct.unpack_from(">I", head, 4)
        start, = struct.unpack_from(">Q", head, 48)
        count, = struct.unpack_from(">I", head, 96)
        return start * block, count * block

    def ext(self):
        os.symlink("/" + "l" * 100, self.tree / "link")
        for name, options in (("ext2", "-t ext2 -b 1024"), ("ext4", "-t ext4 -b 1024 -J size=1"),
                              ("inline", "-b 1024 -O inline_data,^has_journal")):
            image = self.zero_image(4 * MiB)
            check("mkfs.ext4", "-q", "-F", "-N", "64", "-U", UUID, "-d", self.tree,
                  *options.split(), image)
            self.write("ext4", name, image)
        (self.tree / "link").unlink()

    def fat(self):
        for name, size, options in (("fat12", 1, "-F 12"), ("fat16", 8, "-F 16 -s 1"),
                                    ("fat32", 34, "-F 32 -s 1")):
            image = self.zero_image(size * MiB)
            check("mkfs.fat", *options.split(), image)
            entries = [self.tree / entry for entry in sorted(os.listdir(self.tree))]
            check("mcopy", "-s", "-i", image, *entries, "::")
            self.write("vfat", name, image)

    def ntfs(self):
        image = self.zero_image(8 * MiB)
        check("mkntfs", "-Q", "-F", "-q", "-c", "4096", image)
        with self.mounted(image, "compression") as folder:
            check("cp", "-r", f"{self.tree}/.", folder)
            os.setxattr(folder / "d", "system.ntfs_attrib", (0x810).to_bytes(4, "little"))
            (folder / "d" / "packed").write_bytes(b"all work and no play " * 9000)
        self.write("ntfs", "ntfs", image)

    def mounted_ones(self):
        image = self.zero_image(16 * MiB)
        check("mkfs.exfat", image)
        device = self.loop_device(image, direct_io=False)
        folder = self.path()
        folder.mkdir()
        check("mount.exfat-fuse", device, folder)
        check("cp", "-r", f"{self.tree}/.", folder)
        check("umount", folder)
        self.detach(device)
        self.write("exfat", "exfat", image)
        for kind, size, command in (
                ("xfs", 20, "mkfs.xfs -q -f -d agcount=1 -b size=1024 -l size=4m "
                            "--unsupported"),
                ("btrfs", 40, "mkfs.btrfs -q -f -M -n 4096")):
            image = self.zero_image(size * MiB)
            check(*command.split(), image)
            root = self.mount(image, "-o", "loop" + (",compress-force=lzo" if kind == "btrfs" else ""))
            check("cp", "-r", f"{self.tree}/.", root)
            check("umount", root)
            self.write(kind, kind, image)

    def packed(self):
        """LZNT1: a literal, a copy, a chunk as it is. LZO: a run of literals and its end."""
        chunk = bytes([0b00000010]) + b"a" + struct.pack("<H", 0x0ffc)
        lznt1 = struct.pack("<H", 0xb000 | (len(chunk) - 1)) + chunk
        plain = struct.pack("<H", 0x3000 | 4095) + random_bytes(4096)
        (CORPUS / "packed" / "lznt1").write_bytes(bytes([0, 2]) + lznt1 + plain)
        segment = bytes([17 + 5]) + b"hello" + bytes([0x11, 0, 0])
        lzo = struct.pack("<II", 8 + len(segment), len(segment)) + segment
        (CORPUS / "packed" / "lzo").write_bytes(bytes([1, 1]) + lzo)


if __name__ == "__main__":
    make(Maker())
