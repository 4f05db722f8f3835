"""qcow2 files that no program writes: every word is put where a test wants it.

    image = Handmade(test, cluster_bits=16, size=4 * 65536, l1=65536, refcount_table=131072)
    image.words(65536, [COPIED | 4 * 65536])
    image.end(1 << 30)
"""
import array
import struct
import sys

COPIED = 1 << 63
COMPRESSED = 1 << 62


class Handmade:
    def __init__(self, test, cluster_bits, size, l1, refcount_table, l1_entries=1,
                 refcount_table_clusters=1, refcount_order=4, snapshots=0, snapshot_table=0,
                 extensions=b""):
        self.path = test.path()
        header = struct.pack(">IIQIIQIIQQIIQQQQII", 0x514649fb, 3, 0, 0, cluster_bits, size, 0,
                             l1_entries, l1, refcount_table, refcount_table_clusters, snapshots,
                             snapshot_table, 0, 0, 1 if extensions else 0, refcount_order, 104)
        self.bytes(0, header + extensions)

    def bytes(self, offset, content):
        with open(self.path, "r+b" if self.path.exists() else "w+b") as file:
            file.seek(offset)
            file.write(content)

    def words(self, offset, words):
        content = array.array("Q", words)
        if sys.byteorder == "little":
            content.byteswap()
        self.bytes(offset, content.tobytes())

    def end(self, size):
        """The file's length; what nothing was written to is a hole."""
        with open(self.path, "r+b") as file:
            file.truncate(size)
