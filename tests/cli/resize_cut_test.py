"""resize --shrink and capture --to-last-partition: what lies behind the end that a table or a
superblock tells may be needed, and is not cut off in silence."""
import os

from imgtool_testing import (GiB, KiB, MiB, TestCase, check, main, random_bytes, requires, run,
                             sha256)

MD = b"\xfc\x4e\x2b\xa9"


def put(image, offset, data):
    with open(image, "r+b") as file:
        file.seek(offset)
        file.write(data)


@requires("sfdisk", "mkfs.ext4")
class CutOff(TestCase):
    def disk(self, size, script):
        image = self.zero_image(size)
        result = run(["sfdisk", "--quiet", image], input=script.encode())
        self.assertEqual(result.code, 0, result)
        return image

    def assert_not_cut(self, image, size, *words):
        before = sha256(image)
        self.assert_refused(self.imgtool("resize", "--shrink", image, size), *words)
        self.assertEqual(sha256(image), before)

    def assert_not_captured(self, image, *words):
        out = self.path()
        self.assert_refused(self.imgtool("capture", "--to-last-partition", image, out), *words,
                            "--force-cut")
        self.assertFalse(out.exists())

    def test_a_database_of_dynamic_volumes(self):
        image = self.disk(64 * MiB, "label: dos\nstart=2048, size=65536, type=42\n")
        put(image, 63 * MiB + 512, b"VMDB" + random_bytes(4096))
        self.assert_not_cut(image, 48 * MiB, "behind the new end", "--force-cut")
        self.assert_not_captured(image, "behind its last partition")
        result = self.imgtool_ok("resize", "--shrink", "--force-cut", image, 48 * MiB, "--json")
        self.assertEqual(result.json["cut-off-bytes"], 8192)
        self.assertEqual(os.path.getsize(image), 48 * MiB)

    def test_members_of_a_raid_that_are_partitioned(self):
        for place in (4096, 64 * MiB - 8 * KiB):
            with self.subTest(place=place):
                image = self.disk(64 * MiB, "label: dos\nstart=2048, size=65536\n")
                put(image, place, MD)
                self.assert_not_cut(image, 48 * MiB, "linux_raid_member")
                self.assert_not_captured(image, "linux_raid_member")

    def test_a_second_extended_partition(self):
        image = self.disk(64 * MiB, "label: dos\nstart=2048, size=4096\nstart=8192, size=8192, "
                                    "type=5\n")
        put(image, 446 + 2 * 16, bytes([0, 0, 0, 0, 0x85, 0, 0, 0]) +
            (32768).to_bytes(4, "little") + (8192).to_bytes(4, "little"))
        self.assert_not_cut(image, 24 * MiB, "relied on")

    def test_a_file_system_that_goes_on_behind_its_superblocks_end(self):
        image = self.zero_image(64 * MiB)
        check("mkfs.ext4", "-q", "-F", image, "32M")
        put(image, 50 * MiB, b"a realtime section, hashes, a second copy of metadata")
        self.assert_not_cut(image, 40 * MiB, "4.0 KiB that are not zeros", str(50 * MiB))
        put(image, 50 * MiB, bytes(4096))
        self.assert_not_cut(image, 31 * MiB, "ext4")
        self.imgtool_ok("resize", "--shrink", image, 32 * MiB)
        check("e2fsck", "-fn", image)

    def test_hashes_behind_a_file_system(self):
        image = self.zero_image(40 * MiB)
        check("mkfs.ext4", "-q", "-F", image, "32M")
        put(image, 32 * MiB, b"verity\0\0")
        self.assert_not_cut(image, 36 * MiB, "hashes")

    def test_the_backup_of_a_gpt_is_made_anew(self):
        image = self.disk(64 * MiB, "label: gpt\nstart=2048, size=4096\n")
        out = self.path()
        self.imgtool_ok("capture", "--to-last-partition", image, out)
        self.assertEqual(os.path.getsize(out), 4 * MiB)
        self.imgtool_ok("resize", "--shrink", image, 32 * MiB)
        self.assertEqual(os.path.getsize(image), 32 * MiB)

    def test_capture_looks_at_both_ends_only(self):
        image = self.disk(GiB, "label: dos\nstart=2048, size=4096\n")
        put(image, 512 * MiB, b"deleted long ago")
        self.imgtool_ok("capture", "--to-last-partition", image, self.path())
        put(image, 3 * MiB + 100, b"right behind")
        self.assert_not_captured(image, "behind its last partition")
        result = self.imgtool_ok("capture", "--to-last-partition", "--force-cut", image,
                                 self.path(), "--json")
        self.assertEqual(result.json["size"], 3 * MiB)

    def test_force_cut_alone_means_nothing(self):
        image = self.zero_image(MiB)
        self.assertEqual(self.imgtool("resize", "--force-cut", image, "2M").code, 2)
        self.assertEqual(self.imgtool("capture", "--force-cut", image, self.path()).code, 2)


if __name__ == "__main__":
    main()
