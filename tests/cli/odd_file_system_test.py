"""File systems that do what local disks do not: what they say late is part of the answer, and what
they cannot do is no failure of a file that is complete."""
import os

from imgtool_testing import MiB, TestCase, main, requires_root
from odd_file_system import odd_file_system


@requires_root
class OddFileSystems(TestCase):
    def setUp(self):
        super().setUp()
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            self.skipTest("needs /dev/fuse")
        self.source = self.dense_image(3 * MiB + 512)

    def commands(self, out):
        """Every way to write a file."""
        yield "convert", self.source, out
        yield "convert", "-O", "qcow2", self.source, out
        yield "capture", self.source, out
        yield "burn", "--verify=none", self.source, out

    def assert_fails(self, folder, *words):
        for command in self.commands(folder / "out"):
            result = self.imgtool(*command)
            self.assertEqual(result.code, 1, f"\n{command} {result!r}")
            for word in words:
                self.assertIn(word, result.err)
            self.assertFalse((folder / "out.imgtool-partial").exists())
            if (folder / "out").exists():
                os.unlink(folder / "out")
                yield command
            else:
                yield None

    def test_short_transfers_give_the_right_bytes(self):
        for engine in ("uring", "threads"):
            for trait in ("short-read", "short-write"):
                with odd_file_system(self, "direct-io", trait) as folder:
                    there, back = folder / "there", self.path()
                    options = f"--io-engine={engine}", "--force"
                    self.imgtool_ok("convert", *options, self.source, there)
                    if trait == "short-write":
                        self.assert_same_content(self.source, there)
                    self.imgtool_ok("convert", *options, there, back)
                    self.assert_same_content(self.source, back)

    def test_what_only_close_tells_is_a_failure(self):
        with odd_file_system(self, "bad-close") as folder:
            for left in self.assert_fails(folder, "close", "Input/output error"):
                self.assertIsNone(left, "it has its final name")

    def test_a_rename_that_fails(self):
        with odd_file_system(self, "bad-rename") as folder:
            for left in self.assert_fails(folder, "rename", "Input/output error"):
                self.assertIsNone(left, "it has its final name")

    def test_a_folder_that_cannot_be_flushed(self):
        with odd_file_system(self, "bad-dirsync") as folder:
            for _ in self.assert_fails(folder, "flush", "Input/output error"):
                pass

    def test_what_the_file_system_does_not_have_is_no_failure(self):
        for trait, note in (("no-dirsync", ""), ("no-noreplace", ""), ("no-locks", "no locks")):
            with odd_file_system(self, trait) as folder:
                out = folder / "out"
                for command in self.commands(out):
                    result = self.imgtool_ok(*command)
                    self.assertIn(note, result.err)
                    self.assertEqual(self.imgtool(*command).code, 3, "it exists now")
                    os.unlink(out)

    def test_a_full_one_is_told(self):
        with odd_file_system(self, "no-space") as folder:
            result = self.imgtool("convert", self.source, folder / "out")
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertIn("no space left after", result.err)
            self.assertFalse((folder / "out").exists())


if __name__ == "__main__":
    main()
