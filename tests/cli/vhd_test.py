"""VHD images (qemu's vpc) as sources: fixed and dynamic."""
import os
import struct

from block_image_testing import BlockImageTestCase
from imgtool_testing import GiB, KiB, MiB, check, main, random_bytes, requires
from vhd_images import DIFFERENCING, dynamic, fixed, footer, summed

WHAT = "a Hyper-V disk image (VHD)"
A, B = b"A" * 2 * MiB, b"b" * 2 * MiB


@requires("qemu-img")
class WrittenByQemu(BlockImageTestCase):
    def test_every_size_and_both_kinds(self):
        for size in (0, 512, 2 * MiB - 512, 2 * MiB, 2 * MiB + 512, 9 * MiB + 1024):
            disk = self.disk(size, 2 * MiB)
            for subformat in ("dynamic", "fixed"):
                if (size, subformat) == (0, "fixed"):
                    continue  # qemu cannot
                with self.subTest(size=size, subformat=subformat):
                    image = self.written_by_qemu(disk, "vpc", f"subformat={subformat}",
                                                 "force_size=on")
                    self.assert_reads(image, disk)

    def test_the_largest(self):
        size = 2040 * GiB
        disk = self.disk(size, 2 * MiB)
        self.assert_reads(self.written_by_qemu(disk, "vpc", "force_size=on"), disk)
        self.assert_reads(self.written_by_qemu(disk, "vpc", "subformat=fixed", "force_size=on"), disk)

    def test_a_size_that_qemu_rounded_up_to_a_geometry(self):
        disk = self.disk(9456128, 2 * MiB)
        for subformat in ("dynamic", "fixed"):
            image = self.written_by_qemu(disk, "vpc", f"subformat={subformat}")
            size = self.imgtool_ok("info", "--json", image).json["virtual-size"]
            self.assertGreater(size, 9456128)
            longer = self.path()
            check("cp", "--sparse=always", disk, longer)
            os.truncate(longer, size)
            self.assert_reads(image, longer)

    def test_burn_and_a_stated_format(self):
        disk = self.disk(9 * MiB + 512, 2 * MiB)
        image = self.written_by_qemu(disk, "vpc", "force_size=on")
        self.assert_burns(image, disk)
        self.assert_reads(image, disk, "-f", "vpc")
        self.assert_pipes_and_streams(image, WHAT)

    def test_a_fixed_image_through_a_pipe(self):
        """Only its last bytes say what it is: by then all but the head of the disk is written."""
        image = fixed(A + B)
        target = self.path("target.img")
        result = self.imgtool("burn", "--yes", "-", target, input=image)
        self.assertEqual(result.code, 1, result)
        self.assertIn("a fixed Hyper-V disk image (VHD), as its last bytes say", result.err)
        out = self.path("out.img")
        self.assertEqual(self.imgtool("convert", "-", out, input=image).code, 1)
        self.assertFalse(out.exists())
        self.imgtool_ok("convert", "--spool", out.parent, "-", out, input=image)
        self.assertEqual(out.read_bytes(), A + B)
        self.imgtool_ok("convert", "--force", "-f", "raw", "-O", "raw", "-", out, input=image)
        self.assertEqual(out.read_bytes(), image)

    def test_info(self):
        disk = self.disk(5 * MiB)
        image = self.written_by_qemu(disk, "vpc", "force_size=on")
        info = self.imgtool_ok("info", "--json", image).json
        self.assertEqual((info["format"], info["virtual-size"], info["cluster-size"]),
                         ("vpc", 5 * MiB, 2 * MiB))
        self.assertEqual(info["format-specific"]["data"]["subformat"], "dynamic")
        self.assertEqual(info["format-specific"]["data"]["creator"], "qem2")
        image = self.written_by_qemu(disk, "vpc", "subformat=fixed", "force_size=on")
        self.assertIn("subformat: fixed", self.imgtool_ok("info", image).out)

    def test_holes_of_a_fixed_image_are_holes(self):
        disk = self.disk(64 * MiB)
        image = self.written_by_qemu(disk, "vpc", "subformat=fixed", "force_size=on")
        out = self.path()
        self.imgtool_ok("convert", "-O", "raw", image, out)
        self.assertLess(os.stat(out).st_blocks * 512, MiB)


