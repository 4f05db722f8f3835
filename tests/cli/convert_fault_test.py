"""imgtool convert when something goes wrong: nothing half-made stays, and nothing else changes."""
import os
import random
import signal
import time

from convert_testing import ConvertTestCase, MiB
from imgtool_testing import flip_byte, main, requires, requires_root, sha256
from qcow2_images import Qcow2


class Faults(ConvertTestCase):
    def test_an_existing_file_needs_force(self):
        source = self.mixed_image(MiB)
        target = self.path("there")
        target.write_bytes(b"precious")
        for options in ([], ["-O", "qcow2", "-c"]):
            self.assert_refused(self.imgtool("convert", source, target, *options), "--force")
            self.assertEqual(target.read_bytes(), b"precious")
        self.convert(source, target, "--force")
        self.assert_same_content(source, target)

    def test_the_source_is_not_its_own_target(self):
        source = self.mixed_image(MiB)
        before = sha256(source)
        self.assert_refused(self.imgtool("convert", source, source, "--force"), source)
        link = self.path("link")
        link.symlink_to(source)
        self.assert_refused(self.imgtool("convert", source, link, "--force", "-c", "-O", "qcow2"))
        self.assertEqual(sha256(source), before)

    def test_wrong_usage(self):
        source = self.mixed_image(MiB)
        target = self.path("out")
        wrong = [
            ["-c"],
            ["--level", "3", "-O", "qcow2"],
            ["-c", "-O", "qcow2", "--level", "13"],
            ["-c", "-O", "qcow2", "--level", "10", "--deflate-window", "4K"],
            ["-c", "-O", "qcow2", "--codec", "zstd", "--level", "20"],
            ["-c", "-O", "qcow2", "--codec", "zstd", "-o", "compression_type=zlib"],
            ["-c", "-O", "qcow2", "--codec", "zstd", "-o", "compat=0.10"],
            ["-c", "-O", "qcow2", "-o", "preallocation=full"],
            ["-O", "qcow2", "-o", "cluster_size=3000"],
            ["-O", "qcow2", "-o", "cluster_size=4M"],
            ["-O", "qcow2", "-o", "refcount_bits=3"],
            ["-O", "qcow2", "-o", "refcount_bits=8,compat=0.10"],
            ["-O", "qcow2", "-o", "extended_l2=on,cluster_size=8K"],
            ["-O", "qcow2", "-o", "extended_l2=maybe"],
            ["-O", "qcow2", "-o", "nonsense=1"],
            ["-O", "qcow2", "-o", "cluster_size"],
            ["-O", "raw", "-o", "cluster_size=64K"],
            ["-O", "raw", "-o", "preallocation=metadata"],
            ["-O", "raw", "-B", "base"],
            ["-O", "qcow2", "-F", "raw"],
            ["--target-is-zero"],
            ["-S", "3000"],
            ["-O", "qed"],
            ["--threads", "0"],
        ]
        for options in wrong:
            with self.subTest(options=options):
                result = self.imgtool("convert", source, target, *options)
                self.assertEqual(result.code, 2, f"\n{result!r}")
                self.assertEqual(len(result.err.splitlines()), 1, f"\n{result!r}")
        self.assert_nothing_left(source)

    def test_a_missing_source_or_base(self):
        source = self.mixed_image(MiB)
        target = self.path("out.qcow2")
        self.assertEqual(self.imgtool("convert", self.path("none"), target).code, 1)
        self.assertEqual(self.imgtool("convert", source, target, "-B", "nowhere").code, 1)
        self.assert_nothing_left(source)

    @requires("qemu-img", "qemu-io")
    def test_a_damaged_source_is_an_error_with_its_place(self):
        image = Qcow2(self, 4 * MiB)
        image.write(MiB, MiB, compressed=True)
        image.finish()
        with open(image.path, "r+b") as file:
            content = file.read()
            # Somewhere inside the streams, behind the tables.
            file.seek(image.header(image.l2 + 16 * 8, "Q") & ((1 << 54) - 1))
            file.write(b"\xff" * 300)
        self.assertNotEqual(content, image.path.read_bytes())
        for options in ([], ["-c", "-O", "qcow2"]):
            target = self.path("out")
            result = self.imgtool("convert", image.path, target, *options, "--json")
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertEqual(result.json["error"]["kind"], "format")
            self.assertIsNotNone(result.json["error"]["offset"])
            self.assertFalse(target.exists())

    def test_a_source_that_changes_meanwhile_gives_no_image(self):
        source = self.dense_image(5 * MiB)
        target = self.path("out.qcow2")
        job = self.job("convert", source, target, "--rate", "1M")
        job.wait_for("write")
        flip_byte(source, 3 * MiB)
        self.assertEqual(job.finish().code, 4)
        self.assert_nothing_left(source, *job.files)

    def test_killed_at_any_time_it_leaves_nothing_under_the_final_name(self):
        source = self.mixed_image(12 * MiB)
        before = sha256(source)
        generator = random.Random(3)
        for round_number in range(8):
            suffix = ("qcow2", "img.zst")[round_number % 2]
            target = self.path(f"out{round_number}.{suffix}")
            job = self.start_imgtool("compress", source, target, "--rate", "2M")
            time.sleep(generator.uniform(0.02, 0.45))
            job.send_signal(signal.SIGKILL)
            job.wait(30)
            self.assertFalse(target.exists())
            # What it leaves is taken over by the next run.
            if round_number >= 6:
                self.convert(source, target, "-c")
                self.assertFalse(os.path.exists(f"{target}.imgtool-partial"))
        self.assertEqual(sha256(source), before)

    def test_ctrl_c_removes_what_was_begun(self):
        source = self.dense_image(8 * MiB)
        files = []
        for options in ([], ["-c", "-O", "qcow2"]):
            target = self.path("out")
            job = self.job("convert", source, target, "--rate", "4M", *options)
            files += job.files
            job.wait_for("write")
            begun = time.monotonic()
            job.signal(signal.SIGINT)
            self.assertEqual(job.finish(30).code, 130)
            self.assertLess(time.monotonic() - begun, 10)
            self.assert_nothing_left(source, *files)

    @requires_root
    def test_space_is_checked_before_anything_is_written(self):
        source = self.dense_image(6 * MiB)
        folder = self.tmpfs(4 * MiB)
        for options in ([], ["-c", "-O", "qcow2"], ["-O", "zst"], ["-o", "preallocation=full"],
                        ["-O", "qcow2", "-o", "preallocation=falloc"]):
            with self.subTest(options=options):
                result = self.imgtool("convert", source, folder / "out", *options)
                self.assert_refused(result, "MiB are missing")
                self.assertEqual(os.listdir(folder), [])

    @requires_root
    def test_a_file_system_that_fills_up_meanwhile(self):
        source = self.dense_image(6 * MiB)  # zst writes 4 MiB at a time
        before = sha256(source)
        for options in ([], ["-O", "qcow2"], ["-c", "-O", "qcow2"], ["-O", "zst"],
                        ["-c", "-O", "qcow2", "-o", "cluster_size=4K", "--io-engine=threads"]):
            with self.subTest(options=options):
                folder = self.tmpfs(8 * MiB)
                target = folder / "out"
                job = self.start_imgtool("convert", source, target, "--rate", "2M", *options)
                self.assert_fails_when_full(job, folder)
        self.assertEqual(sha256(source), before)

    @requires_root
    def test_what_compresses_well_fits(self):
        source = self.path()
        source.write_bytes(b"All work and no play makes Jack a dull boy.\n" * 400_000)
        folder = self.tmpfs(4 * MiB)
        self.convert(source, folder / "out.qcow2", "-c")
        self.assert_refused(self.imgtool("convert", source, folder / "plain.qcow2"), "missing")


if __name__ == "__main__":
    main()
