"""imgtool create: new images."""
import os
import signal

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import GiB, check, main, random_bytes, requires
from memory_testing import assert_modest
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

    def test_a_name_that_no_program_could_open(self):
        for name in ("n:b.qcow2", "a\nb.qcow2"):
            self.imgtool_ok("create", "-f", "qcow2", self.path(name), "1M")
            over = self.path("over.qcow2")
            result = self.imgtool("create", "-b", name, over)
            self.assert_refused(result, "over.qcow2")
            self.assertFalse(over.exists())
        self.imgtool_ok("create", "-b", "./n:b.qcow2", over)
        self.imgtool_ok("hash", "--follow-references", over)

    def test_the_size_is_the_one_that_the_disk_has(self):
        for options, size in (["-f", "qcow2"], 1024), (["-f", "raw"], 1000):
            made = self.imgtool_ok("create", *options, self.path(), 1000, "--json").json
            self.assertEqual(made["size"], size)

    def test_preallocation_shows_progress(self):
        job = self.job("create", "-o", "preallocation=full", self.path("x.qcow2"), 40 * MiB)
        self.assertEqual(job.finish().code, 0)
        line = job.wait_for("write", 40 * MiB)
        self.assertEqual(line["total"], 40 * MiB)

    @requires("strace")
    def test_preallocation_can_be_stopped(self):
        for name in ("x.img", "x.qcow2"):
            with self.subTest(name):
                result = self.traced_imgtool(["trace=fallocate", "inject=fallocate:signal=INT"],
                                             "create", "-o", "preallocation=full",
                                             self.path(name), 40 * MiB)
                self.assertEqual(result.code, 130, result)
                self.assertEqual(os.listdir(self.dir), [])

    def test_setting_up_tables_can_be_stopped(self):
        folder = self.path()
        folder.mkdir()
        job = self.job("create", "-o", "preallocation=metadata,cluster_size=512",
                       folder / "x.qcow2", 64 * GiB)
        job.wait_for("write", MiB)
        job.signal(signal.SIGINT)
        self.assertEqual(job.finish().code, 130)
        self.assertEqual(os.listdir(folder), [])

    def test_preallocation_takes_little_memory(self):
        for options, size in (("preallocation=metadata", 1 << 40),
                              ("preallocation=metadata,cluster_size=512", 4 * GiB)):
            assert_modest(self, 128 * MiB, "create", "-o", options, self.path("x.qcow2"), size,
                          "--force")
        assert_modest(self, 192 * MiB, "convert", "-O", "qcow2", "-o",
                      "preallocation=metadata,cluster_size=512", self.zero_image(4 * GiB),
                      self.path("y.qcow2"))


if __name__ == "__main__":
    main()
