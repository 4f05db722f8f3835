#!/usr/bin/env python3
"""Makes the corpus thin: the metadata of thin pools, as a kernel and thin_restore wrote them.

    sudo PYTHONPATH=tests/support tests/fuzz/make_thin_corpus.py
"""
import pathlib
import shutil

from imgtool_testing import MiB, TestCase, check, make
from sparse_corpus import sparse_input
from thin_testing import KernelPool

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus/thin"
HEAD = ('<superblock uuid="" time="1" transaction="7" version="2" data_block_size="128" '
        'nr_data_blocks="1024">')
DEVICE = '<device dev_id="%d" mapped_blocks="%d" transaction="0" creation_time="0" snap_time="0">'


def device(number, places):
    mappings = [f'<single_mapping origin_block="{chunk}" data_block="{place}" time="0"/>'
                for chunk, place in places]
    return [DEVICE % (number, len(mappings)), *mappings, "</device>"]


class Maker(TestCase):
    def runTest(self):
        shutil.rmtree(CORPUS, ignore_errors=True)
        CORPUS.mkdir(parents=True)
        pool = KernelPool(self)
        metadata = self.path()
        metadata.write_bytes(pool.whole("pool_tmeta"))
        self.write("kernel", metadata)
        self.restore("empty", [])
        self.restore("shared", device(1, [(0, 5), (1, 6), (9, 700)]) +
                     device(2, [(0, 5), (3, 6)]) + device(3, [(7, 6)]))
        self.restore("levels", device(4, [(chunk * 3, chunk * 7 % 1024) for chunk in range(300)]))

    def restore(self, name, lines):
        source, target = self.path(), self.zero_image(MiB)
        source.write_text("\n".join([HEAD, *lines, "</superblock>"]))
        check("thin_restore", "-i", source, "-o", target)
        self.write(name, target)

    def write(self, name, metadata):
        (CORPUS / name).write_bytes(sparse_input(metadata))


if __name__ == "__main__":
    make(Maker())
