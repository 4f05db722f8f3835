"""imgtool bitmap: persistent bitmaps of qcow2 images, beside qemu-img's."""
from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, requires, sha256
from nbd_testing import dirty_ranges
from qcow2_images import Qcow2, qemu_info

KINDS = [{}, {"cluster_size": 512, "refcount_bits": 1}, {"cluster_size": 512, "refcount_bits": 64},
         {"cluster_size": 4096, "refcount_bits": 8}, {"extended_l2": "on"},
         {"cluster_size": 2 * MiB}, {"compression_type": "zstd"}]


def bitmaps(path):
    return {one["name"]: (one["granularity"], one["flags"]) for one in
            qemu_info(path)["format-specific"]["data"].get("bitmaps", [])}


@requires("qemu-img", "qemu-io", "qemu-nbd")
class Bitmap(ConvertTestCase):
    SIZE = 3 * MiB + 512

    def made(self, size=None, **options):
        return Qcow2(self, size or self.SIZE, **options).finish()

    def bitmap(self, image, name, *actions):
        report = self.imgtool_ok("bitmap", image.path, name, *actions, "--json").json
        self.assert_clean(image.path)
        return report["bitmap"]

    def marked(self, image, name):
        """The ranges that qemu finds in it, which it does not change."""
        flags = bitmaps(image.path)[name][1]
        ranges = dirty_ranges(self, image.path, name)
        self.assertEqual(bitmaps(image.path)[name][1], flags)
        return ranges

    def write(self, image, *ranges):
        for offset, length in ranges:
            check("qemu-io", "-c", f"write -P 3 {offset} {length}", image.path)

    def test_all_kinds_of_images(self):
        for options in KINDS:
            with self.subTest(options=options):
                image = self.made(**options)
                made = self.bitmap(image, "nightly", "--add", "-g", "4K")
                self.assertEqual(made, {"name": "nightly", "granularity": 4096, "flags": ["auto"]})
                self.write(image, (512 * KiB, 5000))
                self.assertEqual(self.marked(image, "nightly"), [(512 * KiB, 8192)])
                self.bitmap(image, "week", "--add", "--disable")
                self.bitmap(image, "week", "--merge", "nightly")
                granularity = bitmaps(image.path)["week"][0]
                end = 512 * KiB + -(-8192 // granularity) * granularity
                begin = 512 * KiB // granularity * granularity
                expected = [(begin, min(end, self.SIZE) - begin)]
                self.assertEqual(self.marked(image, "week"), expected)
                self.bitmap(image, "nightly", "--clear")
                self.assertEqual(self.marked(image, "nightly"), [])
                self.write(image, (0, 512), (self.SIZE - 512, 512))
                self.assertEqual(self.marked(image, "nightly"), [(0, 4096), (3 * MiB, 512)])
                self.assertEqual(self.marked(image, "week"), expected)
                self.bitmap(image, "week", "--remove")
                self.assertIsNone(self.bitmap(image, "nightly", "--remove"))
                self.assertEqual(bitmaps(image.path), {})

    def test_qemu_goes_on_with_them_and_the_other_way_round(self):
        image = self.made()
        self.bitmap(image, "ours", "--add")
        check("qemu-img", "bitmap", "--add", "-g", "32K", image.path, "theirs")
        self.write(image, (MiB, 100 * KiB))
        self.bitmap(image, "ours", "--merge", "theirs", "--disable")
        check("qemu-img", "bitmap", "--merge", "ours", "--disable", image.path, "theirs")
        self.assertEqual(bitmaps(image.path), {"ours": (64 * KiB, []), "theirs": (32 * KiB, [])})
        self.write(image, (0, 512))
        self.assertEqual(self.marked(image, "ours"), [(MiB, 128 * KiB)])
        self.assertEqual(self.marked(image, "theirs"), [(MiB, 128 * KiB)])
        self.bitmap(image, "theirs", "--enable")
        check("qemu-img", "bitmap", "--enable", image.path, "ours")
        self.assertEqual(bitmaps(image.path), {"ours": (64 * KiB, ["auto"]),
                                               "theirs": (32 * KiB, ["auto"])})
        check("qemu-img", "bitmap", "--remove", image.path, "ours")
        self.bitmap(image, "theirs", "--remove")
        self.assertEqual(bitmaps(image.path), {})

    def test_merging_takes_every_bit(self):
        image = self.made(cluster_size=512)
        for number, granularity in enumerate((512, 4096, 64 * KiB)):
            self.bitmap(image, f"b{number}", "--add", "-g", granularity)
        ranges = [(at * 37 * KiB // 512 * 512, 512 * (1 + at % 5)) for at in range(80)]
        self.write(image, *ranges)
        for target, granularity in (("fine", 512), ("rough", MiB)):
            for number in range(3):
                self.bitmap(image, f"{target}{number}", "--add", "-g", granularity, "--disable")
                ours = f"{target}{number}"
                self.bitmap(image, ours, "--merge", f"b{number}")
                check("qemu-img", "bitmap", "--add", "--disable", "-g", str(granularity),
                      "--merge", f"b{number}", image.path, f"theirs{ours}")
                self.assertEqual(self.marked(image, ours), self.marked(image, f"theirs{ours}"))

    def test_from_another_image(self):
        one, two, other = self.made(), self.made(), self.made(MiB)
        for image in (one, two, other):
            self.bitmap(image, "b", "--add")
        self.write(one, (0, 512))
        self.write(two, (MiB, 512))
        before = sha256(two.path)
        self.bitmap(one, "b", "--merge", "b", "-b", two.path)
        self.assertEqual(sha256(two.path), before)
        self.assertEqual(self.marked(one, "b"), [(0, 64 * KiB), (MiB, 64 * KiB)])
        self.assert_unchanged(one, 3, "cannot be merged", "b", "--merge", "b", "-b", other.path)
        self.assert_unchanged(one, 3, "no bitmap 'c'", "b", "--merge", "c", "-b", two.path)
        self.assert_unchanged(one, 2, "another image", "b", "--merge", "b", "-b", one.path)
        raw = self.dense_image(MiB)
        self.assert_unchanged(one, 1, "only qcow2", "b", "--merge", "b", "-b", raw)

    def test_several_changes_are_made_in_their_order_or_none(self):
        image = self.made()
        self.bitmap(image, "old", "--add")
        self.write(image, (0, 512))
        self.bitmap(image, "new", "--add", "--merge", "old", "--disable")
        self.assertEqual(self.marked(image, "new"), [(0, 64 * KiB)])
        self.assert_unchanged(image, 3, "no bitmap 'none'", "third", "--add", "--merge", "none")
        self.bitmap(image, "new", "--remove", "--add", "-g", "1M")
        self.assertEqual(bitmaps(image.path)["new"], (MiB, ["auto"]))
        self.assertEqual(self.marked(image, "new"), [])

    def test_one_that_was_not_closed_can_only_be_removed(self):
        image = self.made()
        self.bitmap(image, "b", "--add")
        self.bitmap(image, "good", "--add")
        directory = image.path.read_bytes().index(b"b\0\0\0\0\0\0\0", 65536) - 24
        image.patch(directory + 12, "I", 3)
        self.assertEqual(bitmaps(image.path)["b"][1], ["in-use", "auto"])
        for action in (["--enable"], ["--disable"], ["--clear"], ["--merge", "good"]):
            self.assert_unchanged(image, 3, "cannot be trusted", "b", *action)
        self.assert_unchanged(image, 3, "cannot be trusted", "good", "--merge", "b")
        self.bitmap(image, "good", "--disable")
        self.assertEqual(bitmaps(image.path)["b"][1], ["in-use", "auto"])
        self.bitmap(image, "b", "--remove")
        self.assertEqual(list(bitmaps(image.path)), ["good"])

    def test_those_that_another_program_left_behind_are_dropped(self):
        image = self.made()
        self.bitmap(image, "stale", "--add")
        image.patch(88, "Q", 0)
        self.imgtool_ok("bitmap", image.path, "fresh", "--add")
        self.assertEqual(list(bitmaps(image.path)), ["fresh"])
        self.assertEqual(self.imgtool("check", "--repair", "leaks", image.path).code, 0)
        self.assert_clean(image.path)

    def assert_unchanged(self, image, code, text, *args):
        before = sha256(image.path)
        result = self.imgtool("bitmap", image.path, *args)
        self.assertEqual(result.code, code, result)
        self.assertIn(text, result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assertEqual(sha256(image.path), before)

    def test_what_cannot_be_is_refused_unchanged(self):
        image = self.made()
        self.bitmap(image, "b", "--add")
        self.assert_unchanged(image, 3, "'b' already", "b", "--add")
        self.assert_unchanged(image, 2, "say what to do", "b")
        self.assert_unchanged(image, 2, "power of two", "c", "--add", "-g", "3000")
        self.assert_unchanged(image, 2, "power of two", "c", "--add", "-g", "4G")
        self.assert_unchanged(image, 2, "-g needs --add", "b", "--clear", "-g", "4K")
        self.assert_unchanged(image, 2, "need --merge", "b", "--clear", "-b", image.path)
        self.assert_unchanged(image, 1, "1 to 1023", "n" * 1024, "--add")
        self.assert_unchanged(image, 1, "1 to 1023", "", "--add")
        for action in ("--remove", "--clear", "--enable"):
            self.assert_unchanged(image, 3, "no bitmap 'c'", "c", action)
        incompatible = image.header(72, "Q")
        for bit, code, text in ((0, 3, "imgtool check --repair all"),
                                (1, 3, "imgtool check --repair all"), (9, 1, "bit 9")):
            image.patch(72, "Q", incompatible | 1 << bit)
            self.assert_unchanged(image, code, text, "c", "--add")
        old = self.made(compat="0.10")
        self.assert_unchanged(old, 1, "version 2", "b", "--add")
        large = Qcow2(self, 1 << 44)
        self.assert_unchanged(large, 1, "larger granularity", "b", "--add", "-g", "512")
        self.imgtool_ok("bitmap", large.path, "b", "--add", "-g", "64K")
        self.assert_clean(large.path)

    def test_they_stay_when_the_image_is_put_over_another_base(self):
        base = self.made()
        image = Qcow2(self, self.SIZE, backing=base).finish()
        self.bitmap(image, "b", "--add")
        self.write(image, (0, 512))
        self.imgtool_ok("rebase", "--follow-references", "-b", "", image.path)
        self.assertEqual(self.marked(image, "b"), [(0, 64 * KiB)])
        self.assert_clean(image.path)


if __name__ == "__main__":
    main()
