"""convert and capture write gz, xz, lz4 and simg: what every tool reads, the same bytes for any threads."""
import gzip
import lzma
import os
import signal
import struct
import subprocess
import time

from imgtool_testing import (KiB, MiB, TestCase, check, engines, main, random_bytes, requires,
                             requires_root, run)
from resume_testing import PROMPT_S

FORMATS = ("gz", "xz", "lz4")
OPEN = {"gz": gzip.open, "xz": lzma.open}
TEST = {"gz": ["gzip", "-t"], "xz": ["xz", "-t"], "lz4": ["lz4", "-qt"]}


def content_of(path, kind):
    if kind == "lz4":
        return subprocess.run(["lz4", "-dqc", path], stdout=subprocess.PIPE, check=True).stdout
    with OPEN[kind](path) as file:
        return file.read()


@requires("gzip", "xz", "lz4")
class Streams(TestCase):
    def image(self):
        """Three blocks of xz and five of gz, with data at their ends; dense data makes xz slow."""
        return self.sparse_image(17 * MiB + 700, {MiB: 100 * KiB, 8 * MiB - 4096: 8192,
                                                  12 * MiB: 50000, 17 * MiB: 700})

    def test_every_tool_reads_them(self):
        """Whole blocks and odd ends, data and zeros at both, more than one block of each."""
        images = {"one byte": self.dense_image(1), "dense": self.dense_image(300 * KiB + 513),
                  "some of each": self.image(),
                  "zeros": self.zero_image(20 * MiB + 5),
                  "zeros at the end": self.sparse_image(18 * MiB + 1, {MiB: 4096})}
        for kind in FORMATS:
            for name, image in images.items():
                with self.subTest(kind, image=name):
                    out = self.path(f"{name} out.{kind}")
                    self.imgtool_ok("convert", "--level=1", image, out)
                    check(*TEST[kind], out)
                    self.assertEqual(content_of(out, kind), image.read_bytes())
                    hashes = [self.imgtool_ok("hash", path).out.split()[0] for path in (image, out)]
                    self.assertEqual(*hashes)
                    out.unlink()

    def test_the_same_bytes_whatever_the_threads_and_however_it_arrives(self):
        image = self.image()
        for kind in FORMATS:
            first = None
            with open(image, "rb") as stream:
                ways = [(["convert", f"--threads={threads}", f"--io-engine={engine}", image], b"")
                        for threads, engine in zip((1, 3), 2 * engines())]
                ways += [(["convert", "-"], stream), (["capture", image], b"")]
                for args, source in ways:
                    out = self.path(f"out{self.names}.{kind}")
                    self.imgtool_ok(*args, out, "--level=1", input=source)
                    first = first or out.read_bytes()
                    self.assertEqual(out.read_bytes(), first, args)
            piped = self.imgtool_ok("convert", "-O", kind, "--level=1", image, "-")
            self.assertEqual(piped.out_bytes, first)
            self.assertEqual(content_of(out, kind), image.read_bytes())

    @requires("zstd")
    def test_zst_through_a_pipe(self):
        image, out = self.image(), self.path("out.zst")
        self.imgtool_ok("convert", image, out)
        piped = self.imgtool_ok("convert", "-O", "zst", image, "-")
        self.assertEqual(piped.out_bytes, out.read_bytes())
        # Of a pipe the size is not known beforehand: there is no label, and all else is the same.
        with open(image, "rb") as stream:
            unknown = self.imgtool_ok("convert", "-O", "zst", "-", "-", input=stream)
        again = self.path("again.zst")
        again.write_bytes(unknown.out_bytes)
        self.assertEqual(run(["zstd", "-dc", again]).out_bytes, image.read_bytes())
        self.assertIn("identical", self.imgtool_ok("compare", again, image).out)
        self.assertEqual(self.imgtool("hash", again).out.split()[0],
                         self.imgtool("hash", image).out.split()[0])

    def test_xz_decodes_the_blocks_side_by_side(self):
        out = self.path("out.xz")
        self.imgtool_ok("convert", "--level=1", self.image(), out)
        rows = [line.split() for line in check("xz", "--robot", "--list", "-vv", out).splitlines()]
        blocks = [row for row in rows if row[0] == "block"]
        self.assertEqual([int(row[7]) for row in blocks], [8 * MiB, 8 * MiB, MiB + 700])
        self.assertTrue(all(row[12] == "cu" for row in blocks), blocks)

    def test_levels(self):
        text = self.path()
        pairs = zip(random_bytes(90000), random_bytes(90000, 3))
        text.write_bytes(b"".join(b"%d %d\n" % pair for pair in pairs))
        for kind, levels in (("gz", (1, 6, 12)), ("xz", (1, 6, 9)), ("lz4", (1, 3, 12))):
            sizes = []
            for level in levels:
                out = self.path(f"{level}.{kind}")
                self.imgtool_ok("convert", f"--level={level}", text, out)
                self.assertEqual(content_of(out, kind), text.read_bytes())
                sizes.append(os.path.getsize(out))
            self.assertGreater(sizes[0], min(sizes[1:]), kind)
            self.assertEqual(len(set(sizes)), 3, sizes)
            usual = self.path(f"usual.{kind}")
            self.imgtool_ok("convert", text, usual)
            self.assertEqual(usual.read_bytes(), self.path(f"{1 if kind == 'lz4' else 6}.{kind}").read_bytes())

    def test_wrong_usage(self):
        image = self.dense_image(4096)
        for args in (["convert", "--codec=zstd", image, "x.gz"],
                     ["convert", "--codec=zlib", image, "x.xz"],
                     ["convert", "--level=10", image, "x.xz"],
                     ["convert", "--level=13", image, "x.gz"],
                     ["convert", "-o", "cluster_size=64K", image, "x.gz"], ["create", "x.xz", "1M"],
                     ["convert", "--codec=zstd", image, "x.lz4"],
                     ["convert", "--level=13", image, "x.lz4"],
                     ["convert", "-c", image, "x.simg"], ["convert", "-O", "simg", image, "-"],
                     ["convert", "-o", "preallocation=full", image, "x.simg"],
                     ["create", "x.simg", "1M"], ["measure", "-O", "lz4", image],
                     ["convert", "-O", "qcow2", image, "-"], ["measure", "-O", "xz", image]):
            result = self.imgtool(*args, cwd=self.dir)
            self.assertEqual(result.code, 2, f"\n{result!r}")
            self.assertEqual(list(self.dir.glob("x.*")), [])
        self.assert_refused(self.imgtool("convert", image, "x.tar.gz", cwd=self.dir), "tar")

    def test_measure_of_gz_is_about_right(self):
        image, out = self.half_sparse_image(12 * MiB), self.path("out.gz")
        self.imgtool_ok("convert", image, out)
        told = self.imgtool_ok("measure", "-O", "gz", image, "--json").json["required"]
        self.assertLessEqual(os.path.getsize(out), told * 1.02)
        self.assertGreater(os.path.getsize(out), told * 0.9)

    def test_a_stop_is_prompt_and_leaves_nothing(self):
        image = self.dense_image(64 * MiB)
        for kind in FORMATS:
            out = self.path(f"out.{kind}")
            job = self.job("convert", "--level=9", image, out)
            job.wait_for("write")
            time.sleep(0.5)
            began = time.monotonic()
            job.signal(signal.SIGINT)
            self.assertEqual(job.finish().code, 130)
            self.assertLess(time.monotonic() - began, PROMPT_S)
            self.assertEqual(list(self.dir.glob("out*")), [])

    @requires_root
    def test_a_full_disk_leaves_nothing(self):
        image, place = self.dense_image(8 * MiB), self.tmpfs(2 * MiB)
        for kind in FORMATS:
            result = self.imgtool("convert", "--level=1", image, place / f"out.{kind}")
            self.assertIn(result.code, (1, 3), f"\n{result!r}")
            self.assertEqual(list(place.iterdir()), [])

    def test_a_pipe_that_ends(self):
        process = self.start_imgtool("convert", "-O", "xz", "--level=1",
                                     self.dense_image(16 * MiB), "-")
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.wait(60), 1)