class MadeByHand(BlockImageTestCase):
    def test_the_size_goes_by_the_creator(self):
        content = random_bytes(8 * MiB)
        geometry = (240, 4, 17)  # 32 KiB less
        for creator in (b"vpc ", b"qemu"):
            self.assert_content(fixed(content, creator=creator, geometry=geometry),
                                content[:240 * 4 * 17 * 512])
        for creator in (b"win ", b"qem2", b"d2v\0", b"tap\0", b"vbox", b"wa\0\0", b"\xff\0\x1b["):
            self.assert_content(fixed(content, creator=creator, geometry=geometry), content)

    def test_sectors_whose_bit_is_clear_are_zeros(self):
        image = dynamic({1: (b"\x80\x01", A), 3: (None, B)}, 8 * MiB - 512)
        content = bytearray(8 * MiB - 512)
        content[2 * MiB:2 * MiB + 512] = A[:512]
        content[2 * MiB + 15 * 512:2 * MiB + 16 * 512] = A[:512]
        content[6 * MiB:] = B[:-512]
        self.assert_content(image, bytes(content))

    def test_other_block_sizes_and_short_footers(self):
        for block in (512, 4 * KiB, 512 * KiB):
            content = random_bytes(block)
            image = dynamic({0: (None, content)}, 2 * block, block_size=block, end=511)
            self.assert_content(image, content + bytes(block))

    def test_fixed_images_of_little_or_nothing(self):
        for content in (b"", bytes(512), b"x" * 511, random_bytes(MiB + 1)):
            self.assert_content(fixed(content), content)
        self.assert_content(fixed(A)[:-1], A)  # with a footer of 511 bytes

    def test_an_end_that_is_missing(self):
        path = self.assert_content(dynamic({0: (None, A)}, 4 * MiB, end=0), A + bytes(2 * MiB))
        self.assertIn("footer: missing", self.imgtool_ok("info", path).out)

    def test_a_raw_disk_that_ends_as_a_vhd_does(self):
        """A guest may write what it likes to the last sector: what does not fit is no footer."""
        content = random_bytes(64 * KiB)
        self.assert_content(content + b"conectix" + bytes(504), content + b"conectix" + bytes(504))
        wrong_sum = bytearray(footer(len(content)))
        wrong_sum[66] ^= 1
        self.assert_content(content + bytes(wrong_sum), content + bytes(wrong_sum))
        path = self.path()
        path.write_bytes(content[512:] + footer(len(content)))  # its first sector is missing
        self.assert_refused(self.imgtool("hash", path), "not as its end says", "-f raw")
        self.imgtool_ok("hash", "-f", "raw", path)

    def test_differencing_images_are_refused(self):
        image = dynamic({0: (None, A)}, 4 * MiB, kind=DIFFERENCING, parent="b\u00e4se.vhd")
        path = self.path()
        path.write_bytes(image)
        self.assert_refused(self.imgtool("hash", path), "its parent 'b\u00e4se.vhd'")
        info = self.imgtool_ok("info", "--json", path).json
        self.assertEqual(info["backing-filename"], "b\u00e4se.vhd")

    def test_blocks_in_the_wrong_place_are_refused(self):
        good = dynamic({0: (None, A), 1: (None, B)}, 4 * MiB)
        for sector, words in ((0, "copy of the footer"), (1, "dynamic header"), (3, "block table"),
                              (5, "two blocks"), (1 << 20, "cut short"), (0xfffffffe, "cut short")):
            image = bytearray(good)
            struct.pack_into(">I", image, 1536, sector)
            self.assert_image_refused(bytes(image), words, "offset")

    def test_cut_anywhere(self):
        image = dynamic({0: (None, A), 1: (None, B)}, 4 * MiB)
        for end in (8, 511, 512, 1000, 1536, 1540, 2048, 2560, 2 * MiB, len(image) - 513):
            with self.subTest(end=end):
                self.assert_image_refused(image[:end], "offset")
        image = fixed(A)
        self.assertEqual(self.imgtool("hash", "-f", "vpc", self.file_of(image[:-2])).code, 1)
        self.assertEqual(self.imgtool("hash", "-f", "vpc", self.file_of(b"")).code, 1)

    def file_of(self, content):
        path = self.path()
        path.write_bytes(content)
        return path

    def test_hostile_fields(self):
        good = dynamic({0: (None, A)}, 4 * MiB)
        for at in (12, 16, 20, 48, 52, 56, 60, 512 + 16, 512 + 20, 512 + 24, 512 + 28, 512 + 32, 1536):
            for value in (0, 1, 511, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff):
                with self.subTest(at=at, value=value):
                    image = bytearray(good)
                    struct.pack_into(">I", image, at, value)
                    image[:512] = summed(image[:512], 64)
                    image[512:1536] = summed(image[512:1536], 36)
                    image[-512:] = image[:512]
                    self.assert_hostile(bytes(image))

    def test_a_small_file_that_claims_much_takes_no_memory(self):
        self.assert_modest(dynamic({}, 2 << 40, block_size=MiB), 0)
        image = bytearray(dynamic({0: (None, b"")}, 1 << 36, block_size=MiB))
        image[1536:1536 + 4 * (1 << 16)] = image[1536:1540] * (1 << 16)
        self.assert_modest(bytes(image), 1)


if __name__ == "__main__":
    main()
