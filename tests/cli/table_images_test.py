"""QED, qcow (version 1) and Parallels images as sources."""
import struct

from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires, run
from table_images import deflated, parallels, qcow1, qed

C = 4096
A, B = b"A" * C, b"b" * C


@requires("qemu-img")
class WrittenByQemu(BlockImageTestCase):
    def assert_sizes(self, qemu_format, block, sizes, *options):
        for size in sizes:
            with self.subTest(format=qemu_format, size=size, options=options):
                disk = self.disk(size, block)
                self.assert_reads(self.written_by_qemu(disk, qemu_format, *options), disk)

    def test_qed(self):
        block = 64 * KiB
        sizes = (0, 512, block - 512, block, block + 512, 9 * MiB + 1024, (2 << 40) + 512)
        self.assert_sizes("qed", block, sizes)
        self.assert_sizes("qed", MiB, (3 * MiB + 512,), "cluster_size=256K", "table_size=2")
        self.assert_sizes("qed", 4 * KiB, (3 * MiB + 512,), "cluster_size=4K", "table_size=16")

    def test_qcow(self):
        self.assert_sizes("qcow", 4 * KiB, (512, 4096 - 512, 4096, 4608, 9 * MiB + 1024,
                                            (2 << 40) + 512))

    def test_qcow_compressed(self):
        disk = self.path()
        disk.write_bytes((b"compressible " * 400000)[:4 * MiB] + random_bytes(MiB) + bytes(MiB))
        image = self.path("packed.qcow")
        # Version 7.2 ends with 1 when all is written.
        run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow", disk, image])
        self.assert_reads(image, disk)
        parts = self.imgtool_ok("map", "--json", image).json
        self.assertTrue(any(part["compressed"] for part in parts))
        self.assert_burns(image, disk)

    def test_parallels(self):
        block = MiB
        self.assert_sizes("parallels", block, (0, 512, block - 512, block, block + 512,
                                               9 * MiB + 1024, (2 << 40) + 512))
        self.assert_sizes("parallels", block, (5 * MiB,), "cluster_size=128K")

    def test_pipes_burn_and_stated_formats(self):
        disk = self.disk(9 * MiB + 512)
        for name, what in (("qed", "a QED disk image"), ("qcow", "a qcow disk image of version 1"),
                           ("parallels", "a Parallels disk image")):
            image = self.written_by_qemu(disk, name)
            self.assert_burns(image, disk)
            self.assert_reads(image, disk, "-f", name)
            self.assert_pipes_and_streams(image, what)
            info = self.imgtool_ok("info", "--json", image).json
            self.assertEqual((info["format"], info["virtual-size"]), (name, 9 * MiB + 512))
            self.assertEqual(info["format-specific"]["type"], name)
            self.assertGreater(info["cluster-size"], 0)

    def test_backing_files_are_named_and_refused(self):
        base = self.disk(MiB)
        for name in ("qed", "qcow"):
            image = self.path(f"over.{name}")
            check("qemu-img", "create", "-q", "-f", name, "-b", base, "-F", "raw", image)
            self.assert_refused(self.imgtool("hash", image), str(base), "--follow-references")
            info = self.imgtool_ok("info", "--json", image).json
            self.assertEqual(info["backing-filename"], str(base))


class Qed(BlockImageTestCase):
    def test_zeros_holes_and_data(self):
        path = self.assert_content(qed({0: A, 1: 1, 3: B}, 4 * C - 512),
                                   A + bytes(2 * C) + B[:-512])
        parts = self.imgtool_ok("map", "--json", path).json
        self.assertEqual([part["present"] for part in parts], [True, True, False, True])

    def test_an_image_that_was_not_closed_is_read(self):
        path = self.assert_content(qed({0: A}, C, features=2), A)
        self.assertTrue(self.imgtool_ok("info", "--json", path).json["dirty-flag"])

    def test_unknown_features_are_refused(self):
        self.assert_image_refused(qed({0: A}, C, features=8), "features")

    def test_what_lies_in_the_wrong_place_is_refused(self):
        at = 3 * C
        for word, words in ((0 + C, "something else"), (2 * C, "something else"),
                            (at, "something else"), (at + 512, "start of a cluster"), (2, "start"),
                            (at + C, "cut short"), (1 << 63, "cut short")):
            self.assert_image_refused(qed({0: A, 1: word}, 2 * C), "block 1", words, "offset")
        image = bytearray(qed({0: A}, 3 << 20))
        struct.pack_into("<Q", image, C + 8, 2 * C)  # two tables in one place
        self.assert_image_refused(bytes(image), "something else")

    def test_cut_anywhere(self):
        image = qed({0: A, 1: B}, 2 * C)
        for end in (4, 40, 63, 64, C - 1, C, 2 * C, 3 * C, 4 * C, len(image) - 1):
            with self.subTest(end=end):
                self.assert_image_refused(image[:end], "offset")

    def test_hostile_fields(self):
        good = qed({0: A}, 2 * C)
        for at in (4, 8, 12, 16, 40, 44, 48, 52, C, C + 4, 2 * C, 2 * C + 4):
            for value in (0, 1, 4096, 0x7fffffff, 0x80000000, 0xffffffff):
                image = bytearray(good)
                struct.pack_into("<I", image, at, value)
                self.assert_hostile(bytes(image))

    def test_a_small_file_that_claims_much_takes_no_memory(self):
        self.assert_modest(qed({}, 16 << 40, cluster=64 * KiB, table_clusters=4), 0)
        many = {index: 3 * 64 * KiB for index in range(8192)}
        self.assert_modest(qed(many, 512 * MiB, cluster=64 * KiB) + A * 16, 1)


