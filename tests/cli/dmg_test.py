"""Apple's disk images as sources: every way of packing, what hdiutil and older tools lay down, and
what no reader may believe."""
import gzip
import random
import struct
import zipfile

from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires, sha256
from table_images import (DMG_ADC, DMG_BZIP2, DMG_END, DMG_HOLE, DMG_LZFSE, DMG_RAW, DMG_XZ,
                          DMG_ZEROS, DMG_ZLIB, dmg, dmg_file, dmg_table)

CHUNK = 256 * KiB
A = (b"Apple pie. " * 30000)[:CHUNK]
B = random_bytes(CHUNK, 7)
MIXED = [(DMG_ZLIB, A), (DMG_ZEROS, 100), (DMG_RAW, B), (DMG_BZIP2, B), (DMG_HOLE, 30), (DMG_XZ, A),
         (DMG_ZLIB, A[:512])]
MIXED_CONTENT = A + bytes(100 * 512) + B + B + bytes(30 * 512) + A + A[:512]
SMALL = dmg([(DMG_ZLIB, A[:4096]), (DMG_RAW, B[:1024])])


class DmgTestCase(BlockImageTestCase):
    def assert_fails(self, words, *arguments, **options):
        result = self.imgtool(*arguments, **options)
        self.assertEqual(result.code, 1, result)
        self.assertIn(words, result.err)


