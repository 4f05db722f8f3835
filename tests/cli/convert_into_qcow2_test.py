"""imgtool convert -n into a qcow2 image that is there: its disk is written, all else of it stays."""
import json
import signal

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, random_bytes, requires, run
from qcow2_images import Qcow2, Raw, qemu_info


@requires("qemu-img", "qemu-io")
class IntoQcow2(ConvertTestCase):
    size = 6 * MiB

    def image(self, size=None, **options):
        image = Qcow2(self, size or self.size, name="old.qcow2", **options)
        image.write(0, 300 * KiB)
        image.write(2 * MiB, MiB)
        image.zero(4 * MiB, 512 * KiB)
        if "cluster_size" not in options and "extended_l2" not in options:
            image.write(5 * MiB, 256 * KiB, compressed=True)
        image.finish()
        return image

    def assert_disk(self, path, content):
        self.assert_clean(path)
        out = self.path()
        check("qemu-img", "convert", "-O", "raw", path, out)
        self.assertEqual(out.read_bytes(), content)

    def test_any_image(self):
        source = self.mixed_image(self.size, "new.img")
        for options in ({}, {"compat": "0.10"}, {"cluster_size": 4096, "refcount_bits": 1},
                        {"extended_l2": "on"}, {"cluster_size": 2 * MiB},
                        {"backing": Raw(self, random_bytes(7 * MiB), "base.raw")}):
            with self.subTest(options=options):
                image = self.image(**options)
                before = qemu_info(image.path)
                self.imgtool_ok("convert", "-n", "-O", "qcow2", source, image.path)
                self.assert_disk(image.path, source.read_bytes())
                after = qemu_info(image.path)
                for key in ("virtual-size", "cluster-size", "backing-filename", "format-specific"):
                    self.assertEqual(after.get(key), before.get(key))
                image.path.unlink()

    def test_a_shorter_source_leaves_the_rest(self):
        for size in (3 * MiB, 2 * MiB + 700, 2 * MiB + 512, 100):
            with self.subTest(size=size):
                image = self.image()
                source = self.mixed_image(size)
                self.imgtool_ok("convert", "-n", source, image.path)
                content = bytearray(image.content)
                content[:size] = source.read_bytes()
                self.assert_disk(image.path, bytes(content))
                image.path.unlink()

    def test_a_backing_file_is_opened_only_when_it_is_allowed(self):
        image = self.image(backing=Raw(self, random_bytes(7 * MiB), "base.raw"))
        before = image.path.read_bytes()
        self.path("base.raw").rename(self.path("moved.raw"))
        self.assert_refused(self.imgtool("convert", "-n", self.mixed_image(700), image.path),
                            "--follow-references")
        self.assertEqual(image.path.read_bytes(), before)
        whole = self.mixed_image(64 * KiB)
        self.imgtool_ok("convert", "-n", whole, image.path)  # needs none of the base
        self.path("moved.raw").rename(self.path("base.raw"))
        source = self.mixed_image(700)
        self.imgtool_ok("convert", "-n", "--follow-references", source, image.path)
        content = bytearray(image.content)
        content[:64 * KiB] = whole.read_bytes()
        content[:700] = source.read_bytes()
        self.assert_disk(image.path, bytes(content))

    def test_snapshots_stay_and_bitmaps_record(self):
        image = self.image()
        check("qemu-img", "snapshot", "-c", "before", image.path)
        check("qemu-img", "bitmap", "--add", image.path, "nightly")
        source = self.mixed_image(3 * MiB)
        self.imgtool_ok("convert", "-n", source, image.path)
        content = bytearray(image.content)
        content[:3 * MiB] = source.read_bytes()
        self.assert_disk(image.path, bytes(content))
        out = self.path()
        check("qemu-img", "convert", "-l", "before", "-O", "raw", image.path, out)
        self.assertEqual(out.read_bytes(), bytes(image.content))
        dirty = json.loads(check("qemu-img", "map", "--output=json", "--image-opts",
                                 f"driver=qcow2,file.filename={image.path}"))
        self.assertTrue(dirty)
        (bitmap,) = qemu_info(image.path)["format-specific"]["data"]["bitmaps"]
        self.assertEqual((bitmap["name"], bitmap["flags"]), ("nightly", ["auto"]))

    def test_target_is_zero(self):
        image = Qcow2(self, self.size, name="empty.qcow2")
        image.finish()
        source = self.sparse_image(self.size, {MiB: 64 * KiB})
        self.imgtool_ok("convert", "-n", "--target-is-zero", source, image.path)
        self.assert_disk(image.path, source.read_bytes())

    def test_what_is_refused(self):
        image = self.image()
        before = image.path.read_bytes()
        self.assert_refused(self.imgtool("convert", "-n", self.zero_image(7 * MiB), image.path),
                            "is too small", "resize")
        source = self.mixed_image(MiB)
        plain = self.path("plain")
        image.path.rename(plain)
        self.assert_refused(self.imgtool("convert", "-n", source, plain), "or -O qcow2")
        plain.rename(image.path)
        self.assertEqual(self.imgtool("convert", "-n", "-O", "qcow2", source, self.path("raw")).code,
                         3)
        raw = self.zero_image(MiB)
        self.assertEqual(self.imgtool("convert", "-n", "-O", "qcow2", source, raw).code, 1)
        self.assertEqual(self.imgtool("convert", "-n", image.path, image.path).code, 3)
        self.assertEqual(self.imgtool("convert", "-n", "-c", source, image.path).code, 2)
        self.assertEqual(image.path.read_bytes(), before)

    def test_stopped_or_killed_the_image_is_whole(self):
        source = self.dense_image(24 * MiB)
        for number in (signal.SIGINT, signal.SIGKILL):
            image = self.image(24 * MiB)
            job = self.job("convert", "-n", "--rate", "8M", source, image.path)
            job.wait_for("write", 4 * MiB)
            job.signal(number)
            job.finish()
            check("qemu-img", "check", "-q", "-r", "leaks", image.path)
            self.assert_clean(image.path)
            image.path.unlink()

    def test_as_qemu_img_does_it(self):
        image, source = self.image(), self.mixed_image(self.size)
        self.imgtool_ok("qemu-img", "convert", "-n", "-O", "qcow2", source, image.path)
        self.assert_disk(image.path, source.read_bytes())
        self.assertEqual(run(["qemu-img", "compare", source, image.path]).code, 0)


if __name__ == "__main__":
    main()
