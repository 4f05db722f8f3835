"""One timed run of one command.

CPU seconds, peak memory and bytes read come from wait4(), so children that the command waited for
count. Work that the kernel does on behalf of processes (write-back, loop threads) is in no process's
account; `machine_cpu_s` is the whole machine's busy time during the run and shows it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass
class Sample:
    wall_s: float
    cpu_s: float
    machine_cpu_s: float
    peak_bytes: int
    peak_is_visible: bool  # false when it is too small to be told from the launcher's
    read_bytes: int  # from block devices; what the page cache answered does not count
    status: int
    output: str
    errors: str


def timed(command: str, time_limit_s: float) -> Sample:
    """Runs `command` in sh in a process group of its own; it is killed at the time limit, and when
    we are interrupted."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        busy_before = machine_busy_s()
        answer = launch(command, time_limit_s, output, errors)
        busy_s = machine_busy_s() - busy_before
        output.seek(0)
        errors.seek(0)
        said, complaint = output.read(), errors.read()
    if not answer:
        complaint += f"\nstopped at the time limit of {time_limit_s:g} s"
        answer = f"{time_limit_s} 0 0 0 {-signal.SIGKILL} 0"
    wall, cpu, peak_kib, read_blocks, status, floor_kib = answer.split()
    return Sample(
        wall_s=float(wall),
        cpu_s=float(cpu),
        machine_cpu_s=busy_s,
        peak_bytes=int(peak_kib) * 1024,
        peak_is_visible=int(peak_kib) > int(floor_kib) * 1.05,
        read_bytes=int(read_blocks) * 512,
        status=int(status),
        output=said,
        errors=complaint,
    )


def launch(command: str, time_limit_s: float, output: object, errors: object) -> str:
    """The launcher's answer; empty when it was killed."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as answer:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(writing), command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            pass_fds=(writing,),
            start_new_session=True,
        )
        os.close(writing)
        alarm = threading.Timer(time_limit_s, os.killpg, (child.pid, signal.SIGKILL))
        alarm.start()
        try:
            child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            raise
        finally:
            alarm.cancel()
        return answer.read()


def machine_busy_s() -> float:
    """Seconds that all processors together have been busy since boot."""
    user, nice, system, _idle, _iowait, irq, softirq = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
