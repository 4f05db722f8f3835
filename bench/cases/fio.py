"""fio as the limit: what the machine can do with the same bytes, chunk and depth.

Keep CHUNK and DEPTH equal to what imgtool chooses by itself on these devices.
"""

from __future__ import annotations

import json

from harness.contest import Contender

CHUNK = "1M"
DEPTH = 32

ENGINE = (
    f"fio --output-format=json --ioengine=io_uring --direct=1 --bs={CHUNK} --iodepth={DEPTH}"
)


def reading(path: str, size: str = "{size}") -> str:
    return f"--name=read-{path.strip('{}')} --filename={path} --rw=read --size={size}"


def writing(path: str, size: str = "{size}") -> str:
    name = f"write-{path.strip('{}')}"
    return f"--name={name} --filename={path} --rw=write --size={size} --end_fsync=1"


def limit(name: str, *jobs: str) -> Contender:
    """One fio run with all the jobs at the same time."""
    return Contender(name, " ".join((ENGINE, *jobs)), is_limit=True, own_clock=job_seconds)


def job_seconds(output: str) -> float:
    """How long the longest job ran, its final fsync included, fio's own start-up left out."""
    jobs = json.loads(output[output.index("{"):])["jobs"]
    return max(job["job_runtime"] for job in jobs) / 1000
