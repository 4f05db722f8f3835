"""An image without content is refused by everything that would make a disk of it: a download that
failed, or a program that wrote nothing."""
import gzip

from imgtool_testing import MiB, TestCase, main


class EmptyImages(TestCase):
    def test_a_file(self):
        empty, disk = self.path("empty"), self.dense_image(MiB, "disk")
        empty.touch()
        out = self.path("out")
        for command in (("burn", empty, out), ("convert", empty, out), ("capture", empty, out),
                        ("compress", empty, out), ("verify", empty, disk)):
            self.assert_refused(self.imgtool(*command), "is empty", empty)
            self.assertFalse(out.exists(), command)

    def test_a_pipe_and_a_compressed_stream(self):
        out, packed = self.path("out"), self.path("empty.gz")
        packed.write_bytes(gzip.compress(b""))
        for command in ("burn", "convert"):
            for source in ("-", packed):
                result = self.imgtool(command, source, out, input=b"")
                self.assertIn(result.code, (1, 3), f"\n{command} {source} {result!r}")
                self.assertFalse(out.exists())
        self.assertNotEqual(self.imgtool("verify", "-", self.dense_image(MiB), input=b"").code, 0)

    def test_a_size_of_0_that_was_asked_for(self):
        made, out = self.path("made.qcow2"), self.path("out")
        self.imgtool_ok("create", made, "0")
        self.imgtool_ok("convert", "-O", "raw", made, out)
        self.assertEqual(out.stat().st_size, 0)
        self.imgtool_ok("capture", "--length", "0", self.dense_image(MiB), self.path("nothing"))

    def test_names_that_promise_another_format(self):
        source = self.dense_image(MiB)
        for name in ("disk.bz2", "disk.qed", "disk.ZIP"):
            out = self.path(name)
            for command in (("convert", source), ("compress", source), ("capture", source)):
                self.assert_refused(self.imgtool(*command, out), name, "-O")
            self.assert_refused(self.imgtool("create", out, "1M"), name)
            self.assertFalse(out.exists())
            self.imgtool_ok("convert", "-O", "raw", source, out)
            self.assert_same_content(source, out)


if __name__ == "__main__":
    main()
