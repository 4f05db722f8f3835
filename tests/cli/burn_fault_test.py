"""imgtool burn on disks that fail: found, located, told, and never taken for success."""
import os
import signal
import time

from imgtool_testing import (MiB, TestCase, check, engines, flip_byte, main, requires_fault_disk,
                             requires_root, run, sha256)


class FaultTestCase(TestCase):
    def targets(self, result):
        """The report's targets by path."""
        return {target["path"]: target for target in result.json["targets"]}

    def assert_failed_at(self, target, first, end):
        """One target's report: failed, with an offset in [first, end)."""
        self.assertEqual(target["status"], "failed", target)
        self.assertGreaterEqual(target["error"]["offset"], first)
        self.assertLess(target["error"]["offset"], end)
        self.assertEqual(target["error"]["path"], target["path"])


@requires_root
class AfterAHardExit(FaultTestCase):
    @requires_fault_disk
    def test_a_disk_that_still_takes_writes_is_waited_for(self):
        """The kernel keeps a killed program's disk until that has taken what was under way."""
        image = self.dense_image(4 * MiB)
        disk = self.fault_disk(4 * MiB, write_delay="3500ms")
        job = self.job("burn", image, disk.device, "--yes", "--verify=none")
        job.wait_for("write")
        time.sleep(0.5)
        job.signal(signal.SIGKILL)
        job.process.wait(60)
        result = self.imgtool("burn", image, disk.device, "--json")  # it would ask
        self.assertNotIn("another namespace", result.err)
        self.assertIn("--yes", result.err)
        self.assertEqual(result.code, 3, f"\n{result!r}")


@requires_root
class TooLong(FaultTestCase):
    def test_a_stream_is_told_the_size_of_the_disk(self):
        disk = self.loop_device(4 * MiB)
        image = self.dense_image(6 * MiB)
        result = self.imgtool("burn", "-", disk, "--yes", "--json", input=image.read_bytes())
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn(f"which has {4 * MiB} bytes", result.err)
        self.assertEqual(result.json["targets"][0]["head"], "wiped")

    def test_each_target_has_its_rate(self):
        disks = [self.loop_device(8 * MiB) for _ in range(2)]
        result = self.imgtool_ok("burn", self.dense_image(8 * MiB), *disks, "--yes", "--json",
                                 "--rate=6M")
        for target in self.targets(result).values():
            self.assertGreater(target["write-seconds"], 0.5)
            self.assertAlmostEqual(target["write-bytes-per-second"],
                                   target["data-bytes"] / target["write-seconds"], delta=1)


