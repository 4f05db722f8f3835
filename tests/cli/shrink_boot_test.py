"""A guest with a boot loader still starts from the smaller disk, where all but its root file system
lies in another place: partitions behind it, one of them swap."""
import os

from boot_testing import GPT, MBR, BootGuest, boot, requires_boot, says
from guest_testing import (APPLIANCE, DIRECT, GuestDisk, requires_appliance,
                           requires_direct)
from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, sha256


@requires_root
@requires_appliance
@requires_direct
@requires_boot
@requires("sgdisk")
class ShrinkBoot(TestCase):
    def state(self, disk, table):
        return ([disk.listing(number) for number in (table.root, table.data)],
                [disk.blkid(number) for number in (table.root, table.swap, table.data)])

    def check_guest(self, table, engine, *options):
        old = GuestDisk(self, path=BootGuest(self, table).path)
        digest, before = sha256(old.path), self.state(old, table)
        places, identity = old.partitions()
        packed = self.path("small.qcow2")
        report = self.imgtool_ok("shrink", "-c", f"--engine={engine}", *options, old.path, packed, "--json",
                                 timeout=900).json
        self.assertEqual(sha256(old.path), digest, "the source is read only")

        small = GuestDisk(self, path=self.path("small.img"))
        self.imgtool_ok("convert", packed, small.path)
        after, identity_after = small.partitions()
        self.assertEqual(identity_after, identity)
        self.assertEqual(self.state(small, table), before)
        self.assertEqual(after[table.root][0], places[table.root][0])
        for number in (table.root, table.data):
            self.assertLess(after[number][1], places[number][1] // 2)
        for number in (table.swap, table.data):
            self.assertLess(after[number][0], places[number][0])
        self.assertEqual(os.path.getsize(small.path), report["new-size"])
        self.assertLess(report["new-size"], 800 * MiB)
        self.assert_grub_is_where_it_was(old.path, small.path, table)

        text = boot(self, packed, "qcow2")
        swap = (after[table.swap][1] - 4096) // 1024
        self.assertIn(f"{says} root writable, data mounted, swap {swap}, files right", text)
        return small.path

    def assert_grub_is_where_it_was(self, old, small, table):
        begin, end = table.boot_area
        with open(old, "rb") as left, open(small, "rb") as right:
            self.assertEqual(left.read(446), right.read(446))
            left.seek(begin), right.seek(begin)
            self.assertEqual(left.read(end - begin), right.read(end - begin))

    def test_a_guest_boots_from_the_smaller_disk(self):
        small = self.check_guest(MBR, DIRECT)
        self.assertIn("No errors detected", check("sfdisk", "--verify", small))

    def test_a_guest_with_a_bios_boot_partition_boots_from_the_smaller_disk(self):
        small = self.check_guest(GPT, APPLIANCE, "--verify=quick")
        self.assertIn("No problems found", check("sgdisk", "-v", small))


if __name__ == "__main__":
    main()