class Qcow1(BlockImageTestCase):
    def test_data_streams_and_holes(self):
        text = b"stream " * 585
        image = qcow1({0: A, 1: ("z", text), 3: B, 5: ("z", B)}, 6 * C - 512)
        self.assert_content(image, A + text.ljust(C, b"\0") + bytes(C) + B + bytes(C) + B[:-512])
        small = qcow1({0: b"x" * 512, 9: b"y" * 512}, 5120, cluster_bits=9, table_bits=6)
        self.assert_content(small, b"x" * 512 + bytes(8 * 512) + b"y" * 512)

    def test_broken_streams_are_refused(self):
        image = bytearray(qcow1({0: ("z", b"text " * 800)}, C))
        image[2 * C + 3:2 * C + 9] = b"\xff" * 6
        path = self.path()
        path.write_bytes(image)
        result = self.imgtool("hash", path)
        self.assertEqual(result.code, 1, result)
        self.assertIn(f"offset {2 * C}", result.err)

    def test_what_lies_in_the_wrong_place_is_refused(self):
        def stream(length, at):
            return 1 << 63 | length << 51 | at

        at = 2 * C
        for word, words in ((C, "something else"), (at, "something else"),
                            (at + 512, "start of a cluster"), (at + C, "cut short"),
                            (stream(10, at + C - 9), "cut short"), (stream(0, at), "no room"),
                            (stream(0xfff, 1 << 50), "cut short")):
            self.assert_image_refused(qcow1({0: A, 1: word}, 2 * C), "block 1", words, "offset")

    def test_one_stream_for_many_blocks_is_refused(self):
        packed = len(deflated(bytes(C)))
        words = {index: 1 << 63 | packed << 51 | 2 * C for index in range(1, 512)}
        self.assert_image_refused(qcow1({0: ("z", b""), **words}, 512 * C), "no room")

    def test_encrypted_ones_are_refused(self):
        self.assert_image_refused(qcow1({0: A}, C, crypt=1), "encrypted")

    def test_cut_anywhere(self):
        image = qcow1({0: A, 1: ("z", B), 2: B}, 3 * C)
        for end in (8, 40, 47, 48, 55, C - 1, C, 2 * C, 3 * C, 3 * C + 5, len(image) - 1):
            with self.subTest(end=end):
                self.assert_image_refused(image[:end], "offset")

    def test_hostile_fields(self):
        good = qcow1({0: A, 1: ("z", B)}, 2 * C)
        for at in (8, 12, 16, 24, 28, 32, 36, 40, 44, 48, 52, C, C + 4, C + 8, C + 12):
            for value in (0, 1, 48, 0x0c090000, 0x7fffffff, 0x80000000, 0xffffffff):
                image = bytearray(good)
                struct.pack_into(">I", image, at, value)
                self.assert_hostile(bytes(image))


class Parallels(BlockImageTestCase):
    def test_both_kinds(self):
        content = B + bytes(C) + A[:-512]
        self.assert_content(parallels([2, 0, 1], [A, B], sectors=23), content)
        self.assert_content(parallels([16, 0, 8], [A, B], sectors=23 | 77 << 32, ext=False), content)

    def test_clusters_of_63_sectors(self):
        size = 63 * 512
        image = parallels([63, 0, 126], [b"x" * size, b"y" * size], tracks=63, ext=False)
        self.assert_content(image, b"x" * size + bytes(size) + b"y" * size)

    def test_an_image_that_was_not_closed_is_read(self):
        path = self.assert_content(parallels([1], [A], in_use=0x746f6e59), A)
        self.assertIn("dirty: true", self.imgtool_ok("info", path).out)

    def test_what_lies_in_the_wrong_place_is_refused(self):
        for words, message in (([1, 1], "two blocks"), ([1, 3], "cut short"),
                               ([1, 0xffffffff], "cut short")):
            self.assert_image_refused(parallels(words, [A, B]), message, "offset")
        self.assert_image_refused(parallels([1, 8], [A], ext=False), "header or the table")
        self.assert_image_refused(parallels([1], [A], sectors=9), "its clusters only")
        self.assert_image_refused(parallels([1], [A], tracks=0, data=8), "cluster of 0")

    def test_cut_anywhere(self):
        image = parallels([1, 0, 2], [A, B])
        for end in (16, 40, 63, 64, 72, C, 2 * C, len(image) - 1):
            with self.subTest(end=end):
                self.assert_image_refused(image[:end], "offset")

    def test_hostile_fields(self):
        for ext in (True, False):
            good = parallels([1, 2], [A, B], ext=ext)
            for at in (16, 20, 28, 32, 36, 40, 44, 48, 52, 64, 68):
                for value in (0, 1, 8, 0x7fffffff, 0x80000000, 0xffffffff):
                    image = bytearray(good)
                    struct.pack_into("<I", image, at, value)
                    self.assert_hostile(bytes(image))

    def test_a_small_file_that_claims_much_takes_no_memory(self):
        self.assert_modest(parallels([0] * (1 << 16), [], tracks=1 << 19, data=1024), 0)
        self.assert_modest(parallels([64] * (1 << 16), [A], tracks=8, data=520), 1)


if __name__ == "__main__":
    main()
