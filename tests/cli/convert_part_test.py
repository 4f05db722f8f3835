"""imgtool convert of a part (--skip, --count), past damage (--salvage), and with what qemu-img's users
say by habit."""
import os
import struct
import subprocess

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import main, random_bytes, requires, requires_root
from qcow2_images import Qcow2

COPIED = 1 << 63
COMPRESSED = 1 << 62


class Parts(ConvertTestCase):
    size = 4 * MiB + 700

    def setUp(self):
        super().setUp()
        self.raw = self.mixed_image(self.size, "disk.img")
        self.content = self.raw.read_bytes()

    def part(self, image, *options):
        out = self.path()
        self.convert(image, out, "-O", "raw", *options)
        return out.read_bytes()

    def test_any_part_of_any_image(self):
        images = [self.raw]
        for name, options in (("plain.qcow2", []), ("packed.qcow2", ["-c"]), ("packed.zst", [])):
            images.append(self.path(name))
            self.convert(self.raw, images[-1], *options)
        for image in images:
            for skip, count in ((0, 1), (1, MiB), (512, 511), (MiB - 3, 2 * MiB + 5), (4 * MiB, 64),
                                (4 * MiB + 1, None), (0, 5 * MiB), (self.size - 1, None)):
                with self.subTest(image=image.name, skip=skip, count=count):
                    wanted = self.content[skip:None if count is None else skip + count]
                    if image.suffix == ".qcow2":  # has whole sectors
                        wanted = (self.content + bytes(-self.size % 512))[
                            skip:None if count is None else skip + count]
                    options = [] if count is None else ["--count", str(count)]
                    self.assertEqual(self.part(image, "--skip", str(skip), *options), wanted)

    def test_a_part_is_an_image_of_its_own(self):
        out = self.path("part.qcow2")
        self.convert(self.raw, out, "-c", "--skip", "1M", "--count", "2M")
        part = self.path()
        part.write_bytes(self.content[MiB:3 * MiB])
        self.assert_image_of(out, part)

    def test_what_is_not_there(self):
        out = self.path("x")
        result = self.imgtool("convert", self.raw, out, "--skip", "5M")
        self.assertEqual(result.code, 1, result)
        self.assertIn("--skip leaves out 5242880", result.err)
        with open(self.raw, "rb") as file:
            pipe = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            for options in (["--skip", "1M"], ["--count", "1M"], ["--salvage"]):
                result = self.imgtool("convert", "-", out, *options, input=pipe.stdout)
                self.assertEqual(result.code, 1, result)
                self.assertIn("is a stream", result.err)
            pipe.stdout.close()
            pipe.wait()
        self.assertFalse(out.exists())

    def test_streams_are_unpacked_first(self):
        gz = self.path("disk.gz")
        self.convert(self.raw, gz)
        self.assertEqual(self.part(gz, "--skip", "1M", "--count", "2M"), self.content[MiB:3 * MiB])
        self.assertEqual(self.part(gz, "--salvage"), self.content)

    def test_habits_are_answered(self):
        out = self.path("out.qcow2")
        for options, note in ((["-t", "none"], "-t has no effect"), (["-T", "unsafe"], "-T has no"),
                              (["-W"], "-W has no effect"), (["-m", "8"], "-m has no effect"),
                              (["-S", "64k"], "-S has no effect"), (["-c", "-S", "0"], "-S has no"),
                              (["-o", "size=1G"], "-o size has no effect")):
            with self.subTest(options=options):
                result = self.imgtool_ok("convert", "--force", self.raw, out, *options)
                self.assertEqual([line for line in result.err.splitlines() if "note:" in line],
                                 [line for line in result.err.splitlines() if note in line])
                self.assertIn(note, result.err)
                self.assert_image_of(out, self.raw)
        quiet = self.imgtool_ok("convert", "-q", "-p", "--force", self.raw, out)
        self.assertEqual((quiet.out, quiet.err), ("", ""))
        self.assertIn("identical", self.imgtool_ok("compare", "-q", "--json", self.raw, out).out)
        for options in (["-t", "fast"], ["-m", "17"], ["-S", "100"], ["-o", "size=x"]):
            self.assertEqual(self.imgtool("convert", self.raw, out, *options).code, 2)


