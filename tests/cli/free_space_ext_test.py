"""What is called free in ext2, ext3 and ext4 can be overwritten, and all that is doubtful is kept."""
import os
import re
import shutil

import libext2fs
from imgtool_testing import KiB, MiB, check, flip_byte, main, random_bytes, requires, requires_root, run
from scrub_testing import ScrubTestCase, container, contents, free_map, scrub

VARIANTS = {
    "ext2_1k": "-t ext2 -b 1024",
    "ext2_revision_0": "-t ext2 -r 0 -b 1024",
    "ext3": "-t ext3 -b 4096",
    "ext4": "-t ext4 -b 4096",
    "ext4_1k": "-t ext4 -b 1024",
    "ext4_2k_large_inodes": "-t ext4 -b 2048 -I 1024",
    "no_flex_bg": "-t ext4 -b 1024 -O ^flex_bg",
    "small_groups": "-t ext4 -b 1024 -g 2048",
    "meta_bg": "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode",
    "meta_bg_32bit": "-t ext4 -b 1024 -g 1024 -O meta_bg,^resize_inode,^64bit",
    "bigalloc_64k": "-t ext4 -b 4096 -O bigalloc -C 65536",
    "bigalloc_16k_of_1k": "-t ext4 -b 1024 -O bigalloc -C 16384",
    "uninit_bg": "-t ext4 -b 1024 -O uninit_bg,^metadata_csum",
    "no_checksums": "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg",
    "sparse_super2": "-t ext4 -b 1024 -O sparse_super2",
    "no_sparse_super": "-t ext4 -b 1024 -O ^sparse_super,^resize_inode",
    "no_64bit": "-t ext4 -b 1024 -O ^64bit",
    "inline_data": "-t ext4 -b 1024 -O inline_data,metadata_csum_seed,orphan_file",
    "no_journal": "-t ext4 -b 1024 -O ^has_journal",
    "mmp": "-t ext4 -b 4096 -O mmp",
}


def superblock_free_bytes(image):
    """By dumpe2fs, which prints the counter of a clean file system."""
    text = check("dumpe2fs", "-h", image)
    blocks = int(re.search(r"^Free blocks:\s+(\d+)", text, re.M)[1])
    return blocks * int(re.search(r"^Block size:\s+(\d+)", text, re.M)[1])


def debugfs(image, *commands, write=True):
    for command in commands:
        check("debugfs", *(["-w"] if write else []), "-R", command, image)


class ExtTestCase(ScrubTestCase):
    def made(self, options, size=48 * MiB):
        image = self.zero_image(size)
        check("mkfs.ext4", "-q", "-F", "-L", "a label", *options.split(), image)
        return image

    def aged(self, options, size=48 * MiB):
        image = self.made(options, size)
        with self.mounted(image) as root:
            self.age(root, files=160, largest=384 * KiB)
        return image


@requires_root
@requires("mkfs.ext4", "e2fsck", "dumpe2fs", "debugfs")
class Scrub(ExtTestCase):
    """One test for each variant is added below."""

    def test_these_tests_see_one_used_block_that_is_overwritten(self):
        image = self.made("-t ext4 -b 4096")
        with self.mounted(image) as root:
            (root / "file").write_bytes(random_bytes(64 * KiB))
            before = contents(root)
        block = int(check("debugfs", "-R", "bmap /file 3", image).split()[-1])
        scrub(image, [[block * 4096, 4096]])
        with self.mounted(image, "ro") as root:
            self.assertNotEqual(contents(root), before)


def scrub_test(options):
    def test(self):
        image = self.aged(options)
        found = free_map(image)
        self.assertEqual(found["free"], libext2fs.free_ranges(image))
        self.assertEqual(container(found)["free-bytes"], superblock_free_bytes(image))
        self.assertEqual(container(found)["label"], "a label")
        self.assert_scrub_safe(image, ["e2fsck", "-fn", image], at_least=8 * MiB)
    return test


for variant, options in VARIANTS.items():
    setattr(Scrub, f"test_{variant}", scrub_test(options))


