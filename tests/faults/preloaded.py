"""imgtool with tests/faults/preload in it: its system calls are counted, fail, or are written down.

    run = Preloaded(folder).run(args, plan=Plan("pwrite", "job", 3, "EIO"))
    run.code, run.err, run.counts["pwrite", "job"], run.faults

$FAULTS_LIBRARY is the library, $IMGTOOL the program.
"""
import dataclasses
import errno
import mmap
import os
import pathlib
import struct
import subprocess

IMGTOOL = os.environ.get("IMGTOOL", "imgtool")
LIBRARY = os.environ.get("FAULTS_LIBRARY", "")

# As enum kind and enum about of preload/calls.h.
KINDS = ("open", "read", "pread", "write", "pwrite", "fallocate", "ftruncate", "fsync", "close",
         "rename", "link", "unlink", "flock", "fcntl", "ioctl", "lseek", "stat", "chmod")
ABOUT = ("job", "system")
# As preload/inject.c has them, beside the errors.
OTHER_FAULTS = {"half": -1, "odd": -2, "none": -3, "lost": -4}
TRANSFERS = ("read", "pread", "write", "pwrite")

TIMEOUT_S = 60
PAGE = 4096
# LeakSanitizer stops the process by means that a seccomp filter does not survive.
ENVIRONMENT = {**os.environ, "LD_PRELOAD": LIBRARY, "ASAN_OPTIONS": "detect_leaks=0"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """The `number`-th call (from 1) of a kind fails. With `sticky` all later ones do, too."""
    kind: str
    about: str
    number: int
    fault: str
    sticky: bool = False

    @property
    def name(self):
        return self.fault + ("..." if self.sticky else "")

    def words(self):
        value = OTHER_FAULTS.get(self.fault) or getattr(errno, self.fault)
        return (f"{KINDS.index(self.kind)} {ABOUT.index(self.about)} {self.number} {value} "
                f"{int(self.sticky)}")


NO_PLAN = Plan("open", "job", 1 << 31, "EIO")


@dataclasses.dataclass
class Run:
    code: int | None  # None: it hung, and was killed
    out: str
    err: str
    counts: dict
    faults: int  # how often a call failed because of the plan
    where: str  # the first of them


class Preloaded:
    """Runs imgtool on files below `folder` (and `more`, such as disks), one run at a time."""

    def __init__(self, folder, more=()):
        self._report_path = pathlib.Path(f"{folder}.report")
        self._report_path.write_bytes(bytes(PAGE))
        self._files = ":".join([str(folder), *map(str, more)])
        with open(self._report_path, "r+b") as file:
            self._report = mmap.mmap(file.fileno(), PAGE)

    def run(self, args, plan=None, record=None, always=None, speed=1):
        """`always` is a second plan; `speed`: how fast time runs."""
        self._report[:] = bytes(PAGE)
        environment = {**ENVIRONMENT, "FAULTS_FILES": self._files,
                       "FAULTS_REPORT": str(self._report_path)}
        if plan or always:
            plans = [chosen.words() for chosen in (plan or NO_PLAN, always) if chosen]
            environment["FAULTS_PLAN"] = ",".join(plans)
        if speed > 1:
            environment["FAULTS_SPEED"] = str(speed)
        if record:
            environment["FAULTS_RECORD"] = str(record)
        process = subprocess.Popen([IMGTOOL, *map(str, args)], env=environment,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
            code = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            code = None
        return self._result(code, out.decode(errors="replace"), err.decode(errors="replace"))

    def _result(self, code, out, err):
        size = len(KINDS) * len(ABOUT)
        numbers = struct.unpack_from(f"{size}I", self._report)
        counts = {(kind, about): numbers[i * len(ABOUT) + j]
                  for i, kind in enumerate(KINDS) for j, about in enumerate(ABOUT)}
        done, _, offset, length = struct.unpack_from("IIQQ", self._report, size * 4)
        path = self._report[size * 4 + 24:].split(b"\0", 1)[0].decode(errors="replace")
        return Run(code, out, err, counts, done, f"{path} at {offset}, {length} bytes")
