"""Disks with smaller partitions, as sfdisk, sgdisk, libblkid and the file systems' tools see them."""
import json
import os
import struct

from imgtool_testing import (IMGTOOL, MiB, check, main, random_bytes, requires, requires_root, run)
from table_testing import DISK_ID, TableTestCase, guid

RELAYOUT = os.environ.get("RELAYOUT", os.path.join(os.path.dirname(IMGTOOL), "relayout"))
SECTOR = 512
LOGICAL = """label: dos
label-id: 0x1b2c3d4e
1 : start=2048, size=8192, type=83, bootable
2 : start=12288, size=49152, type=f
3 : start=63488, size=2048, type=c
5 : start=14336, size=4096, type=83
6 : start=22528, size=6144, type=82
7 : start=30720, size=1000, type=7
8 : start=36864, size=8192, type=8e
9 : start=51200, size=10240, type=83
"""


def place(disk, number):
    """Where a partition lies, in bytes: (start, length)."""
    table = json.loads(check("sfdisk", "--json", disk))["partitiontable"]
    unit = table.get("sectorsize", SECTOR)
    for partition in table["partitions"]:
        if partition["node"].removeprefix(str(disk)).removeprefix("p") == str(number):
            return partition["start"] * unit, partition["size"] * unit
    raise AssertionError(f"{disk} has no partition {number}")


def blkid_view(disk):
    """What another library than sfdisk's makes of it."""
    return check("partx", "--raw", "--noheadings", "-o",
                 "NR,START,SECTORS,NAME,UUID,TYPE,FLAGS", disk).splitlines()


