"""--drop-free of convert, compress and measure: what is free is zeros, and takes no space."""
import os

from imgtool_testing import KiB, MiB, TestCase, check, main, requires, requires_root, sha256
from scrub_testing import ScrubTestCase, contents, free_map, scrub

SIZE = 48 * MiB


@requires_root
@requires("mkfs.ext4", "e2fsck", "qemu-img", "zstd")
class DropFree(ScrubTestCase):
    def setUp(self):
        super().setUp()
        self.raw = self.zero_image(SIZE)
        check("mkfs.ext4", "-q", "-F", "-b", "4096", self.raw)
        with self.mounted(self.raw) as root:
            self.age(root, files=80, largest=384 * KiB)
            self.tree = contents(root)
        self.free = free_map(self.raw)["free"]
        scrub(self.raw, self.free, 0x5A)
        self.free_bytes = sum(length for _, length in self.free)
        self.expected = self.path()
        check("cp", self.raw, self.expected)
        scrub(self.expected, self.free, 0)

    def assert_result(self, image, form):
        copy = self.path()
        if form == "zst":
            check("zstd", "-q", "-d", "-o", copy, image)
        else:
            check("qemu-img", "convert", "-f", form, "-O", "raw", image, copy)
        self.assert_same_content(copy, self.expected)
        self.assert_checks(["e2fsck", "-fn", copy], "the result")
        with self.mounted(copy) as root:
            self.assertEqual(contents(root), self.tree)

    def test_every_way(self):
        """One image for all: making it takes longer than what is done with it."""
        ways = (self.raw_to_qcow2, self.compress_and_its_digest, self.compressed_qcow2_to_raw,
                self.qcow2_to_zst, self.over_a_backing_file_free_space_is_zeros_of_its_own,
                self.measure, self.maps_that_are_believed)
        for way in ways:
            with self.subTest(way=way.__name__):
                way()

    def raw_to_qcow2(self):
        out, whole = self.path("a1.qcow2"), self.path("b1.qcow2")
        document = self.imgtool_ok("convert", "--drop-free", self.raw, out, "--json").json
        self.assertEqual(document["left-out"]["free-bytes"], self.free_bytes)
        self.imgtool_ok("convert", self.raw, whole)
        self.assertLess(os.path.getsize(out), os.path.getsize(whole) - self.free_bytes // 2)
        self.assert_result(out, "qcow2")

    def compress_and_its_digest(self):
        out = self.path("a2.qcow2")
        result = self.imgtool_ok("compress", "--drop-free", "--digest=sha256", self.raw, out)
        self.assertIn(sha256(self.expected), result.out)
        self.assertIn("left out that no file system uses", result.out)
        self.assert_result(out, "qcow2")

    def compressed_qcow2_to_raw(self):
        source, out = self.path("s3.qcow2"), self.path("a3.img")
        check("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", self.raw, source)
        self.imgtool_ok("convert", "--drop-free", source, out)
        self.assert_result(out, "raw")
        self.assertLess(os.stat(out).st_blocks * 512, SIZE - self.free_bytes + MiB)

    def qcow2_to_zst(self):
        source, out = self.path("s4.qcow2"), self.path("a4.img.zst")
        check("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.raw, source)
        self.imgtool_ok("compress", "--drop-free", source, out)
        self.assert_result(out, "zst")

    def over_a_backing_file_free_space_is_zeros_of_its_own(self):
        base, out = self.path("base5.qcow2"), self.path("thin5.qcow2")
        check("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.raw, base)
        self.imgtool_ok("convert", "--drop-free", "--follow-references", "-O", "qcow2", "-B", base,
                        "-F", "qcow2", self.raw, out)
        self.assert_result(out, "qcow2")

    def measure(self):
        with_free = self.imgtool_ok("measure", "-O", "qcow2", self.raw, "--json").json["required"]
        without = self.imgtool_ok("measure", "-O", "qcow2", "--drop-free", self.raw,
                                  "--json").json["required"]
        self.assertLess(without, with_free - self.free_bytes // 2)
        out = self.path("a6.qcow2")
        self.imgtool_ok("convert", "--drop-free", self.raw, out)
        self.assertLessEqual(os.path.getsize(out), without)

    def maps_that_are_believed(self):
        out = self.path("a7.raw")
        asked = self.imgtool_ok("analyze", self.raw, "--json").json["containers"][0]
        self.assertFalse(asked["map-believed"])
        for command in (["convert", "--drop-free", self.raw, out, "--force"], ["analyze", self.raw]):
            document = self.imgtool_ok(*command, "--trust-maps", "--json").json
            found = document["left-out"]["file-systems"] if "left-out" in document else \
                document["containers"]
            self.assertTrue(found[0]["map-believed"])
            self.assertIn("files were not asked", self.imgtool_ok(*command, "--trust-maps").out)
        measure = ["measure", "-O", "qcow2", "--drop-free", self.raw]
        for options, believed in ([], False), (["--trust-maps"], True):
            document = self.imgtool_ok(*measure, *options, "--json").json
            self.assertEqual(document["left-out"]["file-systems"][0]["map-believed"], believed)
            out_text = self.imgtool_ok(*measure, *options).out
            self.assertTrue(out_text.startswith("required size: "))
            self.assertEqual("files were not asked" in out_text, believed)
        self.assertNotIn("left-out", self.imgtool_ok("measure", self.raw, "--json").json)
        self.assert_result(out, "raw")


class Refusals(TestCase):
    def test_believed_maps_of_nothing(self):
        for command in (["convert", "a", "b"], ["capture", "/dev/null", "b"],
                        ["measure", "a"]):
            result = self.imgtool(*command, "--trust-maps")
            self.assertEqual(result.code, 2, result)
            self.assertIn("--trust-maps needs", result.err)

    def test_what_cannot_be_known(self):
        process = self.imgtool("convert", "--drop-free", "-", self.path("a.qcow2"),
                               input=bytes(MiB))
        self.assertEqual(process.code, 1)
        self.assertIn("stream", process.err)
        self.assertEqual(self.imgtool("measure", "--drop-free", "--size=1M").code, 2)


if __name__ == "__main__":
    main()
