#!/usr/bin/env python3
"""Makes the corpora of the fuzz targets for images over a block map.

    PYTHONPATH=tests/support python3 tests/fuzz/make_block_image_corpus.py

Small files, each with something of its own; the output is always the same.
"""
import pathlib
import struct

import table_images
import vdi_images
import vhd_images
import vhdx_images
import vmdk_images

CORPUS = pathlib.Path(__file__).parent / "corpus"
KiB = 1024


def write(target, seeds):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    for name, content in seeds.items():
        (folder / name).write_bytes(content)


def vdi_seeds():
    none, zeros = vdi_images.NONE, vdi_images.ZEROS
    a, b = b"a" * 4 * KiB, b"b" * 4 * KiB

    def small(entries, blocks, **options):
        return vdi_images.vdi(entries, blocks, block_size=4 * KiB, **options)

    good = small([1, none, 0, zeros], [a, b])
    return {
        "good": good,
        "extra": small([0, 1], [a, b], extra=512),
        "odd_size": small([0, none], [a], size=4 * KiB + 512),
        "fixed": small([0, 1], [a, b], kind=2),
        "differencing": small([0, none], [a], kind=4, link=b"\x55" * 16),
        "twice": small([0, 0], [a]),
        "past_the_end": small([0, 9], [a]),
        "cut": good[:-2 * KiB],
        "no_blocks": small([], []),
    }


def vpc_seeds():
    a, b = b"a" * 4 * KiB, b"b" * 4 * KiB

    def small(blocks, size=16 * KiB - 512, **options):
        return vhd_images.dynamic(blocks, size, block_size=4 * KiB, **options)

    good = small({2: (None, a), 0: (None, b)})
    return {
        "good": good,
        "bitmap": small({1: (b"\x5a", a), 3: (b"\xfe", b)}),
        "short_footer": small({0: (None, a)}, end=511),
        "no_end": small({0: (None, a)}, end=0),
        "differencing": small({0: (b"\x80", a)}, kind=vhd_images.DIFFERENCING, parent="base.vhd"),
        "geometry": small({}, 8 * KiB, creator=b"vpc ", geometry=(1, 1, 15)),
        "fixed": vhd_images.fixed(a),
        "fixed_geometry": vhd_images.fixed(a, creator=b"qemu", geometry=(1, 1, 7)),
        "cut": good[:-3 * KiB],
        "no_blocks": small({}, 0),
    }


