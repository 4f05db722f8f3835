"""Carries out one case: interleaved rounds, every contender once a round."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Iterator

from harness.contest import Case, Contender, Places
from harness.stopwatch import Sample, timed
from harness.testbed import Testbed, drop_caches

HOPELESS = 4  # with --hurry, times slower than the fastest
HURRY_ROUNDS = 2


@dataclass
class Entry:
    """What became of one contender."""

    contender: Contender
    samples: list[Sample] = field(default_factory=list)
    missing: str = ""  # the program that is not installed
    failure: str = ""  # why its last run does not count
    wrong: str = ""  # what is wrong with its result
    result_bytes: int = 0  # lengths of the files that it made

    @property
    def is_checked(self) -> bool:
        return bool(self.contender.results) and not self.contender.is_limit

    @property
    def measured(self) -> bool:
        return bool(self.samples) and not self.failure

    def walls(self) -> list[float]:
        return [sample.wall_s for sample in self.samples]

    def median(self, field_name: str) -> float:
        return statistics.median(getattr(sample, field_name) for sample in self.samples)


@dataclass
class Results:
    case: Case
    size: int
    entries: dict[str, Entry]
    disturbed_rounds: int = 0  # in which others used the machine, as far as BENCH_LOCK can tell

    def fair(self, name: str) -> Entry | None:
        """The entry, if it ran to the end and its result is right."""
        entry = self.entries.get(name)
        return entry if entry and entry.measured and not entry.wrong else None


@dataclass(frozen=True)
class Rules:
    rounds: int
    only: tuple[str, ...] = ()  # parts of contenders' names; empty means all
    hurry: bool = False
    time_limit_s: float = 900


def run_case(case: Case, testbed: Testbed, rules: Rules) -> Results:
    """Prepares, runs and checks; takes away what the case made, whatever happens."""
    try:
        say(f"{case.name}: preparing")
        places = case.setup(testbed)
        chosen = [c for c in case.contenders if wanted(c, rules.only)]
        results = Results(case, places["size"], {c.name: Entry(c) for c in chosen})
        for entry in results.entries.values():
            entry.missing = missing_program(entry.contender, places)
        for number in range(rules.rounds):
            with quiet_machine() as is_quiet:
                results.disturbed_rounds += not is_quiet
                run_round(number, results, places, rules)
        return results
    finally:
        say(f"{case.name}: cleaning up")
        testbed.clear_case()


def run_round(number: int, results: Results, places: Places, rules: Rules) -> None:
    entries = [e for e in results.entries.values() if not e.missing and not e.failure]
    if rules.hurry and number >= HURRY_ROUNDS:
        rivals = [e for e in entries if not e.contender.is_limit]
        fastest = min((min(e.walls()) for e in rivals), default=0.0)
        entries = [e for e in entries if e not in rivals or min(e.walls()) <= HOPELESS * fastest]
    first = number % max(1, len(entries))  # no entry always follows the same neighbour
    for entry in entries[first:] + entries[:first]:
        say(f"{results.case.name}: round {number + 1}/{rules.rounds}: {entry.contender.name}")
        run_once(entry, results.case, places, rules, first_round=number == 0)


def run_once(
    entry: Entry, case: Case, places: Places, rules: Rules, first_round: bool
) -> None:
    case.prepare(places, first_round)
    if case.cold:
        drop_caches()
    sample = timed(filled_in(entry.contender, places), rules.time_limit_s)
    if sample.status != 0:
        entry.failure = f"exit {sample.status}: {last_line(sample.errors or sample.output)}"
        return
    if entry.contender.own_clock:
        sample.wall_s = entry.contender.own_clock(sample.output)
    entry.samples.append(sample)
    if first_round and entry.is_checked:
        wrongs = (case.check(places, result) for result in entry.contender.results)
        entry.wrong = next(filter(None, wrongs), "")
        entry.result_bytes = sum(os.stat(places[r]).st_size for r in entry.contender.results)


def filled_in(contender: Contender, places: Places) -> str:
    return contender.command.format(**places)


def wanted(contender: Contender, only: tuple[str, ...]) -> bool:
    return not only or any(part in contender.name for part in only)


def missing_program(contender: Contender, places: Places) -> str:
    words = (shlex.split(filled_in(contender, places))[0], *contender.needs)
    return next((word for word in words if not shutil.which(word)), "")


@contextlib.contextmanager
def quiet_machine() -> Iterator[bool]:
    """Where several people share a machine: the file that BENCH_LOCK names, held exclusively.

    Says whether it was to be had within BENCH_LOCK_WAIT seconds (600); if not, the round runs
    all the same, and the table says so."""
    path = os.environ.get("BENCH_LOCK")
    if not path:
        yield True
        return
    with open(path, "a", encoding="utf-8") as lock:
        yield locked(lock.fileno(), float(os.environ.get("BENCH_LOCK_WAIT", "600")))


def locked(descriptor: int, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
