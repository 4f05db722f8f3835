"""Block maps: found, checked before anything is written, obeyed by burn, written by capture."""
import gzip
import re

from containers import bmap, signed
from imgtool_testing import (KiB, MiB, TestCase, check, flip_byte, main, random_bytes, requires,
                             requires_root, run)

BLOCK = 4096
STALE = 0xA5
# Blocks of the sample image that are mapped; what lies between is garbage that must not be seen.
RANGES = [(0, 9), (300, 300), (511, 700), (1000, 1023)]


class BmapTestCase(TestCase):
    def setUp(self):
        super().setUp()
        # Not a multiple of the block size, with data where nothing is mapped.
        self.content = random_bytes(1024 * BLOCK - 1000)
        self.zeroed = bytearray(len(self.content))
        for first, last in RANGES:
            begin, end = first * BLOCK, (last + 1) * BLOCK
            self.zeroed[begin:end] = self.content[begin:end]

    def image(self, name="image.img", content=None):
        """With data outside of the map, which only a map that was named leaves out."""
        path = self.path(name)
        path.write_bytes(self.content if content is None else content)
        return path

    def clean_image(self, name="image.img"):
        return self.image(name, bytes(self.zeroed))

    def map(self, name="image.bmap", text=None, **options):
        path = self.path(name)
        path.write_text(bmap(self.content, RANGES, **options) if text is None else text)
        return path

    def target(self):
        path = self.path()
        path.write_bytes(bytes([STALE]) * len(self.content))
        return path

    def burn(self, image, *options, **stdin):
        target = self.target()
        self.imgtool_ok("burn", "--yes", "--force", image, target, *options, **stdin)
        # Whole sectors are written to a file that was there.
        return target.read_bytes()[:len(self.content)]

    def assert_untouched(self, target):
        self.assertEqual(target.read_bytes().strip(bytes([STALE])), b"")

    def assert_refused_before_writing(self, image, *words, code=1, options=()):
        target = self.target()
        result = self.imgtool("burn", "--yes", "--force", image, target, *options)
        self.assertEqual(result.code, code, f"\n{result!r}")
        for word in words:
            self.assertIn(str(word), result.err)
        self.assert_untouched(target)


