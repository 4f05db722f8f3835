"""VHDX images that imgtool writes, for Hyper-V and whoever else reads them."""
import os
import struct

from foreign_output_testing import ForeignOutputTestCase, GiB, KiB, MiB
from imgtool_testing import main, requires, requires_root, run


@requires("qemu-img")
class Writer(ForeignOutputTestCase):
    kind = "vhdx"
    suffix = "vhdx"
    block = 2 * MiB

    def assert_same_as_7z_reads(self, image, raw, size):
        if size // 512 % 2 == 0:  # 7-Zip refuses an odd number of sectors
            super().assert_same_as_7z_reads(image, raw, size)

    def assert_written(self, image, raw):
        super().assert_written(image, raw)
        result = run(["qemu-img", "check", "-f", "vhdx", image])
        self.assertEqual(result.code, 0, f"\n{result!r}")

    def test_sizes(self):
        self.assert_sizes_that_hurt()

    def test_the_same_bytes_always(self):
        self.assert_same_bytes_always()

    def test_zeros_are_left_out(self):
        self.assert_zeros_left_out(32 * MiB)

    def test_mixed_content(self):
        raw = self.mixed_image(30 * MiB + 512)
        image = self.convert_to(raw, "-o", "subformat=dynamic")
        self.assert_written(image, raw)
        target = self.path()
        self.imgtool_ok("burn", "--yes", image, target)
        self.assert_same_content(raw, target, 30 * MiB + 512)

    def test_block_sizes(self):
        raw = self.mixed_image(70 * MiB)
        for size in (1, 8, 256):
            image = self.convert_to(raw, "-o", f"block_size={size}M")
            self.assert_written(image, raw)
            self.assertEqual(self.imgtool_ok("info", "--json", image).json["cluster-size"],
                             size * MiB)
            image.unlink()

    def test_entries_of_bitmaps_are_passed_over(self):
        """Behind each 4096 blocks of 1 MiB, and each 2048 of 2 MiB, is an entry of no block."""
        raw = self.sparse_image(9 * GiB, {4 * GiB - 4096: 8192, 8 * GiB: 4096})
        for options in ([], ["-o", "block_size=1M"]):
            image = self.convert_to(raw, *options)
            self.assertEqual(run(["qemu-img", "compare", raw, image]).code, 0)
            self.imgtool_ok("compare", raw, image)

    def test_the_headers(self):
        content = self.convert_to(self.sparse_image(8 * MiB, {0: 10})).read_bytes()
        self.assertEqual(content[:22], b"vhdxfile" + "imgtool".encode("utf-16-le"))
        sequences = []
        for at in (64 * KiB, 128 * KiB):
            signature, _, sequence = struct.unpack_from("<4sIQ", content, at)
            self.assertEqual(signature, b"head")
            self.assertEqual(content[at + 48:at + 64], bytes(16))  # no log
            sequences.append(sequence)
        self.assertEqual(sequences, [1, 2])
        self.assertEqual(content[192 * KiB:256 * KiB], content[256 * KiB:320 * KiB])
        self.assertEqual(struct.unpack_from("<4Q", content, 3 * MiB), (4 * MiB | 6, 0, 0, 0))
        self.assertEqual(len(content), 6 * MiB)

    def test_the_largest(self):
        raw = self.sparse_image(15 << 40, {0: 4096, (15 << 40) - 4096: 4096})
        image = self.convert_to(raw)
        self.imgtool_ok("compare", raw, image)
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["cluster-size"], 8 * MiB)
        told = self.imgtool("measure", "-O", "vhdx", "--size", str((64 << 40) + 512))
        self.assert_refused(told, "64.0 TiB")
        self.imgtool_ok("create", self.path("new.vhdx"), "64T")
        result = self.imgtool("create", "-o", "block_size=1M", self.path("x.vhdx"), "64T")
        self.assertEqual(result.code, 2, f"\n{result!r}")

    def test_measure_and_create(self):
        self.assert_measured(self.sparse_image(50 * MiB, {0: 10, 30 * MiB: 3 * MiB}))
        image = self.path("new.vhdx")
        self.imgtool_ok("create", "-f", "vhdx", image, "20G")
        self.assertEqual(self.virtual_size(image), 20 * GiB)
        self.assertLess(os.stat(image).st_blocks * 512, MiB)

    def test_wrong_usage(self):
        self.assert_wrong_usage(["-c"], ["--level=3"], ["-o", "subformat=fixed"],
                                ["-o", "block_size=3M"], ["-o", "block_size=512M"],
                                ["-o", "align=1M"], ["-B", "base.vhdx"])

    def test_no_trace_of_a_run_that_did_not_end(self):
        self.assert_killed_leaves_nothing()

    def test_no_trace_of_a_run_that_was_stopped(self):
        self.assert_stopped_leaves_nothing()

    @requires_root
    def test_no_trace_on_a_full_disk(self):
        self.assert_full_disk_leaves_nothing()


if __name__ == "__main__":
    main()
