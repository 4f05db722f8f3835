"""shrink that is killed or stopped at any step: the source is as it was, nothing has the output's
name, no machine or program is left running, and the next run removes what was left behind."""
import os
import pathlib
import signal
import time

from guest_testing import GuestDisk, requires_appliance, requires_direct
from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, sha256, wait_until


@requires_root
@requires_appliance
@requires_direct
@requires("mkfs.ext4")
class Killed(TestCase):
    def setUp(self):
        super().setUp()
        self.disk = GuestDisk(self, 400 * MiB)
        self.disk.make(0, "mkfs.ext4", "-q")
        self.disk.fill(0)
        self.digest = sha256(self.disk.path)
        self.out = self.path("out.img")

    def machines(self):
        """Processes that were told of a file in the test's folder."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if str(self.dir).encode() in words and b"qemu" in words.split(b"\0")[0]:
                found.append(process.name)
        return found

    def left_behind(self):
        return [name for name in os.listdir(self.dir) if "imgtool" in name]

    def start_job(self):
        return self.job("shrink", "--engine=appliance", self.disk.path, self.out)

    def programs(self):
        """In boxes: they see no other place with a /view."""
        return [root for root in pathlib.Path("/proc").glob("[0-9]*/root")
                if os.path.isdir(root / "view") and not os.path.isdir("/view")]

    def check_nothing_happened(self):
        wait_until(lambda: not self.machines(), "the machine's end")
        wait_until(lambda: not self.programs(), "the programs' end")
        self.assertFalse(self.out.exists())
        self.assertEqual(sha256(self.disk.path), self.digest)

    def test_sigkill_at_any_moment_without_an_appliance(self):
        command = ["shrink", "--engine=direct", self.disk.path, self.out]
        began = time.monotonic()
        self.imgtool_ok(*command)
        seconds = time.monotonic() - began
        self.out.unlink()
        ends = set()
        for moment in range(20):
            process = self.start_imgtool(*command)
            time.sleep(seconds * moment / 20)
            process.kill()
            ends.add(process.wait(30))
            if self.out.exists():  # it was done before
                check("e2fsck", "-fn", self.out)
                self.out.unlink()
            self.check_nothing_happened()
            self.assertLessEqual(len(self.left_behind()), 2, "one work folder, one partial file")
        self.assertIn(-signal.SIGKILL, ends)
        self.imgtool_ok(*command)
        self.assertEqual([name for name in self.left_behind() if "work" in name], [])

    def test_ctrl_c_without_an_appliance(self):
        job = self.job("shrink", "--engine=direct", self.disk.path, self.out)
        job.wait_for("measuring")
        job.signal(signal.SIGINT)
        result = job.finish(timeout=20)
        self.assertEqual(result.code, 130, result)
        self.check_nothing_happened()
        self.assertEqual(self.left_behind(), [])

    def test_sigkill_at_any_step(self):
        # In between it is as without an appliance, but for the machine, which ends in one way only.
        for step in ("launching", "shrinking", "write", "verifying"):
            with self.subTest(step):
                job = self.start_job()
                job.wait_for(step, timeout=600)
                job.process.kill()
                job.finish()
                self.check_nothing_happened()
                self.assertNotEqual(self.left_behind(), [])
        job = self.start_job()
        job.wait_for("launching", timeout=600)
        wait_until(self.machines, "the machine's start", timeout=120)
        self.assertLessEqual(len(self.left_behind()), 2, "one work folder, one partial file")
        job.signal(signal.SIGINT)
        result = job.finish(timeout=20)
        self.assertEqual(result.code, 130, result)
        self.check_nothing_happened()
        folders = [name for name in self.left_behind() if "work" in name]
        self.assertEqual(folders, [])


if __name__ == "__main__":
    main()
