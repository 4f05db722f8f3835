"""Cuts the power at every moment of what imgtool writes, and looks at what is left. See README.md.

    power_loss.py            all scenarios, thousands of states each
    power_loss.py --short    fewer samples where there are too many states to take all
"""
import argparse
import collections
import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import sys
import tempfile
import time

from crash_model import Log, Model, disk_id, file_id
from judge import Judge
from preloaded import Preloaded
from resumable import Resumable
from scenario import DISK, Place
from scenarios import all_scenarios
from syscall_faults import (ASKING_THE_KERNEL, ENGINES, Places, clean_up_when_told_to_stop,
                            scratch_folder)

WRITING = ("burn over a file", "burn to a new file", "burn to a disk", "capture", "capture -c",
           "convert qcow2 to raw", "convert -O qcow2", "convert -c", "convert --force",
           "convert zst", "convert vmdk", "convert vpc", "convert vdi", "convert vhdx",
           "resize, larger", "resize --shrink", "resize, after a cut", "resize raw",
           "check --repair all", "check --repair, new table", "check --repair, snapshot table",
           "snapshot -c", "snapshot -a", "snapshot -d", "bitmap --merge", "amend",
           "commit", "rebase",
           "capture --mapfile", "burn --mapfile")


def recorded(place, program, scenario, engine, deaf):
    """The model of what one run did."""
    scenario.prepare(place)
    files, names = {}, {}
    for path in place.folder.iterdir():
        names[str(path)] = file_id(path)
        files[file_id(path)] = path.read_bytes()
    if place.disk:
        names[DISK] = disk_id(place.disk)
        files[disk_id(place.disk)] = place.disk_file.read_bytes()
    args = list(scenario.args(place))
    if args[0] not in ASKING_THE_KERNEL:
        args.append(f"--io-engine={engine}")
    log = pathlib.Path(f"{place.folder}.log")
    # Or else a journal would be saved at the beginning and at the end alone.
    speed = 5000 if isinstance(scenario, Resumable) else 1
    run = program.run(args, record=log, speed=speed)
    verdict = scenario.verdict(place, run)
    if run.code != 0 or verdict:
        raise AssertionError(f"{scenario.name}: {verdict}\n{run}")
    return Model(files, names, Log.read(log), deaf)


class Judgement:
    """Every state of one recorded run, each content once."""

    def __init__(self, scenario, folder, places, pool, share):
        self.scenario = scenario
        self.places = places
        self.folder = folder
        self.pool = pool
        self.states = 0
        self.share = share if isinstance(scenario, Resumable) else 1
        self.choices = set()
        self.contents = set()
        self.asked = []

    def path(self, name):
        return name if name == DISK else str(self.folder / name)

    def add(self, crash):
        self.states += 1
        watched = [self.path(name) for name in self.scenario.results]
        choice = crash.when, crash.ended, tuple(crash.key(path) for path in watched)
        if choice in self.choices:
            return
        self.choices.add(choice)
        there = {path: crash.content(path) for path in watched}
        digest = hashlib.sha256(bytes([crash.ended]))
        for data in there.values():
            digest.update(hashlib.sha256(b"" if data is None else b"+" + data).digest())
        key = digest.digest()
        if key in self.contents or (key[0] >= 256 * self.share and not crash.ended):
            return
        self.contents.add(key)
        self.asked.append((crash.when, self.pool.submit(self.ask, crash, there)))

    def ask(self, crash, there):
        code = 0 if crash.ended else 1
        fault = self.scenario.fault_in(lambda name: there[self.path(name)], code)
        if fault or not isinstance(self.scenario, Resumable):
            return fault
        with self.places.one() as (place, _):
            self.scenario.put(place, crash, self.folder)
            return self.scenario.fault_of_resuming(place)

    def faults(self):
        found = [(when, task.result()) for when, task in self.asked]
        return [(when, fault) for when, fault in found if fault]


