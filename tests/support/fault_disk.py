"""nbdkit plugin: a disk in a file, with ranges that fail on request (see imgtool_testing.FaultDisk).

Parameters: file=PATH, faults=PATH, real=BYTES. With the latter it is a counterfeit that holds only
so many bytes and takes addresses beyond modulo that. The faults file is read again for every request; each of its
lines is "read OFFSET LENGTH" or "write OFFSET LENGTH" and makes requests that touch the range fail
with EIO, or "flip OFFSET LENGTH" and inverts the range's bytes when they are read. A failing write
or zeroing changes nothing.
"""
import errno
import os

import nbdkit

API_VERSION = 2
INVERTED = bytes(255 - byte for byte in range(256))
paths = {}


def config(key, value):
    paths[key] = value


def thread_model():
    return nbdkit.THREAD_MODEL_PARALLEL


def open(readonly):
    return os.open(paths["file"], os.O_RDWR)


def close(fd):
    os.close(fd)


def get_size(fd):
    return os.fstat(fd).st_size


def asked_for(kind, offset, length):
    """The parts of a request that faults of this kind touch."""
    fd = os.open(paths["faults"], os.O_RDONLY)
    lines = os.read(fd, 1 << 16).decode().splitlines()
    os.close(fd)
    for line in lines:
        what, begin, size = line.split()
        first, end = max(offset, int(begin)), min(offset + length, int(begin) + int(size))
        if what == kind and first < end:
            yield first, end


def pieces(offset, length):
    """Where the bytes of a request really lie: offset, and the part of the request."""
    real = int(paths.get("real", 0)) or offset + length
    done = 0
    while done < length:
        place = (offset + done) % real
        part = min(length - done, real - place)
        yield place, done, part
        done += part


def fail_if_asked(kind, offset, length):
    for first, end in asked_for(kind, offset, length):
        nbdkit.set_error(errno.EIO)
        raise OSError(errno.EIO, f"{kind} fault at {first}")


def pread(fd, buf, offset, flags):
    fail_if_asked("read", offset, len(buf))
    view = memoryview(buf)
    for place, done, part in pieces(offset, len(buf)):
        if os.preadv(fd, [view[done:done + part]], place) != part:
            nbdkit.set_error(errno.EIO)
            raise OSError(errno.EIO, "short read")
    for first, end in asked_for("flip", offset, len(buf)):
        part = view[first - offset:end - offset]
        part[:] = bytes(part).translate(INVERTED)


def pwrite(fd, buf, offset, flags):
    fail_if_asked("write", offset, len(buf))
    for place, done, part in pieces(offset, len(buf)):
        os.pwrite(fd, memoryview(buf)[done:done + part], place)


def flush(fd, flags):
    os.fdatasync(fd)