@requires("simg2img")
class AndroidSparse(TestCase):
    def test_simg2img_reads_it(self):
        images = {"one byte": self.dense_image(1), "dense": self.dense_image(300 * KiB + 513),
                  "some of each": self.sparse_image(17 * MiB + 700, {
                      MiB: 100 * KiB, 8 * MiB - 4096: 8192, 12 * MiB: 50000, 17 * MiB: 700}),
                  "zeros": self.zero_image(20 * MiB)}
        for name, image in images.items():
            with self.subTest(name):
                out, back = self.path(f"{name}.simg"), self.path(f"{name}.back")
                self.imgtool_ok("convert", image, out)
                check("simg2img", out, back)
                content = image.read_bytes()
                content += bytes(-len(content) % 4096)
                self.assertEqual(back.read_bytes(), content)
                again = self.path()
                self.imgtool_ok("convert", "-O", "raw", out, again)
                self.assertEqual(again.read_bytes(), content)
                header = struct.unpack("<IHHHHIIII", out.read_bytes()[:28])
                self.assertEqual(header[:6] + header[8:], (0xED26FF3A, 1, 0, 28, 12, 4096, 0))

    @requires("simg2simg")
    def test_a_split_image_is_one(self):
        image = self.sparse_image(24 * MiB, {MiB: 3 * MiB, 9 * MiB: 4 * MiB, 20 * MiB: 3 * MiB})
        whole, raw = self.path("super.simg"), image.read_bytes()
        self.imgtool_ok("convert", image, whole)
        check("simg2simg", whole, self.path("super.img"), 4 * MiB)
        first = self.path("super.img.0")
        self.assertTrue(self.path("super.img.1").exists())
        for name in ("super.img.{}", "super_{}.img"):
            with self.subTest(name):
                parts = sorted(self.dir.glob("super.img.[0-9]"), key=lambda part: part.name)
                begin = 0 if name.endswith("{}") else 1
                named = [self.path(name.format(begin + i)) for i in range(len(parts))]
                for part, path in zip(parts, named):
                    if part != path:
                        path.write_bytes(part.read_bytes())
                out = self.path()
                self.imgtool_ok("convert", "-O", "raw", named[0], out)
                self.assertEqual(out.read_bytes(), raw)
        other = self.path("super.img.1")
        other.write_bytes(first.read_bytes())
        result = self.imgtool("hash", first)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("as another part does", result.err)
        self.imgtool_ok("hash", "-f", "simg", first)
        self.imgtool_ok("convert", self.zero_image(4096), "--force", "-O", "simg", other)
        self.assertIn("part of a disk", self.imgtool("hash", first).err)

    def test_patterns_and_short_runs(self):
        image, out = self.path(), self.path("out.simg")
        image.write_bytes(b"abcd" * (MiB // 4) + random_bytes(64 * KiB) + bytes(60 * KiB) +
                          random_bytes(4 * KiB) + b"\xff" * MiB)
        self.imgtool_ok("convert", image, out)
        self.assertLess(out.stat().st_size, 130 * KiB)
        self.imgtool_ok("compare", "--strict", image, out)

    def test_the_same_bytes_whatever_the_threads_and_however_it_arrives(self):
        image = self.sparse_image(17 * MiB, {MiB: 100 * KiB, 12 * MiB: 50000})
        first = None
        for options in (["--threads=1", image], ["--threads=3", image], ["-"]):
            out = self.path(f"out{self.names}.simg")
            with open(image, "rb") as stream:
                self.imgtool_ok("convert", *options, out,
                                input=stream if options == ["-"] else b"")
            first = first or out.read_bytes()
            self.assertEqual(out.read_bytes(), first, options)


if __name__ == "__main__":
    main()
