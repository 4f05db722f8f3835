"""Jobs stopped by Ctrl-C, SIGTERM and SIGHUP, what they leave, and --resume."""
import os
import pathlib
import signal
import time

from imgtool_testing import (IMGTOOL, MiB, check, engines, flip_byte, main, random_bytes,
                             requires, requires_root, run, sha256, wait_until)
from resume_testing import PROMPT_S, ResumeTestCase, bytes_done, rows


class Signals(ResumeTestCase):
    def test_while_the_pipe_is_not_read(self):
        for engine in engines():
            process = self.start_imgtool("capture", self.dense_image(8 * MiB), "-",
                                         f"--io-engine={engine}")
            process.stdout.read(1)
            time.sleep(0.3)
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 130)
            self.assertLess(time.monotonic() - began, PROMPT_S)

    def test_each_stops_a_burn_and_says_how_to_go_on(self):
        image = self.dense_image(12 * MiB)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for engine in engines():
                with self.subTest(number=number, engine=engine):
                    target, mapfile = self.path(), self.path()
                    args = ["burn", image, target, f"--mapfile={mapfile}", f"--io-engine={engine}"]
                    result = self.interrupted(*args, number=number, after=4 * MiB, rate="6M")
                    self.assertIn(str(mapfile), result.err)
                    self.assertFalse(target.exists())
                    self.assertGreaterEqual(bytes_done(mapfile), 4 * MiB)
                    left = self.resumed(*args)
                    self.assertLessEqual(left, 8 * MiB)
                    self.assert_same_content(target, image)
                    self.assertEqual(bytes_done(mapfile), 12 * MiB)

    def test_the_same_press_may_come_twice(self):
        """timeout signals its child and its group; that is no second Ctrl-C."""
        image, target, mapfile = self.dense_image(12 * MiB), self.path(), self.path()
        args = ["burn", image, target, f"--mapfile={mapfile}"]
        result = run(["timeout", "--preserve-status", "-s", "INT", "1", IMGTOOL, *args,
                      "--rate=6M"])
        self.assertEqual(result.code, 130)
        self.assertIn("to go on", result.err)
        self.assertGreaterEqual(bytes_done(mapfile), 2 * MiB)
        self.assertLess(self.resumed(*args), 11 * MiB)
        self.assert_same_content(target, image)

    @requires_root
    def test_a_stopped_burn_of_a_disk_does_not_look_complete(self):
        image, backing = self.dense_image(12 * MiB), self.backing_file(12 * MiB)
        mapfile = self.path()
        disk = self.loop_device(backing)
        args = ["burn", image, disk, "--yes", f"--mapfile={mapfile}"]
        self.interrupted(*args)
        with open(backing, "rb") as file:
            self.assertEqual(set(file.read(MiB)), {0})
        self.assertLess(self.resumed(*args), 10 * MiB)
        self.assert_same_content(backing, image)

    def test_each_stops_a_capture(self):
        source = self.half_sparse_image(12 * MiB)
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number=number):
                out, mapfile = self.path(), self.path()
                args = ["capture", source, out, f"--mapfile={mapfile}"]
                self.interrupted(*args, number=number)
                self.assertFalse(out.exists())
                self.assertLess(self.resumed(*args, "--digest=sha256"), 11 * MiB)
                self.assert_same_content(out, source)

    def test_a_burn_goes_on_with_the_same_choice_of_bytes_only(self):
        image, mapfile = self.half_sparse_image(12 * MiB), self.path("map")
        bmap = self.path("image.bmap")
        self.imgtool_ok("convert", image, self.path(), "--bmap-out", bmap)
        for choice in (["--skip-holes"], [f"--bmap={bmap}"]):
            with self.subTest(choice):
                mapfile.unlink(missing_ok=True)
                target = self.backing_file(12 * MiB)
                args = ["burn", image, target, "--force", f"--mapfile={mapfile}"]
                self.interrupted(*args, *choice)
                self.assert_refused(self.imgtool(*args, "--resume"), "another source")
                self.resumed(*args, *choice)

    def test_a_burn_does_not_go_on_with_a_wrong_image(self):
        image, target, mapfile = self.dense_image(8 * MiB), self.path(), self.path()
        job = self.job("burn", image, target, f"--mapfile={mapfile}", "--rate=4M")
        job.wait_for("write", 2 * MiB)
        flip_byte(image, 0)
        result = job.finish()
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertIn("was changed", result.err)
        self.assertNotIn("to go on", result.err)
        self.assertFalse(target.exists())

    def stopped_capture(self, source):
        """A capture that was stopped over an old image; returns its arguments, and the old one."""
        out, mapfile = self.path("out"), self.path("map")
        for path in (out, mapfile):
            path.unlink(missing_ok=True)
        old = self.dense_image(12 * MiB, "out", seed=9)
        args = ["capture", source, out, f"--mapfile={mapfile}", "--force"]
        self.interrupted(*args)
        return args, old

    def test_a_capture_goes_on_with_its_own_file_only(self):
        source = self.dense_image(12 * MiB)
        partial = self.path("out.imgtool-partial")
        args, old = self.stopped_capture(source)
        before = sha256(old)
        partial.unlink()
        self.assert_refused(self.imgtool(*args, "--resume"), "another target")
        self.assertEqual(sha256(old), before)
        args, _ = self.stopped_capture(source)
        with open(partial, "r+b") as file:
            file.truncate(MiB)
        self.assert_refused(self.imgtool(*args, "--resume"), partial)
        self.assertTrue(partial.exists())

    def test_a_capture_goes_on_with_the_same_content_only(self):
        source = self.dense_image(12 * MiB)
        args, _ = self.stopped_capture(source)
        flip_byte(source, 0)
        self.assert_refused(self.imgtool(*args, "--resume"), "another source")
        self.assertTrue(self.path("out.imgtool-partial").exists())

    def test_a_refused_capture_leaves_no_mapfile(self):
        out, mapfile = self.dense_image(MiB, "out"), self.path("map")
        self.assert_refused(self.imgtool("capture", self.dense_image(MiB), out,
                                         f"--mapfile={mapfile}"), out, "--force")
        self.assertFalse(mapfile.exists())

    def test_without_a_mapfile_nothing_is_left(self):
        image = self.dense_image(8 * MiB)
        for args in (["burn", image, self.path("out")], ["capture", image, self.path("out")]):
            with self.subTest(args[0]):
                job = self.job(*args, "--rate=4M", "--json")
                job.wait_for("write", MiB)
                result = self.interrupt(job, signal.SIGTERM)
                self.assertEqual(result.code, 143, f"\n{result!r}")
                self.assertEqual(result.json["error"]["kind"], "cancelled")
                self.assertEqual(list(self.dir.glob("out*")), [])

    def test_while_a_pipe_is_silent(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            process = self.start_imgtool("burn", "-", self.path("out"))
            process.stdin.write(bytes(3 * MiB))
            process.stdin.flush()
            time.sleep(0.3)
            began = time.monotonic()
            process.send_signal(number)
            self.assertEqual(process.wait(30), 128 + number)
            self.assertLess(time.monotonic() - began, PROMPT_S)
            self.assertEqual(list(self.dir.glob("out*")), [])

    def test_before_a_pipe_says_anything(self):
        """Also where it has no other end yet."""
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        for source in ("-", fifo):
            for command in (["hash", source], ["convert", source, self.path("out")]):
                process = self.start_imgtool(*command)
                self.wait_until_asleep(process)
                began = time.monotonic()
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(30), 130, command)
                self.assertLess(time.monotonic() - began, PROMPT_S)

    def wait_until_asleep(self, process):
        """It handles SIGINT, and waits for something."""
        def asleep():
            status = dict(line.split(":\t", 1) for line in place.read_text().splitlines())
            caught = int(status["SigCgt"], 16) & (1 << (signal.SIGINT - 1))
            return caught and status["State"].startswith("S")
        place = pathlib.Path("/proc", str(process.pid), "status")
        wait_until(asleep, "its wait")

    def test_while_it_compresses(self):
        source = self.dense_image(256 * MiB)
        job = self.job("compress", "--codec=zstd", "--level=19", source, self.path("out.qcow2"))
        job.wait_for("write")
        result = self.interrupt(job, signal.SIGINT)
        self.assertEqual(result.code, 130, f"\n{result!r}")

    def test_verify_and_hash_stop_too(self):
        image = self.dense_image(12 * MiB)
        for args, phase in ((["verify", image, image], "verify"), (["hash", image], "read")):
            with self.subTest(args[0]):
                job = self.job(*args, "--rate=4M")
                job.wait_for(phase, MiB)
                result = self.interrupt(job, signal.SIGINT)
                self.assertEqual((result.code, result.out), (130, ""), f"\n{result!r}")

    def test_a_second_one_ends_it_at_once(self):
        job = self.job("burn", self.dense_image(12 * MiB), self.path(), "--rate=2M")
        job.wait_for("write", MiB)
        job.signal(signal.SIGTERM)
        job.signal(signal.SIGTERM)
        self.assertEqual(job.finish().code, 143)

    def test_in_the_verify_phase(self):
        image, target, mapfile = self.dense_image(64 * MiB), self.path(), self.path()
        args = ["burn", image, target, f"--mapfile={mapfile}"]
        job = self.job(*args, "--chunk=64K", "--depth=1")
        job.wait_for("verify")
        result = self.interrupt(job, signal.SIGINT)
        self.assertEqual(result.code, 130, f"\n{result!r}")
        self.assertEqual(bytes_done(mapfile), 63 * MiB)
        self.resumed(*args)
        self.assert_same_content(target, image)


