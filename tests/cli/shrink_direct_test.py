"""shrink and sparsify by the file systems' own programs on this host, each in a box: when that is
done, for whom, and what becomes of it when a program lies, dies or hangs."""
import os
import pathlib
import random
import shutil
import signal
import threading
import time

from guest_testing import GuestDisk, requires_appliance, requires_direct
from imgtool_testing import (IMGTOOL, KiB, MiB, TestCase, check, flip_byte, main, requires,
                             requires_root, run, sha256, wait_until)


@requires_direct
@requires("mkfs.ext4", "sgdisk", "mkfs.btrfs")
class Direct(TestCase):
    def ext4(self):
        """Its files lie behind a gap, so that something has to be moved."""
        path, files = self.zero_image(400 * MiB), self.path("files")
        (files / "a").mkdir(parents=True)
        (files / "a" / "name").write_bytes(os.urandom(3 * MiB))
        check("mkfs.ext4", "-q", "-F", "-d", files, path)
        check("debugfs", "-w", "-R", "write /bin/sh sh", path)
        return path

    def assert_nothing_is_left(self, out):
        self.assertFalse(out.exists())
        self.assertEqual([name for name in os.listdir(self.dir) if "imgtool" in name], [])

    def test_the_plan_says_which_engine_and_why(self):
        path = self.ext4()
        self.assertIn("engine: direct, because what", self.imgtool_ok("shrink", "--plan", path).out)
        document = self.imgtool_ok("sparsify", "--plan", "--json", path).json
        self.assertEqual((document["engine"], document["engine-because"]),
                         ("direct", "what is worked on (ext4) needs no kernel"))

    def test_what_it_cannot_do_is_refused(self):
        disk = GuestDisk(self, 200 * MiB)
        disk.gpt([("8300", 150)])
        pool = self.zero_image(150 * MiB)
        check("mkfs.btrfs", "-q", pool)
        check("dd", f"if={pool}", f"of={disk.path}", "bs=1M", "seek=1", "conv=sparse,notrunc",
              "status=none")
        out = self.path("out.img")
        result = self.imgtool("shrink", "--engine=direct", disk.path, out)
        self.assert_refused(result, "partition 1 (btrfs)", "kernel", "--engine=auto")
        self.assert_nothing_is_left(out)
        # What is kept is not worked on.
        self.imgtool_ok("shrink", "--engine=direct", "--keep=1", disk.path, out)

    def test_it_needs_no_libguestfs(self):
        library = pathlib.Path(IMGTOOL).parent / "libexec/imgtool/imgtool-guest"
        self.assertNotIn("libguestfs", check("ldd", library))

    def test_all_formats_are_checked_where_they_lie(self):
        path = self.ext4()
        for name in ("small.img", "small.qcow2", "small.img.zst"):
            small, raw = self.path(name), self.path()
            result = self.imgtool_ok("shrink", "--engine=direct", path, small)
            self.assertEqual(result.err.count("checking whole disk (ext4)"), 2, result)
            self.imgtool_ok("convert", "-O", "raw", small, raw)
            check("e2fsck", "-fn", raw)

    @requires("mkntfs")
    def test_damaged_file_systems_end_with_one_line(self):
        ntfs, out = self.zero_image(1200 * MiB), self.path("out.img")
        check("mkntfs", "-q", "-F", "-f", ntfs)
        codes = set()
        for path, places, checker in ((self.ext4(), (1024, 3 * MiB), ("e2fsck", "-fn")),
                                      (ntfs, (0, 256 * KiB), ("ntfsresize", "-i", "-f", "-f"))):
            for seed in range(12):
                damaged = self.path()
                check("cp", "--sparse=always", path, damaged)
                chance = random.Random(seed)
                for _ in range(1 + seed * 2):
                    flip_byte(damaged, chance.randrange(*places))
                result = self.imgtool("shrink", "--engine=direct", "--progress=none", damaged, out)
                codes.add(result.code)
                damaged.unlink()
                if result.code == 0:
                    check(*checker, out)
                    out.unlink()
                    continue
                self.assertIn(result.code, (1, 3), result)
                self.assertEqual(result.err.count("\n"), 1, result)
                self.assert_nothing_is_left(out)
        self.assertIn(3, codes)

    @requires_root
    @requires("setpriv")
    def test_it_needs_no_root(self):
        path, folder, programs = self.ext4(), self.path("out"), self.path("programs")
        # Where it was built may be in nobody's reach.
        companions = programs / "libexec/imgtool"
        companions.mkdir(parents=True)
        built = pathlib.Path(IMGTOOL)
        shutil.copy(built, programs)
        shutil.copy(built.parent / "libexec/imgtool/imgtool-guest", companions)
        folder.mkdir()
        os.chmod(folder, 0o777)
        os.chmod(self.dir, 0o755)
        result = run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                      programs / built.name, "shrink", "--engine=direct", path,
                      folder / "small.img", "--json"])
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.json["volumes"][0]["action"], "shrink")
        check("e2fsck", "-fn", folder / "small.img")

    # How a resize2fs begins that answers -P as the real one does.
    MINIMUM = """#!/bin/sh
        test $1 = -P && echo Estimated minimum size of the filesystem: 10000 && exit 0
        exec 2>/dev/null
        """

    # --- what is done by root in a mount namespace that has other files in it ---

    def in_place_of(self, path, content, *args):
        """imgtool, where `path` is a file with this content."""
        other = self.path()
        other.write_text(content)
        other.chmod(0o755)
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"',
                other, path, IMGTOOL, *args]

    @requires_root
    def test_without_fuse_it_says_so(self):
        path, out = self.ext4(), self.path("out.img")
        result = run(self.in_place_of("/dev/fuse", "", "shrink", "--engine=direct", path, out))
        self.assert_refused(result, "cannot be locked up", "FUSE")
        self.assert_nothing_is_left(out)

    @requires_root
    def test_a_program_that_says_all_went_well_and_leaves_damage(self):
        path, out = self.ext4(), self.path("out.img")
        digest = sha256(path)
        lie = self.MINIMUM + "dd if=/bin/sh of=/view/0 bs=4096 seek=1 count=30 conv=notrunc; exit 0"
        for engine in ("direct", "auto"):
            result = run(self.in_place_of("/usr/sbin/resize2fs", lie, "shrink",
                                          f"--engine={engine}", "--progress=none", path, out))
            self.assertEqual(result.code, 1, result)
            self.assertEqual(result.err.count("\n"), 1, result)
            self.assertIn("damaged", result.err)
            self.assert_nothing_is_left(out)
        self.assertEqual(sha256(path), digest)

    @requires_root
    def test_a_folder_that_gets_full_ends_the_work(self):
        path, out = self.ext4(), self.path("out.img")
        more = self.MINIMUM + "yes | dd of=/view/0 bs=1M count=300 iflag=fullblock conv=notrunc"
        result = run(self.in_place_of("/usr/sbin/resize2fs", more, "shrink", "--progress=none",
                                      "--work-dir", self.tmpfs(150 * MiB), path, out))
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertIn("is full", result.err)
        self.assertIn("--work-dir", result.err)
        self.assert_nothing_is_left(out)

    @requires_root
    def test_a_program_that_hangs_ends_with_ctrl_c(self):
        path, out = self.ext4(), self.path("out.img")
        hang = "#!/bin/sh\nwhile :; do sleep 1234.5; done\n"
        process = self.start(self.in_place_of("/usr/sbin/dumpe2fs", hang, "shrink",
                                              "--engine=direct", path, out), stderr=-1)

        def hanging():
            return [word for word in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                    if b"1234.5" in self.read(word)]
        wait_until(hanging, "the program")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(20), 130)
        wait_until(lambda: not hanging(), "its end")
        self.assert_nothing_is_left(out)

    @staticmethod
    def read(path):
        try:
            return path.read_bytes()
        except OSError:
            return b""

    @requires_root
    def test_a_program_that_dies_is_told_by_its_signal(self):
        path, out = self.ext4(), self.path("out.img")
        die = "#!/bin/sh\nkill -SEGV $$\n"
        result = run(self.in_place_of("/usr/sbin/resize2fs", die, "shrink", "--engine=direct",
                                      "--progress=none", path, out))
        self.assertEqual(result.code, 1, result)
        self.assertIn("signal 11", result.err)
        self.assert_nothing_is_left(out)


