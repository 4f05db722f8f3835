"""Jobs killed with SIGKILL, at any moment: --resume ends as if nothing had been."""
import os
import random
import signal
import subprocess
import time

from imgtool_testing import IMGTOOL, KiB, MiB, engines, main
from resume_testing import ResumeTestCase, bytes_done


NO_STREAMS = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)


class Kill:
    """One job of many that run at once, each killed at a moment of its own."""

    def __init__(self, args, check_end):
        self.args = args
        self.check_end = check_end
        self.job = None


class SigKill(ResumeTestCase):
    SIZE = 12 * MiB
    POINTS = 20

    def setUp(self):
        super().setUp()
        self.random = random.Random(2026)

    def kill_all(self, kills):
        """Each job takes about 7 s and saves its mapfile after 5; they are killed at random
        moments of that, one each."""
        moments = sorted(self.random.uniform(0.02, 7.5) for _ in kills)
        self.random.shuffle(kills)
        for kill in kills:
            kill.job = self.start([IMGTOOL, *kill.args, "--rate=1700K"], **NO_STREAMS)
        began = time.monotonic()
        for moment, kill in zip(moments, kills):
            time.sleep(max(0, began + moment - time.monotonic()))
            kill.job.kill()
        for kill in kills:
            kill.job.wait(30)

    def go_on(self, kills):
        for kill in kills:
            mapfile = next(arg for arg in kill.args if str(arg).startswith("--mapfile="))
            started = os.path.exists(mapfile.removeprefix("--mapfile="))
            options = ["--resume"] if started else []  # without: it was killed before it began
            with self.subTest(args=[str(arg) for arg in kill.args]):
                result = self.imgtool(*kill.args, *options)
                self.assertIn(result.code, (0, 3) if not started else (0,), f"\n{result!r}")
                kill.check_end()

    def burn_job(self, index):
        image, mapfile = self.image, self.path()
        engine = engines()[index % len(engines())]
        backing = self.path()
        if index % 4 != 3:
            backing = self.backing_file(self.SIZE + MiB)
        target = backing
        if index % 4 < 2 and os.geteuid() == 0:
            target = self.loop_device(backing)
        args = ["burn", image, target, "--yes", f"--mapfile={mapfile}", f"--io-engine={engine}"]
        args += ["--force"] if backing.exists() and target == backing else []
        return Kill(args, lambda: self.assert_same_content(backing, image, self.SIZE))

    def test_burn_at_20_points(self):
        self.image = self.half_sparse_image(self.SIZE, "image", run=640 * KiB)
        kills = [self.burn_job(index) for index in range(self.POINTS)]
        self.kill_all(kills)
        self.go_on(kills)

    def test_capture_at_10_points(self):
        source = self.half_sparse_image(self.SIZE, "source", run=640 * KiB)
        kills = []
        for index in range(self.POINTS // 2):
            out = self.path()
            engine = engines()[index % len(engines())]
            kills.append(Kill(["capture", source, out, f"--mapfile={self.path()}",
                               f"--io-engine={engine}"],
                              lambda out=out: self.assert_same_content(out, source)))
        self.kill_all(kills)
        self.go_on(kills)

    def test_in_every_phase_of_a_burn(self):
        image = self.dense_image(6 * MiB)
        for number, (phase, total) in enumerate((("flush", None), ("verify", 5 * MiB),
                                                 ("write", MiB), ("verify", MiB))):
            with self.subTest(phase=phase, total=total):
                backing, mapfile = self.backing_file(8 * MiB), self.path()
                args = ["burn", image, backing, "--force", f"--mapfile={mapfile}"]
                job = self.job(*args, "--chunk=64K", "--depth=1")
                while job.process.poll() is None:
                    if any((line["phase"], line.get("total")) == (phase, total)
                           for line in list(job.lines)):
                        job.signal(signal.SIGKILL)
                        break
                    time.sleep(0.001)
                job.finish()
                self.resumed(*args)
                self.assert_same_content(backing, image, 6 * MiB)
                self.assertEqual(bytes_done(mapfile), 6 * MiB)

    def test_again_and_again(self):
        image, target, mapfile = self.dense_image(24 * MiB), self.path(), self.path()
        args = ["burn", image, target, f"--mapfile={mapfile}"]
        left = 23 * MiB
        for turn in range(3):
            job = self.job(*args, "--rate=1500K", *(["--resume"] if turn else []))
            wait = job.wait_for("write", 8 * MiB if turn else 9 * MiB)
            self.assertLessEqual(wait["total"], left)
            left = wait["total"] - 4 * MiB
            job.signal(signal.SIGINT if turn == 1 else signal.SIGKILL)
            job.finish()
            if turn == 1:
                break
        self.assertLess(self.resumed(*args), 15 * MiB)
        self.assert_same_content(target, image)


if __name__ == "__main__":
    main()
