"""Files that others have open or in use, which are therefore not written.
"""
import fcntl
import os
import struct

from judge import KiB, noise, qcow2_image
from scenario import DISK, SMALL, Scenario

F_OFD_SETLK = 37


class Locked(Scenario):
    """A virtual machine has the image open, so it is not for others to write."""
    kinds = ("open", "close", "flock", "fcntl", "stat", "read")
    exit_codes = (1, 2, 3, 63)
    image = "disk.qcow2"

    @property
    def results(self):
        return [self.image]

    def make(self):
        disk = noise(64 * KiB, 1)
        self.files = {self.image: qcow2_image(self.judge.folder, disk, "-o", "cluster_size=4K"),
                      "source.img": noise(64 * KiB, 2)}
        self.sources = list(self.files)

    def prepare(self, place):
        super().prepare(place)
        if place.held:
            place.held.close()
        place.held = open(place.folder / self.image, "r+b")
        for byte in (100, 101, 103, 201, 203):  # QEMU: reads, writes, resizes, and no other may
            lock = struct.pack("hhxxxxqqixxxx", fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0)
            fcntl.fcntl(place.held, F_OFD_SETLK, lock)

    def fault_in(self, there, code):
        return None


class LockedConvert(Locked):
    name = "convert, locked"

    def args(self, place):
        return ["convert", "--force", place.folder / "source.img", place.folder / self.image]


class LockedBurn(Locked):
    name = "burn, locked"

    def args(self, place):
        return ["burn", "--yes", "--force", place.folder / "source.img",
                place.folder / self.image, *SMALL]


class LockedResize(Locked):
    name = "resize, locked"

    def args(self, place):
        return ["resize", place.folder / self.image, "+64K"]


class LockedRepair(Locked):
    name = "check --repair, locked"

    def args(self, place):
        return ["check", "--repair", "all", place.folder / self.image]


class Attached(Scenario):
    """The file is a loop device's, as /sys and /proc tell: it is not for others to write, also when
    one of these cannot be read."""
    exit_codes = (1, 3)
    needs_root = True
    system = True
    old = noise(64 * KiB, 7)
    results = [DISK]

    def make(self):
        self.files = {"source.img": noise(64 * KiB, 2)}
        self.sources = ["source.img"]

    def prepare(self, place):
        super().prepare(place)
        with open(place.disk_file, "r+b") as file:
            file.write(self.old)

    def fault_in(self, there, code):
        return None if there(DISK)[:len(self.old)] == self.old else "a disk's file was written"


class AttachedBurn(Attached):
    name = "burn, attached"

    def args(self, place):
        return ["burn", "--yes", "--force", place.folder / "source.img", place.disk_file, *SMALL]


class AttachedConvert(Attached):
    name = "convert, attached"

    def args(self, place):
        return ["convert", "--force", place.folder / "source.img", place.disk_file]


class AttachedResize(Attached):
    name = "resize, attached"

    def args(self, place):
        return ["resize", place.disk_file, "+64K"]
