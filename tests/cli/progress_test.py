"""Progress as people and programs meet it: terminals narrow, wide and gone, pipes, JSON, SIGUSR1."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from imgtool_testing import IMGTOOL, KiB, MiB, TestCase, main, sha256, wait_until

CONTROL = re.compile(r"\r|\x1b\[\d*[AJK]")


class Terminal:
    """A pseudo terminal of a given width; imgtool gets its other end as standard error."""

    def __init__(self, test, columns):
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.shown = ""
        self._open = True
        test.addCleanup(self.hang_up)

    def read(self, timeout=0.1):
        """Takes in what was written; False at the end."""
        if select.select([self.master], [], [], timeout)[0]:
            try:
                self.shown += os.read(self.master, 65536).decode()
            except OSError:
                return False
        return True

    def read_until(self, text):
        wait_until(lambda: self.read() and text in self.shown, f"{text!r} on the terminal")

    def lines(self):
        return [line for line in CONTROL.sub("\n", self.shown).split("\n") if line]

    def hang_up(self):
        if self._open:
            self._open = False
            os.close(self.master)
            os.close(self.slave)


class Progress(TestCase):
    def setUp(self):
        super().setUp()
        self.image = self.dense_image(6 * MiB)
        self.target = self.path("target.img")

    def slow_burn(self, *options, **popen):
        """A burn that takes about two seconds."""
        return self.start_imgtool("burn", self.image, self.target, "--chunk", 64 * KiB, "--rate",
                                  3 * MiB, *options, **popen)

    def burn_on(self, terminal, *options, **popen):
        return self.slow_burn(*options, stderr=terminal.slave, stdin=subprocess.DEVNULL,
                              env={**os.environ, "TERM": "xterm"}, **popen)

    def assert_burned(self, process):
        self.assertEqual(process.wait(60), 0)
        self.assertEqual(sha256(self.target), sha256(self.image))

    def test_bar_fits_terminals_of_any_width(self):
        for columns in (40, 80, 200):
            with self.subTest(columns):
                terminal = Terminal(self, columns)
                process = self.burn_on(terminal, "--force")
                while process.poll() is None:
                    terminal.read()
                self.assert_burned(process)
                terminal.read()
                self.assertLess(max(map(len, terminal.lines())), columns)
                self.assertRegex(terminal.shown, r"write +\d+% .*(MiB|KiB)/s +(ETA )?0:0\d")
                for phase in ("write", "verify"):
                    self.assertRegex(terminal.shown, phase + " +100%")
                # The cursor ends at the start of the line below the bar.
                self.assertTrue(terminal.shown.endswith("\n\x1b[J"), repr(terminal.shown[-80:]))

    def test_100_percent_means_that_the_phase_is_over(self):
        terminal = Terminal(self, 80)
        process = self.burn_on(terminal)
        while process.poll() is None:
            terminal.read()
        shares = re.findall(r"(write|verify) +(\d+)%", terminal.shown)
        self.assertEqual(shares[0], ("write", "0"))
        for before, after in zip(shares, shares[1:]):
            if before[1] == "100":
                self.assertIn(after[1], ("0", "100"))

    def test_a_lost_terminal_does_not_stop_the_burn(self):
        terminal = Terminal(self, 80)
        process = self.burn_on(terminal)
        terminal.read_until("write")
        terminal.hang_up()
        self.assert_burned(process)

    def test_a_hang_up_of_its_own_terminal_stops_the_burn(self):
        terminal = Terminal(self, 80)

        def own_terminal():
            os.setsid()
            fcntl.ioctl(terminal.slave, termios.TIOCSCTTY, 0)

        process = self.burn_on(terminal, preexec_fn=own_terminal)
        terminal.read_until("write")
        terminal.hang_up()
        self.assertEqual(process.wait(60), 128 + signal.SIGHUP)

    def test_a_stopped_terminal_does_not_hold_up_the_burn(self):
        terminal = Terminal(self, 80)
        process = self.burn_on(terminal)
        terminal.read_until("write")
        termios.tcflow(terminal.slave, termios.TCOOFF)  # Ctrl-S
        wait_until(lambda: self.target.exists() and sha256(self.target) == sha256(self.image),
                   "the burn")
        termios.tcflow(terminal.slave, termios.TCOON)
        self.assert_burned(process)

    def test_a_pipe_gets_no_control_characters(self):
        process = self.slow_burn("--progress=auto")
        _, err = process.communicate(timeout=60)
        self.assert_burned(process)
        self.assertNotRegex(err.decode(), r"[\x1b\r]")

    def test_sigusr1_prints_a_line_in_any_mode(self):
        for mode in ("none", "plain", "json", "auto"):
            with self.subTest(mode):
                self.target = self.path(f"{mode}.img")
                process = self.slow_burn("--progress", mode)
                wait_until(lambda: self.target.exists() or any(self.dir.glob(f"*{mode}*")),
                           "the target")
                time.sleep(0.5)
                process.send_signal(signal.SIGUSR1)
                _, err = process.communicate(timeout=60)
                self.assert_burned(process)
                self.assertEqual(len(re.findall(
                    r"(?m)^imgtool: .*\.img: write \d+%, .* of .*, .*/s, (?:ETA|for) \d:\d\d$",
                    err.decode())), 1, err)

    def test_json_lines(self):
        process = self.slow_burn("--progress=json", "--verify=full")
        _, err = process.communicate(timeout=60)
        self.assert_burned(process)
        lines = [json.loads(line) for line in err.decode().splitlines()]
        for line in lines:
            self.assertEqual(list(line), ["phase", "target", "done", "total", "rate", "eta_s"])
            self.assertEqual(line["target"], str(self.target))
            if line["total"] is not None:
                self.assertLessEqual(line["done"], line["total"])
        phases = [line["phase"] for line in lines]
        self.assertEqual(phases[0], "write")
        self.assertTrue({"write", "flush", "verify"} <= set(phases), phases)
        self.assertLessEqual(len(lines), 4 * 4 + 2 * 12)

    def test_json_goes_to_the_descriptor_that_was_asked_for(self):
        reader, writer = os.pipe()
        process = self.slow_burn("--progress=json", "--progress-fd", writer, pass_fds=[writer])
        os.close(writer)
        with open(reader, encoding="utf-8") as lines:
            phases = {json.loads(line)["phase"] for line in lines}
        _, err = process.communicate(timeout=60)
        self.assert_burned(process)
        self.assertIn("verify", phases)
        self.assertEqual(err, b"")

    def test_a_reader_that_does_not_read_does_not_hold_up_the_burn(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(writer, False)
        os.write(writer, b" " * 4096)
        os.set_blocking(writer, True)
        process = self.slow_burn("--progress=json", "--progress-fd", writer, pass_fds=[writer])
        os.close(writer)
        self.assert_burned(process)

    def test_a_descriptor_that_is_not_open_is_refused(self):
        result = self.imgtool("burn", self.image, self.target, "--progress-fd", 99)
        self.assertEqual(result.code, 2)
        self.assertIn("--progress-fd: descriptor 99 is not open for writing", result.err)
        self.assertFalse(self.target.exists())


if __name__ == "__main__":
    main()