@requires("mkfs.ext4", "e2fsck", "debugfs")
class WithoutMount(ExtTestCase):
    def test_blocks_that_no_kernel_here_mounts(self):
        tree = self.path()
        tree.mkdir()
        for index in range(30):
            (tree / f"f{index}").write_bytes(random_bytes(index * 9000, index))
        image = self.zero_image(96 * MiB)
        check("mkfs.ext4", "-q", "-F", "-b", "65536", "-d", tree, image)
        debugfs(image, *[f"rm f{index}" for index in range(0, 30, 3)])
        found = self.exact_map(image)
        self.assertEqual(container(found)["free-bytes"], superblock_free_bytes(image))
        scrub(image, found["free"])
        self.assert_checks(["e2fsck", "-fn", image], "after the scrub")
        copy = self.path()
        copy.mkdir()
        debugfs(image, f"rdump / {copy}", write=False)
        for index in set(range(30)) - set(range(0, 30, 3)):
            self.assertEqual((copy / f"f{index}").read_bytes(), random_bytes(index * 9000, index))


@requires_root
@requires("mkfs.ext4", "e2fsck", "dumpe2fs", "debugfs")
class Dirty(ExtTestCase):
    def live_copy(self, options, settle=True):
        """A copy taken while the file system was mounted and written to, and what it held then."""
        image = self.made(options)
        copy = self.path()
        with self.mounted(image) as root:
            self.age(root, files=120, largest=256 * KiB)
            run(["sync", "-f", root])
            before = contents(root)
            (root / "turn0" / "late").write_bytes(random_bytes(300 * KiB))
            shutil.rmtree(root / "turn1")
            run(["sync", "-f", root])
            check("cp", "--sparse=always", image, copy)
            after = contents(root)
        self.assertNotEqual(before, after)
        return copy, after

    def assert_replayed(self, options):
        image, expected = self.live_copy(options)
        self.assertIn("needs_recovery", check("dumpe2fs", "-h", image))
        recovered = self.path()
        check("cp", "--sparse=always", image, recovered)
        self.assertLessEqual(run(["e2fsck", "-fy", recovered]).code, 1)
        ours = self.exact_map(image)
        theirs = free_map(recovered)
        # Ours may keep what was in use before the replay as well; it must not free more.
        self.assert_covers(theirs["free"], ours["free"])
        self.assertGreater(container(ours)["free-bytes"], container(theirs)["free-bytes"] * 0.7)
        scrub(image, ours["free"])
        with self.mounted(image) as root:  # the kernel replays it
            self.assertEqual(contents(root), expected)
            (root / "new").write_bytes(random_bytes(MiB))
        self.assert_checks(["e2fsck", "-fn", image], "after the replay by the kernel")

    def assert_covers(self, outer, inner):
        """Each range of `inner` lies inside one of `outer`."""
        for offset, length in inner:
            self.assertTrue(any(o <= offset and offset + length <= o + n for o, n in outer),
                            (offset, length))

    def test_ext4(self):
        self.assert_replayed("-t ext4 -b 4096")

    def test_ext4_1k(self):
        self.assert_replayed("-t ext4 -b 1024 -O ^64bit")

    def test_without_checksums(self):
        self.assert_replayed("-t ext4 -b 1024 -O ^metadata_csum")

    def test_ext3(self):
        self.assert_replayed("-t ext3 -b 1024")

    def test_bigalloc(self):
        self.assert_replayed("-t ext4 -b 4096 -O bigalloc -C 16384")

    def test_a_flipped_bit_in_the_journal(self):
        image, _ = self.live_copy("-t ext4 -b 1024")
        offset = self.second_journal_block(image)
        flip_byte(image, offset + 700)
        self.assert_kept_whole(image, "journal", kind="ext4")

    def test_fast_commits(self):
        """They are no part of the log, and hold changes all the same."""
        image = self.made("-t ext4 -b 4096 -O fast_commit")
        copy = self.path()
        with self.mounted(image) as root:
            for index in range(5):
                with open(root / f"f{index}", "wb") as file:
                    file.write(random_bytes(20000, index))
                    os.fsync(file.fileno())
            check("cp", "--sparse=always", image, copy)
        self.assert_kept_whole(copy, "fast commits", "e2fsck -f", kind="ext4")

    def test_a_frozen_one_is_clean(self):
        image = self.made("-t ext4 -b 4096")
        copy = self.path()
        with self.mounted(image) as root:
            self.age(root, files=100, largest=256 * KiB)
            check("fsfreeze", "-f", root)
            try:
                check("cp", "--sparse=always", image, copy)
            finally:
                check("fsfreeze", "-u", root)
        self.assertNotIn("needs_recovery", check("dumpe2fs", "-h", copy))
        self.assert_scrub_safe(copy, ["e2fsck", "-fn", copy], at_least=8 * MiB)

    def second_journal_block(self, image):
        text = check("debugfs", "-R", "bmap <8> 1", image)
        return int(text.split()[-1]) * KiB