class Burn(BmapTestCase):
    def test_every_version(self):
        image = self.clean_image()
        for version in ("1.2", "1.3", "1.4", "2.0"):
            with self.subTest(version=version):
                self.map(version=version)
                self.assertEqual(self.burn(image), self.zeroed)
        for algorithm in ("sha1", "sha512", "md5"):
            with self.subTest(algorithm=algorithm):
                self.map(algorithm=algorithm)
                self.assertEqual(self.burn(image), self.zeroed)

    def test_found_beside_the_image(self):
        clean = bytes(self.zeroed)
        packed, dirty = gzip.compress(clean), gzip.compress(self.content)
        for name, map_name in (("a.img", "a.img.bmap"), ("b.img", "b.bmap"),
                               ("c.img.gz", "c.img.gz.bmap"), ("d.img.gz", "d.img.bmap"),
                               ("e.img.gz", "e.bmap")):
            with self.subTest(name=name):
                image = self.image(name, packed if name.endswith(".gz") else clean)
                self.map(map_name)
                self.assertEqual(self.burn(image), self.zeroed)
                # An image that is newer than its map: nothing of it is dropped in silence.
                image = self.image(name, dirty if name.endswith(".gz") else self.content)
                target = self.target()
                result = self.imgtool("burn", "--force", image, target)
                self.assertEqual(result.code, 4, f"\n{result!r}")
                self.assertIn("--bmap none", result.err)
                if not name.endswith(".gz"):
                    self.assert_untouched(target)
                self.assertEqual(self.burn(image, "--bmap=none"), self.content)

    def test_given_by_name(self):
        packed = gzip.compress(self.content)
        block_map = self.map("other.xml")
        self.assertEqual(self.burn(self.image()), self.content)
        self.assertEqual(self.burn(self.image(), "--bmap", block_map), self.zeroed)
        self.assertEqual(self.burn(self.image("x.gz", packed), "--bmap", block_map), self.zeroed)
        self.assertEqual(self.burn("-", "--bmap", block_map, input=packed), self.zeroed)
        self.assertEqual(self.burn("-", "--bmap", block_map, input=self.content), self.zeroed)

    def test_skip_holes(self):
        # Whole chunks that are not mapped keep what the target had.
        for image, stdin in ((self.image(), {}), ("-", {"input": gzip.compress(self.content)})):
            block_map = self.map("other.xml")
            found = self.burn(image, "--bmap", block_map, "--skip-holes", "--chunk=64K", **stdin)
            for first, last in RANGES:
                begin, end = first * BLOCK, (last + 1) * BLOCK
                self.assertEqual(found[begin:end], self.content[begin:end])
            self.assertEqual(set(found[MiB + 256 * KiB:511 * BLOCK // (64 * KiB) * 64 * KiB]),
                             {STALE})
            self.assertNotIn(self.content[100 * BLOCK:101 * BLOCK], found)

    def test_wrong_content_is_seen_before_anything_is_written(self):
        block_map = self.map()
        image = self.clean_image()
        flip_byte(image, 600 * BLOCK + 5)
        self.assert_refused_before_writing(image, "at offset", 511 * BLOCK, code=4)
        flip_byte(image, 600 * BLOCK + 5)
        flip_byte(image, 200 * BLOCK)  # outside of the map
        self.assert_refused_before_writing(image, "leaves out", code=4)
        self.assertEqual(self.burn(image, "--bmap", block_map), self.zeroed)

    def test_wrong_content_of_a_stream_never_looks_complete(self):
        block_map = self.map("other.xml")
        content = bytearray(self.content)
        content[600 * BLOCK] ^= 1
        target = self.target()
        result = self.imgtool("burn", "--yes", "--force", "-", target, "--bmap", block_map,
                              input=gzip.compress(content))
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertEqual(target.read_bytes()[:4096], bytes(4096))

    def test_another_image(self):
        self.map()
        self.assert_refused_before_writing(self.image(content=self.content + b"x"),
                                           "--bmap none", code=4)
        for wrong in (self.content[:-1], self.content + b"x"):
            target = self.path()
            result = self.imgtool("burn", "--yes", "-", target, "--bmap", self.map(),
                                  input=gzip.compress(wrong))
            self.assertEqual(result.code, 4, f"\n{result!r}")
            self.assertFalse(target.exists())

    def test_a_map_that_was_changed(self):
        text = bmap(self.content, RANGES)
        image = self.image()
        self.map(text=text.replace("A comment", "a comment"))
        self.assert_refused_before_writing(image, "checksum of itself")
        self.map(text=text.replace("\n", "\r\n"))
        self.assert_refused_before_writing(image, "checksum of itself")

    def test_maps_that_make_no_sense(self):
        image = self.image()
        good = bmap(self.content, RANGES)
        zeroed = re.sub(r"[0-9a-f]{64}(?= </BmapFile)", "0" * 64, good)
        for old, new in (("<bmap version=\"2.0\">", "<bmap version=\"3.0\">"),
                         ("<bmap version=\"2.0\">", "<bmap version=\"x\">"),
                         (" 0-9 ", " 9-0 "), (" 300 ", " 8 "), (" 300 ", " 3x0 "),
                         ("1000-1023", "1000-1024"), ("1000-1023", "1000-99999999999999999999"),
                         ("<BlocksCount> 1024 ", "<BlocksCount> 1025 "),
                         ("<BlockSize> 4096 ", "<BlockSize> 0 "),
                         ("<BlockSize> 4096 ", "<BlockSize> 512 "),
                         ("<MappedBlocksCount> 2", "<MappedBlocksCount> 3"),
                         ("<ChecksumType> sha256 ", "<ChecksumType> crc32 "),
                         ("</BlockMap>", ""), ("<BlockMap>", "<Map>"),
                         ("<ImageSize>", "<Size>"), ("chksum=\"", "chksum=\"00")):
            with self.subTest(old=old, new=new):
                self.assertIn(old, zeroed)
                self.map(text=signed(zeroed.replace(old, new, 1)))
                self.assert_refused_before_writing(image, "image.bmap")
        self.map(text="this is no XML")
        self.assert_refused_before_writing(image, "image.bmap")
        self.map(text="-----BEGIN PGP SIGNED MESSAGE-----\n" + good)
        self.assert_refused_before_writing(image, "signed")

    @requires("bmaptool")
    def test_what_bmaptool_makes(self):
        image = self.half_sparse_image(5 * MiB + 123, "holes.img")
        check("bmaptool", "create", image, "-o", self.path("holes.bmap"))
        target = self.path()
        target.write_bytes(bytes([STALE]) * (5 * MiB + 123))
        self.imgtool_ok("burn", "--yes", "--force", image, target)
        self.assert_same_content(target, image, 5 * MiB + 123)


class Capture(BmapTestCase):
    def capture(self, disk, *options):
        out, block_map = self.path(), self.path()
        self.imgtool_ok("capture", disk, out, "--bmap-out", block_map, *options)
        return out, block_map

    def test_our_own_burn_takes_it(self):
        for size in (1, 100, MiB, 5 * MiB + 123):
            with self.subTest(size=size):
                disk = self.half_sparse_image(size, run=256 * KiB)
                out, block_map = self.capture(disk)
                target = self.path()
                self.imgtool_ok("burn", "--yes", out, target, "--bmap", block_map)
                self.assert_same_content(target, disk)

    @requires("bmaptool")
    def test_bmaptool_takes_it(self):
        for size in (4096, 5 * MiB + 123):
            disk = self.half_sparse_image(size, run=256 * KiB)
            out, block_map = self.capture(disk)
            target = self.path()
            check("bmaptool", "copy", "--bmap", block_map, out, target)
            self.assert_same_content(target, disk)
            mapped = re.search(r"<MappedBlocksCount> (\d+) ", block_map.read_text())[1]
            self.assertLess(int(mapped) * BLOCK, size * 3 // 4 + BLOCK)

    @requires("bmaptool")
    def test_any_chunk_and_depth_gives_the_same_map(self):
        disk = self.half_sparse_image(9 * MiB, run=300 * KiB)
        texts = {self.capture(disk, *options)[1].read_text()
                 for options in ([], ["--depth=1"], ["--chunk=64K"], ["--chunk=4M"])}
        self.assertEqual(len(texts), 1)

    def test_of_a_stream(self):
        disk = self.half_sparse_image(5 * MiB + 123, run=256 * KiB)
        _, expected = self.capture(disk)
        check("gzip", "-k", disk)
        for options in ([f"{disk}.gz", self.path()], [f"{disk}.gz", "-O", "zst", self.path()]):
            block_map = self.path()
            self.imgtool_ok("convert", "--bmap-out", block_map, *options)
            self.assertEqual(block_map.read_text(), expected.read_text())

    def test_what_exists_is_not_overwritten(self):
        disk = self.dense_image(MiB)
        block_map = self.path()
        block_map.write_text("mine")
        out = self.path()
        result = self.imgtool("capture", disk, out, "--bmap-out", block_map)
        self.assert_refused(result, block_map)
        self.assertFalse(out.exists())
        self.assertEqual(block_map.read_text(), "mine")
        self.imgtool_ok("capture", disk, out, "--bmap-out", block_map, "--force")

    def test_a_damaged_image_is_seen_later(self):
        disk = self.half_sparse_image(5 * MiB)
        out, block_map = self.capture(disk)
        flip_byte(out, 4 * MiB + 5)
        target = self.path()
        result = self.imgtool("burn", "--yes", out, target, "--bmap", block_map)
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertFalse(target.exists())


if __name__ == "__main__":
    main()
