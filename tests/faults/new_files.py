"""Commands that make a new file, which has its name only when it is whole.
"""
import gzip
import hashlib
import lzma
import subprocess

from judge import KiB, noise, qcow2_image, text
from preloaded import Plan
from scenario import SMALL, Scenario


class NewFile(Scenario):
    """A command that makes `out` of `source`; `disk` is the content."""
    command = ()
    source = "source.img"
    out = "out.img"
    options = ()

    def args(self, place):
        return [*self.command, place.folder / self.source, place.folder / self.out, *self.options]

    @property
    def results(self):
        return [self.out]

    def is_right(self, data):
        return data == self.disk

    def old(self):
        return self.files.get(self.out)

    def fault_in(self, there, code):
        data = there(self.out)
        if data is None:
            return f"exit 0 without {self.out}" if code == 0 else self.lost_old()
        if data == self.old():
            return "exit 0, and the old file is there" if code == 0 else None
        if self.is_right(data):
            return None
        return f"exit {code}, and {self.out} is wrong or half done"

    def lost_old(self):
        return None if self.old() is None else "the old file is gone"

    def make_raw_source(self):
        # Data, a hole, text, zeros that are stored, an odd end.
        self.disk = (noise(64 * KiB, 1) + bytes(64 * KiB) + text(64 * KiB, 2) + bytes(16 * KiB) +
                     noise(9 * KiB + 512, 3))
        self.files = {self.source: self.disk}
        self.sources = [self.source]


class ConvertToQcow2(NewFile):
    name = "convert -O qcow2"
    system = True
    command = ("convert",)
    out = "out.qcow2"

    def make(self):
        self.make_raw_source()

    def is_right(self, data):
        if self.judge.health(data) != (0, 0):
            return False
        found = self.judge.disk(data)
        return found is not None and found[:len(self.disk)] == self.disk and \
            not any(found[len(self.disk):])


class ConvertToQcow2Compressed(ConvertToQcow2):
    name = "convert -c"
    options = ("-c", "--threads=2", "-o", "cluster_size=16K")


class ReplaceQcow2(ConvertToQcow2):
    name = "convert --force"
    options = ("--force", "-o", "cluster_size=4K")

    def make(self):
        super().make()
        self.files[self.out] = self.old_image()

    def old_image(self):
        return b"an older image" * 1000


class ConvertToZst(NewFile):
    name = "convert zst"
    command = ("convert",)
    out = "out.img.zst"
    options = ("--threads=2",)

    def make(self):
        self.make_raw_source()

    def is_right(self, data):
        done = subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=False)
        return done.returncode == 0 and done.stdout == self.disk


class ConvertToVmdk(NewFile):
    name = "convert vmdk"
    command = ("convert",)
    out = "out.vmdk"
    options = ("--threads=2",)
    kind = "vmdk"

    def make(self):
        self.make_raw_source()

    def is_right(self, data):
        found = self.judge.disk(data, kind=self.kind)
        return found is not None and found[:len(self.disk)] == self.disk and \
            not any(found[len(self.disk):])


class ConvertToVhd(ConvertToVmdk):
    name = "convert vpc"
    out = "out.vhd"
    options = ()
    kind = "vpc"


class ConvertToVdi(ConvertToVhd):
    name = "convert vdi"
    out = "out.vdi"
    kind = "vdi"


class ConvertToVhdx(ConvertToVhd):
    name = "convert vhdx"
    out = "out.vhdx"
    kind = "vhdx"


class ConvertWithoutRenameat2(ConvertToZst):
    """The file system cannot rename without replacing, so a link does it."""
    name = "convert, by a link"
    always = Plan("rename", "job", 1, "EINVAL")


class ConvertToRaw(NewFile):
    name = "convert qcow2 to raw"
    command = ("convert",)
    source = "source.qcow2"

    def make(self):
        self.make_raw_source()
        self.files = {self.source: qcow2_image(self.judge.folder, self.disk, "-c", "-o",
                                               "cluster_size=16K")}


class ConvertFromStream(NewFile):
    """What decodes one byte after the other must not take a failed read for the end."""
    command = ("convert",)

    def make(self):
        self.make_raw_source()
        self.files = {self.source: self.packed(self.disk)}

    def packed(self, disk):
        raise NotImplementedError


class ConvertFromGz(ConvertFromStream):
    name = "convert from gz"
    source = "source.img.gz"

    def packed(self, disk):
        return gzip.compress(disk[:90 * KiB]) + gzip.compress(disk[90 * KiB:])


class ConvertFromXz(ConvertFromStream):
    name = "convert from xz"
    source = "source.img.xz"

    def packed(self, disk):
        return lzma.compress(disk[:90 * KiB]) + lzma.compress(disk[90 * KiB:])


class ConvertFromZst(ConvertFromStream):
    name = "convert from zst"
    source = "source.img.zst"

    def packed(self, disk):
        return b"".join(subprocess.run(["zstd", "-cq"], input=part, capture_output=True,
                                       check=True).stdout
                        for part in (disk[:90 * KiB], disk[90 * KiB:]))


class ConvertInPlace(ConvertToRaw):
    name = "convert -n"
    options = ("-n",)

    def make(self):
        super().make()
        self.files[self.out] = noise(len(self.disk), 9)

    def fault_in(self, there, code):
        right = there(self.out) == self.disk
        return "exit 0, and out.img is wrong" if code == 0 and not right else None


class Capture(NewFile):
    name = "capture"
    system = True
    command = ("capture",)
    options = (*SMALL, "--digest=sha256")

    def make(self):
        self.make_raw_source()

    def verdict(self, place, run, plan=None):
        fault = super().verdict(place, run, plan)
        if fault is None and run.code == 0 and run.out.strip():
            if hashlib.sha256(self.disk).hexdigest() not in run.out:
                return "exit 0, and the digest is wrong"
        return fault


class CaptureCompressed(ConvertToQcow2):
    name = "capture -c"
    command = ("capture",)
    options = ("-c", *SMALL[1:], "-o", "cluster_size=16K", "--threads=2")


class BurnNew(NewFile):
    name = "burn to a new file"
    verifies = True
    command = ("burn", "--yes")
    options = SMALL

    def make(self):
        self.make_raw_source()
