"""Images of other programs that lie over a parent, or whose disk is in several files: opened only with
--follow-references, only beside the image, and only when they belong together."""
import os
import struct

import vhd_images as vhd
import vhdx_images as vhdx
import vmdk_images as vmdk
from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires, sha256

SECTOR = 512
FOLLOW = "--follow-references"


def mixed(parent, own, sectors):
    """The sectors of `own` that `sectors` names, the others of `parent`."""
    content = bytearray(parent)
    for sector in sectors:
        content[sector * SECTOR:(sector + 1) * SECTOR] = own[sector * SECTOR:(sector + 1) * SECTOR]
    return bytes(content)


class ParentTestCase(BlockImageTestCase):
    def put(self, name, content):
        path = self.path(name)
        path.write_bytes(content)
        return path

    def assert_shows(self, image, content):
        """With --follow-references every command sees `content`; without, none opens other files."""
        expected = self.put("expected.img", content)
        self.assert_refused(self.imgtool("hash", image), FOLLOW)
        self.assertEqual(self.imgtool("convert", image, self.path("no.img")).code, 3)
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["virtual-size"],
                         len(content))
        self.imgtool_ok("compare", FOLLOW, image, expected, "--strict")
        out = self.path("out.img")
        self.imgtool_ok("convert", FOLLOW, "--force", "-O", "raw", image, out)
        self.assertEqual(sha256(out), sha256(expected))
        digest = self.imgtool_ok("hash", FOLLOW, image).out.split()[0]
        self.assertEqual(digest, sha256(expected))
        self.assert_map(image, len(content), FOLLOW)
        for begin in (0, 700, 4 * KiB - 100):  # pieces that are not at sectors
            part = self.path("part.img")
            self.imgtool_ok("convert", FOLLOW, "--force", "-O", "raw", "--skip", begin, "--count",
                            "100000", image, part)
            self.assertEqual(part.read_bytes(), content[begin:begin + 100000])


