"""VHD images put together by hand: what no program at hand writes."""
import struct

NONE = 0xffffffff
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
LARGEST = (65535, 16, 255)  # a geometry that says nothing
SECTOR = 512


def summed(content, at):
    """With the checksum in its four bytes at `at`."""
    content = bytearray(content)
    content[at:at + 4] = bytes(4)
    struct.pack_into(">I", content, at, ~sum(content) & 0xffffffff)
    return bytes(content)


def footer(size, kind=FIXED, creator=b"win ", geometry=LARGEST, header_at=512,
           identity=b"\x1d" * 16):
    content = bytearray(512)
    struct.pack_into(">8sIIQ", content, 0, b"conectix", 2, 0x10000,
                     (1 << 64) - 1 if kind == FIXED else header_at)
    struct.pack_into(">I4sI4s", content, 24, 1, creator, 0x00060001, b"Wi2k")
    struct.pack_into(">QQHBBI", content, 40, size, size, *geometry, kind)
    content[68:84] = identity
    return summed(content, 64)


def fixed(content, **options):
    return content + footer(len(content), **options)


def header(entries, block_size, table_at=1536, parent="", parent_id=b"\x1d" * 16):
    content = bytearray(1024)
    struct.pack_into(">8sQQIII", content, 0, b"cxsparse", (1 << 64) - 1, table_at, 0x10000, entries,
                     block_size)
    content[40:56] = parent_id
    name = parent.encode("utf-16-be")
    content[64:64 + len(name)] = name
    return summed(content, 36)


def dynamic(blocks, size, block_size=2 << 20, kind=DYNAMIC, parent="",
            parent_id=b"\x1d" * 16, end=512, **options):
    """`blocks` is {index: (bitmap or None for all set, content)}; `end` so many bytes of the footer at
    the end."""
    entries = -(-size // block_size)
    first = footer(size, kind, **options)
    data_at = (1536 + 4 * entries + 511) // 512 * 512
    bitmap_size = (-(-block_size // SECTOR // 8) + 511) // 512 * 512
    table, stored = [NONE] * entries, b""
    for index, (bitmap, content) in blocks.items():
        table[index] = (data_at + len(stored)) // 512
        stored += (b"\xff" * bitmap_size if bitmap is None else bitmap.ljust(bitmap_size, b"\0"))
        stored += content.ljust(block_size, b"\0")
    image = first + header(entries, block_size, parent=parent, parent_id=parent_id) + struct.pack(f">{entries}I", *table)
    return image.ljust(data_at, b"\xff") + stored + first[:end]
