"""A tree of its own for the block groups of a fresh btrfs (mkfs.btrfs -m single), which older
mkfs.btrfs cannot make: the items move from the extent tree into a new leaf. From then on the kernel
keeps them there.

The on-disk format: struct btrfs_header, btrfs_item, btrfs_root_item, btrfs_block_group_item.
"""
import re
import struct

from imgtool_testing import KiB, check
from xfs_testing import crc32c

SUPERBLOCK = 64 * KiB
HEADER = 101
EXTENT_TREE, FREE_SPACE_TREE, GROUP_TREE = 2, 10, 11
ROOT_ITEM, METADATA_ITEM, TREE_BLOCK_REF, GROUP_ITEM, FREE_EXTENT = 132, 169, 176, 192, 199
METADATA = 4
FEATURE = 8


class Btrfs:
    def __init__(self, image):
        self.image = image
        text = check("btrfs", "inspect-internal", "dump-tree", "-t", "3", image)
        self.chunks = [tuple(map(int, words)) for words in re.findall(
            r"CHUNK_ITEM (\d+)\).*\n\s+length (\d+)(?:.*\n)*?.*stripe 0 devid 1 offset (\d+)", text)]
        with open(image, "rb") as file:
            file.seek(SUPERBLOCK)
            self.superblock = bytearray(file.read(4096))
        self.node = self.number(0x94, 4)

    def number(self, offset, size=8):
        return int.from_bytes(self.superblock[offset:offset + size], "little")

    def add(self, offset, value):
        struct.pack_into("<Q", self.superblock, offset, self.number(offset) + value)

    def place(self, address):
        return next(place + address - start for start, length, place in self.chunks
                    if start <= address < start + length)

    def leaf(self, address):
        """Its header and its items: [(object, type, offset), content]."""
        with open(self.image, "rb") as file:
            file.seek(self.place(address))
            block = file.read(self.node)
        items = []
        for index in range(int.from_bytes(block[96:100], "little")):
            *key, begin, size = struct.unpack_from("<QBQII", block, HEADER + 25 * index)
            items.append([tuple(key), block[HEADER + begin:HEADER + begin + size]])
        assert block[100] == 0, "a leaf"
        return bytearray(block[:HEADER]), items

    def write_leaf(self, header, items):
        address = int.from_bytes(header[48:56], "little")
        struct.pack_into("<I", header, 96, len(items))
        block = bytearray(self.node)
        block[:HEADER] = header
        end = self.node
        for index, (key, content) in enumerate(sorted(items)):
            end -= len(content)
            block[end:end + len(content)] = content
            struct.pack_into("<QBQII", block, HEADER + 25 * index, *key, end - HEADER, len(content))
        self.write(self.place(address), block)

    def write(self, offset, block):
        block[:32] = crc32c(block[32:]).to_bytes(4, "little") + bytes(28)
        with open(self.image, "r+b") as file:
            file.seek(offset)
            file.write(block)


def take_free_node(btrfs, header, items, groups):
    """The begin of a free extent in a block group for metadata; it is counted as used there."""
    for index, (key, content) in enumerate(items):
        if key[1] != FREE_EXTENT or key[2] <= btrfs.node:
            continue
        for group in groups:
            (start, _, length), (used, chunk, flags) = group[0], struct.unpack("<QQQ", group[1])
            if flags & METADATA and start <= key[0] < start + length:
                items[index] = [(key[0] + btrfs.node, FREE_EXTENT, key[2] - btrfs.node), content]
                group[1] = struct.pack("<QQQ", used + btrfs.node, chunk, flags)
                btrfs.write_leaf(header, items)
                return key[0]
    raise AssertionError("no free extent for metadata")


def move_groups_into_their_tree(image):
    btrfs = Btrfs(image)
    root_header, roots = btrfs.leaf(btrfs.number(0x50))
    root_of = {key[0]: content for key, content in roots if key[1] == ROOT_ITEM}
    address_of = lambda tree: int.from_bytes(root_of[tree][176:184], "little")
    header, extents = btrfs.leaf(address_of(EXTENT_TREE))
    groups = [item for item in extents if item[0][1] == GROUP_ITEM]
    address = take_free_node(btrfs, *btrfs.leaf(address_of(FREE_SPACE_TREE)), groups)

    generation = header[80:88]
    reference = struct.pack("<Q8sQBQ", 1, bytes(generation), 2, TREE_BLOCK_REF, GROUP_TREE)
    kept = [item for item in extents if item[0][1] != GROUP_ITEM]
    btrfs.write_leaf(header, kept + [[(address, METADATA_ITEM, 0), reference]])
    header[48:56] = address.to_bytes(8, "little")
    header[88:96] = GROUP_TREE.to_bytes(8, "little")
    btrfs.write_leaf(header, groups)
    item = bytearray(root_of[EXTENT_TREE])
    item[176:184] = address.to_bytes(8, "little")
    btrfs.write_leaf(root_header, roots + [[(GROUP_TREE, ROOT_ITEM, 0), bytes(item)]])
    btrfs.add(0x78, btrfs.node)  # bytes used
    btrfs.add(0xb4, FEATURE)
    btrfs.write(SUPERBLOCK, btrfs.superblock)
