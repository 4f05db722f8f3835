"""zst images that imgtool writes: zstd reads them, imgtool reads them at any place, and they are
the same file however they were made."""
import gzip

from convert_testing import mixed_content
from imgtool_testing import MiB, TestCase, check, engines, flip_byte, main, requires, sha256


class ZstWriter(TestCase):
    def image(self, size):
        return self.half_sparse_image(size, run=3 * MiB)

    def convert(self, source, *options, **stdin):
        packed = self.path(f"out{self.names}.img.zst")
        self.imgtool_ok("convert", source, packed, *options, **stdin)
        return packed

    @requires("zstd")
    def test_zstd_reads_it_and_so_do_we(self):
        for size in (1, 4 * MiB, 33 * MiB + 77):
            with self.subTest(size=size):
                image = self.image(size)
                packed, plain = self.convert(image), self.path()
                check("zstd", "-q", "-d", packed, "-o", plain)
                self.assert_same_content(plain, image)
                check("zstd", "-q", "-t", packed)
                self.imgtool_ok("compare", "--strict", packed, image)
                target = self.path()
                self.imgtool_ok("burn", "--yes", packed, target)
                self.assert_same_content(target, image)

    def test_zeros_are_known(self):
        image = self.zero_image(300 * MiB)
        packed = self.convert(image)
        self.assertLess(packed.stat().st_size, 20000)
        extents = self.imgtool_ok("map", "--json", packed).json
        self.assertEqual([(e["length"], e["zero"]) for e in extents], [(300 * MiB, True)])
        self.assertEqual(self.imgtool_ok("info", "--json", packed).json["virtual-size"], 300 * MiB)

    def test_the_same_file_every_time(self):
        image = self.image(40 * MiB + 5)
        options = [["--threads=1"], ["--threads=5"], ["-c", "--codec=zstd"], ["-O", "zst"],
                   *[[f"--io-engine={engine}"] for engine in engines()]]
        contents = {self.convert(image, *more).read_bytes() for more in options}
        self.assertEqual(len(contents), 1)
        self.assertNotEqual(self.convert(image, "--level=1").read_bytes(), contents.pop())

    def test_from_a_stream_of_unknown_size(self):
        image = self.image(9 * MiB + 5)
        packed = self.convert(image)
        content = gzip.compress(image.read_bytes(), 1)
        self.assertEqual(self.convert("-", input=content).read_bytes(), packed.read_bytes())

    def test_cut_between_frames_it_is_not_complete(self):
        packed = self.convert(self.dense_image(9 * MiB))
        content = packed.read_bytes()
        second = content.index(b"\x28\xb5\x2f\xfd", 100)
        packed.write_bytes(content[:second])
        result = self.imgtool("hash", packed)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        flip_byte(packed, 1000)
        self.assertEqual(self.imgtool("hash", packed).code, 1)

    @requires("zstd")
    def test_compress_and_capture_make_the_same(self):
        image = self.path()
        image.write_bytes(mixed_content(21 * MiB + 512))
        packed = self.convert(image)
        self.assertLess(packed.stat().st_size, 16 * MiB)
        compressed, captured = self.path("a.img.zst"), self.path("b.img.zst")
        self.imgtool_ok("compress", image, compressed)
        report = self.imgtool_ok("capture", "-c", "-O", "zst", image, captured,
                                 "--digest=sha256", "--json").json
        self.assertEqual(report["digest"], sha256(image))
        self.assertEqual(compressed.read_bytes(), packed.read_bytes())
        self.assertEqual(captured.read_bytes(), packed.read_bytes())
        back = self.path()
        check("zstd", "-q", "-d", captured, "-o", back)
        self.assert_same_content(back, image)

    def test_measure_says_how_long_it_will_be(self):
        image = self.path()
        image.write_bytes(mixed_content(32 * MiB))
        size = self.convert(image).stat().st_size
        answer = self.imgtool_ok("measure", image, "-O", "zst", "--json").json
        self.assertLessEqual(answer["estimate"]["least"], size)
        self.assertGreaterEqual(answer["estimate"]["most"], size)
        self.assertLess(answer["estimate"]["most"], size * 1.3)
        self.assertGreater(answer["fully-allocated"], 32 * MiB)
        self.assertLess(answer["fully-allocated"], 33 * MiB)

    def test_what_makes_no_sense(self):
        image = self.dense_image(MiB)
        for options in (["--codec=zlib"], ["--deflate-window=4K"], ["-o", "cluster_size=64K"],
                        ["-o", "preallocation=full"]):
            result = self.imgtool("convert", image, self.path("x.zst"), *options)
            self.assertEqual(result.code, 2, f"\n{result!r}")
        self.assertEqual(self.imgtool("create", self.path("new.img.zst"), "1M").code, 2)
        disk = self.path("disk")
        disk.write_bytes(bytes(2 * MiB))
        self.assert_refused(self.imgtool("convert", "-n", "-O", "zst", image, disk), "in place")


if __name__ == "__main__":
    main()
