"""imgtool convert -B: only what differs from a backing file is stored; and overlays as sources."""
import json

from convert_testing import ConvertTestCase, KiB, MiB, mixed_content
from imgtool_testing import check, main, random_bytes, requires
from qcow2_images import Qcow2, Raw, qemu_info


@requires("qemu-img", "qemu-io")
class OverABackingFile(ConvertTestCase):
    size = 6 * MiB + 512

    def changed(self, base):
        """`base` with changes: other data, zeros, and one sector inside a cluster."""
        content = bytearray(base)
        content[MiB:MiB + 200 * KiB] = random_bytes(200 * KiB, 7)
        content[2 * MiB:3 * MiB] = bytes(MiB)
        content[4 * MiB + 5 * 512:4 * MiB + 6 * 512] = random_bytes(512, 9)
        path = self.path()
        path.write_bytes(content)
        return path

    def bases(self):
        content = random_bytes(self.size // 2) + mixed_content(self.size - self.size // 2)
        raw = Raw(self, content, "base.raw")
        check("qemu-img", "convert", "-O", "qcow2", "-c", raw.path, self.path("base.qcow2"))
        return content, raw

    def test_stores_only_what_differs(self):
        content, raw = self.bases()
        source = self.changed(content)
        for base, kind in (("base.raw", "raw"), ("base.qcow2", "qcow2")):
            for options in ([], ["-c"], ["-o", "extended_l2=on"], ["-o", "compat=0.10"],
                            ["-c", "-o", "compat=0.10"], ["-o", "cluster_size=512"]):
                with self.subTest(base=base, options=options):
                    image = self.path()
                    report = self.convert(source, image, "-O", "qcow2", "-B", base, *options)
                    self.assert_image_of(image, source)
                    self.assertEqual(qemu_info(image)["backing-filename"], base)
                    self.assertEqual(qemu_info(image)["backing-filename-format"], kind)
                    zeros = MiB if "compat=0.10" in options else 0
                    self.assertLessEqual(report["data-bytes"], zeros + 384 * KiB)

    def test_nothing_differs(self):
        content, raw = self.bases()
        image = self.path()
        report = self.convert(raw.path, image, "-O", "qcow2", "-B", raw.path, "-F", "raw")
        self.assertEqual(report["data-bytes"], 0)
        self.assert_image_of(image, raw.path)

    def test_holes_over_a_longer_and_a_shorter_base(self):
        base = Raw(self, random_bytes(3 * MiB), "short.raw")
        source = self.sparse_image(5 * MiB, {4 * MiB: MiB})
        longer = Raw(self, random_bytes(8 * MiB), "long.raw")
        for backing in (base, longer):
            for options in ([], ["-o", "compat=0.10"], ["-o", "extended_l2=on"]):
                image = self.path()
                self.convert(source, image, "-O", "qcow2", "-B", backing.path.name, *options)
                self.assert_image_of(image, source)

    def test_an_overlay_is_read_through_its_base(self):
        content, raw = self.bases()
        overlay = Qcow2(self, self.size, backing=raw)
        overlay.write(MiB, MiB)
        overlay.finish()
        image = self.path()
        result = self.imgtool("convert", overlay.path, image, "-O", "qcow2", "-c")
        self.assert_refused(result, "--follow-references")
        self.convert(overlay.path, image, "-O", "qcow2", "-c", "--follow-references")
        self.assert_image_of(image, overlay.oracle)
        self.assertNotIn("backing-filename", json.loads(
            check("qemu-img", "info", "--output=json", image)))


if __name__ == "__main__":
    main()
