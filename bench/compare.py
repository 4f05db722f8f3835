#!/usr/bin/env python3
"""imgtool beside the other tools: one table per case, medians of interleaved rounds.

Runs as root (loop devices). Everything it makes lies in the work directory and is removed at the
end, also after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import Iterator

import cases
from harness import report
from harness.runner import Results, Rules, run_case, say
from harness.testbed import BenchError, Testbed

REPOSITORY = Path(__file__).resolve().parent.parent
ONE_AT_A_TIME = "/run/lock/imgtool-bench"
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int:
    unit = UNITS.get(text[-1:].upper(), 1)
    digits = text if unit == 1 else text[:-1]
    if not digits.isdigit() or int(digits) * unit % (1 << 20) or int(digits) == 0:
        raise argparse.ArgumentTypeError(f"{text}: not a whole number of MiB (4G, 512M)")
    return int(digits) * unit


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev bench", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"{', '.join(cases.ALL)} (all of them)")
    parser.add_argument("--size", type=size, default="4G", help="of the images (4G)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of every contender (5)")
    parser.add_argument(
        "--only", default="", metavar="NAME[,NAME]", help="contenders, by part of their names"
    )
    parser.add_argument(
        "--hurry",
        action="store_true",
        help="contenders 4 times slower than the fastest sit out after two rounds",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="all samples, as JSON")
    parser.add_argument(
        "--imgtool", default=os.environ.get("IMGTOOL", ""), help="the binary (newest in build*/)"
    )
    parser.add_argument(
        "--work-dir",
        type=Path,
        default=Path(os.environ.get("BENCH_DIR", "/var/tmp/imgtool-bench")),
        help="where images and disks are made (/var/tmp/imgtool-bench)",
    )
    options = parser.parse_args()
    for name in options.case:
        if name not in cases.ALL:
            parser.error(f"no case named {name}; there are {', '.join(cases.ALL)}")
    return options


def find_imgtool(given: str) -> str:
    """The given binary, or the newest one below build/. Rivals can be measured without it."""
    if given:
        return str(Path(given).resolve())
    found = sorted(REPOSITORY.glob("build*/**/imgtool"), key=lambda path: path.stat().st_mtime)
    files = [path for path in found if path.is_file() and os.access(path, os.X_OK)]
    return str(files[-1]) if files else "imgtool"


@contextlib.contextmanager
def only_bench() -> Iterator[None]:
    """Two benches at once would measure each other: the second waits for the first."""
    with open(ONE_AT_A_TIME, "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("bench: waiting until the bench that runs now is over")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def stop(number: int, _frame: object) -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not stop the cleaning up
    raise SystemExit(128 + number)


def main() -> int:
    options = arguments()
    if os.geteuid() != 0:
        say("bench: must run as root: it sets up loop devices")
        return 2
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, stop)
    rules = Rules(options.rounds, tuple(filter(None, options.only.split(","))), options.hurry)
    finished: list[Results] = []
    status = 0
    try:
        imgtool = find_imgtool(options.imgtool)
        with only_bench(), Testbed(options.work_dir.resolve(), options.size, imgtool) as testbed:
            for name in options.case or cases.ALL:
                try:
                    finished.append(run_case(cases.ALL[name], testbed, rules))
                    show(finished[-1])
                except BenchError as error:
                    say(f"bench: case {name} left out: {error}")
                    status = 1
    except BenchError as error:
        say(f"bench: {error}")
        status = 1
    finally:
        if options.json and finished:
            options.json.write_text(report.as_json(finished))
    return status


def show(results: Results) -> None:
    print(report.table(results, reference=results.case.contenders[0].name))
    for promise, measured, verdict in report.verdicts(results):
        print(f"  {verdict:<12}  {promise}: {measured}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
