"""imgtool capture: the image it makes, what it says of it, and what it leaves when it fails."""
import hashlib
import os
import pathlib
import signal
import subprocess

from imgtool_testing import (GiB, IMGTOOL, KiB, MiB, TestCase, check, engines, flip_byte, main,
                             random_bytes, requires, requires_fault_disk, requires_root, run,
                             sha256)


def allocated(path):
    return os.stat(path).st_blocks * 512


class CaptureTestCase(TestCase):
    def capture(self, source, *options):
        """Captures to a new file; returns it and the JSON report."""
        out = self.path()
        result = self.imgtool("capture", source, out, "--json", *options)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual(result.json["size"], os.stat(out).st_size)
        self.assertEqual(result.json["unreadable"], [])
        return out, result.json

    def assert_left_nothing(self, name="out"):
        self.assertEqual(list(self.dir.glob(f"{name}*")), [])


class Content(CaptureTestCase):
    @requires_root
    def test_of_a_disk(self):
        for sector_size in (512, 4096):
            content = self.half_sparse_image(9 * MiB)
            disk = self.loop_device(content, sector_size=sector_size)
            for engine in engines():
                with self.subTest(sector_size=sector_size, engine=engine):
                    out, report = self.capture(disk, f"--io-engine={engine}")
                    self.assert_same_content(out, content)
                    self.assertEqual(report["data-bytes"], 5 * MiB)

    def test_of_a_file_of_every_size(self):
        for size in (1, 511, 512, 4095, 4096, MiB - 1, MiB, MiB + 1, 5 * MiB + 77):
            for engine in engines():
                with self.subTest(size=size, engine=engine):
                    content = self.dense_image(size, f"content{size}")
                    out, _ = self.capture(content, f"--io-engine={engine}")
                    self.assert_same_content(out, content)

    @requires_root
    def test_zeros_become_holes(self):
        content = self.path()
        with open(content, "wb") as file:  # every zero is stored
            for index in range(16):
                file.write(bytes(MiB) if index % 4 else random_bytes(MiB, index))
        out, report = self.capture(self.loop_device(content))
        self.assert_same_content(out, content)
        self.assertEqual(report["data-bytes"], 4 * MiB)
        self.assertLessEqual(allocated(out), 4 * MiB + 64 * KiB)

    def test_short_zero_runs_become_holes_too(self):
        content = self.path()
        content.write_bytes((random_bytes(64 * KiB) + bytes(64 * KiB)) * 64)
        out, _ = self.capture(content)
        self.assert_same_content(out, content)
        self.assertLessEqual(allocated(out), 5 * MiB)

    @requires_root
    def test_larger_than_4_gib(self):
        size = 5 * GiB
        content = self.sparse_image(size, {0: MiB, 4 * GiB - 4096: 8192, size - 512: 512})
        out, report = self.capture(self.loop_device(content))
        self.assert_same_content(out, content)
        self.assertLess(report["data-bytes"], 4 * MiB)
        self.assertLess(allocated(out), 4 * MiB)

    @requires_root
    def test_the_source_is_never_open_for_writing(self):
        content = self.dense_image(8 * MiB)
        before = sha256(content)
        disk = self.loop_device(content)
        job = self.job("capture", disk, self.path(), "--rate=4M")
        job.wait_for("write", MiB)
        folder = pathlib.Path("/proc", str(job.process.pid))
        modes = set()
        for fd in (folder / "fd").iterdir():
            if os.path.realpath(fd) == disk:
                flags = (folder / "fdinfo" / fd.name).read_text().split("flags:")[1].split()[0]
                modes.add(int(flags, 8) & os.O_ACCMODE)
        self.assertEqual(modes, {os.O_RDONLY})
        self.assertEqual(job.finish().code, 0)
        self.assertEqual(sha256(content), before)

    @requires_root
    def test_of_a_read_only_disk(self):
        content = self.dense_image(2 * MiB)
        out, _ = self.capture(self.loop_device(content, read_only=True))
        self.assert_same_content(out, content)

    @requires_root
    @requires("mkfs.ext4")
    def test_of_a_mounted_disk_with_a_warning(self):
        backing = self.backing_file(8 * MiB)
        disk = self.loop_device(backing)
        check("mkfs.ext4", "-q", disk)
        place = self.mount(disk, "-o", "ro")
        out = self.path()
        result = self.imgtool("capture", disk, out, "--json")
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertIn("warning", result.err)
        self.assertIn(str(place), result.err)
        self.assertTrue(result.json["in-use"])
        self.assert_same_content(out, backing)

    @requires_root
    def test_a_disk_that_is_written_meanwhile_is_told(self):
        for writes in (False, True):
            disk = self.loop_device(8 * MiB)
            job = self.job("capture", disk, self.path(), "--json", "--rate=6M")
            job.wait_for("write", MiB)
            if writes:
                with open(disk, "r+b", buffering=0) as file:
                    file.write(bytes(4096))
                    os.fsync(file.fileno())
            result = job.finish()
            self.assertEqual(result.code, 0, f"\n{result!r}")
            self.assertEqual(result.json["written-meanwhile"], writes)
        file = self.dense_image(8 * MiB)
        job = self.job("capture", file, self.path(), "--rate=6M")
        job.wait_for("write", MiB)
        flip_byte(file, 0)
        self.assertIn("was written to while it was read", job.finish().out)

    def test_there_and_back(self):
        content = self.half_sparse_image(6 * MiB + 99)
        out, _ = self.capture(content)
        copy = self.path()
        self.imgtool_ok("burn", out, copy)
        self.imgtool_ok("verify", content, copy)


