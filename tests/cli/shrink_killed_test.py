"""shrink that is killed or stopped at any step: the source is as it was, nothing has the output's
name, no machine is left running, and the next run removes what was left behind."""
import os
import pathlib
import signal

from guest_testing import GuestDisk, requires_appliance
from imgtool_testing import MiB, TestCase, main, requires, requires_root, sha256, wait_until


@requires_root
@requires_appliance
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
        return self.job("shrink", self.disk.path, self.out)

    def check_nothing_happened(self):
        wait_until(lambda: not self.machines(), "the machine's end")
        self.assertFalse(self.out.exists())
        self.assertEqual(sha256(self.disk.path), self.digest)

    def test_sigkill_at_any_step(self):
        for step in ("launching", "measuring", "shrinking", "checking", "shutting", "write",
                     "verifying"):
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
