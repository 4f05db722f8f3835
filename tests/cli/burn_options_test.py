"""imgtool burn: several targets at once, and what the options do."""
import errno
import os
import pathlib

import seccomp
from burn_testing import STALE, BurnTestCase
from imgtool_testing import MiB, check, engines, main, random_bytes, requires_root


class SeveralTargets(BurnTestCase):
    @requires_root
    def test_of_all_kinds_at_once(self):
        image = self.half_sparse_image(5 * MiB + 99)
        backings = [self.backing_file(8 * MiB) for _ in range(3)]
        targets = [self.loop_device(backings[0]), self.loop_device(backings[1], sector_size=4096),
                   backings[2], self.path("new file")]
        for engine in engines():
            with self.subTest(engine=engine):
                for backing in backings:
                    self.refill(backing, 8 * MiB)
                report = self.burn(image, *targets, "--force", f"--io-engine={engine}")
                self.assertEqual([target["path"] for target in report["targets"]],
                                 [str(target) for target in targets])
                for backing in backings:
                    self.assert_holds(backing, image)
                self.assert_same_content(targets[3], image)
                targets[3].unlink()

    @requires_root
    def test_the_source_is_read_once(self):
        memory = self.tmpfs(96 * MiB)
        content = memory / "image"
        content.write_bytes(random_bytes(12 * MiB))
        source = self.loop_device(content)
        targets = []
        for number in range(4):
            backing = memory / f"disk{number}"
            backing.write_bytes(bytes([STALE]) * (16 * MiB))
            targets.append(self.loop_device(backing))
        statistics = pathlib.Path("/sys/class/block", os.path.basename(source), "stat")
        before = int(statistics.read_text().split()[2])
        self.burn(source, *targets)
        sectors = int(statistics.read_text().split()[2]) - before
        self.assertGreaterEqual(sectors * 512, 12 * MiB)
        self.assertLess(sectors * 512, 13 * MiB)
        for number in range(4):
            self.assert_same_content(memory / f"disk{number}", content, 12 * MiB)


class Tuning(BurnTestCase):
    def test_chunk_and_depth(self):
        image = self.half_sparse_image(9 * MiB + 3)
        for options in (["--chunk=64K", "--depth=1"], ["--chunk=64K", "--depth=256"],
                        ["--chunk=4M", "--depth=2"], ["--chunk=16M"], ["--depth=256"]):
            for engine in engines():
                with self.subTest(options=options, engine=engine):
                    target = self.path()
                    self.burn(image, target, *options, f"--io-engine={engine}")
                    self.assert_same_content(target, image)

    def test_rate(self):
        image, target = self.dense_image(9 * MiB), self.path()
        job = self.job("burn", image, target, "--rate=4M", "--json")
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assert_same_content(target, image)
        # 8 MiB behind the head, of which the first may go at once.
        self.assertGreater(result.json["seconds"], 1.5)
        self.assertLess(result.json["seconds"], 20)

    def test_impossible_values(self):
        image, target = self.dense_image(MiB), self.path("target")
        for option in ("--chunk=0", "--chunk=3M", "--chunk=32M", "--chunk=1000", "--chunk=x",
                       "--depth=0", "--depth=257", "--depth=-1", "--rate=-1", "--rate=1X",
                       "--verify=twice", "--discard=yes", "--direct=maybe", "--digest=sha256:12",
                       "--digest=md5:00", "--io-engine=magic"):
            with self.subTest(option):
                result = self.imgtool("burn", image, target, option)
                self.assertEqual(result.code, 2, f"\n{result!r}")
                self.assertEqual(result.err.count("\n"), 1, f"\n{result!r}")
                self.assertIn(option.split("=")[0], result.err)
        self.assertFalse(target.exists())


class Verify(BurnTestCase):
    def test_none_and_sample(self):
        image = self.half_sparse_image(40 * MiB)
        for mode, status in (("none", "written"), ("sample", "verified"), ("full", "verified")):
            with self.subTest(mode):
                target = self.path()
                job = self.job("burn", image, target, f"--verify={mode}", "--json")
                result = job.finish()
                self.assertEqual(result.code, 0, f"\n{result!r}")
                self.assertEqual(result.json["targets"][0]["status"], status)
                self.assert_same_content(target, image)
                phases = {line["phase"] for line in job.lines}
                self.assertEqual("verify" in phases, mode != "none")
                verified = [line["total"] for line in job.lines if line["phase"] == "verify"]
                if mode == "full":
                    self.assertEqual(sum(set(verified)), 40 * MiB)  # the head, and the rest

    def test_digest(self):
        image = self.half_sparse_image(3 * MiB + 7)
        target = self.path("target")
        sum_of_image = check("sha256sum", image).split()[0]
        report = self.burn(image, target, f"--digest=sha256:{sum_of_image}")
        self.assertEqual(report["digest"], sum_of_image)
        self.assert_same_content(target, image)

    def test_the_wrong_digest_leaves_no_first_mib(self):
        content = random_bytes(3 * MiB + 7)
        image = self.path()
        image.write_bytes(content)
        for source, options in ((image, {}), ("-", {"input": content})):
            with self.subTest(source=str(source)):
                backing = self.backing_file(4 * MiB)
                result = self.imgtool("burn", source, backing, "--force", "--json",
                                      "--digest=sha256:" + "0" * 64, **options)
                self.assertEqual(result.code, 4, f"\n{result!r}")
                self.assertEqual(result.json["error"]["kind"], "mismatch")
                self.assertEqual(set(backing.read_bytes()[:MiB]), {0})
        target = self.path("target")
        self.imgtool("burn", image, target, "--digest=sha256:" + "0" * 64)
        self.assertEqual(list(self.dir.glob("target*")), [])


