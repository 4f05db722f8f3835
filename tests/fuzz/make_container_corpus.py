#!/usr/bin/env python3
"""Makes the corpora of the fuzz targets for containers: streams, zst, simg, bmap.

    PYTHONPATH=tests/support python3 tests/fuzz/make_container_corpus.py

Small files, each with something of its own; needs the zstd tool.
"""
import pathlib
import struct

import containers
from containers import COMPRESSORS, KiB, bmap, sample_simg, seek_table, simg, zero_frame, zstd

CORPUS = pathlib.Path(__file__).parent / "corpus"
TEXT = b"".join(b"line %d of a small image\n" % index for index in range(200))


def write(target, name, content):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def streams():
    for name, compress in COMPRESSORS.items():
        good = compress(TEXT)
        write("streams", name, good)
        write("streams", f"{name}_twice", good + compress(b"") + compress(TEXT[:50]))
        write("streams", f"{name}_garbage", good + b"garbage")
        write("streams", f"{name}_cut", good[:-5])
        write("streams", f"{name}_flipped", good[:40] + bytes([good[40] ^ 4]) + good[41:])


def zst():
    frames = [zstd(TEXT, "-3"), zero_frame(300 * KiB), zstd(TEXT[:99], "-3", "--no-check")]
    sizes = list(zip(map(len, frames), (len(TEXT), 300 * KiB, 99)))
    skippable = struct.pack("<II", 0x184D2A50, 3) + b"abc"
    label = struct.pack("<II", 0x184D2A59, 16) + b"imgtool\0" + struct.pack("<Q", len(TEXT))
    write("zst", "good", b"".join(frames) + seek_table(sizes))
    write("zst", "checksums", b"".join(frames) + seek_table(sizes, [1, 2, 3]))
    write("zst", "skippable", skippable + frames[0] + seek_table([(11, 0), sizes[0]]))
    write("zst", "label", label + frames[0] + seek_table([(24, 0), sizes[0]]))
    write("zst", "no_frames", seek_table([]))
    write("zst", "too_many", b"".join(frames) + seek_table(sizes)[:-9] +
          struct.pack("<IBI", 1 << 31, 0, 0x8F92EAB1))
    write("zst", "wrong_sum", b"".join(frames) + seek_table(sizes[:2]))
    write("zst", "wrong_size", frames[0] + seek_table([(len(frames[0]), 1 << 20)]))


def sparse():
    good, content = sample_simg(bytes(range(256)) * 32)
    write("simg", "good", good)
    write("simg", "wrong_checksum", good[:24] + b"abcd" + good[28:])
    write("simg", "cut", good[:5000])
    write("simg", "behind", good + b"x")
    # Petabytes that must not be walked through to know their checksum.
    write("simg", "huge", simg([containers.dont_care_chunk(0xFFFFFFFF)], 0xFFFFFFFF, 1 << 24, 1))
    write("simg", "header_only", good[:28])
    assert len(content) == 7 * 4096


def maps():
    content = TEXT * 9
    for version in ("1.2", "1.3", "1.4", "2.0"):
        write("bmap", version, bmap(content, [(0, 1), (3, 3), (5, 11)], version))
    write("bmap", "sha512", bmap(content, [(0, 11)], algorithm="sha512"))
    write("bmap", "no_ranges", bmap(content, []))
    write("bmap", "overlap", bmap(content, [(0, 4), (3, 6)]))
    write("bmap", "outside", bmap(content, [(0, 1 << 40)]))
    write("bmap", "cut", bmap(content, [(0, 4)])[:300])
    write("bmap", "deep", "<bmap version='2.0'>" + "<a>" * 5000)


streams()
zst()
sparse()
maps()
