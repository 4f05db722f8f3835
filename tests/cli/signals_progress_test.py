"""What every job says while it is under way and at its end: JSON, plain lines, SIGUSR1, bars."""
import json
import os
import re
import signal
import subprocess
import time

from imgtool_testing import (IMGTOOL, MiB, TestCase, engines, main, random_bytes, requires_root,
                             run, wait_until)
from terminal import Terminal, screen

KEYS = ["phase", "target", "done", "total", "rate", "eta_s"]


class JsonLines(TestCase):
    def finished(self, job):
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        return job.lines

    def assert_phases(self, lines, target, *expected):
        """One target's phases, each from nothing to all of it, never backwards."""
        phases = []
        for line in lines:
            self.assertEqual(list(line), KEYS)
            if line["target"] != str(target):
                continue
            if line["done"] == 0 and (not phases or phases[-1][-1]["phase"] != line["phase"] or
                                      phases[-1][-1]["eta_s"] == 0):
                phases.append([])
            phases[-1].append(line)
        self.assertEqual([(phase[0]["phase"], phase[0]["total"]) for phase in phases],
                         list(expected))
        for phase in phases:
            done = [line["done"] for line in phase]
            self.assertEqual(done, sorted(done))
            self.assertGreaterEqual(len(phase), 2)
            if phase[0]["total"] is not None:
                self.assertEqual(done[-1], phase[0]["total"])
            for line in phase:
                self.assertEqual(line["total"], phase[0]["total"])
                self.assertGreaterEqual(line["rate"], 0)
                if line["total"] is not None:
                    self.assertLessEqual(line["done"], line["total"])

    def test_of_a_burn(self):
        image, target = self.half_sparse_image(9 * MiB), self.path()
        for engine in engines():
            lines = self.finished(self.job("burn", image, target, "--force", "--rate=8M",
                                           f"--io-engine={engine}"))
            self.assert_phases(lines, target, ("write", 8 * MiB), ("flush", None),
                               ("verify", 8 * MiB), ("write", MiB), ("flush", None),
                               ("verify", MiB))
            moments = [line for line in lines if line["phase"] == "write"]
            self.assertGreater(len(moments), 3, "nothing between the beginning and the end")

    def test_of_several_targets(self):
        image, targets = self.dense_image(4 * MiB), [self.path() for _ in range(3)]
        lines = self.finished(self.job("burn", image, *targets))
        for target in targets:
            self.assert_phases(lines, target, ("write", 3 * MiB), ("flush", None),
                               ("verify", 3 * MiB), ("write", MiB), ("flush", None),
                               ("verify", MiB))

    def test_of_capture_verify_and_hash(self):
        image = self.half_sparse_image(4 * MiB + 5)
        lines = self.finished(self.job("capture", image, self.path()))
        self.assert_phases(lines, image, ("write", 4 * MiB + 5), ("flush", None))
        lines = self.finished(self.job("verify", image, image))
        self.assert_phases(lines, image, ("verify", 4 * MiB + 5))
        lines = self.finished(self.job("hash", image))
        self.assert_phases(lines, image, ("read", 4 * MiB + 5))

    def test_of_a_pipe_there_is_no_total(self):
        target = self.path()
        result = self.imgtool_ok("burn", "-", target, "--progress=json",
                                 input=random_bytes(4 * MiB))
        lines = result.json_lines
        first = next(line for line in lines if line["phase"] == "write")
        self.assertEqual((first["total"], first["eta_s"]), (None, None))
        self.assertEqual(max(line["done"] for line in lines if line["phase"] == "write"), 3 * MiB)

    def test_strange_names(self):
        target = self.path("a \"name\"\n\x1b[31m\\")
        job = self.job("burn", self.dense_image(MiB), target)
        self.assertEqual({line["target"] for line in self.finished(job)}, {str(target)})

    def test_rate_and_eta_are_about_right(self):
        job = self.job("burn", self.dense_image(13 * MiB), self.path(), "--rate=4M")
        line = job.wait_for("write", 8 * MiB)
        self.assertGreater(line["rate"], 2 * MiB)
        self.assertLess(line["rate"], 8 * MiB)
        self.assertGreater(line["eta_s"], 0.2)
        self.assertLess(line["eta_s"], 4)
        self.finished(job)

    def test_goes_to_standard_error_without_a_descriptor(self):
        result = self.imgtool_ok("burn", self.dense_image(MiB), self.path(), "--progress=json",
                                 "--json")
        self.assertEqual(result.json_lines[-1]["phase"], "verify")
        self.assertEqual(len(result.json_lines), result.err.count("\n"))


