"""VDI images that imgtool writes, for VirtualBox and whoever else reads them."""
import os
import struct

from foreign_output_testing import ForeignOutputTestCase, GiB, MiB
from imgtool_testing import main, requires, requires_root, run


@requires("qemu-img")
class Writer(ForeignOutputTestCase):
    kind = "vdi"
    suffix = "vdi"
    block = MiB

    def assert_written(self, image, raw):
        super().assert_written(image, raw)
        result = run(["qemu-img", "check", "-f", "vdi", image])
        self.assertEqual(result.code, 0, f"\n{result!r}")

    def test_sizes(self):
        self.assert_sizes_that_hurt()

    def test_the_same_bytes_always(self):
        self.assert_same_bytes_always()

    def test_zeros_are_left_out(self):
        self.assert_zeros_left_out(16 * MiB)

    def test_mixed_content(self):
        raw = self.mixed_image(30 * MiB + 512)
        image = self.convert_to(raw)
        self.assert_written(image, raw)
        target = self.path()
        self.imgtool_ok("burn", "--yes", image, target)
        self.assert_same_content(raw, target, 30 * MiB + 512)

    def test_what_virtualbox_checks(self):
        """A header of 400 bytes, counts that fit, IDs that are not null and differ."""
        raw = self.sparse_image(40 * MiB, {0: 10, 9 * MiB: 2 * MiB})
        content = self.convert_to(raw).read_bytes()
        self.assertEqual(struct.unpack_from("<5I", content, 64), (0xbeda107f, 0x10001, 400, 1, 0))
        self.assertEqual(struct.unpack_from("<II", content, 340), (MiB, 2 * MiB))
        self.assertEqual(struct.unpack_from("<QIIII", content, 368), (40 * MiB, MiB, 0, 40, 3))
        create, modify, link, parent = (content[at:at + 16] for at in (392, 408, 424, 440))
        self.assertNotEqual(create, bytes(16))
        self.assertNotEqual(modify, bytes(16))
        self.assertNotEqual(create, modify)
        self.assertEqual(link + parent, bytes(32))
        table = struct.unpack_from("<40I", content, MiB)
        self.assertEqual([(i, n) for i, n in enumerate(table) if n != 0xffffffff],
                         [(0, 0), (9, 1), (10, 2)])
        self.assertEqual(len(content), 5 * MiB)

    def test_the_largest(self):
        raw = self.sparse_image(15 << 40, {0: 4096, (15 << 40) - 4096: 4096})
        image = self.convert_to(raw)
        self.imgtool_ok("compare", raw, image)
        os.truncate(raw, 15 << 40)  # tmpfs and ext4 end at 16 TiB: the size alone is asked
        told = self.imgtool("measure", "-O", "vdi", "--size", str((16 << 40) + 512))
        self.assert_refused(told, "16.0 TiB")

    def test_measure_and_create(self):
        self.assert_measured(self.sparse_image(50 * MiB, {0: 10, 30 * MiB: 3 * MiB}))
        image = self.path("new.vdi")
        self.imgtool_ok("create", image, "20G")
        self.assertEqual(self.virtual_size(image), 20 * GiB)

    def test_wrong_usage(self):
        self.assert_wrong_usage(["-c"], ["--level=3"], ["-o", "static=on"], ["-o", "align=1M"],
                                ["-B", "base.vdi"], ["--codec=zstd"])

    def test_no_trace_of_a_run_that_did_not_end(self):
        self.assert_killed_leaves_nothing()

    def test_no_trace_of_a_run_that_was_stopped(self):
        self.assert_stopped_leaves_nothing()

    @requires_root
    def test_no_trace_on_a_full_disk(self):
        self.assert_full_disk_leaves_nothing()


if __name__ == "__main__":
    main()
