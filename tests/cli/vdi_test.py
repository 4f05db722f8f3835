"""VirtualBox disk images (VDI) as sources."""
import struct

from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, requires
from lock_testing import WRITTEN, held
from vdi_images import NONE, ZEROS, vdi


@requires("qemu-img")
class WrittenByQemu(BlockImageTestCase):
    def test_every_size_and_both_kinds(self):
        for size in (0, 512, MiB - 512, MiB, MiB + 512, 5 * MiB, 37 * MiB + 1024):
            disk = self.disk(size)
            for options in ((), ("static=on",)):
                with self.subTest(size=size, options=options):
                    self.assert_reads(self.written_by_qemu(disk, "vdi", *options), disk)

    def test_more_than_2_TiB(self):
        size = 2 << 40 | 7 * MiB + 512
        disk = self.disk(size)
        self.assert_reads(self.written_by_qemu(disk, "vdi"), disk)

    def test_burn_and_a_stated_format(self):
        disk = self.disk(9 * MiB + 512)
        image = self.written_by_qemu(disk, "vdi")
        self.assert_burns(image, disk)
        self.assert_reads(image, disk, "-f", "vdi")
        self.assert_pipes_and_streams(image, "a VirtualBox disk image (VDI)")

    def test_info(self):
        disk = self.disk(5 * MiB)
        info = self.imgtool_ok("info", "--json", self.written_by_qemu(disk, "vdi")).json
        self.assertEqual((info["format"], info["virtual-size"], info["cluster-size"]),
                         ("vdi", 5 * MiB, MiB))
        self.assertEqual(info["format-specific"]["type"], "vdi")
        self.assertEqual(info["format-specific"]["data"]["subformat"], "dynamic")
        image = self.written_by_qemu(disk, "vdi", "static=on")
        self.assertIn("subformat: static", self.imgtool_ok("info", image).out)

    def test_info_of_1_TiB_reads_headers_alone(self):
        image = self.path("big.vdi")
        check("qemu-img", "create", "-q", "-f", "vdi", image, "1T")
        log = self.path()
        self.traced_imgtool(["trace=pread64"], "info", image, log=log)
        self.assertLess(log.read_text().count("pread64("), 16)

    def test_a_map_shows_holes_and_places(self):
        disk = self.disk(8 * MiB)
        image = self.written_by_qemu(disk, "vdi")
        parts = self.imgtool_ok("map", "--json", image).json
        with open(image, "rb") as file:
            for part in parts:
                if part["data"]:
                    file.seek(part["offset"])
                    stored = file.read(512)
                    with open(disk, "rb") as raw:
                        raw.seek(part["start"])
                        self.assertEqual(stored, raw.read(512))
        self.assertTrue(any(not part["present"] for part in parts))

    def test_what_another_program_writes_is_left_alone(self):
        image = self.written_by_qemu(self.disk(MiB), "vdi")
        with held(image, *WRITTEN):
            self.assert_refused(self.imgtool("hash", image), "lock")
            self.imgtool_ok("hash", "-U", image)



class MadeByHand(BlockImageTestCase):
    C, D = b"C" * MiB, b"d" * MiB

    def test_extra_bytes_before_blocks_are_no_content(self):
        image = vdi([1, NONE, 0, ZEROS], [self.C, self.D], extra=512)
        self.assert_content(image, self.D + bytes(MiB) + self.C + bytes(MiB))

    def test_blocks_of_other_sizes(self):
        for block in (4 * KiB, 512 * KiB, 2 * MiB, 8 * MiB):
            image = vdi([NONE, 0], [b"x" * block], block_size=block)
            self.assert_content(image, bytes(block) + b"x" * block)

    def test_zeros_are_no_holes(self):
        path = self.path()
        path.write_bytes(vdi([ZEROS, NONE], []))
        parts = self.imgtool_ok("map", "--json", path).json
        self.assertEqual([part["present"] for part in parts], [True, False])

    def test_differencing_images_are_refused(self):
        for kind, link in ((4, b"\x55" * 16), (4, bytes(16)), (3, bytes(16)), (1, b"\x55" * 16)):
            image = vdi([0, NONE], [self.C], kind=kind, link=link)
            path = self.assert_image_refused(image, "differencing", codes=(3,))
            self.assertIn("differencing", self.imgtool_ok("info", path).out)

    def test_blocks_in_the_wrong_place_are_refused(self):
        self.assert_image_refused(vdi([0, 77], [self.C]), "block 1", "offset 516", "cut short")
        self.assert_image_refused(vdi([0, 0], [self.C]), "two blocks")
        self.assert_image_refused(vdi([0, 1], [self.C, self.D[:-512]]), "cut short")

    def test_cut_anywhere(self):
        image = vdi([1, NONE, 0], [self.C, self.D], map_at=1024)
        for end in (65, 400, 511, 512, 1024, 1030, 1035, 1036, 1536, 1536 + MiB, len(image) - 1):
            with self.subTest(end=end):
                words = () if end < 512 else ("offset",)
                options = ("-f", "vdi") if end < 68 else ()
                self.assert_image_refused(image[:end], *words, options=options)

    def test_hostile_fields(self):
        good = vdi([0, NONE], [self.C])
        for at in (68, 72, 76, 340, 344, 360, 368, 372, 376, 380, 384, 388, 512, 516):
            for value in (0, 1, 511, 0x7fffffff, 0x80000000, 0xfffffffd, 0xffffffff):
                with self.subTest(at=at, value=value):
                    image = bytearray(good)
                    struct.pack_into("<I", image, at, value)
                    self.assert_hostile(bytes(image))

    def test_a_small_file_that_claims_petabytes_takes_no_memory(self):
        entries = [NONE] * (1 << 16)
        self.assert_modest(vdi(entries, [], block_size=256 * MiB), 0)
        self.assert_modest(vdi([0] * (1 << 16), [self.C]), 1)


if __name__ == "__main__":
    main()
