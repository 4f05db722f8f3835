"""A guest with a boot loader still starts from the smaller disk, where all but its root file system
lies in another place: logical partitions behind it, one of them swap."""
import os

from boot_testing import DATA, ROOT, SWAP, BootGuest, boot, requires_boot, says
from guest_testing import GuestDisk, requires_appliance
from imgtool_testing import MiB, TestCase, check, main, requires_root, sha256


@requires_root
@requires_appliance
@requires_boot
class ShrinkBoot(TestCase):
    def state(self, disk):
        return ([disk.listing(number) for number in (ROOT, DATA)],
                [disk.blkid(number) for number in (ROOT, SWAP, DATA)])

    def test_a_guest_boots_from_the_smaller_disk(self):
        old = GuestDisk(self, path=BootGuest(self).path)
        digest, before = sha256(old.path), self.state(old)
        places, identity = old.partitions()
        packed = self.path("small.qcow2")
        report = self.imgtool_ok("shrink", "-c", old.path, packed, "--json", timeout=900).json
        self.assertEqual(sha256(old.path), digest, "the source is read only")

        small = GuestDisk(self, path=self.path("small.img"))
        self.imgtool_ok("convert", packed, small.path)
        after, identity_after = small.partitions()
        self.assertEqual(identity_after, identity)
        self.assertEqual(self.state(small), before)
        self.assertEqual(after[ROOT][0], places[ROOT][0])
        for number in (ROOT, DATA):
            self.assertLess(after[number][1], places[number][1] // 2)
        for number in (SWAP, DATA):
            self.assertLess(after[number][0], places[number][0])
        self.assertEqual(os.path.getsize(small.path), report["new-size"])
        self.assertLess(report["new-size"], 800 * MiB)
        self.assertIn("No errors detected", check("sfdisk", "--verify", small.path))
        # GRUB, and what it is reached by, is where it was.
        with open(old.path, "rb") as left, open(small.path, "rb") as right:
            self.assertEqual(left.read(446), right.read(446))
            left.seek(512), right.seek(512)
            self.assertEqual(left.read(2047 * 512), right.read(2047 * 512))

        text = boot(self, packed, "qcow2")
        swap = (after[SWAP][1] - 4096) // 1024
        self.assertIn(f"{says} root writable, data mounted, swap {swap}, files right", text)


if __name__ == "__main__":
    main()
