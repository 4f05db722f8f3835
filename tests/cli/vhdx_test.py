"""VHDX images as sources: dynamic and fixed, sectors of 512 and 4096 bytes, a log to be replayed."""
import os
import struct

from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires
from vhdx_images import (ABSENT, HEADERS, LOG_AT, METADATA_AT, METADATA_REGION, PARTLY,
                         REGION_TABLES, STORED, TABLE_AT, TABLE_REGION, UNDEFINED, UNMAPPED,
                         ZERO, crc32c, header, log_entry, region_table, sealed, vhdx)

WHAT = "a Hyper-V disk image (VHDX)"
P, Q, R = b"P" * MiB, b"q" * MiB, b"r" * MiB
DATA_AT = TABLE_AT + MiB


@requires("qemu-img")
class WrittenByQemu(BlockImageTestCase):
    def test_every_size_and_both_kinds(self):
        for size in (0, 512, MiB, 8 * MiB - 512, 8 * MiB, 8 * MiB + 512, 25 * MiB + 1024):
            disk = self.disk(size, 8 * MiB)
            for subformat in ("dynamic", "fixed"):
                with self.subTest(size=size, subformat=subformat):
                    image = self.written_by_qemu(disk, "vhdx", f"subformat={subformat}",
                                                 "block_size=8M")
                    self.assert_reads(image, disk)

    def test_more_than_2_TiB(self):
        size = (2 << 40) + 7 * MiB + 512
        disk = self.disk(size, 8 * MiB)
        for block in ("1M", "256M"):
            self.assert_reads(self.written_by_qemu(disk, "vhdx", f"block_size={block}"), disk)

    def test_zeros_that_are_states(self):
        disk = self.disk(40 * MiB, 8 * MiB)
        for state in ("on", "off"):
            image = self.written_by_qemu(disk, "vhdx", f"block_state_zero={state}")
            self.assert_reads(image, disk)

    def test_burn_and_a_stated_format(self):
        disk = self.disk(9 * MiB + 512, 8 * MiB)
        image = self.written_by_qemu(disk, "vhdx")
        self.assert_burns(image, disk)
        self.assert_reads(image, disk, "-f", "vhdx")
        self.assert_pipes_and_streams(image, WHAT)

    def test_info(self):
        disk = self.disk(5 * MiB)
        image = self.written_by_qemu(disk, "vhdx", "block_size=2M")
        info = self.imgtool_ok("info", "--json", image).json
        self.assertEqual((info["format"], info["virtual-size"], info["cluster-size"]),
                         ("vhdx", 5 * MiB, 2 * MiB))
        self.assertFalse(info["dirty-flag"])
        data = info["format-specific"]["data"]
        self.assertEqual(data["subformat"], "dynamic")
        self.assertEqual(data["logical-sector-size"], 512)
        self.assertTrue(data["creator"].startswith("QEMU"))

    def test_the_last_block_may_be_cut_by_qemu(self):
        disk = self.disk(6 * MiB, 8 * MiB)
        image = self.written_by_qemu(disk, "vhdx", "block_size=8M")
        os.truncate(image, os.stat(image).st_size - MiB)
        self.assert_reads(image, disk)
        with open(image, "r+b") as file:
            file.seek(8)
            file.write("W".encode("utf-16-le"))
        os.truncate(image, os.stat(image).st_size - 2 * MiB)
        self.assert_image_refused(image, "cut short")


