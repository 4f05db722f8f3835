"""Contents for the scenarios, and qemu-img's word about images. imgtool is not asked about its own
work.
"""
import hashlib
import json
import pathlib
import random
import subprocess
import threading

KiB = 1024
MiB = 1024 * KiB


def noise(size, seed):
    return random.Random(seed).randbytes(size)


def text(size, seed):
    """Compresses well."""
    return bytes(byte & 0x13 for byte in noise(size, seed))


def check(*args):
    return subprocess.run([str(arg) for arg in args], check=True, capture_output=True).stdout


def is_mixed_of(data, *others):
    """Each sector is that of one of the others, at the same place."""
    return all(any(data[at:at + 512] == other[at:at + 512] for other in others)
               for at in range(0, len(data), 512))


class Judge:
    """qemu-img's word about qcow2 images, asked once for each content."""

    def __init__(self, folder):
        self.folder = folder
        self._known = {}
        self._lock = threading.Lock()

    def _ask(self, what, data, ask):
        key = what, hashlib.sha256(data).digest()
        if key not in self._known:
            path = self.folder / f"judged-{threading.get_ident()}"
            path.write_bytes(data)
            answer = ask(path)
            with self._lock:
                self._known[key] = answer
        return self._known[key]

    def disk(self, data, snapshot=None, kind="qcow2"):
        """The content of the disk that the image holds, or held; None where qemu cannot read it."""
        options = ["-f", kind]
        if snapshot is not None:
            options += ["-l", f"snapshot.name={snapshot}"]
        return self._ask(("disk", *options), data, lambda path: self._convert(path, options))

    @staticmethod
    def _convert(path, options):
        raw = pathlib.Path(f"{path}.raw")
        done = subprocess.run(["qemu-img", "convert", *options, "-O", "raw", path, raw],
                              capture_output=True, check=False)
        return raw.read_bytes() if done.returncode == 0 else None

    def snapshots(self, data):
        """Their names; None where qemu cannot read the image."""
        return self._ask("snapshots", data, self._list)

    @staticmethod
    def _list(path):
        done = subprocess.run(["qemu-img", "info", "-f", "qcow2", "--output=json", path],
                              capture_output=True, check=False)
        if done.returncode != 0:
            return None
        return tuple(entry["name"] for entry in json.loads(done.stdout).get("snapshots", []))

    def bitmaps(self, data):
        """The flags of each, by name."""
        return self._ask("bitmaps", data, self._bitmaps)

    @staticmethod
    def _bitmaps(path):
        done = subprocess.run(["qemu-img", "info", "-f", "qcow2", "--output=json", path],
                              capture_output=True, check=False)
        if done.returncode != 0:
            return None
        found = json.loads(done.stdout)["format-specific"]["data"].get("bitmaps", [])
        return {one["name"]: one["flags"] for one in found}

    def backing(self, data):
        """The name of the backing file, or None."""
        return self._ask("backing", data, self._backing)

    @staticmethod
    def _backing(path):
        done = subprocess.run(["qemu-img", "info", "-f", "qcow2", "--output=json", path],
                              capture_output=True, check=False)
        return json.loads(done.stdout).get("backing-filename") if done.returncode == 0 else None

    def chain(self, contents, names):
        """What the last image shows; each names the one before, by these names beside it."""
        def ask(path):
            folder = pathlib.Path(f"{path}.chain")
            folder.mkdir(exist_ok=True)
            for name, content in zip(names, contents):
                (folder / name).write_bytes(content)
            raw = folder / "raw"
            done = subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw",
                                   folder / names[-1], raw], capture_output=True, check=False)
            return raw.read_bytes() if done.returncode == 0 else None

        if None in contents:
            return None
        return self._ask(("chain", *names), b"".join(contents), ask)

    def health(self, data):
        """Corruptions and leaks; None where qemu-img cannot check the image."""
        return self._ask("health", data, self._check)

    @staticmethod
    def _check(path):
        done = subprocess.run(["qemu-img", "check", "-f", "qcow2", "--output=json", path],
                              capture_output=True, check=False)
        try:
            found = json.loads(done.stdout)
        except ValueError:
            return None
        if found.get("check-errors", 0) > 0:
            return None
        return found.get("corruptions", 0), found.get("leaks", 0)


def qcow2_image(folder, disk, *options, size=None):
    """An image that qemu-img makes of `disk`, which may be larger."""
    raw, image = folder / "made.img", folder / "made.qcow2"
    raw.write_bytes(disk)
    check("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, raw, image)
    if size is not None:
        check("qemu-img", "resize", "-q", image, size)
    return image.read_bytes()