def touched_sources(place, scenario, model):
    sources = {model.names[str(place.folder / name)] for name in scenario.sources}
    return [("ever", "a source is written to") for op in model.changes if op.file in sources]


def prove_that_faults_are_seen(places, scenarios, options, pool):
    """On a disk that ignores flushes these must come to harm, and it must be told."""
    deaf = argparse.Namespace(samples=options.samples, share=1, deaf=True)
    for scenario in scenarios:
        if scenario.name in ("burn over a file", "resize raw", "convert zst"):
            if not examine(places, scenario, ENGINES[0], deaf, pool).faults:
                raise AssertionError(f"{scenario.name}: no flush seems to be needed")


Line = collections.namedtuple("Line", "scenario engine flushes writes states distinct faults")


def examine(places, scenario, engine, options, pool):
    with places.one() as (place, program):
        model = recorded(place, program, scenario, engine, options.deaf)
        touched = touched_sources(place, scenario, model)
    judgement = Judgement(scenario, place.folder, places, pool, options.share)
    for crash in model.crashes(options.samples):
        judgement.add(crash)
    faults = judgement.faults() + touched
    flushes = sum(map(len, model.flushes.values()))
    return Line(scenario.name, engine, flushes, len(model.changes), judgement.states,
                len(judgement.contents), faults)


def print_head():
    print(f"{'command':26}{'engine':9}{'flushes':>8}{'writes':>8}{'states':>9}{'distinct':>9}"
          f"{'FAULTS':>8}")


def print_line(line):
    print(f"{line.scenario:26}{line.engine:9}{line.flushes:8}{line.writes:8}{line.states:9}"
          f"{line.distinct:9}{len(line.faults) or '':>8}", flush=True)


def print_end(lines, scenarios):
    print(f"{'all':51}{sum(line.states for line in lines):9}"
          f"{sum(line.distinct for line in lines):9}{sum(len(line.faults) for line in lines):8}")
    for scenario in scenarios:
        if isinstance(scenario, Resumable):
            codes = ", ".join(f"{code}: {count}" for code, count in scenario.resumed.items())
            print(f"{scenario.name}, then --resume: exit codes {codes}")
    for line in lines:
        for fault, count in collections.Counter(fault for _, fault in line.faults).most_common(8):
            when = next(when for when, other in line.faults if other == fault)
            print(f"FAULT {line.scenario}, {line.engine}, {count} states, first {when}: {fault}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", help="scenarios with this in their name")
    parser.add_argument("--samples", type=int, help="of the states between two flushes")
    parser.add_argument("--deaf", action="store_true",
                        help="the disk ignores flushes: now there must be faults")
    options = parser.parse_args()
    options.samples = options.samples or (12 if options.short else 150)
    options.share = 0.15 if options.short else 1  # of the states that are gone on with, a run each
    return options


def examine_all(options, root, lines):
    scenarios = [scenario for scenario in all_scenarios(Judge(root))
                 if scenario.name in WRITING and (options.only or "") in scenario.name]
    disk_size = max([len(scenario.old) for scenario in scenarios if scenario.needs_root],
                    default=0)
    jobs = 2 * (os.cpu_count() or 1)
    with Places(root, jobs, disk_size) as places:
        pool = concurrent.futures.ThreadPoolExecutor(jobs)
        try:
            prove_that_faults_are_seen(places, scenarios, options, pool)
            print_head()
            for scenario in scenarios:
                command = scenario.args(Place(root))[0]
                for engine in ENGINES if command not in ASKING_THE_KERNEL else ENGINES[:1]:
                    lines.append(examine(places, scenario, engine, options, pool))
                    print_line(lines[-1])
        finally:
            pool.shutdown(cancel_futures=True)
    return scenarios


def main():
    options = arguments()
    clean_up_when_told_to_stop()
    began = time.monotonic()
    root = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-power-", dir=scratch_folder()))
    lines = []
    try:
        scenarios = examine_all(options, root, lines)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print_end(lines, scenarios)
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(1 if any(line.faults for line in lines) else 0)


if __name__ == "__main__":
    main()
