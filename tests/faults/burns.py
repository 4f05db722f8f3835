"""Burning onto what holds something else: a disk never looks complete before it is.
"""
import subprocess

from judge import KiB, MiB, is_mixed_of, noise
from scenario import DISK, SMALL, Scenario


class BurnOver(Scenario):
    """A file is the disk, and holds something else."""
    name = "burn over a file"
    system = True
    verifies = True
    head = MiB
    target = "disk"

    def make(self):
        self.image = (noise(40 * KiB, 1) + bytes(MiB - 40 * KiB) + noise(64 * KiB, 2) +
                      bytes(64 * KiB) + noise(20 * KiB, 3))
        self.old = noise(len(self.image) + 64 * KiB, 4)
        self.files = {"image.img": self.image, "disk": self.old}
        self.sources = ["image.img"]
        self.result = self.image + self.old[len(self.image):]

    @property
    def results(self):
        return [self.target]

    def args(self, place):
        return ["burn", "--yes", "--force", place.folder / "image.img", place.folder / "disk",
                *SMALL]

    def fault_in(self, there, code):
        data = there(self.target)
        if data == self.result:
            return None
        if code == 0:
            return "exit 0, and the disk is wrong"
        return self.fault_of_unfinished(data)

    def fault_of_unfinished(self, data):
        """A disk whose head is the image's must be all image."""
        head = min(self.head, len(self.image))
        if len(data) < len(self.old):
            return "the disk became shorter"
        behind = slice(len(self.image), None)
        if not is_mixed_of(data[behind], self.old[behind], self.result[behind]):
            return "bytes behind the image changed"
        if data[head:] == self.result[head:] or not any(data[:head]):
            return None
        if data[head:] == self.old[head:] and is_mixed_of(data[:head], self.old[:head], bytes(head)):
            return None  # not begun, but for the wiping
        if data[:head] == self.result[:head]:
            return "looks complete, and is not"
        return "the head is neither wiped nor left alone, and the rest is not the image's"


class BurnDisk(BurnOver):
    """A loop device that is larger than the image, whose backup GPT moves to the end."""
    name = "burn to a disk"
    needs_root = True
    target = DISK
    tail = 512 * KiB
    mark = 64 * KiB  # imgtool/jobs/end_mark.hpp

    def make(self):
        folder = self.judge.folder
        image = folder / "gpt.img"
        image.write_bytes(bytes(MiB + 192 * KiB))
        subprocess.run(["sfdisk", "-q", image], check=True, capture_output=True,
                       input=b"label: gpt\nstart=1MiB, size=128KiB, type=linux, name=root\n")
        data = bytearray(image.read_bytes())
        data[MiB:MiB + 64 * KiB] = noise(64 * KiB, 5)
        self.image = bytes(data)
        self.old = noise(len(self.image) + self.tail, 4)
        self.files = {"image.img": self.image}
        self.sources = ["image.img"]
        self.result = None  # the run without a fault tells where the table goes

    def prepare(self, place):
        super().prepare(place)
        with open(place.disk_file, "r+b") as file:
            file.write(self.old)

    def args(self, place):
        return ["burn", "--yes", place.folder / "image.img", place.disk, *SMALL]

    def fault_in(self, there, code):
        if code == 0 and self.result is None:
            return self.first_result(there(self.target))
        return super().fault_in(there, code)

    def fault_of_unfinished(self, data):
        """The mark at the end stays there until the burn is complete."""
        fault = super().fault_of_unfinished(data)
        if fault is None or data[:self.head] == self.result[:self.head]:
            return fault
        return super().fault_of_unfinished(data[:-self.mark] + self.old[-self.mark:])

    def first_result(self, data):
        """That of the run without a fault: all partitions, and a table that others like."""
        if data[MiB:MiB + 128 * KiB] != self.image[MiB:MiB + 128 * KiB]:
            return "exit 0, and the partition is wrong"
        path = self.judge.folder / "burned.img"
        path.write_bytes(data)
        found = subprocess.run(["sgdisk", "-v", path], capture_output=True, check=False)
        if b"No problems found" not in found.stdout:
            return f"exit 0, and sgdisk says {found.stdout!r}"
        self.result = data
        return None
