#!/usr/bin/env python3
"""Makes the corpora of the fuzz targets for images over a block map.

    PYTHONPATH=tests/support python3 tests/fuzz/make_block_image_corpus.py

Small files, each with something of its own; the output is always the same.
"""
import pathlib

import vdi_images
import vhd_images

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


write("vdi", vdi_seeds())
write("vpc", vpc_seeds())
