"""A FUSE file system that passes a flat folder through and has odd traits, which no disk shows on
demand: lost writes that only close() tells, folders that cannot be flushed, short transfers.

    with odd_file_system(case, "bad-close") as folder: ...

It speaks the kernel's protocol itself (linux/fuse.h), so that it needs no library, only root and
/dev/fuse. Traits: direct-io (no page cache), short-read and short-write (with direct-io),
bad-close, bad-dirsync (EIO), no-dirsync (EOPNOTSUPP), bad-rename, no-noreplace (EINVAL for
RENAME_NOREPLACE), no-locks, no-space
(ENOSPC behind 2 MiB).
"""
import contextlib
import ctypes
import errno
import os
import struct
import subprocess
import sys

ROOT = 1
(LOOKUP, FORGET, GETATTR, SETATTR, UNLINK, RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC,
 FLUSH, INIT, OPENDIR, RELEASEDIR, FSYNCDIR, GETLK, SETLK, SETLKW, ACCESS, CREATE, INTERRUPT,
 DESTROY, BATCH_FORGET, RENAME2) = (1, 2, 3, 4, 10, 12, 13, 14, 15, 16, 17, 18, 20, 25, 26, 27, 29,
                                    30, 31, 32, 33, 34, 35, 36, 38, 42, 45)
ASYNC_READ, POSIX_LOCKS, BIG_WRITES, FLOCK_LOCKS = 1, 1 << 1, 1 << 5, 1 << 10
MODE, UID, GID, SIZE = 1, 2, 4, 8
NOREPLACE = 1


