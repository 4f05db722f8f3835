"""FAT12, FAT16 and FAT32: what is called free is in no file, and doubt keeps all of it.

The file systems are filled by mtools, so this runs where the kernel knows no FAT.
"""
import os
import random
import re
import struct

from damage_testing import assert_flips_are_safe
from imgtool_testing import KiB, MiB, check, flip_byte, main, requires
from scrub_testing import ScrubTestCase, container, contents, free_map, scrub

os.environ["MTOOLS_SKIP_CHECK"] = "1"
os.environ["MTOOLSRC"] = os.devnull


class Boot:
    """What the tests need of a boot sector; offsets are bytes."""

    def __init__(self, image):
        with open(image, "rb") as file:
            sector = file.read(512)
        self.sector, self.per_cluster, self.reserved, self.tables, self.root_entries = \
            struct.unpack_from("<HBHBH", sector, 11)
        small = struct.unpack_from("<H", sector, 22)[0]
        self.fat32 = small == 0
        self.table_length = (struct.unpack_from("<I", sector, 36)[0] or small) * self.sector \
            if self.fat32 else small * self.sector
        self.table = self.reserved * self.sector
        self.root = self.table + self.tables * self.table_length
        self.data = self.root + -(-self.root_entries * 32 // self.sector) * self.sector
        self.cluster = self.sector * self.per_cluster
        self.info = struct.unpack_from("<H", sector, 48)[0] * self.sector

    def tables_at(self):
        return [self.table + number * self.table_length for number in range(self.tables)]


class FatTestCase(ScrubTestCase):
    def make(self, size, *options):
        """A new file system, and what its checker is."""
        image = self.zero_image(size)
        check("mkfs.vfat", *options, image)
        return image

    def copy_in(self, image, source, target="::/"):
        check("mcopy", "-Q", "-s", "-i", image, source, target)

    def fill(self, image, seed=1, fill=0.6, files=24, largest=64 * KiB):
        """Three turns: files are copied in, a third goes, the next ones come into the gaps."""
        generator = random.Random(seed)
        boot = Boot(image)
        budget = int(fill * (os.path.getsize(image) - boot.data)) - files * 2 * boot.cluster
        paths = []
        for turn in range(3):
            directory = self.path()
            directory.mkdir()
            check("mmd", "-i", image, f"::/turn{turn}")
            names = []
            for index in range(files):
                size = generator.choice([0, 1, 700, 5000, largest // 4, largest])
                if budget < size + boot.cluster:
                    continue
                budget -= -(-size // boot.cluster) * boot.cluster
                name = f"a file of a long name {index}.dat" if index % 3 else f"F{index}.BIN"
                (directory / name).write_bytes(generator.randbytes(size))
                names.append(directory / name)
                paths.append((f"::/turn{turn}/{name}", size))
            check("mcopy", "-Q", "-i", image, *names, f"::/turn{turn}/")
            generator.shuffle(paths)
            gone, paths = paths[:len(paths) // 3], paths[len(paths) // 3:]
            budget += sum(size for _, size in gone)
            check("mdel", "-i", image, *[name for name, _ in gone])
        check("mmd", "-i", image, "::/turn0/deeper", "::/turn0/deeper/and deeper still")
        leaf = self.path("leaf")
        leaf.write_bytes(generator.randbytes(3000))
        self.copy_in(image, leaf, "::/turn0/deeper/and deeper still/")

    def files_in(self, image):
        directory = self.path()
        directory.mkdir()
        check("mcopy", "-Q", "-s", "-n", "-i", image, "::/*", directory)
        return contents(directory)

    def assert_scrub_safe(self, image):
        before = self.files_in(image)
        self.assertGreater(len(before), 10)
        found = self.exact_map(image, kind="vfat")
        scrub(image, found["free"])
        self.assert_checks(["fsck.fat", "-n", image], "after the scrub")
        self.assertEqual(self.files_in(image), before)
        self.assert_counts_agree(image, found)
        new = self.path("new file")
        free = sum(length for _, length in found["free"])
        new.write_bytes(random.Random(9).randbytes(min(free // 2, 2 * MiB)))
        self.copy_in(image, new)
        self.assert_checks(["fsck.fat", "-n", image], "after the scrub and a new file")
        after = self.files_in(image)
        del after["new file"]
        self.assertEqual(after, before)
        return found

    def assert_counts_agree(self, image, found):
        """fsck.fat counts the same clusters in use."""
        used, total = map(int, re.search(r"(\d+)/(\d+) clusters", check("fsck.fat", "-n", image))
                          .groups())
        here = container(found, kind="vfat")
        self.assertEqual(here["free-bytes"], (total - used) * here["block-size"])


@requires("mkfs.vfat", "fsck.fat", "mcopy", "mdel", "mmd")
class Fat(FatTestCase):
    VARIANTS = {
        "fat12 floppy": (1440 * KiB, "-F", 12),
        "fat12 360K floppy": (360 * KiB, "-F", 12, "-r", 112),
        "fat12 2.88M floppy": (2880 * KiB, "-F", 12, "-n", "Label 12"),
        "fat12 one table": (4 * MiB, "-F", 12, "-f", 1, "-s", 8),
        "fat12 odd size": (3 * MiB + 512 * 7, "-F", 12, "-s", 4),
        "fat16 512": (10 * MiB, "-F", 16, "-s", 1),
        "fat16 2K one table": (32 * MiB, "-F", 16, "-f", 1),
        "fat16 32K": (160 * MiB, "-F", 16, "-s", 64),
        "fat16 not aligned": (24 * MiB + 512 * 13, "-F", 16, "-a", "-R", 5),
        "fat16 4096-byte sectors": (64 * MiB, "-F", 16, "-S", 4096, "-s", 1),
        "fat32 512": (40 * MiB, "-F", 32, "-s", 1),
        "fat32 4K": (300 * MiB, "-F", 32, "-s", 8, "-n", "LABEL32"),
        "fat32 32K": (2200 * MiB, "-F", 32, "-s", 64),
        "fat32 one table": (64 * MiB, "-F", 32, "-f", 1, "-s", 1, "-R", 40),
        "fat32 4096-byte sectors": (400 * MiB, "-F", 32, "-S", 4096, "-s", 1),
    }

    def test_every_free_byte_can_be_overwritten(self):
        for name, (size, *options) in self.VARIANTS.items():
            with self.subTest(name):
                image = self.make(size, *options)
                self.fill(image)
                self.assert_scrub_safe(image)
                os.remove(image)

    def test_a_full_one_and_an_empty_one(self):
        image = self.make(1440 * KiB)
        found = self.exact_map(image, kind="vfat")
        self.assert_counts_agree(image, found)
        big = self.path("big")
        big.write_bytes(random.Random(1).randbytes(container(found)["free-bytes"]))
        self.copy_in(image, big)
        found = free_map(image)
        self.assertEqual(found["free"], [])
        self.assertEqual(container(found)["kept-because"], "")

    def test_fat32_with_few_clusters_is_fat32(self):
        image = self.make(20 * MiB, "-F", 32, "-s", 1)
        self.assert_counts_agree(image, self.exact_map(image))

    def test_label_and_identifier_are_blkids(self):
        for options in (["-n", "UPPER"], [], ["-F", 32, "-n", "Thirty two"]):
            image = self.make(40 * MiB, *options)
            here = container(free_map(image), kind="vfat")
            expected = dict(line.split("=", 1) for line in
                            check("blkid", "-p", "-o", "export", image).splitlines())
            self.assertEqual(here["uuid"], expected["UUID"])
            self.assertEqual(here["label"].replace(" ", "\\ "), expected.get("LABEL", ""))

    def test_a_bad_cluster_is_kept(self):
        image = self.make(1440 * KiB)
        boot = Boot(image)
        free = container(free_map(image))["free-bytes"]
        with open(image, "r+b") as file:
            for table in boot.tables_at():
                file.seek(table + 150)  # clusters 100 and 101
                file.write(b"\xf7\x0f\x00")
        found = self.exact_map(image)
        self.assertEqual(container(found)["free-bytes"], free - boot.cluster)
        at = boot.data + (100 - 2) * boot.cluster
        self.assertFalse([r for r in found["free"] if r[0] <= at < r[0] + r[1]])

    @requires("partclone.fat32")
    def test_partclone_agrees(self):
        for number, options in ((16, ["-F", 16]), (32, ["-F", 32, "-s", 1])):
            image = self.make(40 * MiB, *options)
            self.fill(image)
            domain = self.path()
            check(f"partclone.fat{number}", "-D", "--offset_domain=0", "-s", image, "-o", domain,
                  "-L", self.path())
            lines = [line.split() for line in domain.read_text().splitlines()[3:]]
            lines = [line for line in lines if len(line) == 3 and line[2] == "?"]
            free = [[int(at, 16), int(size, 16)] for at, size, _ in lines]
            self.assertEqual(free_map(image)["free"], free)


@requires("mkfs.vfat", "fsck.fat", "mcopy", "mdel", "mmd")
class Doubt(FatTestCase):
    def filled(self, size, *options):
        image = self.make(size, *options)
        self.fill(image)
        self.exact_map(image, kind="vfat")
        return image

    def both_tables(self, image, change):
        """Changes all copies of the table alike: change(bytearray)."""
        boot = Boot(image)
        with open(image, "r+b") as file:
            for at in boot.tables_at():
                file.seek(at)
                table = bytearray(file.read(boot.table_length))
                change(table)
                file.seek(at)
                file.write(table)

    def poke(self, image, offset, data):
        with open(image, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def test_dirty_marks(self):
        for size, options, boot_byte in ((1440 * KiB, [], 0x25), (20 * MiB, ["-F", 16], 0x25),
                                         (40 * MiB, ["-F", 32], 0x41)):
            image = self.filled(size, *options)
            self.poke(image, boot_byte, b"\x01")
            self.assert_kept_whole(image, "dirty", "unmount", kind="vfat")
            self.poke(image, boot_byte, b"\x02")
            self.assert_kept_whole(image, "test of the medium", kind="vfat")
        for options, at in ((["-F", 16], 3), (["-F", 32], 7)):
            image = self.filled(40 * MiB, *options)
            self.both_tables(image, lambda table: table.__setitem__(at, table[at] & 0x77))
            self.assert_kept_whole(image, "dirty", kind="vfat")

    def test_errors_of_the_medium_are_a_warning(self):
        image = self.filled(40 * MiB, "-F", 32)
        self.both_tables(image, lambda table: table.__setitem__(7, table[7] & 0xfb))
        self.assertIn("medium", container(self.exact_map(image))["warning"])

    def test_tables_that_differ(self):
        for size, options in ((1440 * KiB, []), (20 * MiB, ["-F", 16]), (40 * MiB, ["-F", 32])):
            image = self.filled(size, *options)
            boot = Boot(image)
            flip_byte(image, boot.table + boot.table_length + 40)
            self.assert_kept_whole(image, "copies", "fsck.fat", kind="vfat")

    def test_every_cluster_in_use_that_the_tables_call_free_is_noticed(self):
        image = self.filled(20 * MiB, "-F", 16)
        original = image.read_bytes()
        boot = Boot(image)
        used = [n for n in range(2, boot.table_length // 2)
                if original[boot.table + 2 * n:boot.table + 2 * n + 2] != b"\0\0"]
        for cluster in random.Random(3).sample(used, 40):
            self.both_tables(image, lambda table, n=cluster: table.__setitem__(
                slice(2 * n, 2 * n + 2), b"\0\0"))
            self.assert_kept_whole(image, "calls free", kind="vfat")
            image.write_bytes(original)

    def test_chains_that_cross_or_leave(self):
        image = self.filled(20 * MiB, "-F", 16)
        original = image.read_bytes()
        def chained(table):
            return [n for n in range(2, len(table) // 2)
                    if 2 <= int.from_bytes(table[2 * n:2 * n + 2], "little") < 0xfff0]
        def cross(table):
            first, second = chained(table)[:2]
            table[2 * second:2 * second + 2] = table[2 * first:2 * first + 2]
        def leave(table):
            first = chained(table)[0]
            table[2 * first:2 * first + 2] = b"\xe0\xff"
        self.both_tables(image, cross)
        self.assert_kept_whole(image, "two files", kind="vfat")
        image.write_bytes(original)
        self.both_tables(image, leave)
        self.assert_kept_whole(image, "does not exist", kind="vfat")

    def test_a_count_of_free_clusters_that_is_wrong(self):
        image = self.filled(40 * MiB, "-F", 32)
        boot = Boot(image)
        flip_byte(image, boot.info + 488)
        self.assert_kept_whole(image, "FSInfo", kind="vfat")
        self.poke(image, boot.info + 488, b"\xff\xff\xff\xff")  # not known
        self.exact_map(image, kind="vfat")
        flip_byte(image, boot.info + 484)
        self.assert_kept_whole(image, "FSInfo", kind="vfat")

    def test_a_table_that_is_not_active_is_not_asked(self):
        image = self.filled(40 * MiB, "-F", 32)
        boot = Boot(image)
        before = self.exact_map(image)["free"]
        flip_byte(image, boot.table + 4000)  # the first one is stale
        self.assert_kept_whole(image, "copies", kind="vfat")
        self.poke(image, 40, b"\x81\x00")
        self.assertEqual(self.exact_map(image)["free"], before)
        self.poke(image, 40, b"\x80\x00")
        found = container(free_map(image), kind="vfat")
        self.assertNotEqual(found["kept-because"], "")

    def test_truncated(self):
        image = self.filled(40 * MiB, "-F", 32)
        for size in (39 * MiB, 20 * MiB, 300 * KiB, 64 * KiB, 512):
            os.truncate(image, size)
            found = free_map(image)
            self.assertEqual(found["free"], [])
            self.assertNotEqual(container(found)["kept-because"], "")

    def test_flipped_bits_never_free_what_was_in_use(self):
        for size, options in ((1440 * KiB, []), (6 * MiB, ["-F", 16, "-s", 1]),
                              (34 * MiB, ["-F", 32, "-s", 1, "-f", 1])):
            image = self.filled(size, *options)
            boot = Boot(image)
            assert_flips_are_safe(self, image, [[0, boot.data + 4 * boot.cluster]], 60)


if __name__ == "__main__":
    main()
