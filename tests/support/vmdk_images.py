"""Sparse VMDK images put together by hand: what no program at hand writes."""
import struct
import zlib

SECTOR = 512
AT_END = 0xFFFFFFFFFFFFFFFF
ZEROS = "zeros"  # in place of a grain's content: an entry of 1

NEWLINES, REDUNDANT, ZERO_GRAINS, COMPRESSED, MARKERS = 1, 2, 4, 0x10000, 0x20000


def padded(data):
    return data + bytes(-len(data) % SECTOR)


def descriptor(sectors, kind="monolithicSparse", parent="ffffffff", extents=1, hint="", ends="\n"):
    lines = ["# Disk DescriptorFile", "version=1", "CID=0badcafe", f"parentCID={parent}",
             f'createType="{kind}"', *([f'parentFileNameHint="{hint}"'] if hint else []),
             *[f'RW {sectors} SPARSE "disk-s{n:03}.vmdk"' for n in range(extents)], ""]
    return ends.join(lines).encode()


def header(capacity, grain, entries, directory, flags, text_sectors, overhead, version=1):
    data = bytearray(SECTOR)
    struct.pack_into("<4sIIQQQQIQQQ", data, 0, b"KDMV", version, flags, capacity, grain, 1,
                     text_sectors, entries, 0, directory, overhead)
    data[73:77] = b"\n \r\n"
    struct.pack_into("<H", data, 77, 1 if flags & COMPRESSED else 0)
    return bytes(data)


class _Layout:
    def __init__(self, sectors):
        self.data = bytearray(sectors * SECTOR)

    def add(self, piece):
        at = len(self.data) // SECTOR
        self.data += padded(piece)
        return at


def marker(value, kind):
    return padded(struct.pack("<QII", value, 0, kind))


def packed(sector, content, flags, level=6):
    stream = zlib.compress(content, level)
    place = struct.pack("<Q", sector) if flags & MARKERS else b""
    return place + struct.pack("<I", len(stream)) + stream


def vmdk(grains, capacity, grain=8, entries=64, flags=NEWLINES, footer=False, text=None, order=None,
         cut_last=False, version=1, text_sectors=20, behind=0):
    """An image of `capacity` sectors. `grains`: index -> content (or ZEROS). `footer`: as VMware
    streams it, tables behind their grains; else the tables are in front. `order`: of the grains in
    the file. `cut_last`: the last grain ends with the disk. `behind`: zeros behind the end."""
    kind = "streamOptimized" if flags & COMPRESSED else "monolithicSparse"
    text = descriptor(capacity, kind) if text is None else text
    tables = -(-capacity // (grain * entries))
    numbers = sorted({index // entries for index in grains})
    overhead = 1 + text_sectors
    out = _Layout(overhead)
    words = {number: [0] * entries for number in numbers}

    def lay_down(index):
        content = grains[index]
        if content == ZEROS:
            words[index // entries][index % entries] = 1
            return
        content = content.ljust(grain * SECTOR, b"\0")
        if cut_last and (index + 1) * grain > capacity:
            content = content[:(capacity - index * grain) * SECTOR]
        piece = packed(index * grain, content, flags) if flags & COMPRESSED else content
        words[index // entries][index % entries] = out.add(piece)

    def table(number):
        return struct.pack(f"<{entries}I", *words[number])

    directory = [0] * tables
    if footer:
        for number in numbers:
            for index in sorted(grains):
                if index // entries == number:
                    lay_down(index)
            out.add(marker(entries * 4 // SECTOR or 1, 1))
            directory[number] = out.add(table(number))
        out.add(marker(-(-tables * 4 // SECTOR), 2))
        at = out.add(struct.pack(f"<{tables}I", *directory))
        out.add(marker(1, 3))
        out.add(header(capacity, grain, entries, at, flags, text_sectors, overhead, version))
        out.add(marker(0, 0))
        at = AT_END
    else:
        at = out.add(bytes(tables * 4))
        for number in numbers:
            directory[number] = out.add(bytes(entries * 4))
        for index in order or sorted(grains):
            lay_down(index)
        for number in numbers:
            begin = directory[number] * SECTOR
            out.data[begin:begin + entries * 4] = table(number)
        out.data[at * SECTOR:at * SECTOR + tables * 4] = struct.pack(f"<{tables}I", *directory)
    out.data[:SECTOR] = header(capacity, grain, entries, at, flags, text_sectors, overhead, version)
    out.data[SECTOR:SECTOR + len(text)] = text
    return bytes(out.data) + bytes(behind)


def stream(grains, capacity, **options):
    """As VMware writes it."""
    options = {"flags": NEWLINES | COMPRESSED | MARKERS, "footer": True, "version": 3, **options}
    return vmdk(grains, capacity, **options)


def content_of(grains, capacity, grain=8):
    """What is on the disk."""
    disk = bytearray(capacity * SECTOR)
    for index, content in grains.items():
        if content != ZEROS:
            begin = index * grain * SECTOR
            piece = content[:len(disk) - begin]
            disk[begin:begin + len(piece)] = piece
    return bytes(disk)
