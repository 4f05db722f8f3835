"""NTFS: what is called free is in no file, and doubt keeps all of it."""
import contextlib
import os
import random
import re
import struct

from damage_testing import assert_flips_are_safe
from fuse_testing import NtfsTestCase
from imgtool_testing import (GiB, KiB, MiB, check, is_sanitized, main, processor_time, requires,
                             requires_root)
from scrub_testing import container, free_map


class Volume:
    """Finds system files of an image whose MFT's first records are in one run."""

    def __init__(self, image):
        self.image = image
        with open(image, "rb") as file:
            boot = file.read(512)
        self.sector = struct.unpack_from("<H", boot, 11)[0]
        per_cluster = boot[13] if boot[13] <= 128 else 1 << 256 - boot[13]
        self.cluster = self.sector * per_cluster
        self.clusters = struct.unpack_from("<Q", boot, 40)[0] // per_cluster
        size = struct.unpack_from("<b", boot, 64)[0]
        self.record_size = size * self.cluster if size > 0 else 1 << -size
        self.mft = struct.unpack_from("<Q", boot, 48)[0] * self.cluster

    def record(self, number):
        with open(self.image, "rb") as file:
            file.seek(self.mft + number * self.record_size)
            return file.read(self.record_size)

    def attribute(self, number, kind):
        """Offset in the record, of the first attribute of this type."""
        record = self.record(number)
        at = struct.unpack_from("<H", record, 20)[0]
        while (found := struct.unpack_from("<I", record, at)[0]) != 0xffffffff:
            if found == kind:
                return at
            at += struct.unpack_from("<I", record, at + 4)[0]
        return None

    def runs(self, number):
        """Of the unnamed data: [offset, length] in the image."""
        record, at = self.record(number), self.attribute(number, 0x80)
        at += struct.unpack_from("<H", record, at + 32)[0]
        cluster, found = 0, []
        while head := record[at]:
            size, distance = head & 15, head >> 4
            count = int.from_bytes(record[at + 1:at + 1 + size], "little")
            at += 1 + size
            cluster += int.from_bytes(record[at:at + distance], "little", signed=True)
            at += distance
            found.append([cluster * self.cluster, count * self.cluster])
        return found

    def poke(self, offset, data):
        with open(self.image, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def peek(self, offset, length):
        with open(self.image, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def set_flags(self, flags):
        """Of $Volume."""
        at = self.attribute(3, 0x70)
        value = at + struct.unpack_from("<H", self.record(3), at + 20)[0]
        self.poke(self.mft + 3 * self.record_size + value + 10, struct.pack("<H", flags))


def restart_page(magic=b"RSTR", lsn=100, client=0xffff, flags=2, major=1, size=4096):
    """A restart page of $LogFile, with fix-ups."""
    page = bytearray(size)
    count = size // 512 + 1
    struct.pack_into("<4sHHQIIHHH", page, 0, magic, 30, count, lsn, size, size, 64, 1, major)
    struct.pack_into("<QHHHH", page, 64, lsn, 1, 0xffff, client, flags)
    struct.pack_into("<H", page, 30, 7)
    for end in range(512, size + 1, 512):
        struct.pack_into("<H", page, end - 2, 7)
    return bytes(page)


class NtfsFixture(NtfsTestCase):
    def make(self, size, *options):
        image = self.zero_image(size)
        check("mkntfs", "-F", "-Q", "-q", *options, image)
        return image

    def filled(self, size, *options, files=60, mount=(), **how):
        image = self.make(size, *options)
        with self.mounted(image, *mount) as root:
            self.age(root, files=files, **{"largest": 128 * KiB, **how})
            self.be_special(root)
        return image

    @staticmethod
    def be_special(root):
        """Hard links, a sparse file, named streams, long and deep names."""
        directory = root / "deep" / ("long " * 40) / "er"
        directory.mkdir(parents=True)
        (directory / "ünï €").write_bytes(b"in the record")
        (directory / "other").write_bytes(bytes(range(256)) * 40)
        os.link(directory / "other", root / "a hard link")
        with open(root / "sparse", "wb") as file:
            for place in range(4):
                file.seek(place * MiB)
                file.write(b"data" * 1000)
        os.setxattr(root / "sparse", "user.stream", b"another stream " * 1000)

    def assert_counts_agree(self, image):
        """ntfsinfo counts the same clusters that are free."""
        free = int(re.search(r"Free Clusters: (\d+)", check("ntfsinfo", "-m", "-f", image))[1])
        here = container(free_map(image), kind="ntfs")
        self.assertEqual(here["free-bytes"], free * here["block-size"])

    def assert_volume_is_safe(self, image, writes=True):
        self.assert_counts_agree(image)
        # ntfsresize compares all runs with the bitmap; it wants a consistent volume.
        checker = ["ntfsresize", "-i", "-f", "-P", image]
        self.assert_scrub_safe(image, checker, writes=writes, kind="ntfs")
        self.assert_checks(["ntfsfix", "-n", image], "at the end")


@requires_root
@requires("mkntfs", "ntfs-3g", "ntfsresize", "ntfsfix", "ntfsinfo")
class Ntfs(NtfsFixture):
    def test_every_free_byte_can_be_overwritten(self):
        for size, cluster in ((12 * MiB, 512), (20 * MiB, 1 * KiB), (40 * MiB, 4 * KiB),
                              (100 * MiB, 64 * KiB), (450 * MiB, 2 * MiB)):
            with self.subTest(cluster=cluster):
                image = self.filled(size, "-c", cluster, files=60 if cluster < MiB else 16)
                self.assert_volume_is_safe(image)
                os.remove(image)

    def test_sectors_of_4096_bytes(self):
        self.sector_size = 4096
        image = self.filled(40 * MiB, "-s", 4096, "-c", 4096)
        self.assertEqual(Volume(image).record_size, 4096)
        self.assert_volume_is_safe(image)

    def test_a_size_that_is_no_multiple_of_a_cluster(self):
        image = self.make(40 * MiB + 512 * 77, "-c", 64 * KiB)
        with self.mounted(image) as root:
            self.age(root, files=20)
        self.assert_volume_is_safe(image)
        with open(image, "rb") as file:  # the copy of the boot sector in the last sector
            file.seek(-512, os.SEEK_END)
            self.assertEqual(file.read(512)[3:7], b"NTFS")

    def test_compressed_files(self):
        image = self.make(40 * MiB, "-C", "-c", 4096)
        with self.mounted(image, "compression") as root:
            directory = root / "compressed"
            directory.mkdir()
            os.setxattr(directory, "system.ntfs_attrib_be", struct.pack(">I", 0x810))
            for index in range(10):
                (directory / f"{index}").write_bytes(os.urandom(3000) * 40)
            self.age(root, files=40)
        self.assert_volume_is_safe(image)

    def test_an_mft_in_more_pieces_than_a_record_holds(self):
        image = self.make(12 * MiB, "-c", 512)
        with self.mounted(image) as root:
            for index in range(2000):
                (root / f"{index}").write_bytes(bytes([index % 256]) * 1000)
            with contextlib.suppress(OSError), open(root / "the rest", "wb", 0) as file:
                while True:
                    file.write(b"rest" * 1024)
            for index in range(0, 2000, 2):
                (root / f"{index}").unlink()
            with contextlib.suppress(OSError):  # until the volume is full
                for index in range(4000):
                    (root / f"s{index}").write_bytes(b"in its record")
        self.assertIsNotNone(Volume(image).attribute(0, 0x20), "$MFT has no list of attributes")
        self.assert_volume_is_safe(image, writes=False)

    def test_a_file_in_more_pieces_than_a_record_holds(self):
        image = self.make(12 * MiB, "-c", 512)
        with self.mounted(image) as root:
            with open(root / "in pieces", "wb", 0) as file:
                for index in range(500):  # with holes between them
                    file.seek(index * 32 * KiB)
                    file.write(b"piece" * 200)
            self.age(root, files=40)
        self.assertIn("$ATTRIBUTE_LIST", check("ntfsinfo", "-F", "in pieces", "-f", image))
        self.assert_volume_is_safe(image)

    def test_a_bitmap_in_pieces(self):
        image = self.filled(40 * MiB, "-c", 512)
        volume = Volume(image)
        [[old, length]] = volume.runs(6)
        pieces = self.move_half(volume, old, length)
        self.assertEqual(volume.runs(6), pieces)
        self.assert_volume_is_safe(image)
        self.assertEqual([r for r in free_map(image)["free"] for p in pieces
                          if r[0] < sum(p) and p[0] < sum(r)], [])

    @staticmethod
    def move_half(volume, old, length):
        """Gives the second half of $Bitmap another place, as a driver could have; its pieces."""
        half = length // volume.cluster // 2
        rest = length // volume.cluster - half
        free = next(r for r in free_map(volume.image)["free"] if r[1] >= rest * volume.cluster)
        first, second = old // volume.cluster, free[0] // volume.cluster
        bitmap = bytearray(volume.peek(old, length))
        for index in range(rest):
            bitmap[(second + index) // 8] |= 1 << (second + index) % 8
            bitmap[(first + half + index) // 8] &= ~(1 << (first + half + index) % 8)
        volume.poke(old, bitmap[:half * volume.cluster])
        volume.poke(second * volume.cluster, bitmap[half * volume.cluster:])
        # The attribute is the last one of its record, in front of the first fix-up.
        at = volume.attribute(6, 0x80)
        record = bytearray(volume.record(6))
        runs = struct.pack("<BBiBBi", 0x41, half, first, 0x41, rest, second - first)
        struct.pack_into("<I", record, at + 4, 80)
        struct.pack_into("<16sIQ", record, at + 64, runs, 0xffffffff, 0)
        struct.pack_into("<I", record, 24, at + 88)
        volume.poke(volume.mft + 6 * volume.record_size, record[:500])
        return [[old, half * volume.cluster], [free[0], rest * volume.cluster]]

    def test_label_and_identifier_are_blkids(self):
        for options in (["-L", "hällo €"], []):
            image = self.make(8 * MiB, *options)
            here = container(free_map(image), kind="ntfs")
            self.assertEqual(here["uuid"], check("blkid", "-p", "-s", "UUID", "-o", "value", image))
            self.assertEqual(here["label"], options[1] if options else "")

    def test_two_tebibytes_take_less_than_a_second(self):
        image = self.make(2048 * GiB, "-c", 4096)
        # Nothing is waited for: what it reads is a hole.
        with processor_time() as seconds:
            found = self.exact_map(image, kind="ntfs")
        self.assertGreater(container(found)["free-bytes"], 2000 * GiB)
        self.assertLess(seconds(), 20 if is_sanitized() else 1)


@requires_root
@requires("mkntfs", "ntfs-3g", "ntfsfix")
class Doubt(NtfsFixture):
    def test_the_flags_of_the_volume(self):
        image = self.make(8 * MiB)
        volume = Volume(image)
        for flags in (1, 2, 4, 0x20, 0x4000, 0x8000, 0x8001):
            volume.set_flags(flags)
            self.assert_kept_whole(image, "Windows", kind="ntfs")
        volume.set_flags(0x10)  # the journal of changes is to go: no matter
        self.exact_map(image, kind="ntfs")
        check("ntfsfix", image)  # asks for chkdsk
        self.assert_kept_whole(image, "chkdsk", kind="ntfs")

    def test_the_log(self):
        image = self.make(8 * MiB)
        volume = Volume(image)
        log = volume.runs(2)[0][0]
        clean = restart_page()
        cases = {
            "clean": (clean + clean, None),
            "clean, by its flag alone": (2 * restart_page(client=0, flags=2), None),
            "clean, without a client": (2 * restart_page(flags=0), None),
            "chkdsk was here": (2 * restart_page(magic=b"CHKD"), None),
            "the newer page is clean":
                (restart_page(lsn=200) + restart_page(client=0, flags=0), None),
            "the newer page is not":
                (restart_page(lsn=200, client=0, flags=0) + clean, "shutdown /s /t 0"),
            "in use": (2 * restart_page(client=0, flags=0), "shutdown /s /t 0"),
            "fast startup": (2 * restart_page(major=2), "fast startup"),
            "one page of fast startup": (clean + restart_page(major=2), "fast startup"),
            "unknown version": (2 * restart_page(major=3), "version"),
            "garbage": (random.Random(1).randbytes(8192), "damaged"),
            "zeros": (bytes(8192), "damaged"),
            "second page missing": (clean + b"\xff" * 4096, "damaged"),
            "torn": (clean[:1000] + bytes(24) + clean[1024:] + clean, "damaged"),
            "page size of nonsense": (clean[:16] + struct.pack("<I", 77) + clean[20:] + clean,
                                      "damaged"),
            "a record where the empty log ends": (b"\xff" * 6000 + b"RCRD" + b"\xff" * 2188,
                                                  "damaged"),
        }
        empty = volume.peek(log, 8192)
        self.assertEqual(set(empty), {0xff})
        for name, (pages, word) in cases.items():
            with self.subTest(name):
                volume.poke(log, pages)
                if word is None:
                    self.exact_map(image, kind="ntfs")
                else:
                    self.assert_kept_whole(image, word, kind="ntfs")
        volume.poke(log, empty)
        self.exact_map(image, kind="ntfs")

    def test_hibernated(self):
        for content, word in ((b"hibr", "hibernated"), (b"HIBR", "hibernated"), (b"wake", None),
                              (bytes(4), None)):
            image = self.make(16 * MiB)
            with self.mounted(image) as root:
                (root / "hiberfil.sys").write_bytes(content + b"x" * 100000)
            if word is None:
                self.exact_map(image, kind="ntfs")
            else:
                self.assert_kept_whole(image, word, "shutdown /s /t 0", kind="ntfs")

    def test_every_cluster_in_use_that_the_bitmap_calls_free_is_noticed(self):
        image = self.filled(12 * MiB, "-c", 1024, files=40)
        volume = Volume(image)
        at = volume.runs(6)[0][0]
        bitmap = volume.peek(at, volume.clusters // 8 + 1)
        used = [n for n in range(volume.clusters) if bitmap[n // 8] >> n % 8 & 1]
        for cluster in random.Random(3).sample(used, 80):
            volume.poke(at + cluster // 8, bytes([bitmap[cluster // 8] & ~(1 << cluster % 8)]))
            self.assert_kept_whole(image, "calls free", "chkdsk", kind="ntfs")
            volume.poke(at + cluster // 8, bitmap[cluster // 8:cluster // 8 + 1])
        self.exact_map(image, kind="ntfs")

    def test_a_bitmap_that_is_too_short(self):
        image = self.make(8 * MiB)
        volume = Volume(image)
        attribute = volume.mft + 6 * volume.record_size + volume.attribute(6, 0x80)
        old = volume.peek(attribute + 56, 8)
        volume.poke(attribute + 56, struct.pack("<Q", volume.clusters // 8 - 8))
        self.assert_kept_whole(image, "shorter", kind="ntfs")
        volume.poke(attribute + 56, old)
        self.exact_map(image, kind="ntfs")

    def test_truncated(self):
        image = self.filled(24 * MiB)
        for size in (23 * MiB, 12 * MiB, 64 * KiB, 16 * KiB, 512):
            os.truncate(image, size)
            found = free_map(image)
            self.assertEqual(found["free"], [])
            self.assertNotEqual(container(found)["kept-because"], "")

    def test_flipped_bits_never_free_what_was_in_use(self):
        image = self.filled(12 * MiB, "-c", 1024, files=40)
        volume = Volume(image)
        log = [[at, min(length, 8192)] for at, length in volume.runs(2)[:1]]
        assert_flips_are_safe(self, image, [[0, 512], *volume.runs(0), *volume.runs(6), *log], 150)


if __name__ == "__main__":
    main()
