"""Images that a virtual machine has open: not written, not replaced, and read on request only."""
import os

from imgtool_testing import (MiB, TestCase, check, main, requires, requires_root, run)
from lock_testing import READ, WRITTEN, held


class ImageLocks(TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.dense_image(2 * MiB, "image")
        self.source = self.dense_image(2 * MiB, "source", seed=2)

    def writers(self):
        yield "burn", "--force", "--yes", self.source, self.image
        yield "convert", "-n", "-O", "raw", self.source, self.image
        yield "convert", "--force", self.source, self.image
        yield "convert", "--force", "-O", "qcow2", self.source, self.image
        yield "capture", "--force", self.source, self.image
        yield "create", "--force", self.image, "1M"
        yield "resize", self.image, "+1M"
        yield "snapshot", "-c", "one", self.image
        yield "commit", "--follow-references", self.image
        yield "bitmap", self.image, "one", "--add"
        yield "amend", "-o", "compat=1.1", self.image
        yield "rebase", "-u", "-b", "", self.image

    def readers(self):
        yield "convert", self.image, self.path()
        yield "convert", "--drop-free", self.image, self.path()
        yield "capture", self.image, self.path()
        yield "hash", self.image
        yield "burn", self.image, self.path()
        yield "measure", "-O", "qcow2", self.image
        yield "map", self.image

    def test_nothing_writes_to_what_is_in_use(self):
        before = self.image.read_bytes()
        for places in (WRITTEN, READ):
            with held(self.image, *places):
                for command in self.writers():
                    self.assert_refused(self.imgtool(*command), "in use", self.image)
        self.assertEqual(self.image.read_bytes(), before)

    def test_what_is_written_is_read_on_request_only(self):
        with held(self.image, *WRITTEN):
            for command in self.readers():
                self.assert_refused(self.imgtool(*command), "is being written", "--force-share")
                result = self.imgtool_ok(*command[:1], "-U", *command[1:])
                self.assertIn("torn", result.err)

    def test_a_common_base_is_read(self):
        with held(self.image, *READ):
            for command in self.readers():
                self.imgtool_ok(*command)

    def test_compare_verify_and_check(self):
        qcow2 = self.path("qcow2")
        self.imgtool_ok("convert", "-O", "qcow2", self.image, qcow2)
        with held(qcow2, *WRITTEN):
            self.assert_refused(self.imgtool("compare", self.image, qcow2), "is being written")
            self.imgtool_ok("compare", "-U", self.image, qcow2)
            self.assertEqual(self.imgtool("check", qcow2).code, 1)
            self.imgtool_ok("check", "-U", qcow2)
            self.assertEqual(self.imgtool("check", "--repair", "all", qcow2).code, 1)
            self.assertEqual(self.imgtool("check", "-U", "--repair", "all", qcow2).code, 2)
            self.assert_refused(self.imgtool("create", "-b", qcow2, self.path("top.qcow2")),
                                "is being written")
        with held(self.image, *WRITTEN):
            self.assert_refused(self.imgtool("verify", qcow2, self.image), "is being written")
            self.imgtool_ok("verify", "-U", qcow2, self.image)

    @requires_root
    def test_a_disk_that_a_machine_has(self):
        """QEMU locks a host's device as it locks a file, one that it only reads, too."""
        backing = self.backing_file(4 * MiB)
        disk = self.loop_device(backing)
        before = backing.read_bytes()
        with held(disk, *READ, mode=os.O_RDONLY):
            self.assert_refused(self.imgtool("burn", "--yes", self.source, disk), "in use", disk)
            self.assert_refused(self.imgtool("convert", "-n", "--yes", self.source, disk), "in use")
        self.assertEqual(backing.read_bytes(), before)
        self.imgtool_ok("burn", "--yes", self.source, disk)

    @requires_root
    @requires("qemu-io")
    def test_no_machine_gets_a_disk_that_is_burned(self):
        disk = self.loop_device(4 * MiB)
        job = self.job("burn", self.dense_image(4 * MiB), disk, "--yes", "--rate=512K")
        job.wait_for("write", 1)
        refused = run(["qemu-io", "-f", "host_device", "-c", "write 0 512", disk])
        self.assertNotEqual(refused.code, 0, f"\n{refused!r}")
        self.assertIn("lock", refused.err + refused.out)
        self.assertEqual(job.finish().code, 0)

    def test_what_has_no_force_share_does_not_speak_of_it(self):
        qcow2 = self.path("base.qcow2")
        self.imgtool_ok("convert", "-O", "qcow2", self.image, qcow2)
        with held(qcow2, *WRITTEN):
            for command in (["create", "-b", qcow2, self.path("top.qcow2")],
                            ["resize", qcow2, "+1M"]):
                result = self.imgtool(*command)
                self.assertEqual(result.code, 3, f"\n{result!r}")
                self.assertNotIn("--force-share", result.err)

    def test_info_says_that_it_is_written(self):
        self.assertNotIn("torn", self.imgtool_ok("info", self.image).err)
        with held(self.image, *WRITTEN):
            result = self.imgtool_ok("info", self.image, "--json")
            self.assertIn("torn", result.err)
            self.assertEqual(result.json["virtual-size"], 2 * MiB)

    @requires("qemu-img")
    def test_a_backing_file_that_is_written(self):
        top = self.path("top.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", self.image, "-F", "raw", top)
        with held(self.image, *WRITTEN):
            self.assert_refused(self.imgtool("hash", "--follow-references", top), self.image)

    @requires("qemu-io")
    def test_no_machine_starts_to_write_what_is_read(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        job = self.start_imgtool("convert", self.image, "-", stdout=os.open(fifo, os.O_RDWR))
        self.wait_for_output(fifo)
        refused = run(["qemu-io", "-f", "raw", "-c", "write 0 512", self.image])
        self.assertNotEqual(refused.code, 0, f"\n{refused!r}")
        self.assertIn("lock", refused.err)
        job.kill()
        job.wait()

    def wait_for_output(self, fifo):
        with open(fifo, "rb", buffering=0) as pipe:
            self.assertEqual(len(pipe.read(1)), 1)


if __name__ == "__main__":
    main()
