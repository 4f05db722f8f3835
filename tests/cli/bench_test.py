"""The side-by-side bench: it measures, catches wrong results, judges goals, and cleans up."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

from imgtool_testing import TestCase, main, requires, requires_root  # noqa: E402
from harness import goals  # noqa: E402
from harness.contest import Case, Contender  # noqa: E402
from harness.runner import Entry, Results, Rules, run_case  # noqa: E402
from harness.stopwatch import Sample, timed  # noqa: E402
from harness.testbed import Testbed  # noqa: E402

MIB = 1 << 20


def results_of(**walls):
    """Results in which the contender `name` needed so many seconds in its one run."""
    entries = {}
    for name, wall_s in walls.items():
        sample = Sample(wall_s, wall_s / 2, wall_s, 64 * MIB, True, 100 * MIB, 0, "", "")
        entries[name] = Entry(Contender(name, "true"), [sample])
    return Results(Case("case", "title", dict, []), 100 * MIB, entries)


class GoalsTest(unittest.TestCase):
    def test_a_ratio_of_medians_is_held_against_the_factor(self):
        results = results_of(us=11, them=10)
        self.assertEqual(goals.wall_within("us", 1.1, of="them").judge(results), ("1.10", True))
        self.assertEqual(goals.wall_within("us", 1.05, of="them").judge(results), ("1.10", False))

    def test_a_rival_with_a_wrong_result_counts_for_nothing(self):
        results = results_of(us=10, right=12, wrong=5)
        results.entries["wrong"].wrong = "differs from byte 1"
        judged = goals.no_slower_than_any("us", ("right", "wrong")).judge(results)
        self.assertEqual(judged, ("0.83 (right)", True))

    def test_what_was_not_measured_is_neither_kept_nor_missed(self):
        self.assertIsNone(goals.wall_within("us", 1, of="them").judge(results_of(us=1)))
        self.assertIsNone(goals.peak_within("us", 128).judge(results_of()))

    def test_a_second_reading_of_the_source_is_a_miss(self):
        results = results_of(us=1)
        self.assertTrue(goals.reads_once("us").judge(results)[1])
        results.entries["us"].samples[0].read_bytes *= 2
        self.assertFalse(goals.reads_once("us").judge(results)[1])


class StopwatchTest(unittest.TestCase):
    def test_it_sees_wall_cpu_and_peak_memory_of_children(self):
        eater = "b = b'x' * (96 << 20); import time; time.sleep(0.3)"
        sample = timed(f'{sys.executable} -c "{eater}" && echo done', 60)
        self.assertEqual((sample.status, sample.output), (0, "done\n"))
        self.assertGreater(sample.wall_s, 0.3)
        self.assertGreater(sample.peak_bytes, 96 * MIB)
        self.assertLess(sample.peak_bytes, 128 * MIB)

    def test_a_run_over_its_time_limit_is_stopped(self):
        begin = time.monotonic()
        sample = timed("sleep 60", 0.3)
        self.assertEqual(sample.status, -signal.SIGKILL)
        self.assertLess(time.monotonic() - begin, 10)


@requires_root
@requires("losetup", "cmp", "dd")
class CompareTest(TestCase):
    def setUp(self):
        super().setUp()
        self.work = self.dir / "work"

    def bench(self, *options):
        return [sys.executable, str(BENCH / "compare.py"), "--size", "4M", "--rounds", "1",
                "--work-dir", str(self.work), *options]

    def loops(self):
        listed = subprocess.run(["losetup", "--list", "--output", "BACK-FILE"],
                                capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if line.startswith(str(self.work))]

    def test_dd_gets_a_line_and_a_json_entry_and_nothing_is_left_behind(self):
        samples = self.path("samples.json")
        done = subprocess.run(self.bench("dense", "--only", "dd bs=10M,dd bs=4M", "--json", str(samples)),
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^dd bs=10M conv=fsync .* 1  right$")
        case = json.loads(samples.read_text())["cases"][0]
        self.assertEqual([entry["wrong"] for entry in case["contenders"]], ["", ""])
        self.assertFalse(self.work.exists())
        self.assertEqual(self.loops(), [])

    def test_a_contender_that_writes_nothing_is_called_wrong(self):
        from cases import burn
        idle = Case("idle", "nothing is written", burn.disk_with("dense_image"),
                    [Contender("idle", "true {target}")], prepare=burn.stale_before_first_run)
        with Testbed(self.work, 4 * MIB, "imgtool") as testbed:
            results = run_case(idle, testbed, Rules(rounds=1))
        self.assertRegex(results.entries["idle"].wrong, "differs from byte 1")

    def test_sigterm_in_the_middle_leaves_nothing_behind(self):
        child = subprocess.Popen(self.bench("dense", "--rounds", "1000", "--only", "dd bs"),
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while "round 2" not in child.stderr.readline():
            self.assertIsNone(child.poll())
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=60)
        self.assertEqual(child.returncode, 128 + signal.SIGTERM)
        self.assertFalse(self.work.exists())
        self.assertEqual(self.loops(), [])


if __name__ == "__main__":
    os.environ.pop("BENCH_LOCK", None)
    main()
