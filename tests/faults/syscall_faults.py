"""Lets every system call of imgtool fail in turn, and looks at what is left. See README.md.

    syscall_faults.py            every call of every scenario, each fault: some 50,000 runs
    syscall_faults.py --short    a sample of every kind of call with every fault, both engines
"""
import argparse
import collections
import concurrent.futures
import contextlib
import os
import pathlib
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from judge import Judge, check
from preloaded import KINDS, TRANSFERS, Plan, Preloaded
from scenario import Place
from scenarios import all_scenarios

ENGINES = ("threads", "uring")
ASKING_THE_KERNEL = ("check", "snapshot", "bitmap", "amend")  # themselves, call by call: no engine does
FAULTS = (("EIO", False), ("EIO", True), ("ENOSPC", False), ("ENOSPC", True), ("EINTR", False),
          ("EAGAIN", False))
# What only looks has no more to say than that it fails.
LOOKING = ("lseek", "stat", "chmod")
SHORT_FAULTS = (("half", False), ("odd", False), ("none", False))
# Nothing is done, and success is told: only what verifies can notice.
LIE = ("lost", False)
LIES = ("pwrite", "fallocate")
# Of the system's files (/sys, /proc, standard output) one fault is as good as another.
SYSTEM_FAULTS = (("EIO", False),)

Work = collections.namedtuple("Work", "scenario engine plan")
Outcome = collections.namedtuple("Outcome", "work verdict run")


def faults_of(scenario, kind, about):
    if about == "system":
        return SYSTEM_FAULTS
    if kind in LOOKING:
        return FAULTS[:2]
    lies = (LIE,) if scenario.verifies and kind in LIES else ()
    return FAULTS + (SHORT_FAULTS if kind in TRANSFERS else ()) + lies


class Places:
    """Folders and disks for so many runs at once."""

    def __init__(self, root, count, disk_size):
        self._free = queue.Queue()
        self._stack = contextlib.ExitStack()
        for index in range(count):
            disk, backing = None, root / f"backing{index}"
            if disk_size:
                backing.write_bytes(bytes(disk_size))
                disk = check("losetup", "--find", "--show", "--direct-io=on",
                             backing).decode().strip()
                self._stack.callback(subprocess.run, ["losetup", "--detach", disk], check=False)
            place = Place(root / f"place{index}", disk, backing)
            self._free.put((place, Preloaded(place.folder, [disk] if disk else [])))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    @contextlib.contextmanager
    def one(self):
        taken = self._free.get()
        try:
            yield taken
        finally:
            self._free.put(taken)


def carry_out(places, work):
    with places.one() as (place, program):
        work.scenario.prepare(place)
        args = list(work.scenario.args(place))
        if args[0] not in ASKING_THE_KERNEL:
            args.append(f"--io-engine={work.engine}")
        run = program.run(args, work.plan, always=work.scenario.always)
        return Outcome(work, work.scenario.verdict(place, run, work.plan), run)


def planned(places, scenarios):
    """All that there is to do; each scenario is run without a fault first, and counted."""
    for scenario in scenarios:
        for engine in ENGINES:
            clean = carry_out(places, Work(scenario, engine, None))
            if clean.verdict or (clean.run.faults and not scenario.always):
                raise AssertionError(f"{scenario.name} without a fault: {clean}")
            for (kind, about), count in clean.run.counts.items():
                if kind not in scenario.kinds or (about == "system" and (
                        engine == "uring" or not scenario.system)):
                    continue
                for number in range(1, count + 1):
                    for fault, sticky in faults_of(scenario, kind, about):
                        yield Work(scenario, engine, Plan(kind, about, number, fault, sticky))
            if scenario.args(Place(pathlib.Path("/")))[0] in ASKING_THE_KERNEL:
                break


def prove_that_faults_are_seen(places, scenarios):
    """Writes that are lost without a word give a wrong image, and it must be called so."""
    scenario = next(each for each in scenarios if each.name == "convert -O qcow2")
    seen = [carry_out(places, Work(scenario, engine, Plan("pwrite", "job", 1, "lost"))).verdict
            for engine in ENGINES]
    if not all(seen):
        raise AssertionError(f"a lost write was not noticed: {seen}")


