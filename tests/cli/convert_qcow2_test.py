"""imgtool convert to qcow2: what qemu reads from it, for every option; and the same bytes always."""
import os

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, engines, main, random_bytes, requires, run, sha256
from qcow2_images import Qcow2, qemu_info, qemu_map

PLAIN = [
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=2K,refcount_bits=1",
    "cluster_size=4K,refcount_bits=64",
    "cluster_size=2M",
    "refcount_bits=8,lazy_refcounts=on",
    "extended_l2=on,cluster_size=128K",
    "extended_l2=on,cluster_size=16K,compression_type=zstd",
    "preallocation=metadata",
    "preallocation=metadata,extended_l2=on",
    "preallocation=metadata,compat=0.10,cluster_size=1K",
    "preallocation=falloc",
    "preallocation=full,cluster_size=4K",
]
COMPRESSED = [
    ("cluster_size=512", "--level", "12"),
    ("cluster_size=4K,refcount_bits=1",),
    ("cluster_size=8K,refcount_bits=2,compat=1.1", "--codec", "zstd"),
    ("refcount_bits=32", "--level", "1"),
    ("compat=0.10", "--deflate-window", "4K", "--level", "9"),
    ("cluster_size=2M", "--codec", "zstd", "--level", "19"),
    ("extended_l2=on", "--codec", "zstd"),
    ("cluster_size=1M",),
]


