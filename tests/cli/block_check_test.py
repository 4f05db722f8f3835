"""imgtool check of images that other programs write: VMDK, VHD, VHDX, VDI, QED, qcow, Parallels."""
import struct

import vhd_images
import vhdx_images
import vmdk_images
from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, main, requires, run
from memory_testing import assert_modest
from table_images import parallels, qcow1, qed
from vdi_images import NONE, vdi

QEMUS = {"vdi": ("", "static=on"), "vpc": ("", "subformat=fixed"), "vhdx": ("", "subformat=fixed"),
         "vmdk": ("", "subformat=streamOptimized"), "qed": ("", "table_size=2"), "qcow": ("",),
         "parallels": ("",)}
SECTOR = 512


def block(number, size=MiB):
    return bytes([number]) * size


class BlockCheckTestCase(BlockImageTestCase):
    def check_image(self, content, code, *words, told=None, options=()):
        path = content
        if isinstance(content, bytes):
            path = self.path()
            path.write_bytes(content)
        result = self.imgtool("check", "--json", *options, path, timeout=20)
        self.assertEqual(result.code, code, f"\n{result!r}")
        for word in words:
            self.assertIn(word, result.err, result)
        if told is not None:
            self.assertEqual(len(result.err.splitlines()), told, result)
        return result.json


@requires("qemu-img")
class Clean(BlockCheckTestCase):
    def test_what_qemu_writes(self):
        disk = self.disk(9 * MiB + 512)
        for name, kinds in QEMUS.items():
            for kind in kinds:
                with self.subTest(name, kind=kind):
                    image = self.written_by_qemu(disk, name, *([kind] if kind else []))
                    found = self.check_image(image, 0, options=("-f", name), told=0)
                    self.assertEqual(found["format"], name)
                    self.assertEqual(found["check-errors"], 0)
                    self.assertGreater(found["allocated-clusters"], 0)
                    self.assertGreaterEqual(found["total-clusters"], found["allocated-clusters"])
                    self.assertLessEqual(found["image-end-offset"], image.stat().st_size)
                    self.assertNotIn("leaks", found)
                    image.unlink()

    def test_what_imgtool_writes(self):
        disk = self.disk(9 * MiB)
        for suffix in ("vmdk", "vhd", "vhdx", "vdi"):
            image = self.path(f"ours.{suffix}")
            self.imgtool_ok("convert", disk, image)
            self.check_image(image, 0, told=0)
            self.assertIn("No errors were found", self.imgtool_ok("check", image).out)

    def test_the_same_count_as_qemus(self):
        disk = self.disk(9 * MiB)
        image = self.written_by_qemu(disk, "qed")
        with open(image, "ab") as file:
            file.write(bytes(3 * 64 * KiB))
        self.assertEqual(run(["qemu-img", "check", "-f", "qed", image]).code, 3)
        found = self.check_image(image, 3)
        self.assertEqual((found["leaks"], found["leaked-bytes"]), (3, 3 * 64 * KiB))


