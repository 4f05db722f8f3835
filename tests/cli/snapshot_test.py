"""imgtool snapshot: internal snapshots of qcow2 images, in place, beside qemu-img's."""
import json
import os

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, is_sanitized, main, requires, requires_root, sha256
from qcow2_images import Qcow2, make_encrypted, qemu_info

KINDS = [{}, {"compat": "0.10"}, {"cluster_size": 512, "refcount_bits": 2},
         {"cluster_size": 512, "refcount_bits": 64}, {"cluster_size": 4096, "refcount_bits": 8},
         {"extended_l2": "on"}, {"cluster_size": 2 * MiB}, {"lazy_refcounts": "on"},
         {"compression_type": "zstd", "refcount_bits": 32}, {"preallocation": "metadata"}]


def names(path):
    return [entry["name"] for entry in qemu_info(path).get("snapshots", [])]


@requires("qemu-img", "qemu-io")
class Snapshot(ConvertTestCase):
    SIZE = 3 * MiB + 512

    def filled(self, **options):
        image = Qcow2(self, self.SIZE, **options)
        image.write(0, 300 * KiB)
        image.write(self.SIZE - 100 * KiB, 100 * KiB)
        if "compat" not in options:
            image.zero(MiB, 128 * KiB)
        # Streams share clusters, which small refcounts cannot count twice.
        if not {"extended_l2", "preallocation"} & set(options) and (
                options.get("cluster_size", 65536) <= 65536
                and options.get("refcount_bits", 16) > 2):
            image.write(2 * MiB, 256 * KiB, compressed=True)
        return image.finish()

    def write(self, image, *writes):
        """By qemu, as a guest would; the image's oracle follows."""
        for pattern, offset, length in writes:
            check("qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {offset} {length}",
                  image.path)
            image.content[offset:offset + length] = bytes([pattern]) * length
        image.oracle.write_bytes(image.content)

    def assert_snapshot(self, image, name, content):
        raw = self.path()
        check("qemu-img", "convert", "-f", "qcow2", "-O", "raw", "-l", name, image.path, raw)
        self.assertEqual(raw.read_bytes(), bytes(content))
        self.imgtool_ok("convert", "--force", "-O", "raw", "-l", name, image.path, raw)
        self.assertEqual(raw.read_bytes(), bytes(content))

    def test_all_kinds_of_images_go_there_and_back(self):
        for options in KINDS:
            with self.subTest(options=options):
                image = self.filled(**options)
                first = bytes(image.content)
                self.imgtool_ok("snapshot", "-c", "one", image.path)
                self.assert_image_of(image.path, image.oracle)
                self.write(image, (7, 64 * KiB, 200 * KiB), (8, 2 * MiB + 5 * KiB, 9 * KiB))
                second = bytes(image.content)
                self.imgtool_ok("snapshot", "--create", "two", image.path)
                self.write(image, (9, 0, MiB))
                self.assert_image_of(image.path, image.oracle)
                self.assertEqual(names(image.path), ["one", "two"])
                self.assert_snapshot(image, "one", first)
                self.assert_snapshot(image, "two", second)
                self.imgtool_ok("snapshot", "-a", "one", image.path)
                image.oracle.write_bytes(first)
                self.assert_image_of(image.path, image.oracle)
                self.assert_snapshot(image, "two", second)
                self.imgtool_ok("snapshot", "-d", "one", image.path)
                self.assert_image_of(image.path, image.oracle)
                self.imgtool_ok("snapshot", "--apply", "2", image.path)
                self.imgtool_ok("snapshot", "--delete", "2", image.path)
                image.oracle.write_bytes(second)
                self.assert_image_of(image.path, image.oracle)
                self.assertEqual(names(image.path), [])
                image.content[:] = second
                self.write(image, (3, MiB, MiB))
                self.assert_image_of(image.path, image.oracle)

    def test_qemu_goes_on_with_what_imgtool_made_and_the_other_way_round(self):
        for options in KINDS:
            if options.get("refcount_bits") == 2:
                continue  # qemu counts the new use before the old one goes
            with self.subTest(options=options):
                image = self.filled(**options)
                first = bytes(image.content)
                self.imgtool_ok("snapshot", "-c", "ours", image.path)
                self.write(image, (4, 0, 128 * KiB))
                second = bytes(image.content)
                check("qemu-img", "snapshot", "-c", "theirs", image.path)
                self.assert_clean(image.path)
                self.write(image, (5, 32 * KiB, 128 * KiB))
                check("qemu-img", "snapshot", "-a", "ours", image.path)
                image.oracle.write_bytes(first)
                self.assert_image_of(image.path, image.oracle)
                self.imgtool_ok("snapshot", "-a", "theirs", image.path)
                image.oracle.write_bytes(second)
                self.assert_image_of(image.path, image.oracle)
                check("qemu-img", "snapshot", "-d", "ours", image.path)
                self.assert_image_of(image.path, image.oracle)
                self.imgtool_ok("snapshot", "-d", "theirs", image.path)
                self.assert_image_of(image.path, image.oracle)

    def test_the_list_agrees_with_qemu(self):
        image = self.filled()
        self.assertEqual(self.imgtool_ok("snapshot", image.path).out, "")
        self.imgtool_ok("snapshot", "-c", "one", image.path)
        check("qemu-img", "snapshot", "-c", "two", image.path)
        self.imgtool_ok("snapshot", "-d", "one", image.path)
        made = self.imgtool_ok("snapshot", "-c", "three \x1b[31m", image.path, "--json").json
        self.assertEqual(made["created"]["id"], "3")
        listed = self.imgtool_ok("snapshot", "-l", image.path, "--json").json["snapshots"]
        self.assertEqual(listed, qemu_info(image.path)["snapshots"])
        text = self.imgtool_ok("snapshot", image.path).out
        theirs = check("qemu-img", "snapshot", "-l", image.path)
        for entry in listed:
            self.assertRegex(text, rf"(?m)^{entry['id']} ")
            date = theirs.split(entry["name"])[1].split()[2:4]
            self.assertIn(" ".join(date), text)
        self.assertNotIn("\x1b", text)

    def test_the_disk_gets_its_size_back(self):
        image = self.filled()
        self.imgtool_ok("snapshot", "-c", "small", image.path)
        self.imgtool_ok("resize", image.path, 900 * MiB)
        check("qemu-io", "-c", "write -P 1 800M 1M", image.path)
        self.imgtool_ok("snapshot", "-c", "large", image.path)
        self.imgtool_ok("snapshot", "-a", "small", image.path)
        self.assert_image_of(image.path, image.oracle)
        self.imgtool_ok("snapshot", "-a", "large", image.path)
        self.assertEqual(qemu_info(image.path)["virtual-size"], 900 * MiB)
        check("qemu-io", "-r", "-c", "read -P 1 800M 1M", image.path)
        self.assert_clean(image.path)

    def test_a_deleted_snapshot_gives_its_room_back(self):
        image = Qcow2(self, 8 * MiB)
        image.write(0, 8 * MiB)
        image.finish()
        self.imgtool_ok("snapshot", "-c", "one", image.path)
        self.write(image, (1, 0, 8 * MiB))
        self.assertGreater(os.stat(image.path).st_blocks * 512, 16 * MiB)
        self.imgtool_ok("snapshot", "-d", "one", image.path)
        self.assertLess(os.stat(image.path).st_blocks * 512, 9 * MiB)
        self.assert_image_of(image.path, image.oracle)

    def test_over_a_backing_file_and_with_bitmaps(self):
        base = Qcow2(self, 2 * MiB)
        base.write(0, 2 * MiB)
        base.finish()
        image = Qcow2(self, 2 * MiB, backing=base)
        image.write(MiB, 100 * KiB)
        image.finish()
        first = bytes(image.content)
        check("qemu-img", "bitmap", "--add", image.path, "nightly")
        self.imgtool_ok("snapshot", "-c", "one", image.path)
        self.write(image, (6, 0, MiB))
        self.imgtool_ok("snapshot", "-c", "two", image.path)
        self.imgtool_ok("snapshot", "-d", "two", image.path)
        bitmap = qemu_info(image.path)["format-specific"]["data"]["bitmaps"]
        self.assertEqual([(one["name"], one["flags"]) for one in bitmap], [("nightly", ["auto"])])
        self.assert_clean(image.path)
        refused = self.imgtool("snapshot", "-a", "one", image.path)
        self.assert_refused(refused, "imgtool bitmap")
        check("qemu-img", "bitmap", "--remove", image.path, "nightly")
        self.imgtool_ok("snapshot", "-a", "one", image.path)
        image.oracle.write_bytes(first)
        self.assert_image_of(image.path, image.oracle)

    def assert_unchanged(self, path, code, text, *args):
        before = sha256(path)
        result = self.imgtool("snapshot", *args, path)
        self.assertEqual(result.code, code, result)
        self.assertIn(text, result.err)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)
        self.assertEqual(sha256(path), before)

    def test_a_count_that_would_overflow_is_refused_before_anything_changes(self):
        image = self.filled(refcount_bits=1, cluster_size=4096)
        self.assert_unchanged(image.path, 1, "refcount_bits=16", "-c", "one")
        image = self.filled(refcount_bits=2, cluster_size=4096)
        self.imgtool_ok("snapshot", "-c", "one", image.path)
        self.imgtool_ok("snapshot", "-c", "two", image.path)
        self.assert_unchanged(image.path, 1, "2 bits", "-c", "three")
        self.imgtool_ok("snapshot", "-a", "one", image.path)  # one use goes before another comes
        self.assert_image_of(image.path, image.oracle)
        self.assertEqual(names(image.path), ["one", "two"])

    def test_what_is_damaged_or_not_there_is_refused_unchanged(self):
        image = self.filled()
        self.imgtool_ok("snapshot", "-c", "one", image.path)
        self.assert_unchanged(image.path, 3, "'one' already", "-c", "one")
        self.assert_unchanged(image.path, 3, "'1' already", "-c", "1")
        self.assert_unchanged(image.path, 1, "has no snapshot", "-a", "two")
        self.assert_unchanged(image.path, 1, "has no snapshot", "-d", "two")
        self.assert_unchanged(image.path, 2, "exclude each other", "-d", "one", "-c", "two")
        self.assert_unchanged(image.path, 2, "needs a name", "-c", "")
        self.assert_unchanged(image.path, 2, "--force-share", "-U", "-c", "two")
        self.assert_unchanged(image.path, 1, "1 to 255 bytes", "-c", "n" * 256)
        incompatible = image.header(72, "Q")
        for bit, code, text in ((0, 3, "imgtool check --repair all"),
                                (1, 3, "imgtool check --repair all"), (9, 1, "bit 9")):
            image.patch(72, "Q", incompatible | 1 << bit)
            for args in (["-c", "two"], ["-a", "one"], ["-d", "one"]):
                self.assert_unchanged(image.path, code, text, *args)
        image.patch(72, "Q", incompatible)
        l2 = image.header(image.header(40, "Q"), "Q") & (1 << 56) - 512
        word = image.header(l2, "Q")
        image.patch(l2, "Q", word ^ 1 << 63)
        for args in (["-c", "two"], ["-a", "one"], ["-d", "one"]):
            self.assert_unchanged(image.path, 3, "imgtool check --repair all", *args)
        raw = self.dense_image(MiB)
        self.assert_unchanged(raw, 1, "only qcow2 images have snapshots", "-c", "two")
        data = self.path("data.raw")
        external = self.path("external.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={data}", external, "1M")
        self.assert_unchanged(external, 1, "external data file", "-c", "two")

    def test_an_encrypted_disk_has_snapshots_too(self):
        path = self.path()
        make_encrypted(path, format="luks", iter_time=10)
        self.imgtool_ok("snapshot", "-c", "one", path)
        self.assertEqual(names(path), ["one"])
        self.assert_clean_with_secret(path)
        self.imgtool_ok("snapshot", "-d", "one", path)
        self.assert_clean_with_secret(path)

    def assert_clean_with_secret(self, path):
        check("qemu-img", "check", "--object", "secret,id=s,data=abc", "--image-opts",
              f"driver=qcow2,file.filename={path},encrypt.key-secret=s")
        self.imgtool_ok("check", path)

    def test_tables_in_a_hole_of_the_file_take_no_time(self):
        image = Qcow2(self, 16 << 40)  # an L1 table of 32768 entries
        first = -(-os.path.getsize(image.path) // 65536) + 1
        with open(image.path, "r+b") as file:
            file.seek(image.l1)
            file.write(b"".join(((first + number) << 16).to_bytes(8, "big")
                                for number in range(32768)))
            file.truncate((first + 32768) << 16)
        self.imgtool("check", "--repair", "all", image.path)
        self.imgtool_ok("check", image.path)
        began = os.times().children_user + os.times().children_system
        self.imgtool_ok("snapshot", "-c", "one", image.path)
        self.imgtool_ok("snapshot", "-a", "one", image.path)
        self.imgtool_ok("snapshot", "-d", "one", image.path)
        spent = os.times().children_user + os.times().children_system - began
        self.assertLess(spent, 60 if is_sanitized() else 6)
        self.imgtool_ok("check", image.path)

    @requires_root
    def test_on_a_disk(self):
        disk = self.loop_device(self.backing_file(16 * MiB))
        check("qemu-img", "create", "-q", "-f", "qcow2", disk, "8M")
        check("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 2M", disk)
        self.imgtool_ok("snapshot", "-c", "one", disk)
        check("qemu-io", "-f", "qcow2", "-c", "write -P 6 0 1M", disk)
        self.imgtool_ok("snapshot", "-a", "one", disk)
        self.imgtool_ok("snapshot", "-d", "one", disk)
        check("qemu-io", "-r", "-f", "qcow2", "-c", "read -P 5 0 2M", disk)
        self.assert_clean(disk)

    def test_many_snapshots(self):
        image = self.filled(cluster_size=512)
        for number in range(1, 21):
            self.imgtool_ok("snapshot", "-c", f"a name that is long enough {number}", image.path)
            self.write(image, (number, number * 4096, 6000))
        self.assert_image_of(image.path, image.oracle)
        self.assertEqual(len(json.loads(check("qemu-img", "info", "--output=json",
                                              image.path))["snapshots"]), 20)
        for number in range(20, 0, -1):
            self.imgtool_ok("snapshot", "-d", str(number), image.path)
        self.assert_image_of(image.path, image.oracle)


if __name__ == "__main__":
    main()
