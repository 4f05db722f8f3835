"""What is free in XFS: overwritten for real, and compared with xfs_db."""
import mmap
import os
import random
import shutil
import time

from imgtool_testing import GiB, KiB, MiB, check, flip_byte, main, requires, requires_root
from scrub_testing import container, contents, free_map, scrub
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
@requires("mkfs.xfs", "xfs_repair", "xfs_db")
class Live(XfsTestCase):
    def test_a_copy_of_a_mounted_one_is_kept(self):
        image = self.make()
        with self.mounted(image) as root:
            self.age(root, files=60)
            self.assert_kept_whole(self.copy(image), "log", "unmounted", "fsfreeze")
        self.exact_map(image)

    def test_a_mounted_one_without_writes_is_kept(self):
        image = self.aged(files=20)
        with self.mounted(image) as root:
            (root / "file").touch()
            check("sync", "-f", root)
            self.assert_kept_whole(self.copy(image), "log")

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

    def test_thawed_is_kept(self):
        image = self.make()
        with self.mounted(image) as root:
            self.age(root, files=50)
            check("fsfreeze", "--freeze", root)
            check("fsfreeze", "--unfreeze", root)
            (root / "new").write_bytes(bytes(10000))
            check("sync", "-f", root)
            self.assert_kept_whole(self.copy(image), "log")

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
        begin = time.monotonic()
        found = free_map(image)
        self.assertLess(time.monotonic() - begin, 1)
        self.assertGreater(sum(length for _, length in found["free"]), 2000 * GiB)


if __name__ == "__main__":
    main()
