"""QED, qcow (version 1) and Parallels images put together by hand."""
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
