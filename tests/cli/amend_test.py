"""imgtool amend: the format of a qcow2 image, changed in place."""
import struct

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, random_bytes, requires, sha256
from qcow2_images import Qcow2, Raw, qemu_info


@requires("qemu-img", "qemu-io")
class Amend(ConvertTestCase):
    def made(self, backing=None, **options):
        image = Qcow2(self, 4 * MiB, backing=backing, **options)
        image.write(0, 300 * KiB)
        image.write(2 * MiB, 128 * KiB, compressed=True)
        return image.finish()

    def amend(self, image, options):
        return self.imgtool_ok("amend", "-o", options, image.path, "--json").json

    def format_of(self, image):
        data = qemu_info(image.path)["format-specific"]["data"]
        return data["compat"], data.get("lazy-refcounts")

    def test_version_2_becomes_3(self):
        base = Raw(self, random_bytes(4 * MiB))
        for options in ({}, {"cluster_size": 512}, {"cluster_size": 2 * MiB}):
            for backing in (None, base):
                with self.subTest(options=options, backing=backing):
                    if options.get("cluster_size") == 2 * MiB:
                        image = Qcow2(self, 4 * MiB, backing=backing, compat="0.10", **options)
                        image.write(0, 300 * KiB)
                        image.finish()
                    else:
                        image = self.made(backing, compat="0.10", **options)
                    check("qemu-img", "snapshot", "-c", "kept", image.path)
                    report = self.amend(image, "compat=1.1,lazy_refcounts=on")
                    self.assertEqual((report["compat"], report["lazy-refcounts"]), ("1.1", True))
                    self.assertEqual(self.format_of(image), ("1.1", True))
                    self.assert_image_of(image.path, image.oracle)
                    check("qemu-img", "snapshot", "-a", "kept", image.path)
                    check("qemu-io", "-c", "write -z 0 2M", image.path)
                    check("qemu-img", "bitmap", "--add", image.path, "b")
                    self.assert_clean(image.path)
                    info = qemu_info(image.path)
                    self.assertEqual(info.get("backing-filename"),
                                     None if backing is None else str(base.path))

    def test_snapshots_are_told_their_size(self):
        image = self.made(compat="0.10", cluster_size=512)
        check("qemu-img", "snapshot", "-c", "kept", image.path)
        table = image.header(64, "Q")
        with open(image.path, "r+b") as file:  # as programs from before the extra data wrote it
            file.seek(table)
            entry = bytearray(file.read().ljust(512, b"\0"))
            extra, = struct.unpack_from(">I", entry, 36)
            struct.pack_into(">I", entry, 36, 0)
            entry[40:] = entry[40 + extra:] + bytes(extra)
            file.seek(table)
            file.write(entry)
        self.amend(image, "compat=v3")
        self.assert_image_of(image.path, image.oracle)
        raw = self.path()
        check("qemu-img", "convert", "-l", "kept", "-O", "raw", image.path, raw)
        self.assertEqual(raw.read_bytes(), bytes(image.content))

    def test_lazy_refcounts(self):
        image = self.made()
        for word, expected in (("on", True), ("on", True), ("off", False)):
            self.amend(image, f"lazy_refcounts={word}")
            self.assertEqual(self.format_of(image), ("1.1", expected))
            self.assert_image_of(image.path, image.oracle)

    def test_what_changes_nothing_writes_nothing(self):
        image = self.made()
        before = sha256(image.path)
        self.amend(image, "compat=1.1,lazy_refcounts=off")
        self.assertEqual(sha256(image.path), before)

    def test_what_cannot_be_is_refused_unchanged(self):
        image, old = self.made(), self.made(compat="0.10")
        for target, code, text, options in (
                (image, 1, "convert -o compat=0.10", "compat=0.10"),
                (old, 1, "add compat=1.1", "lazy_refcounts=on"),
                (image, 2, "imgtool rebase", "backing_file=x"),
                (image, 2, "imgtool resize", "size=1G"),
                (image, 2, "imgtool convert", "refcount_bits=8"),
                (image, 2, "not key=value", "compat"),
                (image, 2, "'4' is none of", "compat=4"),
                (image, 2, "-o is missing", "")):
            before = sha256(target.path)
            result = self.imgtool("amend", "-o", options, target.path)
            self.assertEqual(result.code, code, result)
            self.assertIn(text, result.err)
            self.assertEqual(sha256(target.path), before)
        image.patch(72, "Q", image.header(72, "Q") | 1)
        before = sha256(image.path)
        self.assert_refused(self.imgtool("amend", "-o", "lazy_refcounts=on", image.path),
                            "imgtool check --repair all")
        self.assertEqual(sha256(image.path), before)


if __name__ == "__main__":
    main()
