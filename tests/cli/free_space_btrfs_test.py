"""What is free in btrfs: overwritten for real, compared with what btrfs counts, and kept whole when
in doubt."""
import os
import random
import re

from btrfs_group_tree import Btrfs, move_groups_into_their_tree
from imgtool_testing import KiB, MiB, check, flip_byte, main, requires, requires_root, run, unmount
from scrub_testing import FREE_RANGES, ScrubTestCase, container, contents, free_map, scrub
from xfs_testing import crc32c

SIZE = 256 * MiB
SUPERBLOCK = 64 * KiB


def number(image, offset, size=8):
    """A number of the superblock."""
    with open(image, "rb") as file:
        file.seek(SUPERBLOCK + offset)
        return int.from_bytes(file.read(size), "little")


def set_number(image, offset, value, size=8):
    """Changes a number of the superblock, and its checksum with it."""
    with open(image, "r+b") as file:
        file.seek(SUPERBLOCK)
        block = bytearray(file.read(4096))
        block[offset:offset + size] = value.to_bytes(size, "little")
        block[:4] = crc32c(block[32:]).to_bytes(4, "little")
        file.seek(SUPERBLOCK)
        file.write(block)


class BtrfsTestCase(ScrubTestCase):
    def make(self, *options, size=SIZE):
        image = self.zero_image(size)
        check("mkfs.btrfs", "-q", *options, image)
        return image

    def copy(self, image):
        copy = self.path()
        check("cp", "--sparse=always", image, copy)
        return copy

    def assert_counts_agree(self, image, found):
        """What is not free is what btrfs counts as used, in all copies, and what may not be used."""
        with self.mounted(image, "ro") as root:
            text = check("btrfs", "filesystem", "df", "--raw", root)
        used = MiB + 64 * KiB  # in front, and around the second superblock
        for profile, length in re.findall(r"^(?!Global).*, (\w+): total=\d+, used=(\d+)", text,
                                          re.MULTILINE):
            used += {"single": 1, "DUP": 2}[profile] * int(length)
        self.assertEqual(SIZE - sum(length for _, length in found["free"]), used, text)


