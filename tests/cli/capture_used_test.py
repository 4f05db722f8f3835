"""capture --used: free space is not read, and is zeros in the image; all else is identical."""
import os
import time

from imgtool_testing import KiB, MiB, check, main, requires, requires_fault_disk, requires_root, run
from scrub_testing import ScrubTestCase, contents, free_map, scrub

SIZE = 64 * MiB


@requires_root
@requires("mkfs.ext4", "e2fsck", "sfdisk")
class CaptureUsed(ScrubTestCase):
    def aged_image(self, size=SIZE):
        """An ext4 with files and deleted files' garbage: all of its free space holds something."""
        image = self.zero_image(size)
        check("mkfs.ext4", "-q", "-F", "-b", "4096", "-L", "root", image)
        with self.mounted(image) as root:
            self.age(root, files=100, largest=512 * KiB)
            self.contents = contents(root)
        found = free_map(image)
        scrub(image, found["free"], 0x5A)
        return image, found["free"]

    def assert_captured(self, image, disk, free):
        """As the disk, but zeros where it is free."""
        with open(image, "rb") as ours, open(disk, "rb") as theirs:
            expected = bytearray(theirs.read())
            for offset, length in free:
                expected[offset:offset + length] = bytes(length)
            self.assertEqual(ours.read(), expected[:os.path.getsize(image)])

    def test_the_image(self):
        image, free = self.aged_image()
        disk = self.loop_device(image)
        out = self.path()
        document = self.imgtool_ok("capture", "--used", disk, out, "--json").json
        self.assert_captured(out, image, free)
        self.assertEqual(document["left-out"]["free-bytes"], sum(n for _, n in free))
        entry, = document["left-out"]["file-systems"]
        self.assertEqual((entry["type"], entry["label"], entry["kept-because"]),
                         ("ext4", "root", None))
        self.assertLess(os.stat(out).st_blocks * 512, SIZE - sum(n for _, n in free) + MiB)
        self.assert_checks(["e2fsck", "-fn", out], "the image")
        with self.mounted(out) as root:
            self.assertEqual(contents(root), self.contents)

    def test_the_summary_says_what_was_kept_and_why(self):
        image = self.zero_image(SIZE)
        run(["sfdisk", "--quiet", image],
            input=b"label: gpt\nstart=1MiB, size=20MiB\nstart=21MiB, size=20MiB\nsize=10MiB\n")
        for offset in (MiB, 21 * MiB):
            check("mkfs.ext4", "-q", "-F", "-L", "e\x1b[2J", "-E", f"offset={offset}", image, "20480k")
        check("debugfs", "-w", "-R", "ssv state 2", f"{image}?offset={21 * MiB}")
        text = self.imgtool_ok("capture", "--used", image, self.path()).out
        self.assertRegex(text, r"MiB left out that no file system uses")
        self.assertRegex(text, r"partition 1, ext4 .*: 1\d\.\d MiB of 20.0 MiB left out")
        self.assertRegex(text, r"partition 2, ext4 .*: kept whole, 20.0 MiB: its kernel found errors "
                               r"in it; check it \(e2fsck -f\)")
        self.assertRegex(text, r"partition 3: kept whole, 10.0 MiB: the content is of no known kind")
        self.assertNotIn("\x1b", text)

    def test_a_pipe(self):
        image, free = self.aged_image()
        result = self.imgtool_ok("capture", "--used", image, "-")
        out = self.path()
        out.write_bytes(result.out_bytes)
        self.assert_captured(out, image, free)
        self.assertIn("left out that no file system uses", result.err)

    def test_only_the_beginning(self):
        image, free = self.aged_image()
        out = self.path()
        self.imgtool_ok("capture", "--used", "--length=20M", image, out)
        self.assertEqual(os.path.getsize(out), 20 * MiB)
        self.assert_captured(out, image, free)

    @requires_fault_disk
    def test_free_space_is_not_read(self):
        image, free = self.aged_image()
        disk = self.fault_disk(image)
        # Signatures of all kinds are looked for at both ends, Promise's 1.6 MiB in front of the last.
        inside = [(max(o, MiB), min(o + n, SIZE - 2 * MiB) - max(o, MiB)) for o, n in free]
        inside = [(offset, length) for offset, length in inside if length > 0]
        self.assertGreater(sum(n for _, n in inside), 10 * MiB)
        for offset, length in inside[:1500]:
            disk.fail_reads(offset, length)
        self.assertEqual(self.imgtool("capture", disk.device, self.path()).code, 1)
        out = self.path()
        self.imgtool_ok("capture", "--used", disk.device, out)
        self.assert_captured(out, image, free)

    def test_what_is_mounted_is_kept(self):
        image, _ = self.aged_image()
        disk = self.loop_device(image)
        self.mount(disk)
        out = self.path()
        document = self.imgtool_ok("capture", "--used", disk, out, "--json").json
        entry, = document["left-out"]["file-systems"]
        self.assertEqual(document["left-out"]["free-bytes"], 0)
        self.assertIn("mounted", entry["kept-because"])
        self.assertIn("umount", entry["remedy"])

    def test_a_change_on_the_way_is_a_failure(self):
        mapfile = self.path("map")
        for options in ((), ("--mapfile", mapfile)):
            image, _ = self.aged_image(32 * MiB)
            disk = self.loop_device(image, direct_io=False)
            out = self.path()
            job = self.job("capture", "--used", "--rate=16M", *options, disk, out)
            job.wait_for("write", 4 * MiB)
            with open(disk, "r+b") as file:  # as a mount would
                file.seek(1024 + 0x34)
                count = file.read(2)
                file.seek(1024 + 0x34)
                file.write(bytes([count[0] ^ 1, count[1]]))
                os.fsync(file.fileno())
            result = job.finish()
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertIn("written to meanwhile", result.err)
            self.assertEqual([p.name for p in self.dir.iterdir() if out.name in p.name], [])
            self.assertNotIn("to go on", result.err)
            self.assertFalse(mapfile.exists())

    def test_resume_needs_the_same_free_space(self):
        image, free = self.aged_image()
        out, mapfile = self.path(), self.path()
        args = ["capture", "--used", f"--mapfile={mapfile}", image, out]
        job = self.job(*args, "--rate=16M")
        job.wait_for("write", 4 * MiB)
        job.signal(2)
        self.assertEqual(job.finish().code, 130)
        self.assertEqual(self.imgtool("capture", f"--mapfile={mapfile}", "--resume", image,
                                      out).code, 3)
        self.imgtool_ok(*args, "--resume")
        self.assert_captured(out, image, free)


if __name__ == "__main__":
    main()
