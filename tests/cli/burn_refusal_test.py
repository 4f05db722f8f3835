"""imgtool burn refuses what must not be overwritten: exit 3, who holds it and what to do, and not
a byte changed."""
import fcntl
import lzma
import os
import signal
import subprocess
import sys
import termios

from imgtool_testing import (IMGTOOL, MiB, TestCase, check, main, requires, requires_root, run,
                             sha256, unmount, wait_until)
from terminal import Terminal


class RefusalTestCase(TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.dense_image(2 * MiB, "image")

    def assert_refuses(self, target, *words, backing=None, image=None, options=()):
        """As text and as JSON; `backing` (without it the target) keeps its content."""
        backing = backing or target
        before = sha256(backing)
        args = ["burn", image or self.image, target, "--yes", *options]
        self.assert_refused(self.imgtool(*args), target, *words)
        result = self.imgtool(*args, "--json")
        self.assert_refused(result, target, *words)
        error = result.json["error"]
        self.assertEqual((error["kind"], error["path"]), ("refused", str(target)))
        self.assertIn(error["message"], result.err)
        self.assertEqual(sha256(backing), before, "it was written to")


class UsedDisks(RefusalTestCase):
    """Each message names the holder, and what to do about it; done, the burn works."""

    def is_free(self, disk):
        """A mount namespace that another test has just made may hold the disk a moment longer."""
        try:
            os.close(os.open(disk, os.O_RDONLY | os.O_EXCL))
            return True
        except OSError:
            return False

    def assert_works_now(self, disk):
        wait_until(lambda: self.is_free(disk), f"{disk} to be free")
        self.imgtool_ok("burn", self.image, disk, "--yes")
        self.assert_same_content(disk, self.image, 2 * MiB)

    @requires_root
    @requires("mkfs.ext4")
    def test_mounted(self):
        disk = self.loop_device(8 * MiB)
        check("mkfs.ext4", "-q", disk)
        place = self.mount(disk, "-o", "ro")
        self.assert_refuses(disk, f"mounted on {place}", f"umount {place}")
        unmount(place)
        self.assert_works_now(disk)

    @requires_root
    @requires("mkfs.ext4", "unshare")
    def test_mounted_where_only_others_see_it(self):
        disk = self.loop_device(8 * MiB)
        check("mkfs.ext4", "-q", disk)
        place = self.path()
        place.mkdir()
        script = 'mount -o ro "$1" "$2" && echo mounted && read line'
        other = self.start(["unshare", "--mount", "sh", "-c", script, "sh", disk, place],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(other.stdout.readline(), b"mounted\n")
        self.assert_refuses(disk)
        other.communicate(b"\n", timeout=30)
        self.assert_works_now(disk)

    @requires_root
    @requires("mkswap", "swapon")
    def test_swap(self):
        disk = self.loop_device(8 * MiB)
        check("mkswap", disk)
        check("swapon", disk)
        self.addCleanup(run, ["swapoff", disk])
        self.assert_refuses(disk, "swap", f"swapoff {disk}")
        check("swapoff", disk)
        self.assert_works_now(disk)

    @requires_root
    def test_a_loop_device_over_it(self):
        disk = self.loop_device(8 * MiB)
        upper = self.loop_device(disk, direct_io=False)
        self.assert_refuses(disk, upper, f"losetup -d {upper}")
        self.detach(upper)
        self.assert_works_now(disk)

    @requires_root
    @requires("mkfs.ext4")
    def test_another_loop_device_over_the_same_bytes(self):
        backing = self.backing_file(16 * MiB)
        disk = self.loop_device(backing, direct_io=False)
        twin = self.loop_device(backing, direct_io=False)
        result = self.imgtool("burn", self.image, disk, twin, "--yes")
        self.assertEqual(result.code, 2, f"\n{result!r}")
        check("mkfs.ext4", "-q", disk)
        place = self.mount(disk)
        self.assert_refuses(twin, place)
        unmount(place)
        self.assert_works_now(twin)

    @requires_root
    @requires("mkfs.ext4")
    def test_a_loop_device_over_a_disk_in_use(self):
        disk = self.loop_device(16 * MiB, direct_io=False)
        upper = self.loop_device(disk, direct_io=False)
        check("mkfs.ext4", "-q", disk)
        place = self.mount(disk)
        self.assert_refuses(upper, place)

    @requires_root
    def test_loop_devices_over_other_parts_of_a_file(self):
        backing = self.backing_file(16 * MiB)
        front = self.loop_device(backing, sizelimit=8 * MiB)
        back = self.loop_device(backing, offset=8 * MiB)
        self.imgtool_ok("burn", self.image, front, back, "--yes")
        self.assert_same_content(front, back)

    @requires_root
    def test_a_file_behind_a_loop_device(self):
        backing = self.backing_file(8 * MiB)
        disk = self.loop_device(backing)
        self.assert_refuses(backing, disk, options=["--force"])
        self.detach(disk)
        self.imgtool_ok("burn", self.image, backing, "--force")

    @requires_root
    def test_read_only(self):
        backing = self.backing_file(8 * MiB)
        disk = self.loop_device(backing, read_only=True)
        self.assert_refuses(disk, "read-only")

    @requires_root
    def test_held_by_another_process(self):
        disk = self.loop_device(8 * MiB)
        hold = ("import os, sys; os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL); "
                "print(flush=True); input()")
        holder = self.start([sys.executable, "-c", hold, disk], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
        holder.stdout.readline()
        self.assert_refuses(disk, "in use")
        holder.communicate(b"\n", timeout=30)
        self.assert_works_now(disk)

    @requires_root
    def test_open_for_writing_in_another_process(self):
        disk = self.loop_device(8 * MiB)
        with open(disk, "r+b"):
            self.assert_refuses(disk, f"pid {os.getpid()}")
        self.assert_works_now(disk)

    @requires_root
    def test_held_until_verify_ends(self):
        backing = self.backing_file(8 * MiB)
        disk = self.loop_device(backing)
        job = self.job("burn", self.dense_image(7 * MiB), disk, "--yes", "--rate=1M")
        job.wait_for("write", 1)
        result = self.imgtool("burn", self.image, disk, "--yes")
        self.assert_refused(result, disk, str(job.process.pid))
        with self.assertRaises(OSError):
            os.open(disk, os.O_RDONLY | os.O_EXCL)
        self.assertEqual(job.finish().code, 0)


class WrongTargets(RefusalTestCase):
    @requires_root
    def test_too_small(self):
        backing = self.backing_file(8 * MiB)
        disk = self.loop_device(backing, sizelimit=2 * MiB - 512)
        self.assert_refuses(disk, "too small", 2 * MiB, 2 * MiB - 512, backing=backing)

    @requires_root
    def test_no_bytes_at_all(self):
        disk = self.loop_device(self.zero_image(0))
        self.assert_refuses(disk, "too small")

    @requires_root
    def test_one_of_several(self):
        good, small = self.loop_device(4 * MiB), self.loop_device(MiB)
        before = sha256(good)
        result = self.imgtool("burn", self.image, good, small, "--yes")
        self.assert_refused(result, small, "too small")
        self.assertEqual(sha256(good), before)
        new = self.path("new")
        self.assert_refused(self.imgtool("burn", self.image, new, small, "--yes"), small)
        self.assertEqual(list(self.dir.glob("new*")), [])

    def test_neither_a_disk_nor_a_file(self):
        self.assert_refused(self.imgtool("burn", self.image, self.dir, "--force"), self.dir)
        self.assert_refused(self.imgtool("burn", self.image, "/dev/null", "--yes"), "/dev/null")
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        self.assert_refused(self.imgtool("burn", self.image, fifo, "--force"), fifo)

    def test_an_existing_file_needs_force(self):
        target = self.backing_file(4 * MiB)
        before = sha256(target)
        result = self.imgtool("burn", self.image, target, "--yes")
        self.assert_refused(result, target, "--force")
        self.assertEqual(sha256(target), before)

    def test_in_a_directory_that_does_not_exist(self):
        target = self.path("no directory") / "target"
        result = self.imgtool("burn", self.image, target)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn(str(target), result.err)

    def test_a_disk_that_does_not_exist(self):
        """A mistyped name must not become a file in /dev."""
        target = "/dev/imgtool-no-such-disk"
        self.addCleanup(lambda: os.path.exists(target) and os.unlink(target))
        result = self.imgtool("burn", self.image, target, "--yes")
        self.assertIn(result.code, (1, 3), f"\n{result!r}")
        self.assertIn(target, result.err)
        self.assertFalse(os.path.exists(target))

    @requires_root
    def test_twice_the_same(self):
        backing = self.backing_file(4 * MiB)
        disk = self.loop_device(backing)
        node = self.path("node")
        os.mknod(node, 0o600 | 0o060000, os.stat(disk).st_rdev)
        link = self.path("link")
        link.symlink_to(backing)
        new = self.path("new")
        other = f"{self.dir}/../{self.dir.name}/new"
        for first, second in ((disk, disk), (disk, node), (new, new), (new, other)):
            with self.subTest(first=str(first), second=str(second)):
                before = sha256(backing)
                result = self.imgtool("burn", self.image, first, second, "--yes", "--force")
                self.assertIn(result.code, (2, 3), f"\n{result!r}")
                self.assertIn("twice", result.err)
                self.assertEqual(sha256(backing), before)
                self.assertEqual(list(self.dir.glob("new*")), [])
        file = self.backing_file(4 * MiB)
        link.unlink()
        link.symlink_to(file)
        before = sha256(file)
        result = self.imgtool("burn", self.image, file, link, "--force")
        self.assertIn(result.code, (2, 3), f"\n{result!r}")
        self.assertIn("twice", result.err)
        self.assertEqual(sha256(file), before)


class TheImageItself(RefusalTestCase):
    """Nothing may be burned over the image it is read from."""

    def test_under_any_name(self):
        hard, soft = self.path("hard link"), self.path("soft link")
        os.link(self.image, hard)
        soft.symlink_to(self.image)
        for name in (self.image, hard, soft, f"{self.dir}/./image"):
            with self.subTest(str(name)):
                self.assert_refuses(name, "image", options=["--force"])

    def test_from_standard_input(self):
        before = sha256(self.image)
        with open(self.image, "rb") as file:
            result = self.imgtool("burn", "-", self.image, "--force", input=file)
        self.assert_refused(result, self.image)
        self.assertEqual(sha256(self.image), before)

    @requires_root
    def test_the_same_disk(self):
        disk = self.loop_device(4 * MiB)
        self.assert_refuses(disk, image=disk)

    @requires_root
    def test_a_loop_device_that_shows_it(self):
        disk = self.loop_device(self.image)
        self.assert_refuses(disk, self.image)

    @requires_root
    def test_the_file_behind_the_image(self):
        backing = self.backing_file(4 * MiB)
        self.assert_refuses(backing, image=self.loop_device(backing), options=["--force"])

    @requires_root
    @requires("mkfs.ext4")
    def test_on_a_file_system_of_the_target(self):
        disk = self.loop_device(16 * MiB)
        check("mkfs.ext4", "-q", disk)
        place = self.mount(disk)
        image = place / "image"
        image.write_bytes(bytes(MiB))
        check("sync", "-f", image)
        check("mount", "-o", "remount,ro", place)
        self.assert_refuses(disk, place, image=image)


class Serial(RefusalTestCase):
    @requires_root
    def test_a_disk_with_another_serial(self):
        disk = self.loop_device(4 * MiB)
        self.assert_refuses(disk, "serial", "S5Y2NX0R", options=["--expect-serial=S5Y2NX0R"])

    def test_a_file_has_none(self):
        target = self.path("target")
        result = self.imgtool("burn", self.image, target, "--expect-serial=S5Y2NX0R")
        self.assert_refused(result, target, "S5Y2NX0R")
        self.assertEqual(list(self.dir.glob("target*")), [])


    @requires_root
    @requires("strace", "unshare")
    def test_of_the_disk_that_was_opened(self):
        """The number is asked for again once the disk is held: another one may have the name."""
        disk = self.loop_device(4 * MiB)
        number = os.stat(disk).st_rdev
        device = self.path("sys") / "block" / "sda"
        (device / "device").mkdir(parents=True)
        (device / "dev").write_text(f"{os.major(number)}:{os.minor(number)}\n")
        (device / "size").write_text(f"{4 * MiB // 512}\n")
        # A /sys of its own, which is changed while the opening waits: strace writes a call down
        # when it begins, which is before the delay.
        script = f"""mount --bind {self.dir}/sys /sys || exit 99
            cd {device}/device; echo GOOD1 >serial; echo $1 >next; : >log
            (until grep -q openat log; do sleep 0.05; done; mv next serial) &
            exec strace -f -qq -o log -P {disk} -e trace=openat \
              -e inject=openat:delay_enter=3000000 \
              "$2" burn "$3" {disk} --yes --expect-serial=GOOD1"""
        before = sha256(disk)
        for serial, code in (("BAD2", 3), ("GOOD1", 0)):
            result = run(["unshare", "-m", "sh", "-c", script, "sh", serial, IMGTOOL, self.image],
                         env={"ASAN_OPTIONS": "detect_leaks=0"})
            self.assertEqual(result.code, code, f"\n{result!r}")
            if code == 3:
                self.assert_refused(result, disk, "BAD2", "GOOD1")
                self.assertEqual(sha256(disk), before)


class Nameless(RefusalTestCase):
    def burn_to_descriptor(self, remove, *options):
        script = f"""exec 3<>"$2"; {remove}
            exec "$0" burn "$1" /proc/self/fd/3 --json {' '.join(options)}"""
        target = self.path("target")
        target.write_bytes(b"x" * 5000)
        return run(["sh", "-c", script, IMGTOOL, self.image, target]), target

    def test_a_file_that_was_deleted_gets_a_clear_line(self):
        for options in ([], ["--force"]):
            with self.subTest(options=options):
                result, target = self.burn_to_descriptor('rm "$2"', *options)
                self.assert_refused(result, "/proc/self/fd/3", "was deleted", "name a file")
                self.assertFalse(target.exists())

    def test_a_descriptor_of_a_file_that_is_there_is_that_file(self):
        result, target = self.burn_to_descriptor("true", "--force")
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual(target.read_bytes(), self.image.read_bytes())


class Unanswered(RefusalTestCase):
    """A device of which the kernel does not tell all: reading a process's memory at 0 is EIO."""

    def setUp(self):
        super().setUp()
        self.process = self.start(["sleep", "1000"])

    def burn(self, disk, broken):
        script = """mount --bind "$4" "$1" || exit 99
            exec "$0" burn "$2" "$3" --yes --json"""
        return run(["unshare", "-m", "sh", "-c", script, IMGTOOL, broken, self.image, disk,
                    f"/proc/{self.process.pid}/mem"])

    @requires_root
    @requires("unshare")
    def test_counts_when_it_is_the_target_and_is_a_note_when_not(self):
        backing = self.backing_file(4 * MiB)
        disk, other = self.loop_device(backing), self.loop_device(8 * MiB)
        before = sha256(backing)
        for attribute in ("size", "dev", "loop/backing_file"):
            with self.subTest(attribute=attribute):
                own, others = (f"/sys/block/{os.path.basename(name)}/{attribute}"
                               for name in (disk, other))
                result = self.burn(disk, own)
                self.assert_refused(result, disk, "cannot be told", own.removeprefix("/sys/block"),
                                    "Input/output error")
                self.assertEqual(sha256(backing), before)
                result = self.burn(disk, others)
                self.assertEqual(result.code, 0, f"\n{result!r}")
                self.assertIn(f"note: not everything can be told of {other}", result.err)
                self.assert_same_content(disk, self.image, 2 * MiB)
                check("dd", "if=/dev/zero", f"of={disk}", "bs=1M", "count=4", "status=none")
                before = sha256(backing)


class Confirmation(RefusalTestCase):
    def setUp(self):
        super().setUp()
        self.backing = self.backing_file(4 * MiB)
        if os.geteuid() == 0:
            self.disk = self.loop_device(self.backing)
        self.before = sha256(self.backing)

    def burn_on_a_terminal(self, *options):
        terminal = Terminal(self)
        process = self.start([IMGTOOL, "burn", self.image, self.disk, *options],
                             **terminal.streams())
        return terminal, process

    def assert_untouched(self):
        self.assertEqual(sha256(self.backing), self.before)

    @requires_root
    def test_without_a_terminal_needs_yes(self):
        self.assert_refused(self.imgtool("burn", self.image, self.disk), "--yes")
        self.assert_refused(self.imgtool("burn", self.image, self.disk, input=b"yes\n"), "--yes")
        result = self.imgtool("burn", self.image, self.disk, "--json")
        self.assertEqual((result.code, result.json["error"]["kind"]), (3, "refused"))
        result = self.imgtool("burn", "-", self.disk, input=self.image.read_bytes())
        self.assert_refused(result, "--yes")
        self.assert_untouched()

    def test_a_file_needs_no_confirmation(self):
        self.imgtool_ok("burn", self.image, self.path())
        self.imgtool_ok("burn", self.image, self.backing_file(4 * MiB), "--force")

    @requires_root
    def test_yes(self):
        terminal, process = self.burn_on_a_terminal()
        terminal.wait_for("yes to go on")
        question = terminal.text
        for fact in (self.disk, "serial", "4.0 MiB"):
            self.assertIn(fact, question)
        self.assert_untouched()
        terminal.type("yes\n")
        self.assertEqual(terminal.finish(process), 0, terminal.text)
        self.assert_same_content(self.backing, self.image, 2 * MiB)

    @requires_root
    def test_anything_else(self):
        for answer in ("no\n", "\n", "y\n", "YES please\n", "yes!\n", "\x04"):
            with self.subTest(answer):
                terminal, process = self.burn_on_a_terminal()
                terminal.wait_for("yes to go on")
                terminal.type(answer)
                self.assertEqual(terminal.finish(process), 3, terminal.text)
                self.assertIn("not confirmed", terminal.text)
                self.assert_untouched()

    @requires_root
    def test_what_was_typed_before_the_question_is_no_answer(self):
        terminal = Terminal(self)
        terminal.type("yes\n")
        process = self.start([IMGTOOL, "burn", self.image, self.disk], **terminal.streams())
        terminal.wait_for("yes to go on")
        self.assertIsNone(process.poll())
        self.assert_untouched()
        terminal.type("no\n")
        self.assertEqual(terminal.finish(process), 3, terminal.text)
        self.assert_untouched()

    @requires_root
    @requires("xzcat")
    def test_a_pipe_is_asked_about_on_the_terminal_behind_it(self):
        packed = self.path("image.xz")
        packed.write_bytes(lzma.compress(self.image.read_bytes(), preset=0))
        for answer, code in (("no\n", 3), ("yes\n", 0)):
            terminal = Terminal(self)
            unpacker = self.start(["xzcat", packed], stdout=subprocess.PIPE)
            # Its own terminal is not on standard input.
            streams = {**terminal.streams(), "stdin": unpacker.stdout,
                       "preexec_fn": lambda: fcntl.ioctl(1, termios.TIOCSCTTY, 0)}
            process = self.start([IMGTOOL, "burn", "-", self.disk], **streams)
            unpacker.stdout.close()
            terminal.wait_for("yes to go on")
            self.assert_untouched()
            terminal.type(answer)
            self.assertEqual(terminal.finish(process), code, terminal.text)
        self.assert_same_content(self.backing, self.image, 2 * MiB)

    @requires_root
    def test_without_root_it_says_sudo(self):
        os.chmod(self.dir, 0o755)
        process = self.start([IMGTOOL, "burn", "--yes", "-", self.disk], user=65534, group=65534,
                             extra_groups=[], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        _, err = process.communicate(self.image.read_bytes(), timeout=60)
        self.assertEqual(process.returncode, 3, err)
        self.assertIn(b"sudo", err)
        self.assert_untouched()

    @requires_root
    def test_ctrl_c_at_the_question(self):
        terminal, process = self.burn_on_a_terminal()
        terminal.wait_for("yes to go on")
        terminal.type("\x03")
        self.assertEqual(terminal.finish(process), 128 + signal.SIGINT, terminal.text)
        self.assert_untouched()

    @requires_root
    def test_the_terminal_goes_away_at_the_question(self):
        terminal, process = self.burn_on_a_terminal()
        terminal.wait_for("yes to go on")
        terminal.hang_up()
        self.assertIn(process.wait(30), (3, 128 + signal.SIGHUP))
        self.assert_untouched()

    @requires_root
    def test_one_question_for_all_disks(self):
        other = self.loop_device(4 * MiB)
        terminal, process = self.burn_on_a_terminal(other)
        terminal.wait_for("yes to go on")
        self.assertIn(self.disk, terminal.text)
        self.assertIn(other, terminal.text)
        terminal.type("yes\n")
        self.assertEqual(terminal.finish(process), 0, terminal.text)
        self.assert_same_content(other, self.image, 2 * MiB)


if __name__ == "__main__":
    main()
