"""VHD images that imgtool writes, fixed and dynamic: for Hyper-V, Azure and whoever else reads them."""
import os
import shutil
import struct
import unittest

from foreign_output_testing import ForeignOutputTestCase, GiB, KiB, MiB
from imgtool_testing import check, main, requires, requires_root, run

SECTOR = 512


def footer_of(content):
    names = "cookie features version header time creator creator_version host original current " \
            "cylinders heads sectors kind checksum".split()
    return dict(zip(names, struct.unpack_from(">8sIIQI4sI4sQQHBBII", content[-SECTOR:])))


class Writer(ForeignOutputTestCase):
    kind = "vpc"
    suffix = "vhd"
    block = 2 * MiB


@requires("qemu-img")
class Dynamic(Writer):
    def test_sizes(self):
        self.assert_sizes_that_hurt()

    def test_the_same_bytes_always(self):
        self.assert_same_bytes_always()

    def test_zeros_are_left_out(self):
        self.assert_zeros_left_out(32 * MiB)

    def test_mixed_content(self):
        raw = self.mixed_image(30 * MiB + 512)
        image = self.convert_to(raw, "-o", "subformat=dynamic,force_size")
        self.assert_written(image, raw)
        info = self.imgtool_ok("info", "--json", image).json
        self.assertEqual(info["format"], "vpc")
        self.assertEqual(info["format-specific"]["data"]["creator"], "imgt")
        target = self.path()
        self.imgtool_ok("burn", "--yes", image, target)
        self.assert_same_content(raw, target, 30 * MiB + 512)

    def test_its_content_is_aligned(self):
        raw = self.sparse_image(40 * MiB, {0: 10, 9 * MiB: 3 * MiB})
        content = self.convert_to(raw).read_bytes()
        table = struct.unpack_from(">20I", content, 1536)
        stored = [(index, entry) for index, entry in enumerate(table) if entry != 0xffffffff]
        self.assertEqual([index for index, _ in stored], [0, 4, 5])
        for index, entry in stored:
            self.assertEqual((entry + 1) % 8, 0)
            self.assertEqual(content[entry * SECTOR:(entry + 1) * SECTOR], b"\xff" * SECTOR)
        self.assertEqual(content[:SECTOR], content[-SECTOR:])

    def test_the_size_is_the_one_asked_for(self):
        """Whatever rule of geometry the reader goes by."""
        for size in (8 * MiB + 512, 127 * GiB, 136899993600, 2040 * GiB):
            raw = self.sparse_image(size, {0: 512})
            image = self.convert_to(raw)
            self.assertEqual(self.virtual_size(image), size)
            footer = footer_of(image.read_bytes()) if size < GiB else None
            if footer:
                geometry = footer["cylinders"] * footer["heads"] * footer["sectors"]
                self.assertIn(geometry, (size // SECTOR, 65535 * 16 * 255))
                self.assertEqual(footer["current"], size)
        os.truncate(raw, 2040 * GiB + 512)
        self.assert_refused(self.imgtool("convert", raw, self.path("more.vhd")), "2.0 TiB")

    def test_measure(self):
        self.assert_measured(self.sparse_image(50 * MiB, {0: 10, 30 * MiB: 3 * MiB}))

    def test_create(self):
        image = self.path("new.vhd")
        self.imgtool_ok("create", image, "20G")
        self.assertEqual(self.virtual_size(image), 20 * GiB)
        aligned = self.path("aligned")
        self.imgtool_ok("create", "-f", "vpc", "-o", "subformat=fixed,align=1M", aligned, "1000001")
        self.assertEqual(os.path.getsize(aligned), MiB + SECTOR)

    def test_libvhdi_reads_it(self):
        if not shutil.which("vhdimount") or not os.access("/dev/fuse", os.W_OK):
            raise unittest.SkipTest("needs vhdimount and /dev/fuse")
        raw = self.mixed_image(20 * MiB)
        for options in ([], ["-o", "subformat=fixed"]):
            with self.mounted("vhdimount", self.convert_to(raw, *options), "vhdi1") as disk:
                self.assert_same_content(raw, disk)

    def test_wrong_usage(self):
        self.assert_wrong_usage(["-c"], ["--level=3"], ["-o", "subformat=split"],
                                ["-o", "force_size=off"], ["-o", "align=3M"], ["-o", "align=100"],
                                ["-o", "cluster_size=64K"], ["-B", "base.vhd"], ["--codec=zlib"])
        result = self.imgtool("convert", "-O", "vpc", self.dense_image(MiB), "-")
        self.assertEqual(result.code, 2, f"\n{result!r}")
        self.assertEqual(self.imgtool("compress", self.dense_image(512),
                                      self.path("x.vhd")).code, 2)
        # A stream does not tell how long the table has to be.
        result = self.imgtool("convert", "-f", "gz", "-", self.path("x.vhd"), input=b"")
        self.assertNotEqual(result.code, 0)
        self.assertFalse(self.path("x.vhd").exists())

    def test_no_trace_of_a_run_that_did_not_end(self):
        self.assert_killed_leaves_nothing()

    def test_no_trace_of_a_run_that_was_stopped(self):
        self.assert_stopped_leaves_nothing()

    @requires_root
    def test_no_trace_on_a_full_disk(self):
        self.assert_full_disk_leaves_nothing()


@requires("qemu-img")
class Fixed(Writer):
    options = ("-o", "subformat=fixed,force_size")

    def virtual_size(self, image):
        # qemu does not know fixed ones by their content: -f vpc.
        return super().virtual_size(image)

    def test_sizes(self):
        self.assert_sizes_that_hurt()

    def test_the_same_bytes_always(self):
        self.assert_same_bytes_always()

    def test_zeros_are_left_out(self):
        self.assert_zeros_left_out(MiB)

    def test_it_is_the_disk_and_a_footer(self):
        raw = self.mixed_image(5 * MiB)
        content = self.convert_to(raw).read_bytes()
        self.assertEqual(content[:-SECTOR], raw.read_bytes())
        footer = footer_of(content)
        self.assertEqual(footer["cookie"], b"conectix")
        self.assertEqual(footer["kind"], 2)
        self.assertEqual(footer["current"], 5 * MiB)

    def test_azure_is_told_of(self):
        raw = self.mixed_image(5 * MiB + 512)
        self.assertIn("-o align=1M", self.imgtool_ok("convert", raw, self.path("a.vhd"),
                                                     *self.options).err)
        whole = self.mixed_image(5 * MiB)
        self.assertNotIn("align", self.imgtool_ok("convert", whole, self.path("b.vhd"),
                                                  *self.options).err)

    def test_whole_mib(self):
        raw = self.mixed_image(5 * MiB + 700)
        image = self.path("a.vhd")
        result = self.imgtool_ok("convert", raw, image, "-o", "subformat=fixed,align=1M",
                                 "--digest=sha256", "--json")
        self.assertIn("zeros are put behind the disk, which has 6291456 then", result.err)
        self.assertEqual(os.path.getsize(image), 6 * MiB + SECTOR)
        padded = self.path()
        padded.write_bytes(raw.read_bytes().ljust(6 * MiB, b"\0"))
        self.assert_written(image, padded)
        self.assertEqual(result.json["digest"],
                         self.imgtool_ok("hash", padded).out.split()[0])
        # What cannot be made longer here is refused, not left shorter.
        self.assert_refused(self.imgtool("capture", raw, self.path("c.vhd"), "-o", "align=1M"),
                            "convert")

    @requires("sgdisk")
    def test_the_backup_gpt_goes_to_the_new_end(self):
        raw = self.path("gpt.img")
        with open(raw, "wb") as file:
            file.truncate(20 * MiB + 4096)
        check("sgdisk", "-n", "1:2048:+10M", raw)
        image, back = self.path("gpt.vhd"), self.path()
        result = self.imgtool_ok("convert", raw, image, "-o", "subformat=fixed,align=1M")
        self.assertIn("the backup of its GPT is moved", result.err)
        self.imgtool_ok("convert", "-O", "raw", image, back)
        self.assertEqual(os.path.getsize(back), 21 * MiB)
        verified = run(["sgdisk", "-v", back])
        self.assertIn("No problems found", verified.out)

    def test_measure(self):
        raw = self.sparse_image(9 * MiB, {0: 4096})
        told = self.imgtool_ok("measure", "-O", "vpc", *self.options, raw, "--json").json
        self.assertEqual(told, {"required": 4096 + SECTOR, "fully-allocated": 9 * MiB + SECTOR})

    def test_no_trace_of_a_run_that_did_not_end(self):
        self.assert_killed_leaves_nothing()

    @requires_root
    def test_no_trace_on_a_full_disk(self):
        self.assert_full_disk_leaves_nothing()


if __name__ == "__main__":
    main()