class Damaged(BlockCheckTestCase):
    def test_all_faults_are_told_each_with_its_place(self):
        """A block used twice, one past the end, and one that is nobody's."""
        image = vdi([0, 0, 9, NONE], [block(1), block(2)], map_at=MiB, data_at=2 * MiB)
        found = self.check_image(image, 2, f"offset {MiB + 8}", "cut short", f"offset {2 * MiB}",
                                 "two blocks", told=2)
        self.assertEqual((found["corruptions"], found["leaks"]), (2, 1))
        self.assertEqual(found["leaked-bytes"], MiB)

    def test_vdi(self):
        good = vdi([0, NONE], [block(1)])
        self.check_image(good, 0)
        self.check_image(vdi([NONE, NONE], [block(1)]), 2, "tells of 1 blocks in use, the map of 0")
        self.check_image(good[:MiB // 2], 2, "cut short")
        linked = vdi([0, NONE], [block(1)], kind=4, link=b"\x11" * 16)
        self.check_image(linked, 0)  # its parent is not looked at

    def test_vhd(self):
        good = vhd_images.dynamic({0: (None, block(1, 2 * MiB)), 2: (None, block(2, 2 * MiB))},
                                  6 * MiB)
        self.check_image(good, 0, told=0)
        self.check_image(good[:-512], 2, "here should be the footer")
        self.check_image(b"conectix" + b"?" + good[9:], 2, "here should be a copy of the footer")
        table = struct.unpack_from(">3I", good, 1536)
        twice = good[:1536] + struct.pack(">3I", table[0], table[0], table[2]) + good[1548:]
        self.check_image(twice, 2, "two blocks")
        lost = good[:1536] + struct.pack(">3I", table[0], 0xffffffff, 0xffffffff) + good[1548:]
        self.assertEqual(self.check_image(lost, 3)["leaks"], 1)
        header = good[:1536] + struct.pack(">3I", 1, table[1], table[2]) + good[1548:]
        self.check_image(header, 2, "where the dynamic header is")
        fixed = vhd_images.fixed(block(3))
        self.check_image(fixed, 0)
        self.check_image(fixed[1000:], 2, "cut short", options=("-f", "vpc"))

    def test_vhdx(self):
        self.check_image(vhdx_images.vhdx({0: block(1), 2: block(2)}, 4 * MiB), 0, told=0)
        for state in (4, 7):
            self.check_image(vhdx_images.vhdx({0: (state, 4 * MiB)}, 4 * MiB), 2, "block 0")
        self.check_image(vhdx_images.vhdx({0: (6, 900 * MiB)}, 4 * MiB), 2, "cut short")
        self.check_image(vhdx_images.vhdx({0: (6, 0)}, 4 * MiB), 2, "where the header is")

    def test_vmdk(self):
        grains = {0: block(1, 4096), 3: block(2, 4096)}
        for image in (vmdk_images.vmdk(grains, 64), vmdk_images.stream(grains, 64)):
            self.check_image(image, 0, told=0)
        image = bytearray(vmdk_images.vmdk(grains, 64))
        (directory,) = struct.unpack_from("<Q", image, 56)
        (table,) = struct.unpack_from("<I", image, directory * SECTOR)
        (first,) = struct.unpack_from("<I", image, table * SECTOR)
        struct.pack_into("<2I", image, table * SECTOR + 4, first, 0x00ffffff)
        found = self.check_image(bytes(image), 2, "grain 1", "where another one is", "grain 2",
                                 "cut short", told=2)
        self.assertEqual(found["corruptions"], 2)

    def test_qed_and_qcow(self):
        cluster = 4096
        for make, data_at in ((qed, 3 * cluster), (qcow1, 2 * cluster)):
            good = make({0: block(1, cluster), 5: block(2, cluster)}, 16 * cluster)
            found = self.check_image(good, 0, told=0)
            self.assertEqual((found["total-clusters"], found["allocated-clusters"]), (16, 2))
            twice = make({0: block(1, cluster), 5: data_at, 6: 100 * cluster, 7: 77},
                         16 * cluster)
            found = self.check_image(twice, 2, "cut short", "not the start of a cluster",
                                     "something else")
            self.assertGreaterEqual(found["corruptions"], 3)
            leaked = good + bytes(2 * cluster)
            self.assertEqual(self.check_image(leaked, 3)["leaked-bytes"], 2 * cluster)
        packed = qcow1({0: ("z", block(1, 4096)), 1: ("z", block(2, 4096))}, 4 * 4096)
        self.assertEqual(self.check_image(packed, 0)["compressed-clusters"], 2)
        over = qed({0: block(1, 4096)}, 16 * 4096, features=1, name=b"base")
        self.assertIn(self.imgtool("check", self.written(over)).code, (0, 1))
        unclosed = qed({0: block(1, 4096)}, 16 * 4096, features=2)
        self.check_image(unclosed, 0, "was not closed")

    def written(self, content):
        path = self.path()
        path.write_bytes(content)
        return path

    def test_parallels(self):
        good = parallels([1, 0, 2], [block(1, 4096), block(2, 4096)])
        self.check_image(good, 0, told=0)
        self.check_image(parallels([1, 1, 9], [block(1, 4096)]), 2, "cut short", "two blocks",
                         told=2)
        self.assertEqual(self.check_image(parallels([1, 0, 0], [block(1, 4096), block(2, 4096)]),
                                          3)["leaks"], 1)
        self.check_image(parallels([1], [block(1, 4096)], in_use=0x746f6e59), 0, "was not closed")

    def test_a_million_faults_are_bounded(self):
        """All of them are counted, a thousand told."""
        image = vdi([5] * (1 << 20), [block(1)], block_size=4096)
        found = self.check_image(image, 2, "more", told=1001)
        self.assertGreater(found["corruptions"], (1 << 20) - 300)
        assert_modest(self, 256 * MiB, "check", self.written(image), code=2)

    def test_what_is_not_done(self):
        path = self.written(vdi([0, 0], [block(1)]))
        before = path.read_bytes()
        for repair in ("leaks", "all"):
            result = self.imgtool("check", "--repair", repair, path)
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertIn("is vdi, which imgtool checks and does not repair", result.err)
        self.assertEqual(path.read_bytes(), before)
        damaged = bytearray(before)
        damaged[376:380] = b"\3\0\0\0"
        result = self.imgtool("check", self.written(bytes(damaged)))
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("block size", result.err)
        self.assertEqual(self.imgtool("check", self.written(b"raw")).code, 63)


if __name__ == "__main__":
    main()
