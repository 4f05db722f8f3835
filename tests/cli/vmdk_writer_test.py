"""VMDK images that imgtool writes: streams of packed grains as VMware's tools lay them down."""
import os
import shutil
import struct
import subprocess
import unittest

from convert_testing import mixed_content
from foreign_output_testing import ForeignOutputTestCase, KiB, MiB
from imgtool_testing import check, main, requires, requires_root

SECTOR = 512
GRAIN = 64 * KiB
AT_END = (1 << 64) - 1


def header_of(content, at):
    names = ("magic version flags capacity grain descriptor descriptor_size entries redundant "
             "directory overhead").split()
    return dict(zip(names, struct.unpack_from("<4sIIQQQQIQQQ", content, at)))


def markers_of(content):
    """(kind, sectors that follow) of each marker behind the header; grains are kind None."""
    at, found = 128 * SECTOR, []
    while at < len(content):
        value, size, kind = struct.unpack_from("<QII", content, at)
        if size:
            found.append((None, value))
            at += -(-(size + 12) // SECTOR) * SECTOR
            continue
        found.append((kind, value))
        at += SECTOR * (1 + value)
    return found


@requires("qemu-img")
class Writer(ForeignOutputTestCase):
    kind = "vmdk"
    suffix = "vmdk"
    block = GRAIN

    def test_sizes(self):
        self.assert_sizes_that_hurt()

    def test_the_same_bytes_always(self):
        self.assert_same_bytes_always()

    def test_mixed_content(self):
        raw = self.mixed_image(70 * MiB + 512)
        image = self.convert_to(raw)
        self.assert_written(image, raw)
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["format"], "vmdk")
        self.assert_measured(raw, exact=False)
        target = self.path()
        self.imgtool_ok("burn", "--yes", image, target)
        self.assert_same_content(raw, target, 70 * MiB + 512)

    def test_it_lies_as_vmware_lays_it(self):
        """Tables behind their grains, all with markers; grains of zeros and their tables are left
        out."""
        raw = self.sparse_image(130 * MiB, {0: GRAIN, 2 * GRAIN: 10, 70 * MiB: 100})
        content = self.convert_to(raw).read_bytes()
        grains = [0, 2 * 128, 70 * 16 * 128]
        self.assertEqual(markers_of(content),
                         [(None, grains[0]), (None, grains[1]), (1, 4), (None, grains[2]), (1, 4),
                          (2, 1), (3, 1), (0, 0)])
        header, footer = header_of(content, 0), header_of(content, len(content) - 2 * SECTOR)
        self.assertEqual(header["version"], 3)
        self.assertEqual(header["flags"], 0x30001)
        self.assertEqual(header["capacity"], 130 * MiB // SECTOR)
        self.assertEqual(header["directory"], AT_END)
        directory = footer.pop("directory")
        self.assertEqual(footer, {k: v for k, v in header.items() if k != "directory"})
        tables = struct.unpack_from("<5I", content, directory * SECTOR)
        self.assertEqual([table != 0 for table in tables], [True, False, True, False, False])
        text = content[SECTOR:21 * SECTOR].rstrip(b"\0").decode()
        self.assertIn('createType="streamOptimized"', text)
        self.assertIn(f'RDONLY {130 * MiB // SECTOR} SPARSE "out', text)

    def test_smaller_than_qemus(self):
        raw, qemus = self.mixed_image(16 * MiB), self.path()
        check("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, qemus)
        ours = self.convert_to(raw, "-o", "subformat=streamOptimized")
        self.assertLess(os.path.getsize(ours), os.path.getsize(qemus))

    def test_levels(self):
        raw = self.mixed_image(4 * MiB)
        sizes = [os.path.getsize(self.convert_to(raw, f"--level={level}", "-c"))
                 for level in (1, 6, 12)]
        self.assertGreater(sizes[0], sizes[1])
        self.assertGreater(sizes[1], sizes[2])
        usual = self.convert_to(raw)
        self.assertEqual(os.path.getsize(usual), sizes[1])

    def test_through_pipes(self):
        """Onto standard output the same image, but for the name of its content."""
        raw = self.mixed_image(3 * MiB + 512)
        image = self.convert_to(raw)
        piped = self.path()
        piped.write_bytes(self.imgtool_ok("convert", "-O", "vmdk", raw, "-").out_bytes)
        self.assert_written(piped, raw)
        self.assertEqual(piped.read_bytes()[128 * SECTOR:], image.read_bytes()[128 * SECTOR:])
        # A source that does not tell its size: into a file only.
        with subprocess.Popen(["cat", raw], stdout=subprocess.PIPE) as cat:
            again = self.convert_to("-", input=cat.stdout, name=image.name + "x.vmdk")
        self.assert_written(again, raw)
        with subprocess.Popen(["cat", raw], stdout=subprocess.PIPE) as cat:
            result = self.imgtool("convert", "-O", "vmdk", "-", "-", input=cat.stdout)
        self.assertEqual(result.code, 2, f"\n{result!r}")
        self.assertIn("write it to a file", result.err)

    def test_a_pipe_that_ends(self):
        process = self.start_imgtool("convert", "-O", "vmdk", self.dense_image(16 * MiB), "-")
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.wait(60), 1)

    def test_two_tib_and_no_more(self):
        raw = self.sparse_image(2 << 40, {0: 4096, (2 << 40) - 512: 512})
        image = self.convert_to(raw)
        self.assertEqual(self.virtual_size(image), 2 << 40)
        self.imgtool_ok("compare", raw, image)
        os.truncate(raw, (2 << 40) + 512)
        result = self.imgtool("convert", raw, self.path("more.vmdk"))
        self.assert_refused(result, "2.0 TiB")
        self.assert_nothing_left(raw, image)

    def test_names_that_would_break_the_descriptor(self):
        raw = self.dense_image(GRAIN)
        for name, written in (('a"b.vmdk', "disk.vmdk"), ("a\nb.vmdk", "disk.vmdk"),
                              ("ä b.vmdk", "ä b.vmdk")):
            image = self.convert_to(raw, name=name)
            self.assertIn(f'SPARSE "{written}"\n'.encode(), image.read_bytes()[:16 * KiB])
            self.assert_written(image, raw)

    def test_libvmdk_reads_it(self):
        if not shutil.which("vmdkmount") or not os.access("/dev/fuse", os.W_OK):
            raise unittest.SkipTest("needs vmdkmount and /dev/fuse")
        raw = self.mixed_image(40 * MiB)
        with self.mounted("vmdkmount", self.convert_to(raw), "vmdk1") as disk:
            self.assert_same_content(raw, disk)

    def test_wrong_usage(self):
        self.assert_wrong_usage(["-o", "subformat=monolithicSparse"], ["-o", "cluster_size=64K"],
                                ["--codec=zstd"], ["--level=13"], ["--deflate-window=4K"],
                                ["-B", "base.vmdk"])
        self.assertEqual(self.imgtool("create", self.path("x.vmdk"), "1M").code, 2)
        disk = self.path("disk")
        disk.write_bytes(bytes(2 * MiB))
        self.assert_refused(self.imgtool("convert", "-n", "-O", "vmdk", disk, disk), "in place")

    def test_no_trace_of_a_run_that_did_not_end(self):
        self.assert_killed_leaves_nothing()

    def test_no_trace_of_a_run_that_was_stopped(self):
        self.assert_stopped_leaves_nothing()

    @requires_root
    def test_no_trace_on_a_full_disk(self):
        self.assert_full_disk_leaves_nothing()

    def test_empty_and_compressible(self):
        raw = self.path()
        raw.write_bytes(b"")
        self.assert_refused(self.imgtool("convert", raw, self.path("e.vmdk")))
        raw.write_bytes(mixed_content(MiB)[:GRAIN] * 16)
        self.assert_written(self.convert_to(raw), raw)


if __name__ == "__main__":
    main()
