"""usage: launch.py DESCRIPTOR COMMAND

Runs the command and writes to the descriptor what it took. A program of its own, kept small: fork()
and exec() hand the peak memory of the process that starts a command down to it, so the big process that
makes the images must not be the one.

Answer: "WALL CPU PEAK_KIB READ_BLOCKS STATUS FLOOR_KIB"; a peak near the floor is ours, not its.
"""

import os
import sys
import time


def own_peak_kib():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def shell(command):
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", command], os.environ)
    _, status, usage = os.wait4(pid, 0)
    return status, usage


def main():
    answer_fd, command = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(answer_fd, False)
    shell("true")  # loads it when caches were dropped: a user who types a command has a shell running
    begin = time.monotonic()
    status, usage = shell(command)
    wall = time.monotonic() - begin
    answer = (
        f"{wall} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {usage.ru_inblock} "
        f"{os.waitstatus_to_exitcode(status)} {own_peak_kib()}"
    )
    os.write(answer_fd, answer.encode())


main()
