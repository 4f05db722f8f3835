"""QED, qcow (version 1), Parallels and DMG images put together by hand."""
import base64
import bz2
import lzma
import struct
import zlib

QED_CLUSTER = 4096


def qed(blocks, size, cluster=QED_CLUSTER, features=0, table_clusters=1, name=b""):
    """Header, L1 and one L2 table in a cluster each, then the contents of `blocks`: {index: content,
    or the word of the table}."""
    at = 2 + table_clusters * 2 - 1
    words, stored = [0] * (cluster * table_clusters // 8), b""
    for index, block in blocks.items():
        words[index] = block
        if isinstance(block, bytes):
            words[index] = at * cluster + len(stored)
            stored += block.ljust(cluster, b"\0")
    l1_at, l2_at = cluster, cluster * (1 + table_clusters)
    header = struct.pack("<4sIIIQQQQQII", b"QED\0", cluster, table_clusters, 1, features, 0, 0, l1_at,
                         size, 64, len(name)) + name
    l1 = struct.pack("<Q", l2_at).ljust(cluster * table_clusters, b"\0")
    return header.ljust(cluster, b"\0") + l1 + struct.pack(f"<{len(words)}Q", *words) + stored


def deflated(content):
    """As qemu does it: without a header, in a window of 4 KiB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return packer.compress(content) + packer.flush()


def qcow1(blocks, size, cluster_bits=12, table_bits=9, crypt=0, backing=b""):
    """The same; ("z", content) is stored as a stream. L1 follows the header."""
    cluster = 1 << cluster_bits
    l2_at = cluster
    l2_bytes = (8 << table_bits)
    data_at = (l2_at + l2_bytes + cluster - 1) // cluster * cluster
    words, stored = [0] * (1 << table_bits), b""
    for index, block in blocks.items():
        if isinstance(block, bytes):
            stored += bytes(-len(stored) % cluster)
            words[index] = data_at + len(stored)
            stored += block.ljust(cluster, b"\0")
        elif isinstance(block, tuple):
            stream = deflated(block[1].ljust(cluster, b"\0"))
            words[index] = 1 << 63 | len(stream) << (63 - cluster_bits) | data_at + len(stored)
            stored += stream
        else:
            words[index] = block
    name_at = 48
    l1_at = (name_at + len(backing) + 7) // 8 * 8
    header = struct.pack(">4sIQIIQBBHIQ", b"QFI\xfb", 1, name_at if backing else 0, len(backing), 0,
                         size, cluster_bits, table_bits, 0, crypt, l1_at) + backing
    image = header.ljust(l1_at, b"\0") + struct.pack(">Q", l2_at)
    image = image.ljust(l2_at, b"\0") + struct.pack(f">{len(words)}Q", *words)
    return image.ljust(data_at, b"\0") + stored


def parallels(words, blocks, sectors=None, tracks=8, ext=True, in_use=0, data=None):
    """`words` are the table's; clusters of `tracks` sectors follow from sector `data` on."""
    cluster = tracks * 512
    if data is None:
        data = tracks
    magic = b"WithouFreSpacExt" if ext else b"WithoutFreeSpace"
    header = struct.pack("<16sIIIIIQIIIQ", magic, 2, 16, 100, tracks, len(words),
                         len(words) * tracks if sectors is None else sectors, in_use, data, 0, 0)
    image = header + struct.pack(f"<{len(words)}I", *words)
    return image.ljust(data * 512, b"\0") + b"".join(block.ljust(cluster, b"\0") for block in blocks)


DMG_ZEROS, DMG_RAW, DMG_HOLE = 0, 1, 2
DMG_ADC, DMG_ZLIB, DMG_BZIP2, DMG_LZFSE, DMG_XZ = (0x80000000 + kind for kind in range(4, 9))
DMG_END = 0xffffffff
DMG_PACKERS = {DMG_RAW: bytes, DMG_ZLIB: zlib.compress, DMG_BZIP2: bz2.compress,
               DMG_XZ: lambda content: lzma.compress(content, check=lzma.CHECK_CRC32)}


def dmg_table(entries, first=0, sectors=0, data=0):
    """A table of chunks: (kind, sector, sectors, offset, length)."""
    runs = b"".join(struct.pack(">IIQQQQ", kind, 0, *numbers) for kind, *numbers in entries)
    head = struct.pack(">4sIQQQII", b"mish", 1, first, sectors, data, 2048, 0xfffffffe)
    return head.ljust(200, b"\0") + struct.pack(">I", len(entries)) + runs


def dmg_list(tables):
    """The property list of an image, as hdiutil writes it."""
    parts = b"".join(b"<dict><key>Attributes</key><string>0x0050</string><key>Data</key>\n<data>\n" +
                     base64.encodebytes(table) + b"</data><key>ID</key><string>%d</string>"
                     b"<key>Name</key><string>whole disk (unknown : %d)</string></dict>" % (i, i)
                     for i, table in enumerate(tables))
    return (b'<?xml version="1.0" encoding="UTF-8"?>\n<plist version="1.0"><dict>'
            b"<key>resource-fork</key><dict><key>blkx</key><array>" + parts +
            b"</array></dict></dict></plist>\n")


def dmg_file(stored, tables, sectors, resources=False, segments=1):
    """`stored`, then the tables in a property list or a resource fork, then the trailer."""
    if resources:
        data = b"".join(struct.pack(">I", len(table)) + table for table in tables)
        fork = struct.pack(">4I", 256, 256 + len(data), len(data), 0).ljust(256, b"\0") + data
    else:
        fork = dmg_list(tables)
    trailer = bytearray(512)
    struct.pack_into(">4sIIIQQQQQII", trailer, 0, b"koly", 4, 512, 1, 0, 0, len(stored),
                     len(stored) if resources else 0, len(fork) if resources else 0, 1, segments)
    if not resources:
        struct.pack_into(">QQ", trailer, 216, len(stored), len(fork))
    struct.pack_into(">IQ", trailer, 488, 1, sectors)
    return stored + fork + bytes(trailer)


def dmg(parts, **options):
    """Chunks one after the other: (kind, content), or (kind, sectors) of what is not stored. A part
    that is a list has a table of its own."""
    stored, tables, sector = b"", [], 0
    for table in parts if isinstance(parts[0], list) else [parts]:
        first, entries = sector, []
        for kind, content in table:
            packed, sectors = b"", content
            if isinstance(content, bytes):
                packed, sectors = DMG_PACKERS[kind](content), len(content) // 512
            entries.append((kind, sector - first, sectors, len(stored), len(packed)))
            stored += packed
            sector += sectors
        entries.append((DMG_END, sector - first, 0, len(stored), 0))
        tables.append(dmg_table(entries, first, sector - first))
    return dmg_file(stored, tables, options.pop("sectors", sector), **options)