class Parents(ParentTestCase):
    def test_vhd(self):
        size = 4 * MiB
        low, high = random_bytes(2 * MiB, 1), random_bytes(2 * MiB, 2)
        base_content = low + bytes(2 * MiB)
        bits = bytearray(512)
        own = [0, 5, 6, 4095]
        for sector in own:
            bits[sector // 8] |= 0x80 >> sector % 8
        options = {"kind": vhd.DIFFERENCING, "parent": "C:\\disks\\base.vhd",
                   "parent_id": b"\x42" * 16}
        child = self.put("child.vhd", vhd.dynamic({0: (bytes(bits), high)}, size, **options))
        for base in (vhd.dynamic({0: (None, low)}, size, identity=b"\x42" * 16),
                     vhd.fixed(base_content, identity=b"\x42" * 16)):
            self.put("base.vhd", base)
            self.assert_shows(child, mixed(low, high, own) + bytes(2 * MiB))
        self.assertEqual(self.imgtool_ok("info", "--json", child).json["backing-filename"],
                         "C:\\disks\\base.vhd")
        self.put("base.vhd", vhd.fixed(base_content))
        self.assert_changed(child)

    def assert_changed(self, child):
        result = self.imgtool("hash", FOLLOW, child)
        self.assertEqual(result.code, 4, result)
        self.assertIn("it was changed, or is another one", result.err)

    def test_vhdx(self):
        size = 5 * MiB
        base_content = random_bytes(size, 1)
        blocks = [base_content[at:at + MiB] for at in range(0, size, MiB)]
        own = random_bytes(MiB, 2)
        bits = bytearray(256)
        sectors = [0, 1, 9, 2047]
        for sector in sectors:
            bits[sector // 8] |= 1 << sector % 8
        self.put("base.vhdx", vhdx.vhdx(dict(enumerate(blocks)), size))
        child = self.put("child.vhdx", vhdx.vhdx(
            {0: own, 1: (bytes(bits), own), 2: (vhdx.ZERO, 0), 3: (vhdx.UNMAPPED, 0)}, size,
            parent="..\\elsewhere\\base.vhdx", linkage=vhdx.LINKAGE))
        content = own + mixed(blocks[1], own, sectors) + bytes(2 * MiB) + blocks[4]
        self.assert_shows(child, content)
        # 4 KiB sectors: a bit for each of them.
        bits = bytearray(32)
        bits[0] = 0b101
        big = self.put("big.vhdx", vhdx.vhdx({1: (bytes(bits), own)}, size, sector=4096,
                                             parent="base.vhdx", linkage=vhdx.LINKAGE))
        eights = [*range(8), *range(16, 24)]
        self.assert_shows(big, blocks[0] + mixed(blocks[1], own, eights) + b"".join(blocks[2:]))
        other = self.put("other.vhdx", vhdx.vhdx({}, size, parent="base.vhdx",
                                                 linkage=vhdx.LINKAGE.replace("2", "3")))
        self.assert_changed(other)

    def test_vhdx_without_the_bitmap_that_it_needs(self):
        image = bytearray(vhdx.vhdx({0: (b"\1", bytes(MiB))}, MiB, parent="base.vhdx",
                                    linkage=vhdx.LINKAGE))
        at = vhdx.TABLE_AT + 4096 * 8
        for word in (0, 7, 1 << 40 | 6):
            struct.pack_into("<Q", image, at, word)
            child = self.put("child.vhdx", bytes(image))
            self.put("base.vhdx", vhdx.vhdx({}, MiB))
            result = self.imgtool("hash", FOLLOW, child)
            self.assertEqual(result.code, 1, result)
            self.assertIn("bitmap of chunk 0", result.err)

    @requires("qemu-img", "qemu-io")
    def test_vmdk_chain(self):
        content = bytearray(random_bytes(3 * MiB, 1) + bytes(3 * MiB))
        base = self.put("base.img", content)
        names = ["base.vmdk", "middle.vmdk", "top.vmdk"]
        check("qemu-img", "convert", "-O", "vmdk", base, self.path(names[0]))
        for below, name, at in zip(names, names[1:], (MiB, 4 * MiB + 64 * KiB)):
            check("qemu-img", "create", "-q", "-f", "vmdk", "-b", below, "-F", "vmdk",
                  self.path(name))
            check("qemu-io", "-f", "vmdk", "-c", f"write -P 0x5a {at} 64k", self.path(name))
            content[at:at + 64 * KiB] = b"\x5a" * (64 * KiB)
        self.assert_shows(self.path("top.vmdk"), bytes(content))
        # Written to since: its content ID is another one.
        text = self.path("middle.vmdk").read_bytes()
        at = text.index(b"\nCID=") + 5
        self.path("middle.vmdk").write_bytes(text[:at] + b"12345678" + text[at + 8:])
        self.assert_changed(self.path("top.vmdk"))

    @requires("qemu-img", "qemu-io")
    def test_qed_and_qcow(self):
        content = bytearray(random_bytes(2 * MiB, 1))
        base = self.put("base.img", content)
        for name in ("qed", "qcow"):
            child = self.path(f"child.{name}")
            check("qemu-img", "create", "-q", "-f", name, "-b", base, "-F", "raw", child, 3 * MiB)
            check("qemu-io", "-f", name, "-c", "write -P 1 64k 64k", "-c", "write -P 2 2560k 64k",
                  child)
            expected = bytearray(content + bytes(MiB))
            expected[64 * KiB:128 * KiB] = b"\1" * (64 * KiB)
            expected[2560 * KiB:2624 * KiB] = b"\2" * (64 * KiB)
            self.assert_shows(child, bytes(expected))

    def test_only_a_regular_file_in_the_same_folder(self):
        child = self.put("child.vhd", vhd.dynamic({}, 2 * MiB, kind=vhd.DIFFERENCING,
                                                  parent="../secret/base.vhd"))
        self.assertEqual(self.imgtool("hash", FOLLOW, child).code, 1)  # not there
        base = vhd.dynamic({}, 2 * MiB)
        folder = self.path("secret")
        folder.mkdir()
        (folder / "base.vhd").write_bytes(base)
        self.assertEqual(self.imgtool("hash", FOLLOW, child).code, 1)
        self.path("base.vhd").symlink_to(folder / "base.vhd")
        self.assertNotEqual(self.imgtool("hash", FOLLOW, child).code, 0)
        self.path("base.vhd").unlink()
        os.mkfifo(self.path("base.vhd"))
        self.assert_refused(self.imgtool("hash", FOLLOW, child, timeout=10), "not a regular file")
        self.path("base.vhd").unlink()
        self.put("base.vhd", bytes(MiB))
        result = self.imgtool("hash", FOLLOW, child)
        self.assertEqual(result.code, 1, result)
        self.assertIn("which is not vpc", result.err)
        self.put("base.vhd", base)
        self.imgtool_ok("hash", FOLLOW, child)

    def test_a_chain_that_ends_in_itself(self):
        for name, image in (("a.vhd", vhd.dynamic({}, 2 * MiB, kind=vhd.DIFFERENCING,
                                                  parent="a.vhd")),
                            ("a.vhdx", vhdx.vhdx({}, MiB, parent="a.vhdx",
                                                 linkage=vhdx.LINKAGE))):
            result = self.imgtool("hash", FOLLOW, self.put(name, image))
            self.assertEqual(result.code, 1, result)
            self.assertIn("part of the same chain", result.err)

    def test_what_is_below_is_not_guessed_at(self):
        """map without --follow-references: as of qcow2, neither data nor zeros."""
        child = self.put("child.vhdx", vhdx.vhdx({0: bytes(MiB)}, 3 * MiB, parent="base.vhdx"))
        found = self.imgtool_ok("map", "--json", child).json
        self.assertEqual([(part["length"], part["present"], part["zero"], part["data"])
                          for part in found],
                         [(MiB, True, False, True), (2 * MiB, False, False, False)])


class Descriptors(ParentTestCase):
    def text(self, *lines, kind="custom", parent="ffffffff", hint=""):
        return "\n".join(["# Disk DescriptorFile", "version=1", "CID=0badcafe",
                          f"parentCID={parent}", f'createType="{kind}"',
                          *([f'parentFileNameHint="{hint}"'] if hint else []), *lines,
                          ""]).encode()

    @requires("qemu-img")
    def test_every_kind_that_qemu_writes(self):
        content = random_bytes(2 * MiB, 3) + bytes(3 * MiB) + random_bytes(MiB + 512, 4)
        disk = self.put("disk.img", content)
        for kind in ("monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"):
            with self.subTest(kind):
                image = self.path(f"{kind}.vmdk")
                check("qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={kind}", disk, image)
                self.assert_shows(image, content)
                info = self.imgtool_ok("info", "--json", image).json
                self.assertEqual((info["format"], info["format-specific"]["data"]["subformat"]),
                                 ("vmdk", kind))

    @requires("qemu-img")
    def test_more_than_one_extent_of_2_gib(self):
        disk = self.sparse_image(5 << 30, {0: KiB, (2 << 30) - 512: KiB, (4 << 30) + MiB: MiB})
        for kind in ("twoGbMaxExtentSparse", "twoGbMaxExtentFlat"):
            image = self.path(f"{kind}.vmdk")
            check("qemu-img", "convert", "-O", "vmdk", "-o", f"subformat={kind}", disk, image)
            self.imgtool_ok("compare", "--strict", FOLLOW, image, disk)

    def test_parts_of_all_kinds_in_any_order(self):
        flat, grains = random_bytes(64 * KiB, 1), {1: random_bytes(4096, 2), 3: random_bytes(4096, 3)}
        self.put("a-flat.vmdk", flat)
        self.put("a-s001.vmdk", vmdk.vmdk(grains, 40, text=b""))
        image = self.put("a.vmdk", self.text('RW 8 FLAT "a-flat.vmdk" 16', "RW 24 ZERO",
                                             'RDONLY 40 SPARSE "a-s001.vmdk"', "rw 0 zero",
                                             'rw 3 flat "a-flat.vmdk" 0'))
        self.assert_shows(image, flat[8192:8192 + 4096] + bytes(24 * 512)
                          + vmdk.content_of(grains, 40) + flat[:1536])

    def cowd(self, grains, capacity, grain=8):
        tables = -(-capacity // (grain * 4096))
        data = bytearray(2048 + SECTOR * -(-tables * 4 // SECTOR))
        words = {}
        for index in sorted(grains):
            words.setdefault(index // 4096, [0] * 4096)[index % 4096] = len(data) // SECTOR
            data += grains[index].ljust(grain * SECTOR, b"\0")
        for number, table in words.items():
            struct.pack_into("<I", data, 2048 + number * 4, len(data) // SECTOR)
            data += struct.pack("<4096I", *table)
        struct.pack_into("<4s7I", data, 0, b"COWD", 1, 3, capacity, grain, 4, tables,
                         len(data) // SECTOR)
        return bytes(data)

    def sesparse(self, grains, capacity, zeros=(), replay=0):
        tables = -(-capacity // (8 * 4096))
        directory_at, tables_at = 16, 16 + -(-tables * 8 // SECTOR)
        numbers = sorted({index // 4096 for index in [*grains, *zeros]})
        grains_at = tables_at + 64 * len(numbers)
        grains_at += -grains_at % 8
        data = bytearray(grains_at * SECTOR)
        words = [0xcafebabe, 0x200000001, capacity, 8, 64, 0, 0, 0, 0, 0, 1, 1, 2, 1, 3, 1,
                 directory_at, tables_at - directory_at, tables_at, 64 * len(numbers), 0, 0, 0, 0,
                 grains_at, 8 * len(grains)]
        struct.pack_into(f"<{len(words)}Q", data, 0, *words)
        struct.pack_into("<4Q", data, SECTOR, 0xcafecafe, 0, 0, replay)
        for place, number in enumerate(numbers):
            struct.pack_into("<Q", data, directory_at * SECTOR + number * 8, 1 << 60 | place)
        def put(index, word):
            at = tables_at * SECTOR + numbers.index(index // 4096) * 32768 + index % 4096 * 8
            struct.pack_into("<Q", data, at, word)
        for place, (index, content) in enumerate(sorted(grains.items())):
            put(index, 3 << 60 | (place & 0xfff) << 48 | place >> 12)
            data += content.ljust(4096, b"\0")
        for index in zeros:
            put(index, 2 << 60)
        return bytes(data)

    @requires("qemu-img")
    def test_what_esxi_writes(self):
        capacity = 3 * 8 * 4096 + 24
        grains = {0: random_bytes(4096, 1), 5: random_bytes(4096, 2), 4096: random_bytes(4096, 3),
                  capacity // 8 - 1: random_bytes(4096, 4)}
        content = vmdk.content_of(grains, capacity)
        for name, kind, part in (("vmfsSparse", "VMFSSPARSE", self.cowd(grains, capacity)),
                                 ("seSparse", "SESPARSE", self.sesparse(grains, capacity))):
            with self.subTest(name):
                self.put(f"{name}-delta.vmdk", part)
                image = self.put(f"{name}.vmdk", self.text(
                    f'RW {capacity} {kind} "{name}-delta.vmdk"', kind=name))
                self.assert_shows(image, content)
                out = self.path("qemu.img")
                check("qemu-img", "convert", "-f", "vmdk", "-O", "raw", image, out)
                self.assertEqual(out.read_bytes(), content)

    def test_snapshots_of_esxi_over_their_base(self):
        capacity = 3 * 8 * 4096
        base = bytearray(random_bytes(capacity * SECTOR, 9))
        self.put("vm-flat.vmdk", base)
        self.put("vm.vmdk", self.text(f'RW {capacity} VMFS "vm-flat.vmdk"', kind="vmfs"))
        own = {2: random_bytes(4096, 1), 8000: random_bytes(4096, 2)}
        for name, kind, part in (
                ("one", "SESPARSE", self.sesparse(own, capacity, zeros=(1, 4096))),
                ("two", "VMFSSPARSE", self.cowd({**own, 1: bytes(4096), 4096: bytes(4096)}, capacity))):
            self.put(f"{name}-delta.vmdk", part)
            image = self.put(f"{name}.vmdk", self.text(
                f'RW {capacity} {kind} "{name}-delta.vmdk"', kind="x", parent="0badcafe",
                hint="/vmfs/volumes/x/vm.vmdk"))
            content = bytearray(base)
            for index, grain in {**own, 1: bytes(4096), 4096: bytes(4096)}.items():
                content[index * 4096:(index + 1) * 4096] = grain
            self.assert_shows(image, bytes(content))

    def test_a_journal_that_has_to_be_replayed(self):
        self.put("d.vmdk", self.sesparse({0: b"x"}, 8, replay=1))
        image = self.put("a.vmdk", self.text('RW 8 SESPARSE "d.vmdk"'))
        result = self.imgtool("hash", FOLLOW, image)
        self.assertEqual(result.code, 1, result)
        self.assertIn("journal has to be replayed", result.err)

    def test_what_is_not_opened(self):
        self.put("flat", bytes(8 * 512))
        self.put("sparse", vmdk.vmdk({}, 8, text=b""))
        for line, code, words in (
                ('RW 8 FLAT "/etc/passwd" 0', 3, "not in its own folder"),
                ('RW 8 FLAT "../flat" 0', 3, "not in its own folder"),
                ('RW 8 FLAT "nbd:host" 0', 3, "not a plain file name"),
                ('RW 8 FLAT "" 0', 3, "is empty"),
                ('RW 8 VMFSRDM "flat" 0', 3, "of the type 'vmfsrdm'"),
                ('RW 9 FLAT "flat" 0', 1, "cut short"),
                ('RW 8 FLAT "flat" 1', 1, "cut short"),
                ('RW 8 FLAT "flat" 18446744073709551615', 1, "cut short"),
                ('RW 8 FLAT "gone" 0', 1, "gone"),
                ('RW 8 SPARSE "flat"', 1, "offset 0"),
                ('RW 16 SPARSE "sparse"', 1, "do not belong together"),
                ('RW 8 FLAT "flat" 0\nRW 8 FLAT "flat" 0', 1, "the same bytes"),
                ('RW 4 FLAT "flat" 0\nRW 4 FLAT "flat" 3', 1, "the same bytes"),
                ('RW 8 SPARSE "sparse"\nRW 8 SPARSE "sparse"', 1, "the same bytes"),
                ('RW 8 FLAT "a.vmdk" 0', 1, "same chain"),
                ("RW 18446744073709551615 ZERO\nRW 1 ZERO", 1, "too large"),
                ("RW 1 ZERO\n" * 4097, 1, "more than 4096"),
                ("", 1, "no part of a disk"), ("RW 0 ZERO", 1, "no part")):
            with self.subTest(line=line[:40]):
                image = self.put("a.vmdk", self.text(line))
                result = self.imgtool("hash", FOLLOW, image, timeout=20)
                self.assertEqual(result.code, code, result)
                self.assertIn(words, result.err)
                self.assertEqual(result.err.count("\n"), 1)
        self.path("link").symlink_to("flat")
        self.assertNotEqual(self.imgtool("hash", FOLLOW, self.put("a.vmdk", self.text(
            'RW 8 FLAT "link" 0'))).code, 0)

    def test_a_part_alone(self):
        for name, part in (("COWD", self.cowd({}, 8)), ("seSparse", self.sesparse({0: b"x"}, 8)),
                           ("sparse", vmdk.vmdk({}, 8, text=b""))):
            with self.subTest(name):
                result = self.imgtool("hash", self.put("part.vmdk", part))
                self.assert_refused(result, "open the descriptor")

    def test_hostile_parts(self):
        cowd = self.cowd({0: b"a", 4096: b"b"}, 5 * 8 * 4096)
        sesparse = self.sesparse({0: b"a", 4096: b"b"}, 5 * 8 * 4096)
        image = self.put("a.vmdk", self.text(f'RW {5 * 8 * 4096} SPARSE "d.vmdk"'))
        image_se = self.put("b.vmdk", self.text(f'RW {5 * 8 * 4096} SESPARSE "d.vmdk"'))
        for descriptor, part in ((image, cowd), (image_se, sesparse)):
            for at in [*range(4, 32, 4), *range(31, 224, 8), 512, 536, 2048, 2051, 8192, 8199]:
                broken = bytearray(part)
                broken[at] ^= 0x81
                self.put("d.vmdk", bytes(broken))
                result = self.imgtool("hash", FOLLOW, descriptor, timeout=20)
                self.assertIn(result.code, (0, 1, 3), result)
            for end in (0, 4, 100, 512, 1000, 2048, 5000, 9000, len(part) - 4096, len(part) - 1):
                self.put("d.vmdk", part[:end])
                self.assertEqual(self.imgtool("hash", FOLLOW, descriptor).code, 1, end)


if __name__ == "__main__":
    main()
