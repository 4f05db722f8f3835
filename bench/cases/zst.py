"""Raw to a zst that can be read at any place, and such a file back to the disk's bytes."""

from __future__ import annotations

from cases.convert import filled_from_usr
from harness.contest import Case, Contender, Places
from harness.goals import no_slower_than_any, peak_within, result_is_right, wall_within
from harness.testbed import Testbed, differences, fill_with_stale_data, run

OURS = "imgtool convert -O zst"
ZSTD = "zstd -T0"
DECODE = "imgtool burn from zst"
DECODE_STREAM = "imgtool burn from zstd's file"
UNZSTD = "zstd -d"


def half_empty(testbed: Testbed) -> Places:
    """As a disk image is: a file system with as much room again behind what it holds."""
    places = filled_from_usr(testbed)
    run("truncate", "-s", testbed.size * 2, places["image"])
    return {**places, "size": testbed.size * 2, "out": testbed.file("out.zst")}


def plain(testbed: Testbed) -> Places:
    return {**filled_from_usr(testbed), "out": testbed.file("out.zst")}


def no_output_yet(places: Places, _first_round: bool) -> None:
    places["out"].unlink(missing_ok=True)


def zstd_reads_it(places: Places, result: str) -> str:
    restored = places["image"].with_name("restored.img")
    try:
        run("zstd", "-q", "-d", "--sparse", "-f", places[result], "-o", restored)
        return differences(places["image"], restored)
    finally:
        restored.unlink(missing_ok=True)


def compress(name: str, title: str, setup, factor: float) -> Case:
    return Case(
        name=name,
        title=title,
        setup=setup,
        prepare=no_output_yet,
        check=zstd_reads_it,
        contenders=[
            Contender(OURS, "{imgtool} convert -O zst --level 3 {image} {out}", results=("out",)),
            Contender(
                ZSTD, "zstd -q -T0 -3 -f {image} -o {out} && sync {out}", results=("out",),
                needs=("zstd",),
            ),
        ],
        goals=[
            wall_within(OURS, factor, of=ZSTD),
            peak_within(OURS, 256 + 16),
            result_is_right(OURS),
        ],
    )


def packed_in_memory(testbed: Testbed) -> Places:
    """Both files are in the page cache and the target in memory: no disk hides the decoding. The
    target's pages are there already: where a virtual machine gets them from its host one by one,
    that takes longer than the decoding."""
    places = filled_from_usr(testbed)
    ours, theirs = testbed.file("ours.zst"), testbed.file("theirs.zst")
    run(testbed.imgtool, "convert", "-O", "zst", "--level", "3", places["image"], ours)
    run("zstd", "-q", "-T0", "-3", places["image"], "-o", theirs)
    target = testbed.memory_directory("memory", testbed.size) / "out.img"
    run("truncate", "-s", testbed.size, target)
    return {**places, "ours": ours, "theirs": theirs, "target": target}


def warm_over_old_data(places: Places, _first_round: bool) -> None:
    fill_with_stale_data(places["target"], places["target"])
    for packed in ("ours", "theirs"):
        run("dd", f"if={places[packed]}", "of=/dev/null", "bs=4M", "status=none")


BURN = "{imgtool} burn --yes --force --verify=none"

CASES = [
    compress("zst", "raw to zst", plain, 1),
    compress("zst-half-empty", "a half-empty disk to zst", half_empty, 1 / 1.5),
    Case(
        name="zst-decode",
        title="zst over old data in memory",
        setup=packed_in_memory,
        prepare=warm_over_old_data,
        contenders=[
            Contender(DECODE, BURN + " {ours} {target}"),
            Contender(DECODE_STREAM, BURN + " {theirs} {target}"),
            Contender(
                UNZSTD, "zstd -q -d -c {theirs} 1<>{target}", needs=("zstd",)
            ),
        ],
        goals=[
            wall_within(DECODE, 1 / 1.8, of=UNZSTD),
            no_slower_than_any(DECODE, (UNZSTD,)),
            result_is_right(DECODE),
            result_is_right(DECODE_STREAM),
        ],
    ),
]