class JsonDocument(TestCase):
    """--json: exactly one document on standard output, whatever happens."""

    def document(self, code, *args, **options):
        result = self.imgtool(*args, "--json", **options)
        self.assertEqual(result.code, code, f"\n{result!r}")
        self.assertTrue(result.out.isascii())
        return result.json

    def assert_error(self, document, kind, path):
        error = document["error"]
        self.assertEqual(set(error), {"kind", "message", "path", "offset"})
        self.assertEqual((error["kind"], error["path"]), (kind, path and str(path)))

    def test_success(self):
        image, target, out = self.half_sparse_image(3 * MiB), self.path(), self.path()
        report = self.document(0, "burn", image, target)
        self.assertEqual((report["image"], report["image-size"]), (str(image), 3 * MiB))
        (fate,) = report["targets"]
        self.assertEqual((fate["path"], fate["status"]), (str(target), "verified"))
        self.assertNotIn("error", report)
        report = self.document(0, "capture", image, out)
        self.assertEqual((report["device"], report["image"]), (str(image), str(out)))
        report = self.document(0, "verify", image, target)
        self.assertEqual(report["targets"][0]["status"], "same")
        self.document(0, "hash", image)
        self.document(0, "devices")

    def test_failure(self):
        missing, image, there = self.path("missing"), self.dense_image(MiB), self.dense_image(2)
        for command in (["burn", missing, self.path()], ["capture", missing, self.path()],
                        ["verify", missing, image], ["hash", missing]):
            self.assert_error(self.document(1, *command), "system", missing)
        self.assert_error(self.document(3, "burn", image, there), "refused", there)
        self.assert_error(self.document(3, "capture", image, there), "refused", there)
        self.assert_error(self.document(2, "burn", image), "usage", None)
        self.assert_error(self.document(2, "capture", image, "x", "--length=1Q"), "usage", None)
        document = self.document(4, "burn", image, self.path(), "--digest=xxh3:" + "0" * 16)
        self.assert_error(document, "mismatch", image)

    @requires_root
    def test_failure_of_a_target(self):
        image, memory = self.dense_image(4 * MiB), self.tmpfs(2 * MiB)
        bad = memory / "target"
        report = self.document(1, "burn", image, bad)
        self.assert_error(report, "system", report["error"]["path"])
        self.assertEqual(report["targets"][0]["status"], "failed")
        report = self.document(5, "burn", image, bad, self.path())
        self.assertEqual([fate["status"] for fate in report["targets"]], ["failed", "verified"])

    def test_interruption(self):
        job = self.job("burn", self.dense_image(6 * MiB), self.path(), "--rate=2M", "--json")
        job.wait_for("write", MiB)
        job.signal(signal.SIGINT)
        result = job.finish()
        self.assertEqual((result.code, result.json["error"]["kind"]), (130, "cancelled"))

    def test_closed_and_full_standard_output(self):
        image = self.dense_image(MiB)
        for name in ("burn", "capture"):
            out = self.path()
            command = [IMGTOOL, name, image, out, "--force", "--json"]
            closed = subprocess.run(["sh", "-c", '"$0" "$@" >&-', *command],
                                    stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(closed.returncode, 1, closed.stderr)
            self.assertIn(b"standard output", closed.stderr)
            self.assert_same_content(out, image)
            with open("/dev/full", "wb") as full:
                code = subprocess.run(command, stdout=full, stderr=subprocess.PIPE,
                                      timeout=60).returncode
            self.assertEqual(code, 1)

    def test_closed_standard_streams_do_not_end_up_in_the_image(self):
        image = self.dense_image(3 * MiB)
        for redirection in ("<&-", "2>&-", "<&- 2>&-", "<&- >&- 2>&-"):
            for command in ("burn", "capture"):
                with self.subTest(redirection, command=command):
                    out = self.path()
                    run(["sh", "-c", f'"$0" "$@" {redirection}', IMGTOOL, command, image, out,
                         "--progress=json"])
                    self.assert_same_content(out, image)


class Plain(TestCase):
    LINE = r"^imgtool: \S+: (write|verify|flush|read)( \d+%, .+ of .+)?, .+"

    def test_short_jobs_are_silent(self):
        image = self.dense_image(2 * MiB)
        self.assertEqual(self.imgtool_ok("burn", image, self.path()).err, "")
        self.assertEqual(self.imgtool_ok("burn", image, self.path(), "--progress=plain").err, "")

    def test_long_ones_say_a_line_every_ten_seconds(self):
        image = self.dense_image(13 * MiB + 512)
        result = self.imgtool_ok("burn", image, self.path(), "--rate=1M")
        self.assertRegex(result.err, self.LINE)
        self.assertEqual(result.err.count("\n"), 1, result.err)
        self.assertNotIn("\x1b", result.err)
        self.assertNotIn("\r", result.err)

    def test_none(self):
        job = self.start_imgtool("burn", self.dense_image(4 * MiB), self.path(), "--rate=2M",
                                 "--progress=none")
        self.assertEqual((job.wait(60), job.stderr.read()), (0, b""))


class Usr1(TestCase):
    def test_of_every_command(self):
        image = self.dense_image(9 * MiB)
        for args, phase in ((["capture", image, self.path()], "write"),
                            (["verify", image, image], "verify"), (["hash", image], "read")):
            with self.subTest(args[0]):
                job = self.job(*args, "--rate=4M")
                job.wait_for(phase, MiB)
                job.signal(signal.SIGUSR1)
                job.wait_for(phase, 6 * MiB)
                result = job.finish()
                self.assertEqual(result.code, 0, f"\n{result!r}")
                self.assertRegex(result.err, rf"^imgtool: .+: {phase} \d+%, .+\n$")

    def test_many_do_no_harm(self):
        image, target = self.half_sparse_image(8 * MiB), self.path()
        job = self.job("burn", image, target, "--rate=8M")
        job.wait_for("write", 1)  # before that a signal may come before its handler
        while job.process.poll() is None:
            job.signal(signal.SIGUSR1)
            time.sleep(0.002)
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assert_same_content(target, image)

    def test_while_a_pipe_is_silent(self):
        process = self.start_imgtool("burn", "-", self.path())
        process.stdin.write(bytes(2 * MiB))
        process.stdin.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGUSR1)
        os.set_blocking(process.stderr.fileno(), False)
        wait_until(process.stderr.read, "an answer", 5)
        self.assertIsNone(process.poll())
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)