class MadeByHand(BlockImageTestCase):
    def test_sectors_of_4096_bytes(self):
        self.assert_content(vhdx({0: P, 3: Q}, 4 * MiB, sector=4096), P + bytes(2 * MiB) + Q)
        self.assert_content(vhdx({1: P + Q}, 4 * MiB - 4096, block_size=2 * MiB, sector=4096),
                            bytes(2 * MiB) + P + Q[:-4096])

    def test_blocks_behind_the_first_chunk(self):
        """Behind 4096 blocks the table has an entry that is not one of a block."""
        path, disk = self.path(), self.path()
        path.write_bytes(vhdx({4096: P, 4095: Q, 8192: R}, 8193 * MiB))
        with open(disk, "wb") as file:
            file.truncate(8193 * MiB)
            for index, block in ((4095, Q), (4096, P), (8192, R)):
                file.seek(index * MiB)
                file.write(block)
        self.assert_reads(path, disk)

    def test_states(self):
        states = {0: (ABSENT, 0), 1: (UNDEFINED, 0), 2: (ZERO, 0), 3: (UNMAPPED, 0), 4: (5, 0), 5: P}
        path = self.assert_content(vhdx(states, 6 * MiB), bytes(5 * MiB) + P)
        parts = self.imgtool_ok("map", "--json", path).json
        self.assertEqual([part["start"] for part in parts if part["present"]],
                         [2 * MiB, 5 * MiB])
        for word in ((4, 0), (PARTLY, DATA_AT), (STORED | 8, DATA_AT), (STORED | 1 << 19, DATA_AT)):
            self.assert_image_refused(vhdx({0: P, 1: word}, 2 * MiB), "block 1", "offset")

    def test_copies_of_headers_and_region_tables(self):
        good = vhdx({0: P}, 2 * MiB)
        both = {"header": HEADERS, "region table": REGION_TABLES}
        for what, places in both.items():
            for broken in (places[:1], places[1:]):
                image = bytearray(good)
                for at in broken:
                    image[at + 20] ^= 1
                self.assert_content(bytes(image), P + bytes(MiB))
            image = bytearray(good)
            for at in places:
                image[at + 20] ^= 1
            self.assert_image_refused(bytes(image), f"two {what if ' ' in what else 'VHDX ' + what}s")

    def test_headers_of_one_number(self):
        image = bytearray(vhdx({0: P}, 2 * MiB))
        image[HEADERS[0]:HEADERS[0] + 4096] = header(2)
        self.assert_content(bytes(image), P + bytes(MiB))
        image[HEADERS[0]:HEADERS[0] + 4096] = header(2, log_length=0)
        self.assert_image_refused(bytes(image), "different things")

    def test_what_must_not_be_ignored(self):
        unknown = b"\x77" * 16
        self.assert_content(vhdx({0: P}, MiB, extra_items=[(unknown, b"x", 0)],
                                 extra_regions=[(unknown, 9 * MiB, MiB, 0)]), P)
        self.assert_image_refused(vhdx({0: P}, MiB, extra_items=[(unknown, b"x", 4)]), "metadata")
        self.assert_image_refused(vhdx({0: P}, MiB, extra_regions=[(unknown, 9 * MiB, MiB, 1)]),
                                  "region")

    def test_differencing_images_are_refused(self):
        image = vhdx({0: P}, 2 * MiB, parent="..\\b\u00e4se.vhdx")
        path = self.path()
        path.write_bytes(image)
        self.assert_refused(self.imgtool("hash", path), "its parent '..\\b\u00e4se.vhdx'")
        info = self.imgtool_ok("info", "--json", path).json
        self.assertEqual(info["backing-filename"], "..\\b\u00e4se.vhdx")

    def test_blocks_in_the_wrong_place_are_refused(self):
        for at, words in ((0, "the header"), (LOG_AT, "the log"), (METADATA_AT, "the metadata"),
                          (TABLE_AT, "the block table"), (DATA_AT, "two blocks"),
                          (DATA_AT + MiB, "cut short"), (1 << 60, "cut short")):
            self.assert_image_refused(vhdx({0: P, 1: (STORED, at)}, 2 * MiB), words, "offset")

    def test_cut_anywhere(self):
        image = vhdx({0: P, 1: Q}, 2 * MiB)
        for end in (8, 64 * KiB, 70 * KiB, 192 * KiB, 256 * KiB, MiB, METADATA_AT - 1, METADATA_AT,
                    TABLE_AT - 1, TABLE_AT, TABLE_AT + 8, DATA_AT, DATA_AT + MiB, len(image) - 1):
            with self.subTest(end=end):
                self.assert_image_refused(image[:end], "offset")

    def test_hostile_fields(self):
        good = vhdx({0: P}, 2 * MiB)
        seals = [(at, 4096) for at in HEADERS] + [(at, 64 * KiB) for at in REGION_TABLES[:1]]
        places = [HEADERS[1] + at for at in (8, 48, 64, 68, 72, 76)]
        places += [REGION_TABLES[0] + at for at in (8, 32, 36, 40, 64, 68, 72)]
        places += [METADATA_AT + at for at in (10, 48, 52, 80, 84, 65536, 65540, 65544, 65548, 65576)]
        places += [TABLE_AT, TABLE_AT + 4]
        for at in places:
            for value in (0, 1, 0x100000, 0x7fffffff, 0xffffffff):
                with self.subTest(at=at, value=value):
                    image = bytearray(good)
                    struct.pack_into("<I", image, at, value)
                    for begin, length in seals:
                        if begin <= at < begin + length:
                            image[begin:begin + length] = sealed(image[begin:begin + length])
                    self.assert_hostile(bytes(image))

    def test_a_small_file_that_claims_much_takes_no_memory(self):
        self.assert_modest(vhdx({}, 29 << 40, block_size=256 * MiB), 0)
        words = {index: (STORED, DATA_AT) for index in range(1 << 16)}
        self.assert_modest(vhdx(words, 65536 * MiB) + P, 1)


