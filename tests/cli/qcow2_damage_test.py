"""Damaged and hostile qcow2 images: refused, at once, with a message that says what is wrong."""
import struct

from imgtool_testing import (IMGTOOL, KiB, MiB, TestCase, check, is_sanitized, main, processor_time,
                             requires, run)
from qcow2_images import Qcow2, make_encrypted

OPEN_FAILED = 2
READ_FAILED = 4
COPIED = 1 << 63
COMPRESSED = 1 << 62


def set_header(offset, kind, value):
    return lambda image: image.patch(offset, kind, value)


def set_l1(value):
    return lambda image: image.patch(image.l1, "Q", value(image) if callable(value) else value)


def set_l2(index, value):
    def damage(image):
        word = value(image) if callable(value) else value
        image.patch(image.l2 + 8 * index, "Q", word)
    return damage


def add_extension(kind, data, length=None):
    """In front of all others; `length` is what it claims."""
    def damage(image):
        with open(image.path, "r+b") as file:
            file.seek(112)
            file.write(struct.pack(">II", kind, len(data) if length is None else length) + data)
    return damage


def truncate(size):
    def damage(image):
        with open(image.path, "r+b") as file:
            file.truncate(size(image) if callable(size) else size)
    return damage


def fill(offset, data):
    def damage(image):
        with open(image.path, "r+b") as file:
            file.seek(offset(image))
            file.write(data)
    return damage


def entry(image, index):
    with open(image.path, "rb") as file:
        file.seek(image.l2 + 8 * index)
        return struct.unpack(">Q", file.read(8))[0]


def stream(image, index=2):
    return entry(image, index) & ((1 << 54) - 1)


# name: (how to damage, where it is found, part of the message)
HEADER_DAMAGE = {
    "version 1": (set_header(4, "I", 1), "version is 1, not 2 to 3"),
    "version 4": (set_header(4, "I", 4), "version is 4"),
    "tiny clusters": (set_header(20, "I", 8), "cluster_bits is 8, not 9 to 21"),
    "huge clusters": (set_header(20, "I", 63), "cluster_bits is 63"),
    "shift by everything": (set_header(20, "I", 0xffffffff), "cluster_bits is 4294967295"),
    "size past 2^63": (set_header(24, "Q", 1 << 63), "virtual size is 9223372036854775808"),
    "size for which the L1 table is too small": (set_header(24, "Q", 1 << 50), "l1_size is 1, but"),
    "unknown encryption": (set_header(32, "I", 3), "encryption method 3"),
    "LUKS without a header": (set_header(32, "I", 2), "no encryption header"),
    "huge L1": (set_header(36, "I", 0xffffffff), "l1_size is 4294967295, not 0 to 4194304"),
    "no L1": (set_header(36, "I", 0), "l1_size is 0, but"),
    "unaligned L1": (set_header(40, "Q", 0x30200), "the L1 table is at 197120, not at a multiple"),
    "L1 past the end": (set_header(40, "Q", 1 << 40), "goes past the end of the file"),
    "L1 that wraps around": (set_header(40, "Q", (1 << 64) - 65536), "goes past the end"),
    "unaligned refcount table": (set_header(48, "Q", 65537), "the refcount table is at 65537"),
    "huge refcount table": (set_header(56, "I", 129), "refcount_table_clusters is 129"),
    "too many snapshots": (set_header(60, "I", 65537), "table of 2621480 bytes"),
    "snapshots past the end": (set_header(64, "Q", 1 << 40), "the snapshot table of 0 bytes"),
    "unaligned snapshots": (set_header(64, "Q", 8), "the snapshot table is at 8"),
    "unknown feature": (set_header(72, "Q", 1 << 40), "features that are not known here: bit 40"),
    "refcount width": (set_header(96, "I", 7), "refcount_order is 7, not 0 to 6"),
    "short header": (set_header(100, "I", 96), "header_length is 96"),
    "header longer than a cluster": (set_header(100, "I", 65544), "header_length is 65544"),
    "compression without its feature": (set_header(104, "B", 1), "compression type is 1, but"),
    "feature without compression": (set_header(72, "Q", 8), "compression type is 0, but"),
    "unknown compression": (lambda image: (image.patch(72, "Q", 8), image.patch(104, "B", 9)),
                            "compression type 9"),
    "subclusters of 16 bytes": (lambda image: (image.patch(72, "Q", 16), image.patch(20, "I", 9),
                                               image.patch(24, "Q", 512)), "14 or more"),
    "extension that does not fit": (add_extension(0x1234, b"", 1 << 20), "does not fit"),
    "extension of 4 GiB": (add_extension(0x1234, b"", 0xffffffff), "does not fit"),
    "long format name": (add_extension(0xE2792ACA, b"x" * 16), "length of the backing format"),
    "bitmaps of a wrong size": (add_extension(0x23852875, bytes(16)), "bitmaps extension is 16"),
    "no bitmaps": (add_extension(0x23852875, bytes(24)), "number of bitmaps is 0"),
    "bitmaps past the end": (
        add_extension(0x23852875, struct.pack(">IIQQ", 1, 0, 32, 1 << 40)), "bitmap directory"),
    "encryption header of a plain image": (add_extension(0x0537BE77, bytes(16)), "not LUKS"),
    "name past the first cluster": (set_header(8, "Q", 70000), "outside of the first cluster"),
    "long name": (lambda image: (image.patch(8, "Q", 1024), image.patch(16, "I", 1024)),
                  "length of the backing file's name is 1024, not 0 to 1023"),
    "raw data file that is none": (set_header(88, "Q", 2), "has no data file"),
    "cut inside the header": (truncate(80), "ends inside the header"),
    "cut inside the version 2 header": (truncate(40), "ends inside the header"),
    "cut inside an extension": (
        lambda image: (image.patch(24, "48s", bytes(48)), truncate(116)(image)),
        "ends inside a header extension"),
    "cut before the tables": (truncate(65536), "goes past the end of the file"),
}

