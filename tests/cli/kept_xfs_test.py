"""XFS that is damaged, unknown or incomplete: all of it counts as used, and the reason is said."""
import os

from imgtool_testing import MiB, check, flip_byte, main, requires
from scrub_testing import container, free_map
from xfs_testing import (INCOMPAT, LOG_INCOMPAT, MKFS, RO_COMPAT, SIZE, XfsTestCase, field,
                         log_range, set_field)


@requires("mkfs.xfs", "xfs_db")
class Kept(XfsTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.make("-L", "a label")
        self.exact_map(self.image)

    def test_what_blkid_says(self):
        found = container(free_map(self.image))
        told = dict(line.split("=", 1) for line in
                    check("blkid", "-p", "-o", "export", self.image).splitlines())
        self.assertEqual((found["type"], found["label"], found["uuid"]),
                         (told["TYPE"], told["LABEL"].replace("\\ ", " "), told["UUID"]))
        self.assertEqual(found["size"], SIZE)
        self.assertEqual(found["block-size"], 4096)

    def test_needs_repair(self):
        set_field(self.image, INCOMPAT, 4, field(self.image, INCOMPAT, 4) | 0x10)
        self.assert_kept_whole(self.image, "need of repair", "xfs_repair")

    def test_unknown_features(self):
        for offset, word in ((INCOMPAT, "incompat"), (RO_COMPAT, "ro_compat"),
                             (LOG_INCOMPAT, "log_incompat")):
            for bit in (8, 20, 31):
                with self.subTest(word=word, bit=bit):
                    old = field(self.image, offset, 4)
                    set_field(self.image, offset, 4, old | 1 << bit)
                    self.assert_kept_whole(self.image, "not known", word, hex(1 << bit))
                    set_field(self.image, offset, 4, old)
        self.exact_map(self.image)

    def test_unfinished(self):
        set_field(self.image, 126, 1, 1)
        self.assert_kept_whole(self.image, "did not finish")

    def test_wrong_counters(self):
        set_field(self.image, 144, 8, field(self.image, 144, 8) - 1)
        self.assert_kept_whole(self.image, "counts", "xfs_repair")

    def test_truncated(self):
        os.truncate(self.image, SIZE - 4096)
        self.assert_kept_whole(self.image, "cut off")
        os.truncate(self.image, 1024)
        self.assert_kept_whole(self.image, "cut off")

    def test_log_elsewhere(self):
        image, log = self.zero_image(SIZE), self.zero_image(64 * MiB)
        check(*MKFS, "-l", f"logdev={log},size=16m", image)
        self.assert_kept_whole(image, "log is on another device")

    def test_realtime(self):
        image, realtime = self.zero_image(SIZE), self.zero_image(64 * MiB)
        check(*MKFS, "-r", f"rtdev={realtime}", image)
        self.assert_kept_whole(image, "realtime")

    def test_flipped_bytes_in_all_headers_and_roots(self):
        group = field(self.image, 84, 4) * 4096
        places = [(100, "")]  # of the superblocks, only the first is read
        for ag in range(field(self.image, 88, 4)):
            places += [(ag * group + offset, words) for offset, words in (
                (512 + 60, "damaged"), (512 + 300, "checksum"), (4096 + 60, "damaged"),
                (4096 + 3000, "checksum"), (8192 + 60, "damaged"), (8192 + 3000, "checksum"))]
        for offset, words in places:
            with self.subTest(offset=offset):
                flip_byte(self.image, offset)
                self.assert_kept_whole(self.image, words)
                flip_byte(self.image, offset)
        self.exact_map(self.image)

    def test_damaged_log(self):
        begin, length = log_range(self.image)
        for block in (0, 1, 1000, length // 512 - 1):
            with self.subTest(block=block):
                flip_byte(self.image, begin + block * 512)
                self.assert_kept_whole(self.image, "log")
                flip_byte(self.image, begin + block * 512)
        self.exact_map(self.image)

    def test_log_of_another_file_system(self):
        other = self.make()
        begin, length = log_range(self.image)
        with open(other, "rb") as file:
            file.seek(begin)
            log = file.read(length)
        with open(self.image, "r+b") as file:
            file.seek(begin)
            file.write(log)
        self.assert_kept_whole(self.image, "another file system")


if __name__ == "__main__":
    main()
