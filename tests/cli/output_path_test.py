"""Outputs never go onto what the same job reads, or writes because of another option."""
import os

from imgtool_testing import MiB, TestCase, check, main, random_bytes, requires, requires_root, sha256


class OutputPaths(TestCase):
    def assert_refused_unharmed(self, precious, *args):
        """Exit 3, and nothing happened to the file."""
        before = sha256(precious)
        result = self.imgtool(*args)
        self.assertEqual(result.code, 3, f"\n{result!r}")
        self.assertEqual(len(result.err.splitlines()), 1, f"\n{result!r}")
        self.assertEqual(sha256(precious), before)

    def test_a_source_with_the_name_of_the_partial_file(self):
        source = self.dense_image(MiB, "d.img.imgtool-partial")
        for command in ("capture", "convert"):
            self.assert_refused_unharmed(source, command, source, self.path("d.img"))
        linked = self.dense_image(MiB, "source.img")
        os.link(linked, self.path("e.img.imgtool-partial"))
        for command in ("capture", "convert"):
            self.assert_refused_unharmed(linked, command, linked, self.path("e.img"))

        self.assert_refused_unharmed(source, "burn", source, self.path("d.img"))

    def test_places_where_no_file_can_be(self):
        source, fifo = self.dense_image(MiB), self.path()
        os.mkfifo(fifo)
        for command in ("convert", "capture"):
            self.assert_refused(self.imgtool(command, source, fifo), "pipe", "-")
            result = self.imgtool(command, source, self.path("no") / "such" / "x.img")
            self.assertEqual(result.code, 1, result)
            self.assertIn("there is no folder", result.err)
            self.assertNotIn("partial", result.err)

    def test_a_partial_file_with_a_second_name(self):
        other, source = self.dense_image(MiB, "other"), self.dense_image(4096)
        os.link(other, self.path("out.imgtool-partial"))
        self.assert_refused_unharmed(other, "convert", source, self.path("out"))

    def test_the_block_map(self):
        source, out = self.dense_image(MiB, "source"), self.path("out")
        for command in ("capture", "convert"):
            for bmap in (source, out):
                self.assert_refused_unharmed(source, command, "--force", "--bmap-out", bmap, source,
                                             out)
                self.assertFalse(out.exists())
        there = self.dense_image(MiB, "there", seed=2)
        self.assert_refused_unharmed(there, "convert", "-n", "--force", "--bmap-out", there, source,
                                     there)

    def test_the_mapfile(self):
        source, out = self.dense_image(MiB, "source"), self.path("out")
        for command in ("burn", "capture"):
            for mapfile in (source, out):
                self.assert_refused_unharmed(source, command, "--mapfile", mapfile, source, out)
                self.assertFalse(out.exists())

    def test_the_pages_of_analyze(self):
        image, page = self.dense_image(MiB, "image"), self.path("page")
        for option in ("--html", "--svg"):
            self.assert_refused_unharmed(image, "analyze", "--force", option, image, image)
        self.assert_refused_unharmed(image, "analyze", "--html", page, "--svg", page, image)
        self.assertFalse(page.exists())

    @requires("qemu-img")
    def test_what_the_base_lies_on(self):
        root, middle = self.path("root.qcow2"), self.path("middle.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", root, "1M")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", root, "-F", "qcow2", middle)
        self.assert_refused_unharmed(root, "convert", "--force", "--follow-references", "-O",
                                     "qcow2", "-B", middle, self.dense_image(MiB), root)

    @requires_root
    def test_capture_makes_files_only(self):
        backing = self.backing_file(MiB)
        disk, source = self.loop_device(backing), self.dense_image(MiB)
        for options in ([], ["--force"], ["-o", "preallocation=full"]):
            self.assert_refused_unharmed(backing, "capture", *options, source, disk)

    def test_what_is_replaced_gives_its_mode(self):
        source, out = self.dense_image(MiB), self.path("out")
        out.write_bytes(random_bytes(10))
        os.chmod(out, 0o640)
        if os.geteuid() == 0:
            os.chown(out, 1000, 1000)
        owner = os.stat(out).st_uid
        self.imgtool_ok("convert", "--force", source, out)
        self.assert_same_content(source, out)
        self.assertEqual((os.stat(out).st_mode & 0o7777, os.stat(out).st_uid), (0o640, owner))

    @requires_root
    def test_room_is_looked_for_where_a_link_leads(self):
        source, small, target = self.dense_image(8 * MiB), self.tmpfs(2 * MiB), self.path("target")
        target.touch()
        link = small / "link"
        link.symlink_to(target)
        self.imgtool_ok("convert", "--force", source, link)
        self.assert_same_content(source, target)


if __name__ == "__main__":
    main()