@requires("qemu-img", "qemu-io")
class Salvage(ConvertTestCase):
    def damaged(self):
        """Lost: a plain cluster behind the file's end, a table entry, a compressed cluster."""
        image = Qcow2(self, 2 * MiB, name="damaged.qcow2")
        image.write(0, 4 * 64 * KiB)
        image.write(512 * KiB, 3 * 64 * KiB, compressed=True)
        image.finish()
        with open(image.path, "r+b") as file:
            header = file.read(72)
            (l1,) = struct.unpack_from(">Q", header, 40)
            file.seek(l1)
            l2 = struct.unpack(">Q", file.read(8))[0] & ~COPIED
            file.seek(l2)
            entries = list(struct.unpack(">32Q", file.read(32 * 8)))
            entries[1] = COPIED | (1 << 40)
            entries[2] |= 0x100  # a reserved bit
            file.seek(l2)
            file.write(struct.pack(">32Q", *entries))
            file.seek((entries[9] & ((1 << 54) - 1)) + 16)
            file.write(random_bytes(4000, 77))
        lost = [(64 * KiB, 2 * 64 * KiB), (9 * 64 * KiB, 64 * KiB)]
        content = bytearray(image.content)
        for begin, length in lost:
            content[begin:begin + length] = bytes(length)
        return image.path, bytes(content), lost

    def test_what_is_left_is_saved_and_what_is_lost_is_listed(self):
        path, content, lost = self.damaged()
        out = self.path("out.raw")
        self.assertEqual(self.imgtool("convert", path, out).code, 1)
        self.assertFalse(out.exists())
        for options in ([], ["--threads", "1"], ["-c", "-O", "qcow2"]):
            with self.subTest(options=options):
                result = self.imgtool("convert", "--salvage", "--json", "--force", path, out,
                                      *options)
                self.assertEqual(result.code, 5, result)
                self.assertEqual([(entry["start"], entry["length"])
                                  for entry in result.json["unreadable"]], lost)
                found = self.path()
                self.convert(out, found, "-O", "raw")
                self.assertEqual(found.read_bytes(), content)
        result = self.imgtool("convert", "--salvage", "--force", path, out)
        self.assertEqual(result.code, 5)
        self.assertIn("196608 bytes in 2 places could not be read", result.out)
        self.assertIn("131072 bytes at offset 65536", result.out)

    def test_of_a_part_places_are_those_of_the_new_image(self):
        path, content, lost = self.damaged()
        result = self.imgtool("convert", "--salvage", "--json", "--skip", "64K", "--count", "64K",
                              path, self.path("out.raw"))
        self.assertEqual(result.code, 5, result)
        self.assertEqual(result.json["unreadable"], [{"start": 0, "length": 64 * KiB}])

    def test_nothing_lost_is_done(self):
        raw = self.mixed_image(MiB)
        out = self.path("out")
        report = self.convert("--salvage", raw, out)
        self.assertEqual(report["unreadable"], [])
        self.assertEqual(out.read_bytes(), raw.read_bytes())

    @requires("nbdkit", "nbdfuse")
    @requires_root
    def test_bad_sectors_of_a_disk(self):
        backing = self.dense_image(4 * MiB)
        disk = self.fault_disk(backing)
        disk.fail_reads(MiB + 512, 1024)
        out = self.path("out.raw")
        result = self.imgtool("convert", "--salvage", "--json", disk.device, out, "-O", "raw")
        self.assertEqual(result.code, 5, result)
        wanted = bytearray(backing.read_bytes())
        for entry in result.json["unreadable"]:
            begin, length = entry["start"], entry["length"]
            self.assertLessEqual(begin, MiB + 512)
            self.assertGreaterEqual(begin + length, MiB + 1536)
            self.assertLessEqual(length, 8192)
            wanted[begin:begin + length] = bytes(length)
        self.assertEqual(out.read_bytes(), bytes(wanted))
        self.assertEqual(len(result.json["unreadable"]), 1)


if __name__ == "__main__":
    main()