class WhatIsResumed(ResumeTestCase):
    def setUp(self):
        super().setUp()
        self.image, self.target = self.dense_image(12 * MiB, "image"), self.path("target")
        self.mapfile = self.path("map")
        self.args = ["burn", self.image, self.target, f"--mapfile={self.mapfile}"]

    def test_is_verified_whole(self):
        target = self.backing_file(12 * MiB)
        args = ["burn", self.image, target, "--force", f"--mapfile={self.mapfile}"]
        self.interrupted(*args, after=4 * MiB)
        offset = next(begin for begin, _, status in rows(self.mapfile) if status == "+") + 4567
        flip_byte(target, offset)
        result = self.imgtool_ok(*args, "--resume", "--json")
        self.assertEqual(result.json["targets"][0]["bad-ranges"], [{"start": offset, "length": 1}])
        self.assert_same_content(target, self.image)

    def test_ends_with_the_right_digest(self):
        self.interrupted(*self.args)
        digest = sha256(self.image)
        result = self.imgtool_ok(*self.args, "--resume", "--json", f"--digest=sha256:{digest}")
        self.assertEqual(result.json["digest"], digest)
        self.assert_same_content(self.target, self.image)

    def test_does_not_end_with_the_wrong_one(self):
        self.interrupted(*self.args)
        result = self.imgtool(*self.args, "--resume", "--digest=sha256:" + "0" * 64)
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertFalse(self.target.exists())

    def test_with_other_tuning(self):
        self.interrupted(*self.args, "--chunk=64K")
        self.assertLess(self.resumed(*self.args, "--chunk=4M"), 12 * MiB)
        self.assert_same_content(self.target, self.image)

    def test_a_finished_job_has_nothing_left_to_write(self):
        target = self.backing_file(12 * MiB)
        args = ["burn", self.image, target, "--force", f"--mapfile={self.mapfile}"]
        self.imgtool_ok(*args)
        self.assertEqual(rows(self.mapfile), [(0, 12 * MiB, "+")])
        self.imgtool_ok(*args, "--resume")
        self.assert_same_content(target, self.image)

    def test_odd_sizes(self):
        for size in (1, MiB + 1, 3 * MiB + 511):
            with self.subTest(size=size):
                image, out, mapfile = self.dense_image(size, f"i{size}"), self.path(), self.path()
                self.imgtool_ok("burn", image, out, f"--mapfile={mapfile}")
                self.assertEqual(bytes_done(mapfile), size)
                self.assert_same_content(out, image)

    @requires("ddrescuelog")
    def test_ddrescuelog_reads_the_mapfile(self):
        self.interrupted(*self.args, after=4 * MiB)
        status = check("ddrescuelog", "-t", self.mapfile)
        self.assertIn("rescued", status)
        self.assertEqual(run(["ddrescuelog", "--done-status", self.mapfile]).code, 1)
        blocks = check("ddrescuelog", "-b512", "--list-blocks=+", self.mapfile).split()
        self.assertEqual(len(blocks) * 512, bytes_done(self.mapfile))
        self.resumed(*self.args)
        self.assertEqual(run(["ddrescuelog", "--done-status", self.mapfile]).code, 0)


