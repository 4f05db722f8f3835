"""What shrink refuses before it launches anything, each with the way on. Nothing is made then."""
import os

import guest_testing
from guest_testing import GuestDisk
from imgtool_testing import KiB, MiB, TestCase, check, main, requires, requires_root, run, sha256


@requires("mkfs.ext4", "sgdisk")
class Refusal(TestCase):
    def ext4(self, *options):
        path = self.zero_image(64 * MiB)
        check("mkfs.ext4", "-q", "-F", *options, path)
        return path

    def refused(self, source, *words, options=()):
        digest = sha256(source)
        out = self.path("out.img")
        result = self.imgtool("shrink", *options, source, out)
        self.assert_refused(result, *words)
        self.assertFalse(out.exists())
        self.assertEqual(sha256(source), digest)
        left = [name for name in os.listdir(self.dir) if "imgtool" in name]
        self.assertEqual(left, [])

    @requires_root
    def test_a_source_that_a_loop_device_shows(self):
        path = self.ext4()
        device = self.loop_device(path, direct_io=False)
        self.refused(path, "in use", device, "losetup -d")

    @requires("qemu-io")
    def test_a_source_that_a_virtual_machine_writes_to(self):
        path = self.ext4()
        machine = self.start(["qemu-io", "-f", "raw", path], stdin=-1, stdout=-1, stderr=-1)
        machine.stdin.write(b"read 0 512\n")
        machine.stdin.flush()
        while b"ops" not in machine.stdout.readline():
            self.assertIsNone(machine.poll())
        self.refused(path, "virtual machine", "stop that first")

    def test_ext4_that_is_damaged(self):
        path = self.ext4()
        check("debugfs", "-w", "-R", "ssv state 2", path)
        self.refused(path, "errors", "e2fsck")

    @requires("mkntfs")
    def test_windows_that_was_not_shut_down(self):
        path = self.zero_image(64 * MiB)
        check("mkntfs", "-q", "-F", "-f", path)
        result = run(["ntfsfix", path])
        self.assertEqual(result.code, 0, result)
        self.refused(path, "chkdsk", "powercfg /h off")

    def test_bitlocker(self):
        path = self.zero_image(64 * MiB)
        with open(path, "r+b") as file:
            file.write(b"\xeb\x58\x90-FVE-FS-")
            file.seek(510)
            file.write(b"\x55\xaa")
        self.refused(path, "BitLocker", "manage-bde -off")

    def test_a_hibernated_linux(self):
        disk = GuestDisk(self, 64 * MiB)
        disk.gpt([("8300", 20), ("8200", 20)])
        start = disk.range(2)[0]
        with open(disk.path, "r+b") as file:
            file.seek(start + 4086)
            file.write(b"S1SUSPEND\0")
        self.refused(disk.path, "partition 2", "hibernated", "shut it down",
                     "--drop-swap-content")
        # What is to stay as it is cannot be dropped.
        self.refused(disk.path, "partition 2", "hibernated",
                     options=["--drop-swap-content", "--keep", "2"])

    @requires("qemu-img")
    def test_snapshots(self):
        path = self.path("a.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", path, "64M")
        check("qemu-img", "snapshot", "-c", "before", path)
        self.refused(path, "1 internal snapshot", "convert")

    @requires("gzip")
    def test_formats_that_qemu_does_not_read(self):
        path = self.ext4()
        check("gzip", path)
        self.refused(f"{path}.gz", "convert")

    def test_a_damaged_partition_table(self):
        disk = GuestDisk(self, 64 * MiB)
        disk.gpt([("8300", 20)])
        with open(disk.path, "r+b") as file:
            for offset in (512, 64 * MiB - 512):
                file.seek(offset + 0x18)
                file.write(b"\xff")
        self.refused(disk.path, "partition table", "repair it")

    def test_names_that_an_image_holds(self):
        base = self.ext4()
        path = self.path("thin.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path)
        self.refused(path, "--follow-references")

    def test_a_partition_that_is_not_there(self):
        self.refused(self.ext4(), "no partition 7", options=["--keep", "7"])

    def test_an_output_that_exists_or_is_no_file(self):
        path, out = self.ext4(), self.zero_image(4 * KiB)
        self.assert_refused(self.imgtool("shrink", path, out), "exists already", "--force")
        self.assert_refused(self.imgtool("shrink", "--force", path, "/dev/null"),
                            "not a regular file")

    def test_wrong_usage(self):
        path = self.ext4()
        for arguments in ([path], ["--slack=1M", "--minimal", path, "x"], [path, "-"]):
            result = self.imgtool("shrink", *arguments)
            self.assertEqual(result.code, 2, result)

    def test_options_are_understood_before_the_appliance_is_launched(self):
        path, empty = self.ext4(), self.path("empty")
        empty.mkdir()  # with which a launch fails with another code
        key = self.path("key")
        key.write_bytes(b"a key")
        for options, out, word in ((["-c"], "x.img", "-c: raw images"),
                                   (["-o", "foo=bar"], "x.qcow2", "-o foo"),
                                   (["-o", "cluster_size=3"], "x.qcow2", "cluster_size"),
                                   (["-o", "extended_l2=on,cluster_size=512"], "x.qcow2", "16K"),
                                   (["-o", "backing_file=a"], "x.qcow2", "-o backing_file"),
                                   (["-o", "backing_fmt=raw"], "x.qcow2", "-o backing_fmt"),
                                   (["--keep", "abc"], "x.img", "--keep: 'abc'"),
                                   (["--keep=0", f"--key=0:{key}"], "x.img", "exclude"),
                                   ([], "", "DST is empty")):
            for command in ("shrink", "sparsify"):
                with self.subTest(f"{command} {options} {out}"):
                    result = self.imgtool(command, "--fixed-appliance", empty, *options, path,
                                          self.path(out) if out else "")
                    self.assertEqual(result.code, 2, result)
                    self.assertEqual(result.err.count("\n"), 1, result)
                    self.assertIn(word, result.err)
        with open(path, "rb") as file:
            result = self.imgtool("shrink", "--plan", "-", input=file)
        self.assertEqual(result.code, 2, result)
        self.assertIn("SRC", result.err)

    def test_an_output_that_is_the_source_or_has_no_folder(self):
        path, empty = self.ext4(), self.path("empty")
        empty.mkdir()
        self.assert_refused(self.imgtool("shrink", "--force", "--fixed-appliance", empty, path,
                                         path), path)
        result = self.imgtool("shrink", "--work-dir", self.dir, path, self.path("no") / "x.img")
        self.assertEqual(result.code, 1, result)
        self.assertIn("No such file", result.err)

    def test_keys_of_nothing(self):
        path, key = self.ext4(), self.path("key")
        key.write_bytes(b"a key")
        self.refused(path, "no partition 7", "--key", options=["--key", f"7:{key}"])
        self.refused(path, "no such", "No such file", options=["--key", "no such"])
        self.refused(path, "larger than 8 MiB", options=["--key", "/dev/zero"])

    def test_an_appliance_that_is_not_there(self):
        empty = self.path("empty")
        empty.mkdir()
        out = self.path("out.img")
        result = self.imgtool("shrink", "--engine=appliance", "--fixed-appliance", empty, self.ext4(),
                              out)
        self.assertEqual(result.code, 1, result)
        self.assertIn("--fixed-appliance", result.err)
        self.assertIn("libguestfs", result.err)
        self.assertFalse(out.exists())


assert guest_testing.os.environ["LIBGUESTFS_BACKEND_SETTINGS"]

if __name__ == "__main__":
    main()
