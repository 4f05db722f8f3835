"""Raw to qcow2, compressed and plain, and back: a file system with what an operating system has."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

from cases import fio
from harness.contest import Case, Contender, Places
from harness.goals import (
    no_slower_than_any,
    peak_within,
    result_is_right,
    smaller_than,
    wall_within,
)
from harness.testbed import MIB, Testbed, run

OURS = "imgtool convert"
QEMU = "qemu-img"
QEMU_FAST = "qemu-img -W -m16"
NBDCOPY = "nbdcopy --flush"


def files_of_usr(room: int) -> list[str]:
    """Names of as many files as need so many bytes of an ext4 file system."""
    sizes = subprocess.run(
        "find /usr -xdev -type f -size -256M -printf '%s %p\\n' | sort -k2", shell=True,
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()
    names = []
    for line in sizes:
        size, _, name = line.partition(" ")
        room -= -(-int(size) // 4096) * 4096 + 512
        if room < 0:
            break
        names.append(name)
    return names


def filled_from_usr(testbed: Testbed) -> Places:
    """An ext4 file system that holds as much of /usr as fits; its free space is a hole."""
    image = testbed.file("usr.img")
    tree = testbed.file("tree")
    tree.mkdir()
    testbed._case.callback(shutil.rmtree, tree, True)
    names = files_of_usr(int(testbed.size * 0.85))
    subprocess.run(
        f"tar -C / -cf - --files-from=- 2>/dev/null | tar -C {tree} -xf -", shell=True,
        input="\n".join(names), text=True, check=True,
    )
    run("mkfs.ext4", "-q", "-d", tree, image, f"{testbed.size >> 10}k")
    shutil.rmtree(tree)
    return {"imgtool": testbed.imgtool, "image": image, "size": testbed.size,
            "out": testbed.file("out.img"), "packed": testbed.file("packed.qcow2")}


def packed_by(codec: str):
    def setup(testbed: Testbed) -> Places:
        places = filled_from_usr(testbed)
        run("qemu-img", "convert", "-c", "-W", "-m", 16, "-f", "raw", "-O", "qcow2",
            "-o", f"compression_type={codec}", places["image"], places["packed"])
        return places
    return setup


def no_output_yet(places: Places, _first_round: bool) -> None:
    with contextlib.suppress(OSError):
        places["out"].unlink()


def same_disk(places: Places, result: str, kind: str | None = None) -> str:
    """By content, whatever the format; and how large it became."""
    stated = [] if kind is None else ["-F", kind]
    done = subprocess.run(["qemu-img", "compare", *stated, places["image"], places[result]],
                          capture_output=True, text=True, check=False)
    print(f"    {places[result].stat().st_size / MIB:.0f} MiB", flush=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def contenders(ours: str, theirs: str, result: str = "out") -> list[Contender]:
    return [
        Contender(OURS, f"{{imgtool}} convert --force {ours}", results=(result,)),
        Contender(QEMU, f"qemu-img convert {theirs} && sync {{out}}", results=(result,)),
        Contender(QEMU_FAST, f"qemu-img convert -W -m 16 {theirs} && sync {{out}}",
                  results=(result,)),
    ]


def compressed(codec: str, fast: float, plain: float) -> Case:
    theirs = f"-c -f raw -O qcow2 -o compression_type={codec} {{image}} {{out}}"
    return Case(
        name=f"compress-{codec}",
        title=f"an operating system's files to compressed qcow2, {codec}",
        setup=filled_from_usr,
        prepare=no_output_yet,
        check=same_disk,
        contenders=contenders(f"-c --codec {codec} -O qcow2 {{image}} {{out}}", theirs),
        goals=[
            wall_within(OURS, 1 / fast, of=QEMU_FAST),
            wall_within(OURS, 1 / plain, of=QEMU),
            smaller_than(OURS, QEMU_FAST),
            peak_within(OURS, 272),
            result_is_right(OURS),
        ],
    )


def decompressed(codec: str, factor: float) -> Case:
    return Case(
        name=f"decompress-{codec}",
        title=f"compressed qcow2, {codec}, to raw",
        setup=packed_by(codec),
        prepare=no_output_yet,
        check=same_disk,
        contenders=contenders("-O raw {packed} {out}", "-f qcow2 -O raw {packed} {out}"),
        goals=[wall_within(OURS, 1 / factor, of=QEMU_FAST), result_is_right(OURS)],
    )


QEMU_DIRECT = "qemu-img -W -m16 -t/-T none"


def plain(name: str, title: str, output: str) -> Case:
    theirs = f"-f raw -O {output} {{image}} {{out}}"
    rivals = [
        Contender(QEMU_DIRECT, f"qemu-img convert -W -m 16 -t none -T none {theirs}",
                  results=("out",)),
    ]
    if output == "raw":
        rivals.append(Contender(NBDCOPY, "nbdcopy --flush -- {image} {out}", results=("out",)))
        rivals.append(fio.limit("fio read + write at once", fio.reading("{image}"),
                                fio.writing("{out}", size="{size}")))
    names = [QEMU, QEMU_FAST, *(rival.name for rival in rivals if not rival.is_limit)]
    return Case(
        name=name, title=title, setup=filled_from_usr, prepare=no_output_yet, check=same_disk,
        contenders=contenders(f"-O {output} {{image}} {{out}}", theirs) + rivals,
        goals=[no_slower_than_any(OURS, tuple(names)), result_is_right(OURS)],
    )


CASES = [
    compressed("zlib", 3, 5),
    compressed("zstd", 2, 2.5),
    decompressed("zlib", 2),
    decompressed("zstd", 1.3),
    plain("raw-to-raw", "an operating system's files, raw to raw", "raw"),
    plain("raw-to-qcow2", "an operating system's files, raw to plain qcow2", "qcow2"),
]
