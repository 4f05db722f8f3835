"""What the command line tests share.

    from imgtool_testing import MiB, TestCase, main, requires_root, sha256

    class Burn(TestCase):
        @requires_root
        def test_fills_a_4kn_disk(self):
            image = self.dense_image(8 * MiB)
            disk = self.loop_device(8 * MiB, sector_size=4096)
            result = self.imgtool("burn", image, disk, "--yes", "--json")
            self.assertEqual(result.code, 0, result.err)
            self.assertEqual(sha256(disk), sha256(image))

    if __name__ == "__main__":
        main()

The binary under test is $IMGTOOL. Files, loop devices, mounts and processes made through a
TestCase are gone when the test ends, whatever its outcome. Sizes and offsets are bytes.
"""
import contextlib
import glob
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

KiB = 1024
MiB = 1024 * KiB
GiB = 1024 * MiB

IMGTOOL = os.environ.get("IMGTOOL", "imgtool")
SUPPORT = pathlib.Path(__file__).resolve().parent
os.environ["PATH"] += os.pathsep + "/usr/sbin" + os.pathsep + "/sbin"


def scratch_folder():
    """$TMPDIR, else memory where there is room: a slow disk makes the tests five times slower."""
    memory = "/dev/shm"
    if "TMPDIR" in os.environ or not os.access(memory, os.W_OK):
        return None
    return memory if shutil.disk_usage(memory).free >= 8 * GiB else None


tempfile.tempdir = scratch_folder()
requires_root = unittest.skipUnless(os.geteuid() == 0, "needs root")


def requires(*programs):
    """Skips a test or class, by name, where one of these programs is not installed."""
    if "root" in programs:
        raise ValueError("root is no program: requires_root")
    missing = [program for program in programs if shutil.which(program) is None]
    return unittest.skipIf(missing, "needs " + ", ".join(missing))


class Result:
    """How a run ended: `code` (negative for a signal, as subprocess says it), `out`, `err`."""

    def __init__(self, args, code, out, err):
        self.args = args
        self.code = code
        self.out_bytes = out
        self.err = err.decode(errors="replace")

    @property
    def out(self):
        return self.out_bytes.decode(errors="replace")

    @property
    def json(self):
        """Standard output as one JSON document; anything else on it is an error."""
        return json.loads(self.out_bytes)

    @property
    def json_lines(self):
        """Standard error's JSON progress lines."""
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]

    def __repr__(self):
        words = " ".join(map(str, self.args))
        return f"$ {words}\nexit {self.code}\n--- out\n{self.out[-4000:]}\n--- err\n{self.err[-4000:]}"


def run(args, input=b"", env=None, timeout=300, cwd=None):
    """Runs any command. `input` is bytes or an open file; `env` is added to the environment."""
    source = {"stdin": input} if hasattr(input, "fileno") else {"input": input}
    done = subprocess.run([str(arg) for arg in args], **source, capture_output=True,
                          timeout=timeout, env={**os.environ, **(env or {})}, cwd=cwd)
    return Result(args, done.returncode, done.stdout, done.stderr)


def check(*args):
    """Runs a command that must succeed; returns its standard output without the last newline."""
    result = run(args)
    if result.code != 0:
        raise AssertionError(f"a helper command failed: {result!r}")
    return result.out.rstrip("\n")


