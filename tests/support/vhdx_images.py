"""VHDX images put together by hand: what no program at hand writes."""
import functools
import struct
import uuid

MiB = 1 << 20
LOG_AT, METADATA_AT, TABLE_AT = 1 * MiB, 2 * MiB, 3 * MiB
HEADERS, REGION_TABLES = (64 << 10, 128 << 10), (192 << 10, 256 << 10)
LOG_GUID = b"\x10" * 16
# States of a block.
ABSENT, UNDEFINED, ZERO, UNMAPPED, STORED, PARTLY = 0, 1, 2, 3, 6, 7

_POLYNOMIAL = 0x82f63b78
_TABLE = []
for _value in range(256):
    for _ in range(8):
        _value = (_value >> 1) ^ (_POLYNOMIAL if _value & 1 else 0)
    _TABLE.append(_value)


@functools.lru_cache(maxsize=256)
def crc32c(content):
    register = 0xffffffff
    for byte in content:
        register = _TABLE[(register ^ byte) & 0xff] ^ (register >> 8)
    return register ^ 0xffffffff


def sealed(content):
    """With its CRC-32C in the four bytes behind its signature."""
    content = bytearray(content)
    content[4:8] = bytes(4)
    struct.pack_into("<I", content, 4, crc32c(bytes(content)))
    return bytes(content)


def guid(text):
    return uuid.UUID(text).bytes_le


TABLE_REGION = guid("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA_REGION = guid("8b7ca206-4790-4b9a-b8fe-575f050f886e")
PARAMETERS = guid("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
DISK_SIZE = guid("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
DISK_ID = guid("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL_SECTOR = guid("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL_SECTOR = guid("cda348c7-445d-4471-9cc9-e9885251c556")
LOCATOR = guid("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")


def header(sequence, log_guid=bytes(16), log_at=LOG_AT, log_length=MiB, version=1):
    return sealed(struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, sequence, b"\1" * 16, b"\2" * 16,
                              log_guid, 0, version, log_length, log_at).ljust(4096, b"\0"))


def region_table(rows):
    """`rows` are (guid, offset, length, required)."""
    content = struct.pack("<4sIII", b"regi", 0, len(rows), 0)
    content += b"".join(struct.pack("<16sQII", *row) for row in rows)
    return sealed(content.ljust(64 << 10, b"\0"))


def metadata(items):
    """`items` are (guid, value, flags); a whole region of 1 MiB."""
    rows, values = b"", b""
    for item, value, flags in items:
        rows += struct.pack("<16sIIII", item, (64 << 10) + len(values), len(value), flags, 0)
        values += value
    table = struct.pack("<8sHH20x", b"metadata", 0, len(items)) + rows
    return (table.ljust(64 << 10, b"\0") + values).ljust(MiB, b"\0")


def parent_locator(pairs):
    rows, text = b"", b""
    base = 20 + 12 * len(pairs)
    for key, value in pairs.items():
        key, value = key.encode("utf-16-le"), value.encode("utf-16-le")
        rows += struct.pack("<IIHH", base + len(text), base + len(text) + len(key), len(key),
                            len(value))
        text += key + value
    kind = guid("b04aefb7-d19e-4a81-b789-25b8e9445913")
    return kind + struct.pack("<HH", 0, len(pairs)) + rows + text


# The data write GUID of each image made here, as a child names its parent's.
LINKAGE = "{02020202-0202-0202-0202-020202020202}"


def vhdx(blocks, size, block_size=MiB, sector=512, parent=None, linkage=None, fixed=False,
         creator="by hand", log=b"", log_guid=None, extra_items=(), extra_regions=()):
    """`blocks` is {index: content, (state, offset), or (bits, content)}: contents are laid down in the
    order of the dictionary, behind a table of 1 MiB; `bits` say which sectors of a block are the
    image's own, the lowest bit of the first byte for the first."""
    count = -(-size // block_size)
    ratio = (1 << 23) * sector // block_size
    entries = -(-count // ratio) * (ratio + 1) if parent else count + max(count - 1, 0) // ratio
    table, stored, bitmaps = [0] * entries, b"", {}
    for index, block in blocks.items():
        word, content = block, None
        if isinstance(block, bytes):
            word, content = (STORED, TABLE_AT + MiB + len(stored)), block
        elif isinstance(block[0], bytes):
            word, content = (PARTLY, TABLE_AT + MiB + len(stored)), block[1]
            bitmap = bitmaps.setdefault(index // ratio, bytearray(MiB))
            at = index % ratio * block_size // sector // 8
            bitmap[at:at + len(block[0])] = block[0]
        if content is not None:
            stored += content.ljust(block_size, b"\0")
        table[index + index // ratio] = word[1] | word[0]
    for chunk, bitmap in bitmaps.items():
        table[chunk * (ratio + 1) + ratio] = TABLE_AT + MiB + len(stored) | STORED
        stored += bitmap
    items = [(PARAMETERS, struct.pack("<II", block_size, int(fixed) | (2 if parent else 0)), 4),
             (DISK_SIZE, struct.pack("<Q", size), 6), (DISK_ID, b"\3" * 16, 6),
             (LOGICAL_SECTOR, struct.pack("<I", sector), 6),
             (PHYSICAL_SECTOR, struct.pack("<I", 4096), 6), *extra_items]
    if parent:
        pairs = {"relative_path": parent, **({"parent_linkage": linkage} if linkage else {})}
        items.append((LOCATOR, parent_locator(pairs), 4))
    regions = [(TABLE_REGION, TABLE_AT, MiB, 1), (METADATA_REGION, METADATA_AT, MiB, 1),
               *extra_regions]
    image = bytearray(TABLE_AT)
    image[:8] = b"vhdxfile"
    image[8:8 + 2 * len(creator)] = creator.encode("utf-16-le")
    if log_guid is None:
        log_guid = LOG_GUID if log else bytes(16)
    for number, at in enumerate(HEADERS):
        image[at:at + 4096] = header(number + 1, log_guid)
    for at in REGION_TABLES:
        image[at:at + (64 << 10)] = region_table(regions)
    image[LOG_AT:LOG_AT + len(log)] = log
    image[METADATA_AT:METADATA_AT + MiB] = metadata(items)
    image += struct.pack(f"<{len(table)}Q", *table).ljust(MiB, b"\0")
    return bytes(image) + stored


def log_entry(sequence, changes, tail=0, flushed=0, last=0, log_guid=LOG_GUID):
    """`changes` are (offset, 4096 bytes) or (offset, a number of zeros)."""
    descriptors, data = b"", b""
    for offset, change in changes:
        if isinstance(change, int):
            descriptors += struct.pack("<4sIQQQ", b"zero", 0, change, offset, sequence)
            continue
        descriptors += struct.pack("<4s4s8sQQ", b"desc", change[-4:], change[:8], offset, sequence)
        data += struct.pack("<4sI", b"data", sequence >> 32) + change[8:-4]
        data += struct.pack("<I", sequence & 0xffffffff)
    area = (64 + len(descriptors) + 4095) // 4096 * 4096
    head = struct.pack("<4sIIIQII16sQQ", b"loge", 0, area + len(data), tail, sequence, len(changes),
                       0, log_guid, flushed, last)
    return sealed((head + descriptors).ljust(area, b"\0") + data)
