"""shrink on disks with an MBR: logical partitions, Windows, and disks without any table."""
import os

from guest_testing import (APPLIANCE, DIRECT, GuestDisk, requires_appliance,
                           requires_direct)
from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, sha256


@requires_root
@requires_appliance
@requires_direct
@requires("sfdisk", "mkfs.ext4", "mkntfs", "ntfs-3g", "qemu-img")
class Mbr(TestCase):
    def shrink(self, disk, engine, *options, name="small.img"):
        digest = sha256(disk.path)
        small = self.path(name)
        # A second appliance verifies on other disks.
        options += ("--verify=quick",) if engine == APPLIANCE else ()
        result = self.imgtool_ok("shrink", "--force", f"--engine={engine}", *options, disk.path,
                                 small, "--json", timeout=900)
        self.assertEqual(result.json["engine"], engine)
        self.assertEqual(sha256(disk.path), digest, "the source is read only")
        return small, result.json

    def test_logical_partitions_keep_their_numbers(self):
        disk = GuestDisk(self, 1200 * MiB)
        disk.mbr("label: dos\nlabel-id: 0x1b2c3d4e\n"
                 "1: start=2048, size=300MiB, type=83, bootable\n2: size=880MiB, type=5\n"
                 "5: size=400MiB, type=83\n6: size=100MiB, type=82\n7: size=300MiB, type=83\n")
        for number, kind in ((1, "mkfs.ext4"), (5, "mkfs.ext3"), (7, "mkfs.ext4")):
            disk.make(number, kind, "-q", "-L", f"fs{number}")
            disk.fill(number)
        disk.make(6, "mkswap", "-q", "-L", "swap")
        with open(disk.path, "r+b") as file:  # boot code
            file.write(b"\xeb\x63\x90boot code")
        numbers = (1, 5, 7)
        files = {number: disk.listing(number) for number in numbers}
        names = {number: disk.blkid(number) for number in (*numbers, 6)}

        for engine in (DIRECT, APPLIANCE):
            with self.subTest(engine):
                self.check_logical(disk, engine, files, names)

    def check_logical(self, disk, engine, files, names):
        old_places, identity = disk.partitions()
        small, document = self.shrink(disk, engine)
        after = GuestDisk(self, path=small)
        places, identity_after = after.partitions()
        self.assertEqual(identity_after, identity)
        check("sfdisk", "--verify", small)
        for number in files:
            self.assertEqual(after.listing(number), files[number])
            self.assertLess(places[number][1], old_places[number][1])
            after.fsck(number, "e2fsck", "-fn")
        self.assertEqual({n: after.blkid(n) for n in names}, names)
        self.assertEqual(places[1][0], old_places[1][0])
        with open(small, "rb") as file:
            self.assertTrue(file.read(440).startswith(b"\xeb\x63\x90boot code"))
        self.assertLess(document["new-size"], 900 * MiB)

    def test_windows_finds_its_partitions_where_they_were(self):
        disk = GuestDisk(self, 2600 * MiB)
        disk.mbr("label: dos\nlabel-id: 0x5eed5eed\n"
                 "start=2048, size=100MiB, type=7, bootable\n"
                 "size=2000MiB, type=7\nsize=450MiB, type=27\n")
        for number, label in ((1, "System Reserved"), (2, "Windows"), (3, "Recovery")):
            disk.make(number, "mkntfs", "-q", "-F", "-f", "-L", label)
        disk.fill(2, "ntfs-3g", garbage=100)
        disk.fill(3, "ntfs-3g", size=6, garbage=6)
        with open(disk.path, "r+b") as file:
            file.seek(2580 * MiB)
            file.write(b"of no partition")
        numbers = (1, 2, 3)
        files = {n: disk.listing(n, "ntfs-3g", "-o", "ro") for n in numbers}
        names = {n: disk.blkid(n) for n in numbers}
        sizes = {}
        for engine in (DIRECT, APPLIANCE):
            with self.subTest(engine):
                sizes[engine] = self.check_windows(disk, engine, files, names)
        # What is free does not come along, although ntfsresize marks the volume for chkdsk.
        self.assertLess(sizes[DIRECT], sizes[APPLIANCE] * 1.01)

    def check_windows(self, disk, engine, files, names):
        numbers = (1, 2, 3)
        old_places, identity = disk.partitions()
        small, document = self.shrink(disk, engine, "-c", name="small.qcow2")
        self.assertTrue(any("chkdsk" in note for note in document["notes"]))
        self.assertTrue(any("reagentc" in note for note in document["notes"]))
        self.assertTrue(any("belong to no partition" in note for note in document["notes"]))
        raw = self.path()
        check("qemu-img", "convert", "-O", "raw", small, raw)
        check("qemu-img", "check", small)
        after = GuestDisk(self, path=raw)
        places, identity_after = after.partitions()
        self.assertEqual(identity_after, identity)
        check("sfdisk", "--verify", raw)
        for number in (1, 2):
            self.assertEqual(places[number][0], old_places[number][0])
        self.assertEqual(places[1], old_places[1])
        self.assertLess(places[2][1], old_places[2][1])
        self.assertLess(places[3][0], old_places[3][0])
        self.assert_ntfs_knows_its_place(raw, *places[3])
        for number in numbers:
            self.assertEqual(after.listing(number, "ntfs-3g", "-o", "ro,force"), files[number])
        self.assertEqual({n: after.blkid(n) for n in numbers}, names)
        return os.path.getsize(small)

    def assert_ntfs_knows_its_place(self, disk, start, length):
        """In its first boot sector and in the one at its end, where they tell what is before it."""
        with open(disk, "rb") as file:
            for offset in (start, start + length - 512):
                file.seek(offset)
                sector = file.read(512)
                self.assertEqual(sector[3:7], b"NTFS", f"at {offset}")
                self.assertEqual(int.from_bytes(sector[28:32], "little"), start // 512)

    def test_a_whole_disk_file_system(self):
        disk = GuestDisk(self, 600 * MiB)
        disk.make(0, "mkfs.ext4", "-q", "-L", "all")
        disk.fill(0)
        files, name = disk.listing(0), disk.blkid(0)
        plan = self.imgtool_ok("shrink", "--plan", "--json", disk.path, timeout=600).json
        for engine in (DIRECT, APPLIANCE):
            with self.subTest(engine):
                self.check_whole(disk, engine, plan, files, name)

    def check_whole(self, disk, engine, plan, files, name):
        small, document = self.shrink(disk, engine, "--minimal")
        after = GuestDisk(self, path=small)
        self.assertEqual(after.listing(0), files)
        self.assertEqual(after.blkid(0), name)
        after.fsck(0, "e2fsck", "-fn")
        self.assertEqual(os.path.getsize(small), document["new-size"])
        # virt-resize goes by the second, and cuts the end off what has the first (libguestfs 1.48).
        by_superblock, by_statvfs = after.ext_sizes(0)
        self.assertLess(by_statvfs, by_superblock)
        self.assertLessEqual(by_superblock, document["new-size"])
        self.assertLess(by_statvfs + MiB, document["new-size"])
        self.assertLessEqual(document["new-size"], plan["volumes"][0]["minimum"])
        self.assertLess(plan["new-size"], plan["size"])


if __name__ == "__main__":
    main()