class Options(CaptureTestCase):
    def test_length(self):
        content = self.dense_image(5 * MiB)
        for length in (0, 1, 513, MiB, 3 * MiB + 1, 5 * MiB):
            with self.subTest(length=length):
                out, report = self.capture(content, f"--length={length}")
                self.assertEqual(report["size"], length)
                self.assertEqual(os.stat(out).st_size, length)
                self.assert_same_content(out, content, length)

    @requires_root
    def test_length_of_a_4kn_disk(self):
        content = self.dense_image(4 * MiB)
        out, _ = self.capture(self.loop_device(content, sector_size=4096), "--length=1000001")
        self.assertEqual(out.read_bytes(), content.read_bytes()[:1000001])

    def test_length_beyond_the_end_is_all_there_is(self):
        content = self.dense_image(MiB)
        out, _ = self.capture(content, "--length=2M")
        self.assert_same_content(out, content)

    def test_digest(self):
        content = self.half_sparse_image(5 * MiB + 3)
        for options in ([], ["--length=3000001"]):
            out, report = self.capture(content, "--digest=sha256", *options)
            self.assertEqual(report["algorithm"], "sha256")
            self.assertEqual(report["digest"], check("sha256sum", out).split()[0])
        out, report = self.capture(content, "--digest=xxh3")
        expected = self.imgtool_ok("hash", out, "--algorithm=xxh3").out.split()[0]
        self.assertEqual(report["digest"], expected)

    def test_digest_of_an_odd_size_is_of_the_new_disk(self):
        content, out = self.dense_image(MiB + 700), self.path("out.qcow2")
        text = self.imgtool_ok("capture", content, out, "--digest=sha256").out
        disk = content.read_bytes() + bytes(-(MiB + 700) % 512)
        self.assertEqual(text.splitlines()[-1], f"{hashlib.sha256(disk).hexdigest()}  {out}")

    def test_digest_as_text_is_what_sha256sum_reads(self):
        content, out = self.half_sparse_image(2 * MiB), self.path()
        result = self.imgtool_ok("capture", content, out, "--digest=sha256")
        line = result.out.splitlines()[-1]
        self.assertEqual(line, f"{sha256(out)}  {out}")
        self.assertEqual(run(["sha256sum", "--check"], input=line.encode() + b"\n").code, 0)

    def test_tuning(self):
        content = self.half_sparse_image(5 * MiB + 3)
        for options in (["--chunk=64K", "--depth=1"], ["--depth=256"], ["--chunk=16M"]):
            with self.subTest(options=options):
                out, _ = self.capture(content, *options)
                self.assert_same_content(out, content)

    def test_wrong_usage(self):
        content = self.dense_image(MiB)
        for args in ([], [content], [content, "out", "more"], [content, "out", "--resume"],
                     [content, "-", "--json"], [content, "-", "--mapfile=map"],
                     [content, "out", "--length=x"], [content, "out", "--digest=crc"]):
            with self.subTest(args=args):
                self.assertEqual(self.imgtool("capture", *args).code, 2)
        self.assert_left_nothing()


