"""imgtool commit: what an overlay holds is written into an image that it lies over."""
import os

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, random_bytes, requires, requires_root, sha256
from nbd_testing import dirty_ranges
from qcow2_images import Qcow2, Raw, make_encrypted, qemu_info

KINDS = [{}, {"compat": "0.10"}, {"cluster_size": 512, "refcount_bits": 1},
         {"cluster_size": 4096, "refcount_bits": 64}, {"extended_l2": "on"},
         {"cluster_size": 2 * MiB}, {"compression_type": "zstd"}, {"lazy_refcounts": "on"}]


@requires("qemu-img", "qemu-io", "qemu-nbd")
class Commit(ConvertTestCase):
    SIZE = 4 * MiB + 512

    def base(self, size=None, backing=None, **options):
        image = Qcow2(self, size or self.SIZE, backing=backing, **options)
        image.write(0, 700 * KiB)
        if options.get("refcount_bits", 16) > 2 and "extended_l2" not in options and (
                options.get("cluster_size", 65536) <= 65536):
            image.write(MiB, 256 * KiB, compressed=True)
        image.write(2 * MiB + 5 * KiB, 300 * KiB)
        return image.finish()

    def overlay(self, base, size=None, **options):
        size = size or self.SIZE
        image = Qcow2(self, size, backing=base, **options)
        image.write(100 * KiB + 512, 200 * KiB)
        image.write(MiB + 70 * KiB, 64 * KiB)
        if "compat" not in options:
            image.zero(2 * MiB, 128 * KiB)
        if options.get("refcount_bits", 16) > 2 and "extended_l2" not in options and (
                options.get("cluster_size", 65536) <= 65536):
            image.write(3 * MiB, 128 * KiB, compressed=True)
        image.write(size - 512, 512)
        return image.finish()

    def commit(self, image, *options):
        return self.imgtool_ok("commit", "--follow-references", *options, image.path,
                               "--json").json

    def assert_committed(self, image, base, content=None):
        expected = self.path()
        expected.write_bytes(bytes(image.content) if content is None else content)
        if base.format == "raw":
            self.assertEqual(base.path.read_bytes(), expected.read_bytes())
        else:
            self.assert_image_of(base.path, expected)
        self.assert_clean(image.path)
        shown = self.path()
        check("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image.path, shown)
        self.assertEqual(shown.read_bytes(), bytes(image.content))

    def test_all_kinds_into_all_kinds(self):
        for number, base_options in enumerate(KINDS):
            for options in (KINDS[number], KINDS[(number + 3) % len(KINDS)]):
                with self.subTest(base=base_options, overlay=options):
                    base = self.base(**base_options)
                    image = self.overlay(base, **options)
                    result = self.commit(image)
                    self.assertTrue(result["emptied"])
                    self.assertEqual(result["base"], str(base.path))
                    self.assert_committed(image, base)
                    owned = [part for part in self.imgtool_ok(
                        "map", "--follow-references", "--json", image.path).json
                        if part["depth"] == 0 and part["present"]]
                    self.assertEqual(owned, [])
                    check("qemu-io", "-c", f"write -P 5 0 {MiB}", image.path)
                    self.assert_clean(image.path)

    def test_into_raw_images(self):
        for size in (self.SIZE, MiB + 512, 6 * MiB):
            with self.subTest(size=size):
                base = Raw(self, random_bytes(size))
                image = self.overlay(base)
                result = self.commit(image)
                self.assertEqual(result["size-before"], size)
                self.assertEqual(result["size"], max(size, self.SIZE))
                self.assert_committed(image, base, bytes(image.content) + base.content[self.SIZE:])

    @requires_root
    def test_into_a_disk(self):
        disk = self.loop_device(self.backing_file(8 * MiB))
        image = self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", image)
        check("qemu-io", "-c", "write -P 7 1M 1M", "-c", "write -z 3M 1M", image)
        wanted = self.path()
        check("qemu-img", "convert", "-O", "raw", image, wanted)
        self.imgtool_ok("commit", "--follow-references", image)
        check("qemu-img", "compare", "-f", "raw", "-F", "raw", wanted, disk)
        longer = self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", longer, "9M")
        self.assert_refused(self.imgtool("commit", "--follow-references", longer), "fewer than")

    def test_the_base_grows_and_a_longer_one_keeps_its_end(self):
        for size in (MiB, 9 * MiB + 1024):
            for options in KINDS:
                with self.subTest(size=size, options=options):
                    base = Qcow2(self, size, **options)
                    base.write(0, size)
                    base.finish()
                    image = self.overlay(base)
                    result = self.commit(image)
                    self.assertEqual(result["size"], max(size, self.SIZE))
                    rest = bytes(base.content[self.SIZE:])
                    self.assert_committed(image, base, bytes(image.content) + rest)

    def test_snapshots_of_the_base_and_of_the_overlay_stay(self):
        base = self.base(cluster_size=4096)
        check("qemu-img", "snapshot", "-c", "old", base.path)
        image = self.overlay(base, cluster_size=512)
        self.imgtool_ok("snapshot", "-c", "own", image.path)
        self.commit(image)
        self.assert_committed(image, base)
        raw = self.path()
        check("qemu-img", "convert", "-l", "old", "-O", "raw", base.path, raw)
        self.assertEqual(raw.read_bytes(), bytes(base.content))
        check("qemu-img", "convert", "-l", "own", "-O", "raw", image.path, raw)
        self.assertEqual(raw.read_bytes(), bytes(image.content))

    def test_agrees_with_qemu(self):
        base = self.base()
        image = self.overlay(base)
        theirs = self.path("theirs.qcow2")
        theirs.write_bytes(base.path.read_bytes())
        copy = self.path("copy.qcow2")
        copy.write_bytes(image.path.read_bytes())
        check("qemu-img", "rebase", "-u", "-F", "qcow2", "-b", theirs, copy)
        check("qemu-img", "commit", copy)
        self.commit(image)
        check("qemu-img", "compare", base.path, theirs)
        check("qemu-img", "compare", image.path, copy)

    def test_with_d_the_overlay_keeps_what_it_has(self):
        base = self.base()
        image = self.overlay(base)
        before = sha256(image.path)
        self.assertFalse(self.commit(image, "--keep")["emptied"])
        self.assertEqual(sha256(image.path), before)
        self.assert_committed(image, base)
        # Again, as after one that was killed before it emptied the overlay.
        self.assertTrue(self.commit(image)["emptied"])
        self.assert_committed(image, base)

    def test_down_a_chain(self):
        for size in (self.SIZE, 2 * MiB):  # a shorter one in the middle hides what is below
            base = self.base()
            middle = Qcow2(self, size, backing=base)
            middle.write(MiB, 512 * KiB)
            middle.finish()
            top = self.overlay(middle)
            before = sha256(top.path), sha256(middle.path)
            result = self.commit(top, "-b", base.path)
            self.assertFalse(result["emptied"])
            self.assertEqual((sha256(top.path), sha256(middle.path)), before)
            self.assert_committed(top, base)
        near = self.overlay(self.base())
        self.assertFalse(self.commit(near, "-b", qemu_info(near.path)["backing-filename"])["emptied"])
        other = self.base()
        self.assert_refused(self.imgtool("commit", "--follow-references", "-b", other.path,
                                         top.path), "does not lie over that base")

    def test_over_a_base_that_lies_over_another_one(self):
        lowest = Raw(self, random_bytes(self.SIZE, 5))
        for options in ({}, {"compat": "0.10"}, {"extended_l2": "on"}):
            base = self.base(backing=lowest, **options)
            image = self.overlay(base)
            image.zero(0, 64 * KiB)
            image.finish()
            self.commit(image)
            expected = self.path()
            expected.write_bytes(bytes(image.content))
            self.assert_image_of(base.path, expected)
            self.assertEqual(lowest.path.read_bytes(), lowest.content)

    def assert_unchanged(self, image, base, code, *words, args=()):
        before = sha256(image.path), sha256(base.path)
        result = self.imgtool("commit", "--follow-references", *args, image.path)
        self.assertEqual(result.code, code, result)
        for word in words:
            self.assertIn(word, result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assertEqual((sha256(image.path), sha256(base.path)), before)

    def test_what_is_not_safe_is_refused_unchanged(self):
        base = self.base()
        image = self.overlay(base)
        before = sha256(base.path)
        self.assert_refused(self.imgtool("commit", image.path), "--follow-references", base.path)
        self.assertEqual(sha256(base.path), before)
        self.assert_unchanged(base, base, 3, "has no backing file")
        for damaged in (image, base):
            incompatible = damaged.header(72, "Q")
            for bit, code, text in ((0, 3, "imgtool check --repair all"),
                                    (1, 3, "imgtool check --repair all"), (9, 1, "bit 9")):
                damaged.patch(72, "Q", incompatible | 1 << bit)
                self.assert_unchanged(image, base, code, text, str(damaged.path))
            damaged.patch(72, "Q", incompatible)
            word = damaged.header(damaged.l2 + 16, "Q")
            damaged.patch(damaged.l2 + 16, "Q", word ^ 1 << 63)
            self.assert_unchanged(image, base, 3, "imgtool check --repair all", str(damaged.path))
            damaged.patch(damaged.l2 + 16, "Q", word)
        check("qemu-img", "bitmap", "--add", base.path, "nightly")
        longer = Qcow2(self, 2 * self.SIZE, backing=base).finish()
        self.assert_unchanged(longer, base, 3, "bitmaps")

    def test_bitmaps_of_the_base_record_what_is_written(self):
        base = Qcow2(self, 4 * MiB).finish()
        for name, options in (("nightly", []), ("fine", ["-g", "512"]), ("off", ["--disable"])):
            check("qemu-img", "bitmap", "--add", *options, base.path, name)
        image = Qcow2(self, 4 * MiB, backing=base, cluster_size=4096)
        image.write(512, 512)
        image.write(MiB, 512)
        image.finish()
        self.commit(image)
        self.assert_committed(image, base)
        self.assertEqual(dirty_ranges(self, base.path, "nightly"),
                         [(0, 64 * KiB), (MiB, 64 * KiB)])
        self.assertEqual(dirty_ranges(self, base.path, "fine"), [(0, 64 * KiB), (MiB, 64 * KiB)])
        self.assertEqual(dirty_ranges(self, base.path, "off"), [])

    def test_a_backing_file_that_is_none(self):
        base = self.base()
        image = self.overlay(base)
        for name, text in ((f"json:{{\"file\":\"{base.path}\"}}", "plain file name"),
                           (str(image.path), "same chain"), ("/dev/zero", "neither a file")):
            check("qemu-img", "rebase", "-u", "-F", "qcow2", "-b", name, image.path)
            result = self.imgtool("commit", "--follow-references", image.path)
            self.assertIn(result.code, (1, 3), result)
            self.assertIn(text, result.err)

    def test_an_encrypted_base_is_refused(self):
        base = self.path()
        make_encrypted(base, format="luks", iter_time=10)
        image = self.path()
        check("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", base, "-F", "qcow2", image,
              "1M")
        before = sha256(base)
        result = self.imgtool("commit", "--follow-references", image)
        self.assertEqual(result.code, 1, result)
        self.assertIn("encrypted", result.err)
        self.assertEqual(sha256(base), before)

    def test_bitmaps_of_the_overlay_stay(self):
        base = self.base()
        image = self.overlay(base)
        check("qemu-img", "bitmap", "--add", image.path, "nightly")
        self.commit(image)
        self.assert_committed(image, base)
        bitmap = qemu_info(image.path)["format-specific"]["data"]["bitmaps"]
        self.assertEqual([(one["name"], one["flags"]) for one in bitmap], [("nightly", ["auto"])])

    def test_room_is_given_back(self):
        base = Qcow2(self, 8 * MiB)
        base.finish()
        image = Qcow2(self, 8 * MiB, backing=base)
        image.write(0, 8 * MiB)
        image.finish()
        self.commit(image)
        self.assertLess(os.path.getsize(image.path), MiB)
        self.assertLess(os.path.getsize(base.path), 9 * MiB)

    @requires("strace")
    def test_killed_at_any_moment_the_overlay_is_whole_and_it_can_be_done_again(self):
        base = self.base(cluster_size=4096)
        image = self.overlay(base, cluster_size=4096)
        states = image.path.read_bytes(), base.path.read_bytes()
        count, code = 0, -9
        while code != 0:
            count += 3
            image.path.write_bytes(states[0])
            base.path.write_bytes(states[1])
            calls = "pwrite64,ftruncate,fsync,fdatasync"
            code = self.traced_imgtool([f"trace={calls}",
                                        f"inject={calls}:signal=KILL:when={count}"],
                                       "commit", "--follow-references", image.path).code
            self.assert_clean(image.path)
            self.assert_clean(base.path)
            check("qemu-img", "compare", "-F", "raw", image.path, image.oracle)
            self.commit(image)
            self.assert_committed(image, base)
        self.assertGreater(count, 15)


if __name__ == "__main__":
    main()
