"""capture --to-last-partition: an image that ends where the last partition does.

The disks have random bytes behind their partitions, which --force-cut leaves out."""
import os

from imgtool_testing import (MiB, main, requires, requires_fault_disk, requires_root, sha256)
from table_testing import TableTestCase

PARTITIONS = {1: (MiB, 2 * MiB), 2: (4 * MiB, 3 * MiB)}
LOGICAL = "label: dos\nlabel-id: 0x1b2c3d4e\nstart=2048, size=4096, type=83, bootable\n" \
    "start=8192, size=8192, type=5\nstart=10240, size=2048, type=83\n"


@requires("sfdisk", "sgdisk")
class CapturePartitionsTest(TableTestCase):
    def capture(self, disk, *args):
        image = self.path()
        result = self.imgtool("capture", "--to-last-partition", "--force-cut", disk, image, "--json",
                              *args)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        return image, result.json

    def test_a_gpt_ends_with_a_backup_of_its_own(self):
        disk = self.gpt_image(40 * MiB, PARTITIONS)
        before = sha256(disk)
        image, report = self.capture(disk, "--digest", "sha256")
        self.assertEqual(os.path.getsize(image), 8 * MiB)
        self.assertEqual(report["size"], 8 * MiB)
        self.assertEqual(report["left-out-bytes"], 32 * MiB)
        self.assertTrue(report["table-changed"])
        self.assertEqual(report["digest"], sha256(image))
        self.assert_healthy(image)
        self.assertEqual(self.table(image), self.table(disk))
        self.assert_partitions_equal(image, disk, PARTITIONS.values())
        self.assertEqual(sha256(disk), before)
        result = self.imgtool_ok("capture", "--to-last-partition", "--force-cut", disk,
                                 self.path())
        self.assertIn("32.0 MiB behind the last partition left out, with a GPT that ends there",
                      result.out)

    def test_a_burned_capture_is_a_healthy_disk_again(self):
        image, _ = self.capture(self.gpt_image(40 * MiB, PARTITIONS))
        for size in (8 * MiB, 40 * MiB):
            disk = self.zero_image(size)
            self.imgtool_ok("burn", image, disk, "--force")
            self.assert_healthy(disk)

    def test_a_disk_that_is_full_up_to_its_backup_stays_as_it_is(self):
        disk = self.gpt_image(8 * MiB, {1: (MiB, 7 * MiB - 33 * 512)})
        image, report = self.capture(disk)
        self.assert_same_content(image, disk)
        self.assertFalse(report["table-changed"])

    def test_a_disk_with_a_damaged_table_gets_a_good_one(self):
        disk = self.gpt_image(40 * MiB, PARTITIONS)
        good = self.table(disk)
        for offset in (512 + 40, 40 * MiB - 512 + 40):
            with open(disk, "r+b") as file:
                file.seek(offset)
                byte = file.read(1)
                file.seek(offset)
                file.write(b"\x77")
                image, _ = self.capture(disk)
                file.seek(offset)
                file.write(byte)
            self.assert_healthy(image)
            self.assertEqual(self.table(image), good)

    def test_an_mbr_ends_with_its_last_partition(self):
        disk = self.partitioned(40 * MiB, LOGICAL)
        image, report = self.capture(disk)
        self.assertEqual(os.path.getsize(image), 8 * MiB)
        self.assertFalse(report["table-changed"])
        self.assert_same_content(image, disk, 8 * MiB)
        self.assert_sfdisk_is_content(image)

    def test_without_partitions_it_refuses(self):
        for disk in (self.dense_image(2 * MiB), self.zero_image(2 * MiB),
                     self.partitioned(4 * MiB, "label: gpt\n")):
            image = self.path()
            result = self.imgtool("capture", "--to-last-partition", disk, image)
            self.assert_refused(result, disk, "last partition", "--length")
            self.assertFalse(image.exists())
        cut = self.gpt_image(40 * MiB, PARTITIONS)
        os.truncate(cut, 6 * MiB)
        self.assert_refused(self.imgtool("capture", "--to-last-partition", cut, self.path()),
                            "behind the disk's end")
        result = self.imgtool("capture", "--to-last-partition", "--length=1M", cut, self.path())
        self.assertEqual(result.code, 2)

    def test_resume_goes_on_with_the_same_table(self):
        disk = self.gpt_image(40 * MiB, PARTITIONS)
        image, mapfile = self.path(), self.path()
        options = ["--to-last-partition", "--force-cut", "--mapfile", mapfile, disk, image]
        job = self.job("capture", *options, "--rate=4M")
        job.wait_for("write", 2 * MiB)
        job.signal(2)
        self.assertEqual(job.finish().code, 130)
        self.imgtool_ok("capture", *options, "--resume")
        self.assert_healthy(image)
        self.assert_partitions_equal(image, disk, PARTITIONS.values())

    @requires_root
    def test_a_4kn_disk(self):
        partitions = {1: (MiB, 2 * MiB), 2: (4 * MiB, 3 * MiB)}
        disk = self.loop_device(self.gpt_image(40 * MiB, partitions, 4096), sector_size=4096)
        image, report = self.capture(disk)
        self.assertEqual(report["size"], 8 * MiB)
        self.assert_healthy(self.loop_device(image, sector_size=4096), 4096)

    @requires_root
    @requires_fault_disk
    def test_an_unreadable_table_is_rescued_from_its_backup(self):
        fault = self.fault_disk(self.gpt_image(40 * MiB, PARTITIONS))
        fault.fail_reads(512, 512)
        image = self.path()
        result = self.imgtool("capture", "--to-last-partition", fault.device, image)
        self.assertEqual(result.code, 1, result)
        result = self.imgtool("capture", "--rescue", "--to-last-partition", "--force-cut", "--json",
                              fault.device, image)
        self.assertEqual(result.code, 5, result)
        self.assertEqual(result.json["unreadable"], [{"start": 512, "length": 512}])
        self.assert_healthy(image)


if __name__ == "__main__":
    main()
