"""imgtool measure: what it says beside what convert then makes."""
import json
import os

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import check, main, random_bytes, requires
from qcow2_images import Qcow2


class Measure(ConvertTestCase):
    def measure(self, *args):
        return self.imgtool_ok("measure", *args, "--json").json

    def test_plain_images_are_bounded_exactly(self):
        source = self.sparse_image(64 * MiB, {0: 3 * MiB, 40 * MiB + 5 * KiB: 700 * KiB})
        for options in ([], ["-o", "cluster_size=4K,refcount_bits=64"], ["-o", "extended_l2=on"],
                        ["-o", "preallocation=falloc"]):
            with self.subTest(options=options):
                answer = self.measure(source, "-O", "qcow2", *options)
                self.assertNotIn("estimate", answer)
                image = self.path()
                made = self.convert(source, image, "-O", "qcow2", *options)
                self.assertEqual(answer["required"], made["file-bytes"])
                self.assertLessEqual(answer["required"], answer["fully-allocated"])

    def test_raw(self):
        source = self.sparse_image(8 * MiB + 100, {MiB: MiB})
        size = 8 * MiB + 100
        self.assertEqual(self.measure(source), {"required": size, "fully-allocated": size,
                                                "without-holes": MiB})

    @requires("qemu-img")
    def test_sizes_as_qemu_img_says_them(self):
        for size in ("1M", "20G", "3T"):
            for options in ([], ["-o", "cluster_size=4K"], ["-o", "preallocation=full"]):
                ours = self.measure("--size", size, "-O", "qcow2", *options)
                theirs = json.loads(check("qemu-img", "measure", "--size", size, "-O", "qcow2",
                                          "--output=json", *options))
                for key in ("required", "fully-allocated"):
                    # qemu counts tables that an empty disk does not have, and rounds them up.
                    self.assertLessEqual(ours[key], theirs[key], (size, options, key))
                self.assertGreater(ours["fully-allocated"], theirs["fully-allocated"] * 0.99 - MiB)

    def test_compressed_images_are_within_the_interval(self):
        source = self.mixed_image(48 * MiB)
        for options in ([], ["--codec", "zstd"], ["-o", "cluster_size=4K"]):
            with self.subTest(options=options):
                answer = self.measure(source, "-O", "qcow2", "-c", *options)
                image = self.path()
                self.convert(source, image, "-O", "qcow2", "-c", *options)
                estimate = answer["estimate"]
                size = os.path.getsize(image)
                # A group of plain clusters costs alignment.
                self.assertLessEqual(estimate["least"], size + 256 * KiB)
                self.assertGreaterEqual(estimate["most"] + 256 * KiB, size)
                self.assertLess(estimate["most"] - estimate["least"], size * 0.4)
                self.assertEqual(answer["required"], estimate["most"])

    def test_an_image_of_zeros(self):
        answer = self.measure(self.zero_image(16 * MiB), "-O", "qcow2", "-c")
        self.assertLess(answer["required"], MiB)

    @requires("qemu-img", "qemu-io")
    def test_a_qcow2_source(self):
        image = Qcow2(self, 16 * MiB)
        image.write(3 * MiB, MiB)
        image.finish()
        answer = self.measure(image.path, "-O", "qcow2")
        self.assertLess(answer["required"], 2 * MiB)

    def on_disk(self, path):
        return os.stat(path).st_blocks * 512

    def test_metadata_set_aside_is_counted(self):
        for size, options in (("1T", ""), ("3G", ",cluster_size=4K"), ("300G", ",extended_l2=on")):
            with self.subTest(size=size, options=options):
                options = ["-o", "preallocation=metadata" + options]
                image = self.path("x.qcow2")
                self.imgtool_ok("create", "--force", image, size, *options)
                required = self.measure("--size", size, "-O", "qcow2", *options)["required"]
                self.assertLessEqual(self.on_disk(image), required)
                self.assertLess(required, self.on_disk(image) * 1.1)
        source = self.sparse_image(64 * MiB, {0: 3 * MiB, 40 * MiB + 5 * KiB: 700 * KiB})
        options = ["-O", "qcow2", "-o", "preallocation=metadata"]
        made = self.path()
        self.convert(source, made, *options)
        self.assertLessEqual(self.on_disk(made), self.measure(source, *options)["required"])

    @requires("qemu-img", "qemu-io")
    def test_a_raw_image_has_whole_blocks(self):
        image = Qcow2(self, 4 * MiB, cluster_size=512)
        for offset in range(0, 4 * MiB, 64 * KiB):
            image.write(offset + 1024, 512)
        image.finish()
        required = self.measure(image.path, "-O", "raw")["without-holes"]
        made = self.path()
        self.convert(image.path, made, "-O", "raw")
        self.assertEqual(required, self.on_disk(made))

    def test_an_empty_disk_has_no_source(self):
        for options in (["-l", "one"], ["-f", "raw"], ["--follow-references"],
                        ["--samples", "1024"], ["--drop-free"]):
            result = self.imgtool("measure", "--size", "1M", *options)
            self.assertEqual(result.code, 2, result)
            self.assertIn("needs SRC", result.err)

    def test_in_words_and_wrong_usage(self):
        source = self.path()
        source.write_bytes(random_bytes(MiB))
        out = self.imgtool_ok("measure", source, "-O", "qcow2").out.splitlines()
        self.assertTrue(out[0].startswith("required size: "))
        self.assertTrue(out[1].startswith("fully allocated size: "))
        self.assertEqual(self.imgtool("measure").code, 2)
        self.assertEqual(self.imgtool("measure", source, "--size", "1M").code, 2)


if __name__ == "__main__":
    main()