def read_at(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def write_at(path, offset, content):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


@requires("sfdisk", "sgdisk", "partx")
class RelayoutTest(TableTestCase):
    def relaid(self, old, *changes):
        """The new disk, and what the plan said."""
        new = self.path()
        result = run([RELAYOUT, old, new, *changes])
        self.assertEqual(result.code, 0, result)
        plan = json.loads(result.out)
        self.assertEqual(os.path.getsize(new), plan["size"])
        return new, plan

    def assert_partitions_kept(self, old, new, plan, starts=None):
        """`starts`: of the old partitions, where sfdisk cannot tell."""
        for partition in plan["partitions"]:
            number = partition["number"]
            before = starts[number] if starts else place(old, number)[0]
            self.assertEqual(place(new, partition["number"]),
                             (partition["start"], partition["length"]))
            self.assertEqual(read_at(new, partition["start"], partition["length"]),
                             read_at(old, before, partition["length"]), partition)

    def assert_same_but_places(self, old, new):
        """Numbers, ids, types, names, attributes and flags, by two programs."""
        tables = self.table(old), self.table(new)
        for table in tables:
            for partition in table["partitions"]:
                del partition["start"], partition["size"]
        self.assertEqual(*tables)
        words = [[(line.split()[0], *line.split()[3:]) for line in blkid_view(disk)]
                 for disk in (old, new)]
        self.assertEqual(*words)

    # --- GPT ---

    def test_gpt_with_numbers_that_have_gaps(self):
        # As Debian's and Ubuntu's cloud images: 14 and 15 before 1.
        old = self.gpt_image(32 * MiB, {1: (12 * MiB, 18 * MiB), 14: (MiB, 3 * MiB),
                                        15: (5 * MiB, 6 * MiB)})
        new, plan = self.relaid(old, f"1:{5 * MiB}", f"15:{3 * MiB + 1}")
        self.assertEqual(plan["size"], 14 * MiB)
        self.assertEqual(place(new, 15), (4 * MiB, 3 * MiB + SECTOR))
        self.assertEqual(place(new, 1), (8 * MiB, 5 * MiB))
        self.assert_healthy(new)
        self.assert_same_but_places(old, new)
        self.assert_partitions_kept(old, new, plan)
        self.assertEqual(self.table(new)["id"].lower(), DISK_ID)
        self.assertEqual(read_at(new, 0, 440), read_at(old, 0, 440))

    def test_gpt_as_sfdisk_would_write_it(self):
        """The same table made by sfdisk is the same, byte for byte."""
        old = self.gpt_image(16 * MiB, {1: (MiB, 4 * MiB), 2: (8 * MiB, 4 * MiB)})
        new, plan = self.relaid(old, f"1:{2 * MiB}")
        self.assertEqual(plan["size"], 8 * MiB)
        other = self.gpt_image(8 * MiB, {1: (MiB, 2 * MiB), 2: (3 * MiB, 4 * MiB)})
        self.assertEqual(read_at(new, SECTOR, 33 * SECTOR), read_at(other, SECTOR, 33 * SECTOR))
        end = 8 * MiB - 33 * SECTOR
        self.assertEqual(read_at(new, end, 33 * SECTOR), read_at(other, end, 33 * SECTOR))

    @requires_root
    def test_gpt_of_a_4kn_disk(self):
        old = self.gpt_image(32 * MiB, {1: (MiB, 4 * MiB), 3: (7 * MiB, 20 * MiB)}, 4096)
        new, plan = self.relaid(old, f"3:{6 * MiB + 1}", f"1:{2 * MiB}")
        self.assertEqual(plan["size"], 10 * MiB)
        disks = [self.loop_device(path, 4096) for path in (old, new)]
        self.assert_healthy(disks[1], 4096)
        self.assert_same_but_places(*disks)
        self.assert_partitions_kept(*disks, plan)

    def test_gpt_whose_backup_was_cut_off(self):
        old = self.gpt_image(16 * MiB, {1: (MiB, 4 * MiB), 2: (8 * MiB, 4 * MiB)})
        os.truncate(old, 13 * MiB)
        new, plan = self.relaid(old, f"2:{2 * MiB}")
        self.assert_healthy(new)
        self.assert_partitions_kept(old, new, plan, {1: MiB, 2: 8 * MiB})

    # --- MBR ---

    def test_logical_partitions(self):
        old = self.partitioned(32 * MiB, LOGICAL)
        write_at(old, 0, random_bytes(440, 1))
        new, plan = self.relaid(old, f"1:{2 * MiB}", f"5:{MiB}", f"6:{MiB}", f"8:{MiB}",
                                f"9:{3 * MiB}")
        self.assert_sfdisk_is_content(new)
        self.assert_same_but_places(old, new)
        self.assert_partitions_kept(old, new, plan)
        self.assertEqual(read_at(new, 0, 446), read_at(old, 0, 446))
        starts = [place(new, number)[0] / MiB for number in (1, 2, 5, 6, 7, 8, 9, 3)]
        self.assertEqual(starts, [1, 3, 4, 6, 8, 10, 12, 15])
        self.assertEqual(place(new, 2)[1], 12 * MiB)
        self.assertEqual(plan["size"], 16 * MiB)
        self.assert_as_sfdisk_writes_it(new)

    def assert_as_sfdisk_writes_it(self, disk):
        """Every sector of the tables is what sfdisk makes of its own dump of this disk."""
        dump = check("sfdisk", "--dump", disk) + "\n"
        other = self.path()
        with open(other, "wb") as file:
            file.truncate(os.path.getsize(disk))
        self.assertEqual(run(["sfdisk", "--quiet", other], input=dump.encode()).code, 0)
        self.assertEqual(read_at(disk, 440, 72), read_at(other, 440, 72))
        extended, _ = place(disk, 2)
        at = extended
        for number in range(5, 10):
            slots = [read_at(path, at + 446, 32) + read_at(path, at + 510, 2)
                     for path in (disk, other)]
            self.assertEqual(*slots, f"the sector before partition {number}, at {at}")
            kind, first = slots[0][20], struct.unpack_from("<I", slots[0], 24)[0]
            at = extended + first * SECTOR
        self.assertEqual(kind, 0)  # of the last link

    def test_windows_mbr_keeps_every_start(self):
        old = self.partitioned(32 * MiB, LOGICAL)
        new, plan = self.relaid(old, "--windows", f"1:{2 * MiB}", f"9:{MiB}")
        for number in (1, 2, 3, 5, 6, 7, 8, 9):
            self.assertEqual(place(new, number)[0], place(old, number)[0])
        self.assertEqual(plan["size"], 32 * MiB)  # partition 3 is the last one
        self.assert_sfdisk_is_content(new)
        self.assert_partitions_kept(old, new, plan)
        reasons = {part["number"]: part["why-not-moved"] for part in plan["partitions"]}
        self.assertIn("Windows", reasons[3])

    def test_an_old_table_on_cylinders(self):
        old = self.partitioned(
            32 * MiB, "label: dos\nlabel-id: 0x1b2c3d4e\ngrain: 512\n1 : start=63, size=16002, "
            "type=83, bootable\n2 : start=16065, size=32130, type=5\n"
            "5 : start=16128, size=16002, type=83\n6 : start=32193, size=16002, type=82\n")
        new, plan = self.relaid(old, f"1:{2 * MiB}", f"5:{3 * MiB}", f"6:{MiB}")
        self.assertEqual(place(new, 1)[0], 63 * SECTOR)
        self.assertEqual([place(new, number)[0] / MiB for number in (2, 5, 6)], [3, 4, 8])
        self.assertEqual(plan["size"], 9 * MiB)
        self.assert_sfdisk_is_content(new)
        self.assert_same_but_places(old, new)
        self.assert_partitions_kept(old, new, plan)

    # --- what knows its place or its length ---

    def mover(self, kind, content):
        """An MBR whose second partition is `content`, and will move from 8 MiB to 3 MiB."""
        size = os.path.getsize(content)
        disk = self.partitioned(
            8 * MiB + size, f"label: dos\n1 : start=2048, size=8192, type=83\n"
            f"2 : start=16384, size={size // SECTOR}, type={kind}\n")
        with open(content, "rb") as file:
            write_at(disk, 8 * MiB, file.read())
        return disk

    def second_partition(self, disk, name):
        start, length = place(disk, 2)
        part = self.path(name)
        part.write_bytes(read_at(disk, start, length))
        return part

    @requires("mkfs.ntfs", "ntfsresize")
    def test_a_shrunken_ntfs_that_moves(self):
        volume = self.zero_image(24 * MiB)
        check("mkfs.ntfs", "--force", "--fast", "--quiet", "--partition-start", 16384,
              "--heads", 255, "--sectors-per-track", 63, "--sector-size", 512, volume)
        result = run(["ntfsresize", "--force", "--force", "--size", 16 * MiB, volume], input=b"y\n")
        self.assertEqual(result.code, 0, result)
        old = self.mover(7, volume)
        new, _ = self.relaid(old, f"1:{2 * MiB}", f"2:{16 * MiB}")
        part = self.second_partition(new, "ntfs")
        for at in (0, 16 * MiB - SECTOR):
            sector = read_at(part, at, 512)
            self.assertEqual(sector[3:11], b"NTFS    ", f"the boot sector at {at}")
            self.assertEqual(struct.unpack_from("<I", sector, 28)[0], 3 * MiB // SECTOR)
        # ntfsresize wants Windows to look at it first, so it has to be told twice.
        result = run(["ntfsresize", "--force", "--force", "--info", part])
        self.assertEqual(result.code, 0, result)

    @requires("mkfs.fat", "fsck.fat")
    def test_a_fat32_that_moves(self):
        volume = self.zero_image(40 * MiB)
        check("mkfs.fat", "-F", 32, "-h", 16384, "-n", "ESP", volume)
        new, _ = self.relaid(self.mover("c", volume), f"1:{2 * MiB}")
        part = self.second_partition(new, "fat")
        for at in (0, 6 * SECTOR):
            self.assertEqual(struct.unpack("<I", read_at(part, at + 28, 4))[0], 3 * MiB // SECTOR)
        result = run(["fsck.fat", "-n", part])  # it compares both boot sectors
        self.assertEqual(result.code, 0, result)

    @requires("mkswap", "blkid")
    def test_swap_is_as_mkswap_makes_it(self):
        for page in (4096, 65536):
            with self.subTest(page=page):
                volume, fresh = self.zero_image(16 * MiB), self.zero_image(5 * MiB)
                for path in (volume, fresh):
                    check("mkswap", "-q", "-p", page, "-U", guid(7), "-L", "swap", path)
                write_at(volume, 100_000, random_bytes(MiB, 1))
                new, _ = self.relaid(self.mover(82, volume), f"1:{2 * MiB}", f"2:{5 * MiB}:swap")
                part = self.second_partition(new, f"swap{page}")
                self.assert_same_content(part, fresh)


if __name__ == "__main__":
    main()