class Content(DmgTestCase):
    def test_every_way_of_packing(self):
        for kind in (DMG_RAW, DMG_ZLIB, DMG_BZIP2, DMG_XZ):
            with self.subTest(hex(kind)):
                self.assert_content(dmg([(kind, A), (kind, B)]), A + B)
        path = self.assert_content(dmg(MIXED), MIXED_CONTENT)
        info = self.imgtool_ok("info", "--json", path).json
        self.assertEqual(info["format"], "dmg")
        self.assertEqual(info["format-specific"]["data"]["compression"], "zlib, bzip2, xz")
        self.assertEqual(info["format-specific"]["data"]["chunks"], 7)

    def test_tables_of_partitions(self):
        """One table a partition, whose sectors count from its start; the first is of 40 sectors, so
        nothing is at a multiple of anything."""
        parts = [[(DMG_RAW, B[:40 * 512])], [(DMG_ZLIB, A), (DMG_BZIP2, B)], [(DMG_HOLE, 7)]]
        self.assert_content(dmg(parts), B[:40 * 512] + A + B + bytes(7 * 512))

    def test_a_resource_fork_in_place_of_the_list(self):
        self.assert_content(dmg(MIXED, resources=True), MIXED_CONTENT)

    def test_gaps_are_zeros_and_the_order_is_free(self):
        stored = B + A
        entries = [(DMG_RAW, 600, 512, CHUNK, CHUNK), (DMG_RAW, 10, 512, 0, CHUNK),
                   (DMG_END, 1112, 0, 0, 0)]
        content = bytes(10 * 512) + B + bytes(78 * 512) + A + bytes(88 * 512)
        self.assert_content(dmg_file(stored, [dmg_table(entries)], 1200), content)

    def test_empty_and_large_disks(self):
        self.assert_content(dmg([(DMG_ZEROS, 0)]), b"")
        huge = self.path("huge.dmg")
        huge.write_bytes(dmg([(DMG_ZLIB, A), (DMG_HOLE, 1 << 31)]))
        info = self.imgtool_ok("info", "--json", huge).json
        self.assertEqual(info["virtual-size"], (1 << 40) + CHUNK)
        self.assert_map(huge, (1 << 40) + CHUNK)

    def test_reads_of_any_place(self):
        path = self.path("mixed.dmg")
        path.write_bytes(dmg(MIXED))
        out = self.path()
        for skip, count in ((0, 1), (CHUNK - 512, 1024), (CHUNK + 7 * 512, MiB // 2)):
            self.imgtool_ok("convert", "-O", "raw", "--force", "--skip", skip, "--count", count, path, out)
            self.assertEqual(out.read_bytes(), MIXED_CONTENT[skip:skip + count])

    def test_burns_and_check(self):
        path, disk = self.path("mixed.dmg"), self.path("disk.img")
        path.write_bytes(dmg(MIXED))
        disk.write_bytes(MIXED_CONTENT)
        self.assert_burns(path, disk)
        self.assert_reads(path, disk, "-f", "dmg")
        result = self.imgtool_ok("check", "--json", path).json
        self.assertEqual((result["total-clusters"], result["allocated-clusters"]), (7, 5))
        self.assertEqual(result["check-errors"], 0)

    def test_inside_of_others(self):
        image = dmg([(DMG_ZLIB, A), (DMG_RAW, B)])
        packed = self.path("vendor.dmg.gz")
        packed.write_bytes(gzip.compress(image))
        archive = self.path("vendor.zip")
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("disk.dmg", image)
        disk = self.path()
        disk.write_bytes(A + B)
        for path in (packed, archive):
            self.assertEqual(self.imgtool_ok("hash", path).out.split()[0], sha256(disk))
        # Where no name says it, its end does, and what was read is never called a disk.
        misnamed = self.path("vendor.img.gz")
        misnamed.write_bytes(gzip.compress(image))
        self.assert_fails("Apple disk image", "hash", misnamed)
        self.assert_fails("Apple disk image", "hash", "-", input=image)


@requires("qemu-img", "dmg2img")
class OtherReaders(BlockImageTestCase):
    def test_agree(self):
        """qemu-img of Debian reads zlib, dmg2img bzip2 also."""
        chance = random.Random(5)
        parts, content = [], b""
        for _ in range(40):
            kind = chance.choice((DMG_ZLIB, DMG_RAW, DMG_ZEROS))
            sectors = chance.randrange(1, 1025)
            piece = bytes(512 * sectors) if kind == DMG_ZEROS else chance.choice((A, B))[:512 * sectors]
            parts.append((kind, len(piece) // 512 if kind == DMG_ZEROS else piece))
            content += piece
        path, disk = self.path("a.dmg"), self.path("disk.img")
        path.write_bytes(dmg(parts))
        disk.write_bytes(content)
        self.assert_reads(path, disk)
        check("qemu-img", "compare", "-f", "dmg", "-F", "raw", path, disk)
        path.write_bytes(dmg([(DMG_BZIP2, A), (DMG_ZLIB, B), (DMG_RAW, A)]))
        disk.write_bytes(A + B + A)
        self.assert_reads(path, disk)
        out = self.path("dmg2img.img")
        check("dmg2img", "-s", path, out)
        self.assertEqual(out.read_bytes()[:3 * CHUNK], A + B + A)


class Hostile(DmgTestCase):
    def test_what_cannot_be_read_is_said(self):
        for kind, word in ((DMG_ADC, "ADC"), (DMG_LZFSE, "LZFSE")):
            image = dmg_file(A, [dmg_table([(kind, 0, 512, 0, 100)])], 512)
            self.assert_image_refused(image, word, "hdiutil")
        self.assert_image_refused(dmg_file(A, [], 512, segments=2), "parts", "hdiutil")
        self.assert_image_refused(dmg_file(A, [dmg_table([(9, 0, 1, 0, 512)])], 512), "kind 0x9")
        encrypted = self.path("encrypted.dmg")
        encrypted.write_bytes(b"encrcdsa" + bytes(4096))
        self.assert_refused(self.imgtool("hash", encrypted), "encrypted Apple disk image")

    def test_places(self):
        def of(*entries, sectors=4, data=0, first=0):
            return dmg_file(bytes(4096), [dmg_table(list(entries), first, data=data)], sectors)
        self.assert_image_refused(of((1, 0, 2, 0, 1024), (1, 1, 2, 1024, 1024)), "two chunks", "disk")
        self.assert_image_refused(of((1, 0, 2, 0, 1024), (1, 2, 2, 512, 1024)), "two chunks", "file")
        self.assert_image_refused(of((1, 3, 2, 0, 1024)), "past the end of the disk")
        self.assert_image_refused(of((1, 0, 2, 0, 1024), first=3), "past the end of the disk")
        self.assert_image_refused(of((1, 1 << 63, 1 << 63, 0, 1024)), "past the end of the disk")
        self.assert_image_refused(of((1, 0, 2, 1 << 40, 1024)), "cut short")
        self.assert_image_refused(of((1, 0, 2, (1 << 64) - 512, 1024)), "cut short")
        self.assert_image_refused(of((1, 0, 2, 0, 512)), "512 bytes are stored for a chunk of 1024")
        self.assert_image_refused(of((1, 0, 2, 0, 1024), data=1 << 62), "outside")
        self.assert_image_refused(of((DMG_ZLIB, 0, 2, 0, 0)), "impossible")
        self.assert_image_refused(of((DMG_ZLIB, 0, 200000, 0, 64), sectors=1 << 30), "impossible")
        self.assert_image_refused(dmg_file(b"", [dmg_table([])[:100]], 4), "cut short")
        self.assert_image_refused(
            dmg_file(b"", [dmg_table([])[:200] + struct.pack(">I", 0xffffffff)], 4), "4294967295 chunks")

    def test_a_damaged_chunk(self):
        for kind in (DMG_ZLIB, DMG_BZIP2, DMG_XZ):
            image = bytearray(dmg([(kind, A)]))
            image[30] ^= 0x55
            path = self.path()
            path.write_bytes(bytes(image))
            for command in (["hash", path], ["convert", "-O", "raw", path, self.path()]):
                self.assert_fails("damaged", *command)
        # Longer and shorter than its table says.
        for said in (510, 514):
            image = dmg([(DMG_ZLIB, A)])
            packed = image[:image.index(b"<?xml")]
            image = dmg_file(packed, [dmg_table([(DMG_ZLIB, 0, said, 0, len(packed))])], said)
            path = self.path()
            path.write_bytes(image)
            self.assert_fails("damaged", "hash", path)

    def test_cut_anywhere(self):
        """Without its trailer it is no DMG; from its front, places do not fit any more."""
        for cut in (512, 1000, 4096):
            self.assert_hostile(SMALL[cut:])
        for begin in range(len(SMALL) - 512, len(SMALL), 64):
            self.assert_hostile(SMALL[:begin] + SMALL[-512:])

    def test_hostile_fields(self):
        trailer = len(SMALL) - 512
        for at in (4, 8, 24, 40, 48, 60, 216, 224):
            for value in (0, 1, 0x7fffffff, 0xffffffff):
                image = bytearray(SMALL)
                struct.pack_into(">I", image, trailer + at, value)
                self.assert_hostile(bytes(image))

    def test_small_files_that_claim_much(self):
        self.assert_modest(dmg([(DMG_ZEROS, 1 << 50)]), 0)
        # As large as a chunk may be.
        self.assert_modest(dmg([(DMG_ZLIB, bytes(64 * MiB))]), 0)


if __name__ == "__main__":
    main()
