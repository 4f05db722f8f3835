#!/usr/bin/env python3
"""Makes tests/fuzz/corpus/{xfs,btrfs}: metadata of small file systems, as overlay disks.

    sudo tests/fuzz/make_xfs_btrfs_corpus.py

The form is described in tests/support/overlay_disk.hpp. Only what the parsers read is kept. Needs
root for what has to be mounted: a frozen XFS, a btrfs with snapshots. tests/formats/filesystems
uses the files too.
"""
import contextlib
import os
import pathlib
import struct
import subprocess
import tempfile

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"
MiB = 1 << 20
# Lets mkfs.xfs make file systems that are smaller than what it makes by default.
SMALL = {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"}
UUID = "11111111-2222-3333-4444-555555555555"


def run(*args):
    subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **SMALL})


@contextlib.contextmanager
def mounted(image):
    with tempfile.TemporaryDirectory() as directory:
        run("mount", "-o", "loop", image, directory)
        try:
            yield pathlib.Path(directory)
        finally:
            run("umount", directory)


def new_image(directory, size):
    image = pathlib.Path(directory) / "image"
    image.unlink(missing_ok=True)
    image.touch()
    os.truncate(image, size)
    return image


def pieces(content, ranges, unit=512):
    """The runs of units within the ranges that are not zeros, without the zeros at their ends."""
    wanted = sorted({at for begin, length in ranges
                     for at in range(begin - begin % unit, begin + length, unit)
                     if any(content[at:at + unit])})
    runs = []
    for at in wanted:
        if runs and runs[-1][1] == at:
            runs[-1][1] = at + unit
        else:
            runs.append([at, at + unit])
    return [(begin, content[begin:end].rstrip(b"\0")) for begin, end in runs]


def save(path, content, ranges):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(content)))
        for offset, data in pieces(content, ranges):
            file.write(struct.pack("<QI", offset, len(data)) + data)
    print(path.name, path.stat().st_size)


# --- XFS ---

def big_endian(content, at, size):
    return int.from_bytes(content[at:at + size], "big")


def xfs_log(content):
    """Offset and length of the log in bytes."""
    block, ag_blocks = big_endian(content, 4, 4), big_endian(content, 84, 4)
    start, ag_log = big_endian(content, 48, 8), big_endian(content, 124, 1)
    start = (start >> ag_log) * ag_blocks + (start & ((1 << ag_log) - 1))
    return start * block, big_endian(content, 96, 4) * block


def without_log(content):
    """All zeros is a log that was never used, and takes no room here."""
    begin, length = xfs_log(content)
    return content[:begin] + bytes(length) + content[begin + length:]


def without_stale_log(content):
    """A mount writes headers of cycle 0 over 2 MiB of a new log; zeros say the same."""
    content = bytearray(content)
    begin, length = xfs_log(content)
    for at in range(begin, begin + length, 512):
        if content[at:at + 8] == bytes.fromhex("feedbabe00000000"):
            content[at:at + 512] = bytes(512)
    return bytes(content)


XFS_TREES = (b"ABTB", b"ABTC", b"AB3B", b"AB3C", b"IABT", b"IAB3", b"BMAP", b"BMA3")


def xfs_ranges(content, free_inodes=False):
    """The first superblock, headers, free space trees and inodes of all groups, maps of files, and
    the log."""
    block, ag_blocks = big_endian(content, 4, 4), big_endian(content, 84, 4)
    sector, inode = big_endian(content, 102, 2), big_endian(content, 104, 2)
    ranges = [(0, sector), xfs_log(content)]
    for ag in range(big_endian(content, 88, 4)):
        begin = ag * ag_blocks * block
        ranges.append((begin + sector, 2 * sector))
        for at in range(begin, min(begin + ag_blocks * block, len(content)), block):
            if content[at:at + 4] in XFS_TREES:
                ranges.append((at, block))
        for at in range(begin, min(begin + ag_blocks * block, len(content)), inode):
            if content[at:at + 2] == b"IN" and (free_inodes or any(content[at + 2:at + 4])):
                ranges.append((at, inode))
    return ranges