@requires("qemu-img", "qemu-io")
class ToQcow2(ConvertTestCase):
    def round_trip(self, source, *options):
        image = self.path()
        report = self.convert(source, image, "-O", "qcow2", *options)
        self.assertEqual(report["file-bytes"], os.path.getsize(image))
        self.assert_image_of(image, source)
        back = self.path()
        self.convert(image, back, "-O", "raw")
        self.assert_same_content(back, source)
        return image

    def test_plain_images_with_all_options(self):
        source = self.mixed_image(3 * MiB + 1536)
        for options in PLAIN:
            with self.subTest(options=options):
                self.round_trip(source, "-o", options)

    def test_compressed_images_with_all_options(self):
        source = self.mixed_image(3 * MiB + 1536)
        for options, *more in COMPRESSED:
            with self.subTest(options=options, more=more):
                self.round_trip(source, "-c", "-o", options, *more)

    def test_odd_sizes(self):
        for size in (1, 511, 512, 65536, 65537, MiB - 512, MiB + 1):
            for options in ([], ["-c"], ["-o", "preallocation=metadata"]):
                with self.subTest(size=size, options=options):
                    source = self.mixed_image(size)
                    image = self.path()
                    self.convert(source, image, "-O", "qcow2", *options)
                    self.assert_image_of(image, source)

    def test_what_the_header_says(self):
        image = self.path()
        options = "extended_l2=on,lazy_refcounts=on,refcount_bits=8,compression_type=zstd"
        self.convert(self.mixed_image(MiB), image, "-O", "qcow2", "-o", options)
        data = qemu_info(image)["format-specific"]["data"]
        self.assertEqual(data, {"compat": "1.1", "compression-type": "zstd", "corrupt": False,
                                "extended-l2": True, "lazy-refcounts": True, "refcount-bits": 8})

    def test_zeros_take_no_space_and_are_not_read(self):
        source = self.sparse_image(1 << 40, {0: MiB, 700 << 30: 100 * KiB})
        for options in ([], ["-c"]):
            image = self.path()
            report = self.convert(source, image, "-O", "qcow2", *options)
            self.assert_clean(image)
            self.assertLess(report["file-bytes"], 2 * MiB)
            self.assertEqual(report["size"], 1 << 40)
            stored = [e for e in qemu_map(image) if e["data"]]
            self.assertEqual(sum(entry["length"] for entry in stored), MiB + 128 * KiB)

    def test_stored_zeros_take_no_space_either(self):
        source = self.path()
        source.write_bytes(random_bytes(64 * KiB) + bytes(8 * MiB))
        image = self.path()
        report = self.convert(source, image, "-O", "qcow2")
        self.assertEqual(report["data-bytes"], 64 * KiB)
        self.assert_image_of(image, source)

    def test_preallocated_space_is_there(self):
        source = self.mixed_image(4 * MiB)
        for kind, least in (("metadata", 0), ("falloc", 4 * MiB), ("full", 4 * MiB)):
            with self.subTest(kind=kind):
                image = self.round_trip(source, "-o", f"preallocation={kind}")
                self.assertGreaterEqual(os.path.getsize(image), 4 * MiB)
                self.assertGreaterEqual(os.stat(image).st_blocks * 512, least)
                places = [entry["offset"] for entry in qemu_map(image)]
                self.assertEqual(len(places), len(set(places)))
                total = sum(entry["length"] for entry in qemu_map(image))
                self.assertEqual(total, 4 * MiB)

    def test_the_same_bytes_for_any_threads_and_engine(self):
        source = self.mixed_image(7 * MiB)
        kinds = {"plain": [], "zlib": ["-c"], "zstd": ["-c", "--codec", "zstd"],
                 "small": ["-c", "-o", "cluster_size=4K"]}
        for kind, options in kinds.items():
            digests = {}
            for engine in engines():
                for threads in (1, 2, 7):
                    image = self.path()
                    self.convert(source, image, "-O", "qcow2", *options, "--threads", threads,
                                 "--io-engine", engine)
                    digests[engine, threads] = sha256(image)
            self.assertEqual(len(set(digests.values())), 1, f"{kind}: {digests}")

    def test_the_same_bytes_whatever_the_source_is_stored_as(self):
        source = self.mixed_image(6 * MiB)
        dense, thin = self.path(), self.path()
        dense.write_bytes(source.read_bytes())
        check("cp", "--sparse=always", source, thin)
        as_qcow2 = self.path()
        check("qemu-img", "convert", "-c", "-O", "qcow2", source, as_qcow2)
        digests = set()
        for one in (dense, thin, as_qcow2):
            image = self.path()
            self.convert(one, image, "-O", "qcow2", "-c")
            digests.add(sha256(image))
        self.assertEqual(len(digests), 1)

    def test_smaller_than_qemus(self):
        source = self.mixed_image(8 * MiB)
        for codec in ("zlib", "zstd"):
            ours, theirs = self.path(), self.path()
            self.convert(source, ours, "-O", "qcow2", "-c", "--codec", codec)
            check("qemu-img", "convert", "-c", "-O", "qcow2", "-o", f"compression_type={codec}",
                  source, theirs)
            self.assertLessEqual(os.path.getsize(ours), os.path.getsize(theirs), codec)

    def test_the_window_of_deflate(self):
        source = self.path()
        source.write_bytes(random_bytes(16 * KiB) * 64)  # repeats itself only after 16 KiB
        wide, narrow = self.path(), self.path()
        wide_report = self.convert(source, wide, "-O", "qcow2", "-c")
        narrow_report = self.convert(source, narrow, "-O", "qcow2", "-c", "--deflate-window", "4K")
        self.assert_image_of(wide, source)
        self.assert_image_of(narrow, source)
        self.assertLess(wide_report["file-bytes"], 700 * KiB)
        self.assertGreater(narrow_report["file-bytes"], MiB)

    def test_a_guest_can_go_on_writing(self):
        source = self.mixed_image(4 * MiB)
        for options in (["-c"], ["-o", "extended_l2=on"], ["-o", "preallocation=metadata"]):
            with self.subTest(options=options):
                image = self.round_trip(source, *options)
                commands = ["write -P 0x5a 100K 300K", "write -P 0x5b 3M 64K", "discard 2M 64K",
                            "read -P 0x5a 100K 300K", "read -P 0x5b 3M 64K"]
                script = "\n".join(commands + ["quit", ""]).encode()
                result = run(["qemu-io", "-f", "qcow2", image], input=script)
                self.assertNotIn("failed", result.out + result.err)
                self.assert_clean(image)

    def test_a_pattern_of_qemu_io_arrives(self):
        source = Qcow2(self, 8 * MiB).path
        check("qemu-io", "-c", "write -P 0xc3 1M 200K", "-c", "write -P 0x3c 7M 1M", source)
        for options in ([], ["-c"], ["-c", "--codec", "zstd"]):
            image = self.path()
            self.convert(source, image, "-O", "qcow2", *options)
            out = check("qemu-io", "-c", "read -P 0xc3 1M 200K", "-c", "read -P 0x3c 7M 1M",
                        "-c", "read -P 0 1300K 5000K", image)
            self.assertNotIn("failed", out)

    def test_from_an_internal_snapshot(self):
        image = Qcow2(self, 2 * MiB)
        image.write(0, MiB)
        image.finish()
        then = image.oracle
        check("qemu-img", "snapshot", "-c", "before", image.path)
        image.write(512 * KiB, MiB)
        image.finish()
        for snapshot, content in ((["-l", "before"], then), ([], image.oracle)):
            target = self.path()
            self.convert(image.path, target, "-O", "qcow2", "-c", *snapshot)
            self.assert_image_of(target, content)

    def test_what_stays_behind_is_told(self):
        image = Qcow2(self, 2 * MiB)
        image.write(0, MiB)
        image.finish()
        target = self.path()
        self.assertEqual(self.imgtool_ok("convert", image.path, target).err, "")
        check("qemu-img", "bitmap", "--add", image.path, "backup0")
        check("qemu-img", "bitmap", "--add", image.path, "backup1")
        told = self.imgtool_ok("convert", image.path, target, "--force", "-O", "qcow2").err
        self.assertIn("the 2 bitmaps of the source are not in the new image", told)
        check("qemu-img", "snapshot", "-c", "one", image.path)
        result = self.imgtool_ok("convert", image.path, target, "--force", "-c", "-O", "qcow2",
                                 "--json")
        self.assertIn("the 2 bitmaps and 1 snapshot of the source are not in", result.err)
        self.assertEqual(result.json["bitmaps-dropped"], 2)
        self.assertEqual(result.json["snapshots-dropped"], 1)
        self.assert_image_of(target, image.oracle)
        self.assertNotIn("bitmaps", qemu_info(target)["format-specific"]["data"])

    def test_compress_is_convert_c(self):
        source = self.mixed_image(3 * MiB)
        one, other = self.path(), self.path()
        self.convert(source, one, command="compress")
        self.convert(source, other, "-O", "qcow2", "-c")
        self.assertEqual(sha256(one), sha256(other))
        self.assertTrue(any(entry.get("compressed", True) for entry in qemu_map(one)))


if __name__ == "__main__":
    main()