class Bar(TestCase):
    def burn(self, columns, *options, targets=1, size=9 * MiB):
        terminal = Terminal(self, columns)
        self.targets = [self.path() for _ in range(targets)]
        process = self.start([IMGTOOL, "burn", self.dense_image(size), *self.targets,
                              "--rate=4M", *options], **terminal.streams())
        return terminal, process

    def test_one_line_for_each_target_that_is_updated_in_place(self):
        terminal, process = self.burn(80, targets=3)
        terminal.wait_for("verify")
        self.assertEqual(terminal.finish(process), 0, terminal.text)
        lines = [line for line in screen(terminal.text, 80) if "100%" in line]
        self.assertEqual(len(lines), 3, screen(terminal.text, 80))
        self.assertGreater(terminal.text.count("write"), 6, "it was not drawn again")

    def test_shows_percent_and_eta(self):
        terminal, process = self.burn(80)
        terminal.wait_for("ETA")
        self.assertRegex(terminal.text, r"write +\d+%.+MiB/s")
        self.assertEqual(terminal.finish(process), 0)

    def test_the_terminal_becomes_narrower(self):
        terminal, process = self.burn(120)
        terminal.wait_for("%")
        before = len(terminal.read())
        terminal.resize(40)
        self.assertEqual(terminal.finish(process), 0, terminal.text)
        later = terminal.text[before:].split("burned in")[0].rpartition("\n")[0]
        frames = [re.sub(r"\x1b\[\d*[A-Z]", "", frame) for frame in later.split("\r")][2:]
        for frame in frames:
            for line in frame.split("\n"):
                self.assertLess(len(line), 40, repr(frame))

    def test_ctrl_c_leaves_the_line_in_order(self):
        terminal, process = self.burn(80)
        terminal.wait_for("%")
        terminal.type("\x03")
        self.assertEqual(terminal.finish(process), 130, terminal.text)
        last = screen(terminal.text, 80)
        self.assertTrue(any(line.startswith("imgtool: ") for line in last), last)

    def test_a_terminal_only_for_progress(self):
        terminal, target = Terminal(self, 60), self.path()
        with open(self.path(), "w+b") as out:
            process = self.start([IMGTOOL, "burn", self.dense_image(5 * MiB), target, "--json",
                                  "--rate=4M"], **{**terminal.streams(), "stdout": out})
            self.assertEqual(terminal.finish(process), 0, terminal.text)
            out.seek(0)
            self.assertEqual(json.load(out)["targets"][0]["status"], "verified")
        self.assertIn("%", terminal.text)


if __name__ == "__main__":
    main()
