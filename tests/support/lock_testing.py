"""The locks that QEMU has on an image that is in use."""
import contextlib
import fcntl
import os
import struct

F_OFD_SETLK = 37


@contextlib.contextmanager
def held(path, *places, mode=os.O_RDWR):
    """As QEMU holds it: read locks on these bytes. 100 + n: permission n is in use, 200 + n: it is
    not left to others; of consistent read, write, write unchanged, resize."""
    fd = os.open(path, mode)
    try:
        for place in places:
            lock = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, place, 1, 0)
            fcntl.fcntl(fd, F_OFD_SETLK, lock)
        yield
    finally:
        os.close(fd)


WRITTEN = 100, 101, 103, 201, 203  # by a machine whose disk it is
READ = 100, 201, 203               # by a machine whose disk lies over it
