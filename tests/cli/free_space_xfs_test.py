"""What is free in XFS: overwritten for real, and compared with xfs_db."""
import mmap
import os
import random
import re
import shutil

from imgtool_testing import (GiB, KiB, MiB, check, flip_byte, main, processor_time, requires,
                             requires_root, run)
from scrub_testing import FREE_RANGES, container, contents, free_map, scrub
from xfs_testing import SIZE, XfsTestCase, field, log_range, xfs_db_number


@requires_root
@requires("mkfs.xfs", "xfs_repair", "xfs_db")
class Scrub(XfsTestCase):
    def check_variant(self, *options, **how):
        image = self.aged(*options, **how)
        self.assert_agrees_with_xfs_db(image, self.exact_map(image))
        self.assert_scrub_safe(image, ["xfs_repair", "-n", "-f", image], at_least=SIZE // 8)

    def test_defaults(self):
        self.check_variant("-L", "a label")

    def test_several_groups_of_small_blocks(self):
        self.check_variant("-b", "size=1k", "-d", "agcount=4", largest=100 * KiB)

    def test_reverse_map_and_reference_counts(self):
        self.check_variant("-m", "rmapbt=1,reflink=1")

    def test_none_of_the_new_features(self):
        self.check_variant("-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0")

    def test_large_sectors_and_inodes(self):
        self.check_variant("-s", "size=4096", "-i", "size=2048", "-l", "su=32k")

    def test_many_extents(self):
        """Free space in thousands of pieces, so that the trees have several levels."""
        image = self.make("-b", "size=1k", "-d", "agcount=1")
        with self.mounted(image) as root:
            paths = [root / f"{index}" for index in range(6000)]
            for index, path in enumerate(paths):
                path.write_bytes(bytes([index % 251]) * 3000)
            check("sync", "-f", root)
            for path in paths[::2]:
                path.unlink()
        self.assertGreaterEqual(xfs_db_number(image, 0, "bnolevel"), 2)
        self.assert_agrees_with_xfs_db(image, self.exact_map(image))
        self.assert_scrub_safe(image, ["xfs_repair", "-n", "-f", "-o", "force_geometry", image])

    def test_shared_extents(self):
        image = self.make("-m", "reflink=1")
        with self.mounted(image) as root:
            self.age(root, files=100)
            (root / "original").write_bytes(random.Random(3).randbytes(4 * MiB))
            check("cp", "--reflink=always", root / "original", root / "clone")
            with open(root / "clone", "r+b") as clone:
                for offset in range(0, 4 * MiB, 64 * KiB):
                    clone.seek(offset)
                    clone.write(b"other content")
            check("sync", "-f", root)
            (root / "original").unlink()
        self.assert_scrub_safe(image, ["xfs_repair", "-n", "-f", image])

    def test_new_uuid(self):
        """Blocks keep the old one."""
        image = self.aged(files=50)
        uuid = "01234567-89ab-cdef-0123-456789abcdef"
        check("xfs_admin", "-U", uuid, image)
        with self.mounted(image) as root:  # xfs_admin left a log with a gap, which the kernel mends
            (root / "new").touch()
        self.assertEqual(container(free_map(image))["uuid"], uuid)
        self.assert_scrub_safe(image, ["xfs_repair", "-n", "-f", image])

    def test_grown(self):
        image = self.aged("-d", "agcount=2", files=50)
        os.truncate(image, SIZE + 29 * MiB)
        with self.mounted(image) as root:
            check("xfs_growfs", root)
            (root / "more").write_bytes(random.Random(5).randbytes(3 * MiB))
        found = self.exact_map(image)
        self.assertGreater(container(found)["size"], SIZE + 28 * MiB)
        self.assert_agrees_with_xfs_db(image, found)
        self.assert_scrub_safe(image, ["xfs_repair", "-n", "-f", image])

    def test_log_that_went_round(self):
        """All of the log was written several times: its end is somewhere in the middle."""
        image = self.make("-d", "agcount=2")
        with self.mounted(image, "logbsize=256k") as root:
            directory = root / "directory"
            for turn in range(60):
                directory.mkdir()
                for index in range(500):
                    (directory / f"{turn} {index} {'x' * 200}").touch()
                check("sync", "-f", root)
                shutil.rmtree(directory)
                check("sync", "-f", root)
                if self.log_cycle(image) > 2:
                    break
            (root / "file").write_bytes(bytes(100000))
        self.assertGreater(self.log_cycle(image), 2)
        self.assert_scrub_safe(image, ["xfs_repair", "-n", "-f", image])

    @staticmethod
    def log_cycle(image):
        with open(image, "rb") as file:
            file.seek(log_range(image)[0])
            block = file.read(8)
        return int.from_bytes(block[4:] if block[:4] == b"\xfe\xed\xba\xbe" else block[:4], "big")


@requires("mkfs.xfs", "xfs_repair", "xfs_db")
class Version4(XfsTestCase):
    """No new kernel mounts these: mkfs.xfs fills them, and the files are looked up in the image."""

    def make_filled(self, *options, files=60, size=SIZE):
        self.written = {}
        lines = ["/", "0 0", "d--755 0 0"]
        generator = random.Random(4)
        for index in range(files):
            path = self.path(f"source{index}")
            self.written[path] = generator.randbytes(generator.choice([600, 5000, 70000, 300000]))
            path.write_bytes(self.written[path])
            lines.append(f"file{index} ---644 0 0 {path}")
        prototype = self.path("prototype")
        prototype.write_text("\n".join(lines + ["$", "$"]) + "\n")
        return self.make("-m", "crc=0,finobt=0", "-p", prototype, *options, size=size)

    def assert_survives(self, image):
        found = self.exact_map(image)
        self.assert_agrees_with_xfs_db(image, found)
        scrub(image, found["free"])
        self.assert_checks(["xfs_repair", "-n", "-f", image], "after the scrub")
        with open(image, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            for path, wanted in self.written.items():
                self.assertGreaterEqual(content.find(wanted), 0, path)

    def test_defaults(self):
        self.assert_survives(self.make_filled())

    def test_tiny_blocks(self):
        self.assert_survives(self.make_filled("-b", "size=512", "-d", "agcount=4"))

    def test_large_blocks(self):
        self.assert_survives(self.make_filled("-b", "size=64k", size=4 * SIZE))

    def test_exact_counters_and_old_log(self):
        self.assert_survives(self.make_filled("-l", "lazy-count=0,version=1"))

    def test_a_moved_extent_is_noticed(self):
        """There are no checksums: but the two trees must agree."""
        image = self.make_filled()
        flip_byte(image, xfs_db_number(image, 0, "bnoroot") * field(image, 4, 4) + 16 + 3)
        self.assert_kept_whole(image, "xfs_repair")


@requires_root
@requires("mkfs.xfs", "xfs_repair", "xfs_db", "xfs_io")
class Disagreement(XfsTestCase):
    """Files and free space trees, each of them sound, contradict each other."""

    def make_filled(self, *options):
        """An image, and the number of each inode: of a file, of one in many pieces, and of one
        whose attributes have blocks of their own."""
        image = self.make("-b", "size=1k", "-d", "agcount=2", *options)
        with self.mounted(image) as root:
            for name in ("file", "pieces", "attributes"):
                (root / name).write_bytes(bytes(range(256)) * 1200)
            check("sync", "-f", root)
            check("xfs_io", *[word for at in range(0, 300, 2)
                              for word in ("-c", f"fpunch {at}k 1k")], root / "pieces")
            for index in range(4):
                os.setxattr(root / "attributes", f"user.{index}", b"x" * 900)
            return image, {path.name: path.stat().st_ino for path in root.iterdir()}

    def a_free_block(self, image):
        """Its number as XFS counts: the group above the bits of the block in it."""
        block, ag_blocks, bits = field(image, 4, 4), field(image, 84, 4), field(image, 124, 1)
        number = self.exact_map(image)["free"][-1][0] // block
        return number // ag_blocks << bits | number % ag_blocks

    def assert_noticed(self, image, inode, *places):
        """The last of the places gets the number of a free block."""
        free = self.a_free_block(image)
        before = image.read_bytes()
        check("xfs_db", "-x", "-f", "-c", f"inode {inode}",
              *[word for place in places[:-1] for word in ("-c", place)],
              "-c", f"write {places[-1]} {free}", image)
        self.assertNotEqual(image.read_bytes(), before)
        self.assert_kept_whole(image, f"inode {inode} uses blocks that the free space trees call "
                               "free", "xfs_repair")
        believed = run([FREE_RANGES, "--trust-maps", image]).json
        self.assertEqual(container(believed)["kept"], "")
        self.assertTrue(container(believed)["map-believed"])
        image.write_bytes(before)

    def assert_all_noticed(self, *options, core="u3"):
        image, inodes = self.make_filled(*options)
        self.assertFalse(container(self.exact_map(image))["map-believed"])
        self.assert_noticed(image, inodes["file"], f"{core}.bmx[0].startblock")
        self.assert_noticed(image, inodes["pieces"], f"addr {core}.bmbt.ptrs[1]",
                            "recs[3].startblock")
        self.assert_noticed(image, inodes["pieces"], f"{core}.bmbt.ptrs[1]")
        self.assert_noticed(image, inodes["attributes"], "a.bmx[0].startblock")

    def test_defaults(self):
        self.assert_all_noticed()

    def test_reverse_map_and_large_counts(self):
        self.assert_all_noticed("-m", "rmapbt=1", "-i", "nrext64=1")

    def test_an_inode_in_use_that_is_listed_as_free(self):
        image, inodes = self.make_filled()
        check("xfs_db", "-x", "-f", "-c", f"inode {inodes['file']}", "-c", "write core.mode 0",
              image)
        self.assert_kept_whole(image, "used and free at once")

    def test_the_trees_call_the_end_of_a_file_free(self):
        """All counters and checksums fit."""
        source = self.path()
        source.write_bytes(bytes(range(256)) * 1600)
        prototype = self.path()
        prototype.write_text(f"/dev/null\n0 0\nd--755 0 0\nfile ---644 0 0 {source}\n$\n")
        image = self.make("-p", prototype, "-d", "agcount=1")
        db = lambda *commands: check("xfs_db", "-x", "-f", *[word for command in commands
                                                             for word in ("-c", command)], image)
        inode = re.search(r"(\d+)\s+regular\s+\S+\s+\d+ file", db("ls /"))[1]
        start, count = map(int, re.search(r"startblock (\d+) .*count (\d+)",
                                          db(f"inode {inode}", "bmap")).groups())
        end = start + count
        text = db("agf 0", "addr bnoroot", "p recs")
        index, length = map(int, re.search(rf"(\d+):\[{end},(\d+)\]", text).groups())
        text = db("agf 0", "addr cntroot", "p recs")
        other = re.search(rf"(\d+):\[{end},{length}\]", text)[1]
        self.exact_map(image)
        for root, at in (("bnoroot", index), ("cntroot", other)):
            db("agf 0", f"addr {root}", f"write recs[{at}].startblock {end - 1}",
               f"write recs[{at}].blockcount {length + 1}")
        free = xfs_db_number(image, 0, "freeblks")
        db("agf 0", f"write freeblks {free + 1}",
           f"write longest {max(xfs_db_number(image, 0, 'longest'), length + 1)}")
        db("sb 0", f"write fdblocks {field(image, 144, 8) + 1}")
        self.assert_kept_whole(image, "uses blocks that the free space trees call free")


@requires_root
@requires("mkfs.xfs", "xfs_repair", "xfs_db", "xfs_io", "xfs_spaceman")
class Live(XfsTestCase):
    def crashed(self, *options, shutdown=False, size=SIZE, churn=None, mount_options=()):
        """An image as after a crash, with much in its log, and what the kernel makes of that."""
        image = self.make(*options, size=size)
        with self.mounted(image, *mount_options) as root:
            self.age(root, files=120)
            (churn or self.churn)(root)
            if shutdown:
                check("xfs_io", "-x", "-c", "shutdown -f", root)
                copy = image
            else:
                check("sync", "-f", root)
                copy = self.copy(image)
        if copy is not image:
            image.unlink()
        return copy

    @staticmethod
    def churn(root):
        """Maps that become trees and extents again, attributes, directories, inodes that come and
        go; the last of it stays in the log."""
        for index in range(40):
            (root / f"churn{index}").write_bytes(bytes([index]) * (3000 + 7000 * index))
        check("sync", "-f", root)
        pieces = root / "churn39"
        check("xfs_io", *[word for at in range(0, 260, 8)
                          for word in ("-c", f"fpunch {at}k 4k")], pieces)
        directory = root / "directory"
        directory.mkdir()
        for index in range(300):
            (directory / f"{index} {'n' * 60}").write_bytes(bytes(index))
        for index in range(0, 300, 2):
            (directory / f"{index} {'n' * 60}").unlink()
        shutil.rmtree(root / "turn1")
        for index in range(3):
            os.setxattr(root / "churn20", f"user.{index}", b"x" * 1500)
        os.removexattr(root / "churn20", "user.1")
        with open(root / "churn5", "r+b") as file:
            file.truncate(100)
        # Inodes that were deleted give their blocks back in the background: waits for that.
        check("xfs_spaceman", "-c", "prealloc -s", root)

    def assert_replayed(self, image):
        """Ours are what is free after the kernel's own replay, and no file misses what it has."""
        ours = self.exact_map(image)
        recovered = self.copy(image)
        with self.mounted(recovered) as root:
            expected = contents(root)
        theirs = self.exact_map(recovered)
        for offset, length in ours["free"]:
            self.assertTrue(any(o <= offset and offset + length <= o + n
                                for o, n in theirs["free"]), (offset, length))
        self.assertGreater(sum(length for _, length in ours["free"]),
                           sum(length for _, length in theirs["free"]) * 0.8)
        scrub(image, ours["free"])
        with self.mounted(image) as root:
            self.assertEqual(contents(root), expected)
            (root / "new").write_bytes(random.Random(9).randbytes(MiB))
        self.assert_checks(["xfs_repair", "-n", "-f", image], "after the scrub and the replay")

    def test_a_crash(self):
        self.assert_replayed(self.crashed())

    def test_a_crash_after_a_shutdown(self):
        self.assert_replayed(self.crashed(shutdown=True))

    def test_a_crash_of_small_blocks_and_reverse_maps(self):
        self.assert_replayed(self.crashed("-b", "size=1k", "-m", "rmapbt=1", "-d", "agcount=4"))

    def test_a_crash_with_large_log_buffers(self):
        self.assert_replayed(self.crashed("-i", "size=1024,nrext64=1", "-l", "su=64k", size=4 * SIZE,
                                          mount_options=["logbsize=256k"]))

    def test_a_crash_of_a_log_that_went_round(self):
        def churn(root):
            for turn in range(12):
                for index in range(400):
                    (root / f"{turn} {index} {'x' * 200}").touch()
                check("sync", "-f", root)
            self.churn(root)
        self.assert_replayed(self.crashed("-d", "agcount=2", churn=churn))

    def test_deletions_that_wait_for_their_blocks(self):
        """Intents to free: their blocks are in use until the kernel frees them."""
        def churn(root):
            self.churn(root)
            # Not the one with attributes: the kernel gives their block up before the map of it, and
            # a crash between the two leaves what its own recovery cannot read.
            for index in range(0, 20):
                (root / f"churn{index}").unlink()
        self.assert_replayed(self.crashed(shutdown=True, churn=churn))

    def test_a_flipped_byte_in_the_log(self):
        image = self.crashed()
        end = self.exact_map(image)["witnesses"][-1]
        flip_byte(image, end[0] + 520)
        self.assert_kept_whole(image, "log")

    def test_a_mounted_one_without_writes(self):
        image = self.aged(files=20)
        with self.mounted(image) as root:
            (root / "file").touch()
            check("sync", "-f", root)
            copy = self.copy(image)
        image.unlink()
        self.assert_replayed(copy)

    def test_frozen(self):
        image = self.make("-d", "agcount=3")
        with self.mounted(image) as root:
            self.age(root, files=150)
            before = contents(root)
            check("fsfreeze", "--freeze", root)
            try:
                copy = self.copy(image)
            finally:
                check("fsfreeze", "--unfreeze", root)
        found = self.exact_map(copy)
        self.assert_agrees_with_xfs_db(copy, found)
        scrub(copy, found["free"])
        with self.mounted(copy) as root:
            self.assertEqual(contents(root), before)
        self.assert_checks(["xfs_repair", "-n", "-f", copy], "after the scrub and recovery")

    def test_thawed(self):
        image = self.make()
        with self.mounted(image) as root:
            self.age(root, files=50)
            check("fsfreeze", "--freeze", root)
            check("fsfreeze", "--unfreeze", root)
            (root / "new").write_bytes(bytes(10000))
            check("sync", "-f", root)
            copy = self.copy(image)
        image.unlink()
        self.assert_replayed(copy)

    def test_witnesses_change_with_every_write(self):
        image = self.aged(files=20)
        ranges = self.exact_map(image)["witnesses"]
        self.assertGreater(len(ranges), 0)

        def witnesses():
            with open(image, "rb") as file:
                return [os.pread(file.fileno(), length, offset) for offset, length in ranges]

        before = witnesses()
        self.assertEqual(before, witnesses())
        with self.mounted(image) as root:
            (root / "new").touch()
            check("sync", "-f", root)
            self.assertNotEqual(before, witnesses())


@requires("mkfs.xfs")
class Cost(XfsTestCase):
    def test_two_tebibytes_take_less_than_a_second(self):
        image = self.make("-d", "agcount=512", "-l", "size=64m", size=2048 * GiB)
        self.exact_map(image)
        with processor_time() as seconds:
            found = free_map(image)
        self.assertLess(seconds(), 1)
        self.assertGreater(sum(length for _, length in found["free"]), 2000 * GiB)


if __name__ == "__main__":
    main()
