"""Thin pools of LVM: made from content, and read by what thin_dump says of them.

    pool = MadePool(test, data=[[("pv0", 40, 16)], [("pv0", 2, 16)]])
    pool.add("root", image)             # each chunk that is not all zeros gets a place of its own
    pool.add("before", older_image, like="root")    # chunks of the same content are shared
    pool.commit()
    pool.path, pool.read("root")

thin_restore writes the metadata. A pool that a kernel wrote is KernelPool(test), which
make_thin_pool.py made.
"""
import hashlib
import lzma
import pathlib
import random
import re
import struct
import xml.etree.ElementTree

from imgtool_testing import KiB, MiB, check, run
from lvm_testing import EXTENT, PhysicalVolume

BLOCK = 4096
SUPERBLOCK, TREE, INDEX, BITMAP = 160774, 121107, 160478, 240779  # what checksums are XORed with
FOLDER = pathlib.Path(__file__).resolve().parent


def crc32c_table():
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


CRC_TABLE = crc32c_table()


def seal(block, kind):
    """The block with the checksum that belongs to it."""
    crc = 0xFFFFFFFF
    for byte in block[4:]:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return struct.pack("<I", crc ^ kind) + block[4:]


class Metadata:
    """A pool's metadata as bytes that a test changes."""

    def __init__(self, content):
        self.content = bytearray(content)

    def number(self, block, offset, form="<Q"):
        return struct.unpack_from(form, self.content, block * BLOCK + offset)[0]

    def change(self, block, kind, offset, value, form="<Q"):
        struct.pack_into(form, self.content, block * BLOCK + offset, value)
        at = slice(block * BLOCK, (block + 1) * BLOCK)
        self.content[at] = seal(bytes(self.content[at]), kind)

    def root_of_device(self, index=0):
        """Of the tree of the index-th device, where the list of devices is one block."""
        devices = self.number(0, 320)
        most = self.number(devices, 20, "<I")
        return self.number(devices, 32 + most * 8 + index * 8)

    def data_bitmap(self):
        tree = self.number(0, 64 + 16)
        return self.number(tree, 32 + self.number(tree, 20, "<I") * 8)

    def metadata_bitmap(self):
        return self.number(self.number(0, 192 + 16), 16)

    def change_count(self, bitmap, number, count):
        """A pair of bits, the high one first."""
        at = bitmap * BLOCK + 16 + number // 4
        shift = number % 4 * 2
        pair = ((count & 1) << 1) | (count >> 1)
        byte = self.content[at] & ~(3 << shift) | (pair << shift)
        self.change(bitmap, BITMAP, 16 + number // 4, byte, "<B")


def mappings_of(test, metadata):
    """{device: {chunk: place in the pool}}, and the size of a chunk, as thin_dump tells them."""
    file = test.path()
    file.write_bytes(metadata)
    root = xml.etree.ElementTree.fromstring(check("thin_dump", file))
    devices = {}
    for device in root.iter("device"):
        chunks = devices[int(device.get("dev_id"))] = {}
        for one in device:
            if one.tag == "single_mapping":
                chunks[int(one.get("origin_block"))] = int(one.get("data_block"))
            else:
                first, place = int(one.get("origin_begin")), int(one.get("data_begin"))
                for index in range(int(one.get("length"))):
                    chunks[first + index] = place + index
    return devices, int(root.get("data_block_size")) * 512


class Pool:
    """What both kinds have: `path`, and pieces(name), [offset in the file, length] of a volume."""

    devices = {}  # name: (number in the pool, size)

    def whole(self, name):
        with open(self.path, "rb") as file:
            content = b""
            for offset, length in self.pieces(name):
                file.seek(offset)
                content += file.read(length)
        return content

    def change_metadata(self, content):
        with open(self.path, "r+b") as file:
            for offset, length in self.pieces("pool_tmeta"):
                file.seek(offset)
                file.write(content[:length])
                content = content[length:]

    def metadata(self):
        return Metadata(self.whole("pool_tmeta"))

    def mappings(self):
        return mappings_of(self.test, self.whole("pool_tmeta"))

    def read(self, name):
        """The content of a thin volume, as a file."""
        device, size = self.devices[name]
        devices, chunk_size = self.mappings()
        data, image = self.whole("pool_tdata"), self.test.zero_image(size)
        with open(image, "r+b") as file:
            for chunk, place in devices[device].items():
                if chunk * chunk_size < size:
                    file.seek(chunk * chunk_size)
                    file.write(data[place * chunk_size:(place + 1) * chunk_size])
            file.truncate(size)
        return image

    def used_places(self):
        """Chunks of the pool that a device maps: all, and those that several do."""
        devices, _ = self.mappings()
        all_places = [place for chunks in devices.values() for place in chunks.values()]
        return set(all_places), {place for place in all_places if all_places.count(place) > 1}

    def place(self, chunk):
        """Where a chunk of the pool begins in the file, when it lies in one piece."""
        offset = chunk * self.chunk_size
        for begin, length in self.pieces("pool_tdata"):
            if offset < length:
                return begin + offset
            offset -= length
        raise IndexError(chunk)

    def assert_clean(self):
        file = self.test.path()
        file.write_bytes(self.whole("pool_tmeta"))
        self.test.assertEqual(run(["thin_check", file]).code, 0)


class KernelPool(Pool):
    def __init__(self, test):
        self.test = test
        self.path = test.path()
        self.path.write_bytes(lzma.decompress((FOLDER / "thin_pool.img.xz").read_bytes()))
        self.chunk_size = 64 * KiB
        self.devices = {"root": (1, 64 * MiB), "data": (2, 24 * MiB), "before": (5, 64 * MiB)}
        self.sums = {name: {} for name in self.devices}
        for line in (FOLDER / "thin_pool.sums").read_text().splitlines():
            volume, digest, file = line.split()
            self.sums[volume][file] = digest
        device = test.loop_device(self.path, direct_io=False)
        config = ('devices { use_devicesfile=0 filter=["a|^%s$|", "r|.*|"] }' % device)
        self.segments = {}
        for line in check("pvs", "--config", config, "--nolocking", "--noheadings", "--segments",
                          "-o", "pvseg_start,pvseg_size,lv_name,pe_start", "--units", "b",
                          "--nosuffix", device).splitlines():
            words = line.split()
            if len(words) == 4:
                first, count, name, begin = words
                self.segments.setdefault(name.strip("[]"), []).append(
                    (int(begin) + int(first) * EXTENT, int(count) * EXTENT))
        test.detach(device)

    def pieces(self, name):
        return self.segments[name]


class MadePool(Pool):
    def __init__(self, test, data, metadata=None, size=96 * MiB, chunk_size=64 * KiB, seed=1):
        self.test = test
        self.pv = PhysicalVolume(test, size)
        self.path = self.pv.path
        self.pv.add("pool_tmeta", metadata or [[("pv0", 0, 2)]], status=("READ", "WRITE"))
        self.pv.add("pool_tdata", data, status=("READ", "WRITE"))
        self.chunk_size = chunk_size
        self.chunks = self.pv.size("pool_tdata") // chunk_size
        self.unused = list(range(self.chunks))
        random.Random(seed).shuffle(self.unused)
        self.content = {}  # place: bytes
        self.maps = {}     # device: {chunk: place}
        self.devices = {}
        self.volume_keys = {}  # name: more of its segment
        self.pool_keys = {"transaction_id": "7", "discards": '"passdown"', "zero_new_blocks": "1"}
        self.pool_sections = ""
        self.transaction = 7

    def pieces(self, name):
        return list(self.pv.pieces(name))

    def add(self, name, image, like=None, size=None):
        """The volume is `size` bytes, or as long as the image, which are whole extents."""
        content = pathlib.Path(image).read_bytes()
        device = len(self.devices) + 1
        chunks = self.maps[device] = {}
        other = self.maps[self.devices[like][0]] if like else {}
        for number in range(-(-len(content) // self.chunk_size)):
            chunk = content[number * self.chunk_size:(number + 1) * self.chunk_size]
            chunk += bytes(self.chunk_size - len(chunk))
            if number in other and self.content[other[number]] == chunk:
                chunks[number] = other[number]
            elif any(chunk):
                chunks[number] = self.unused.pop()
                self.content[chunks[number]] = chunk
        self.devices[name] = (device, size or len(content))

    def xml(self):
        lines = [f'<superblock uuid="" time="1" transaction="{self.transaction}" version="2" '
                 f'data_block_size="{self.chunk_size // 512}" nr_data_blocks="{self.chunks}">']
        for device, chunks in self.maps.items():
            lines.append(f'<device dev_id="{device}" mapped_blocks="{len(chunks)}" '
                         'transaction="1" creation_time="0" snap_time="1">')
            lines += [f'<single_mapping origin_block="{chunk}" data_block="{place}" time="0"/>'
                      for chunk, place in chunks.items()]
            lines.append("</device>")
        return "\n".join(lines + ["</superblock>"])

    def commit(self):
        for name, (device, size) in self.devices.items():
            keys = {"thin_pool": '"pool"', "transaction_id": "0", "device_id": str(device),
                    **self.volume_keys.get(name, {})}
            text = " ".join(f"{key} = {value}" for key, value in keys.items())
            self.pv.add_text(name, [f"segment1 {{ start_extent = 0 extent_count = {size // EXTENT} "
                                    f'type = "thin" {text} }}'])
        keys = {"metadata": '"pool_tmeta"', "pool": '"pool_tdata"',
                "chunk_size": str(self.chunk_size // 512), **self.pool_keys}
        text = " ".join(f"{key} = {value}" for key, value in keys.items()) + self.pool_sections
        self.pv.add_text("pool", [
            f'segment1 {{ start_extent = 0 extent_count = {self.pv.size("pool_tdata") // EXTENT} '
            f'type = "thin-pool" {text} }}'])
        self.pv.commit()
        source, target = self.test.path(), self.test.zero_image(self.pv.size("pool_tmeta"))
        source.write_text(self.xml())
        check("thin_restore", "-i", source, "-o", target)
        self.change_metadata(pathlib.Path(target).read_bytes())
        data = bytearray(random.Random(3).randbytes(self.pv.size("pool_tdata")))
        for place, chunk in self.content.items():
            data[place * self.chunk_size:(place + 1) * self.chunk_size] = chunk
        with open(self.path, "r+b") as file:
            at = 0
            for offset, length in self.pieces("pool_tdata"):
                file.seek(offset)
                file.write(data[at:at + length])
                at += length


def sums_of(root):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(pathlib.Path(root).iterdir()) if re.match(r"[fg]\d", file.name)}
