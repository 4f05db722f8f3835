"""qcow2 images made by qemu, with the content they must have known without qemu.

    image = Qcow2(test, size=4 * MiB, cluster_size=65536, compression_type="zstd")
    image.write(0, 65536)                  # random bytes
    image.write(65536, 65536, compressed=True)
    image.zero(131072, 65536)
    image.finish()                         # qemu-io does all of it; image.oracle is a raw file

The oracle is a plain copy of the operations in memory.
"""
import json
import struct

from imgtool_testing import check, random_bytes, run, wait_until

# Every byte loses most of its bits.
FEW_VALUES = bytes(byte & 0x13 for byte in range(256))


def qemu_map(path, *options):
    return json.loads(check("qemu-img", "map", "--output=json", *options, path))


def qemu_info(path, *options):
    return json.loads(check("qemu-img", "info", "--output=json", *options, path))


def make_encrypted(path, **options):
    """An empty image of 1 MiB with qemu-img's encrypt.* options."""
    words = ["encrypt.key-secret=s"] + [f"encrypt.{name.replace('_', '-')}={value}"
                                        for name, value in options.items()]
    # qemu times its key derivation, and gives up when its thread's clock stood still meanwhile.
    wait_until(lambda: run(["qemu-img", "create", "-q", "-f", "qcow2", "--object",
                            "secret,id=s,data=abc", "-o", ",".join(words), path, "1M"]).code == 0,
               "an encrypted image")


class Qcow2:
    def __init__(self, test, size, name=None, backing=None, **options):
        self.test = test
        self.size = size
        self.path = test.path(name)
        self.content = bytearray(size if size <= 1 << 30 else 0)
        self.commands = []
        self.seed = 0
        arguments = [f"{key}={value}" for key, value in options.items()]
        command = ["qemu-img", "create", "-q", "-f", "qcow2"]
        if arguments:
            command += ["-o", ",".join(arguments)]
        if backing is not None:
            command += ["-b", backing.path, "-F", backing.format]
            shared = min(size, backing.size)
            self.content[:shared] = backing.content[:shared]
        check(*command, self.path, size)

    format = "qcow2"

    def write(self, offset, length, compressed=False, text=False):
        """Random bytes, or bytes that compress well (`text`; always for compressed writes)."""
        self.seed += 1
        data = random_bytes(length, self.seed)
        if compressed or text:
            data = data.translate(FEW_VALUES)
        source = self.test.path()
        source.write_bytes(data)
        flags = "-c " if compressed else ""
        self.commands.append(f"write {flags}-s {source} {offset} {length}")
        self.content[offset:offset + length] = data

    def zero(self, offset, length, unmap=False):
        self.commands.append(f"write -z {'-u ' if unmap else ''}{offset} {length}")
        self.content[offset:offset + length] = bytes(length)

    def discard(self, offset, length):
        """Reads as zeros afterwards: only for images without a backing file."""
        self.commands.append(f"discard {offset} {length}")
        self.content[offset:offset + length] = bytes(length)

    def flush_commands(self):
        if not self.commands:
            return
        script = "\n".join(self.commands + ["quit", ""])
        result = run(["qemu-io", "-f", "qcow2", self.path], input=script.encode())
        assert result.code == 0 and "failed" not in result.out + result.err, result
        self.commands = []

    def finish(self):
        self.flush_commands()
        self.oracle = self.test.path()
        self.oracle.write_bytes(self.content)
        return self

    def finish_without_oracle(self):
        """For sizes that no file system holds."""
        self.flush_commands()
        return self

    # --- bytes of the file, for damage ---

    def header(self, offset, kind):
        """One field of the header; `kind` as for struct, big-endian."""
        with open(self.path, "rb") as file:
            file.seek(offset)
            return struct.unpack(">" + kind, file.read(struct.calcsize(">" + kind)))[0]

    def patch(self, offset, kind, value):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(struct.pack(">" + kind, value))

    @property
    def l1(self):
        return self.header(40, "Q")

    @property
    def l2(self):
        """The first L2 table."""
        return self.header(self.l1, "Q") & 0x00fffffffffffe00


class Raw:
    """A raw file with known content, to be a backing file."""
    format = "raw"

    def __init__(self, test, content, name=None):
        self.path = test.path(name)
        self.path.write_bytes(content)
        self.content = content
        self.size = len(content)
