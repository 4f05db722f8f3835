#!/usr/bin/env python3
"""Makes the corpora ext, lvm and free_space: small disks with file systems, volumes, partitions.

    sudo PYTHONPATH=tests/support tests/fuzz/make_free_space_corpus.py

Root, for LVM's programs want a block device. The disks are written as file_system_fuzz.hpp reads
them: only the sectors that hold something.
"""
import pathlib
import shutil
import struct
import subprocess

from imgtool_testing import MiB, TestCase, check, make
from lvm_testing import PhysicalVolume
from sparse_corpus import sparse_input
from thin_testing import KernelPool

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
SECTOR = 512
UUID = "11111111-2222-3333-4444-555555555555"
EXT = {
    "ext2": "-t ext2 -b 1024",
    "ext2_revision_0": "-t ext2 -b 1024 -r 0",
    "ext3": "-t ext3 -b 1024 -J size=1",
    "ext4": "-t ext4 -b 1024 -J size=1",
    "no_checksums": "-t ext4 -b 1024 -J size=1 -O ^metadata_csum,uninit_bg",
    "plain": "-t ext4 -b 1024 -J size=1 -O ^metadata_csum,^uninit_bg",
    "meta_bg": "-t ext4 -b 1024 -g 256 -N 128 -O meta_bg,^resize_inode,^has_journal,^metadata_csum",
    "bigalloc": "-t ext4 -b 1024 -J size=1 -O bigalloc -C 8192",
    "mmp": "-t ext4 -b 1024 -J size=1 -O mmp",
}


def encoded(content):
    """The sectors that are not all zeros; runs of the same content once."""
    pieces = [struct.pack("<I", len(content) // SECTOR)]
    first, last = None, None
    for number in range(len(content) // SECTOR + 1):
        sector = content[number * SECTOR:(number + 1) * SECTOR]
        if first is not None and (sector != last or number - first == 65535):
            pieces.append(struct.pack("<IH", first, number - first) + last)
            first = None
        if first is None and len(sector) == SECTOR and any(sector):
            first, last = number, sector
    return b"".join(pieces)


def write(corpus, name, image):
    directory = CORPUS / corpus
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(encoded(pathlib.Path(image).read_bytes()))


class Maker(TestCase):
    def runTest(self):
        for corpus in ("ext", "lvm", "free_space"):
            shutil.rmtree(CORPUS / corpus, ignore_errors=True)
        tree = self.path()
        tree.mkdir()
        for index in range(6):
            (tree / f"f{index}").write_bytes(bytes([index + 1]) * 3000 * index)
        for name, options in EXT.items():
            image = self.zero_image(4 * MiB)
            check("mkfs.ext4", "-q", "-F", "-U", UUID, "-E", f"hash_seed={UUID}", "-d", tree,
                  *options.split(), image)
            write("ext", name, image)
            if name in ("ext4", "plain"):
                write("free_space", name, image)
        self.dirty()
        self.volumes()
        self.disks()

    def dirty(self):
        for name in ("ext3", "ext4", "plain"):
            image, copy = self.zero_image(4 * MiB), self.path()
            check("mkfs.ext4", "-q", "-F", "-U", UUID, *EXT[name].split(), image)
            root = self.mount(image, "-o", "loop")
            for index in range(4):
                (root / f"f{index}").write_bytes(b"text" * 2000)
            check("sync", "-f", root)
            (root / "f1").unlink()
            check("sync", "-f", root)
            check("cp", image, copy)
            write("ext", f"{name}_dirty", copy)

    def volumes(self):
        pv = PhysicalVolume(self, 12 * MiB)
        write("lvm", "empty", pv.path)
        pv.add("root", [[("pv0", 4, 2)], [("pv0", 1, 2)]])
        pv.add("striped", [[("pv0", 6, 1), ("pv0", 8, 1)]])
        pv.commit()
        image = self.zero_image(4 * MiB)
        check("mkfs.ext4", "-q", "-F", "-b", "1024", "-O", "^has_journal", image)
        pv.write("root", image)
        write("lvm", "volumes", pv.path)
        write("free_space", "lvm", pv.path)
        self.thin_pool()

    def thin_pool(self):
        """As a kernel wrote it, but the chunks, which are too many, are zeros."""
        pool = KernelPool(self)
        for corpus in ("lvm", "free_space"):
            (CORPUS / corpus / "thin").write_bytes(
                sparse_input(pool.path, skipped=list(pool.pieces("pool_tdata"))))

    def disks(self):
        image = self.zero_image(6 * MiB)
        subprocess.run(["sfdisk", "--quiet", image], check=True,
                       input=b"label: gpt\ntable-length: 4\nstart=1MiB, size=2MiB\nsize=2MiB\n")
        check("mkfs.ext4", "-q", "-F", "-E", f"offset={MiB}", "-O", "^has_journal", image, "2048k")
        swap = self.zero_image(2 * MiB)
        check("mkswap", "-U", UUID, swap)
        with open(image, "r+b") as file:
            file.seek(3 * MiB)
            file.write(swap.read_bytes())
        write("free_space", "gpt", image)
        write("free_space", "swap", swap)


if __name__ == "__main__":
    make(Maker())