def sha256(path, length=None):
    """Digest of a file or device, or of its first `length` bytes."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        left = sys.maxsize if length is None else length
        while left and (block := file.read(min(left, MiB))):
            digest.update(block)
            left -= len(block)
    return digest.hexdigest()


def random_bytes(size, seed=1):
    """Bytes that look random, the same ones each time."""
    return random.Random(seed).randbytes(size)


def differing_offset(left, right, length=None):
    """Where two files or devices first differ within `length` bytes (without it, to the longer
    one's end); None where they do not. Skips what is a hole in both, so large sparse files are
    cheap."""
    with open(left, "rb") as a, open(right, "rb") as b:
        ends = a.seek(0, os.SEEK_END), b.seek(0, os.SEEK_END)
        if length is None and ends[0] != ends[1]:
            return min(ends)
        offset, end = 0, min(ends) if length is None else length
        while (offset := min(_next_data(a, offset), _next_data(b, offset))) < end:
            size = min(MiB - offset % MiB, end - offset)
            pieces = os.pread(a.fileno(), size, offset), os.pread(b.fileno(), size, offset)
            if pieces[0] != pieces[1]:
                same = len(os.path.commonprefix(pieces))
                return offset + same
            if len(pieces[0]) < size:
                return offset + len(pieces[0])  # both end before `length`
            offset += size
    return None


def _next_data(file, offset):
    try:
        return os.lseek(file.fileno(), offset, os.SEEK_DATA)
    except OSError:  # nothing but a hole up to the end
        return sys.maxsize


def flip_byte(path, offset):
    """Changes one byte of a file in place."""
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


def engines():
    """The values of --io-engine that this build has. A kernel that forbids io_uring counts as
    having it: then the tests fail and say why."""
    result = run([IMGTOOL, "hash", "--io-engine=uring", os.devnull])
    return ["threads"] if "build has no io_uring" in result.err else ["threads", "uring"]


def is_sanitized():
    """Whether the binary under test was built with a sanitizer, whose memory and speed say
    nothing about imgtool's own."""
    with open(IMGTOOL, "rb") as file:
        content = file.read()
    return b"__asan_init" in content or b"__tsan_init" in content


@contextlib.contextmanager
def processor_time():
    """What programs that end within it take of the processor, which other programs change little:

        with processor_time() as seconds:
            self.imgtool_ok("info", image)
        self.assertLess(seconds(), 1)
    """
    def taken():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    before, after = taken(), []
    yield lambda: after[0] - before
    after.append(taken())


def wait_until(condition, what, timeout=30):
    """Polls until condition() is true and returns its value; fails the test naming `what`."""
    end = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.01)
    return value


def unmount(*directories):
    """Other programs that look at all that is mounted may hold a file system for a moment."""
    for directory in directories:
        wait_until(lambda place=directory: run(["umount", place]).code == 0,
                   f"umount {directory}")


