#!/usr/bin/env python3
"""Makes tests/fuzz/corpus/{fat,exfat,ntfs}: small file systems with a few files, most of them of
zeros, which take no room here.

    tests/fuzz/make_windows_corpus.py

Needs root (ntfs-3g and exfat-fuse mount them), mkfs.vfat, mtools, mkfs.exfat and mkntfs.
"""
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "support")]

from imgtool_testing import KiB, MiB, check  # noqa: E402
from sparse_corpus import sparse_input  # noqa: E402

ZEROS = {"small": 100, "a longer name, so that it takes three entries": 5000, "large": 70000}


def new_image(directory, size):
    image = directory / "image"
    image.unlink(missing_ok=True)
    with open(image, "wb") as file:
        file.truncate(size)
    return image


def files_in(directory):
    """The files to copy, and a directory with one more."""
    tree = directory / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    (tree / "directory" / "inner").mkdir(parents=True)
    for name, size in ZEROS.items():
        (tree / name).write_bytes(bytes(size))
    (tree / "directory" / "inner" / "file").write_bytes(bytes(3000))
    return tree


def save(kind, name, content):
    corpus = HERE / "corpus" / kind
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / name).write_bytes(content)


def make_fat(directory):
    kinds = {"floppy": (360 * KiB, "-F", 12), "one_table": (MiB, "-F", 12, "-f", 1, "-s", 2),
             "fat16": (6 * MiB, "-F", 16, "-s", 1), "fat32": (34 * MiB, "-F", 32, "-s", 1),
             "sectors4096": (20 * MiB, "-F", 12, "-S", 4096, "-s", 2)}
    for name, (size, *options) in kinds.items():
        image = new_image(directory, size)
        check("mkfs.vfat", "-n", "LABEL", *options, image)
        tree = files_in(directory)
        check("mcopy", "-Q", "-s", "-i", image, *tree.iterdir(), "::/")
        check("mdel", "-i", image, "::/small")
        save("fat", name, sparse_input(image))


def make_exfat(directory):
    from fuse_testing import ExfatTestCase
    for name, size, cluster in (("c512", 5 * MiB, 512), ("c4096", 24 * MiB, 4096)):
        image = new_image(directory, size)
        check("mkfs.exfat", "-L", "label", "-c", cluster, image)
        fill(ExfatTestCase, directory, image)
        with open(image, "rb") as file:
            content = file.read()
        # The table of capital letters is not looked at; nor is the backup of the boot region.
        upcase = content.index(bytes.fromhex("0000010002000300"))
        save("exfat", name, sparse_input(image, [[12 * 512, 12 * 512], [upcase, 5836]]))


def make_ntfs(directory):
    from fuse_testing import NtfsTestCase
    for name, size, cluster in (("c512", 4 * MiB, 512), ("c4096", 8 * MiB, 4096)):
        image = new_image(directory, size)
        check("mkntfs", "-F", "-Q", "-q", "-L", "label", "-c", cluster, image)
        if name == "c512":
            fill(NtfsTestCase, directory, image)
        save("ntfs", name, sparse_input(image, parts_of_ntfs(image)))


def parts_of_ntfs(image):
    """Where what is not looked at lies: the boot code, $UpCase, $AttrDef, indexes, $MFTMirr."""
    with open(image, "rb") as file:
        content = file.read()
    skipped = [[512, 8 * KiB - 512]]
    number = 0
    for name, at in (("$UpCase", content.find(bytes.fromhex("0000010002000300"))),
                     ("$AttrDef", content.find("$STANDARD_INFORMATION".encode("utf-16-le")))):
        skipped.append([at, 128 * KiB if name == "$UpCase" else 2560])
    for magic in (b"INDX",):
        while (number := content.find(magic, number)) >= 0:
            skipped.append([number, 4096])
            number += 4096
    return skipped


def fill(case, directory, image):
    test = case("run")
    test.setUp()
    try:
        with test.mounted(image) as root:
            shutil.copytree(files_in(directory), root, dirs_exist_ok=True,
                            copy_function=shutil.copyfile)
            (root / "small").unlink()
    finally:
        test.doCleanups()


def main():
    with tempfile.TemporaryDirectory() as directory:
        for make in (make_fat, make_exfat, make_ntfs):
            make(pathlib.Path(directory))


if __name__ == "__main__":
    main()
