"""A terminal for a program under test: what it shows, what is typed, and how it goes away."""
import fcntl
import os
import pty
import select
import struct
import termios
import time


class Terminal:
    """A pseudo terminal. Start a program on it with `test.start(args, **terminal.streams())`."""

    def __init__(self, test, columns=80, rows=24):
        self._master, self._slave = pty.openpty()
        self.text = ""  # all that was shown so far
        self.resize(columns, rows)
        test.addCleanup(self.hang_up)

    def resize(self, columns, rows=24):
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def streams(self):
        """Arguments for Popen: the program gets the terminal as its own, on all three streams."""
        return {"stdin": self._slave, "stdout": self._slave, "stderr": self._slave,
                "start_new_session": True, "preexec_fn": self._make_controlling}

    def _make_controlling(self):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def type(self, text):
        os.write(self._master, text.encode())

    def read(self, seconds=0.05):
        """Waits so long for more to be shown; returns all that was shown so far."""
        while self._master is not None and select.select([self._master], [], [], seconds)[0]:
            try:
                self.text += os.read(self._master, 1 << 16).decode(errors="replace")
            except OSError:  # the other side is closed
                break
        return self.text

    def wait_for(self, text, timeout=60):
        end = time.monotonic() + timeout
        while text not in self.read():
            if time.monotonic() > end:
                raise AssertionError(f"waited {timeout} s for {text!r} on a terminal that shows:\n"
                                     f"{self.text}")

    def finish(self, process, timeout=120):
        """Reads until the program ends; returns its exit code."""
        end = time.monotonic() + timeout
        while process.poll() is None:
            self.read()
            if time.monotonic() > end:
                raise AssertionError(f"still running after {timeout} s:\n{self.text}")
        self.read()
        return process.returncode

    def hang_up(self):
        """The terminal goes away: its programs get SIGHUP, reads end, writes fail."""
        for fd in (self._master, self._slave):
            if fd is not None:
                os.close(fd)
        self._master = self._slave = None


def screen(text, columns, rows=24):
    """The lines that a terminal shows after it got `text`: enough of one for progress bars."""
    lines, row, column, position = [""], 0, 0, 0
    while position < len(text):
        character = text[position]
        position += 1
        if character == "\x1b":
            begin = position + 1  # behind "["
            position = begin
            while text[position].isdigit():
                position += 1
            count, kind = int(text[begin:position] or 1), text[position]
            position += 1
            if kind == "A":
                row = max(0, row - count)
            elif kind == "K":
                lines[row] = lines[row][:column]
            elif kind == "J":
                lines[row] = lines[row][:column]
                del lines[row + 1:]
            else:
                raise AssertionError(f"unknown sequence ESC[{count}{kind}")
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
        else:
            if column == columns:
                row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
            lines[row] = lines[row][:column].ljust(column) + character + lines[row][column + 1:]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return [line.rstrip() for line in lines]
