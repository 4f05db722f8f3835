"""imgtool create: new images."""
import os

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import GiB, check, main, random_bytes, requires
from qcow2_images import Raw, qemu_info


@requires("qemu-img", "qemu-io")
class Create(ConvertTestCase):
    def test_empty_images_of_all_kinds(self):
        kinds = ["compat=0.10", "cluster_size=512,refcount_bits=64", "cluster_size=2M",
                 "extended_l2=on,lazy_refcounts=on", "compression_type=zstd",
                 "preallocation=metadata", "preallocation=falloc,cluster_size=4K"]
        for options in kinds:
            with self.subTest(options=options):
                image = self.path()
                report = self.imgtool_ok("create", "-f", "qcow2", "-o", options, image, "20M",
                                         "--json").json
                self.assertEqual(report["size"], 20 * MiB)
                self.assert_clean(image)
                self.assertEqual(qemu_info(image)["virtual-size"], 20 * MiB)
                out = check("qemu-io", "-c", "read -P 0 0 20M", "-c", "write -P 7 5M 2M",
                            "-c", "read -P 7 5M 2M", image)
                self.assertNotIn("failed", out)
                self.assert_clean(image)

    def test_sizes(self):
        for size in (0, 512, 64 * KiB, 3 * GiB, 1 << 45):
            image = self.path(f"{size}.qcow2")
            self.imgtool_ok("create", image, size)
            self.assert_clean(image)
            self.assertEqual(qemu_info(image)["virtual-size"], size)
            self.assertLess(os.path.getsize(image), MiB)

    def test_raw(self):
        image = self.path()
        self.imgtool_ok("create", image, "3M")
        self.assertEqual(os.path.getsize(image), 3 * MiB)
        self.assertEqual(os.stat(image).st_blocks, 0)
        self.assert_refused(self.imgtool("create", image, "1M"), "--force")
        self.imgtool_ok("create", image, "1M", "--force", "-o", "preallocation=falloc")
        self.assertGreaterEqual(os.stat(image).st_blocks * 512, MiB)

    def test_over_a_backing_file(self):
        base = Raw(self, random_bytes(2 * MiB), "base.raw")
        image = self.path("over.qcow2")
        self.imgtool_ok("create", "-b", "base.raw", image)
        self.assert_image_of(image, base.path)
        self.assertEqual(qemu_info(image)["backing-filename"], "base.raw")
        self.assertEqual(qemu_info(image)["backing-filename-format"], "raw")
        self.assertEqual(self.imgtool("create", "-b", "none", self.path("x.qcow2")).code, 1)
        self.assertEqual(self.imgtool("create", self.path("y.qcow2")).code, 2)


if __name__ == "__main__":
    main()
