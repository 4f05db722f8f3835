"""Images that are changed where they lie: resize and check --repair.
"""
import struct
import subprocess

from judge import KiB, MiB, noise, qcow2_image
from scenario import Scenario


class InPlace(Scenario):
    """An image of qcow2 that is changed where it lies. `disk` is its content before."""
    image = "disk.qcow2"
    size_after = None
    worst = (0, 1 << 40)  # corruptions and leaks that a failed run may leave

    @property
    def results(self):
        return [self.image]

    def fault_in(self, there, code):
        data = there(self.image)
        return "it is gone" if data is None else self.fault_of_image(data, code)

    def fault_of_image(self, data, code):
        disk = self.judge.disk(data)
        if disk is None:
            return f"exit {code}, and qemu cannot read it"
        shared = min(len(disk), len(self.disk), self.size_after)
        if len(disk) not in (len(self.disk), self.size_after):
            return f"exit {code}, and the disk has {len(disk)} bytes"
        if disk[:shared] != self.disk[:shared]:
            return f"exit {code}, and the content changed"
        if any(disk[len(self.disk):]):
            return f"exit {code}, and what was added is not zeros"
        health = self.judge.health(data)
        if health is None or any(now > most for now, most in zip(health, self.worst)):
            return f"exit {code}, and qemu-img check finds {health}"
        if code == 0 and (len(disk) != self.size_after or health != (0, 0)):
            return f"exit 0, and it has {len(disk)} bytes, qemu-img check finds {health}"
        return None


class ResizeGrow(InPlace):
    """The L1 table moves, and new refcount blocks are needed."""
    name = "resize, larger"
    system = True
    size_after = 5 * MiB

    def make(self):
        self.disk = noise(60 * KiB, 1) + bytes(30 * KiB) + noise(163 * KiB, 2) + bytes(30 * KiB)
        self.files = {self.image: qcow2_image(self.judge.folder, self.disk, "-o",
                                              "cluster_size=512,refcount_bits=64")}

    def args(self, place):
        return ["resize", place.folder / self.image, self.size_after]


class ResizeShrink(InPlace):
    name = "resize --shrink"
    size_after = 41 * KiB + 512

    def make(self):
        self.disk = noise(60 * KiB, 1) + bytes(30 * KiB) + noise(103 * KiB, 2)
        self.files = {self.image: qcow2_image(self.judge.folder, self.disk, "-o",
                                              "cluster_size=512,refcount_bits=64")}

    def args(self, place):
        return ["resize", "--shrink", "--discard-content", place.folder / self.image,
                self.size_after]


class ResizeGrowAfterCut(InPlace):
    """What a shrink that was cut off left behind the end must not come to light."""
    name = "resize, after a cut"
    size_after = 160 * KiB

    def make(self):
        whole = noise(160 * KiB, 1)
        data = bytearray(qcow2_image(self.judge.folder, whole, "-o", "cluster_size=1K"))
        self.disk = whole[:70 * KiB + 512]
        struct.pack_into(">Q", data, 24, len(self.disk))
        self.files = {self.image: bytes(data)}

    def args(self, place):
        return ["resize", place.folder / self.image, self.size_after]


class ResizeRaw(Scenario):
    name = "resize raw"
    results = ["disk.img"]

    def make(self):
        self.disk = noise(64 * KiB, 1)
        self.files = {"disk.img": self.disk}

    def args(self, place):
        return ["resize", place.folder / "disk.img", 128 * KiB]

    def fault_in(self, there, code):
        data = there("disk.img")
        if data == self.disk + bytes(64 * KiB):
            return None
        if code == 0 or data != self.disk:
            return f"exit {code}, and the image is wrong"
        return None


