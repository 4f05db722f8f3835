"""What the tests of imgtool convert share."""
import contextlib
import hashlib
import json
import os
import random

from imgtool_testing import KiB, MiB, TestCase, check, random_bytes, run, wait_until

FEW_BYTES = bytes(byte & 0x17 for byte in range(256))


def mixed_content(size, seed=1, piece=16 * KiB):
    """What disks are made of: zeros, text, what does not compress, sectors alone among zeros,
    long and short periods."""
    generator = random.Random(seed)
    noise = random_bytes(24 * KiB, seed)
    pieces = []
    done = 0
    while done < size:
        kind = generator.randrange(8)
        length = generator.choice((1, 1, 2, 3, 8)) * piece
        if kind < 2:
            content = bytes(length)
        elif kind == 2:
            content = generator.randbytes(length)
        elif kind == 3:
            content = bytes(length // 2 - 512) + generator.randbytes(512) + bytes(length // 2)
        elif kind == 4:
            content = (noise * (length // len(noise) + 1))[:length]
        else:
            content = generator.randbytes(length).translate(FEW_BYTES)
        pieces.append(content)
        done += length
    return b"".join(pieces)[:size]


class ConvertTestCase(TestCase):
    def mixed_image(self, size, name=None, seed=1):
        path = self.path(name)
        path.write_bytes(mixed_content(size, seed))
        return path

    def convert(self, source, target, *options, command="convert"):
        return self.imgtool_ok(command, source, target, *options, "--json").json

    def assert_fails_when_full(self, job, folder):
        """Another process fills the file system of `folder`, to which `job` writes its output."""
        # The space is looked at between the making of the file and the first byte in it.
        partial = folder / "out.imgtool-partial"
        wait_until(lambda: partial.exists() and partial.stat().st_blocks, "the job's first bytes")
        with open(folder / "other", "wb", buffering=0) as other:
            block = bytes(64 * KiB)
            with contextlib.suppress(OSError):
                while True:
                    other.write(block)
        out, err = job.communicate(timeout=60)
        self.assertEqual(job.returncode, 1, err)
        self.assertIn(b"no space left", err)
        self.assertIn(b"more are needed", err)
        self.assertEqual(os.listdir(folder), ["other"])

    def assert_clean(self, image):
        """qemu-img finds nothing wrong with it, not even a leak, and neither do we."""
        result = run(["qemu-img", "check", "-f", "qcow2", image])
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.imgtool_ok("check", image)

    def assert_image_of(self, image, raw):
        """A clean qcow2 image with exactly this content (and zeros to the end of its sector)."""
        self.assert_clean(image)
        result = run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image])
        self.assertEqual(result.code, 0, f"\n{result!r}")
        size = json.loads(check("qemu-img", "info", "--output=json", image))["virtual-size"]
        self.assertEqual(size, -(-raw.stat().st_size // 512) * 512)

    def assert_nothing_left(self, *allowed):
        """No partial file and no output in the test's directory, but for these."""
        found = {path.name for path in self.dir.rglob("*") if path.is_file()}
        self.assertEqual(found - {path.name for path in allowed}, set())


def sha256_of(content):
    return hashlib.sha256(content).hexdigest()


__all__ = ["ConvertTestCase", "KiB", "MiB", "mixed_content", "sha256_of"]
