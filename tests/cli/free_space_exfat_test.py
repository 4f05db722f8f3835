"""exFAT: what is called free is in no file, and doubt keeps all of it."""
import os
import random
import struct

from damage_testing import assert_flips_are_safe
from fuse_testing import ExfatTestCase
from imgtool_testing import KiB, MiB, check, flip_byte, main, requires, requires_root
from scrub_testing import container, free_map


class Volume:
    """What the tests need of the boot sector; offsets are bytes."""

    def __init__(self, image):
        with open(image, "rb") as file:
            boot = file.read(512)
            sector = 1 << boot[108]
            self.cluster = sector << boot[109]
            self.table, _, self.heap, self.clusters, self.root_cluster = \
                (value * unit for value, unit in
                 zip(struct.unpack_from("<5I", boot, 80), (sector, sector, sector, 1, 1)))
            self.root = self.offset(self.root_cluster)
            file.seek(self.root)
            root = file.read(self.cluster)
        for at in range(0, len(root), 32):
            if root[at] == 0x81:
                self.bitmap = self.offset(struct.unpack_from("<I", root, at + 20)[0])
                self.bitmap_length = (self.clusters + 7) // 8

    def offset(self, cluster):
        return self.heap + (cluster - 2) * self.cluster


class ExfatFixture(ExfatTestCase):
    def make(self, size, *options):
        image = self.zero_image(size)
        if self.sector_size == 512:
            check("mkfs.exfat", *options, image)
        else:
            device = check("losetup", "--find", "--show", "--sector-size", self.sector_size, image)
            try:
                check("mkfs.exfat", *options, device)
            finally:
                check("losetup", "--detach", device)
        return image

    def filled(self, size, *options, files=60, **how):
        image = self.make(size, *options)
        with self.mounted(image) as root:
            self.age(root, files=files, links=False, **{"largest": 128 * KiB, **how})
            (root / "deep" / "er").mkdir(parents=True)
            (root / "deep" / "er" / "ünï €.txt").write_text("x" * 100)
        return image

    def poke(self, image, offset, data):
        with open(image, "r+b") as file:
            file.seek(offset)
            file.write(data)


@requires_root
@requires("mkfs.exfat", "fsck.exfat", "mount.exfat-fuse")
class Exfat(ExfatFixture):
    def test_every_free_byte_can_be_overwritten(self):
        for size, cluster in ((5 * MiB, 512), (24 * MiB, 4 * KiB), (64 * MiB, 32 * KiB),
                              (100 * MiB, 1 * MiB), (300 * MiB, 8 * MiB)):
            with self.subTest(cluster=cluster):
                image = self.filled(size, "-c", cluster, files=60 if cluster < MiB else 8)
                self.assert_scrub_safe(image, ["fsck.exfat", "-n", image], kind="exfat")
                os.remove(image)

    def test_sectors_of_4096_bytes(self):
        self.sector_size = 4096
        image = self.filled(64 * MiB, "-c", 8 * KiB)
        self.assert_scrub_safe(image, ["true"], kind="exfat")

    def test_a_bitmap_beside_the_table(self):
        image = self.filled(24 * MiB, "-c", 4 * KiB, "--pack-bitmap")
        self.assert_scrub_safe(image, ["fsck.exfat", "-n", image], kind="exfat")

    def test_label_and_identifier_are_blkids(self):
        for options in (["-L", "hällo €"], []):
            image = self.make(16 * MiB, *options)
            here = container(free_map(image), kind="exfat")
            self.assertEqual(here["uuid"], check("blkid", "-p", "-s", "UUID", "-o", "value", image))
            self.assertEqual(here["label"], options[1] if options else "")

    @requires("partclone.exfat")
    def test_partclone_agrees(self):
        image = self.filled(64 * MiB, "-c", 4 * KiB)
        domain = self.path()
        check("partclone.exfat", "-D", "--offset_domain=0", "-s", image, "-o", domain,
              "-L", self.path())
        lines = [line.split() for line in domain.read_text().splitlines()[3:]]
        free = [[int(line[0], 16), int(line[1], 16)] for line in lines
                if len(line) == 3 and line[2] == "?"]
        self.assertEqual(free_map(image)["free"], free)


@requires_root
@requires("mkfs.exfat", "mount.exfat-fuse")
class Doubt(ExfatFixture):
    def test_while_mounted(self):
        image = self.make(24 * MiB, "-c", 4 * KiB)
        with self.mounted(image) as root:
            (root / "file").write_bytes(b"x" * 100000)
            os.sync()
            self.assert_kept_whole(image, "dirty", "unmount", kind="exfat")
        self.exact_map(image, kind="exfat")

    def test_flags(self):
        image = self.make(24 * MiB, "-c", 4 * KiB)
        for flags, word in ((1, "TexFAT"), (2, "dirty"), (4, "medium")):
            self.poke(image, 106, struct.pack("<H", flags))
            self.assert_kept_whole(image, word, kind="exfat")

    def test_the_boot_sectors_checksum(self):
        image = self.make(24 * MiB, "-c", 4 * KiB)
        for at in (70, 100, 300, 512 * 3 + 5, 512 * 11 + 8):
            flip_byte(image, at)
            self.assert_kept_whole(image, "boot sector", "fsck.exfat", kind="exfat")
            flip_byte(image, at)
        self.exact_map(image, kind="exfat")

    def test_every_cluster_in_use_that_the_bitmap_calls_free_is_noticed(self):
        image = self.filled(8 * MiB, "-c", 4 * KiB, files=40)
        volume = Volume(image)
        bitmap = bytearray(image.read_bytes()[volume.bitmap:][:volume.bitmap_length])
        used = [n for n in range(volume.clusters) if bitmap[n // 8] >> n % 8 & 1]
        for cluster in random.Random(3).sample(used, 80):
            at = volume.bitmap + cluster // 8
            self.poke(image, at, bytes([bitmap[cluster // 8] & ~(1 << cluster % 8)]))
            self.assert_kept_whole(image, "calls free", kind="exfat")
            self.poke(image, at, bytes([bitmap[cluster // 8]]))
        self.exact_map(image, kind="exfat")

    def test_truncated(self):
        image = self.filled(24 * MiB, "-c", 4 * KiB)
        for size in (23 * MiB, 5 * MiB, 100 * KiB, 4 * KiB, 512):
            os.truncate(image, size)
            found = free_map(image)
            self.assertEqual(found["free"], [])
            self.assertNotEqual(container(found)["kept-because"], "")

    def test_flipped_bits_never_free_what_was_in_use(self):
        image = self.filled(8 * MiB, "-c", 512, files=40, largest=20000)
        volume = Volume(image)
        assert_flips_are_safe(self, image, [[0, 12 * 512], [volume.table, 8192],
                                            [volume.bitmap, volume.bitmap_length],
                                            [volume.root, 4096]], 150)


if __name__ == "__main__":
    main()
