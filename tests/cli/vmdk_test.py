"""VMware disk images (VMDK) as sources: sparse ones and streams."""
import struct

from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires
from lock_testing import WRITTEN, held
from vmdk_images import (COMPRESSED, MARKERS, NEWLINES, SECTOR, ZERO_GRAINS, ZEROS, content_of,
                         descriptor, stream, vmdk)

KINDS = ("monolithicSparse", "streamOptimized")
GRAIN = 8 * SECTOR
A, B, C = (random_bytes(GRAIN, seed) for seed in range(3))
# Grains in two tables, the last one longer than the disk.
GRAINS = {0: A, 1: bytes(GRAIN), 5: B, 64: C, 127: A}
CAPACITY = 127 * 8 + 3


@requires("qemu-img")
class WrittenByQemu(BlockImageTestCase):
    def test_every_size_and_both_kinds(self):
        for size in (512, 64 * KiB - 512, 64 * KiB, 64 * KiB + 512, 37 * MiB + 1024):
            disk = self.disk(size, block=64 * KiB)
            for kind in KINDS:
                with self.subTest(size=size, kind=kind):
                    image = self.written_by_qemu(disk, "vmdk", f"subformat={kind}")
                    self.assert_reads(image, disk)

    def test_zeroed_grains_are_no_holes(self):
        image = self.path("image.vmdk")
        check("qemu-img", "create", "-f", "vmdk", "-o", "zeroed_grain=on", image, "8M")
        check("qemu-io", "-f", "vmdk", "-c", "write -P 7 0 64k", "-c", "write -z 64k 128k", image)
        disk = self.path()
        disk.write_bytes(b"\7" * 64 * KiB + bytes(8 * MiB - 64 * KiB))
        self.assert_reads(image, disk)
        parts = self.imgtool_ok("map", "--json", image).json
        self.assertEqual([(part["start"], part["zero"], part["present"]) for part in parts],
                         [(0, False, True), (64 * KiB, True, True), (192 * KiB, True, False)])

    def test_nearly_2_TiB(self):
        disk = self.disk((2 << 40) - 7 * MiB + 512, block=64 * KiB)
        for kind in KINDS:
            self.assert_reads(self.written_by_qemu(disk, "vmdk", f"subformat={kind}"), disk)

    def test_burn_and_a_stated_format(self):
        disk = self.disk(9 * MiB + 512, block=64 * KiB)
        for kind in KINDS:
            image = self.written_by_qemu(disk, "vmdk", f"subformat={kind}")
            self.assert_burns(image, disk)
            self.assert_reads(image, disk, "-f", "vmdk")
            self.assert_pipes_and_streams(image, "a VMware disk image (VMDK)",
                                          front_to_back=kind == "streamOptimized")

    def test_both_engines_and_many_threads(self):
        disk = self.path()
        disk.write_bytes(random_bytes(MiB, 5) * 3 + bytes(MiB) + b"words " * 300000)
        check("truncate", "-s", "%512", disk)
        image = self.written_by_qemu(disk, "vmdk", "subformat=streamOptimized")
        for options in (["--io-engine=threads"], ["--threads=1"], ["--threads=7"]):
            out = self.path()
            self.imgtool_ok("convert", *options, "-O", "raw", image, out)
            self.assert_same_content(out, disk)

    def test_info(self):
        disk = self.disk(5 * MiB, block=64 * KiB)
        image = self.written_by_qemu(disk, "vmdk", "subformat=streamOptimized")
        info = self.imgtool_ok("info", "--json", image).json
        self.assertEqual((info["format"], info["virtual-size"], info["cluster-size"],
                          info["format-specific"]["data"]["subformat"]),
                         ("vmdk", 5 * MiB, 64 * KiB, "streamOptimized"))
        self.assertIn("subformat: streamOptimized", self.imgtool_ok("info", image).out)

    def test_parts_of_a_disk_are_refused(self):
        disk = self.disk(5 * MiB, block=64 * KiB)
        image = self.written_by_qemu(disk, "vmdk", "subformat=twoGbMaxExtentSparse")
        part = image.with_name("qemu-s001.vmdk")
        self.assert_image_refused(part, "one part of a VMware disk", "descriptor", codes=(3,))
        self.assert_refused(self.imgtool("hash", image), "names the 1 files", "--follow-references")

    def test_one_over_another_is_refused(self):
        base = self.written_by_qemu(self.disk(MiB, block=64 * KiB), "vmdk")
        image = self.path("over.vmdk")
        check("qemu-img", "create", "-f", "vmdk", "-F", "vmdk", "-b", base, image)
        self.assert_refused(self.imgtool("hash", image), f"its parent '{base}'",
                            "--follow-references")
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["backing-filename"],
                         str(base))

    @requires("qemu-io")
    def test_one_that_a_machine_writes_is_refused(self):
        image = self.written_by_qemu(self.disk(MiB, block=64 * KiB), "vmdk")
        with held(image, *WRITTEN):
            self.assert_refused(self.imgtool("hash", image), "lock")
            self.imgtool_ok("hash", "-U", image)