@requires_root
@requires_appliance
@requires_direct
@requires("mkfs.ext4")
class FallBack(TestCase):
    def test_a_program_that_dies_is_run_once_more_in_the_appliance(self):
        """It is killed from here: the appliance is made of the same program."""
        disk = GuestDisk(self, 600 * MiB)
        disk.make(0, "mkfs.ext4", "-q")
        disk.fill(0)
        files, small = disk.listing(0), self.path("small.img")
        ended = threading.Event()

        def kill_it():
            while not ended.is_set():
                for process in pathlib.Path("/proc").glob("[0-9]*"):
                    words = Direct.read(process / "cmdline").split(b"\0")
                    if words[0] == b"resize2fs" and b"/view/0" in words:
                        os.kill(int(process.name), signal.SIGSEGV)
                        return
                time.sleep(0.001)

        killer = threading.Thread(target=kill_it)
        killer.start()
        self.addCleanup(killer.join)
        self.addCleanup(ended.set)
        result = self.imgtool_ok("shrink", "--verify=quick", disk.path, small, "--json",
                                 timeout=600)
        self.assertEqual(result.json["engine"], "appliance")
        self.assertIn("signal 11", result.json["engine-because"])
        self.assertIn("once more, in the appliance", result.err)
        self.assertEqual(GuestDisk(self, path=small).listing(0), files)


if __name__ == "__main__":
    main()
