"""imgtool rebase: a qcow2 image shows the same disk over another backing file."""
import pathlib

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, random_bytes, requires, sha256
from qcow2_images import Qcow2, Raw, qemu_info

KINDS = [{}, {"compat": "0.10"}, {"cluster_size": 512, "refcount_bits": 1},
         {"cluster_size": 1024, "refcount_bits": 8}, {"cluster_size": 4096, "refcount_bits": 64},
         {"extended_l2": "on"}, {"cluster_size": 2 * MiB}, {"compression_type": "zstd"}]


@requires("qemu-img", "qemu-io")
class Rebase(ConvertTestCase):
    SIZE = 4 * MiB + 512

    def bases(self, size=None, other_size=None):
        """Two images that are not the same everywhere."""
        size = size or self.SIZE
        content = bytearray(random_bytes(size, 1))
        content[MiB:2 * MiB] = bytes(MiB)
        one = Raw(self, bytes(content))
        content = bytearray(random_bytes(other_size or size, 1))
        content[300 * KiB:340 * KiB] = random_bytes(40 * KiB, 2)
        content[3 * MiB:3 * MiB + 64 * KiB] = bytes(64 * KiB)
        path = self.path()
        path.write_bytes(content)
        two = Qcow2(self, len(content))
        check("qemu-img", "convert", "-O", "qcow2", path, two.path)
        two.content[:] = content
        return one, two

    def over(self, base, size=None, **options):
        image = Qcow2(self, size or self.SIZE, backing=base, **options)
        image.write(310 * KiB + 512, 10 * KiB)
        if "compat" not in options:
            image.zero(2 * MiB, 64 * KiB)
        if options.get("refcount_bits", 16) > 2 and "extended_l2" not in options and (
                options.get("cluster_size", 65536) <= 65536):
            image.write(2 * MiB + 512 * KiB, 128 * KiB, compressed=True)
        return image.finish()

    def rebase(self, image, base, *options):
        return self.imgtool_ok("rebase", "--follow-references", "-b", base, *options, image.path,
                               "--json").json

    def assert_over(self, image, base):
        self.assert_image_of(image.path, image.oracle)
        info = qemu_info(image.path)
        self.assertEqual(info.get("backing-filename"), None if base is None else str(base.path))
        self.assertEqual(info.get("backing-filename-format"),
                         None if base is None else base.format)

    def test_there_and_back_and_alone(self):
        for options in KINDS:
            with self.subTest(options=options):
                one, two = self.bases()
                image = self.over(one, **options)
                before = sha256(one.path), sha256(two.path)
                report = self.rebase(image, two.path)
                self.assertEqual(report["backing-format"], "qcow2")
                if options.get("cluster_size") != 2 * MiB:  # of which it has both already
                    self.assertGreater(report["data-bytes"], 0)
                self.assert_over(image, two)
                check("qemu-io", "-c", f"write -P 9 {MiB + 512} 70k", image.path)
                image.content[MiB + 512:MiB + 512 + 70 * KiB] = bytes([9]) * (70 * KiB)
                image.oracle.write_bytes(image.content)
                self.rebase(image, one.path, "-F", "raw")
                self.assert_over(image, one)
                self.rebase(image, "")
                self.assertEqual((sha256(one.path), sha256(two.path)), before)
                one.path.unlink()
                self.assert_over(image, None)
                self.rebase(image, two.path)
                self.assert_over(image, two)

    def test_only_what_differs_is_copied(self):
        one, two = self.bases()
        image = self.over(one)
        report = self.rebase(image, two.path)
        # Of 300 to 340 KiB the image has both clusters; one has zeros from 1 to 2 MiB, two at 3 MiB.
        self.assertEqual(report["data-bytes"], 64 * KiB)
        self.assertEqual(report["zero-bytes"], MiB)
        self.assertEqual(self.rebase(image, two.path)["data-bytes"], 0)
        same = Raw(self, bytes(two.content))
        self.assertEqual(self.rebase(image, same.path)["data-bytes"], 0)
        self.assert_over(image, same)

    def test_bases_of_other_sizes(self):
        for size, other in ((MiB + 512, self.SIZE), (self.SIZE, MiB + 512), (9 * MiB, 2 * MiB),
                            (2 * MiB, 9 * MiB)):
            for options in ({}, {"compat": "0.10"}, {"cluster_size": 2 * MiB}):
                with self.subTest(size=size, other=other, options=options):
                    one, two = self.bases(size, other)
                    image = self.over(one, **options)
                    self.rebase(image, two.path)
                    self.assert_over(image, two)

    def test_agrees_with_qemu(self):
        one, two = self.bases()
        image = self.over(one)
        copy = self.path()
        copy.write_bytes(image.path.read_bytes())
        check("qemu-img", "rebase", "-F", "qcow2", "-b", two.path, copy)
        self.rebase(image, two.path)
        check("qemu-img", "compare", image.path, copy)
        check("qemu-img", "rebase", "-F", "raw", "-b", one.path, image.path)
        self.assert_over(image, one)

    def test_out_of_a_chain(self):
        one, _ = self.bases()
        middle = self.over(one)
        top = Qcow2(self, self.SIZE, backing=middle)
        top.write(3 * MiB, 100 * KiB)
        top.finish()
        self.rebase(top, one.path, "-F", "raw")
        middle.path.unlink()
        self.assert_over(top, one)

    def test_snapshots_and_bitmaps_stay(self):
        one, two = self.bases()
        image = self.over(one, cluster_size=4096)
        check("qemu-img", "bitmap", "--add", image.path, "nightly")
        self.imgtool_ok("snapshot", "-c", "kept", image.path)
        self.rebase(image, two.path)
        self.assert_over(image, two)
        info = qemu_info(image.path)
        self.assertEqual(info["snapshots"][0]["name"], "kept")
        self.assertEqual(info["format-specific"]["data"]["bitmaps"][0]["flags"], ["auto"])

    def test_the_name_alone(self):
        for options in KINDS:
            with self.subTest(options=options):
                one, two = self.bases(512, 512)
                image = Qcow2(self, MiB, backing=one, **options)
                image.finish()
                folder = self.dir / "moved"
                folder.mkdir(exist_ok=True)
                for name in ("moved/one.raw", "m", "a name that is much longer than it was " * 5):
                    if len(name) > 60 and options.get("cluster_size") == 512:
                        name = name[:150]
                    self.imgtool_ok("rebase", "-u", "-F", "raw", "-b", name, image.path)
                    self.assertEqual(qemu_info(image.path)["backing-filename"], name)
                    self.assertEqual(qemu_info(image.path)["backing-filename-format"], "raw")
                report = self.imgtool_ok("rebase", "-u", "-F", "qcow2", "-b", two.path, image.path,
                                         "--json").json
                self.assertTrue(report["only-name"])
                self.assert_clean(image.path)
                self.imgtool_ok("rebase", "--unsafe", "-b", "", image.path)
                self.assertNotIn("backing-filename", qemu_info(image.path))
                self.assert_clean(image.path)

    def test_the_name_is_relative_to_the_image(self):
        one, two = self.bases()
        image = self.over(one)
        self.imgtool_ok("rebase", "--follow-references", "-b", two.path.name, image.path,
                        cwd=pathlib.Path("/"))
        self.assertEqual(qemu_info(image.path)["backing-filename"], two.path.name)
        self.assert_image_of(image.path, image.oracle)

    def assert_unchanged(self, image, code, text, *args):
        before = sha256(image.path)
        result = self.imgtool("rebase", *args, image.path)
        self.assertEqual(result.code, code, result)
        self.assertIn(text, result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assertEqual(sha256(image.path), before)

    def test_what_is_not_safe_is_refused_unchanged(self):
        one, two = self.bases()
        image = self.over(one)
        follow = "--follow-references"
        self.assert_unchanged(image, 2, "-b is missing", follow)
        self.assert_unchanged(image, 2, "needs its format", "-u", "-b", "x")
        self.assert_unchanged(image, 3, follow, "-b", two.path)
        self.assert_unchanged(image, 3, "itself", follow, "-b", image.path)
        self.assert_unchanged(image, 3, "plain file name", follow, "-b", "nbd://host/x")
        self.assert_unchanged(image, 3, "control characters", "-u", "-F", "raw", "-b", "x\ny")
        self.assert_unchanged(image, 1, "1023", "-u", "-F", "raw", "-b", "x" * 1024)
        self.assert_unchanged(image, 1, "o such file", follow, "-b", self.path())
        above = Qcow2(self, self.SIZE, backing=image)
        above.finish()
        self.assert_unchanged(image, 3, "itself", follow, "-b", above.path)
        incompatible = image.header(72, "Q")
        for bit, code, text in ((0, 3, "imgtool check --repair all"),
                                (1, 3, "imgtool check --repair all"), (9, 1, "bit 9")):
            image.patch(72, "Q", incompatible | 1 << bit)
            self.assert_unchanged(image, code, text, follow, "-b", two.path)
            self.assert_unchanged(image, code, text, "-u", "-b", "")
        image.patch(72, "Q", incompatible)
        word = image.header(image.l2 + 32, "Q")
        image.patch(image.l2 + 32, "Q", word ^ 1 << 63)
        self.assert_unchanged(image, 3, "imgtool check --repair all", follow, "-b", two.path)
        small = Qcow2(self, MiB, cluster_size=512)
        small.finish()
        self.assert_unchanged(small, 1, "a shorter one fits", "-u", "-F", "raw", "-b", "x" * 500)

    @requires("strace")
    def test_killed_at_any_moment_it_shows_the_same(self):
        one, two = self.bases()
        image = self.over(one, cluster_size=4096)
        state = image.path.read_bytes()
        count, code, over = 0, -9, set()
        while code != 0:
            count += 4
            image.path.write_bytes(state)
            calls = "pwrite64,ftruncate,fsync,fdatasync"
            code = self.traced_imgtool([f"trace={calls}",
                                        f"inject={calls}:signal=KILL:when={count}"], "rebase",
                                       "--follow-references", "-b", two.path, image.path).code
            over.add(qemu_info(image.path)["backing-filename"])
            self.assert_image_of(image.path, image.oracle)
        self.assertEqual(over, {str(one.path), str(two.path)})


if __name__ == "__main__":
    main()
