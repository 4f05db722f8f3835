"""Burning to disks of other sizes than the image: where the partition table ends up."""
import os
import pathlib

from imgtool_testing import (KiB, MiB, check, flip_byte, main, requires, requires_fault_disk,
                             requires_root, run, sha256)
from table_testing import DISK_ID, SIGNATURE, TableTestCase, guid

PARTITIONS = {1: (MiB, 2 * MiB), 2: (4 * MiB, 3 * MiB)}
SIZE = 12 * MiB
LEAST = 7 * MiB + 33 * 512
MBR = "label: dos\nlabel-id: 0x1b2c3d4e\nstart=2048, size=4096, type=83, bootable\n"
LOGICAL = MBR + "start=8192, size=16384, type=5\nstart=10240, size=2048, type=83\n" \
    "start=16384, size=8192, type=82\n"


@requires("sfdisk", "sgdisk")
class PartitionsTest(TableTestCase):
    def burn(self, image, *args, **options):
        """Burns, every target ends verified; returns what the report says of the tables."""
        result = self.imgtool("burn", image, *args, "--yes", "--json", **options)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual({target["status"] for target in result.json["targets"]}, {"verified"})
        self.assertEqual([target["rewritten-bytes"] for target in result.json["targets"]],
                         [0] * len(result.json["targets"]))
        tables = [target["partition-table"] for target in result.json["targets"]]
        return tables if len(tables) > 1 else tables[0]

    def file_disk(self, size):
        """A file that stands in for a disk, which had a GPT before."""
        disk = self.gpt_image(size, {1: (MiB, MiB)})
        return disk

    # --- to files, which need no root ---

    def test_the_backup_moves_to_the_end_of_a_larger_disk(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        before = sha256(image)
        for extra in (512, 10 * 512, 33 * 512, 5 * MiB, 5 * MiB + 512):
            with self.subTest(extra=extra):
                disk = self.file_disk(SIZE + extra)
                table = self.burn(image, disk, "--force", "--digest", "sha256:" + before)
                self.assertTrue(table["backup-moved"])
                self.assertFalse(table["primary-restored"])
                self.assertIsNone(table["grown"])
                self.assertEqual(table["left-out-bytes"], 0)
                self.assertEqual(len(table["wiped"]), 1)
                self.assert_healthy(disk)
                self.assertEqual(self.table(disk), self.table(image))
                self.assertEqual(os.path.getsize(disk), SIZE + extra)
                self.assert_partitions_equal(image, disk, PARTITIONS.values())
        self.assertEqual(sha256(image), before)

    def test_guids_names_types_and_attributes_stay(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        disk = self.file_disk(20 * MiB)
        self.burn(image, disk, "--force", "--grow-last")
        table = self.table(disk)
        self.assertEqual(table["id"].lower(), DISK_ID)
        for partition, number in zip(table["partitions"], (1, 2)):
            self.assertEqual(partition["uuid"].lower(), guid(number))
            self.assertEqual(partition["name"], f"part {number}")
            self.assertEqual(partition["attrs"], "RequiredPartition")

    def test_the_same_size_is_left_alone(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        disk = self.file_disk(SIZE)
        self.assertIsNone(self.burn(image, disk, "--force"))
        self.assert_same_content(image, disk)
        new = self.path()
        self.assertIsNone(self.burn(image, new))
        self.assert_same_content(image, new)

    def test_never_leaves_every_byte(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        disk = self.file_disk(20 * MiB)
        end = pathlib.Path(disk).read_bytes()[SIZE:]
        self.assertIsNone(self.burn(image, disk, "--force", "--relocate-gpt=never"))
        self.assert_same_content(image, disk, SIZE)
        self.assertEqual(pathlib.Path(disk).read_bytes()[SIZE:], end)

    def test_says_in_words_what_was_done(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        result = self.imgtool_ok("burn", image, self.file_disk(20 * MiB), "--force", "--grow-last")
        self.assertIn("backup GPT moved to the end of the disk, the old one wiped", result.out)
        self.assertIn("partition 2 grown from 3.0 MiB to 15.0 MiB", result.out)

    def test_the_last_partition_grows(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        disk = self.file_disk(20 * MiB)
        table = self.burn(image, disk, "--force", "--grow-last")
        self.assertEqual(table["grown"],
                         {"partition": 2, "size-before": 3 * MiB, "size-after": 15 * MiB})
        self.assert_healthy(disk)
        self.assertEqual(self.table(disk)["partitions"][1]["size"], 15 * MiB // 512)
        self.assertEqual(self.table(disk)["partitions"][0], self.table(image)["partitions"][0])

    def test_from_a_pipe(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        for grow in ([], ["--grow-last"]):
            disk = self.file_disk(20 * MiB)
            table = self.burn("-", disk, "--force", *grow, input=image.read_bytes())
            self.assertTrue(table["backup-moved"])
            self.assertEqual(bool(table["grown"]), bool(grow))
            self.assert_healthy(disk)

    def test_a_damaged_primary_is_restored(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        good = self.table(image)
        with open(image, "r+b") as file:
            file.seek(512)
            file.write(bytes(33 * 512))
        disk = self.file_disk(20 * MiB)
        self.assertTrue(self.burn(image, disk, "--force")["primary-restored"])
        self.assert_healthy(disk)
        self.assertEqual(self.table(disk), good)

    def test_an_image_cut_behind_its_last_partition_gets_a_backup(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        os.truncate(image, 8 * MiB)
        disk = self.file_disk(20 * MiB)
        table = self.burn(image, disk, "--force")
        self.assertTrue(table["backup-moved"])
        self.assertEqual(table["wiped"], [])
        self.assert_healthy(disk)

    def test_a_gpt_that_cannot_be_used_is_left_with_the_reason(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        with open(image, "r+b") as file:
            for offset in (520, SIZE - 512 + 20):
                file.seek(offset)
                file.write(b"\x77")
        disk = self.file_disk(20 * MiB)
        table = self.burn(image, disk, "--force")
        self.assertFalse(table["backup-moved"])
        self.assertIn("checksum", table["kept-because"])
        self.assert_same_content(image, disk, SIZE)
        result = self.imgtool("burn", image, disk, "--force", "--grow-last")
        self.assert_refused(result, "cannot grow", "checksum")

    def test_an_iso_is_left_unless_told_otherwise(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        with open(image, "r+b") as file:
            file.seek(32769)
            file.write(b"CD001")
        disk = self.file_disk(20 * MiB)
        self.assertIn("ISO", self.burn(image, disk, "--force")["kept-because"])
        self.assert_same_content(image, disk, SIZE)
        self.assertNotIn(SIGNATURE, pathlib.Path(disk).read_bytes()[SIZE:])
        self.burn(image, disk, "--force", "--relocate-gpt=always")
        self.assert_healthy(disk)

    def test_an_old_backup_behind_the_image_is_wiped(self):
        image = self.dense_image(4 * MiB)
        disk = self.file_disk(10 * MiB)
        self.assertIn(SIGNATURE, pathlib.Path(disk).read_bytes()[4 * MiB:])
        table = self.burn(image, disk, "--force")
        self.assertEqual(table["wiped-behind-image"],
                         [{"start": 10 * MiB - 33 * 512, "length": 32 * 512, "what": "GPT"},
                          {"start": 10 * MiB - 512, "length": 512, "what": "GPT"}])
        self.assertNotIn(SIGNATURE, pathlib.Path(disk).read_bytes()[4 * MiB:])
        self.assert_same_content(image, disk, 4 * MiB)

    def test_a_hybrid(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        run(["sgdisk", "--hybrid=1:EE", image])
        disk = self.file_disk(20 * MiB)
        self.burn(image, disk, "--force")
        with open(image, "rb") as a, open(disk, "rb") as b:
            self.assertEqual(a.read(512), b.read(512))
        self.assertIn("No problems found", run(["sgdisk", "--verify", disk]).out)
        self.assertEqual(self.table(disk), self.table(image))

    def test_an_mbr_stays_and_grows(self):
        for script, last in ((MBR, 1), (LOGICAL, 6)):
            image = self.partitioned(SIZE, script)
            disk = self.zero_image(20 * MiB)
            self.assertIsNone(self.burn(image, disk, "--force"))
            self.assert_same_content(image, disk, SIZE)
            table = self.burn(image, disk, "--force", "--grow-last")
            self.assertEqual(table["grown"]["partition"], last)
            self.assert_sfdisk_is_content(disk)
            before, after = self.table(image)["partitions"], self.table(disk)["partitions"]
            self.assertEqual(after[-1]["start"] + after[-1]["size"], 20 * MiB // 512)
            self.assertEqual([entry["start"] for entry in after],
                             [entry["start"] for entry in before])
            self.assertEqual([entry["type"] for entry in after],
                             [entry["type"] for entry in before])
            self.assertEqual(self.table(disk)["id"], "0x1b2c3d4e")

    def test_growth_that_cannot_be_is_refused_before_anything_is_written(self):
        image = self.dense_image(4 * MiB)
        disk = self.file_disk(10 * MiB)
        before = sha256(disk)
        self.assert_refused(self.imgtool("burn", image, disk, "--force", "--grow-last"),
                            "no partition table", "--grow-last")
        result = self.imgtool("burn", "-", disk, "--force", "--grow-last",
                              input=image.read_bytes())
        self.assertEqual(result.code, 3, result)
        self.assertEqual(sha256(disk), before)
        result = self.imgtool("burn", image, disk, "--grow-last", "--relocate-gpt=never")
        self.assertEqual(result.code, 2)

    def test_resume_after_the_end_finds_nothing_bad(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        disk, mapfile = self.file_disk(20 * MiB), self.path()
        self.burn(image, disk, "--force", "--grow-last", "--mapfile", mapfile)
        first = sha256(disk)
        self.burn(image, disk, "--grow-last", "--mapfile", mapfile, "--resume")
        self.assertEqual(sha256(disk), first)
        self.assert_healthy(disk)

    def test_verify_knows_the_table_that_burn_leaves(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        for grow in ([], ["--grow-last"]):
            disk = self.file_disk(20 * MiB)
            self.burn(image, disk, "--force", *grow)
            result = self.imgtool_ok("verify", image, disk)
            self.assertIn("but for the partition table, which fits this disk", result.out)
            result = self.imgtool_ok("verify", "--json", image, disk)
            self.assertTrue(result.json["targets"][0]["table-fitted"])
            for offset in (500, 512 + 60, 2 * MiB, 20 * MiB - 512 + 56):
                flip_byte(disk, offset)
                result = self.imgtool("verify", "--json", image, disk)
                self.assertEqual(result.code, 4, result)
                self.assertFalse(result.json["targets"][0]["table-fitted"])
                flip_byte(disk, offset)
            self.imgtool_ok("verify", image, disk)

    # --- to disks ---

    @requires_root
    def test_disks_of_several_sizes_at_once(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        sizes = [LEAST, 8 * MiB, SIZE, SIZE + 512, 20 * MiB, 20 * MiB]
        disks = [self.loop_device(size) for size in sizes]
        tables = self.burn(image, *disks)
        for disk, size, table in zip(disks, sizes, tables):
            with self.subTest(size=size):
                self.assert_healthy(disk)
                self.assertEqual(self.table(disk), self.table(image))
                self.assert_partitions_equal(image, disk, PARTITIONS.values())
                if size == SIZE:
                    self.assertIsNone(table)
                else:
                    self.assertTrue(table["backup-moved"])
                    self.assertEqual(table["left-out-bytes"], max(0, SIZE - size))
        self.imgtool_ok("verify", image, *disks)
        self.assertEqual(self.imgtool("verify", image, self.loop_device(LEAST - 512)).code, 4)

    @requires_root
    @requires("qemu-img")
    def test_from_a_compressed_qcow2_image(self):
        raw, image = self.gpt_image(SIZE, PARTITIONS), self.path("golden.qcow2")
        check("qemu-img", "convert", "-c", "-O", "qcow2", raw, image)
        disks = [self.loop_device(size) for size in (8 * MiB, SIZE, 20 * MiB)]
        self.burn(image, *disks, "--grow-last")
        for disk in disks:
            self.assert_healthy(disk)
            self.assert_partitions_equal(raw, disk, PARTITIONS.values())
        self.imgtool_ok("verify", image, disks[2])

    @requires_root
    def test_4kn_disks(self):
        partitions = {1: (MiB, 2 * MiB), 2: (4 * MiB, 3 * MiB)}
        image = self.gpt_image(SIZE, partitions, sector_size=4096)
        for size in (7 * MiB + 5 * 4 * KiB, 8 * MiB, 20 * MiB):
            for grow in ([], ["--grow-last"]):
                disk = self.loop_device(size, sector_size=4096)
                self.burn(image, disk, *grow)
                self.assert_healthy(disk, 4096)
                self.assert_partitions_equal(image, disk, partitions.values())

    @requires_root
    def test_sectors_that_do_not_fit_are_refused(self):
        small, large = self.gpt_image(SIZE, PARTITIONS), self.gpt_image(SIZE, PARTITIONS, 4096)
        mbr = self.partitioned(SIZE, MBR.replace("size=4096", "size=16384"))
        for image, sector_size in ((small, 4096), (large, 512), (mbr, 4096)):
            disk = self.loop_device(20 * MiB, sector_size=sector_size)
            before = sha256(disk)
            self.assert_refused(self.imgtool("burn", image, disk, "--yes"), disk,
                                f"the disk has sectors of {sector_size}", "--relocate-gpt=never")
            streamed = self.imgtool("burn", "-", disk, "--yes", input=image.read_bytes())
            if image != mbr:  # how large the image is shows only at its end
                self.assertEqual(streamed.code, 3, streamed)
                self.assertEqual(sha256(disk), before)
            self.burn(image, disk, "--relocate-gpt=never")
            self.assert_same_content(image, disk, SIZE)

    @requires_root
    def test_a_disk_that_is_too_small_for_the_partitions_is_refused(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        disk = self.loop_device(LEAST - 512)
        before = sha256(disk)
        self.assert_refused(self.imgtool("burn", image, disk, "--yes"), disk, "too small",
                            "partitions need", LEAST)
        fits = self.loop_device(8 * MiB)
        self.assert_refused(self.imgtool("burn", image, fits, "--yes", "--relocate-gpt=never"),
                            "too small")
        self.assertEqual(sha256(disk), before)

    @requires_root
    def test_an_mbr_on_a_smaller_disk(self):
        image = self.partitioned(SIZE, LOGICAL)
        size = 24576 * 512
        disk = self.loop_device(size)
        self.assertEqual(self.burn(image, disk) is None, size == SIZE)
        image = self.partitioned(20 * MiB, LOGICAL)
        table = self.burn(image, disk)
        self.assertEqual(table["left-out-bytes"], 20 * MiB - size)
        self.assert_sfdisk_is_content(disk)
        self.assert_same_content(image, disk, size)

    @requires_root
    def test_a_digest_is_that_of_the_image_on_every_disk(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        digest = "sha256:" + sha256(image)
        self.burn(image, self.loop_device(8 * MiB), self.loop_device(20 * MiB), "--digest", digest)

    @requires_root
    @requires_fault_disk
    def test_a_disk_whose_end_cannot_be_written_fails_and_looks_empty(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        fault, good = self.fault_disk(16 * MiB), self.loop_device(16 * MiB)
        fault.fail_writes(15 * MiB, MiB)
        result = self.imgtool("burn", image, fault.device, good, "--yes", "--json")
        self.assertEqual(result.code, 5, result)
        self.assertEqual([t["status"] for t in result.json["targets"]], ["failed", "verified"])
        self.assertIn("write", result.json["targets"][0]["error"]["message"])
        self.assertEqual(pathlib.Path(fault.backing).read_bytes()[:MiB], bytes(MiB))
        self.assert_healthy(good)

    @requires_root
    @requires_fault_disk
    def test_an_end_that_reads_back_wrong_fails(self):
        image = self.gpt_image(SIZE, PARTITIONS)
        fault = self.fault_disk(16 * MiB)
        fault.flip_reads(16 * MiB - 512, 512)
        result = self.imgtool("burn", image, fault.device, "--yes", "--json")
        self.assertEqual(result.code, 4, result)
        self.assertIn("reads back other bytes at its end", result.json["error"]["message"])
        self.assertEqual(pathlib.Path(fault.backing).read_bytes()[:MiB], bytes(MiB))


if __name__ == "__main__":
    main()
