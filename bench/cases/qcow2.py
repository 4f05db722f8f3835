"""qcow2 images: read, compared, and asked about. The content is that of /usr, or nothing."""

from __future__ import annotations

from functools import partial

from harness.contest import Case, Contender, Places, nothing
from harness.goals import (
    peak_within,
    result_is_right,
    times_less,
    wall_seconds_within,
    wall_within,
)
from harness.qcow2_layout import write_scattered_qcow2
from harness.testbed import GIB, MIB, Testbed, fill_with_stale_data, memory_available, run

IMGTOOL = "imgtool"
QEMU = "qemu-img"
QEMU_DIRECT = "qemu-img -W -m16 -t none"


# --- reading ---------------------------------------------------------------------------------


def converted(testbed: Testbed, size: int, kind: str):
    """The system image as qcow2, by qemu-img."""
    raw = testbed.system_image(size)
    options = {
        "plain": (),
        "zlib": ("-c", "-W", "-m", "16", "-o", "compression_type=zlib"),
        "zstd": ("-c", "-W", "-m", "16", "-o", "compression_type=zstd"),
    }[kind]
    convert = partial(run, "qemu-img", "convert", "-O", "qcow2", *options, raw)
    return testbed.made_once(f"system-{size}-{kind}.qcow2", convert)


def memory_disk(testbed: Testbed, kind: str) -> Places:
    size = min(testbed.size, memory_available() // 4 // (256 * MIB) * 256 * MIB)
    backing = testbed.memory_directory("memory", size) / "disk"
    places: Places = {
        "imgtool": testbed.imgtool,
        "image": testbed.system_image(size),
        "qcow2": converted(testbed, size, kind),
        "size": size,
        "target": testbed.loop(backing, size),
    }
    fill_with_stale_data(places["target"], backing)
    return places


def read_into_cache(places: Places, _first_round: bool) -> None:
    run("dd", f"if={places['qcow2']}", "of=/dev/null", "bs=1M", "status=none")


def reading(kind: str, factor: float, warm: bool) -> Case:
    return Case(
        name=f"qcow2-{kind}{'-warm' if warm else ''}",
        title=f"{kind} qcow2 to a disk in memory, {'from the page cache' if warm else 'cold'}",
        setup=partial(memory_disk, kind=kind),
        cold=not warm,
        prepare=read_into_cache if warm else nothing,
        contenders=[
            Contender(IMGTOOL, "{imgtool} burn --yes --verify=none {qcow2} {target}"),
            Contender(
                QEMU_DIRECT,
                "qemu-img convert -n -W -m 16 -t none -f qcow2 -O raw {qcow2} {target}",
            ),
        ],
        goals=[
            wall_within(IMGTOOL, 1 / factor, of=QEMU_DIRECT),
            peak_within(IMGTOOL, 128),
            result_is_right(IMGTOOL),
        ],
    )


# --- comparing -------------------------------------------------------------------------------


def raw_and_zlib(testbed: Testbed) -> Places:
    return {
        "imgtool": testbed.imgtool,
        "image": testbed.system_image(testbed.size),
        "qcow2": converted(testbed, testbed.size, "zlib"),
        "size": testbed.size,
    }


COMPARE = Case(
    name="qcow2-compare",
    title="a raw image and a zlib-compressed qcow2 of the same content",
    setup=raw_and_zlib,
    contenders=[
        Contender(IMGTOOL, "{imgtool} compare {image} {qcow2}", results=()),
        Contender(QEMU, "qemu-img compare -f raw -F qcow2 {image} {qcow2}", results=()),
    ],
    goals=[times_less(IMGTOOL, 2, QEMU, "wall_s", "wall"), peak_within(IMGTOOL, 256)],
)


# --- asking ----------------------------------------------------------------------------------


def scattered(testbed: Testbed, virtual_size: int, count: int) -> Places:
    make = partial(write_scattered_qcow2, virtual_size=virtual_size, count=count)
    return {
        "imgtool": testbed.imgtool,
        "qcow2": testbed.made_once(f"scattered-{count}.qcow2", make),
        "size": virtual_size,
    }


def asking(command: str, virtual_size: int, count: int, goal, warm: bool) -> Case:
    """One question that both answer: they take the same words."""
    return Case(
        name=f"qcow2-{command.split()[0]}{'-warm' if warm else ''}",
        title=f"{command}: {virtual_size // GIB} GiB with {count} scattered clusters, "
        f"{'from the page cache' if warm else 'cold'}",
        setup=partial(scattered, virtual_size=virtual_size, count=count),
        cold=not warm,
        contenders=[
            Contender(IMGTOOL, f"{{imgtool}} {command} --output=json {{qcow2}}", results=()),
            Contender(QEMU, f"qemu-img {command} -f qcow2 --output=json {{qcow2}}", results=()),
        ],
        goals=[wall_within(IMGTOOL, 1, of=QEMU), *goal, peak_within(IMGTOOL, 256)],
    )


TIB = 1024 * GIB
CASES = [
    *(
        reading(kind, factor, warm)
        for kind, factor in (("plain", 1), ("zlib", 2), ("zstd", 1.3))
        for warm in (False, True)
    ),
    COMPARE,
    *(
        case
        for warm in (False, True)
        for case in (
            asking("info", TIB, 100_000, [wall_seconds_within(IMGTOOL, 0.01)], warm),
            asking("map", TIB, 100_000, [], warm),
            asking("check", 100 * GIB, 163_840, [], warm),
        )
    ),
]