class StandardOutput(CaptureTestCase):
    def test_to_a_pipe(self):
        for size in (1, MiB, 5 * MiB + 1234):
            content = self.half_sparse_image(size, f"content{size}")
            for engine in engines():
                with self.subTest(size=size, engine=engine):
                    result = self.imgtool_ok("capture", content, "-", "--digest=sha256",
                                             f"--io-engine={engine}")
                    self.assertTrue(result.out_bytes == content.read_bytes())
                    self.assertIn(sha256(content), result.err)

    def test_to_a_redirected_file(self):
        content, out = self.half_sparse_image(3 * MiB + 5), self.path()
        with open(out, "wb") as file:
            code = subprocess.run([IMGTOOL, "capture", content, "-"], stdout=file,
                                  stderr=subprocess.DEVNULL, timeout=60).returncode
        self.assertEqual(code, 0)
        self.assert_same_content(out, content)

    def test_through_a_slow_pipe_into_burn(self):
        content, copy = self.half_sparse_image(6 * MiB + 1), self.path()
        capture = self.start_imgtool("capture", content, "-", "--rate=8M",
                                     stderr=subprocess.DEVNULL)
        burn = self.imgtool("burn", "-", copy, input=capture.stdout)
        self.assertEqual((capture.wait(30), burn.code), (0, 0), f"\n{burn!r}")
        self.assert_same_content(copy, content)

    def test_the_reader_goes_away(self):
        capture = self.start_imgtool("capture", self.dense_image(4 * MiB), "-")
        capture.stdout.read(100)
        capture.stdout.close()
        self.assertEqual(capture.wait(30), 1)
        self.assertIn("Broken pipe", capture.stderr.read().decode())

    def test_full(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([IMGTOOL, "capture", self.dense_image(MiB), "-"], stdout=full,
                                  stderr=subprocess.PIPE, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left", done.stderr)


class TheOutputFile(CaptureTestCase):
    def test_an_existing_one_needs_force(self):
        content, out = self.dense_image(MiB), self.path("out")
        out.write_bytes(b"precious")
        self.assert_refused(self.imgtool("capture", content, out), out, "--force")
        self.assertEqual(out.read_bytes(), b"precious")
        self.imgtool_ok("capture", content, out, "--force")
        self.assert_same_content(out, content)
        self.assertEqual([path.name for path in self.dir.glob("out*")], ["out"])

    def test_keeps_its_old_content_until_the_new_one_is_complete(self):
        content, out = self.dense_image(4 * MiB), self.path("out")
        out.write_bytes(b"precious")
        job = self.job("capture", content, out, "--force", "--rate=2M")
        job.wait_for("write", MiB)
        self.assertEqual(out.read_bytes(), b"precious")
        job.signal(signal.SIGINT)
        self.assertEqual(job.finish().code, 130)
        self.assertEqual(out.read_bytes(), b"precious")
        self.assertEqual([path.name for path in self.dir.glob("out*")], ["out"])

    def test_has_no_name_before_it_is_complete(self):
        content, out = self.dense_image(4 * MiB), self.path("out")
        job = self.job("capture", content, out, "--rate=2M")
        job.wait_for("write", MiB)
        self.assertFalse(out.exists())
        self.assertEqual(job.finish().code, 0)
        self.assertEqual([path.name for path in self.dir.glob("out*")], ["out"])

    def test_what_a_killed_one_left_is_taken_over(self):
        content, out = self.dense_image(4 * MiB), self.path("out")
        job = self.job("capture", content, out, "--rate=2M")
        job.wait_for("write", MiB)
        job.signal(signal.SIGKILL)
        self.assertEqual(job.finish().code, -signal.SIGKILL)
        self.assertFalse(out.exists())
        self.imgtool_ok("capture", content, out)
        self.assert_same_content(out, content)
        self.assertEqual([path.name for path in self.dir.glob("out*")], ["out"])

    def test_two_at_once_do_not_mix(self):
        content, out = self.dense_image(8 * MiB), self.path("out")
        job = self.job("capture", content, out, "--rate=1M")
        job.wait_for("write", MiB)
        self.assert_refused(self.imgtool("capture", content, out), out, "imgtool")
        self.assertEqual(job.finish().code, 0)
        self.assert_same_content(out, content)

    @requires_root
    def test_no_room_leaves_nothing(self):
        content, memory = self.dense_image(8 * MiB), self.tmpfs(4 * MiB)
        for engine in engines():
            result = self.imgtool("capture", content, memory / "out", "--json",
                                  f"--io-engine={engine}")
            self.assertEqual(result.code, 3, f"\n{result!r}")
            self.assertIn("4.0 MiB are missing", result.json["error"]["message"])
            self.assertEqual(list(memory.iterdir()), [])

    def test_the_source_itself(self):
        content = self.dense_image(MiB)
        before = sha256(content)
        hard, soft = self.path("hard link"), self.path("soft link")
        os.link(content, hard)
        soft.symlink_to(content)
        for out in (content, hard, soft):
            with self.subTest(str(out)):
                result = self.imgtool("capture", content, out, "--force", "--length=64K")
                self.assert_refused(result, out)
                self.assertEqual(sha256(content), before)

    @requires_root
    def test_the_file_behind_the_source(self):
        content = self.dense_image(MiB)
        before = sha256(content)
        result = self.imgtool("capture", self.loop_device(content), content, "--force")
        self.assert_refused(result, content)
        self.assertEqual(sha256(content), before)

    def test_what_is_neither_disk_nor_file(self):
        for source in ("/dev/null", self.dir, self.path("missing")):
            result = self.imgtool("capture", source, self.path("out"))
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertIn(str(source), result.err)
        self.assert_refused(self.imgtool("capture", self.dense_image(1), "/dev/null", "--force"))
        self.assert_left_nothing()


@requires_root
class Rescue(CaptureTestCase):
    def truncated_disk(self, size, readable):
        """A disk that cannot be read behind `readable` bytes, and its content before."""
        backing = self.dense_image(size)
        disk = self.loop_device(backing)
        os.truncate(backing, readable)
        return disk, backing

    def rescued(self, disk, *options):
        out = self.path()
        result = self.imgtool("capture", disk, out, "--rescue", "--json", *options)
        self.assertEqual(result.code, 5, f"\n{result!r}")
        return out, [(lost["start"], lost["length"]) for lost in result.json["unreadable"]]

    def test_without_it_the_first_error_ends_it(self):
        disk, _ = self.truncated_disk(8 * MiB, 5 * MiB)
        for engine in engines():
            result = self.imgtool("capture", disk, self.path("out"), "--json",
                                  f"--io-engine={engine}")
            self.assertEqual(result.code, 1, f"\n{result!r}")
            error = result.json["error"]
            self.assertEqual(error["path"], disk)
            self.assertGreaterEqual(error["offset"], 4 * MiB)
            self.assertIn(str(error["offset"]), result.err)
            self.assert_left_nothing()

    def test_zeros_for_what_is_lost(self):
        readable = 5 * MiB + 4 * 512
        disk, backing = self.truncated_disk(8 * MiB, readable)
        for engine in engines():
            with self.subTest(engine=engine):
                out, lost = self.rescued(disk, f"--io-engine={engine}")
                self.assertEqual(lost, [(readable, 8 * MiB - readable)])
                self.assertEqual(os.stat(out).st_size, 8 * MiB)
                self.assert_same_content(out, backing, readable)
                self.assertFalse(any(out.read_bytes()[readable:]))

    def test_the_text_lists_it(self):
        disk, _ = self.truncated_disk(4 * MiB, 3 * MiB)
        result = self.imgtool("capture", disk, self.path(), "--rescue")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        self.assertIn(f"{MiB} bytes at offset {3 * MiB}", result.out)

    def test_a_good_disk_needs_no_rescue(self):
        content = self.half_sparse_image(4 * MiB)
        out, _ = self.capture(self.loop_device(content), "--rescue")
        self.assert_same_content(out, content)

    @requires_fault_disk
    def test_single_sectors(self):
        content = self.dense_image(8 * MiB)
        bad = self.fault_disk(content)
        spots = [(MiB + 512, 512), (3 * MiB, 4096), (6 * MiB - 1024, 2048), (8 * MiB - 512, 512)]
        for spot in spots:
            bad.fail_reads(*spot)
        out, lost = self.rescued(bad.device)
        self.assertEqual(lost, spots)
        expected = bytearray(content.read_bytes())
        for offset, length in spots:
            expected[offset:offset + length] = bytes(length)
        self.assertTrue(out.read_bytes() == expected)

    @requires_fault_disk
    def test_the_sectors_of_a_4kn_disk(self):
        content = self.dense_image(4 * MiB)
        bad = self.fault_disk(content, sector_size=4096)
        bad.fail_reads(2 * MiB + 512, 512)
        _, lost = self.rescued(bad.device)
        self.assertEqual(lost, [(2 * MiB, 4096)])

    def map_of(self, mapfile):
        """The rows of a ddrescue mapfile: (offset, size, status)."""
        rows = [line.split() for line in mapfile.read_text().splitlines()
                if line and not line.startswith("#")][1:]
        return [(int(offset, 0), int(size, 0), status) for offset, size, status in rows]

    @requires("ddrescue", "ddrescuelog")
    def test_the_same_map_as_ddrescue(self):
        disk, _ = self.truncated_disk(8 * MiB, 5 * MiB + 3 * 4096)
        ours, theirs = self.path(), self.path()
        self.rescued(disk, f"--mapfile={ours}")
        check("ddrescue", "-q", "-d", "-f", "-r0", "-b", 512, disk, self.path(), theirs)
        self.assertEqual(self.map_of(ours), self.map_of(theirs))
        self.assertEqual(run(["ddrescuelog", f"--compare-as-domain={ours}", theirs]).code, 0)
        self.assertEqual(run(["ddrescuelog", "-p", theirs, ours]).code, 0)

    @requires("ddrescue", "ddrescuelog")
    @requires_fault_disk
    def test_the_same_map_as_ddrescue_with_bad_spots(self):
        bad = self.fault_disk(4 * MiB)
        for offset in (MiB, 2 * MiB + 512, 2 * MiB + 64 * KiB):
            bad.fail_reads(offset, 1024)
        ours, theirs = self.path(), self.path()
        self.rescued(bad.device, f"--mapfile={ours}")
        check("ddrescue", "-q", "-d", "-f", "-r0", "-b", 512, bad.device, self.path(), theirs)
        self.assertEqual(self.map_of(ours), self.map_of(theirs))
        self.assertEqual(run(["ddrescuelog", "-p", theirs, ours]).code, 0)

    @requires_fault_disk
    def test_a_second_try_gets_what_can_be_read_now(self):
        content = self.dense_image(4 * MiB)
        bad = self.fault_disk(content)
        bad.fail_reads(2 * MiB, 8192)
        mapfile, out = self.path(), self.path()
        args = ["capture", bad.device, out, "--rescue", f"--mapfile={mapfile}", "--json"]
        self.assertEqual(self.imgtool(*args).code, 5)
        bad.heal()
        bad.fail_reads(2 * MiB, 512)
        result = self.imgtool(*args, "--resume", "--force")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        self.assertEqual(result.json["unreadable"], [{"start": 2 * MiB, "length": 512}])
        expected = bytearray(content.read_bytes())
        expected[2 * MiB:2 * MiB + 512] = bytes(512)
        self.assertTrue(out.read_bytes() == expected)

    @requires_fault_disk
    def test_what_was_read_once_is_kept_when_it_cannot_be_read_again(self):
        content = self.dense_image(4 * MiB)
        bad = self.fault_disk(content)
        bad.fail_reads(2 * MiB + 8192, 512)
        mapfile, out = self.path(), self.path()
        args = ["capture", bad.device, out, "--rescue", f"--mapfile={mapfile}", "--json"]
        self.assertEqual(self.imgtool(*args).code, 5)
        bad.fail_reads(2 * MiB, 4096)  # in the same chunk
        result = self.imgtool(*args, "--resume", "--force")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        self.assertEqual(result.json["unreadable"], [{"start": 2 * MiB + 8192, "length": 512}])
        expected = bytearray(content.read_bytes())
        expected[2 * MiB + 8192:2 * MiB + 8192 + 512] = bytes(512)
        self.assertTrue(out.read_bytes() == expected)


if __name__ == "__main__":
    main()
