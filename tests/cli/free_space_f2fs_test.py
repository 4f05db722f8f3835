"""f2fs: what is called free is in no file and in none of its own blocks, and doubt keeps all of it.

No kernel is asked: sload.f2fs fills it, dump.f2fs reads its files, fsck.f2fs looks at it. What a
kernel wrote is in tests/fuzz/corpus/f2fs."""
import hashlib
import os
import pathlib
import random
import re
import struct

from damage_testing import assert_flips_are_safe
from imgtool_testing import GiB, KiB, MiB, check, flip_byte, main, requires, run
from scrub_testing import FREE_RANGES, ScrubTestCase, blkid, container, free_map, scrub

BLOCK = 4096
SEGMENT = 512 * BLOCK
SIT_ENTRY, SIT_ENTRIES = 74, 55


class Volume:
    """What the tests need of the superblock and the checkpoint; offsets are bytes."""

    def __init__(self, image):
        with open(image, "rb") as file:
            super_block = file.read(2 * BLOCK)[1024:]
            field = lambda at: struct.unpack_from("<I", super_block, at)[0]
            self.segments = field(68)
            self.checkpoints, self.sit, self.nat, self.summaries, self.main = \
                (BLOCK * field(at) for at in range(76, 96, 4))
            self.sit_set = field(56) // 2 * SEGMENT
            packs = []
            for pack in (self.checkpoints, self.checkpoints + SEGMENT):
                file.seek(pack)
                packs.append((struct.unpack("<Q", file.read(8))[0], pack))
            file.seek(max(packs)[1])
            checkpoint = file.read(BLOCK)
        self.sit_bits = checkpoint[192:192 + struct.unpack_from("<I", checkpoint, 156)[0]]

    def sit_entry(self, segment):
        """Where the entry of a segment is, in the set that counts."""
        number = segment // SIT_ENTRIES
        second = self.sit_bits[number // 8] >> (7 - number % 8) & 1
        return self.sit + second * self.sit_set + number * BLOCK + segment % SIT_ENTRIES * SIT_ENTRY


@requires("mkfs.f2fs", "sload.f2fs", "dump.f2fs", "fsck.f2fs")
class F2fsTestCase(ScrubTestCase):
    def make(self, size, *options):
        image = self.zero_image(size)
        check("mkfs.f2fs", "-q", *options, image)
        return image

    def tree(self, files=24, largest=200 * KiB, seed=1):
        """A folder of files with names of their own, and what they hold by name."""
        generator = random.Random(seed)
        root = self.path()
        (root / "directory" / "deeper").mkdir(parents=True)
        held = {}
        for index in range(files):
            size = generator.choice([1, 100, 3400, 5000, 40 * KiB, largest])
            name = f"file{index}" + "x" * generator.randrange(30)
            content = generator.randbytes(size)
            (root / ["", "directory", "directory/deeper"][index % 3] / name).write_bytes(content)
            held[name] = hashlib.sha256(content).hexdigest()
        (root / "link").symlink_to("target" * 200)
        held["link"] = hashlib.sha256(b"target" * 200).hexdigest()
        return root, held

    def filled(self, size, *options, **how):
        image = self.make(size, *options)
        root, held = self.tree(**how)
        check("sload.f2fs", "-f", root, image)
        return image, held

    def held_by(self, image):
        """The content of all files with one, by name, as dump.f2fs reads them.
        Links are files there."""
        folder = self.path()
        folder.mkdir()
        here = os.getcwd()
        try:
            os.chdir(folder)
            check("dump.f2fs", "-n", "0~-1", image)
            inodes = re.findall(r"nid:\s*(\d+)\s+ino:\s*\1\s", pathlib.Path("dump_nat").read_text())
            for inode in inodes:
                run(["dump.f2fs", "-i", inode, image], input=b"Y\n")
            return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
                    for path in pathlib.Path("lost_found").iterdir()}
        finally:
            os.chdir(here)

    @staticmethod
    def has_extra_attributes(image):
        """dump.f2fs 1.15 does not know that they move what is held in an inode."""
        with open(image, "rb") as file:
            return struct.unpack_from("<I", file.read(BLOCK), 1024 + 2180)[0] & 8 != 0

    def used_blocks(self, image):
        """Of each segment the bitmap of blocks in use, as dump.f2fs tells."""
        folder = self.path()
        folder.mkdir()
        here = os.getcwd()
        try:
            os.chdir(folder)
            check("dump.f2fs", "-s", "0~-1", image)
            text = pathlib.Path("dump_sit").read_text()
        finally:
            os.chdir(here)
        maps = {}
        for number, body in re.findall(r"^segno:\s*(\d+)[^\n]*\n(.*?)(?=^segno|\Z)", text,
                                       re.M | re.S):
            rows = re.findall(r"^ +((?:[0-9a-f]{2} *){16})$", body, re.M)
            maps[int(number)] = bytes.fromhex("".join(rows)) or bytes(64)
        return maps

    def assert_free_as_dumped(self, image, found):
        """All blocks that dump.f2fs does not call used, but for the witnesses among them."""
        volume = Volume(image)
        free = []
        for number, bits in sorted(self.used_blocks(image).items()):
            if number >= volume.segments:
                continue
            for block in range(512):
                if bits[block // 8] >> (7 - block % 8) & 1:
                    continue
                at = volume.main + number * SEGMENT + block * BLOCK
                if any(at == offset for offset, _ in found["witnesses"]):
                    continue
                if free and sum(free[-1]) == at:
                    free[-1][1] += BLOCK
                else:
                    free.append([at, BLOCK])
        self.assertEqual(found["free"], free)

    def assert_survives(self, image, held):
        found = self.exact_map(image, kind="f2fs")
        self.assert_free_as_dumped(image, found)
        before = self.held_by(image)
        self.assertEqual(set(before), set(held))
        if not self.has_extra_attributes(image):
            self.assertEqual(before, held)
        scrub(image, found["free"])
        self.assert_checks(["fsck.f2fs", "--dry-run", image], "after the scrub")
        self.assertEqual(self.held_by(image), before)
        self.assertEqual(free_map(image)["free"], found["free"])


VARIANTS = {
    "plain": (100 * MiB,),
    "checksums": (100 * MiB, "-O", "extra_attr,inode_checksum,sb_checksum"),
    "compression": (100 * MiB, "-O", "extra_attr,compression"),
    "quotas": (100 * MiB, "-O", "extra_attr,quota,project_quota,encrypt,inode_crtime,lost_found"),
    "casefold": (100 * MiB, "-C", "utf8", "-O", "casefold"),
    "sections": (200 * MiB, "-s", 4),
    "zones": (256 * MiB, "-s", 2, "-z", 4),
    "overprovision": (100 * MiB, "-o", 20),
    "large NAT bitmap": (100 * MiB, "-i"),
    "extensions": (100 * MiB, "-e", "txt,doc", "-E", "db"),
    "odd size": (100 * MiB + 3 * 4096 + 512,),
    "read only": (100 * MiB, "-O", "ro"),
}


class F2fs(F2fsTestCase):
    def test_every_free_byte_can_be_overwritten(self):
        for name, (size, *options) in VARIANTS.items():
            with self.subTest(name):
                image, held = self.filled(size, *options)
                self.assert_survives(image, held)
                image.unlink()

    def test_files_with_all_kinds_of_nodes(self):
        """So long that the map takes indirect nodes."""
        image = self.make(256 * MiB)
        root, held = self.tree(files=6)
        content = random.Random(2).randbytes(60 * MiB)
        (root / "long").write_bytes(content)
        held["long"] = hashlib.sha256(content).hexdigest()
        check("sload.f2fs", "-f", root, image)
        self.assert_survives(image, held)

    def test_empty_ones_of_all_sizes(self):
        """In large ones the bitmaps go on behind the first block of the checkpoint."""
        for size, *options in ((64 * MiB,), (1 * GiB,), (40 * GiB,), (40 * GiB, "-i"),
                               (1024 * GiB,)):
            with self.subTest(size=size, options=options):
                image = self.make(size, *options)
                found = self.exact_map(image, kind="f2fs")
                self.assertLess(len(found["free"]), 20)
                self.assertGreater(sum(length for _, length in found["free"]), size * 2 // 3)
                scrub(image, [[offset, min(length, MiB)] for offset, length in found["free"]])
                self.assert_checks(["fsck.f2fs", "--dry-run", image], "after the scrub")
                image.unlink()

    def test_label_and_identifier_are_blkids(self):
        for options in (["-l", "hällo €"], []):
            image = self.make(64 * MiB, *options)
            here = container(free_map(image), kind="f2fs")
            self.assertEqual(here["uuid"], blkid(image)["UUID"])
            self.assertEqual(here["label"], options[1] if options else "")

    def test_used_leaves_out_what_is_free(self):
        image, held = self.filled(100 * MiB)
        found = self.exact_map(image, kind="f2fs")
        scrub(image, found["free"])
        out = self.path("out.img")
        self.imgtool_ok("convert", "--drop-free", image, out)
        self.assertEqual(self.held_by(out), held)
        self.assert_checks(["fsck.f2fs", "--dry-run", out], "the copy")
        with open(out, "rb") as file:
            for offset, length in found["free"]:
                file.seek(offset)
                self.assertEqual(file.read(length).count(0), length)


class Doubt(F2fsTestCase):
    def test_every_block_in_use_that_the_bitmap_calls_free_is_noticed(self):
        image, _ = self.filled(100 * MiB)
        volume = Volume(image)
        used = [(segment, block) for segment, bits in self.used_blocks(image).items()
                if segment < volume.segments
                for block in range(512) if bits[block // 8] >> (7 - block % 8) & 1]
        believed = 0
        for segment, block in random.Random(3).sample(used, 60):
            at = volume.sit_entry(segment)
            with open(image, "r+b") as file:
                file.seek(at)
                entry = file.read(SIT_ENTRY)
                changed = bytearray(entry)
                changed[2 + block // 8] &= ~(0x80 >> block % 8)
                self.assertNotEqual(bytes(changed), entry, "the entry is not in the journal")
                struct.pack_into("<H", changed, 0, struct.unpack_from("<H", entry)[0] - 1)
                file.seek(at)
                file.write(changed)
            self.assert_kept_whole(image, kind="f2fs")
            told = container(run([FREE_RANGES, "--trust-maps", image]).json, kind="f2fs")
            believed += told["map-believed"] and not told["kept"]
            with open(image, "r+b") as file:
                file.seek(at)
                file.write(entry)
        self.assertGreater(believed, 20, "the files alone told")
        self.assertFalse(container(self.exact_map(image))["map-believed"])

    def test_several_devices(self):
        image, other = self.zero_image(64 * MiB), self.zero_image(64 * MiB)
        check("mkfs.f2fs", "-q", "-c", other, image)
        self.assert_kept_whole(image, "several devices", kind="f2fs")

    def test_sload_that_was_cut_short(self):
        image = self.make(60 * MiB)
        root, _ = self.tree(files=300, largest=MiB)
        self.assertNotEqual(run(["sload.f2fs", "-f", root, image]).code, 0)
        self.assert_kept_whole(image, kind="f2fs")

    def test_truncated(self):
        image, _ = self.filled(100 * MiB)
        for size in (99 * MiB, 30 * MiB, 5 * MiB, 100 * KiB, 8 * KiB, 4 * KiB):
            os.truncate(image, size)
            found = free_map(image)
            self.assertEqual(found["free"], [])
            self.assertNotEqual(container(found)["kept-because"], "")

    def test_checksum_of_the_superblock(self):
        image = self.make(64 * MiB, "-O", "extra_attr,sb_checksum")
        for at in (1024 + 40, 1024 + 300, 4096 + 1024 + 2500):
            flip_byte(image, at)
            self.assert_kept_whole(image, "superblock", "fsck.f2fs", kind="f2fs")
            flip_byte(image, at)
        self.exact_map(image)

    def test_flipped_bits_never_free_what_was_in_use(self):
        image, _ = self.filled(100 * MiB, "-O", "extra_attr,inode_checksum,sb_checksum", files=40)
        volume = Volume(image)
        assert_flips_are_safe(self, image, [[0, 2 * BLOCK],
                                            [volume.checkpoints, volume.sit - volume.checkpoints],
                                            [volume.sit, volume.nat - volume.sit],
                                            [volume.nat, volume.summaries - volume.nat]], 150)
        nodes = [[volume.main + segment * SEGMENT, SEGMENT] for segment in (0, 1, 2)]
        assert_flips_are_safe(self, image, nodes, 100)


if __name__ == "__main__":
    main()
