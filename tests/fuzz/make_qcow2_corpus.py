#!/usr/bin/env python3
"""Makes the corpora of the qcow2 fuzz targets, by qemu-img and qemu-io:

    tests/fuzz/make_qcow2_corpus.py

qcow2             small images of every kind, with 512-byte clusters where the kind allows it
qcow2_repair      some of these, each with one thing wrong; found_*, from fuzzing, is kept by hand
qcow2_edit        sound ones, to be changed in place
qcow2_decompress  compressed clusters, behind a byte that says how
"""
import pathlib
import struct
import subprocess
import zlib

FOLDER = pathlib.Path(__file__).resolve().parent / "corpus"
CORPUS = FOLDER / "qcow2"
WRITES = ["write -P 1 0 512", "write -z 1024 512", "write -c -P 2 2048 512", "write -P 3 9000 100"]
SUBCLUSTERS = ["write -P 1 512 512", "write -z 2048 512", "write -c -P 2 32768 16384"]
KINDS = {
    "v2": ("compat=0.10,cluster_size=512", [c for c in WRITES if "-z" not in c]),
    "zlib": ("cluster_size=512", WRITES),
    "zstd": ("cluster_size=512,compression_type=zstd", WRITES),
    "refcount1": ("cluster_size=512,refcount_bits=1", WRITES[:1]),
    "refcount64": ("cluster_size=512,refcount_bits=64", WRITES),
    "lazy": ("cluster_size=512,lazy_refcounts=on", WRITES),
    "preallocated": ("cluster_size=512,preallocation=metadata", []),
    "subclusters": ("cluster_size=16k,extended_l2=on", SUBCLUSTERS),
}


def run(*args):
    subprocess.run([str(arg) for arg in args], check=True, stdout=subprocess.DEVNULL)


def make(name, options, commands, size="48k"):
    path = CORPUS / name
    path.unlink(missing_ok=True)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, size)
    for command in commands:
        run("qemu-io", "-f", "qcow2", "-c", command, path)
    return path


# --- damage: (image, offset of the word, what becomes of it) -------------------------------------

def word(content, offset):
    return struct.unpack_from(">Q", content, offset)[0]


def refcount_table(content):
    return word(content, 48)


def refcount_block(content):
    return word(content, refcount_table(content))


def l1(content):
    return word(content, 40)


def l2(content):
    return word(content, l1(content)) & 0x00fffffffffffe00


COPIED = 1 << 63
COMPRESSED = 1 << 62
DAMAGE = {
    "no_block": ("zlib", refcount_table, lambda old: 0),
    "unaligned_block": ("zlib", refcount_table, lambda old: old + 8),
    "low_counts": ("zlib", refcount_block, lambda old: 0),
    "high_counts": ("zstd", refcount_block, lambda old: 0x0002000200020002),
    "wide_counts": ("refcount64", refcount_block, lambda old: 5),
    "narrow_counts": ("refcount1", refcount_block, lambda old: 0),
    "no_flag": ("v2", l2, lambda old: old & ~COPIED),
    "no_l1_flag": ("zlib", l1, lambda old: old & ~COPIED),
    "leak": ("zlib", l2, lambda old: 0),
    "twice": ("preallocated", lambda content: l2(content) + 8, lambda old: old - 512),
    "over_the_header": ("zlib", l2, lambda old: COPIED),
    "past_the_end": ("zlib", l2, lambda old: COPIED | 1 << 30),
    "shared": ("snapshots", refcount_block, lambda old: old ^ 3),
    "bitmaps": ("bitmaps", lambda content: 88, lambda old: 0),
}


def make_damaged():
    folder = FOLDER / "qcow2_repair"
    folder.mkdir(parents=True, exist_ok=True)
    for name, (image, where, change) in DAMAGE.items():
        content = bytearray((CORPUS / image).read_bytes())
        offset = where(content)
        struct.pack_into(">Q", content, offset, change(word(content, offset)))
        (folder / name).write_bytes(content)


def make_editable():
    folder = FOLDER / "qcow2_edit"
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*KINDS, "snapshots", "bitmaps", "backing"):
        (folder / name).write_bytes((CORPUS / name).read_bytes())


# --- streams that the end of the file cuts off ---


def make_streams_past_the_end():
    content = bytearray((CORPUS / "zlib").read_bytes())
    stream = word(content, l2(content) + 8 * 4)
    length = (stream & ((1 << 54) - 1)) + 412  # a sector that is not all there
    struct.pack_into(">Q", content, l2(content) + 8 * 5, COMPRESSED | length + 50)
    (CORPUS / "stream_past_the_end").write_bytes(content[:length])


# --- compressed clusters ---------------------------------------------------------------------

def deflated(content, window, level=9, strategy=zlib.Z_DEFAULT_STRATEGY):
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window, 9, strategy)
    return compressor.compress(content) + compressor.flush()


def make_streams():
    folder = FOLDER / "qcow2_decompress"
    folder.mkdir(parents=True, exist_ok=True)
    text = (b"imgtool " * 20 + bytes(range(256))) * 3
    small, large = text[:512], (text * 100)[:65536]
    (folder / "deflate_512").write_bytes(b"\0" + deflated(small, 12))
    (folder / "deflate_64k").write_bytes(bytes([7 << 1]) + deflated(large, 15))
    (folder / "deflate_stored").write_bytes(b"\0" + deflated(small, 15, level=0))
    (folder / "deflate_fixed").write_bytes(b"\0" + deflated(small, 12, strategy=zlib.Z_FIXED))
    (folder / "deflate_huffman").write_bytes(
        b"\0" + deflated(small, 12, strategy=zlib.Z_HUFFMAN_ONLY))
    (folder / "deflate_slack").write_bytes(b"\0" + deflated(small, 12) + b"more")
    (folder / "empty").write_bytes(b"\1")
    image = (CORPUS / "zstd").read_bytes()
    stream = word(image, l2(image) + 8 * 4) & ((1 << 60) - 1)
    (folder / "zstd_512").write_bytes(b"\1" + image[stream:stream + 40])
    raw_block = b"\x28\xb5\x2f\xfd\x20\x80" + struct.pack("<I", 1 | 128 << 3)[:3] + bytes(range(128))
    (folder / "zstd_frames").write_bytes(b"\1" + 4 * raw_block)
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
    (folder / "zstd_skippable").write_bytes(b"\1" + skippable + 4 * raw_block)


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, (options, commands) in KINDS.items():
        make(name, options, commands, "4k" if name == "preallocated" else "48k")
    path = make("snapshots", "cluster_size=512", WRITES)
    run("qemu-img", "snapshot", "-c", "one", path)
    run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 1024", path)
    path = make("bitmaps", "cluster_size=512", WRITES)
    run("qemu-img", "bitmap", "--add", path, "daily")
    path = make("backing", "cluster_size=512", WRITES)
    run("qemu-img", "rebase", "-u", "-b", "base.img", "-F", "raw", path)
    make_streams_past_the_end()
    make_damaged()
    make_editable()
    make_streams()


if __name__ == "__main__":
    main()
