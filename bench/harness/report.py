"""The table, the goals and the JSON of finished cases."""

from __future__ import annotations

import dataclasses
import json
import platform

from harness.runner import Entry, Results

MIB = 1 << 20
COLUMNS = ("contender", "wall s", "min-max", "ratio", "CPU s", "machine CPU s", "peak MiB",
           "read MiB", "runs", "content")


def table(results: Results, reference: str) -> str:
    """One line per contender, fastest first; ratio is wall time relative to `reference`."""
    base = results.fair(reference)
    entries = sorted(
        results.entries.values(),
        key=lambda e: e.median("wall_s") if e.measured else float("inf"),
    )
    rows = [COLUMNS] + [row(entry, base) for entry in entries]
    widths = [max(len(cells[i]) for cells in rows if len(cells) > 2) for i in range(len(COLUMNS))]
    state = "cold" if results.case.cold else "warm"
    lines = [
        f"== {results.case.name}: {results.case.title} ({readable(results.size)}, cache {state})"
    ]
    for cells in rows:
        if len(cells) == 2:
            lines.append(f"{cells[0]:<{widths[0]}}  {cells[1]}")
            continue
        middle = (f"{cell:>{width}}" for cell, width in zip(cells[1:-1], widths[1:-1]))
        lines.append("  ".join((f"{cells[0]:<{widths[0]}}", *middle, cells[-1])))
    if results.disturbed_rounds:
        lines.append(f"  others used the machine in {results.disturbed_rounds} of the rounds")
    return "\n".join(lines)


def row(entry: Entry, base: Entry | None) -> tuple[str, ...]:
    name = entry.contender.name
    if entry.missing:
        return name, f"not installed: {entry.missing}"
    if entry.failure:
        return name, f"failed: {entry.failure}"
    if not entry.samples:
        return name, "not run"
    wall = entry.median("wall_s")
    largest = max(entry.samples, key=lambda sample: sample.peak_bytes)
    digits = 2 if wall >= 0.2 else 4
    return (
        name,
        f"{wall:.{digits}f}",
        f"{min(entry.walls()):.{digits}f}-{max(entry.walls()):.{digits}f}",
        f"{wall / base.median('wall_s'):.2f}" if base else "-",
        f"{entry.median('cpu_s'):.2f}",
        f"{entry.median('machine_cpu_s'):.2f}",
        f"{'' if largest.peak_is_visible else '<'}{largest.peak_bytes / MIB:.0f}",
        f"{entry.median('read_bytes') / MIB:.0f}",
        str(len(entry.samples)),
        entry.wrong or "right" if entry.is_checked else "-",
    )


def readable(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size} bytes"


def verdicts(results: Results) -> list[tuple[str, str, str]]:
    """(promise, measured, pass | MISS | not measured) for every goal of the case."""
    lines = []
    for goal in results.case.goals:
        judged = goal.judge(results)
        if judged is None:
            lines.append((goal.promise, "-", "not measured"))
        else:
            lines.append((goal.promise, judged[0], "pass" if judged[1] else "MISS"))
    return lines


def as_json(all_results: list[Results]) -> str:
    cases = [
        {
            "case": results.case.name,
            "title": results.case.title,
            "size": results.size,
            "disturbed_rounds": results.disturbed_rounds,
            "contenders": [entry_json(entry) for entry in results.entries.values()],
            "goals": [
                {"promise": promise, "measured": measured, "verdict": verdict}
                for promise, measured, verdict in verdicts(results)
            ],
        }
        for results in all_results
    ]
    machine = {"kernel": platform.release(), "machine": platform.machine()}
    return json.dumps({"machine": machine, "cases": cases}, indent=1)


def entry_json(entry: Entry) -> dict[str, object]:
    samples = [dataclasses.asdict(sample) for sample in entry.samples]
    for sample in samples:
        del sample["output"], sample["errors"]
    return {
        "name": entry.contender.name,
        "command": entry.contender.command,
        "missing": entry.missing,
        "failure": entry.failure,
        "wrong": entry.wrong,
        "samples": samples,
    }