L1_DAMAGE = {
    "reserved L1 bits": (set_l1(COPIED | 0x50001), "L1 entry 0 is 0x8000000000050001: reserved"),
    "unaligned L2": (set_l1(COPIED | 0x50200), "not that of a cluster"),
    "L2 past the end": (set_l1(COPIED | 1 << 50), "past the end of the file"),
    "L2 that wraps around": (set_l1(COPIED | 0x00ffffffffff0000), "past the end of the file"),
    "L1 entry of flags alone": (set_l1(COPIED), "no offset, but flags"),
}

L2_DAMAGE = {
    "reserved L2 bits": (set_l2(0, lambda image: entry(image, 0) | 2), "reserved bits are set"),
    "unaligned cluster": (set_l2(0, COPIED | 0x50200), "not that of a cluster"),
    "cluster past the end": (set_l2(0, COPIED | 1 << 50), "the file ends at"),
    "stream past the end": (set_l2(2, COMPRESSED | 1 << 50), "the file ends at"),
    "stream past 2^56": (lambda image: (image.patch(20, "I", 9), image.patch(24, "Q", 32768),
                                        set_l2(0, COMPRESSED | 1 << 60)(image)), "56 bits"),
    "stream of noise": (fill(stream, b"\xff" * 64), "is damaged"),
    "stream of zeros": (fill(stream, bytes(4096)), "is damaged"),
    "stream cut short by its entry": (
        set_l2(2, lambda image: entry(image, 2) & ~(0xff << 54)), "is damaged"),
    "stream that ends early": (fill(stream, b"\x03\x00"), "is damaged"),
    "cut inside the data": (truncate(lambda image: image.l2 + 65536), "the file ends at"),
}

