"""imgtool convert -O qcow2 onto a block device, as oVirt and Proxmox keep images in logical volumes."""
import os
import signal

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, random_bytes, requires, requires_root, run
from qcow2_images import Raw


@requires("qemu-img")
@requires_root
class OntoADevice(ConvertTestCase):
    size = 5 * MiB + 3 * 512

    def device(self, size, **options):
        """Full of what is no zeros."""
        backing = self.path()
        backing.write_bytes(random_bytes(MiB, 3) * (size // MiB))
        return self.loop_device(backing, **options)

    def assert_image_on(self, device, raw):
        result = run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, device])
        self.assertEqual(result.code, 0, result)
        result = run(["qemu-img", "check", "-f", "qcow2", device])
        self.assertEqual(result.code, 0, result)
        self.imgtool_ok("check", device)
        self.imgtool_ok("compare", "--follow-references", device, raw)

    def test_whatever_was_there(self):
        source = self.mixed_image(self.size)
        base = Raw(self, source.read_bytes()[:3 * MiB], "base.raw")
        for sector in (512, 4096):
            device = self.device(16 * MiB, sector_size=sector)
            for options in ([], ["-c"], ["-c", "--codec", "zstd"], ["-o", "cluster_size=512"],
                            ["-o", "extended_l2=on"], ["-o", "cluster_size=2M"],
                            ["-B", base.path, "-F", "raw"]):
                with self.subTest(sector=sector, options=options):
                    report = self.convert(source, device, "--yes", "-O", "qcow2", *options)
                    self.assertEqual(report["format"], "qcow2")
                    self.assert_image_on(device, source)

    def test_the_same_bytes_as_in_a_file(self):
        source, device, file = self.mixed_image(self.size), self.device(12 * MiB), self.path("f.qcow2")
        self.convert(source, file, "-c")
        report = self.convert(source, device, "--yes", "-O", "qcow2", "-c")
        size = os.path.getsize(file)
        self.assertEqual(report["file-bytes"], size)
        with open(device, "rb") as disk:
            self.assertEqual(disk.read(size), file.read_bytes())

    def test_what_does_not_fit(self):
        source, device = self.dense_image(self.size), self.device(4 * MiB)
        result = self.imgtool("convert", "--yes", "-O", "qcow2", source, device)
        self.assertEqual(result.code, 1, result)
        self.assertIn("no space left", result.err.lower())
        self.assertIn(device, result.err)
        with open(device, "rb") as disk:
            self.assertEqual(disk.read(512), bytes(512))  # no image, not even the old one

    def test_it_is_asked_for_and_nothing_is_set_aside(self):
        source, device = self.mixed_image(MiB), self.device(12 * MiB)
        self.assert_refused(self.imgtool("convert", "-O", "qcow2", source, device), "--yes")
        for options in (["-o", "preallocation=metadata"], ["-S", "0"]):
            self.assert_refused(self.imgtool("convert", "--yes", "-O", "qcow2", *options, source,
                                             device), "no room can be set aside")
        result = self.imgtool("convert", "-n", "--yes", "-O", "qcow2", source, device)
        self.assertEqual(result.code, 1, result)  # -n is for an image that is there
        self.assertIn("is raw", result.err)

    def test_stopped_it_leaves_no_image(self):
        source, device = self.dense_image(48 * MiB), self.device(64 * MiB)
        self.convert(self.mixed_image(MiB), device, "--yes", "-O", "qcow2")
        job = self.job("convert", "--yes", "-O", "qcow2", "--rate", "8M", source, device)
        job.wait_for("write", 8 * MiB)
        job.signal(signal.SIGINT)
        self.assertEqual(job.finish().code, 130)
        with open(device, "rb") as disk:
            self.assertEqual(disk.read(64 * KiB), bytes(64 * KiB))

    @requires("mkfs.ext4")
    def test_a_disk_in_use(self):
        device = self.device(16 * MiB)
        check("mkfs.ext4", "-q", "-F", device)
        self.mount(device)
        self.assert_refused(self.imgtool("convert", "--yes", "-O", "qcow2", self.mixed_image(MiB),
                                         device), "mounted")

    def test_as_qemu_img_writes_it(self):
        source, device = self.mixed_image(self.size), self.device(12 * MiB)
        self.imgtool_ok("qemu-img", "convert", "-t", "none", "-O", "qcow2", source, device)
        self.assert_image_on(device, source)


if __name__ == "__main__":
    main()
