"""Images, loop devices and memory disks, made on request and always taken away again.

A Testbed owns one directory. Leaving its `with` block detaches every loop device, unmounts every
tmpfs and removes every file, whatever happened. Needs root. Sizes are bytes.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import shutil
import subprocess
from pathlib import Path
from typing import Callable

MIB = 1 << 20
GIB = 1 << 30
STALE_BLOCK = 4 * MIB
Run = tuple[str, int, int]  # kind, offset, length


class BenchError(Exception):
    """Something the person at the keyboard can put right; the text says how."""


def run(*command: object) -> str:
    """Runs a command and returns its standard output; a failure is a BenchError."""
    words = [str(word) for word in command]
    if not shutil.which(words[0]):
        raise BenchError(f"{words[0]} is needed and not there")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


class Testbed:
    def __init__(self, directory: Path, size: int, imgtool: str):
        self.directory = directory
        self.size = size
        self.imgtool = imgtool
        self._kept = contextlib.ExitStack()  # until the end: images that several cases read
        self._case = contextlib.ExitStack()  # until the case is over
        self._images: dict[str, Path] = {}

    def __enter__(self) -> Testbed:
        self._need_room()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._take_away_leftovers()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.clear_case()
        self._kept.close()
        with contextlib.suppress(OSError):
            self.directory.rmdir()

    def clear_case(self) -> None:
        """Takes away what the current case made."""
        self._case.close()

    def _need_room(self) -> None:
        parent = self.directory
        while not parent.exists():
            parent = parent.parent
        free = shutil.disk_usage(parent).free
        if free < 5 * self.size:
            raise BenchError(
                f"{parent}: {free >> 30} GiB free, {5 * self.size >> 30} needed; "
                "free some, or choose --size or --work-dir"
            )

    def _take_away_leftovers(self) -> None:
        """A killed run (SIGKILL, power) leaves loops, mounts and files behind."""
        devices = run("losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE")
        for line in devices.splitlines():
            name, _, backing = line.strip().partition(" ")
            if backing.strip().startswith(f"{self.directory}/"):
                run("losetup", "--detach", name)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(f"{self.directory}/"):
                run("umount", line.split()[1])
        for entry in self.directory.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    # -- images, shared by all cases ------------------------------------------------------------

    def dense_image(self, size: int) -> Path:
        """Random bytes throughout."""
        return self._image(f"dense-{size}.img", size, [("data", 0, size)])

    def half_sparse_image(self, size: int) -> Path:
        """Runs of 64 KiB to 16 MiB: half of the bytes data, 3/8 holes, 1/8 written zeros."""
        return self._image(f"half-sparse-{size}.img", size, half_sparse_runs(size))

    def system_image(self, size: int) -> Path:
        """Programs and libraries of this machine: it compresses as real disks do."""
        return self.made_once(f"system-{size}.img", lambda path: write_system_image(path, size))

    def made_once(self, name: str, make: Callable[[Path], object]) -> Path:
        """A file that `make` makes when it is first asked for."""
        if name not in self._images:
            path = self.directory / name
            self._kept.callback(path.unlink, missing_ok=True)
            make(path)
            self._images[name] = path
        return self._images[name]

    def _image(self, name: str, size: int, runs: list[Run]) -> Path:
        return self.made_once(name, lambda path: write_image(path, size, runs))

    # -- what one case owns ---------------------------------------------------------------------

    def file(self, name: str) -> Path:
        """A path that is removed after the case; nothing is made there yet."""
        path = self.directory / name
        self._case.callback(path.unlink, missing_ok=True)
        return path

    def memory_directory(self, name: str, size: int) -> Path:
        """A tmpfs."""
        available = memory_available()
        if size > available * 3 // 4:
            raise BenchError(
                f"{size >> 20} MiB of memory needed for a tmpfs, {available >> 20} MiB available; "
                "choose a smaller --size"
            )
        path = self.directory / name
        path.mkdir()
        self._case.callback(path.rmdir)
        run("mount", "-t", "tmpfs", "-o", f"size={size + 16 * MIB}", "bench", path)
        self._case.callback(run, "umount", path)
        return path

    def loop(self, backing: Path, size: int) -> str:
        """A direct-io loop device over a new, fully allocated file."""
        with backing.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        return self.loop_over(backing)

    def loop_over(self, backing: Path) -> str:
        """A direct-io loop device over a file that is there already."""
        self._case.callback(backing.unlink, missing_ok=True)
        device = run("losetup", "--find", "--show", "--direct-io=on", backing)
        self._case.callback(run, "losetup", "--detach", device)
        return device


def half_sparse_runs(size: int) -> list[Run]:
    """What is written; the rest stays holes."""
    dice = random.Random(20)
    runs: list[Run] = []
    offset = 0
    while offset < size:
        length = min(64 * 1024 << dice.randrange(9), (size - offset + 1) // 2)
        runs.append(("data", offset, length))
        if dice.randrange(4) == 0:
            runs.append(("zeros", offset + length, length))
        offset += 2 * length
    return runs


def write_image(path: Path, size: int, runs: list[Run]) -> None:
    dice = random.Random(path.name)  # the same bytes every time
    with path.open("wb") as image:
        image.truncate(size)
        for kind, offset, length in runs:
            for start in range(offset, offset + length, 16 * MIB):
                part = min(16 * MIB, offset + length - start)
                content = dice.randbytes(part) if kind == "data" else bytes(part)
                os.pwrite(image.fileno(), content, start)
        os.fsync(image.fileno())


def write_system_image(path: Path, size: int) -> None:
    """The files below /usr, one after the other, again and again."""
    with path.open("wb") as image:
        while image.tell() < size:
            before = image.tell()
            for file in sorted(Path("/usr").rglob("*")):
                if file.is_file() and not file.is_symlink() and image.tell() < size:
                    image.write(file.read_bytes()[: size - image.tell()])
            if image.tell() == before:
                raise BenchError("/usr: no files to make an image of")
        os.fsync(image.fileno())


def fill_with_stale_data(device: str, backing: Path) -> None:
    """Covers the whole device with old, non-zero bytes and makes its file fully allocated."""
    size = backing.stat().st_size
    with backing.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    block = mmap.mmap(-1, STALE_BLOCK)  # page-aligned, as O_DIRECT wants it
    block.write(random.Random("stale").randbytes(STALE_BLOCK))
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    try:
        for offset in range(0, size, STALE_BLOCK):
            os.pwrite(fd, memoryview(block)[: min(STALE_BLOCK, size - offset)], offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def allocated_bytes(file: Path) -> int:
    return file.stat().st_blocks * 512


def is_fully_allocated(file: Path) -> bool:
    return allocated_bytes(file) >= file.stat().st_size


def memory_available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise BenchError("/proc/meminfo has no MemAvailable")


def drop_caches() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3\n")


def differences(expected: Path, actual: object) -> str:
    """"" when `actual` begins with the bytes of `expected`, else where they part."""
    drop_caches()
    size = str(expected.stat().st_size)
    command = ["cmp", "-n", size, str(expected), str(actual)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    _, is_difference, where = done.stdout.partition(" differ: ")
    return f"differs from {where.split(',')[0]}" if is_difference else done.stderr.strip()