def make_xfs(directory):
    mkfs = ["mkfs.xfs", "-q", "-m", f"uuid={UUID}"]
    prototype = pathlib.Path(directory) / "prototype"
    prototype.write_text("/\n0 0\nd--755 0 0\na d--755 0 0\n$\nb ---644 0 0 /etc/hostname\n$\n$\n")
    kinds = {
        "v5": ["-d", "agcount=2"],
        "rmap": ["-m", "rmapbt=1", "-b", "size=1k"],
        "v4": ["-m", "crc=0,finobt=0", "-d", "agcount=2"],
        "v4_512": ["-m", "crc=0,finobt=0", "-b", "size=512"],
    }
    for name, options in kinds.items():
        image = new_image(directory, 32 * MiB)
        run(*mkfs, "-p", prototype, *options, image)
        content = image.read_bytes()
        save(CORPUS / "xfs" / name, content, xfs_ranges(content))
    image = new_image(directory, 32 * MiB)
    run(*mkfs, "-b", "size=1k", image)
    with mounted(image) as root:
        (root / "file").write_bytes(b"x" * 300 * 1024)
        run("sync", "-f", root)
        holes = [word for at in range(0, 300, 2) for word in ("-c", f"fpunch {at}k 1k")]
        run("xfs_io", *holes, root / "file")
    content = without_log(image.read_bytes())
    save(CORPUS / "xfs" / "two_levels", content, xfs_ranges(content))
    image = new_image(directory, 32 * MiB)
    run(*mkfs, image)
    with mounted(image) as root:
        run("fsfreeze", "--freeze", root)
        content = without_stale_log(image.read_bytes())
        run("fsfreeze", "--unfreeze", root)
    save(CORPUS / "xfs" / "frozen", content, xfs_ranges(content))
    image = new_image(directory, 32 * MiB)
    run(*mkfs, image)
    with mounted(image) as root:
        for index in range(6):
            (root / str(index)).write_bytes(b"x" * 9000)
        run("sync", "-f", root)
        (root / "5").unlink()
        run("sync", "-f", root)
        content = without_stale_log(image.read_bytes())
    save(CORPUS / "xfs" / "dirty", content, xfs_ranges(content, free_inodes=True))


# --- btrfs ---

def btrfs_ranges(content):
    """The superblock, and all blocks of all trees."""
    little_endian = lambda at, size: int.from_bytes(content[at:at + size], "little")
    node = little_endian(65536 + 0x94, 4)
    uuid = content[65536 + 0x20:65536 + 0x30]
    return [(65536, 4096)] + [
        (at, node) for at in range(MiB, len(content), 4096)
        if content[at + 32:at + 48] == uuid]


def make_btrfs(directory):
    mkfs = ["mkfs.btrfs", "-q", "-U", UUID]
    source = pathlib.Path(directory) / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content" * 10000)
    kinds = {
        "single": ["-n", "4k", "-m", "single"],
        "dup": ["-n", "4k", "-m", "dup"],
        "mixed": ["--mixed"],
    }
    for name, options in kinds.items():
        image = new_image(directory, 128 * MiB)
        run(*mkfs, "--rootdir", source, *options, image)
        content = image.read_bytes()
        save(CORPUS / "btrfs" / name, content, btrfs_ranges(content))
    image = new_image(directory, 128 * MiB)
    run(*mkfs, "-n", "4k", "-m", "single", image)
    with mounted(image) as root:
        for index in range(120):
            (root / str(index)).write_bytes(b"x" * 9000)
        run("sync", "-f", root)
        run("btrfs", "subvolume", "snapshot", root, root / "snapshot")
        for index in range(0, 120, 2):
            (root / str(index)).unlink()
    content = image.read_bytes()
    save(CORPUS / "btrfs" / "two_levels", content, btrfs_ranges(content))


def main():
    with tempfile.TemporaryDirectory() as directory:
        make_xfs(directory)
        make_btrfs(directory)


if __name__ == "__main__":
    main()
