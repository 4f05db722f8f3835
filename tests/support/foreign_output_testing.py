"""What the tests of images written for other programs (VMDK, VHD, VHDX, VDI) share."""
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from convert_testing import ConvertTestCase, mixed_content
from imgtool_testing import GiB, KiB, MiB, check, engines, run, unmount, wait_until


class ForeignOutputTestCase(ConvertTestCase):
    kind = ""     # imgtool's and qemu's name of the format
    suffix = ""   # by which it is chosen
    block = MiB   # what is stored or left out as one
    options = ()  # of convert

    def convert_to(self, source, *options, name=None, **streams):
        out = self.path(name or f"out{self.names}.{self.suffix}")
        self.imgtool_ok("convert", source, out, *self.options, *options, **streams)
        return out

    def virtual_size(self, image):
        return json.loads(check("qemu-img", "info", "-f", self.kind, "--output=json",
                                image))["virtual-size"]

    def assert_written(self, image, raw):
        """Everybody who reads the format finds the bytes of `raw` in it, and zeros to the end of
        the last sector."""
        size = -(-os.stat(raw).st_size // 512) * 512
        self.assertEqual(self.virtual_size(image), size)
        result = run(["qemu-img", "compare", "-f", "raw", "-F", self.kind, raw, image])
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["virtual-size"], size)
        self.imgtool_ok("compare", raw, image)
        if shutil.which("7z") and 0 < size <= GiB:
            self.assert_same_as_7z_reads(image, raw, size)

    def assert_same_as_7z_reads(self, image, raw, size):
        out = self.path()
        with open(out, "wb") as file:
            done = subprocess.run(["7z", "x", "-so", image], stdout=file, stderr=subprocess.PIPE,
                                  check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.path.getsize(out), size)
        self.assert_same_content(raw, out, os.path.getsize(raw))
        os.unlink(out)

    def assert_sizes_that_hurt(self):
        sizes = (1, 511, 512, 513, self.block - 512, self.block, self.block + 512,
                 3 * self.block + 77)
        for size in sizes:
            for dense in (True, False):
                with self.subTest(size=size, dense=dense):
                    raw = self.dense_image(size) if dense else self.zero_image(size)
                    self.assert_written(self.convert_to(raw), raw)
                    # And back again.
                    image, back = self.convert_to(raw), self.path()
                    self.imgtool_ok("convert", "-O", "raw", image, back)
                    self.assert_same_content(raw, back, size)
                    for path in (raw, image, back):
                        path.unlink()

    def assert_same_bytes_always(self):
        raw = self.path("raw.img")
        raw.write_bytes(mixed_content(9 * MiB + 512))
        found = set()
        for ways in [["--threads=1"], ["--threads=2"], ["--threads=5"],
                     *[[f"--io-engine={engine}"] for engine in engines()]]:
            image = self.convert_to(raw, *ways, name=f"same.{self.suffix}")
            found.add(image.read_bytes())
            image.unlink()
        # As it arrives otherwise: from an image with another map of zeros, and by capture.
        packed = self.path("raw.qcow2")
        check("qemu-img", "convert", "-O", "qcow2", raw, packed)
        image = self.convert_to(packed, name=f"same.{self.suffix}")
        found.add(image.read_bytes())
        image.unlink()
        self.imgtool_ok("capture", raw, image, *self.options)
        found.add(image.read_bytes())
        self.assertEqual(len(found), 1)
        image.unlink()
        other = self.mixed_image(9 * MiB + 512, seed=2)
        self.assertNotEqual(self.convert_to(other, name=f"same.{self.suffix}").read_bytes()[:MiB],
                            found.pop()[:MiB])

    def assert_zeros_left_out(self, most):
        """A TiB that is nearly nothing takes at most so many bytes, and seconds."""
        raw = self.sparse_image(1 << 40, {0: 4 * KiB, 5 * GiB + 4096: 4 * KiB,
                                          (1 << 40) - 4096: 4 * KiB})
        image = self.convert_to(raw)
        self.assertLess(os.stat(image).st_blocks * 512, most)
        back = self.path()
        self.imgtool_ok("convert", "-O", "raw", image, back)
        self.assert_same_content(raw, back)
        self.assertEqual(self.virtual_size(image), 1 << 40)

    def assert_killed_leaves_nothing(self):
        source = self.mixed_image(12 * MiB)
        for delay in (0.05, 0.2, 0.4):
            target = self.path(f"killed.{self.suffix}")
            job = self.start_imgtool("convert", source, target, *self.options, "--rate", "2M")
            time.sleep(delay)
            job.send_signal(signal.SIGKILL)
            job.wait(30)
            self.assertFalse(target.exists())
        # What it leaves is taken over by the next run.
        image = self.convert_to(source, name=f"killed.{self.suffix}")
        self.assertFalse(os.path.exists(f"{image}.imgtool-partial"))
        self.assert_written(image, source)

    def assert_stopped_leaves_nothing(self):
        source = self.dense_image(8 * MiB)
        target = self.path(f"stopped.{self.suffix}")
        job = self.job("convert", source, target, *self.options, "--rate", "4M")
        job.wait_for("write")
        job.signal(signal.SIGINT)
        self.assertEqual(job.finish(30).code, 130)
        self.assert_nothing_left(source, *job.files)

    def assert_full_disk_leaves_nothing(self):
        source = self.dense_image(8 * MiB)
        folder = self.tmpfs(4 * MiB)
        result = self.imgtool("convert", source, folder / f"out.{self.suffix}", *self.options)
        self.assert_refused(result, "missing")
        self.assertEqual(os.listdir(folder), [])
        folder = self.tmpfs(16 * MiB)
        # The helper knows the file by this name.
        job = self.start_imgtool("convert", source, folder / "out", "-O", self.kind, *self.options,
                                 "--rate", "2M")
        self.assert_fails_when_full(job, folder)

    def assert_measured(self, raw, exact=True):
        image = self.convert_to(raw)
        told = self.imgtool_ok("measure", "-O", self.kind, *self.options, raw, "--json").json
        size = os.path.getsize(image)
        if exact:
            self.assertEqual(told["required"], size)
        else:
            self.assertLessEqual(told["estimate"]["least"], size)
            self.assertGreaterEqual(told["estimate"]["most"], size)
        self.assertGreaterEqual(told["fully-allocated"], size)

    def assert_wrong_usage(self, *wrong):
        source = self.dense_image(4096)
        for options in wrong:
            with self.subTest(options=options):
                result = self.imgtool("convert", source, self.path("x"), "-O", self.kind, *options)
                self.assertEqual(result.code, 2, f"\n{result!r}")
                self.assertEqual(len(result.err.splitlines()), 1, f"\n{result!r}")
                self.assertFalse(self.path("x").exists())

    @contextlib.contextmanager
    def mounted(self, program, image, name):
        """The disk as a file system of `program` (libvhdi's or libvmdk's) shows it."""
        folder = self.path()
        folder.mkdir()
        process = subprocess.Popen([program, "-v", image, folder], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        try:
            wait_until((folder / name).exists, f"{program} to show the disk")
            yield folder / name
        finally:
            unmount(folder)
            process.wait(30)


__all__ = ["ForeignOutputTestCase", "GiB", "KiB", "MiB"]
