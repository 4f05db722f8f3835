"""qcow2 images of any virtual size, laid out without writing their data: clusters that are
allocated hold whatever the file system gives for space that was set aside, that is zeros."""

from __future__ import annotations

import os
import struct
from pathlib import Path

CLUSTER = 64 << 10
COPIED = 1 << 63
L2_ENTRIES = CLUSTER // 8
COUNTS_PER_BLOCK = CLUSTER // 2


def clusters_for(size: int, unit: int) -> int:
    return -(-size // unit)


def write_scattered_qcow2(path: Path, virtual_size: int, count: int) -> None:
    """`count` clusters, evenly spread over the disk, in the order and with the tables in which a
    guest that writes front to back would leave them."""
    step = virtual_size // CLUSTER // count
    l1_entries = clusters_for(virtual_size, CLUSTER * L2_ENTRIES)
    l1_clusters = clusters_for(l1_entries * 8, CLUSTER)
    most = 1 + l1_clusters + l1_entries + count + 64
    blocks = clusters_for(most, COUNTS_PER_BLOCK)
    l1_start = 2 + blocks  # header, refcount table, refcount blocks
    place = l1_start + l1_clusters
    l1 = [0] * l1_entries
    tables: dict[int, list[int]] = {}
    for number in range(count):
        index, entry = divmod(number * step, L2_ENTRIES)
        if index not in tables:
            tables[index] = [0] * L2_ENTRIES
            l1[index] = COPIED | place * CLUSTER
            place += 1
        tables[index][entry] = COPIED | place * CLUSTER
        place += 1
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, place * CLUSTER)

        def put(cluster: int, content: bytes) -> None:
            os.pwrite(file.fileno(), content, cluster * CLUSTER)

        put(0, header(virtual_size, l1_entries, l1_start))
        put(1, struct.pack(f">{blocks}Q", *((2 + block) * CLUSTER for block in range(blocks))))
        for block in range(blocks):
            first = block * COUNTS_PER_BLOCK
            used = max(0, min(place - first, COUNTS_PER_BLOCK))
            put(2 + block, b"\0\1" * used + bytes(2 * (COUNTS_PER_BLOCK - used)))
        put(l1_start, struct.pack(f">{l1_entries}Q", *l1))
        for index, table in tables.items():
            put((l1[index] & ~COPIED) // CLUSTER, struct.pack(f">{L2_ENTRIES}Q", *table))
        os.fsync(file.fileno())


def header(virtual_size: int, l1_entries: int, l1_start: int) -> bytes:
    fields = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 3, 0, 0, 16, virtual_size, 0, l1_entries,
                         l1_start * CLUSTER, CLUSTER, 1, 0, 0)
    return fields + struct.pack(">QQQII", 0, 0, 0, 4, 112) + bytes(8) + bytes(8)