class Logs(BlockImageTestCase):
    """A log that was not replayed is replayed in memory; the file stays as it is."""

    def image(self, log, blocks=None, size=2 * MiB, **options):
        return vhdx({0: P, 1: Q} if blocks is None else blocks, size, log=log, **options)

    def table_page(self, *words):
        return struct.pack(f"<{len(words)}Q", *words).ljust(4096, b"\0")

    def test_a_change_of_the_table(self):
        swapped = self.table_page(DATA_AT + MiB | STORED, DATA_AT | STORED)
        image = self.image(log_entry(5, [(TABLE_AT, swapped)]))
        path = self.assert_content(image, Q + P)
        self.assertEqual(path.read_bytes(), image)
        self.assertTrue(self.imgtool_ok("info", "--json", path).json["dirty-flag"])

    def test_later_entries_win_and_zeros_clear(self):
        one = log_entry(5, [(TABLE_AT, self.table_page(ABSENT, DATA_AT | STORED))])
        two = log_entry(6, [(TABLE_AT, 4096)])
        three = log_entry(7, [(TABLE_AT, self.table_page(0, DATA_AT + MiB | STORED))])
        self.assert_content(self.image(one), bytes(MiB) + P)
        self.assert_content(self.image(one + two), bytes(2 * MiB))
        self.assert_content(self.image(one + two + three), bytes(MiB) + Q)

    def test_changes_of_content(self):
        page = random_bytes(4096)
        log = log_entry(9, [(DATA_AT + 8192, page), (DATA_AT + MiB - 4096, 8192)])
        content = bytearray(P + Q)
        content[8192:12288] = page
        content[MiB - 4096:MiB + 4096] = bytes(8192)
        self.assert_content(self.image(log), bytes(content))

    def test_a_ring_that_goes_round(self):
        """The first entry lies at the end of the log, the second at its start."""
        at = MiB - 8192
        first = log_entry(5, [(TABLE_AT, self.table_page(ABSENT, DATA_AT | STORED))], tail=at)
        second = log_entry(6, [(TABLE_AT, self.table_page(DATA_AT | STORED))], tail=at)
        old = log_entry(4, [(TABLE_AT, 4096)], tail=16384)
        log = (second.ljust(16384, b"\0") + old).ljust(at, b"\0") + first
        self.assert_content(self.image(log), P + bytes(MiB))

    def test_an_entry_over_the_end_of_the_ring(self):
        at = MiB - 4096
        entry = log_entry(5, [(TABLE_AT, self.table_page(DATA_AT + MiB | STORED))], tail=at)
        log = entry[4096:].ljust(at, b"\0") + entry[:4096]
        self.assert_content(self.image(log), Q + bytes(MiB))

    def test_a_torn_entry_ends_the_log(self):
        one = log_entry(5, [(TABLE_AT, self.table_page(DATA_AT | STORED))])
        torn = bytearray(log_entry(6, [(TABLE_AT, 4096)]))
        torn[100] ^= 1
        self.assert_content(self.image(one + bytes(torn)), P + bytes(MiB))
        other = log_entry(6, [(TABLE_AT, 4096)], log_guid=b"\x99" * 16)
        self.assert_content(self.image(one + other), P + bytes(MiB))

    def test_a_file_that_the_log_knows_longer(self):
        entry = [(TABLE_AT, self.table_page(DATA_AT | STORED, DATA_AT + MiB | STORED))]
        image = self.image(log_entry(5, entry, flushed=DATA_AT + MiB, last=DATA_AT + 2 * MiB),
                           blocks={0: P})
        self.assert_content(image, P + bytes(MiB))
        self.assert_image_refused(image[:-4096], "cut short", "log")

    def test_broken_logs_are_refused(self):
        good = log_entry(5, [(TABLE_AT, 4096), (DATA_AT, b"x" * 4096)])
        self.assert_image_refused(self.image(b"\1" * 4096), "log")
        tail = log_entry(5, [(TABLE_AT, 4096)], tail=8192)
        self.assert_image_refused(self.image(tail), "log")
        for at, value in ((64, 0), (88, 6), (80, 1), (112, 513), (4096, 0), (4100, 1), (8188, 7)):
            entry = bytearray(good)
            struct.pack_into("<I", entry, at, value)
            self.assert_image_refused(self.image(sealed(entry)), "log", "offset")

    def test_sizes_that_no_file_has(self):
        image = self.image(log_entry(5, [(TABLE_AT, 4096)], last=(1 << 64) - 1))
        self.assert_image_refused(image, "log", "in mind")
        regions = [(TABLE_REGION, (1 << 64) - MiB, MiB, 1), (METADATA_REGION, METADATA_AT, MiB, 1)]
        page = region_table(regions)[:4096]
        for last in (1 << 62, 1 << 40):
            log = log_entry(5, [(REGION_TABLES[0], page)], last=last)
            self.assert_hostile(self.image(log))

    def test_hostile_logs_take_no_time(self):
        entry = bytearray(log_entry(5, [(TABLE_AT, 4096)]))
        struct.pack_into("<I", entry, 8, MiB)
        self.assert_modest(self.image(bytes(entry) * 256), 1)
        many = b"".join(log_entry(5 + i, [(1 << 40, 1 << 40)], tail=0) for i in range(256))
        self.assert_modest(self.image(many), 0)


class Builder(BlockImageTestCase):
    @requires("qemu-img")
    def test_qemu_replays_the_same(self):
        page = struct.pack("<QQ", DATA_AT + MiB | STORED, DATA_AT | STORED).ljust(4096, b"\0")
        path = self.path("log.vhdx")
        path.write_bytes(vhdx({0: P, 1: Q}, 2 * MiB, log=log_entry(5, [(TABLE_AT, page)], last=9 * MiB)))
        digest = self.imgtool_ok("hash", path).out.split()[0]
        check("qemu-img", "check", "-q", "-r", "all", path)
        out = self.path()
        check("qemu-img", "convert", "-O", "raw", path, out)
        self.assertEqual(out.read_bytes(), Q + P)
        self.assertEqual(self.imgtool_ok("hash", path).out.split()[0], digest)
        self.assertEqual(crc32c(b"123456789"), 0xe3069283)


if __name__ == "__main__":
    main()
