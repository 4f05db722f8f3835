"""Raw to .gz and .xz, in members and blocks that all cores write, beside the tools that others use."""

from __future__ import annotations

from cases.convert import filled_from_usr
from cases.zst import no_output_yet
from harness.contest import Case, Contender, Places
from harness.goals import no_slower_than_any, peak_within, result_is_right, smaller_than
from harness.testbed import Testbed, differences, run


def into(suffix: str):
    def setup(testbed: Testbed) -> Places:
        return {**filled_from_usr(testbed), "out": testbed.file(f"out.{suffix}")}
    return setup


def read_by(program: str):
    def check(places: Places, result: str) -> str:
        restored = places["image"].with_name("restored.img")
        try:
            run("sh", "-c", f"{program} -dc {places[result]} >{restored}")
            return differences(places["image"], restored)
        finally:
            restored.unlink(missing_ok=True)
    return check


def compress(suffix: str, memory: int, tools: dict[str, str]) -> Case:
    """`tools`: commands without the output; the last one is the one to beat."""
    ours = f"imgtool convert -O {suffix}"
    best = list(tools)[-1]
    return Case(
        name=suffix,
        title=f"raw to {suffix}",
        setup=into(suffix),
        prepare=no_output_yet,
        check=read_by("gzip" if suffix == "gz" else suffix),
        contenders=[
            Contender(ours, f"{{imgtool}} convert -O {suffix} {{image}} {{out}}", results=("out",)),
            *(Contender(name, f"{command} {{image}} >{{out}} && sync {{out}}", results=("out",),
                        needs=(command.split()[0],)) for name, command in tools.items()),
        ],
        goals=[
            no_slower_than_any(ours, (best,)),
            smaller_than(ours, best, 1.02),
            peak_within(ours, memory),
            result_is_right(ours),
        ],
    )


CASES = [
    compress("gz", 256 + 16, {"gzip": "gzip -c", "pigz": "pigz -c"}),
    compress("xz", 256 + 16 + 2 * 400, {"xz -T0": "xz -T0 -c"}),
]