@requires_root
class AnotherDiskOfTheSameName(ResumeTestCase):
    """As another card in the same reader is: no serial number tells them apart."""

    def assert_other_disk(self, args, backing, change, *words):
        self.interrupted(*args, after=6 * MiB, rate="4M")
        partial = self.path("out.imgtool-partial")
        change(backing)
        before = sha256(backing), partial.exists() and sha256(partial)
        self.assert_refused(self.imgtool(*args, "--resume"), *words)
        self.assertEqual((sha256(backing), partial.exists() and sha256(partial)), before)

    def capture(self, backing):
        return ["capture", self.loop_device(backing), self.path("out"),
                f"--mapfile={self.path('map')}"]

    @staticmethod
    def overwrite(backing):
        with open(backing, "r+b") as file:
            file.write(random_bytes(12 * MiB, seed=7))

    def test_a_capture_compares_what_it_has(self):
        backing = self.dense_image(12 * MiB)
        self.assert_other_disk(self.capture(backing), backing, self.overwrite, "is not the disk")

    def test_zeros_prove_nothing(self):
        backing = self.sparse_image(12 * MiB, {2 * MiB: MiB, 4 * MiB: 64 * 1024})
        self.assert_other_disk(self.capture(backing), backing, lambda path: self.swap_data(path),
                               "is not the disk")

    def test_zeros_of_an_image_prove_nothing(self):
        image = self.sparse_image(12 * MiB, {2 * MiB: MiB, 4 * MiB: MiB})
        backing = self.backing_file(12 * MiB)
        args = ["burn", image, self.loop_device(backing), "--yes", f"--mapfile={self.path('map')}"]
        self.assert_other_disk(args, backing, lambda path: self.swap_data(path), "is not the disk")

    @staticmethod
    def swap_data(path):
        with open(path, "r+b") as file:
            file.write(bytes(12 * MiB))
            file.seek(3 * MiB)
            file.write(random_bytes(MiB, seed=8))

    @requires("sfdisk")
    def test_a_capture_knows_the_partition_table(self):
        backing = self.dense_image(12 * MiB)
        label = "label: gpt\nlabel-id: {}\nstart=2048, size=4MiB\n"
        ids = ("11111111-2222-3333-4444-555555555555", "66666666-2222-3333-4444-555555555555")
        check("sh", "-c", f"printf '{label.format(ids[0])}' | sfdisk -q --wipe=never {backing}")
        self.assert_other_disk(self.capture(backing), backing, lambda path: check(
            "sfdisk", "--disk-id", path, ids[1].upper()), "belongs to a disk with", *ids)

    def test_a_disk_in_use_may_change_here_and_there(self):
        backing = self.dense_image(12 * MiB)
        args = self.capture(backing)
        self.interrupted(*args, after=6 * MiB, rate="4M")
        flip_byte(backing, 2 * MiB)
        self.imgtool_ok(*args, "--resume")


