"""Images over backing files, which they name as what lies beside them: commit and rebase.
"""
import subprocess

from judge import KiB, is_mixed_of, noise, qcow2_image
from scenario import Scenario


def over(folder, base, writes, *options):
    """An overlay of `base`, which is a name in `folder`."""
    image = folder / "made-over.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, "-b", base, "-F", "qcow2",
                    image], check=True, cwd=folder)
    for write in writes:
        subprocess.run(["qemu-io", "-c", write, image], check=True, capture_output=True)
    data = image.read_bytes()
    image.unlink()
    return data


class Chain(Scenario):
    SIZE = 96 * KiB
    options = ("-o", "cluster_size=512,refcount_bits=16")

    def make_base(self, name, disk):
        self.files[name] = qcow2_image(self.judge.folder, disk, *self.options)
        (self.judge.folder / name).write_bytes(self.files[name])

    def shown(self, there, names):
        """What the last of these images shows, each over the one before."""
        return self.judge.chain([there(name) for name in names], names)

    def health_of(self, there, names, code):
        for name in names:
            health = self.judge.health(there(name))
            if health != (0, 0):
                return f"exit {code}, and qemu-img check finds {health} in {name}"
        return None


class Commit(Chain):
    name = "commit"
    system = True
    results = ["base.qcow2", "top.qcow2"]

    def make(self):
        self.old = noise(40 * KiB, 1) + bytes(16 * KiB) + noise(40 * KiB, 2)
        self.make_base("base.qcow2", self.old)
        self.files["top.qcow2"] = over(
            self.judge.folder, "base.qcow2",
            ["write -P 7 8K 20K", "write -z 60K 8K", "write -P 9 50K 1K"], *self.options)
        self.new = bytearray(self.old)
        self.new[8 * KiB:28 * KiB] = bytes([7]) * (20 * KiB)
        self.new[60 * KiB:68 * KiB] = bytes(8 * KiB)
        self.new[50 * KiB:51 * KiB] = bytes([9]) * KiB
        self.new = bytes(self.new)

    def args(self, place):
        return ["commit", "--follow-references", place.folder / "top.qcow2"]

    def fault_in(self, there, code):
        fault = self.health_of(there, self.results, code)
        if fault:
            return fault
        if self.shown(there, self.results) != self.new:
            return f"exit {code}, and the overlay shows something else"
        base = self.judge.disk(there("base.qcow2"))
        if code == 0 and base != self.new:
            return "exit 0, and the base is not complete"
        if not is_mixed_of(base, self.old, self.new):
            return f"exit {code}, and the base is neither old nor new"
        return None


class Rebase(Chain):
    name = "rebase"
    results = ["top.qcow2"]

    def make(self):
        self.sources = ["one.qcow2", "two.qcow2"]
        one = noise(40 * KiB, 1) + bytes(16 * KiB) + noise(40 * KiB, 2)
        two = one[:20 * KiB] + noise(60 * KiB, 3) + one[80 * KiB:]
        self.make_base("one.qcow2", one)
        self.make_base("two.qcow2", two)
        self.files["top.qcow2"] = over(self.judge.folder, "one.qcow2", ["write -P 7 8K 20K"],
                                       *self.options)
        self.disk = one[:8 * KiB] + bytes([7]) * (20 * KiB) + one[28 * KiB:]

    def args(self, place):
        return ["rebase", "--follow-references", "-F", "qcow2", "-b", "two.qcow2",
                place.folder / "top.qcow2"]

    def fault_in(self, there, code):
        fault = self.health_of(there, self.results, code)
        if fault:
            return fault
        base = self.judge.backing(there("top.qcow2"))
        if base not in self.sources or (code == 0 and base != "two.qcow2"):
            return f"exit {code}, and it lies over {base}"
        data = {**self.files, "top.qcow2": there("top.qcow2")}
        if self.shown(data.get, [base, "top.qcow2"]) != self.disk:
            return f"exit {code}, and the content changed"
        return None
