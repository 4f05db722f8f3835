"""Whole disks: partitions, swap, and all that must be kept because of what it is or is beside."""
import os
import struct

from imgtool_testing import KiB, MiB, check, main, random_bytes, requires, requires_root, run
from scrub_testing import ScrubTestCase, container, free_map


def put(image, offset, data):
    with open(image, "r+b") as file:
        file.seek(offset)
        file.write(data)


@requires("sfdisk", "mkfs.ext4", "mkswap")
class Disk(ScrubTestCase):
    def disk(self, script, size=96 * MiB):
        image = self.zero_image(size)
        result = run(["sfdisk", "--quiet", image], input=script.encode())
        self.assertEqual(result.code, 0, f"\n{result!r}")
        return image

    def ext4_at(self, image, offset, size):
        check("mkfs.ext4", "-q", "-F", "-E", f"offset={offset}", image, f"{size // 1024}k")

    def swap_at(self, image, offset, size):
        swap = self.zero_image(size)
        check("mkswap", "-L", "a swap", swap)
        put(image, offset, swap.read_bytes()[:4096])

    def test_gpt_and_mbr_with_logical_partitions(self):
        for label in ("gpt", "dos"):
            with self.subTest(label=label):
                parts = ("start=1MiB, size=40MiB\nstart=41MiB, size=16MiB\n" if label == "gpt" else
                         "start=1MiB, size=40MiB\nstart=41MiB, size=50MiB, type=5\n"
                         "start=42MiB, size=16MiB\n")
                image = self.disk(f"label: {label}\n{parts}")
                swap = 41 * MiB if label == "gpt" else 42 * MiB
                self.ext4_at(image, MiB, 40 * MiB)
                self.swap_at(image, swap, 16 * MiB)
                found = free_map(image)
                root = container(found, "partition 1")
                self.assertEqual((root["type"], root["kept-because"]), ("ext4", ""))
                area = container(found, "partition 2" if label == "gpt" else "partition 5")
                self.assertEqual((area["type"], area["label"]), ("swap", "a swap"))
                self.assertEqual(area["free-bytes"], 16 * MiB - 4096)
                for offset, length in found["free"]:  # nothing outside of partitions
                    self.assertTrue(MiB <= offset and offset + length <= 41 * MiB or
                                    swap <= offset and offset + length <= swap + 16 * MiB)

    def test_unknown_content_is_kept(self):
        image = self.disk("label: gpt\nstart=1MiB, size=20MiB\n")
        put(image, MiB, random_bytes(MiB))
        self.assert_kept_whole(image, "no known kind", name="partition 1")

    def test_a_table_on_a_disk_that_is_a_file_system(self):
        image = self.zero_image(32 * MiB)
        check("mkfs.ext4", "-q", "-F", image)
        self.exact_map(image)
        run(["sfdisk", "--quiet", "--force", "--wipe=never", image],
            input=b"label: dos\nstart=2048, size=8192\n")
        self.assert_kept_whole(image, "partition table")

    def test_a_damaged_table(self):
        image = self.disk("label: gpt\nstart=1MiB, size=40MiB\n")
        self.ext4_at(image, MiB, 40 * MiB)
        self.exact_map(image)
        put(image, 512 + 60, b"\xff")            # the primary's header
        put(image, 96 * MiB - 512 + 60, b"\xff")  # the backup's
        self.assertEqual(free_map(image)["free"], [])

    def test_hashes_over_blocks_keep_everything(self):
        image = self.disk("label: gpt\nstart=1MiB, size=40MiB\nstart=41MiB, size=8MiB, "
                          "type=2C7357ED-EBD2-46D9-AEC1-23D437EC2BF5\n")
        self.ext4_at(image, MiB, 40 * MiB)
        self.assert_kept_whole(image, "hashes", name="partition 1")
        image = self.disk("label: gpt\nstart=1MiB, size=40MiB\nstart=41MiB, size=8MiB\n")
        self.ext4_at(image, MiB, 40 * MiB)
        put(image, 41 * MiB, b"verity\0\0")
        self.assert_kept_whole(image, "hashes", name="partition 1")
        image = self.disk("label: gpt\nstart=1MiB, size=40MiB\nstart=41MiB, size=8MiB\n")
        self.ext4_at(image, MiB, 30 * MiB)
        self.exact_map(image, name="partition 1")
        put(image, 41 * MiB - 64, b"AVBf")
        self.assertEqual(free_map(image)["free"], [])

    def test_hibernated_systems(self):
        for mark in (b"S1SUSPEND\0", b"LINHIB0001"):
            image = self.disk("label: gpt\nstart=1MiB, size=40MiB\nstart=41MiB, size=16MiB\n")
            self.ext4_at(image, MiB, 40 * MiB)
            self.swap_at(image, 41 * MiB, 16 * MiB)
            self.exact_map(image, name="partition 1")
            put(image, 41 * MiB + 4096 - 10, mark)
            self.assert_kept_whole(image, "hibernated", "start that system", name="partition 2")
            self.assert_kept_whole(image, "hibernated", name="partition 1")

    def test_swap_of_other_pages_and_with_bad_ones(self):
        image = self.zero_image(16 * MiB)
        check("mkswap", "-p", "65536", image)
        self.assertEqual(free_map(image)["free"], [[65536, 16 * MiB - 65536]])
        image = self.zero_image(16 * MiB)
        check("mkswap", image)
        put(image, 1032, struct.pack("<I", 2))
        put(image, 1536, struct.pack("<II", 7, 3))
        page = 4096
        self.assertEqual(free_map(image)["free"], [
            [page, 2 * page], [4 * page, 3 * page], [8 * page, 16 * MiB - 8 * page]])
        os.truncate(image, 8 * MiB)
        self.assert_kept_whole(image, "longer than its volume")

    def test_signatures_that_are_kept_also_over_a_good_file_system(self):
        cases = {
            "crypto_LUKS": (0, b"LUKS\xba\xbe\0\2"),
            "BitLocker": (3, b"-FVE-FS-"),
            "linux_raid_member": (32 * MiB - 64 * KiB, b"\xfc\x4e\x2b\xa9"),
            "bcache": (4120, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81")),
            "zfs_member": (128 * KiB, b"\x0c\xb1\xba\0\0\0\0\0"),
            "drbd": (32 * MiB - 4096 + 60, b"\x83\x74\x02\x6b"),
            "vdo": (0, b"dmvdo001"),
            "firmware_raid_member": (32 * MiB - 1024, b"Intel Raid ISM Cfg Sig. 1.1.00"),
        }
        for name, (offset, magic) in cases.items():
            with self.subTest(name=name):
                alone = self.zero_image(32 * MiB)
                put(alone, offset, magic)
                found = container(free_map(alone))
                self.assertEqual(found["type"], name)
                self.assertNotEqual(found["kept-because"], "")
                over = self.zero_image(32 * MiB)
                check("mkfs.ext4", "-q", "-F", "-b", "4096", over, f"{31 * 1024 + 768}k")
                self.exact_map(over)
                put(over, offset, magic)
                self.assert_kept_whole(over, "more than one")

    def test_a_member_of_a_striped_raid(self):
        """Its file system is as long as all members together, and begins as if it were whole."""
        whole = self.zero_image(64 * MiB)
        check("mkfs.ext4", "-q", "-F", whole)
        member = self.zero_image(32 * MiB)
        with open(whole, "rb") as file:
            put(member, 0, file.read(16 * MiB))
        self.assert_kept_whole(member, "longer than its volume", "RAID")

    def test_a_last_partition_that_is_a_little_short(self):
        image = self.disk("label: gpt\nstart=1MiB, size=40MiB\n")
        self.ext4_at(image, MiB, 40 * MiB + 64 * KiB)
        found = free_map(image)
        root = container(found, "partition 1")
        self.assertEqual(root["kept-because"], "")
        self.assertIn("longer", root["warning"])
        self.assertLessEqual(max(o + n for o, n in found["free"]), 41 * MiB)


@requires_root
@requires("mkfs.ext4", "qemu-img")
class OtherImages(ScrubTestCase):
    @requires("qemu-img")
    def test_qcow2(self):
        raw = self.zero_image(48 * MiB)
        check("mkfs.ext4", "-q", "-F", raw)
        with self.mounted(raw) as root:
            self.age(root, files=60, largest=256 * KiB)
        image = self.path()
        check("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", raw, image)
        self.assertEqual(free_map(image)["free"], free_map(raw)["free"])


if __name__ == "__main__":
    main()
