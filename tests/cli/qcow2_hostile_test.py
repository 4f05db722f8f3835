"""Hostile qcow2 images: whatever they say, no command crashes, hangs, or takes much memory."""
import fcntl
import pathlib
import signal
import struct
import termios
import zlib

from handmade_qcow2 import COMPRESSED, COPIED, Handmade
from imgtool_testing import GiB, MiB, TestCase, is_sanitized, main, processor_time, wait_until
from memory_testing import peak_memory

C = 65536


def deflated(content):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return compressor.compress(content) + compressor.flush()


class StreamsPastTheEnd(TestCase):
    def image(self, words, end):
        image = Handmade(self, 16, 4 * C, l1=C, refcount_table=2 * C)
        image.words(C, [COPIED | 4 * C])
        image.words(2 * C, [3 * C])
        image.bytes(3 * C, b"\0\1" * 6)
        image.words(4 * C, words)
        image.bytes(5 * C, deflated(b"imgtool " * (C // 8)))
        image.end(end)
        return image.path

    def test_a_stream_that_begins_behind_the_end_is_refused(self):
        behind = COMPRESSED | (5 * C + 400)
        good = COMPRESSED | 5 * C
        for words in ([behind], [good, behind], [0, good, behind]):
            image = self.image(words, 5 * C + 390)
            for command in (["hash", image], ["convert", image, self.path()],
                            ["measure", "-O", "qcow2", "-c", image]):
                with self.subTest(words=words, command=command[0]):
                    result = self.imgtool(*command)
                    self.assertEqual(result.code, 1, result)
                    self.assertIn(f"offset {5 * C + 400}", result.err)
                    self.assertIn("cut short", result.err)
            self.assertEqual(self.imgtool("compare", image, image).code, 4)
            self.assertIn(self.imgtool("resize", "--shrink", image, 3 * C).code, (1, 3))


class LittleFilesThatClaimMuch(TestCase):
    def assert_modest(self, *args, code):
        with processor_time() as seconds:
            peak = peak_memory(self, *args, code=code)
        if is_sanitized():
            return
        self.assertLess(peak, 256 * MiB)
        self.assertLess(seconds(), 8)

    def test_l2_tables_that_overlap(self):
        image = Handmade(self, 21, 1 << 60, l1=2 * MiB, refcount_table=64 * MiB,
                         l1_entries=1 << 21)
        image.words(2 * MiB, (COPIED | (40 * MiB + 512 * k) for k in range(1, 8192)))
        image.bytes(42 * MiB, b"1")
        image.end(66 * MiB)
        self.assert_modest("check", image.path, code=2)

    def shared_l2(self, entries):
        """L1 entries that all name one L2 table, full of entries with wrong flags."""
        image = Handmade(self, 21, entries << 39, l1=2 * MiB, refcount_table=6 * MiB,
                         l1_entries=entries)
        image.words(2 * MiB, [COPIED | 4 * MiB] * entries)
        image.words(4 * MiB, [COPIED | 10 * MiB] * (2 * MiB // 8))
        image.words(6 * MiB, [8 * MiB])
        image.bytes(8 * MiB, b"\0\1" * 6)
        image.end(12 * MiB)
        return image.path

    def test_a_shared_table_is_mended_once(self):
        self.assert_modest("check", "--repair", "all", self.shared_l2(4096), code=0)

    def test_refcount_blocks_in_a_hole(self):
        image = Handmade(self, 9, 32768, l1=512, refcount_table=MiB, refcount_order=6,
                         refcount_table_clusters=8 * MiB // 512)
        image.words(512, [COPIED | 1024])
        image.words(1024, [COPIED | 1536])
        image.bytes(1536, b"data")
        image.words(MiB, (64 * MiB + (k << 16) % (31 * GiB) for k in range(MiB)))
        image.end(32 * GiB)
        for command in (["map"], ["hash"], ["measure", "-O", "qcow2"]):
            self.assert_modest(*command, image.path, code=0)

    def as_large_as_is_checked(self):
        clusters, entries = 48 << 20, 2 << 20
        image = Handmade(self, 10, entries << 17, l1=64 * MiB, refcount_table=MiB,
                         refcount_table_clusters=98304 * 8 // 1024, l1_entries=entries)
        image.words(MiB, (GiB + (k << 16) for k in range(98304)))
        image.words(MiB, [GiB + 512])  # which needs new refcounts
        image.words(64 * MiB, (COPIED | (16 * GiB + (k << 10)) for k in range(entries)))
        image.words(16 * GiB, [COMPRESSED | ((clusters << 10) - 400)])
        image.end(clusters << 10)
        return image.path

    def test_as_many_clusters_as_are_checked(self):
        image = self.as_large_as_is_checked()
        self.assert_modest("check", image, code=1)
        blocks = image.stat().st_blocks
        self.assert_modest("check", "--repair", "all", image, code=63)
        self.assertEqual(image.stat().st_blocks, blocks)
        self.assert_modest("check", image, code=1)

    def with_snapshots(self, count, name_bytes):
        image = Handmade(self, 16, 0, l1=C, refcount_table=2 * C, snapshots=count,
                         snapshot_table=4 * C, l1_entries=0)
        entry = struct.pack(">QIHHIIQII16x", 5 * C, 0, 1, name_bytes, 0, 0, 0, 0, 16)
        stride = (len(entry) + 1 + name_bytes + 7) // 8 * 8
        with open(image.path, "r+b") as file:
            for number in range(count):
                file.seek(4 * C + number * stride)
                file.write(entry + b"1")
        image.end(4 * C + count * stride)
        return image.path

    def test_names_of_snapshots(self):
        self.assert_modest("info", "--json", self.with_snapshots(65536, 60), code=0)
        for count, name_bytes, words in ((1000, 65535, "name has 65535 bytes, more than 255"),
                                         (20000, 250, "names of snapshots have more than")):
            image = self.with_snapshots(count, name_bytes)
            result = self.imgtool("info", "--json", image)
            self.assertEqual(result.code, 1)
            self.assertIn(words, result.json["error"]["message"])

    def test_names_of_bitmaps(self):
        count, stride = 5000, 1024
        extension = struct.pack(">IIIIQQ", 0x23852875, 24, count, 0, count * stride, 4 * C)
        image = Handmade(self, 16, 512, l1=C, refcount_table=2 * C, extensions=extension)
        bitmap = struct.pack(">QIIBBHI", C, 1, 0, 1, 9, 1000, 0)
        image.bytes(4 * C, (bitmap + b"n" * 1000) * count)
        result = self.imgtool("info", "--json", image.path)
        self.assertEqual(result.code, 1, result)
        self.assertIn("names of bitmaps have more than", result.json["error"]["message"])

    def test_a_million_differences(self):
        clusters = 16384
        image = Handmade(self, 16, clusters * C, l1=C, refcount_table=2 * C, l1_entries=2)
        image.words(C, [COPIED | 4 * C, COPIED | 5 * C])
        image.words(4 * C, [COPIED | 6 * C] * clusters)
        image.bytes(6 * C, (b"1" + bytes(1023)) * 64)
        self.assert_modest("compare", "--json", image.path, self.zero_image(clusters * C), code=1)
        found = self.imgtool("compare", "--json", "--limit", 3, image.path,
                             self.zero_image(clusters * C)).json
        self.assertEqual(found["differences"][2]["start"], 2048)
        self.assertFalse(found["identical"] or found["complete"])


def waits_for_its_reader(process):
    """Its standard output is a full pipe, and it sleeps."""
    filled = struct.unpack("i", fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)))[0]
    state = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return filled >= 4096 and state == "S"


class Output(TestCase):
    def many_runs(self, last):
        """A map of more text than is held back, then `last`, which is damaged or not."""
        clusters = 400_000
        tables = (clusters * 8 + C - 1) // C
        image = Handmade(self, 16, tables * 8192 * C, l1=C, refcount_table=2 * C,
                         l1_entries=tables)
        image.words(C, (COPIED | (4 + k) * C for k in range(tables)))
        data = COPIED | (4 + tables) * C
        image.words(4 * C, (data, 0) * (tables * 4096))
        image.words((4 + tables) * C - 8, [last])
        image.end((5 + tables) * C)
        return image.path

    def test_a_map_that_fails_late_is_one_document(self):
        result = self.imgtool("map", "--json", self.many_runs(COPIED | 512))
        self.assertEqual(result.code, 1)
        self.assertGreater(len(result.json), 100_000)
        self.assertEqual(len(result.err.splitlines()), 1, result.err)

    def test_a_reader_that_waits_does_not_make_a_stop_a_failure(self):
        image = Handmade(self, 16, 4 * C, l1=C, refcount_table=2 * C)
        image.words(C, [COPIED | 4 * C])
        image.words(4 * C, (COPIED | (k << 16) | 512 for k in range(8192)))
        image.end(5 * C)
        for command in (["check", image.path], ["map", "--json", self.many_runs(0)]):
            with self.subTest(command=command[0]):
                process = self.start_imgtool(*command, pipesize=4096)
                wait_until(lambda: waits_for_its_reader(process), "a full pipe")
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(timeout=10), 130)
                self.assertNotIn(b"Interrupted", process.stderr.read())


if __name__ == "__main__":
    main()
