"""shrink on a GPT disk with one of each file system: everything in them is the same afterwards."""
import os

from guest_testing import (APPLIANCE, DIRECT, GuestDisk, requires_appliance,
                           requires_direct)
from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, sha256

ESP, EXT4, NTFS, BTRFS, SWAP, XFS = range(1, 7)


@requires_root
@requires_appliance
@requires_direct
@requires("sgdisk", "mkfs.vfat", "mcopy", "mkntfs", "ntfs-3g", "mkfs.btrfs", "mkfs.xfs")
class Gpt(TestCase):
    def disk(self):
        disk = GuestDisk(self, 4096 * MiB)
        disk.gpt([("ef00", 48), ("8300", 700), ("0700", 1300), ("8300", 1200), ("8200", 200),
                  ("8300", 400)])
        disk.make(ESP, "mkfs.vfat", "-I", "-n", "ESP")
        disk.make(EXT4, "mkfs.ext4", "-q", "-L", "root")
        disk.make(NTFS, "mkntfs", "-q", "-F", "-f", "-L", "data")
        if BTRFS in self.numbers:
            disk.make(BTRFS, "mkfs.btrfs", "-q", "-L", "pool")
        disk.make(SWAP, "mkswap", "-q", "-L", "swap")
        disk.make(XFS, "mkfs.xfs", "-q", "-L", "logs")
        for number in {EXT4, BTRFS, XFS} & self.numbers:
            disk.fill(number)
        disk.fill(NTFS, "ntfs-3g", garbage=100)
        text = self.path()
        text.write_text("boot me")
        check("mcopy", "-i", f"{disk.path}@@{disk.range(ESP)[0]}", text, "::boot.txt")
        return disk

    def state(self, disk, numbers):
        return {number: (disk.blkid(number),
                         disk.listing(number) if number in (EXT4, BTRFS, XFS) else
                         disk.listing(number, "ntfs-3g", "-o", "ro,force") if number == NTFS else
                         None)
                for number in numbers}

    def test_all_is_there_and_the_disk_is_smaller(self):
        self.check_all(APPLIANCE, {ESP, EXT4, NTFS, BTRFS, SWAP, XFS})

    def test_all_is_there_without_an_appliance(self):
        """Where nobody needs a kernel: what is in partition 4 is unknown."""
        self.check_all(DIRECT, {ESP, EXT4, NTFS, SWAP, XFS})

    def check_all(self, engine, numbers):
        self.numbers = numbers
        disk = self.disk()
        before, (_, identity) = self.state(disk, numbers), disk.partitions()
        digest = sha256(disk.path)
        small = self.path("small.img")
        result = self.imgtool_ok("shrink", disk.path, small, "--json", timeout=900)
        plan = {volume["number"]: volume for volume in result.json["volumes"]}
        self.assertEqual(result.json["engine"], engine)
        self.assertIn("btrfs" if engine == APPLIANCE else "ext4, ntfs",
                      result.json["engine-because"])

        self.assertEqual(sha256(disk.path), digest, "the source is read only")
        after = GuestDisk(self, path=small)
        places, identity_after = after.partitions()
        self.assertEqual(identity_after, identity)
        self.assertEqual(self.state(after, numbers), before)
        self.assertIn("No problems found", check("sgdisk", "-v", small))
        self.assertEqual(os.path.getsize(small), result.json["new-size"])
        for number in {EXT4, NTFS, BTRFS} & numbers:
            self.assertEqual(plan[number]["action"], "shrink")
            self.assertLess(places[number][1], plan[number]["size"])
            self.assertGreaterEqual(places[number][1], plan[number]["minimum"])
        self.assertEqual(plan[XFS]["action"], "keep")
        self.assertIn("--xfs=recreate", plan[XFS]["remedy"])
        after.fsck(EXT4, "e2fsck", "-fn")
        if BTRFS in numbers:
            after.fsck(BTRFS, "btrfs", "check", "--readonly")
        after.fsck(XFS, "xfs_repair", "-n")
        self.assertEqual(check("mtype", "-i", f"{small}@@{places[ESP][0]}", "::boot.txt"),
                         "boot me")
        # Deleted files and what was in the swap area do not come along.
        self.assertLess(os.stat(small).st_blocks * 512, 320 * MiB)
        self.check_hidden_sectors(small, places[NTFS])

    def check_hidden_sectors(self, image, place):
        """Windows does not start from an NTFS that does not know where it lies."""
        with open(image, "rb") as file:
            for offset in (place[0], place[0] + place[1] - 512):
                file.seek(offset)
                sector = file.read(512)
                if sector[3:7] == b"NTFS":
                    self.assertEqual(int.from_bytes(sector[0x1c:0x20], "little"), place[0] // 512)


if __name__ == "__main__":
    main()
