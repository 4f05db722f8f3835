"""imgtool verify lists exactly what differs; imgtool hash says what sha256sum would."""
import os
import subprocess

from imgtool_testing import (GiB, IMGTOOL, KiB, MiB, TestCase, check, engines, flip_byte, main,
                             random_bytes, requires_fault_disk, requires_root, run, sha256)
from terminal import Terminal


def ranges(*pairs):
    return [{"start": start, "length": length} for start, length in pairs]

class Verify(TestCase):
    def differences(self, image, *targets, options=(), code=4):
        """Each target's differing ranges."""
        result = self.imgtool("verify", image, *targets, "--json", *options)
        self.assertEqual(result.code, code, f"\n{result!r}")
        self.assertEqual([target["path"] for target in result.json["targets"]],
                         [str(target) for target in targets])
        return [target["differences"] for target in result.json["targets"]]

    def altered(self, image, *spots):
        """A copy of the image with other bytes at (offset, length)."""
        content = bytearray(image.read_bytes())
        for offset, length in spots:
            content[offset:offset + length] = bytes(255 - byte for byte in
                                                    content[offset:offset + length])
        copy = self.path()
        copy.write_bytes(content)
        return copy

    def test_the_same(self):
        for size in (1, 511, 4096, MiB, 5 * MiB + 77):
            image = self.half_sparse_image(size, f"image{size}")
            dense_copy = self.path()
            dense_copy.write_bytes(image.read_bytes())
            for engine in engines():
                with self.subTest(size=size, engine=engine):
                    found = self.differences(image, dense_copy, code=0,
                                             options=[f"--io-engine={engine}"])
                    self.assertEqual(found, [[]])

    def test_exact_ranges(self):
        image = self.half_sparse_image(5 * MiB + 77)
        # Less than 512 bytes apart, two ranges would be told as one.
        spots = [(0, 1), (1023, 2), (MiB - 1, 2), (MiB + 4096, 4096), (2 * MiB - 100, 200),
                 (4 * MiB, MiB - 600), (5 * MiB + 76, 1)]
        copy = self.altered(image, *spots)
        for options in ([], ["--chunk=64K"], ["--depth=1"],
                        *[[f"--io-engine={engine}"] for engine in engines()]):
            with self.subTest(options=options):
                self.assertEqual(self.differences(image, copy, options=options), [ranges(*spots)])

    def test_every_single_byte(self):
        image = self.dense_image(2 * MiB + 5)
        for offset in (0, 1, 4095, 4096, MiB - 1, MiB, 2 * MiB, 2 * MiB + 4):
            copy = self.altered(image, (offset, 1))
            self.assertEqual(self.differences(image, copy), [ranges((offset, 1))])

    @requires_root
    def test_disks_of_both_sector_sizes(self):
        image = self.half_sparse_image(5 * MiB + 77)
        disks = []
        for sector_size in (512, 4096):
            backing = self.backing_file(8 * MiB)
            disks.append(self.loop_device(backing, sector_size=sector_size))
            self.imgtool_ok("burn", image, disks[-1], "--yes")
            flip_byte(backing, 3 * MiB + sector_size)
        self.assertEqual(self.differences(image, *disks),
                         [ranges((3 * MiB + 512, 1)), ranges((3 * MiB + 4096, 1))])

    @requires_root
    def test_reads_the_medium_and_not_the_page_cache(self):
        image, backing = self.dense_image(4 * MiB), self.backing_file(4 * MiB)
        disk = self.loop_device(backing)
        self.imgtool_ok("burn", image, disk, "--yes")
        with open(disk, "rb") as holder:  # keeps the disk's pages cached
            self.assertEqual(len(holder.read()), 4 * MiB)
            flip_byte(backing, MiB + 1)
            self.assertEqual(self.differences(image, disk), [ranges((MiB + 1, 1))])

    @requires_root
    def test_writes_nothing(self):
        image, backing = self.dense_image(2 * MiB), self.backing_file(3 * MiB)
        before = sha256(backing)
        self.differences(image, self.loop_device(backing, read_only=True))
        self.assertEqual(sha256(backing), before)

    def test_several_at_once(self):
        image = self.half_sparse_image(4 * MiB)
        copies = [self.altered(image), self.altered(image, (2 * MiB, 5)),
                  self.altered(image, (0, 4 * MiB))]
        self.assertEqual(self.differences(image, *copies),
                         [[], ranges((2 * MiB, 5)), ranges((0, 4 * MiB))])

    def test_a_longer_target(self):
        image, copy = self.dense_image(MiB + 1), self.path()
        copy.write_bytes(image.read_bytes() + b"more")
        self.assertEqual(self.differences(image, copy, code=0), [[]])

    def test_a_shorter_target(self):
        image, copy = self.dense_image(MiB + 1), self.path()
        copy.write_bytes(image.read_bytes()[:MiB])
        result = self.imgtool("verify", image, copy)
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertIn(str(MiB), result.out + result.err)

    def test_as_text(self):
        image = self.dense_image(2 * MiB)
        good, bad = self.altered(image), self.altered(image, (MiB, 3))
        result = self.imgtool("verify", image, good, bad)
        self.assertEqual((result.code, result.err), (4, ""), f"\n{result!r}")
        self.assertIn(f"{good}: is the same as {image}", result.out)
        self.assertIn(f"{bad}: differs from {image}\n  3 bytes at offset {MiB}\n", result.out)

    def test_many_ranges_stay_readable(self):
        image = self.dense_image(2 * MiB)
        copy = self.altered(image, *[(offset, 1) for offset in range(0, 2 * MiB, 4096)])
        found = self.differences(image, copy)[0]
        self.assertEqual(found, ranges(*[(offset, 1) for offset in range(0, 2 * MiB, 4096)]))
        text = self.imgtool("verify", image, copy).out
        self.assertLess(text.count("\n"), 30)
        self.assertIn("more", text)

    def test_sample(self):
        image = self.dense_image(64 * MiB)
        copy = self.altered(image, (63 * MiB, 1))  # both ends are always in it
        self.assertEqual(self.differences(image, copy, options=["--sample"]),
                         [ranges((63 * MiB, 1))])
        job = self.job("verify", image, copy, "--sample")
        self.assertEqual(job.finish().code, 4)
        self.assertLess(max(line["total"] for line in job.lines), 48 * MiB)

    @requires_root
    def test_larger_than_4_gib(self):
        size = 4 * GiB + 64 * MiB
        image = self.sparse_image(size, {0: 4096, 4 * GiB - 512: 1024})
        other = self.sparse_image(size, {0: 4096, 4 * GiB - 512: 1024, 4 * GiB + MiB: 1})
        self.assertEqual(self.differences(image, self.loop_device(other)),
                         [ranges((4 * GiB + MiB, 1))])

    @requires_root
    @requires_fault_disk
    def test_a_target_that_cannot_be_read(self):
        image = self.dense_image(4 * MiB)
        disk = self.fault_disk(self.altered(image))
        disk.fail_reads(2 * MiB, 512)
        good = self.altered(image)
        result = self.imgtool("verify", image, disk.device, good, "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        bad, fine = result.json["targets"]
        self.assertEqual((bad["status"], fine["status"]), ("unreadable", "same"))
        (found,) = bad["differences"]
        self.assertLessEqual(found["start"], 2 * MiB)
        self.assertGreaterEqual(found["start"] + found["length"], 2 * MiB + 512)

    def test_missing_files_and_wrong_usage(self):
        image = self.dense_image(1)
        for args in ((self.path("no"), image), (image, self.path("no"))):
            result = self.imgtool("verify", *args, "--json")
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertEqual(result.json["error"]["path"], str(self.dir / "no"))
        for args in ([], [image], ["-"], [image, image, "--sample=1"]):
            self.assertEqual(self.imgtool("verify", *args, input=b"").code, 2, args)

    def test_standard_input(self):
        image = self.dense_image(3 * MiB + 5)
        content = image.read_bytes()
        self.assertEqual(self.imgtool("verify", "-", image, input=content).code, 0)
        self.assertEqual(self.imgtool("verify", "-", image, input=content[:-1] + b"?").code, 4)
        nothing = self.imgtool("verify", "-", image, input=b"")
        self.assertEqual(nothing.code, 1)
        self.assertIn("before its first byte", nothing.err)


class Hash(TestCase):
    def test_is_what_sha256sum_says(self):
        for size in (0, 1, 511, 512, 4096, MiB - 1, MiB, MiB + 1, 9 * MiB + 1234):
            image = self.half_sparse_image(size, f"image{size}")
            for engine in engines():
                with self.subTest(size=size, engine=engine):
                    result = self.imgtool_ok("hash", image, f"--io-engine={engine}")
                    self.assertEqual(result.out.rstrip("\n"), check("sha256sum", image))

    def test_every_tuning_gives_the_same(self):
        image = self.half_sparse_image(9 * MiB + 1234)
        for algorithm in ("sha256", "xxh3"):
            results = {self.imgtool_ok("hash", image, f"--algorithm={algorithm}", *options).out
                       for options in ([], ["--chunk=64K"], ["--chunk=16M"], ["--depth=1"],
                                       ["--depth=256", "--chunk=64K"], ["--io-engine=threads"])}
            self.assertEqual(len(results), 1, results)

    def test_holes_count_as_zeros(self):
        hole, zeros = self.zero_image(5 * MiB + 3), self.path()
        zeros.write_bytes(bytes(5 * MiB + 3))
        for algorithm in ("sha256", "xxh3"):
            digests = [self.imgtool_ok("hash", path, f"--algorithm={algorithm}").out.split()[0]
                       for path in (hole, zeros)]
            self.assertEqual(digests[0], digests[1])

    def test_xxh3_of_known_content(self):
        empty, short = self.path(), self.path()
        empty.write_bytes(b"")
        short.write_bytes(b"abc")
        digests = [self.imgtool_ok("hash", path, "--algorithm=xxh3").out.split()[0]
                   for path in (empty, short)]
        self.assertEqual(digests, ["2d06800538d394c2", "78af5f94892f3950"])

    def test_json(self):
        image = self.dense_image(MiB)
        self.assertEqual(self.imgtool_ok("hash", image, "--json").json,
                         {"image": str(image), "size": MiB, "algorithm": "sha256",
                          "digest": sha256(image)})

    def test_of_standard_input(self):
        content = random_bytes(3 * MiB + 1)
        image = self.path()
        image.write_bytes(content)
        self.assertEqual(self.imgtool_ok("hash", "-", input=content).out, f"{sha256(image)}  -\n")
        with open(image, "rb") as file:
            self.assertEqual(self.imgtool_ok("hash", "-", input=file).out.split()[0], sha256(image))
        self.assertEqual(self.imgtool_ok("hash", "-", input=b"").out.split()[0],
                         check("sha256sum", os.devnull).split()[0])

    @requires_root
    def test_of_a_disk(self):
        content = self.half_sparse_image(4 * MiB)
        for sector_size in (512, 4096):
            disk = self.loop_device(content, sector_size=sector_size, read_only=True)
            self.assertEqual(self.imgtool_ok("hash", disk).out, f"{sha256(content)}  {disk}\n")

    def test_sha256sum_checks_odd_names(self):
        image = self.dense_image(KiB, "a\\b\nc")
        line = self.imgtool_ok("hash", image).out
        self.assertEqual(line, check("sha256sum", image) + "\n")
        self.assertEqual(run(["sha256sum", "--check"], input=line.encode()).code, 0)

    def test_names_on_a_terminal(self):
        image = self.dense_image(KiB, "a\x1b[31mb")
        terminal = Terminal(self)
        process = self.start([IMGTOOL, "hash", "--progress=none", image], **terminal.streams())
        self.assertEqual(terminal.finish(process), 0)
        self.assertNotIn("\x1b[31m", terminal.text)
        self.assertIn("a\\x1b[31mb", terminal.text)

    @requires_root
    @requires_fault_disk
    def test_an_image_that_cannot_be_read(self):
        disk = self.fault_disk(4 * MiB)
        disk.fail_reads(2 * MiB, 512)
        result = self.imgtool("hash", disk.device, "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertEqual(result.json["error"]["path"], disk.device)
        self.assertEqual(result.json["error"]["offset"] // MiB, 2)

    def test_full_standard_output(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([IMGTOOL, "hash", self.dense_image(1)], stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)

    def test_wrong_usage(self):
        for args in ([], ["a", "b"], ["a", "--algorithm=md5"]):
            self.assertEqual(self.imgtool("hash", *args).code, 2)


if __name__ == "__main__":
    main()
