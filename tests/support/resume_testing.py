"""What the tests of interrupted jobs share."""
import signal
import time

from imgtool_testing import MiB, TestCase

PROMPT_S = 3  # "within a second", on a machine that does other things too


def rows(mapfile):
    """A mapfile's rows: (offset, size, status)."""
    lines = [line.split() for line in mapfile.read_text().splitlines()
             if line and not line.startswith("#")][1:]
    return [(int(offset, 0), int(size, 0), status) for offset, size, status in lines]


def bytes_done(mapfile):
    return sum(size for _, size, status in rows(mapfile) if status == "+")


class ResumeTestCase(TestCase):
    def interrupt(self, job, number):
        """Sends a signal to a job that is under way; returns its Result."""
        began = time.monotonic()
        job.signal(number)
        result = job.finish()
        self.assertLess(time.monotonic() - began, PROMPT_S)
        return result

    def interrupted(self, *args, after=2 * MiB, number=signal.SIGINT, rate="4M"):
        """A job that was stopped after it wrote so much; it must say how to go on."""
        job = self.job(*args, f"--rate={rate}")
        job.wait_for("write", after)
        result = self.interrupt(job, number)
        self.assertEqual(result.code, 128 + number, f"\n{result!r}")
        self.assertIn("--resume", result.err)
        return result

    def resumed(self, *args):
        """The same again with --resume, to the end; returns how many bytes were left to write."""
        job = self.job(*args, "--resume")
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        return next(line["total"] for line in job.lines if line["phase"] == "write")
