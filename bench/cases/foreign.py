"""Images of other programs, both ways: VMDK streams, VHD, VHDX and VDI."""

from __future__ import annotations

import functools

from cases.convert import (
    OURS,
    QEMU,
    QEMU_DIRECT,
    QEMU_FAST,
    contenders,
    filled_from_usr,
    no_output_yet,
    same_disk,
)
from harness.contest import Case, Contender, Places
from harness.goals import (
    no_slower_than_any,
    peak_within,
    result_is_right,
    smaller_than,
    times_less,
    wall_within,
)
from harness.testbed import Testbed, run

STREAM = "-O vmdk -o subformat=streamOptimized"
KINDS = {
    "vhd": "vpc -o subformat=dynamic,force_size",
    "vhd-fixed": "vpc -o subformat=fixed,force_size",
    "vhdx": "vhdx -o subformat=dynamic",
    "vdi": "vdi",
}


def packed_as(output: str):
    def setup(testbed: Testbed) -> Places:
        places = filled_from_usr(testbed)
        run("qemu-img", "convert", "-f", "raw", *output.split(), places["image"], places["packed"])
        return places
    return setup


def direct(options: str) -> Contender:
    return Contender(QEMU_DIRECT, f"qemu-img convert -W -m 16 -t none -T none {options}",
                     results=("out",))


def stream_written() -> Case:
    return Case(
        name="raw-to-stream",
        title="an operating system's files to a stream of VMware's",
        setup=filled_from_usr, prepare=no_output_yet, check=same_disk,
        contenders=contenders(f"{STREAM} {{image}} {{out}}", f"-f raw {STREAM} {{image}} {{out}}"),
        goals=[
            wall_within(OURS, 1 / 3, of=QEMU),
            wall_within(OURS, 1 / 3, of=QEMU_FAST),
            smaller_than(OURS, QEMU),
            peak_within(OURS, 272),
            result_is_right(OURS),
        ],
    )


def stream_read(name: str, title: str, output: str) -> Case:
    options = f"-f vmdk {output} {{packed}} {{out}}"
    return Case(
        name=name, title=title,
        setup=packed_as(STREAM), prepare=no_output_yet, check=same_disk,
        contenders=contenders(options, options),
        goals=[
            wall_within(OURS, 1 / 3, of=QEMU),
            wall_within(OURS, 1 / 3, of=QEMU_FAST),
            peak_within(OURS, 272),
            result_is_right(OURS),
        ],
    )


def plain(name: str, title: str, setup, options: str, result: str) -> Case:
    """As fast as the best of qemu-img's ways, with half of that one's time of the processors.
    `result` is the format, which qemu does not know by a fixed VHD's content."""
    rivals = (QEMU, QEMU_FAST, QEMU_DIRECT)
    return Case(
        name=name, title=title, setup=setup, prepare=no_output_yet,
        check=functools.partial(same_disk, kind=result),
        contenders=[*contenders(options, options), direct(options)],
        goals=[
            no_slower_than_any(OURS, rivals),
            *(times_less(OURS, 2, rival, "cpu_s", "CPU") for rival in rivals),
            result_is_right(OURS),
        ],
    )


def both_ways() -> list[Case]:
    cases = []
    for name, kind in KINDS.items():
        cases.append(plain(f"raw-to-{name}", f"an operating system's files, raw to {name}",
                           filled_from_usr, f"-f raw -O {kind} {{image}} {{out}}",
                           kind.split(maxsplit=1)[0]))
        cases.append(plain(f"{name}-to-raw", f"the same, {name} to raw", packed_as(f"-O {kind}"),
                           f"-f {kind.split(maxsplit=1)[0]} -O raw {{packed}} {{out}}", "raw"))
    return cases


CASES = [
    stream_written(),
    stream_read("stream-to-raw", "a stream of VMware's to raw", "-O raw"),
    stream_read("stream-to-qcow2", "a stream of VMware's to compressed qcow2", "-c -O qcow2"),
    *both_ways(),
]
