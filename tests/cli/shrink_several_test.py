"""A btrfs on several partitions: it keeps its size and is trimmed in the appliance, because the maps
of the host end at one partition. One of the disks has sectors of 4096 bytes."""
import contextlib
import os

from guest_testing import GuestDisk, fill, listing, requires_appliance
from imgtool_testing import (MiB, TestCase, check, main, requires, requires_root, run, sha256,
                             unmount)

EXT4, FIRST, SECOND = range(1, 4)


class PoolDisk(GuestDisk):
    """A disk with a GPT, an ext4, and a btrfs on two partitions."""

    def make_all(self):
        self.gpt([("8300", 600), ("8300", 300), ("8300", 300)])
        self.make(EXT4, "mkfs.ext4", "-q", "-L", "root")
        self.fill(EXT4)
        devices = [self.loop(number) for number in (FIRST, SECOND)]
        check("mkfs.btrfs", "-q", "-L", "pool", "-d", "raid0", "-m", "raid1", *devices)
        for device in devices:
            self.test.detach(device)
        with self.pool("rw") as folder:
            fill(folder, 24, 96)
        return self

    @contextlib.contextmanager
    def pool(self, options):
        run(["btrfs", "device", "scan", "--forget"])  # those of the same UUID in other images
        devices = [self.loop(number) for number in (FIRST, SECOND)]
        folder = self.test.path()
        folder.mkdir()
        check("mount", "-o", f"{options},device={devices[0]},device={devices[1]}", devices[0],
              folder)
        try:
            yield folder
        finally:
            unmount(folder)
            for device in devices:
                self.test.detach(device)

    def pool_listing(self):
        with self.pool("ro") as folder:
            return listing(folder)

    def check_pool(self):
        run(["btrfs", "device", "scan", "--forget"])
        devices = [self.loop(number) for number in (FIRST, SECOND)]
        check("btrfs", "check", "--readonly", devices[0])
        for device in devices:
            self.test.detach(device)


@requires_root
@requires_appliance
@requires("sgdisk", "sfdisk", "mkfs.ext4", "mkfs.btrfs", "btrfs")
class Several(TestCase):
    def test_a_disk_with_large_sectors_becomes_smaller(self):
        disk = PoolDisk(self, 1300 * MiB, sector_size=4096).make_all()
        files, pool, digest = disk.listing(EXT4), disk.pool_listing(), sha256(disk.path)
        places, identity = disk.partitions()
        small = self.path("small.img")
        report = self.imgtool_ok("shrink", disk.path, small, "--json", timeout=900).json
        self.assertEqual(sha256(disk.path), digest, "the source is read only")
        after = PoolDisk(self, path=small, sector_size=4096)
        places_after, identity_after = after.partitions()
        self.assertEqual(identity_after, identity)
        self.assertIn("No problems found", after.table("sgdisk", "-v"))
        self.assertLess(places_after[EXT4][1], places[EXT4][1])
        self.assertEqual(os.path.getsize(small), report["new-size"])
        self.assertLess(report["new-size"], 1000 * MiB)
        self.assertEqual(after.listing(EXT4), files)
        after.fsck(EXT4, "e2fsck", "-fn")
        self.assertEqual(after.pool_listing(), pool)
        after.check_pool()
        for volume in report["volumes"][1:]:
            self.assertEqual(volume["action"], "keep")
            self.assertIn("is one of 2 devices", volume["kept-because"])
            self.assertIn("btrfs device remove", volume["remedy"])

    def test_sparsify_drops_what_is_free_in_a_pool(self):
        disk = PoolDisk(self, 1300 * MiB).make_all()
        files, pool, digest = disk.listing(EXT4), disk.pool_listing(), sha256(disk.path)
        thin = self.path("thin.img")
        report = self.imgtool_ok("sparsify", "--verify=quick", disk.path, thin, "--json",
                                 timeout=600).json
        self.assertEqual(sha256(disk.path), digest, "the source is read only")
        self.assertEqual(report["new-size"], os.path.getsize(disk.path))
        after = PoolDisk(self, path=thin)
        self.assertEqual(after.partitions(), disk.partitions())
        self.assertEqual(after.listing(EXT4), files)
        self.assertEqual(after.pool_listing(), pool)
        after.check_pool()
        self.assertEqual(os.path.getsize(thin), os.path.getsize(disk.path))
        self.assertGreater(os.stat(disk.path).st_blocks * 512, 150 * MiB)
        self.assertLess(os.stat(thin).st_blocks * 512, 110 * MiB)

    def test_a_kept_part_of_a_pool_keeps_all_of_it(self):
        disk = PoolDisk(self, 1300 * MiB).make_all()
        thin = self.path("thin.img")
        report = self.imgtool_ok("sparsify", "--keep", SECOND, "--verify=quick", disk.path, thin,
                                 "--json", timeout=600).json
        for number in (FIRST, SECOND):
            start, length = disk.range(number)
            with open(disk.path, "rb") as before, open(thin, "rb") as after:
                self.assertEqual(os.pread(before.fileno(), length, start),
                                 os.pread(after.fileno(), length, start), number)
        self.assertIn(f"partition {SECOND}", report["volumes"][FIRST - 1]["kept-because"])
        self.assertIn("--keep 3", report["volumes"][FIRST - 1]["remedy"])


if __name__ == "__main__":
    main()