class TestCase(unittest.TestCase):
    """A test with a directory of its own (`self.dir`) and things that clean up after themselves."""

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-test-"))
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.names = 0
        self.attached = set()  # loop devices

    def path(self, name=None):
        """A path in the test's directory; without a name, a new one each time."""
        self.names += 1
        return self.dir / (name or f"file{self.names}")

    def dir_in(self, folder):
        """A new directory in another file system."""
        name = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-test-", dir=folder))
        self.addCleanup(shutil.rmtree, name, ignore_errors=True)
        return name

    # --- imgtool ---

    def imgtool(self, *args, **options):
        """Runs imgtool to its end; options as for run()."""
        return run([IMGTOOL, *args], **options)

    def imgtool_ok(self, *args, **options):
        """As imgtool(), and it must exit with 0."""
        result = self.imgtool(*args, **options)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        return result

    def traced_imgtool(self, expressions, *args, log=os.devnull):
        """Runs imgtool under strace, whose `expressions` (its -e) choose the system calls that
        get into `log`, or let them fail, or send a signal at one of them."""
        chosen = [word for expression in expressions for word in ("-e", expression)]
        # LeakSanitizer cannot work while strace traces the process.
        return run(["strace", "-f", "-qq", "-o", log, *chosen, IMGTOOL, *args],
                   env={"ASAN_OPTIONS": "detect_leaks=0"})

    def start_imgtool(self, *args, **options):
        """Starts imgtool and returns the Popen (pipes on all three); killed when the test ends."""
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                   **options}
        return self.start([IMGTOOL, *args], **options)

    def start(self, args, **options):
        process = subprocess.Popen([str(arg) for arg in args], **options)
        self.addCleanup(self._end, process)
        return process

    def job(self, *args, **options):
        """Starts imgtool and follows its progress; see Job."""
        return Job(self, args, **options)

    def assert_refused(self, result, *words):
        """Exit 3 and one line that has all of `words` in it."""
        self.assertEqual(result.code, 3, f"\n{result!r}")
        lines = [line for line in result.err.splitlines() if not line.startswith("{")]
        self.assertEqual(len(lines), 1, f"\n{result!r}")
        for word in words:
            self.assertIn(str(word), lines[0])

    def assert_same_content(self, left, right, length=None):
        """Two files or devices hold the same bytes, all of them or the first `length`."""
        offset = differing_offset(left, right, length)
        self.assertIsNone(offset, f"{left} and {right} differ at offset {offset}")

    @staticmethod
    def _end(process):
        if process.poll() is None:
            process.kill()
        process.wait(30)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    # --- images ---

    def dense_image(self, size, name=None, seed=1):
        """Random bytes throughout."""
        path = self.path(name)
        generator = random.Random(seed)
        with open(path, "wb") as file:
            for offset in range(0, size, MiB):
                file.write(generator.randbytes(min(MiB, size - offset)))
        return path

    def half_sparse_image(self, size, name=None, seed=1, run=MiB):
        """Runs of data and of nothing, in turn: data, hole, data, stored zeros, data, hole ..."""
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
            for index, offset in enumerate(range(0, size, run)):
                length = min(run, size - offset)
                file.seek(offset)
                if index % 2 == 0:
                    file.write(random_bytes(length, seed + index))
                elif index % 4 == 3:
                    file.write(bytes(length))
        return path

    def sparse_image(self, size, data, name=None, seed=1):
        """A hole with random bytes in it; `data` is their offsets and lengths, {offset: length}."""
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
            for offset, length in data.items():
                file.seek(offset)
                file.write(random_bytes(length, seed + offset))
        return path

    def zero_image(self, size, name=None):
        """One hole."""
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
        return path

    # --- disks ---

    def loop_device(self, backing, sector_size=512, direct_io=True, sizelimit=None, read_only=False,
                    fill=0xA5, partitions=False, offset=0):
        """A loop device; `backing` is a path, or a size for a new file that holds the byte `fill`.
        `partitions`: the kernel shows them; see partition_node()."""
        if isinstance(backing, int):
            backing = self.backing_file(backing, fill)
        options = ["--sector-size", sector_size]
        options += ["--direct-io=on"] if direct_io else []
        options += ["--sizelimit", sizelimit] if sizelimit is not None else []
        options += ["--offset", offset] if offset else []
        options += ["--read-only"] if read_only else []
        options += ["--partscan"] if partitions else []
        device = check("losetup", "--find", "--show", *options, backing)
        self.attached.add(device)
        self.addCleanup(self.detach, device)
        if partitions:
            run(["partx", "--add", device])  # for kernels that do not look themselves
        return device

    def partition_node(self, device, number):
        """The node of a partition of loop_device(partitions=True)."""
        node = pathlib.Path(f"{device}p{number}")
        for _ in range(100):
            if node.exists():
                return str(node)
            # In a container it is not made: /dev does not follow the kernel.
            for known in glob.glob(f"/sys/block/*/{node.name}/dev"):
                major, minor = pathlib.Path(known).read_text().split(":")
                check("mknod", node, "b", major, minor.strip())
                self.addCleanup(node.unlink, missing_ok=True)
            time.sleep(0.05)
        raise AssertionError(f"the kernel does not show {node}")

    def detach(self, device):
        """Once only: the next test may have a disk of that name already."""
        if device in self.attached:
            # Succeeds even while a program reads the device; then it ends with the last close.
            if glob.glob(f"{device}p*"):
                run(["partx", "--delete", device])
            run(["losetup", "--detach", device])
            self.attached.remove(device)

    def backing_file(self, size, fill=0xA5):
        """A file that holds the byte `fill` throughout, for loop_device()."""
        path = self.path()
        with open(path, "wb") as file:
            for offset in range(0, size, MiB):
                file.write(bytes([fill]) * min(MiB, size - offset))
        return path

    def tmpfs(self, size):
        """A directory in memory that holds `size` bytes."""
        directory = self.path()
        directory.mkdir()
        check("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", directory)
        self.addCleanup(run, ["umount", "--lazy", directory])
        return directory

    def mount(self, device, *options):
        """Mounts a device until the test ends."""
        directory = self.path()
        directory.mkdir()
        check("mount", *options, device, directory)
        self.addCleanup(run, ["umount", directory])
        return directory

    def fault_disk(self, backing, **options):
        """A FaultDisk; `backing` and options as for loop_device."""
        return FaultDisk(self, backing, **options)


