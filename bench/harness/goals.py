"""The promises a case can be held to. Each function makes a Goal from contenders' names.

Ratios are ratios of medians within one interleaved run. A rival whose result is wrong counts for
nothing.
"""

from __future__ import annotations

from harness.contest import Goal
from harness.runner import Results

MIB = 1 << 20
OWN_PAGES = 32 * MIB


def wall_within(us: str, factor: float, of: str) -> Goal:
    """`us` takes at most `factor` times as long as `of`."""

    def judge(results: Results) -> tuple[str, bool] | None:
        ours, theirs = results.fair(us), results.fair(of)
        if not ours or not theirs:
            return None
        ratio = ours.median("wall_s") / theirs.median("wall_s")
        return f"{ratio:.2f}", ratio <= factor

    return Goal(f"{us}: wall <= {factor:g} x {of}", judge)


def wall_within_sum(us: str, factor: float, parts: tuple[str, ...]) -> Goal:
    """`us` takes at most `factor` times as long as all the parts one after the other."""

    def judge(results: Results) -> tuple[str, bool] | None:
        ours, theirs = results.fair(us), [results.fair(name) for name in parts]
        if not ours or not all(theirs):
            return None
        ratio = ours.median("wall_s") / sum(entry.median("wall_s") for entry in theirs if entry)
        return f"{ratio:.2f}", ratio <= factor

    return Goal(f"{us}: wall <= {factor:g} x ({' + '.join(parts)})", judge)


def wall_within_extreme(us: str, factor: float, rivals: tuple[str, ...], slowest: bool) -> Goal:
    """`us` takes at most `factor` times as long as the fastest (or slowest) of the rivals."""

    def judge(results: Results) -> tuple[str, bool] | None:
        ours = results.fair(us)
        measured = {name: entry for name in rivals if (entry := results.fair(name))}
        if not ours or not measured:
            return None
        pick = max if slowest else min
        name = pick(measured, key=lambda rival: measured[rival].median("wall_s"))
        ratio = ours.median("wall_s") / measured[name].median("wall_s")
        return f"{ratio:.2f} ({name})", ratio <= factor

    which = "slowest" if slowest else "fastest"
    times = "" if factor == 1 else f"{factor:g} x "
    return Goal(f"{us}: wall <= {times}the {which} of {', '.join(rivals)}", judge)


def no_slower_than_any(us: str, rivals: tuple[str, ...]) -> Goal:
    return wall_within_extreme(us, 1, rivals, slowest=False)


def times_less(us: str, factor: float, rival: str, field_name: str, what: str) -> Goal:
    """The rival needs at least `factor` times as much of something."""

    def judge(results: Results) -> tuple[str, bool] | None:
        ours, theirs = results.fair(us), results.fair(rival)
        if not ours or not theirs:
            return None
        ratio = theirs.median(field_name) / max(ours.median(field_name), 1e-3)
        return f"{ratio:.1f} x less", ratio >= factor

    return Goal(f"{us}: {what} at most 1/{factor:g} of {rival}", judge)


def peak_within(us: str, mebibytes: int) -> Goal:
    def judge(results: Results) -> tuple[str, bool] | None:
        if not (ours := results.fair(us)):
            return None
        peak = max(sample.peak_bytes for sample in ours.samples) / MIB
        return f"{peak:.0f} MiB", peak <= mebibytes

    return Goal(f"{us}: peak memory <= {mebibytes} MiB", judge)


def wall_seconds_within(us: str, seconds: float) -> Goal:
    def judge(results: Results) -> tuple[str, bool] | None:
        if not (ours := results.fair(us)):
            return None
        wall = ours.median("wall_s")
        return f"{wall * 1000:.1f} ms", wall <= seconds

    return Goal(f"{us}: wall <= {seconds * 1000:g} ms", judge)


def smaller_than(us: str, rival: str, factor: float = 1) -> Goal:
    """The file that `us` makes is at most `factor` times as long as the rival's."""

    def judge(results: Results) -> tuple[str, bool] | None:
        ours, theirs = results.fair(us), results.fair(rival)
        if not ours or not theirs:
            return None
        ratio = ours.result_bytes / max(theirs.result_bytes, 1)
        sizes = f"{ours.result_bytes / MIB:.0f} MiB, {theirs.result_bytes / MIB:.0f} MiB"
        return f"{ratio:.2f} ({sizes})", ratio <= factor

    times = "" if factor == 1 else f"{factor:g} x "
    return Goal(f"{us}: result not larger than {times}{rival}'s", judge)


def reads_at_most(us: str, share: float, of: str) -> Goal:
    """So much of what another contender reads comes from block devices, and OWN_PAGES."""

    def judge(results: Results) -> tuple[str, bool] | None:
        ours, theirs = results.fair(us), results.fair(of)
        if not ours or not theirs:
            return None
        most = share * theirs.median("read_bytes") + OWN_PAGES
        ratio = ours.median("read_bytes") / theirs.median("read_bytes")
        return f"{ratio:.3f} x", ours.median("read_bytes") <= most

    return Goal(f"{us}: reads at most {share:.3g} x what {of} reads", judge)


def reads_once(us: str) -> Goal:
    """The bytes that came from block devices are the image's, once; 1 % more for metadata, and
    OWN_PAGES for the program and its libraries, which a cold start reads too."""

    def judge(results: Results) -> tuple[str, bool] | None:
        if not (ours := results.fair(us)):
            return None
        ratio = ours.median("read_bytes") / results.size
        most = 1.01 + OWN_PAGES / results.size
        return f"{ratio:.3f} x the image", 0.99 <= ratio <= most

    return Goal(f"{us}: reads the image's bytes once", judge)


def result_is_right(us: str) -> Goal:
    def judge(results: Results) -> tuple[str, bool] | None:
        entry = results.entries.get(us)
        if not entry or not entry.measured:
            return None
        return entry.wrong or "content equal", not entry.wrong

    return Goal(f"{us}: the result has the image's content", judge)