def sample(works, size):
    """So many of each engine, kind of call and fault, of as many scenarios as there are."""
    groups = collections.defaultdict(list)
    for work in works:
        if work.plan.about == "job":
            groups[work.engine, work.plan.kind, work.plan.name].append(work)
    chosen = random.Random(20)
    for group in groups.values():
        yield from chosen.sample(group, min(size, len(group)))


# --- the table --------------------------------------------------------------------------------

class Table:
    """Runs by command, call and fault: survived, failed cleanly, faults found."""

    def __init__(self):
        self.cells = collections.defaultdict(collections.Counter)
        self.found = []
        self.codes = collections.Counter()

    def add(self, outcome):
        work, plan = outcome.work, outcome.work.plan
        if outcome.run.faults == 0 and not outcome.verdict:
            result = "idle"  # the call did not come this time, or cannot fail so
        elif outcome.verdict:
            result = "found"
            self.found.append(outcome)
        else:
            result = "survived" if outcome.run.code == 0 else "failed"
        kind = plan.kind if plan.about == "job" else f"{plan.kind} (system)"
        self.cells[work.scenario.name, kind][plan.name] += result != "idle"
        self.cells[work.scenario.name, kind][result] += 1
        self.codes[outcome.run.code] += result != "idle"

    def print(self):
        names = [fault + ("..." if sticky else "") for fault, sticky in FAULTS + SHORT_FAULTS + (LIE,)]
        head = f"{'command':26} {'call':18}" + "".join(f"{name:>10}" for name in names)
        print(head + f"{'runs':>9}{'survived':>9}{'failed':>8}{'FAULTS':>8}")
        total = collections.Counter()
        for (command, kind), cell in self.cells.items():
            total.update(cell)
            self.print_line(command, kind, names, cell)
        self.print_line("all", "", names, total)
        print("exit codes: " + ", ".join(f"{code}: {count}" for code, count in
                                         sorted(self.codes.items(), key=str)))

    @staticmethod
    def print_line(command, kind, names, cell):
        runs = cell["survived"] + cell["failed"] + cell["found"]
        if runs == 0:
            return
        print(f"{command:26} {kind:18}" + "".join(f"{cell[name] or '':>10}" for name in names) +
              f"{runs:9}{cell['survived']:9}{cell['failed']:8}{cell['found'] or '':>8}")

    def print_found(self, most):
        for outcome in self.found[:most]:
            work, plan = outcome.work, outcome.work.plan
            print(f"FAULT {work.scenario.name}, {work.engine}: {outcome.verdict}\n"
                  f"  when {plan.about} {plan.kind} {plan.number} gives {plan.name} "
                  f"({outcome.run.where})\n  exit {outcome.run.code}: {outcome.run.err.strip()}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", help="scenarios with this in their name")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--show", type=int, default=20, help="faults that are told in full")
    return parser.parse_args()


def scratch_folder():
    memory = "/dev/shm"
    return memory if "TMPDIR" not in os.environ and os.access(memory, os.W_OK) else None


def clean_up_when_told_to_stop():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def run_all(options, root, table):
    every = all_scenarios(Judge(root))
    scenarios = [scenario for scenario in every
                 if not options.only or options.only in scenario.name]
    disk_size = max([len(scenario.old) for scenario in every if scenario.needs_root], default=0)
    with Places(root, options.jobs, disk_size) as places:
        prove_that_faults_are_seen(places, every)
        works = planned(places, scenarios)
        if options.kind:
            works = (work for work in works if work.plan.kind == options.kind)
        works = list(sample(works, 4) if options.short else works)
        pool = concurrent.futures.ThreadPoolExecutor(options.jobs)
        try:
            outcomes = pool.map(lambda work: carry_out(places, work), works)
            for count, outcome in enumerate(outcomes, 1):
                table.add(outcome)
                if count % 2000 == 0:
                    print(f"{count} of {len(works)} runs, {len(table.found)} faults",
                          file=sys.stderr)
        finally:
            pool.shutdown(cancel_futures=True)


def main():
    options = arguments()
    clean_up_when_told_to_stop()
    began = time.monotonic()
    root = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-faults-", dir=scratch_folder()))
    table = Table()
    try:
        run_all(options, root, table)
    finally:
        shutil.rmtree(root, ignore_errors=True)
        table.print()
        table.print_found(options.show)
        print(f"{time.monotonic() - began:.0f} s", flush=True)
    sys.exit(1 if table.found else 0)


if __name__ == "__main__":
    main()
