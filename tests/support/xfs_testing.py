"""Small XFS file systems, their superblock's numbers, and what xfs_db says of them."""
import re

from imgtool_testing import MiB, check
from scrub_testing import ScrubTestCase

SIZE = 64 * MiB
# Such a small one is of no use, so mkfs.xfs refuses it, except for its own tests.
MKFS = ["env", "TEST_DIR=yes", "TEST_DEV=yes", "QA_CHECK_FS=yes", "mkfs.xfs", "-q"]
CHECKSUM, INCOMPAT, RO_COMPAT, LOG_INCOMPAT = 224, 216, 212, 220


def crc32c(content):
    state = 0xffffffff
    for byte in content:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82f63b78 if state & 1 else 0)
    return state ^ 0xffffffff


def field(image, offset, size):
    """A number of the superblock."""
    with open(image, "rb") as file:
        file.seek(offset)
        return int.from_bytes(file.read(size), "big")


def set_field(image, offset, size, value):
    """Changes a number of the superblock, and its checksum with it."""
    with open(image, "r+b") as file:
        sector = bytearray(file.read(field(image, 102, 2)))
        sector[offset:offset + size] = value.to_bytes(size, "big")
        sector[CHECKSUM:CHECKSUM + 4] = bytes(4)
        sector[CHECKSUM:CHECKSUM + 4] = crc32c(sector).to_bytes(4, "little")
        file.seek(0)
        file.write(sector)


def log_range(image):
    """Offset and length of the log in bytes."""
    block = field(image, 4, 4)
    start, ag_blocks, ag_log = field(image, 48, 8), field(image, 84, 4), field(image, 124, 1)
    number = (start >> ag_log) * ag_blocks + (start & ((1 << ag_log) - 1))
    return number * block, field(image, 96, 4) * block


def xfs_db_number(image, group, name):
    """A number of a group's free space header."""
    text = check("xfs_db", "-r", "-f", "-c", f"agf {group}", "-c", f"p {name}", image)
    return int(re.search(rf"{name} = (\d+)", text)[1])


class XfsTestCase(ScrubTestCase):
    def make(self, *options, size=SIZE):
        image = self.zero_image(size)
        check(*MKFS, *options, image)
        return image

    def aged(self, *options, **how):
        image = self.make(*options)
        with self.mounted(image) as root:
            self.age(root, **how)
        return image

    def copy(self, image):
        copy = self.path()
        check("cp", "--sparse=always", image, copy)
        return copy

    def assert_agrees_with_xfs_db(self, image, found):
        """The same extents as in xfs_db's list, which has the blocks of the free lists too."""
        block, ag_blocks = field(image, 4, 4), field(image, 84, 4)
        theirs = set()
        for line in check("xfs_db", "-r", "-f", "-c", "freesp -d", image).splitlines():
            if match := re.fullmatch(r"\s*(\d+)\s+(\d+)\s+(\d+)", line):
                ag, start, length = map(int, match.groups())
                theirs.update(range(ag * ag_blocks + start, ag * ag_blocks + start + length))
        listed = sum(xfs_db_number(image, ag, "flcount") for ag in range(field(image, 88, 4)))
        ours = set()
        for offset, length in found["free"]:
            self.assertEqual((offset % block, length % block), (0, 0))
            ours.update(range(offset // block, (offset + length) // block))
        self.assertLessEqual(ours, theirs)
        self.assertEqual(len(theirs) - len(ours), listed)
