"""VDI images put together by hand: what no program at hand writes."""
import struct

NONE, ZEROS = 0xffffffff, 0xfffffffe


def vdi(entries, blocks, block_size=1 << 20, size=None, kind=1, extra=0, link=bytes(16), map_at=512,
        data_at=None):
    """An image whose map is `entries` and whose stored blocks are `blocks`, each behind `extra`
    bytes that are no content."""
    if data_at is None:
        data_at = (map_at + 4 * len(entries) + 511) // 512 * 512
    header = bytearray(512)
    header[:20] = b"<<< made by hand >>>"
    struct.pack_into("<IIIII", header, 64, 0xbeda107f, 0x00010001, 400, kind, 0)
    struct.pack_into("<II", header, 340, map_at, data_at)
    struct.pack_into("<I", header, 360, 512)
    struct.pack_into("<QIIII", header, 368, len(entries) * block_size if size is None else size,
                     block_size, extra, len(entries), len(blocks))
    header[392:408] = header[408:424] = b"\x5a" * 16
    header[424:440] = link
    image = bytes(header).ljust(map_at, b"\0") + struct.pack(f"<{len(entries)}I", *entries)
    return image.ljust(data_at, b"\0") + b"".join(b"\x07" * extra + block for block in blocks)
