"""The test that matters for what is called free: overwrite all of it, and no file may change.

    class Ext(ScrubTestCase):
        def test_survives(self):
            image = self.zero_image(64 * MiB)
            check("mkfs.ext4", "-q", image)
            with self.mounted(image) as root:
                self.age(root)
            self.assert_scrub_safe(image, ["e2fsck", "-fn", image])

A file system that the kernel cannot mount overrides mounted(). The map comes from the program
$FREE_RANGES (tests/support/tools/free_ranges.cpp), beside imgtool by default. Needs root.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re

from imgtool_testing import IMGTOOL, KiB, MiB, TestCase, check, run, unmount, wait_until

FREE_RANGES = os.environ.get("FREE_RANGES",
                             str(pathlib.Path(IMGTOOL).resolve().parent / "free_ranges"))
SCRUB = 0xA5


def free_map(image):
    """What formats/disks/free_space.hpp finds: a dict with "containers", "free", "witnesses". What it
    does not keep whole must be what blkid takes it for, on every image of every test."""
    result = run([FREE_RANGES, image])
    if result.code != 0:
        raise AssertionError(f"free_ranges failed: {result!r}")
    with open(image, "rb") as file:
        is_raw = file.read(4) != b"QFI\xfb"
    for found in result.json["containers"] if is_raw else ():
        if found["name"] == "whole disk" or re.fullmatch(r"partition \d+", found["name"]):
            assert_blkid_agrees(image, found)
    return result.json


def blkid(image, offset=0, size=None):
    """What it says, and nothing where it finds nothing; {"AMBIVALENT": ..} for several claims."""
    size = ["-S", size] if size is not None else []
    result = run(["blkid", "-p", "-O", offset, *size, "-o", "export", image])
    if result.code == 8:
        return {"AMBIVALENT": "yes"}
    return dict(line.split("=", 1) for line in result.out.splitlines() if "=" in line)


def assert_blkid_agrees(image, found):
    """A container whose free space may be dropped is one thing, and the same for both."""
    if found["kept"]:
        return
    told = blkid(image, found["start"], found["length"])
    message = f"{image}: {found}\nblkid: {told}"
    assert "AMBIVALENT" not in told, message
    # A boot sector's signature makes it a "dos" table for blkid, whatever the slots say.
    assert told.get("PTTYPE", "dos") in ("dos", "gpt"), message
    assert told.get("TYPE", told.get("PTTYPE")) == found["type"], message


def container(found, name=None, kind=None):
    """The one container of this name or type; without either, the only one."""
    fitting = [c for c in found["containers"]
               if name in (None, c["name"]) and kind in (None, c["type"])]
    if len(fitting) != 1:
        raise AssertionError(f"{len(fitting)} containers fit {name} {kind}: "
                             f"{json.dumps(found['containers'], indent=1)}")
    return fitting[0]


def scrub(image, ranges, byte=SCRUB):
    """Overwrites these [offset, length] of a file or device."""
    block = bytes([byte]) * MiB
    with open(image, "r+b") as file:
        for offset, length in ranges:
            file.seek(offset)
            while length > 0:
                length -= file.write(block[:min(length, MiB)])


def contents(root):
    """What a tree holds: {path: digest, link target or "directory"}. lost+found is left out."""
    found = {}
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name != "lost+found")
        for name in names + files:
            path = os.path.join(directory, name)
            key = os.path.relpath(path, root)
            if os.path.islink(path):
                found[key] = os.readlink(path)
            elif os.path.isdir(path):
                found[key] = "directory"
            else:
                with open(path, "rb") as file:
                    found[key] = hashlib.sha256(file.read()).hexdigest()
    return found


class ScrubTestCase(TestCase):
    @contextlib.contextmanager
    def mounted(self, image, *options):
        """The root of the image's file system, while it is mounted (mount's -o `options`)."""
        directory = self.path()
        directory.mkdir()
        check("mount", "-o", ",".join(["loop", *options]), image, directory)
        try:
            yield directory
        finally:
            unmount(directory)
            # Its loop device stays while any losetup, another test's too, has it open.
            wait_until(lambda: not check("losetup", "--associated", image), "the image alone")

    @staticmethod
    def age(root, seed=1, fill=0.6, files=400, largest=512 * KiB, links=True):
        """Fills a mounted file system to about this part, deletes a third of it here and there,
        and writes into the gaps, so that files are in pieces. At most `files` of them at once."""
        generator = random.Random(seed)
        status = os.statvfs(root)
        budget = int(status.f_bavail * status.f_frsize * fill)
        paths = []
        for turn in range(3):
            directory = root / f"turn{turn}"
            directory.mkdir()
            for index in range(files // 2):
                size = min(generator.choice([0, 1, 100, 5000, 40 * KiB, largest // 4, largest]),
                           budget)
                path = directory / (f"file {index} " + "x" * generator.randrange(60))
                path.write_bytes(generator.randbytes(size))
                budget -= size
                paths.append(path)
            if links:
                (directory / "link").symlink_to("target of a link " * generator.randrange(1, 12))
            generator.shuffle(paths)
            gone, paths = paths[:len(paths) // 3], paths[len(paths) // 3:]
            for path in gone:
                budget += path.stat().st_size
                path.unlink()
            for path in paths[:len(paths) // 5]:
                size = min(generator.randrange(2 * largest // 3), max(budget, 0))
                with open(path, "ab") as file:
                    file.write(generator.randbytes(size))
                budget -= size
            check("sync", "-f", root)

    def assert_kept_whole(self, image, *words, kind=None, name=None):
        """Nothing of the container is free, and its reason has all these words in it."""
        found = container(free_map(image), name, kind)
        self.assertEqual(found["free-bytes"], 0, found)
        self.assertNotEqual(found["kept-because"], "", found)
        for word in words:
            self.assertIn(word, found["kept-because"] + " " + found["remedy"], found)

    def exact_map(self, image, name=None, kind=None):
        """The free ranges of an image whose container must not be kept whole."""
        found = free_map(image)
        self.assertEqual(container(found, name, kind)["kept-because"], "", found["containers"])
        self.assertGreater(sum(length for _, length in found["free"]), 0)
        return found

    def assert_scrub_safe(self, image, checker, at_least=None, writes=True, name=None, kind=None,
                          mount_options=()):
        """Overwrites all that is called free; the checker must be content and every file as it
        was, also after new files were written. `at_least`: so many bytes must be free."""
        with self.mounted(image, "ro", *mount_options) as root:
            before = contents(root)
        self.assertGreater(len(before), 0, "an empty file system proves nothing")
        found = self.exact_map(image, name, kind)
        if at_least is not None:
            self.assertGreaterEqual(sum(length for _, length in found["free"]), at_least)
        scrub(image, found["free"])
        self.assert_checks(checker, "after the scrub")
        with self.mounted(image, "ro", *mount_options) as root:
            self.assertEqual(contents(root), before)
        if writes:
            self._assert_writable(image, checker, before, mount_options)
        return found

    def _assert_writable(self, image, checker, before, mount_options):
        with self.mounted(image, *mount_options) as root:
            status = os.statvfs(root)
            size = min(status.f_bavail * status.f_frsize // 4, 16 * MiB)
            content = random.Random(7).randbytes(size)
            (root / "written after the scrub").write_bytes(content)
            check("sync", "-f", root)
        with self.mounted(image, "ro", *mount_options) as root:
            after = contents(root)
        self.assertEqual(after.pop("written after the scrub"), hashlib.sha256(content).hexdigest())
        self.assertEqual(after, before)
        self.assert_checks(checker, "after the scrub and new files")

    def assert_checks(self, checker, when):
        result = run(checker)
        self.assertEqual(result.code, 0, f"{when}\n{result!r}")
