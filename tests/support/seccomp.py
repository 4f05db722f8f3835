"""Forbids system calls to a process that is about to start, as containers and old kernels do.

    start(args, preexec_fn=lambda: forbid(errno.EPERM, IO_URING_SETUP))

It concerns the process and its children only, so tests that run beside this one are not hit, as
they would be by a sysctl.
"""
import ctypes
import os
import platform
import struct

IO_URING_SETUP = 425
FALLOCATE = {"x86_64": 285, "aarch64": 47}.get(platform.machine())

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 22, 38
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


def forbid(error_number, *calls):
    """From now on these calls of this process fail with this error."""
    program = [(_LOAD, 0, 0, 0)]  # the call's number
    for call in calls:
        program += [(_JUMP_IF_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ERRNO | error_number)]
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, 2, header, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