def vhdx_seeds():
    """Sparse: as (offset, length) pieces, see vhdx_fuzz.cpp; a VHDX has 4 MiB at least."""
    mib = 1 << 20
    table, data = vhdx_images.TABLE_AT, vhdx_images.TABLE_AT + mib
    one, two = b"a" * mib, b"b" * mib
    page = struct.pack("<QQ", data | 6, data + mib | 6).ljust(4096, b"\0")

    def small(blocks, size=4 * mib, **options):
        image = vhdx_images.vhdx(blocks, size, **options)
        pieces = b""
        for at in range(0, len(image), 4096):
            content = image[at:at + 4096].rstrip(b"\0")
            if content and content != b"a" * 4096 and content != b"b" * 4096:
                pieces += struct.pack("<IH", at // 4096, len(content)) + content
        return struct.pack("<I", len(image) // 4096) + pieces

    return {
        "good": small({2: one, 0: two}),
        "sectors_4k": small({1: one}, sector=4096),
        "states": small({0: (2, 0), 1: (3, 0), 2: (4, 0)}),
        "fixed": small({0: one}, mib, fixed=True),
        "log": small({0: one, 1: two}, log=vhdx_images.log_entry(5, [(table, page), (data, 4096)])),
        "logs": small({0: one}, log=vhdx_images.log_entry(5, [(table, page)])
                      + vhdx_images.log_entry(6, [(table, 4096)], last=9 * mib)),
        "parent": small({0: one}, parent=".\\base.vhdx"),
        "twice": small({0: one, 1: (6, data)}),
        "in_the_log": small({0: (6, mib)}),
        "qemu": small({0: one}, creator="QEMU v7"),
        "no_blocks": small({}, 0),
    }


def qed_seeds():
    a, b = b"a" * 4 * KiB, b"b" * 4 * KiB
    good = table_images.qed({0: a, 1: 1, 3: b}, 16 * KiB - 512)
    return {
        "good": good,
        "not_closed": table_images.qed({0: a}, 4 * KiB, features=2),
        "backing": table_images.qed({0: a}, 4 * KiB, features=5, name=b"base.img"),
        "twice": table_images.qed({0: a, 1: 12 * KiB}, 8 * KiB),
        "large_tables": table_images.qed({700: b}, 3 << 20, table_clusters=2),
        "cut": good[:-2 * KiB],
        "no_blocks": table_images.qed({}, 0),
    }


def qcow_seeds():
    a, b, text = b"a" * 4 * KiB, b"b" * 4 * KiB, b"text " * 800
    good = table_images.qcow1({0: a, 1: ("z", text), 4: b}, 20 * KiB - 512)
    return {
        "good": good,
        "streams": table_images.qcow1({0: ("z", text), 1: ("z", a), 3: ("z", b"")}, 16 * KiB),
        "small": table_images.qcow1({0: a[:512], 9: b[:512]}, 5120, cluster_bits=9, table_bits=6),
        "backing": table_images.qcow1({0: a}, 4 * KiB, backing=b"base.img"),
        "encrypted": table_images.qcow1({0: a}, 4 * KiB, crypt=1),
        "twice": table_images.qcow1({0: a, 1: 8 * KiB}, 8 * KiB),
        "cut": good[:-2 * KiB],
    }


def parallels_seeds():
    a, b = b"a" * 4 * KiB, b"b" * 4 * KiB
    good = table_images.parallels([2, 0, 1], [a, b], sectors=23)
    return {
        "good": good,
        "older": table_images.parallels([16, 0, 8], [a, b], ext=False),
        "odd_clusters": table_images.parallels([3, 0, 6], [a[:1536], b[:1536]], tracks=3, ext=False),
        "not_closed": table_images.parallels([1], [a], in_use=0x746f6e59),
        "twice": table_images.parallels([1, 1], [a]),
        "cut": good[:-2 * KiB],
        "no_blocks": table_images.parallels([], []),
    }


def dmg_seeds():
    a, kinds = b"a" * 4 * KiB, table_images
    parts = [(kinds.DMG_ZLIB, a), (kinds.DMG_RAW, b"b" * KiB), (kinds.DMG_HOLE, 5)]
    good = table_images.dmg(parts)
    raw = table_images.dmg_table([(kinds.DMG_RAW, 0, 2, 0, KiB), (kinds.DMG_RAW, 1, 2, 512, KiB)])
    return {
        "good": good,
        "resources": table_images.dmg(parts, resources=True),
        "two_tables": table_images.dmg([[(kinds.DMG_RAW, a)], [(kinds.DMG_ZLIB, a)]]),
        "bzip2": table_images.dmg([(kinds.DMG_BZIP2, a)]),
        "xz": table_images.dmg([(kinds.DMG_XZ, a)]),
        "twice": table_images.dmg_file(a, [raw], 8),
        "no_chunks": table_images.dmg([(kinds.DMG_ZEROS, 0)]),
        "cut": good[KiB:],
    }


def vmdk_seeds():
    a, b = b"a" * 4 * KiB, b"b" * 4 * KiB
    grains, capacity = {0: a, 1: b, 66: a}, 67 * 8 - 5
    packed = vmdk_images.NEWLINES | vmdk_images.COMPRESSED
    marked = packed | vmdk_images.MARKERS
    good = vmdk_images.vmdk(grains, capacity)
    stream = vmdk_images.stream(grains, capacity)
    return {
        "good": good,
        "stream": stream,
        "padded": vmdk_images.stream({0: a}, 8, behind=4 * KiB),
        "cut_last": vmdk_images.stream(grains, capacity, cut_last=True),
        "in_front": vmdk_images.vmdk(grains, capacity, flags=marked, order=[66, 0, 1]),
        "no_markers": vmdk_images.vmdk({0: a}, 8, flags=packed),
        "zeros": vmdk_images.vmdk({0: a, 3: vmdk_images.ZEROS}, 64,
                                  flags=vmdk_images.NEWLINES | vmdk_images.ZERO_GRAINS),
        "parent": vmdk_images.vmdk({}, 8, text=vmdk_images.descriptor(8, parent="1", hint="x")),
        "parts": vmdk_images.vmdk({}, 8, text=vmdk_images.descriptor(8, extents=2)),
        "cut": good[:-5 * KiB],
        "no_end": stream[:-KiB],
        "no_grains": vmdk_images.stream({}, 0),
    }


write("vdi", vdi_seeds())
write("vpc", vpc_seeds())
write("vhdx", vhdx_seeds())
write("qed", qed_seeds())
write("qcow", qcow_seeds())
write("parallels", parallels_seeds())
write("vmdk", vmdk_seeds())
write("dmg", dmg_seeds())