class Job:
    """imgtool at work, with its JSON progress as it comes. Killed when the test ends."""

    def __init__(self, test, args, **options):
        self._err, self._out = self.files = test.path(), test.path()
        self.lines = []  # the progress so far, one dict a line
        self.args = [IMGTOOL, *args, "--progress=json"]
        reader, writer = os.pipe()
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = test.start([*self.args, f"--progress-fd={writer}"],
                                      **{"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err,
                                         "pass_fds": [writer], **options})
        os.close(writer)
        self._thread = threading.Thread(target=self._follow, args=[reader])
        self._thread.start()
        test.addCleanup(self._thread.join)
        test.addCleanup(self.process.kill)  # first of the two: cleanups run backwards

    def _follow(self, reader):
        with open(reader, encoding="utf-8") as progress:
            for line in progress:
                self.lines.append(json.loads(line))

    def wait_for(self, phase, done=0, timeout=60):
        """Waits until a target has completed `done` bytes of a phase; returns that line."""
        def found():
            for line in list(self.lines):
                if line["phase"] == phase and line.get("done", 0) >= done:
                    return line
            if not self._thread.is_alive():
                raise AssertionError(f"ended before {phase} of {done} bytes: {self.finish()!r}")
            return None
        return wait_until(found, f"{phase} of {done} bytes", timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def finish(self, timeout=120):
        """Waits for the end; returns the Result."""
        self.process.wait(timeout)
        self._thread.join(timeout)
        return Result(self.args, self.process.returncode, self._out.read_bytes(),
                      self._err.read_bytes())


class FaultDisk:
    """A loop device whose ranges can be made to fail at any time. `device` is its path, `backing`
    the file with its content; `write_delay` is what nbdkit's delay filter takes, "50ms";
    `real_size` makes it a counterfeit whose addresses wrap at that many bytes. Needs root,
    nbdkit with its python plugin, and nbdfuse."""

    def __init__(self, test, backing, write_delay=None, real_size=None, **options):
        if isinstance(backing, int):
            backing = test.backing_file(backing)
        self.backing = backing
        self._faults = test.path()
        self._faults.write_text("")
        directory = test.path()
        directory.mkdir()
        socket, disk = directory / "socket", directory / "disk"
        disk.touch()
        delay = (["--filter=delay"], [f"wdelay={write_delay}"]) if write_delay else ([], [])
        test.start(["nbdkit", "--foreground", "--unix", socket, "--threads", 4, *delay[0], "python",
                    SUPPORT / "fault_disk.py", f"file={backing}", f"faults={self._faults}",
                    *([f"real={real_size}"] if real_size else []), *delay[1]],
                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(socket.exists, "nbdkit's socket")
        test.start(["nbdfuse", disk, "--unix", socket], stdin=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
        test.addCleanup(run, ["fusermount3", "-u", "-z", disk])
        size = os.stat(backing).st_size
        wait_until(lambda: os.stat(disk).st_size == size, "nbdfuse's file")
        self.device = test.loop_device(disk, **options)

    def fail_reads(self, offset, length):
        self._add("read", offset, length)

    def fail_writes(self, offset=0, length=1 << 62):
        """Writes and zeroing requests that touch the range fail; by default all of them."""
        self._add("write", offset, length)

    def flip_reads(self, offset, length):
        """Reads of the range give other bytes than were written, and no error."""
        self._add("flip", offset, length)

    def heal(self):
        self._replace("")

    def _add(self, kind, offset, length):
        self._replace(self._faults.read_text() + f"{kind} {offset} {length}\n")

    def _replace(self, text):
        new = self._faults.with_suffix(".new")
        new.write_text(text)
        new.rename(self._faults)


requires_fault_disk = requires("nbdkit", "nbdfuse", "fusermount3")


def make(maker):
    """Runs a TestCase that makes files which are kept in the repository."""
    result = maker.defaultTestResult()
    maker.run(result)
    for _, text in result.errors + result.failures:
        raise SystemExit(text)


def main():
    """Runs the file's tests. What was skipped is printed by name; exit 77 when all of it was, and
    1 when anything was while CI=true."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    failed = not result.wasSuccessful()
    if failed or (result.skipped and os.environ.get("CI") == "true"):
        sys.exit(1)
    sys.exit(77 if result.skipped and len(result.skipped) == result.testsRun else 0)