class Repair(InPlace):
    """Refcounts that are too low and too high, and copied flags that are wrong."""
    name = "check --repair all"
    exit_codes = (0, 1, 2, 3, 63)  # 63: what cannot be read looks like no qcow2

    def make(self):
        self.disk = noise(48 * KiB, 1) + bytes(32 * KiB) + noise(48 * KiB, 2)
        self.size_after = len(self.disk)
        data = bytearray(qcow2_image(self.judge.folder, self.disk, "-o",
                                     "cluster_size=512,refcount_bits=64"))
        self.damage(data)
        self.files = {self.image: bytes(data)}
        self.worst = self.judge.health(bytes(data))
        assert self.worst[0] > 0
        assert self.judge.disk(bytes(data)) == self.disk

    def damage(self, data):
        table, = struct.unpack_from(">Q", data, 48)
        l1, = struct.unpack_from(">Q", data, 40)
        for number in (20, 21, 60, 100, 150, 200, 250, 30, 31, 130, 230):
            block, = struct.unpack_from(">Q", data, table + number // 64 * 8)
            struct.pack_into(">Q", data, block + number % 64 * 8, 2 if number % 100 < 32 else 0)
        for number in range(4):
            l2 = struct.unpack_from(">Q", data, l1 + 8 * number)[0] & (1 << 56) - 512
            for entry in (3, 7, 40):
                word, = struct.unpack_from(">Q", data, l2 + 8 * entry)
                struct.pack_into(">Q", data, l2 + 8 * entry, word & ~(1 << 63))

    def args(self, place):
        return ["check", "--repair", "all", place.folder / self.image]

    def fault_of_image(self, data, code):
        health = self.judge.health(data)
        if health is None or health[0] > self.worst[0]:
            return f"exit {code}, and qemu-img check finds {health} where it found {self.worst}"
        if self.judge.disk(data) != self.disk:
            return f"exit {code}, and the content changed"
        if code == 0 and health != (0, 0):
            return f"exit 0, and qemu-img check finds {health}"
        return None


class RepairRebuild(Repair):
    """No refcount table is left, so a new one is made."""
    name = "check --repair, new table"

    def damage(self, data):
        table, = struct.unpack_from(">Q", data, 48)
        data[table:table + 16] = bytes(16)


class RepairSnapshots(Repair):
    """A snapshot that does not know its own size: the table is written anew."""
    name = "check --repair, snapshot table"

    def damage(self, data):
        path = self.judge.folder / "with a snapshot"
        path.write_bytes(data)
        subprocess.run(["qemu-img", "snapshot", "-c", "one", path], check=True)
        data[:] = path.read_bytes()
        path.unlink()
        table, = struct.unpack_from(">Q", data, 64)
        extra, = struct.unpack_from(">I", data, table + 36)
        id_size, name_size = struct.unpack_from(">HH", data, table + 12)
        names = data[table + 40 + extra:table + 40 + extra + id_size + name_size]
        struct.pack_into(">I", data, table + 36, 0)
        data[table + 40:table + 512] = names + bytes(472 - len(names))


class SnapshotScenario(InPlace):
    """Old or new, and nothing leaks: one sector is the difference."""
    worst = (0, 0)
    options = "cluster_size=512,refcount_bits=64"

    def make(self):
        self.disk = noise(40 * KiB, 1) + bytes(16 * KiB) + noise(40 * KiB, 2)
        self.then = self.disk
        self.size_after = len(self.disk)
        path = self.judge.folder / "with snapshots"
        path.write_bytes(qcow2_image(self.judge.folder, self.disk, "-o", self.options))
        self.arrange(path)
        self.files = {self.image: path.read_bytes()}
        path.unlink()

    def arrange(self, path):
        """Two snapshots, and a disk that is another one than theirs."""
        subprocess.run(["qemu-img", "snapshot", "-c", "one", path], check=True)
        subprocess.run(["qemu-io", "-c", "write -P 7 8K 20K", path], check=True,
                       capture_output=True)
        subprocess.run(["qemu-img", "snapshot", "-c", "two", path], check=True)
        self.disk = self.disk[:8 * KiB] + bytes([7]) * (20 * KiB) + self.disk[28 * KiB:]

    names_before = ("one", "two")
    names_after = ()

    def fault_of_image(self, data, code):
        disk, names, health = (self.judge.disk(data), self.judge.snapshots(data),
                               self.judge.health(data))
        if health != (0, 0):
            return f"exit {code}, and qemu-img check finds {health}"
        states = [(self.disk, self.names_before), (self.disk_after(), self.names_after)]
        if (disk, names) not in states:
            return f"exit {code}, and neither the old disk nor the new one is there, but {names}"
        if code == 0 and (disk, names) != states[1]:
            return f"exit {code}, and nothing has changed"
        if "one" in names and self.judge.disk(data, "one") != self.then:
            return f"exit {code}, and the snapshot has changed"
        return None

    def disk_after(self):
        return self.disk


class SnapshotCreate(SnapshotScenario):
    name = "snapshot -c"
    system = True
    names_after = ("one", "two", "three")

    def args(self, place):
        return ["snapshot", "-c", "three", place.folder / self.image]


class SnapshotApply(SnapshotScenario):
    name = "snapshot -a"
    names_after = ("one", "two")

    def args(self, place):
        return ["snapshot", "-a", "one", place.folder / self.image]

    def disk_after(self):
        return self.then


class SnapshotDelete(SnapshotScenario):
    name = "snapshot -d"
    names_after = ("one",)

    def args(self, place):
        return ["snapshot", "-d", "two", place.folder / self.image]


class Bitmap(InPlace):
    """Two are merged: the list of them is the old one or the new one."""
    name = "bitmap --merge"
    system = True

    def make(self):
        self.disk = noise(40 * KiB, 1) + bytes(24 * KiB)
        path = self.judge.folder / "with bitmaps"
        path.write_bytes(qcow2_image(self.judge.folder, self.disk, "-o", "cluster_size=512"))
        for name in ("one", "two"):
            subprocess.run(["qemu-img", "bitmap", "--add", "-g", "512", path, name], check=True)
            subprocess.run(["qemu-io", "-c", f"write -P 7 {len(name) * 2}K 4K", path], check=True,
                           capture_output=True)
        self.files = {self.image: path.read_bytes()}
        self.disk = self.judge.disk(self.files[self.image])
        self.before = self.judge.bitmaps(self.files[self.image])
        path.unlink()

    def args(self, place):
        return ["bitmap", place.folder / self.image, "two", "--merge", "one", "--disable"]

    def fault_of_image(self, data, code):
        health = self.judge.health(data)
        if health != (0, 0) or self.judge.disk(data) != self.disk:
            return f"exit {code}, and qemu-img check finds {health}, or the content changed"
        bitmaps = self.judge.bitmaps(data)
        after = {**self.before, "two": []}
        if bitmaps not in (self.before, after) or (code == 0 and bitmaps != after):
            return f"exit {code}, and it has {bitmaps}"
        return None


class Amend(InPlace):
    """Version 2 becomes 3, and a snapshot is told its size."""
    name = "amend"
    worst = (0, 0)

    def make(self):
        self.disk = noise(40 * KiB, 1) + bytes(24 * KiB)
        self.size_after = len(self.disk)
        path = self.judge.folder / "of version 2"
        path.write_bytes(qcow2_image(self.judge.folder, self.disk, "-o",
                                     "compat=0.10,cluster_size=512"))
        subprocess.run(["qemu-img", "snapshot", "-c", "one", path], check=True)
        data = bytearray(path.read_bytes())
        path.unlink()
        table, = struct.unpack_from(">Q", data, 64)
        data += bytes(-len(data) % 512)
        extra, = struct.unpack_from(">I", data, table + 36)
        entry = data[table + 40 + extra:table + 512] + bytes(extra)
        struct.pack_into(">I", data, table + 36, 0)
        data[table + 40:table + 512] = entry
        self.files = {self.image: bytes(data)}

    def args(self, place):
        return ["amend", "-o", "compat=1.1", place.folder / self.image]

    def fault_of_image(self, data, code):
        fault = super().fault_of_image(data, code)
        if fault is None and self.judge.disk(data, "one") != self.disk:
            fault = f"exit {code}, and the snapshot changed"
        if fault is None and code == 0 and data[4:8] != bytes([0, 0, 0, 3]):
            fault = "exit 0, and it is of the old version"
        return fault
