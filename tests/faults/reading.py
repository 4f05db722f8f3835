"""What only reads, and must not say that all is well when it is not.
"""
import hashlib

from judge import KiB, noise, qcow2_image, text
from scenario import SMALL, Scenario


class Hash(Scenario):
    name = "hash"

    def make(self):
        self.disk = noise(70 * KiB, 1) + bytes(64 * KiB) + text(30 * KiB + 512, 2)
        self.files = {"source.qcow2": qcow2_image(self.judge.folder, self.disk, "-c", "-o",
                                                  "cluster_size=16K")}
        self.sources = ["source.qcow2"]

    def args(self, place):
        return ["hash", place.folder / "source.qcow2"]

    def verdict(self, place, run, plan=None):
        fault = super().verdict(place, run, plan)
        if fault is None and run.code == 0:
            if not run.out.startswith(hashlib.sha256(self.disk).hexdigest()):
                return f"exit 0, and says {run.out!r}"
        return fault

    def fault_in(self, there, code):
        return None


class VerifyDifferent(Scenario):
    """Two files that differ in one byte."""
    name = "verify"

    def make(self):
        disk = bytearray(noise(80 * KiB, 1) + bytes(64 * KiB) + noise(40 * KiB, 2))
        self.files = {"image.img": bytes(disk)}
        disk[150 * KiB] ^= 1
        self.files["disk"] = bytes(disk)
        self.sources = ["image.img", "disk"]

    def args(self, place):
        return ["verify", place.folder / "image.img", place.folder / "disk", *SMALL]

    def fault_in(self, there, code):
        return "exit 0, and they differ" if code == 0 else None


class CompareDifferent(VerifyDifferent):
    name = "compare"
    exit_codes = (1, 2, 3, 4)

    def args(self, place):
        return ["compare", place.folder / "image.img", place.folder / "disk"]