class OddFileSystem:
    def __init__(self, root, traits):
        self.root, self.traits = root, traits
        self.names = {}  # of node ids
        self.device = os.open("/dev/fuse", os.O_RDWR)

    def mount(self, directory):
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"odd", os.fsencode(directory), b"fuse.odd", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount")

    def serve(self):
        while True:
            try:
                request = os.read(self.device, (1 << 20) + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return  # unmounted
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            _, operation, unique, node, uid, gid, _, _ = struct.unpack_from("<IIQQIIII", request)
            if operation in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            try:
                answer, code = self.answer(operation, node, request[40:], uid, gid), 0
            except OSError as error:
                answer, code = b"", error.errno
            os.write(self.device, struct.pack("<IiQ", 16 + len(answer), -code, unique) + answer)
            if operation == DESTROY:
                return

    # --- names and what is under them ---

    def path(self, node):
        return self.root if node == ROOT else os.path.join(self.root, self.names[node])

    def node_of(self, name):
        for node, known in self.names.items():
            if known == name:
                return node
        node = max(self.names, default=ROOT) + 1
        self.names[node] = name
        return node

    def move(self, old, new):
        node = self.node_of(old)
        self.names = {n: name for n, name in self.names.items() if name != new}
        self.names[node] = new

    def attributes(self, node):
        found = os.lstat(self.path(node))
        return struct.pack("<QQQQQQIIIIIIIIII", node, found.st_size, found.st_blocks,
                           int(found.st_atime), found.st_mtime_ns // 10**9,
                           found.st_ctime_ns // 10**9, 0, found.st_mtime_ns % 10**9,
                           found.st_ctime_ns % 10**9, found.st_mode, found.st_nlink, found.st_uid,
                           found.st_gid, 0, 4096, 0)

    def entry(self, name):
        os.lstat(os.path.join(self.root, name))  # ENOENT
        node = self.node_of(name)
        return struct.pack("<QQQQII", node, 0, 0, 0, 0, 0) + self.attributes(node)

    def opened(self, fd):
        return struct.pack("<QII", fd, 1 if "direct-io" in self.traits else 0, 0)

    # --- operations ---

    def answer(self, operation, node, body, uid, gid):
        def fail(trait, code):
            if trait in self.traits:
                raise OSError(code, trait)

        def names():
            return [os.fsdecode(name) for name in body.rstrip(b"\0").split(b"\0")]

        if operation == INIT:
            major, minor, readahead, offered = struct.unpack_from("<IIII", body)
            wanted = ASYNC_READ | BIG_WRITES
            if "no-locks" in self.traits:
                wanted |= POSIX_LOCKS | FLOCK_LOCKS
            return struct.pack("<IIIIHHIIHHI28x", major, min(minor, 31), readahead,
                               offered & wanted, 16, 12, 1 << 17, 1, 0, 0, 0)
        if operation == LOOKUP:
            return self.entry(names()[0])
        if operation == GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self.attributes(node)
        if operation == SETATTR:
            return self.set_attributes(node, body)
        if operation in (OPEN, CREATE):
            flags, mode = struct.unpack_from("<II", body)
            flags &= ~(os.O_DIRECT | os.O_EXCL | os.O_NOFOLLOW)
            if operation == OPEN:
                return self.opened(os.open(self.path(node), flags & ~os.O_CREAT))
            body = body[16:]
            path = os.path.join(self.root, names()[0])
            fd = os.open(path, flags | os.O_CREAT, mode)
            os.chown(path, uid, gid)
            return self.entry(names()[0]) + self.opened(fd)
        if operation in (READ, WRITE):
            fd, offset, length = struct.unpack_from("<QQI", body)
            return self.read(fd, offset, length) if operation == READ else self.write(
                fd, offset, body[40:40 + length])
        if operation == UNLINK:
            os.unlink(os.path.join(self.root, names()[0]))
        elif operation in (RENAME, RENAME2):
            fail("bad-rename", errno.EIO)
            flags = struct.unpack_from("<QI", body)[1] if operation == RENAME2 else 0
            body = body[16 if operation == RENAME2 else 8:]
            old, new = names()
            if flags & NOREPLACE:
                fail("no-noreplace", errno.EINVAL)
                if os.path.exists(os.path.join(self.root, new)):
                    raise FileExistsError(errno.EEXIST, new)
            os.rename(os.path.join(self.root, old), os.path.join(self.root, new))
            self.move(old, new)
        elif operation == STATFS:
            found = os.statvfs(self.root)
            return struct.pack("<QQQQQIIII24x", found.f_blocks, found.f_bfree, found.f_bavail,
                               found.f_files, found.f_ffree, found.f_bsize, 255, found.f_frsize, 0)
        elif operation == RELEASE:
            os.close(struct.unpack_from("<Q", body)[0])
        elif operation == FSYNC:
            os.fsync(struct.unpack_from("<Q", body)[0])
        elif operation == FLUSH:
            fail("bad-close", errno.EIO)
        elif operation == OPENDIR:
            return struct.pack("<QII", 0, 0, 0)
        elif operation == FSYNCDIR:
            fail("bad-dirsync", errno.EIO)
            fail("no-dirsync", errno.EOPNOTSUPP)
        elif operation in (GETLK, SETLK, SETLKW):
            raise OSError(errno.ENOLCK, "locks")
        elif operation not in (ACCESS, RELEASEDIR, DESTROY):
            raise OSError(errno.ENOSYS, str(operation))
        return b""

    def set_attributes(self, node, body):
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        mode, _, uid, gid = struct.unpack_from("<IIII", body, 68)
        path = self.path(node)
        if valid & SIZE:
            os.truncate(path, size)
        if valid & MODE:
            os.chmod(path, mode & 0o7777)
        if valid & (UID | GID):
            os.chown(path, uid if valid & UID else -1, gid if valid & GID else -1)
        return struct.pack("<QII", 0, 0, 0) + self.attributes(node)

    def read(self, fd, offset, length):
        if "short-read" in self.traits and length > 4096:
            length = 4096
        return os.pread(fd, length, offset)

    def write(self, fd, offset, data):
        if "no-space" in self.traits and offset + len(data) > 2 << 20:
            raise OSError(errno.ENOSPC, "full")
        if "short-write" in self.traits and len(data) > 4096:
            data = data[:4096]
        return struct.pack("<II", os.pwrite(fd, data, offset), 0)


@contextlib.contextmanager
def odd_file_system(case, *traits):
    """Mounts one for `case`, a TestCase of imgtool_testing; gives its folder."""
    from imgtool_testing import unmount, wait_until
    root, folder = case.path(), case.path()
    root.mkdir()
    folder.mkdir()
    process = case.start([sys.executable, __file__, root, folder, *traits])
    wait_until(lambda: os.path.ismount(folder) or process.poll() is not None, "mount")
    try:
        yield folder
    finally:
        # The kernel lets go of an io_uring job's files only some time after it is gone.
        unmount(folder)
        process.wait(30)


if __name__ == "__main__":
    served = OddFileSystem(sys.argv[1], set(sys.argv[3:]))
    served.mount(sys.argv[2])
    served.serve()
