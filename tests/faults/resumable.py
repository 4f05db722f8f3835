"""Jobs with a mapfile, which can be gone on with.
"""
import collections
import os
import pathlib
import re
import shutil
import subprocess

from burns import BurnOver
from judge import KiB, MiB, check
from new_files import Capture
from preloaded import IMGTOOL
from scenario import DISK


class Resumable:
    """A job with a mapfile. Whatever became of it, --resume ends right, or refuses."""
    keeps_partial = True

    def __init__(self, judge):
        self.resumed = collections.Counter()
        super().__init__(judge)

    def args(self, place):
        return [*super().args(place), "--mapfile", place.folder / "map"]

    def verdict(self, place, run, plan=None):
        fault = super().verdict(place, run, plan)
        return fault if fault or run.code == 0 else self.fault_of_resuming(place)

    def prepare(self, place):
        super().prepare(place)
        for name in self.sources:  # the mapfile tells them by it
            os.utime(place.folder / name, ns=(1 << 60, 1 << 60))

    def fault_of_resuming(self, place):
        if not (place.folder / "map").exists():
            return None
        args = [IMGTOOL, *map(str, self.args(place)), "--resume"]
        run = subprocess.run(args, capture_output=True, timeout=60, check=False,
                             stdin=subprocess.DEVNULL)
        self.resumed[run.returncode] += 1
        if run.returncode not in (0, 1, 3, 4):
            return f"--resume: exit {run.returncode}: {run.stderr.decode()}"
        fault = self.fault_in(place.content, run.returncode)
        return fault and f"--resume: {fault}: {run.stderr.decode()}"


    def put(self, place, crash, folder):
        """The state of files below `folder` after a crash, as if it had happened in this place."""
        shutil.rmtree(place.folder, ignore_errors=True)
        place.folder.mkdir()
        here = {path: place.folder / pathlib.Path(path).relative_to(folder)
                for path in crash.paths() if path != DISK}
        inodes = {}
        for path, now in here.items():
            now.write_bytes(crash.content(path))
            inodes[crash.file(path)] = now.stat().st_ino
            if now.name in self.sources:
                os.utime(now, ns=(1 << 60, 1 << 60))
        for now in here.values():
            if now.name.startswith("map"):
                now.write_bytes(self.moved(now.read_bytes(), folder, place.folder, inodes))

    @staticmethod
    def moved(mapfile, folder, now, inodes):
        """The mapfile names its target by path and inode, which are others here."""
        def inode(found):
            old = int(found.group(1))
            return b"inode %d" % next((new for file, new in inodes.items()
                                       if file & 0xFFFFFFFF == old & 0xFFFFFFFF), old)
        return re.sub(rb"inode (\d+)", inode, mapfile).replace(bytes(folder), bytes(now))


class CaptureResumable(Resumable, Capture):
    name = "capture --mapfile"
    results = ["out.img", "out.img.imgtool-partial", "map", "map.imgtool-partial"]


class BurnResumable(Resumable, BurnOver):
    name = "burn --mapfile"
    results = ["disk", "map", "map.imgtool-partial"]


class HalfDone(Resumable):
    """It was cut off once already: `done` of the content is there, and the mapfile says so."""
    partial = ""
    done = (0, 0)

    def args(self, place):
        return [*super().args(place), "--resume"]

    def prepare(self, place):
        if place.mapfile is None:
            self.make_mapfile(place)
        super().prepare(place)
        begin, end = self.done
        data = bytearray(self.half())
        data[begin:end] = self.disk[begin:end]
        (place.folder / self.partial).write_bytes(data)
        inode = (place.folder / self.partial).stat().st_ino
        text = re.sub(r"inode \d+", f"inode {inode}", place.mapfile)
        (place.folder / "map").write_text(text)

    def half(self):
        return bytes(len(self.disk))

    def make_mapfile(self, place):
        """As imgtool writes it for this place, with other blocks."""
        super().prepare(place)
        check(IMGTOOL, *self.args(place)[:-1])
        lines = (place.folder / "map").read_text().splitlines()
        comments = [line for line in lines if line.startswith("#")]
        (begin, end), size = self.done, len(self.disk)
        blocks = [(0, begin, "?"), (begin, end - begin, "+"), (end, size - end, "?")]
        place.mapfile = "\n".join([*comments[:3], "0x0 ? 1", *(
            f"0x{offset:08X} 0x{length:08X} {state}" for offset, length, state in blocks
            if length > 0)]) + "\n"


class CaptureHalfDone(HalfDone, Capture):
    name = "capture --resume"
    partial = "out.img.imgtool-partial"
    done = (0, 128 * KiB)


class BurnHalfDone(HalfDone, BurnOver):
    name = "burn --resume"
    partial = "disk"
    done = (MiB, MiB + 64 * KiB)

    def make(self):
        super().make()
        self.disk = self.image
        self.begun = bytes(MiB) + self.image[MiB:MiB + 64 * KiB] + self.old[MiB + 64 * KiB:]

    def half(self):
        return self.begun

    def fault_of_unfinished(self, data):
        if data == self.begun:
            return None
        return super().fault_of_unfinished(data)