ZSTD_DAMAGE = {
    "noise": (fill(stream, b"\xff" * 64), "is damaged"),
    "zeros": (fill(stream, bytes(4096)), "is damaged"),
    "skippable frame": (fill(stream, b"\x50\x2a\x4d\x18\x08\x00\x00\x00" + bytes(4096)),
                        "is damaged"),
    "a frame that claims 8 EiB": (
        fill(stream, b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 7 + b"\x7f\x00\x00\x00"), "is damaged"),
    "a window of 2 GiB": (fill(stream, b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"), "is damaged"),
}


@requires("qemu-img", "qemu-io")
class Damage(TestCase):
    def image(self, **options):
        image = Qcow2(self, 4 * MiB, **options)
        image.write(0, 128 * KiB)
        for index in range(2, 6):
            image.write(index * 64 * KiB, 64 * KiB, compressed=True)
        return image.finish()

    def limited(self, *args):
        """Runs imgtool with 256 MiB of memory (address space for libraries and threads on top) and
        a second of the processor; a sanitizer takes more of both."""
        limit = [] if is_sanitized() else ["prlimit", f"--as={1024 * MiB}"]
        with processor_time() as seconds:
            result = run([*limit, IMGTOOL, *args])
        self.assertLess(seconds(), 10 if is_sanitized() else 1)
        return result

    def assert_refused(self, cases, code, **options):
        pristine = self.image(**options)
        content = pristine.path.read_bytes()
        for name, (damage, message) in cases.items():
            with self.subTest(name):
                damage(pristine)
                result = self.imgtool("compare", "-f", "qcow2", pristine.path, pristine.oracle)
                self.assertEqual(result.code, code, result)
                self.assertIn(message, result.err)
                self.assertEqual(len(result.err.splitlines()), 1, result)
                self.assertEqual(result.out, "")
                pristine.path.write_bytes(content)

    def test_header(self):
        self.assert_refused(HEADER_DAMAGE, OPEN_FAILED)

    def test_header_in_info(self):
        pristine = self.image()
        content = pristine.path.read_bytes()
        for name, (damage, message) in HEADER_DAMAGE.items():
            with self.subTest(name):
                damage(pristine)
                result = self.imgtool("info", "--json", "-f", "qcow2", pristine.path)
                self.assertEqual(result.code, 1, result)
                self.assertIn(message, result.json["error"]["message"])
                pristine.path.write_bytes(content)

    def test_l1(self):
        self.assert_refused(L1_DAMAGE, OPEN_FAILED)

    def test_l2(self):
        self.assert_refused(L2_DAMAGE, READ_FAILED)

    def test_zstd_streams(self):
        self.assert_refused(ZSTD_DAMAGE, READ_FAILED, compression_type="zstd")

    def test_zero_flag_in_version_2(self):
        self.assert_refused({"zero flag": (set_l2(0, 1), "the image has version 2")}, READ_FAILED,
                            compat="0.10")

    def test_subclusters(self):
        def bitmap(value):
            return lambda image: image.patch(image.l2 + 8, "Q", value)
        self.assert_refused({
            "both": (bitmap(1 << 32 | 0xffffffff), "both allocated and zero"),
            "without a cluster": (lambda image: (image.patch(image.l2, "Q", 0), bitmap(1)(image)),
                                  "the cluster is not"),
            "zero flag": (lambda image: image.patch(image.l2, "Q", entry(image, 0) | 1),
                          "zero flag"),
            "compressed": (lambda image: image.patch(image.l2 + 2 * 16 + 8, "Q", 1),
                           "compressed, but with subclusters"),
        }, READ_FAILED, extended_l2="on")

    def test_snapshots(self):
        image = self.image()
        check("qemu-img", "snapshot", "-c", "one", image.path)
        table = image.header(64, "Q")
        content = image.path.read_bytes()
        for name, offset, kind, value, command, message in (
                ("too much extra data", 36, "I", 1025, ("info",), "1025 bytes of extra data"),
                ("L1 past the end", 0, "Q", 1 << 40, ("map", "-l", "one"), "past the end"),
                ("unaligned L1", 0, "Q", 512, ("map", "-l", "one"), "not at a multiple"),
                ("huge L1", 8, "I", 1 << 31, ("map", "-l", "one"), "larger than"),
                ("small L1", 8, "I", 0, ("map", "-l", "one"), "too small"),
                ("many", 60 - table, "I", 65536, ("info",), "goes past the end of the file")):
            with self.subTest(name):
                image.patch(table + offset, kind, value)
                result = self.imgtool(*command, "--json", image.path)
                self.assertEqual(result.code, 1, result)
                self.assertIn(message, result.json["error"]["message"])
                image.path.write_bytes(content)

    def test_encryption_header(self):
        path = self.path()
        make_encrypted(path, format="luks", iter_time=10)
        content = path.read_bytes()
        extension = content.index(struct.pack(">I", 0x0537BE77))
        where = struct.unpack(">Q", content[extension + 8:extension + 16])[0]
        for name, offset, change, message in (
                ("no magic", where, b"JUNK", "is not a LUKS header"),
                ("LUKS2", where + 6, b"\0\2", "is not a LUKS header of version 1"),
                ("short", extension + 8 + 8, struct.pack(">Q", 100), "is too short"),
                ("past the end", extension + 8, struct.pack(">Q", 1 << 40), "past the end")):
            with self.subTest(name):
                path.write_bytes(content[:offset] + change + content[offset + len(change):])
                result = self.imgtool("info", "--json", path)
                self.assertEqual(result.code, 1, result)
                self.assertIn(message, result.json["error"]["message"])

    def test_bitmaps(self):
        image = self.image()
        check("qemu-img", "bitmap", "--add", image.path, "daily")
        content = image.path.read_bytes()
        extension = content.index(struct.pack(">I", 0x23852875))
        directory = struct.unpack(">Q", content[extension + 24:extension + 32])[0]
        for name, offset, kind, value, message in (
                ("unaligned table", 0, "Q", 100, "not at a multiple"),
                ("table past the end", 0, "Q", 1 << 40, "goes past the end"),
                ("huge table", 8, "I", 0xffffffff, "entries, not 1 to"),
                ("other table", 8, "I", 2, "the disk needs 1"),
                ("flags", 12, "I", 8, "flags 0x8"),
                ("type", 16, "B", 2, "type 2, not 1"),
                ("granularity", 17, "B", 64, "granularity_bits 64"),
                ("no name", 18, "H", 0, "name has 0 bytes"),
                ("long name", 18, "H", 1000, "ends inside an entry"),
                ("extra data", 20, "I", 1, "extra data")):
            with self.subTest(name):
                image.patch(directory + offset, kind, value)
                result = self.imgtool("info", "--json", image.path)
                self.assertEqual(result.code, 1, result)
                self.assertIn(message, result.json["error"]["message"])
                image.path.write_bytes(content)

    # --- little files that claim to be large ---

    def test_l1_entries_that_share_a_table(self):
        image = self.image()
        entries = 1 << 22
        where = 1 << 30
        word = image.header(image.l1, "Q")
        with open(image.path, "r+b") as file:
            file.seek(where)
            file.write(struct.pack(">Q", word) * entries)
        image.patch(24, "Q", entries << 29)
        image.patch(36, "I", entries)
        image.patch(40, "Q", where)
        result = self.limited("map", "--json", image.path)
        self.assertEqual(result.code, 1, result)
        self.assertIn("name the same L2 table", result.err)

    def test_l1_of_nothing_is_quick(self):
        image = Qcow2(self, 1 << 50, cluster_size=2 * MiB).finish_without_oracle()
        result = self.limited("map", "--json", image.path)
        self.assertEqual(result.code, 0, result)
        self.assertEqual(len(result.json), 1)

    def test_sparse_file_of_exabytes(self):
        image = self.image()
        with open(image.path, "r+b") as file:
            file.truncate(8 * 1024 ** 4)
        for command in ("info", "map"):
            self.assertEqual(self.limited(command, image.path).code, 0)

    def test_a_million_tables_in_a_hole(self):
        """A file of a few MiB on disk that claims 64 GiB of L2 tables."""
        image = self.image()
        entries, tables = 1 << 20, 1 << 31
        with open(image.path, "r+b") as file:
            file.seek(1 << 30)
            file.write(struct.pack(f">{entries}Q", *range(COPIED + tables,
                                                          COPIED + tables + (entries << 16), 65536)))
            file.truncate(tables + (entries << 16))
        image.patch(24, "Q", entries << 29)
        image.patch(36, "I", entries)
        image.patch(40, "Q", 1 << 30)
        self.assertEqual(len(self.limited("map", "--json", image.path).json), 1)
        self.assertEqual(self.limited("check", image.path).code, 2)
        self.assertEqual(self.limited("compare", image.path, self.zero_image(1)).code, 0)

    def test_many_entries_for_one_stream(self):
        """Decoding one stream again and again is slow, but bounded in memory."""
        image = self.image()
        word = entry(image, 2)
        for index in range(64):
            image.patch(image.l2 + 8 * index, "Q", word)
        result = self.limited("compare", image.path, image.oracle)
        self.assertEqual(result.code, 1, result)


if __name__ == "__main__":
    main()