@requires_root
@requires("mkfs.ext4", "e2fsck", "debugfs")
class KeptWhole(ExtTestCase):
    def assert_kept_after(self, options, *commands, words=()):
        image = self.made(options)
        self.exact_map(image)  # before it
        debugfs(image, *commands)
        self.assert_kept_whole(image, *words)

    def test_errors(self):
        self.assert_kept_after("-t ext4", "ssv state 3", words=["errors", "e2fsck -f"])
        self.assert_kept_after("-t ext4", "ssv error_count 1", words=["errors"])

    def test_not_unmounted(self):
        self.assert_kept_after("-t ext2", "ssv state 0", words=["not unmounted"])

    def test_recover_without_a_journal(self):
        self.assert_kept_after("-t ext2", "feature needs_recovery", words=["superblock"])

    def test_a_journal_on_another_device(self):
        journal = self.loop_device(self.zero_image(8 * MiB), direct_io=False)
        check("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", journal)
        image = self.loop_device(self.zero_image(32 * MiB), direct_io=False)
        check("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", f"device={journal}", image)
        self.assert_kept_whole(image, "journal on another device", kind="ext4")
        self.assert_kept_whole(journal, "journal of another file system", kind="jbd")

    def test_unknown_features(self):
        self.assert_kept_after("-t ext4", "feature FEATURE_I31", words=["features"])
        self.assert_kept_after("-t ext4", "feature FEATURE_R30", words=["features"])

    def test_in_use_by_another_host(self):
        image = self.made("-t ext4 -O mmp")
        block = int(re.search(r"MMP block number:\s+(\d+)", check("dumpe2fs", "-h", image))[1])
        size = int(re.search(r"Block size:\s+(\d+)", check("dumpe2fs", "-h", image))[1])
        with open(image, "r+b") as file:
            file.seek(block * size + 4)
            file.write(b"\x17\0\0\0")
        self.assert_kept_whole(image, "another host")

    def test_wrong_counters(self):
        self.assert_kept_after("-t ext4", "ssv free_blocks_count 77", words=["free blocks"])
        self.assert_kept_after("-t ext4 -O ^metadata_csum,^uninit_bg",
                               "set_bg 0 free_blocks_count 77", words=["free blocks"])

    def test_truncated(self):
        image = self.aged("-t ext4")
        os.truncate(image, 20 * MiB)
        self.assert_kept_whole(image, "longer than its volume")

    def test_a_member_of_a_raid_with_its_superblock_at_the_end(self):
        image = self.made("-t ext4", size=32 * MiB)
        os.truncate(image, 33 * MiB)
        self.exact_map(image)
        with open(image, "r+b") as file:  # md 1.0
            file.seek((33 * MiB // 512 - 16) // 8 * 8 * 512)
            file.write(b"\xfc\x4e\x2b\xa9" + bytes(252))
        self.assert_kept_whole(image, "more than one thing")

    def test_a_journal_that_is_not_empty_but_marked_clean(self):
        image = self.made("-t ext4 -b 4096 -O ^metadata_csum")
        block = int(check("debugfs", "-R", "bmap <8> 0", image).split()[-1])
        with open(image, "r+b") as file:
            file.seek(block * 4096 + 28)
            file.write(b"\0\0\0\1")
        self.assert_kept_whole(image, "journal is not empty")

    def test_damage_to_any_metadata_that_is_read(self):
        """With checksums each flipped bit is found; what is free may never grow."""
        image = self.aged("-t ext4 -b 1024 -g 8192 -O ^flex_bg", size=40 * MiB)
        good = self.exact_map(image)
        text = check("dumpe2fs", image)
        bitmaps = [int(n) for n in re.findall(r"Block bitmap at (\d+)", text)]
        self.assertGreater(len(bitmaps), 3)
        places = [n * KiB + 99 for n in bitmaps]          # bitmaps
        places += [2 * KiB + 64 * n + 5 for n in range(len(bitmaps))]  # descriptors
        places += [KiB + n for n in (4, 0x20, 0x28, 0x60, 0x64, 0x3A, 0x150, 0x3FC)]  # superblock
        places += [int(check("debugfs", "-R", "bmap <8> 0", image).split()[-1]) * KiB + 16]
        place = re.search(r"block (\d+), offset 0x([0-9a-f]+)", check("debugfs", "-R", "imap <8>", image))
        places += [int(place[1]) * KiB + int(place[2], 16) + 44]
        for offset in places:
            with self.subTest(offset=offset):
                flip_byte(image, offset)
                found = container(free_map(image))
                self.assertNotEqual(found["kept-because"], "", found)
                self.assertEqual(found["free-bytes"], 0)
                flip_byte(image, offset)
        self.assertEqual(free_map(image), good)

    def test_files_that_the_bitmaps_call_free(self):
        """All checksums and counters agree, and e2fsck would only set the bit again: so the block
        is the file's. By extents, by indirect blocks, and of these themselves."""
        source = self.path()
        source.mkdir()
        (source / "file").write_bytes(random_bytes(600 * KiB, 1))
        for options, block in (("-t ext4 -b 4096", "bmap file 10"),
                               ("-t ext4 -b 1024 -O ^extents,^64bit,^metadata_csum", "bmap file 590"),
                               ("-t ext3 -b 1024", "bmap file 5"), ("-t ext3 -b 1024", "indirect")):
            with self.subTest(options=options, block=block):
                image = self.zero_image(32 * MiB)
                check("mkfs.ext4", "-q", "-F", *options.split(), "-d", source, image)
                self.exact_map(image)
                if block == "indirect":
                    blocks = check("debugfs", "-R", "stat file", image)
                    number = re.search(r"\(IND\):(\d+)", blocks)[1]
                else:
                    number = check("debugfs", "-R", block, image).split()[-1]
                text = check("dumpe2fs", image)
                per_group = int(re.search(r"^Blocks per group:\s+(\d+)", text, re.M)[1])
                first = int(re.search(r"^First block:\s+(\d+)", text, re.M)[1])
                group = (int(number) - first) // per_group
                free = int(re.search(r"^Free blocks:\s+(\d+)", text, re.M)[1])
                here = int(re.search(rf"^Group {group}:.*?(\d+) free blocks,", text,
                                     re.M | re.S)[1])
                debugfs(image, f"freeb {number}", f"ssv free_blocks_count {free + 1}",
                        f"set_bg {group} free_blocks_count {here + 1}",
                        f"set_bg {group} checksum calc")
                self.assert_kept_whole(image, "inode 12 uses blocks that the bitmaps call free")

    def test_damage_without_checksums(self):
        image = self.aged("-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg", size=40 * MiB)
        for number in re.findall(r"Block bitmap at (\d+)", check("dumpe2fs", image)):
            with self.subTest(block=number):
                flip_byte(image, int(number) * KiB + 3)
                self.assert_kept_whole(image, kind="ext4")
                flip_byte(image, int(number) * KiB + 3)
        self.exact_map(image)


if __name__ == "__main__":
    main()