class MadeByHand(BlockImageTestCase):
    def test_tables_behind_the_grains_and_in_front_of_them(self):
        packed = NEWLINES | COMPRESSED
        for image in (vmdk(GRAINS, CAPACITY), stream(GRAINS, CAPACITY),
                      stream(GRAINS, CAPACITY, behind=50 * KiB), stream(GRAINS, CAPACITY, cut_last=True),
                      vmdk(GRAINS, CAPACITY, flags=packed | MARKERS),
                      vmdk(GRAINS, CAPACITY, flags=packed | MARKERS, order=[64, 0, 127, 5, 1]),
                      vmdk(GRAINS, CAPACITY, flags=packed),
                      vmdk(GRAINS, CAPACITY, flags=0, order=[127, 1, 64, 5, 0])):
            self.assert_content(image, content_of(GRAINS, CAPACITY))

    def test_grains_of_other_sizes(self):
        for grain, entries in ((8, 512), (16, 64), (2048, 128)):
            grains = {0: A * (grain // 8), 3: B, 70: C}
            for make in (vmdk, stream):
                self.assert_content(make(grains, 71 * grain, grain=grain, entries=entries),
                                    content_of(grains, 71 * grain, grain))

    def test_grains_of_zeros(self):
        grains = {0: A, 1: ZEROS, 2: B, 64: ZEROS}
        image = vmdk(grains, 800, flags=NEWLINES | ZERO_GRAINS)
        self.assert_content(image, content_of(grains, 800))
        # Without the flag it is a place, and a wrong one.
        self.assert_image_refused(vmdk(grains, 800), "grain 1", "header or a table", "offset")

    def test_descriptors_of_all_kinds(self):
        for text in (descriptor(CAPACITY, ends="\r\n"), descriptor(CAPACITY).lower(),
                     descriptor(CAPACITY).upper(), descriptor(CAPACITY).replace(b"=", b" = ")):
            self.assert_content(vmdk(GRAINS, CAPACITY, text=text), content_of(GRAINS, CAPACITY))

    def test_what_needs_other_files_is_refused(self):
        for text, words in ((descriptor(CAPACITY, extents=2), "2 parts"),
                            (b"", "one part of a VMware disk")):
            self.assert_image_refused(vmdk(GRAINS, CAPACITY, text=text), words, codes=(3,))
        for text in (descriptor(CAPACITY, parent="12345678", hint="below.vmdk"),
                     descriptor(CAPACITY, parent="what?", hint="below.vmdk")):
            path = self.path()
            path.write_bytes(vmdk(GRAINS, CAPACITY, text=text))
            self.assert_refused(self.imgtool("hash", path), "its parent 'below.vmdk'")
        self.assert_image_refused(vmdk({}, 0, text=descriptor(8)), "1 parts", codes=(3,))

    def test_two_grains_in_one_place(self):
        image = bytearray(vmdk(GRAINS, CAPACITY))
        table = struct.unpack_from("<I", image, 21 * SECTOR)[0] * SECTOR
        image[table + 4:table + 8] = image[table:table + 4]
        self.assert_image_refused(bytes(image), "grain 1", "where another one is", "offset")
        directory = 21 * SECTOR
        image[directory + 4:directory + 8] = image[directory:directory + 4]
        self.assert_image_refused(bytes(image), "two tables")

    def test_damaged_grains(self):
        image = stream(GRAINS, CAPACITY)
        first = 21 * SECTOR
        for at, what in ((first, "its place"), (first + 10, "its length"), (first + 12, "zlib"),
                         (first + 200, "content")):
            with self.subTest(what):
                broken = bytearray(image)
                broken[at] ^= 0x41
                path = self.path()
                path.write_bytes(broken)
                result = self.imgtool("hash", path)
                self.assertEqual(result.code, 1, result)
                self.assertIn("compressed data of guest offset 0 is damaged", result.err)

    def test_cut_anywhere(self):
        for image in (vmdk(GRAINS, CAPACITY), stream(GRAINS, CAPACITY),
                      vmdk(GRAINS, CAPACITY, flags=NEWLINES | COMPRESSED | MARKERS)):
            # Of the last grain 3 of 8 sectors are content.
            for end in (4, 511, 512, 513, 10 * SECTOR, 21 * SECTOR, 22 * SECTOR, len(image) // 2,
                        len(image) - 6 * SECTOR, len(image) - 5 * SECTOR - 1):
                with self.subTest(end=end, size=len(image)):
                    path = self.path()
                    path.write_bytes(image[:end])
                    result = self.imgtool("hash", "-f", "vmdk", path)
                    self.assertEqual(result.code, 1, result)
                    self.assertIn("offset", result.err)

    def test_changed_as_a_text(self):
        image = vmdk(GRAINS, CAPACITY)
        self.assert_image_refused(image[:73] + b"\n \n\n" + image[77:], "line ends")

    def test_hostile_fields(self):
        values = (0, 7, 0x7fffffff, 0xffffffff)
        path = self.path()
        for good in (vmdk(GRAINS, CAPACITY), stream(GRAINS, CAPACITY)):
            directory = 21 * SECTOR
            for at in (4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 56, 60, 64, 77, directory,
                       directory + 4):
                for value in values:
                    with self.subTest(at=at, value=value):
                        image = bytearray(good)
                        struct.pack_into("<I", image, at, value)
                        path.write_bytes(image)
                        result = self.imgtool("hash", path, timeout=20)
                        self.assertIn(result.code, (0, 1, 3), result)

    def test_a_small_file_that_claims_much_takes_no_memory(self):
        largest = (64 * MiB // 4) * 512 * (1 << 17)
        self.assert_modest(vmdk({0: A}, 1 << 21, grain=8), 0)
        image = bytearray(vmdk({}, 8))
        struct.pack_into("<QQ", image, 12, largest, 1 << 17)
        struct.pack_into("<I", image, 44, 512)
        self.assert_modest(bytes(image), 1)


if __name__ == "__main__":
    main()