class Refused(ResumeTestCase):
    """A mapfile that belongs to something else."""

    def setUp(self):
        super().setUp()
        self.image = self.dense_image(8 * MiB, "image")
        self.target = self.backing_file(9 * MiB)
        self.mapfile = self.path("map")
        self.interrupted(*self.burn(self.image, self.target), after=MiB, rate="8M")
        self.map_before, self.before = self.mapfile.read_text(), sha256(self.target)

    def burn(self, image, target):
        return ["burn", image, target, "--force", "--yes", f"--mapfile={self.mapfile}"]

    def assert_refuses(self, args, *words):
        self.assert_refused(self.imgtool(*args), self.mapfile, *words)
        self.assertEqual(self.mapfile.read_text(), self.map_before)
        self.assertEqual(sha256(self.target), self.before)

    def test_a_file_that_took_the_place_of_the_target(self):
        target, mapfile = self.path("new"), self.path("newmap")
        args = ["burn", self.image, target, f"--mapfile={mapfile}"]
        self.interrupted(*args, after=2 * MiB, rate="4M")
        target.write_bytes(b"precious")
        result = self.imgtool(*args, "--resume", "--verify=none")
        self.assert_refused(result, "another target")
        self.assertEqual(target.read_bytes(), b"precious")

    def test_another_image(self):
        other = self.dense_image(8 * MiB, seed=2)
        self.assert_refuses([*self.burn(other, self.target), "--resume"], "source")

    def test_the_same_image_changed_since(self):
        flip_byte(self.image, 5 * MiB)
        self.assert_refuses([*self.burn(self.image, self.target), "--resume"], "source")

    def test_another_size(self):
        other = self.dense_image(8 * MiB + 512)
        self.assert_refuses([*self.burn(other, self.target), "--resume"], 8 * MiB, 8 * MiB + 512)

    def test_another_target(self):
        other = self.backing_file(9 * MiB)
        before = sha256(other)
        self.assert_refuses([*self.burn(self.image, other), "--resume"], "target")
        self.assertEqual(sha256(other), before)

    @requires_root
    def test_another_disk(self):
        disk = self.loop_device(9 * MiB)
        before = sha256(disk)
        self.assert_refuses([*self.burn(self.image, disk), "--resume"], "target")
        self.assertEqual(sha256(disk), before)

    def test_the_mapfile_of_a_capture(self):
        self.assert_refuses(["capture", self.image, self.path("out"), "--resume",
                             f"--mapfile={self.mapfile}"])
        self.assertEqual(list(self.dir.glob("out*")), [])

    def test_an_existing_one_without_resume(self):
        self.assert_refuses(self.burn(self.image, self.target), "--resume")

    def test_none_there(self):
        result = self.imgtool("burn", self.image, self.target, "--force", "--resume",
                              f"--mapfile={self.path('none')}")
        self.assert_refused(result, self.dir / "none")
        self.assertEqual(sha256(self.target), self.before)

    def test_not_ours(self):
        self.map_before = "0x0  ?  1\n0x0  0x800000  ?\n"
        self.mapfile.write_text(self.map_before)
        self.assert_refuses([*self.burn(self.image, self.target), "--resume"])

    def test_garbage(self):
        good = self.map_before
        for text in ("", "\0" * 100, good.replace("0x00000000", "0xffffffffffffffff"),
                     good[:len(good) // 2], good + "0x0 0x10 +\n", good.replace("+", "*+")):
            with self.subTest(text=text[-80:]):
                self.mapfile.write_text(text)
                result = self.imgtool(*self.burn(self.image, self.target), "--resume")
                self.assertIn(result.code, (1, 3), f"\n{result!r}")
                self.assertIn(str(self.mapfile), result.err)
                self.assertEqual(sha256(self.target), self.before)

    def test_wrong_usage(self):
        other = self.backing_file(9 * MiB)
        for args in (["burn", self.image, self.target, "--force", "--resume"],
                     ["burn", "-", self.target, "--force", f"--mapfile={self.path()}"],
                     ["burn", self.image, self.target, other, "--force",
                      f"--mapfile={self.path()}"]):
            with self.subTest(args=[str(arg) for arg in args]):
                self.assertEqual(self.imgtool(*args).code, 2)
        self.assertEqual(sha256(self.target), self.before)

    def test_a_mapfile_that_cannot_be_written(self):
        result = self.imgtool("burn", self.image, self.target, "--force",
                              f"--mapfile={self.dir}/no directory/map")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertEqual(sha256(self.target), self.before)


if __name__ == "__main__":
    main()