class WithoutIoUring(BurnTestCase):
    def start_without(self, *args):
        process = self.start_imgtool(
            *args, preexec_fn=lambda: seccomp.forbid(errno.EPERM, seccomp.IO_URING_SETUP))
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err.decode()

    def test_auto_goes_on_with_threads_and_says_so(self):
        image, target = self.half_sparse_image(5 * MiB + 1), self.path()
        code, _, err = self.start_without("burn", image, target)
        self.assertEqual(code, 0, err)
        self.assert_same_content(target, image)
        # A build that has none has nothing to tell.
        self.assertEqual(err.count("imgtool: io_uring"), 1 if "uring" in engines() else 0, err)

    def test_uring_fails_and_says_why(self):
        code, out, err = self.start_without("burn", self.dense_image(MiB), self.path("target"),
                                            "--io-engine=uring", "--json")
        self.assertEqual(code, 1, err)
        self.assertIn("io_uring", err)
        self.assertIn(b'"unsupported"', out)
        self.assertEqual(list(self.dir.glob("target*")), [])

    def test_threads_do_not_ask_for_it(self):
        image, target = self.dense_image(MiB + 1), self.path()
        code, _, err = self.start_without("burn", image, target, "--io-engine=threads")
        self.assertEqual((code, err), (0, ""))
        self.assert_same_content(target, image)


class Images(BurnTestCase):
    @requires_root
    def test_a_disk_as_the_image(self):
        content = self.backing_file(4 * MiB, fill=0x5A)
        target = self.path()
        self.burn(self.loop_device(content, read_only=True), target)
        self.assert_same_content(target, content)

    def test_an_image_that_may_only_be_read_and_strange_names(self):
        image = self.dense_image(MiB + 1, "an \x1b[31m image\nwith 'quotes'")
        image.chmod(0o400)
        target = self.path("a \x1b[31m target\nwith 'quotes'")
        report = self.burn(image, target)
        self.assertEqual(report["image"], str(image))
        self.assert_same_content(target, image)
        result = self.imgtool("burn", image, self.path("another\n\x1b[31m"))
        self.assertNotIn("\x1b", result.out + result.err)

    def test_an_image_that_does_not_exist(self):
        target = self.path("target")
        result = self.imgtool("burn", self.path("nothing"), target, "--json")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("nothing", result.json["error"]["path"])
        self.assertFalse(target.exists())

    def test_an_image_that_changes_meanwhile(self):
        image, target = self.dense_image(6 * MiB), self.path("target")
        job = self.job("burn", image, target, "--rate=2M", "--json")
        job.wait_for("write", 2 * MiB)
        with open(image, "r+b") as file:
            file.write(b"changed")
        result = job.finish()
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertIn("changed", result.json["error"]["message"])
        self.assertFalse(target.exists())

    def test_a_pipe_through_which_nothing_comes(self):
        target = self.path("target")
        result = self.imgtool("burn", "-", target, input=b"")
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertFalse(target.exists())

    def test_two_do_not_mix_in_one_file(self):
        image, target = self.dense_image(8 * MiB), self.backing_file(8 * MiB)
        job = self.job("burn", image, target, "--force", "--rate=512K")
        job.wait_for("write", MiB)
        result = self.imgtool("burn", self.dense_image(8 * MiB, seed=2), target, "--force")
        self.assert_refused(result, target, "another imgtool")
        self.assertEqual(job.finish().code, 0)
        self.assert_same_content(image, target)

    def test_links_are_followed(self):
        image, real = self.dense_image(MiB), self.backing_file(4 * MiB)
        link = self.path("link")
        link.symlink_to(real)
        self.burn(image, link, "--force")
        self.assertTrue(link.is_symlink())
        self.assert_holds(real, image)
        real.unlink()
        self.burn(image, link)
        self.assertTrue(link.is_symlink())
        self.assert_same_content(real, image)

    def test_a_link_to_a_disk_that_is_gone(self):
        link = self.path("link")
        link.symlink_to("/dev/imgtool-test-gone")
        self.assert_refused(self.imgtool("burn", self.dense_image(MiB), link), "no such disk")
        self.assertTrue(link.is_symlink())


class PartitionTable(BurnTestCase):
    @requires_root
    def test_the_head_comes_last(self):
        image = self.dense_image(12 * MiB)
        backing = self.backing_file(16 * MiB)
        job = self.job("burn", image, self.loop_device(backing), "--yes", "--json", "--rate=4M")
        job.wait_for("write", 2 * MiB)
        with open(backing, "rb") as file:
            self.assertEqual(set(file.read(MiB)), {0})
        result = job.finish()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assert_same_content(backing, image, 12 * MiB)


if __name__ == "__main__":
    main()