@requires_root
class FullDisk(FaultTestCase):
    """A disk that says it is larger than it is: a loop device on a too small tmpfs."""

    def too_large_a_disk(self, size, room):
        backing = self.tmpfs(room) / "disk"
        with open(backing, "wb") as file:
            file.truncate(size)
        return self.loop_device(backing)

    def test_fails_late_with_its_offset(self):
        image = self.dense_image(16 * MiB)
        for options in (["--direct=on"], ["--direct=off"], ["--verify=none"],
                        *[[f"--io-engine={engine}"] for engine in engines()]):
            with self.subTest(options=options):
                disk = self.too_large_a_disk(16 * MiB, 8 * MiB)
                result = self.imgtool("burn", image, disk, "--yes", "--json", *options)
                self.assertEqual(result.code, 1, f"\n{result!r}")
                self.assertEqual(result.json["error"]["kind"], "system")
                target = self.targets(result)[disk]
                self.assertEqual(target["status"], "failed")
                self.assertIn(disk, result.err)
                if options != ["--direct=off"]:  # an error of the page cache has no offset
                    self.assert_failed_at(target, MiB, 16 * MiB)
                    self.assertIn(str(target["error"]["offset"]), result.err)

    def test_its_neighbours_end_verified(self):
        image = self.dense_image(16 * MiB)
        bad = self.too_large_a_disk(16 * MiB, 8 * MiB)
        good = [self.backing_file(16 * MiB) for _ in range(2)]
        disks = [self.loop_device(good[0]), bad, self.loop_device(good[1])]
        result = self.imgtool("burn", image, *disks, "--yes", "--json")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        targets = self.targets(result)
        self.assert_failed_at(targets[bad], MiB, 16 * MiB)
        for backing, disk in zip(good, (disks[0], disks[2])):
            self.assertEqual(targets[disk]["status"], "verified")
            self.assert_same_content(backing, image)

    def test_the_text_says_each_ones_fate(self):
        image = self.dense_image(12 * MiB)
        bad, good = self.too_large_a_disk(12 * MiB, 6 * MiB), self.loop_device(12 * MiB)
        result = self.imgtool("burn", image, good, bad, "--yes")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        fates = result.out.splitlines()
        self.assertTrue(any(good in line and "verified" in line for line in fates), fates)
        self.assertTrue(any(bad in line and "FAILED" in line for line in fates), fates)

    def test_a_new_file_where_there_is_no_room(self):
        image, memory = self.dense_image(8 * MiB), self.tmpfs(4 * MiB)
        result = self.imgtool("burn", image, memory / "target", "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("No space left", result.json["error"]["message"])
        self.assertEqual(list(memory.iterdir()), [])

    def test_with_a_digest_too(self):
        image, memory = self.dense_image(8 * MiB), self.tmpfs(4 * MiB)
        result = self.imgtool("burn", image, memory / "target", "--json",
                              f"--digest=sha256:{sha256(image)}")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("No space left", result.json["error"]["message"])

    def test_goes_on_when_there_is_room(self):
        image, memory, mapfile = self.dense_image(8 * MiB), self.tmpfs(4 * MiB), self.path("map")
        args = ["burn", image, memory / "target", f"--mapfile={mapfile}"]
        result = self.imgtool(*args)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("--resume", result.err)
        check("mount", "-o", "remount,size=16M", memory)
        self.imgtool_ok(*args, "--resume")
        self.assert_same_content(image, memory / "target")

    def test_a_stream_that_breaks_when_one_has_failed_already(self):
        """The first disk never was written to: its sectors are not those of the table."""
        image = self.dense_image(8 * MiB)
        run(["sfdisk", "-q", image], input=b"label: gpt\nstart=1MiB, size=4MiB\n")
        check("gzip", image)
        packed = f"{image}.gz"
        os.truncate(packed, os.stat(packed).st_size // 2)
        disks = [self.loop_device(12 * MiB, sector_size=4096), self.loop_device(12 * MiB)]
        result = self.imgtool("burn", packed, *disks, "--yes", "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("cut short", result.json["error"]["message"])

    def test_a_pipe_that_does_not_fit(self):
        image = self.dense_image(6 * MiB)
        backing = self.backing_file(4 * MiB)
        disk = self.loop_device(backing)
        result = self.imgtool("burn", "-", disk, "--yes", "--json", input=image.read_bytes())
        self.assertEqual(result.code, 1, f"\n{result!r}")
        target = self.targets(result)[disk]
        self.assert_failed_at(target, 4 * MiB - MiB, 4 * MiB + 1)
        with open(backing, "rb") as file:
            self.assertEqual(set(file.read(MiB)), {0}, "it looks complete")


@requires_root
@requires_fault_disk
class WriteErrors(FaultTestCase):
    def test_a_failing_target_drops_out(self):
        image = self.half_sparse_image(24 * MiB)
        bad = self.fault_disk(24 * MiB)
        good = [self.backing_file(24 * MiB) for _ in range(2)]
        disks = [self.loop_device(good[0]), bad.device, self.loop_device(good[1])]
        job = self.job("burn", image, *disks, "--yes", "--json", "--rate=12M")
        job.wait_for("write", 6 * MiB)
        bad.fail_writes()
        result = job.finish()
        self.assertEqual(result.code, 5, f"\n{result!r}")
        targets = self.targets(result)
        self.assert_failed_at(targets[bad.device], 4 * MiB, 24 * MiB)
        self.assertIn(bad.device, result.err)
        for backing, disk in zip(good, (disks[0], disks[2])):
            self.assertEqual(targets[disk]["status"], "verified")
            self.assert_same_content(backing, image)
        failed = [line for line in job.lines if line["phase"] == "failed"]
        self.assertEqual([line["target"] for line in failed], [bad.device])

    def test_a_bad_spot_alone(self):
        image, bad = self.dense_image(8 * MiB), self.fault_disk(8 * MiB)
        bad.fail_writes(5 * MiB + 8192, 512)
        for engine in engines():
            with self.subTest(engine=engine):
                result = self.imgtool("burn", image, bad.device, "--yes", "--json",
                                      f"--io-engine={engine}")
                self.assertEqual(result.code, 1, f"\n{result!r}")
                self.assert_failed_at(self.targets(result)[bad.device], 5 * MiB, 6 * MiB)
                with open(bad.backing, "rb") as file:
                    self.assertFalse(any(file.read(MiB)), "it looks complete")
        bad.heal()
        self.imgtool_ok("burn", image, bad.device, "--yes")
        self.assert_same_content(bad.backing, image)

    def test_a_spot_that_cannot_be_zeroed(self):
        image, bad = self.sparse_image(8 * MiB, {0: 4096, 7 * MiB: 4096}), self.fault_disk(8 * MiB)
        bad.fail_writes(5 * MiB, 4096)
        result = self.imgtool("burn", image, bad.device, "--yes", "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assert_failed_at(self.targets(result)[bad.device], MiB, 6 * MiB)

    def test_the_first_mib_fails(self):
        image, bad = self.dense_image(4 * MiB), self.fault_disk(4 * MiB)
        bad.fail_writes(0, 512)
        result = self.imgtool("burn", image, bad.device, "--yes", "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assert_failed_at(self.targets(result)[bad.device], 0, MiB)

    def test_all_targets_fail(self):
        image, bad = self.dense_image(4 * MiB), [self.fault_disk(4 * MiB) for _ in range(2)]
        for disk in bad:
            disk.fail_writes(2 * MiB, 512)
        result = self.imgtool("burn", image, *[disk.device for disk in bad], "--yes", "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        for disk in bad:
            self.assert_failed_at(self.targets(result)[disk.device], 2 * MiB, 3 * MiB)


@requires_root
class BehindItsBack(FaultTestCase):
    """Bytes that change on the medium between write and verify."""

    def burn_and_flip(self, image, backing, offsets, *options):
        disk = self.loop_device(backing)
        job = self.job("burn", image, disk, "--yes", "--json", "--rate=8M", *options)
        job.wait_for("write", 8 * MiB)
        for offset in offsets:
            flip_byte(backing, offset)
        result = job.finish()
        return self.targets(result)[disk], result

    def test_found_at_its_offset_and_mended(self):
        image = self.dense_image(20 * MiB)
        for engine in engines():
            with self.subTest(engine=engine):
                backing = self.backing_file(20 * MiB)
                target, result = self.burn_and_flip(image, backing, [3 * MiB + 12345],
                                                    f"--io-engine={engine}")
                self.assertEqual(result.code, 0, f"\n{result!r}")
                self.assertEqual(target["bad-ranges"], [{"start": 3 * MiB + 12345, "length": 1}])
                self.assertGreater(target["rewritten-bytes"], 0)
                self.assertLessEqual(target["rewritten-bytes"], MiB)
                self.assertEqual(target["status"], "verified")
                self.assert_same_content(backing, image)

    def test_in_what_should_be_zeros(self):
        image = self.sparse_image(48 * MiB, {0: 4096, 16 * MiB: 24 * MiB})
        backing = self.backing_file(48 * MiB)
        target, result = self.burn_and_flip(image, backing, [5 * MiB, 12 * MiB + 1])
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual(target["bad-ranges"], [{"start": 5 * MiB, "length": 1},
                                                {"start": 12 * MiB + 1, "length": 1}])
        self.assert_same_content(backing, image)

    def test_not_looked_for_when_told_so(self):
        image, backing = self.dense_image(20 * MiB), self.backing_file(20 * MiB)
        target, result = self.burn_and_flip(image, backing, [3 * MiB], "--verify=none")
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual((target["status"], target["bad-ranges"]), ("written", []))

    def test_one_disk_of_two(self):
        image = self.dense_image(20 * MiB)
        backings = [self.backing_file(20 * MiB) for _ in range(2)]
        disks = [self.loop_device(backing) for backing in backings]
        job = self.job("burn", image, *disks, "--yes", "--json", "--rate=8M")
        job.wait_for("write", 8 * MiB)
        flip_byte(backings[1], 4 * MiB)
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        targets = self.targets(result)
        self.assertEqual(targets[disks[0]]["rewritten-bytes"], 0)
        self.assertEqual(targets[disks[1]]["bad-ranges"], [{"start": 4 * MiB, "length": 1}])
        for backing in backings:
            self.assert_same_content(backing, image)

    def test_a_file_that_is_overwritten_meanwhile(self):
        image, target = self.dense_image(20 * MiB), self.backing_file(20 * MiB)
        job = self.job("burn", image, target, "--force", "--json", "--rate=8M")
        job.wait_for("write", 8 * MiB)
        flip_byte(target, 2 * MiB + 7)
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual(self.targets(result)[str(target)]["bad-ranges"],
                         [{"start": 2 * MiB + 7, "length": 1}])
        self.assert_same_content(target, image)


@requires_root
@requires_fault_disk
class ReadsBackWrong(FaultTestCase):
    """Disks that take every write, and give something else back."""

    def test_given_up_after_three_tries(self):
        image, bad = self.dense_image(8 * MiB), self.fault_disk(8 * MiB)
        good = self.loop_device(8 * MiB)
        bad.flip_reads(5 * MiB + 100, 50)
        bad.flip_reads(6 * MiB, 4096)
        ranges = [{"start": 5 * MiB + 100, "length": 50}, {"start": 6 * MiB, "length": 4096}]
        result = self.imgtool("burn", image, bad.device, "--yes", "--json")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        target = self.targets(result)[bad.device]
        self.assertEqual((target["status"], target["bad-ranges"]), ("failed", ranges))
        self.assertEqual(target["error"]["kind"], "mismatch")
        with open(bad.backing, "rb") as file:
            self.assertEqual(set(file.read(MiB)), {0}, "it looks complete")

        result = self.imgtool("burn", image, bad.device, good, "--yes", "--json")
        self.assertEqual(result.code, 5, f"\n{result!r}")
        self.assertEqual(self.targets(result)[good]["status"], "verified")
        self.assert_same_content(good, image)

        result = self.imgtool("verify", image, bad.device, good, "--json")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertEqual([target["differences"] for target in result.json["targets"]],
                         [[{"start": 0, "length": MiB}, *ranges], []])

    def test_through_the_page_cache_too(self):
        image, bad = self.dense_image(8 * MiB), self.fault_disk(8 * MiB)
        bad.flip_reads(5 * MiB + 100, 50)
        result = self.imgtool("burn", image, bad.device, "--yes", "--json", "--direct=off")
        self.assertEqual(result.code, 4, f"\n{result!r}")

    def test_in_the_first_mib(self):
        image, bad = self.dense_image(4 * MiB), self.fault_disk(4 * MiB)
        bad.flip_reads(1000, 1)
        result = self.imgtool("burn", image, bad.device, "--yes", "--json")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        target = self.targets(result)[bad.device]
        self.assertEqual(target["bad-ranges"], [{"start": 1000, "length": 1}])

    def test_from_a_pipe(self):
        image, bad = self.dense_image(4 * MiB), self.fault_disk(4 * MiB)
        bad.flip_reads(2 * MiB + 1000, 1)
        result = self.imgtool("burn", "-", bad.device, "--yes", "--json", input=image.read_bytes())
        self.assertEqual(result.code, 4, f"\n{result!r}")
        (found,) = self.targets(result)[bad.device]["bad-ranges"]
        self.assertLessEqual(found["start"], 2 * MiB + 1000)  # its chunk; a pipe cannot say more
        self.assertGreater(found["start"] + found["length"], 2 * MiB + 1000)

    def test_cannot_be_read_back(self):
        image, bad = self.dense_image(8 * MiB), self.fault_disk(8 * MiB)
        bad.fail_reads(5 * MiB + 4096, 512)
        result = self.imgtool("burn", image, bad.device, "--yes", "--json")
        self.assertIn(result.code, (1, 4), f"\n{result!r}")
        target = self.targets(result)[bad.device]
        self.assertEqual(target["status"], "failed")
        (found,) = target["bad-ranges"]
        self.assertLessEqual(found["start"], 5 * MiB + 4096)
        self.assertGreaterEqual(found["start"] + found["length"], 5 * MiB + 4608)


@requires_root
@requires_fault_disk
class FailingImage(FaultTestCase):
    def test_the_image_cannot_be_read(self):
        source = self.fault_disk(self.dense_image(8 * MiB))
        source.fail_reads(5 * MiB, 4096)
        backing = self.backing_file(8 * MiB)
        result = self.imgtool("burn", source.device, self.loop_device(backing), "--yes", "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        error = result.json["error"]
        self.assertEqual((error["kind"], error["path"]), ("system", source.device))
        self.assertGreaterEqual(error["offset"], 5 * MiB)
        self.assertLess(error["offset"], 6 * MiB)
        with open(backing, "rb") as file:
            self.assertEqual(set(file.read(MiB)), {0}, "it looks complete")

    def test_nothing_is_left_of_a_new_file(self):
        source = self.fault_disk(self.dense_image(8 * MiB))
        source.fail_reads(5 * MiB, 4096)
        self.assertEqual(self.imgtool("burn", source.device, self.path("target")).code, 1)
        self.assertEqual(list(self.dir.glob("target*")), [])


@requires_root
@requires_fault_disk
class Laggard(FaultTestCase):
    def test_a_slow_disk_finishes_in_its_own_pass(self):
        image = self.dense_image(40 * MiB)
        slow = self.fault_disk(40 * MiB, write_delay="300ms")
        good = [self.backing_file(40 * MiB) for _ in range(2)]
        disks = [self.loop_device(good[0]), slow.device, self.loop_device(good[1])]
        job = self.job("burn", image, *disks, "--yes", "--json", "--depth=4", "--verify=none")
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        for backing in (*good, slow.backing):
            self.assert_same_content(backing, image)
        for fast in (disks[0], disks[2]):
            self.assertLess(self.done_when_other_was(job, slow.device, fast), 0.8 * 39 * MiB)

    def done_when_other_was(self, job, slow, fast):
        """How far the slow disk had come when the fast one had all its bytes."""
        done = 0
        for line in job.lines:
            if line["phase"] == "write" and line["target"] == slow:
                done = line["done"]
            if line["target"] == fast and line["done"] == line["total"]:
                break
        return done


if __name__ == "__main__":
    main()