@requires_root
@requires("mkfs.btrfs", "btrfs")
class Scrub(BtrfsTestCase):
    def assert_survives(self, image, **options):
        self.assert_counts_agree(image, self.exact_map(image))
        self.assert_scrub_safe(image, ["btrfs", "check", "--readonly", image], **options)

    def check_variant(self, *options, mount_options=(), **how):
        image = self.make(*options)
        with self.mounted(image, *mount_options) as root:
            self.age(root, **{"fill": 0.4, "files": 300, **how})
        self.assert_survives(image, at_least=SIZE // 8)

    def test_defaults(self):
        self.check_variant("-L", "a label")

    def test_single(self):
        self.check_variant("-m", "single", "-d", "single")

    def test_two_copies_of_everything(self):
        self.check_variant("-m", "dup", "-d", "dup", fill=0.3)

    def test_mixed(self):
        self.check_variant("--mixed")

    def test_small_nodes(self):
        """The trees get several levels."""
        self.check_variant("-n", "4k", "-m", "single", files=900, largest=40 * KiB)

    def test_large_nodes_and_old_features(self):
        self.check_variant("-n", "64k", "-O", "^no-holes,^skinny-metadata",
                           "-R", "^free-space-tree")

    def test_compressed(self):
        self.check_variant(mount_options=["compress-force=zstd"])

    def test_other_checksums(self):
        for kind in ("xxhash", "sha256", "blake2"):
            with self.subTest(kind=kind):
                self.check_variant("--csum", kind, files=60)

    def test_a_flipped_byte_under_other_checksums(self):
        for kind in ("xxhash", "sha256", "blake2"):
            with self.subTest(kind=kind):
                image = self.make("--csum", kind, "-m", "single")
                address = re.search(r"^leaf (\d+) items", dumped(image, "extent"), re.M)[1]
                text = check("btrfs-map-logical", "-l", address, "-c", 1, image)
                place = int(re.search(r"physical (\d+)", text)[1])
                for at in (SUPERBLOCK + 3000, SUPERBLOCK + 3, place + 8000):
                    flip_byte(image, at)
                    self.assert_kept_whole(image, "checksum")
                    flip_byte(image, at)
                self.exact_map(image)

    def test_block_groups_in_a_tree_of_their_own(self):
        image = self.make("-m", "single")
        before = self.exact_map(image)["free"]
        move_groups_into_their_tree(image)
        self.assertEqual(number(image, 0xb4) & 8, 8)
        after = self.exact_map(image)["free"]
        self.assertEqual(sum(length for _, length in before) - 16 * KiB,
                         sum(length for _, length in after))
        with self.mounted(image) as root:  # the kernel goes on with it
            self.age(root, fill=0.4, files=200)
        self.assertEqual(number(image, 0xb4) & 8, 8)
        self.assert_survives(image, at_least=SIZE // 8)
        set_number(image, 0xb4, number(image, 0xb4) & ~8)
        self.assert_kept_whole(image, "counts other bytes")

    def test_several_devices(self):
        """Of each, what no chunk has is free; all files survive on all of them."""
        for profile in ("raid1", "raid0", "single"):
            with self.subTest(data=profile):
                images = [self.zero_image(SIZE) for _ in range(2)]
                check("mkfs.btrfs", "-q", "-m", "raid1", "-d", profile, *images)
                devices = [self.loop_device(image, direct_io=False) for image in images]
                check("btrfs", "device", "scan", *devices)
                root = self.path()
                root.mkdir()
                check("mount", devices[0], root)
                self.age(root, fill=0.2, files=60)
                before = contents(root)
                unmount(root)
                for image in images:
                    scrub(image, self.exact_map(image)["free"])
                self.assert_checks(["btrfs", "check", "--readonly", devices[0]], profile)
                check("mount", devices[1], root)
                self.assertEqual(contents(root), before)
                unmount(root)
                check("btrfs", "device", "scan", "--forget", *devices)
                for device in devices:
                    self.detach(device)

    def test_a_device_without_the_chunk_tree_is_kept(self):
        images = [self.zero_image(SIZE), self.zero_image(SIZE)]
        check("mkfs.btrfs", "-q", "-m", "single", "-d", "single", *images)
        kept = [container(free_map(image))["kept"] for image in images]
        self.assertIn("unsupported", kept)

    def test_snapshots_and_deleted_subvolumes(self):
        image = self.make("-n", "4k")
        with self.mounted(image) as root:
            for name in ("kept", "deleted"):
                check("btrfs", "subvolume", "create", root / name)
                self.age(root / name, fill=0.15, files=100)
            check("btrfs", "subvolume", "snapshot", root / "kept", root / "snapshot")
            for path in list((root / "kept" / "turn0").iterdir())[::2]:
                path.unlink()
            with open(next((root / "snapshot" / "turn1").iterdir()), "ab") as file:
                file.write(random.Random(6).randbytes(300 * KiB))
            check("sync", "-f", root)
            check("btrfs", "subvolume", "delete", "-c", root / "deleted")
            check("btrfs", "subvolume", "sync", root)
        self.assert_survives(image)

    def test_deletion_that_was_interrupted(self):
        """What a deleted subvolume has is in use until the cleaner was there."""
        image = self.make("-n", "4k")
        with self.mounted(image) as root:
            check("btrfs", "subvolume", "create", root / "deleted")
            self.age(root / "deleted", fill=0.3, files=400)
            (root / "file").write_bytes(bytes(100000))
            check("sync", "-f", root)
            check("btrfs", "subvolume", "delete", "-c", root / "deleted")
        self.assert_survives(image)

    def test_balanced(self):
        """Addresses and places are in different orders."""
        image = self.make("-m", "single")
        with self.mounted(image) as root:
            self.age(root, fill=0.3, files=200)
            check("btrfs", "balance", "start", "-f", "-d", "-m", "-s", root)
            check("btrfs", "balance", "start", "-f", "-d", "-mconvert=dup", root)
            (root / "more").write_bytes(random.Random(5).randbytes(MiB))
        self.assert_survives(image)

    def test_smaller_than_its_container(self):
        image = self.make("-m", "single", size=SIZE + 64 * MiB)  # 256 MiB is the least
        with self.mounted(image) as root:
            (root / "file").write_bytes(random.Random(5).randbytes(MiB))
            check("btrfs", "filesystem", "resize", SIZE + 16 * MiB, root)
        found = self.exact_map(image)
        self.assertLessEqual(max(sum(piece) for piece in found["free"]), SIZE + 16 * MiB)
        self.assert_scrub_safe(image, ["btrfs", "check", "--readonly", image])

    def test_new_uuid(self):
        """Blocks keep the old one."""
        image = self.make()
        with self.mounted(image) as root:
            self.age(root, fill=0.2, files=50)
        uuid = "01234567-89ab-cdef-0123-456789abcdef"
        check("btrfstune", "-f", "-M", uuid, image)
        self.assertEqual(container(free_map(image))["uuid"], uuid)
        self.assert_survives(image)


def dumped(image, tree):
    return check("btrfs", "inspect-internal", "dump-tree", "-t", tree, image)


@requires_root
@requires("mkfs.btrfs", "btrfs")
class Disagreement(BtrfsTestCase):
    """Files and extent tree, each of them sound, contradict each other."""

    def make_filled(self):
        image = self.make("-m", "single", "-n", "4k")
        with self.mounted(image) as root:
            check("btrfs", "subvolume", "create", root / "sub")
            for index in range(60):
                (root / "sub" / str(index)).write_bytes(bytes([index]) * 9000)
            check("sync", "-f", root)
            check("btrfs", "subvolume", "snapshot", root / "sub", root / "snapshot")
        return image

    def change(self, image, address, old, new):
        """A number in the tree block at a logical address, and its checksum with it."""
        text = check("btrfs-map-logical", "-l", address, "-c", 1, image)
        place = int(re.search(r"physical (\d+)", text)[1])
        with open(image, "r+b") as file:
            file.seek(place)
            block = file.read(4096)
            at = block.index(old.to_bytes(8, "little"), 101)
            block = block[:at] + new.to_bytes(8, "little") + block[at + 8:]
            file.seek(place)
            file.write(crc32c(block[32:]).to_bytes(4, "little") + bytes(28) + block[32:])

    def assert_noticed(self, image, address, old, new, *words):
        self.change(image, address, old, new)
        self.assert_kept_whole(image, *words)
        believed = run([FREE_RANGES, "--trust-maps", image]).json
        self.assertEqual(container(believed)["kept"], "")
        self.assertTrue(container(believed)["map-believed"])
        self.change(image, address, new, old)
        self.assertFalse(container(self.exact_map(image))["map-believed"])

    def test_a_file_and_a_tree_block_in_free_space(self):
        image = self.make_filled()
        text = dumped(image, "256")
        leaf, extent = map(int, re.search(r"^leaf (\d+) items(?:(?!^leaf \d+ items).)*?data disk byte "
                                          r"(\d+)", text, re.M | re.S).groups())
        # The last of the data chunk, which is mostly empty.
        chunks = re.findall(r"CHUNK_ITEM (\d+)\).*\n\s+length (\d+) .* type DATA",
                            dumped(image, "3"))
        address, length = map(int, chunks[-1])
        self.assert_noticed(image, leaf, extent, address + length - 8 * KiB,
                            "uses blocks that the extent tree calls free", "tree 256")
        node, child = map(int, re.search(r"^node (\d+) level.*?key .*? block (\d+)", text,
                                         re.M | re.S).groups())
        self.assert_noticed(image, node, child, address + length - 8 * KiB,
                            "tree 256 has blocks that the extent tree calls free")


@requires_root
@requires("mkfs.btrfs", "btrfs")
class Live(BtrfsTestCase):
    def test_a_copy_of_a_mounted_one_is_exact_after_a_commit(self):
        image = self.make()
        with self.mounted(image) as root:
            self.age(root, fill=0.2, files=100)
            check("sync", "-f", root)
            before = contents(root)
            copy = self.copy(image)
        scrub(copy, self.exact_map(copy)["free"])
        image.unlink()  # two mounted file systems of one uuid would be taken for one
        self.assert_checks(["btrfs", "check", "--readonly", copy], "after the scrub")
        with self.mounted(copy) as root:
            self.assertEqual(contents(root), before)

    @staticmethod
    def write_synced(*folders):
        for folder in folders:
            for index in range(20):
                with open(folder / f"synced {index}", "wb") as file:
                    file.write(random.Random(index).randbytes(1 + 30000 * index))
                    file.flush()
                    os.fsync(file.fileno())

    def synced(self):
        """A copy of a mounted one, with files that were synced after the last commit, and what
        must be in it."""
        image = self.make("-m", "single")
        with self.mounted(image, "commit=300") as root:
            check("btrfs", "subvolume", "create", root / "sub")
            self.age(root, fill=0.1, files=40)
            for _ in range(9):  # until no transaction ends meanwhile
                check("sync", "-f", root)
                generation = number(image, 0x48)
                self.write_synced(root, root / "sub")
                copy = self.copy(image)
                if number(copy, 0x48) == generation:
                    break
            self.assertEqual(number(copy, 0x48), generation)
            before = contents(root)
        image.unlink()  # two mounted file systems of one uuid would be taken for one
        self.assertNotEqual(number(copy, 0x60), 0)
        return copy, before

    def test_with_a_log_tree(self):
        """What was synced is in no tree but that, until a mount brings it home."""
        copy, before = self.synced()
        free = self.exact_map(copy)["free"]
        set_number(copy, 0x60, (log := number(copy, 0x60)) * 0)
        without = self.exact_map(copy)["free"]
        set_number(copy, 0x60, log)
        lost = sum(length for _, length in without) - sum(length for _, length in free)
        self.assertGreater(lost, sum(30000 * index for index in range(20)))
        scrub(copy, free)
        with self.mounted(copy) as root:
            self.assertEqual(contents(root), before)
        self.assertEqual(number(copy, 0x60), 0)
        self.assert_checks(["btrfs", "check", "--readonly", copy], "after the scrub and the replay")

    def test_with_a_damaged_log_tree_it_is_kept(self):
        copy, _ = self.synced()
        place = Btrfs(copy).place(number(copy, 0x60))
        self.exact_map(copy)
        flip_byte(copy, place + 200)
        self.assert_kept_whole(copy, "checksum")
        flip_byte(copy, place + 200)
        set_number(copy, 0x60, 2 ** 50)
        self.assert_kept_whole(copy, "log tree", "unmount")

    def test_frozen(self):
        image = self.make()
        with self.mounted(image) as root:
            self.age(root, fill=0.2, files=50)
            with open(root / "synced", "wb") as file:
                os.fsync(file.fileno())
            check("fsfreeze", "--freeze", root)
            try:
                copy = self.copy(image)
            finally:
                check("fsfreeze", "--unfreeze", root)
        scrub(copy, self.exact_map(copy)["free"])
        self.assert_checks(["btrfs", "check", "--readonly", copy], "after the scrub")

    def test_witnesses_change_with_every_commit(self):
        image = self.make()
        ranges = self.exact_map(image)["witnesses"]
        self.assertGreater(len(ranges), 0)

        def witnesses():
            with open(image, "rb") as file:
                return [os.pread(file.fileno(), length, offset) for offset, length in ranges]

        before = witnesses()
        with self.mounted(image) as root:
            (root / "new").touch()
            check("sync", "-f", root)
            self.assertNotEqual(before, witnesses())


@requires("mkfs.btrfs", "btrfs")
class Kept(BtrfsTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.make("-L", "a label")
        self.exact_map(self.image)

    def test_what_blkid_says(self):
        found = container(free_map(self.image))
        told = dict(line.split("=", 1) for line in
                    check("blkid", "-p", "-o", "export", self.image).splitlines())
        self.assertEqual((found["type"], found["label"], found["uuid"]),
                         (told["TYPE"], told["LABEL"].replace("\\ ", " "), told["UUID"]))
        self.assertEqual(found["size"], SIZE)
        self.assertEqual(found["block-size"], 4096)

    @requires("btrfstune")
    def test_seed(self):
        check("btrfstune", "-f", "-S", "1", self.image)
        self.assert_kept_whole(self.image, "not known", "flags")

    def test_unknown_features(self):
        for offset, word, bits in ((0xbc, "incompat", (12, 13, 14, 17, 40)),
                                   (0xb4, "ro_compat", (4, 50)), (0xac, "compat", (0,)),
                                   (0x38, "flags", (33, 40))):
            for bit in bits:
                with self.subTest(word=word, bit=bit):
                    old = number(self.image, offset)
                    set_number(self.image, offset, old | 1 << bit)
                    self.assert_kept_whole(self.image, "not known", word, hex(1 << bit))
                    set_number(self.image, offset, old)
        self.exact_map(self.image)

    def test_marked_as_damaged(self):
        set_number(self.image, 0x38, number(self.image, 0x38) | 4)
        self.assert_kept_whole(self.image, "marked as damaged")

    def test_wrong_counters(self):
        for offset in (0x78, 0xd9):  # bytes used; bytes in chunks
            with self.subTest(offset=offset):
                old = number(self.image, offset)
                set_number(self.image, offset, old - 4096)
                self.assert_kept_whole(self.image, "contradict", "btrfs check")
                set_number(self.image, offset, old)

    def test_older_root(self):
        """A superblock that points to a block of another generation."""
        set_number(self.image, 0x48, number(self.image, 0x48) + 1)
        self.assert_kept_whole(self.image, "generation")

    def test_truncated(self):
        os.truncate(self.image, SIZE - 4096)
        self.assert_kept_whole(self.image, "cut off")

    def test_flipped_bytes(self):
        flip_byte(self.image, SUPERBLOCK + 3000)
        self.assert_kept_whole(self.image, "checksum")
        flip_byte(self.image, SUPERBLOCK + 3000)
        for tree, words in (("root", "tree 1"), ("chunk", "tree 3"), ("extent", "tree 2")):
            text = check("btrfs", "inspect-internal", "dump-tree", "-t", tree, self.image)
            address = int(re.search(r"^leaf (\d+) items", text, re.MULTILINE)[1])
            text = check("btrfs-map-logical", "-l", address, "-c", 1, self.image)
            place = int(re.search(r"physical (\d+)", text)[1])
            for offset in (0, 50, 5000, 16383):
                with self.subTest(tree=tree, offset=offset):
                    flip_byte(self.image, place + offset)
                    self.assert_kept_whole(self.image, words, "checksum")
                    flip_byte(self.image, place + offset)
        self.exact_map(self.image)


if __name__ == "__main__":
    main()
