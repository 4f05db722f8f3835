"""What the tests of images over a block map (VDI, VHD, VHDX, QED, qcow, Parallels) share."""
import os
import subprocess

from imgtool_testing import GiB, KiB, MiB, TestCase, check, differing_offset, random_bytes, sha256
from memory_testing import peak_memory


class BlockImageTestCase(TestCase):
    def disk(self, size, block=MiB):
        """A raw disk with something at its start and end, around a block's border and far away,
        and holes between."""
        path = self.path("disk.img")
        with open(path, "wb") as file:
            file.truncate(size)
            noise = random_bytes(8 * KiB, size % 1000)
            for at in (0, block - 4 * KiB, 3 * block + 512, size // 2, size - len(noise)):
                at = at // 512 * 512
                if 0 <= at < size:
                    file.seek(at)
                    file.write(noise[:size - at])
        return path

    def written_by_qemu(self, disk, qemu_format, *options):
        image = self.path(f"qemu.{qemu_format}")
        words = [word for option in options for word in ("-o", option)]
        check("qemu-img", "convert", "-f", "raw", "-O", qemu_format, *words, disk, image)
        return image

    def assert_reads(self, image, disk, *options):
        """Every command sees the bytes of `disk` in `image`."""
        size = os.stat(disk).st_size
        info = self.imgtool_ok("info", "--json", *options, image).json
        self.assertEqual(info["virtual-size"], size)
        self.assert_map(image, size, *options)
        stated = ["-f", options[1], "-F", "raw"] if options else ["-F", "raw"]
        self.imgtool_ok("compare", *stated, image, disk)
        out = self.path()
        self.imgtool_ok("convert", *options, "-O", "raw", image, out)
        self.assertEqual(os.stat(out).st_size, size)
        self.assertIsNone(differing_offset(out, disk))
        self.assertLess(os.stat(out).st_blocks * 512, 64 * MiB)
        if 0 < size <= GiB:
            digest = self.imgtool_ok("hash", *options, image).out.split()[0]
            self.assertEqual(digest, sha256(disk))

    def assert_content(self, image, content, *options):
        """The same for an image and a disk that are bytes."""
        path, disk = self.path(), self.path()
        path.write_bytes(image)
        disk.write_bytes(content)
        self.assert_reads(path, disk, *options)
        return path

    def assert_map(self, image, size, *options):
        end = 0
        for part in self.imgtool_ok("map", "--json", *options, image).json:
            self.assertEqual(part["start"], end)
            self.assertGreater(part["length"], 0 if size else -1)
            end += part["length"]
        self.assertEqual(end, size)

    def assert_burns(self, image, disk):
        target = self.path()
        self.imgtool_ok("burn", "--yes", image, target)
        self.assertIsNone(differing_offset(target, disk))
        self.imgtool_ok("verify", image, target)

    def assert_image_refused(self, image, *words, codes=(1,), options=()):
        """No command that reads the content takes it; the error is one line with `words` in it,
        memory and time are bounded."""
        path = image
        if isinstance(image, bytes):
            path = self.path()
            path.write_bytes(image)
        for command in (["hash"], ["map"], ["convert", "-O", "raw"]):
            out = self.path()
            more = [out] if command[0] == "convert" else []
            result = self.imgtool(*command, *options, path, *more, timeout=20)
            self.assertIn(result.code, codes, result)
            self.assertEqual(result.err.count("\n"), 1, result)
            for word in (str(path), *words):
                self.assertIn(word, result.err, result)
            self.assertFalse(out.exists())
        return path

    def assert_hostile(self, image, *options):
        """Whatever it says, it is refused or read, within 256 MiB and seconds."""
        path = self.path()
        path.write_bytes(image)
        for command in ("info", "hash"):
            result = self.imgtool(command, *options, path, timeout=20)
            self.assertIn(result.code, (0, 1, 3), result)

    def assert_modest(self, image, code, *options):
        path = self.path()
        path.write_bytes(image)
        self.assertLess(peak_memory(self, "map", *options, path, code=code), 256 * MiB)

    def assert_pipes_and_streams(self, image, what, front_to_back=False):
        """Through a pipe it is refused, with what it is, unless it can be read front to back; inside
        gz it is read."""
        with open(image, "rb") as file:
            content = file.read()
        ways = [(image, {})]
        if front_to_back:
            ways.append(("-", {"input": content}))
        else:
            result = self.imgtool("hash", "-", input=content)
            self.assert_refused(result, f"{what} from a pipe", "-f raw")
        packed = self.path("image.gz")
        packed.write_bytes(subprocess.run(["gzip", "-c"], input=content, capture_output=True,
                                          check=True).stdout)
        ways += [(packed, {}), ("-", {"input": packed.read_bytes()})]
        digests = [self.imgtool_ok("hash", name, **stdin).out.split()[0] for name, stdin in ways]
        self.assertEqual(len(set(digests)), 1, digests)
