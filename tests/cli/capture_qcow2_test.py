"""imgtool capture straight into qcow2."""
import os

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import is_sanitized, main, requires, requires_root, sha256
from memory_testing import peak_memory


@requires("qemu-img")
class CaptureToQcow2(ConvertTestCase):
    def test_a_file_stands_in_for_a_disk(self):
        disk = self.mixed_image(5 * MiB)
        for options in ([], ["-c"], ["-c", "--codec", "zstd", "--threads", "1"]):
            image = self.path()
            report = self.imgtool_ok("capture", disk, image, "-O", "qcow2", *options,
                                     "--digest", "sha256", "--json").json
            self.assert_image_of(image, disk)
            self.assertEqual(report["digest"], sha256(disk))
            self.assertLess(report["data-bytes"], 5 * MiB)
            # The same bytes that convert makes.
            other = self.path()
            self.convert(disk, other, "-O", "qcow2", *options)
            self.assertEqual(sha256(image), sha256(other))

    def test_depth_bounds_what_is_under_way(self):
        disk = self.dense_image(64 * MiB)
        for options in ([], ["-c"]):
            with self.subTest(options=options):
                peaks = [peak_memory(self, "capture", disk, self.path(), "-O", "qcow2", *options,
                                     f"--depth={depth}") for depth in (1, 32)]
                if not is_sanitized():
                    self.assertLess(peaks[0], peaks[1] - 8 * MiB)

    @requires_root
    def test_a_disk(self):
        source = self.mixed_image(8 * MiB)
        disk = self.loop_device(source)
        image = self.path("disk.qcow2")
        self.imgtool_ok("capture", "-c", disk, image)
        self.assert_image_of(image, source)

    @requires_root
    @requires("nbdkit", "nbdfuse")
    def test_rescue(self):
        backing = self.dense_image(4 * MiB)
        disk = self.fault_disk(backing)
        disk.fail_reads(MiB, 4 * KiB)
        image = self.path("rescued.qcow2")
        result = self.imgtool("capture", "--rescue", "-c", disk.device, image, "--json")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        expected = bytearray(backing.read_bytes())
        expected[MiB:MiB + 4 * KiB] = bytes(4 * KiB)
        oracle = self.path()
        oracle.write_bytes(expected)
        self.assert_image_of(image, oracle)

    @requires_root
    def test_no_room(self):
        disk = self.dense_image(6 * MiB)  # zst writes 4 MiB at a time
        for options in ([], ["-O", "qcow2", "-c"], ["-O", "zst"]):
            with self.subTest(options=options):
                folder = self.tmpfs(8 * MiB)
                small = self.imgtool("capture", self.dense_image(10 * MiB), folder / "out", *options)
                self.assert_refused(small, "missing")
                self.assertEqual(os.listdir(folder), [])
                job = self.start_imgtool("capture", disk, folder / "out", "--rate", "2M", *options)
                self.assert_fails_when_full(job, folder)

    def test_what_does_not_go_together(self):
        disk = self.mixed_image(MiB)
        target = self.path("out.qcow2")
        for options in (["--mapfile", self.path("map")], ["--mapfile", self.path("map"), "--resume"]):
            result = self.imgtool("capture", disk, target, *options)
            self.assertEqual(result.code, 2, f"\n{result!r}")
        self.assertEqual(self.imgtool("capture", disk, "-", "-O", "qcow2").code, 2)
        self.assert_nothing_left(disk)


if __name__ == "__main__":
    main()
