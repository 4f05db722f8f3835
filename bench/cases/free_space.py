"""A disk whose file system is 60 % full, with deleted files' garbage in the rest: what it takes to
find the free space, and what leaving it out saves."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cases.convert import files_of_usr
from harness.contest import Case, Contender, Places, nothing
from harness.goals import (
    peak_within,
    reads_at_most,
    result_is_right,
    smaller_than,
    times_less,
    wall_seconds_within,
    wall_within,
)
from harness.testbed import GIB, MIB, Testbed, run

IN_USE = 0.6
GARBAGE = 1.5 / 16

ANALYZE = "imgtool analyze"
DEEP = "imgtool analyze --deep"
READ = "dd bs=1M direct, to nowhere"
FULL = "imgtool capture"
USED = "imgtool capture --used"
DROP = "imgtool compress --drop-free"
SPARSIFY = "virt-sparsify, qemu-img convert -c"


def fill(folder: Path) -> None:
    """Files of /usr up to IN_USE of the file system; then garbage that is deleted again."""
    status = os.statvfs(folder)
    total = status.f_blocks * status.f_frsize

    def used() -> int:
        now = os.statvfs(folder)
        return total - now.f_bfree * now.f_frsize

    names = files_of_usr(int(total * (IN_USE - 0.02)) - used())
    subprocess.run(f"tar -C / -cf - --files-from=- 2>/dev/null | tar -C {folder} -xf -",
                   shell=True, input="\n".join(names), text=True, check=True)
    for name, length in (("rest", int(total * IN_USE) - used()), ("gone", int(total * GARBAGE))):
        with (folder / name).open("wb") as file:
            while length > 0:
                length -= file.write(os.urandom(min(length, 16 * MIB)))
            os.fsync(file.fileno())
    (folder / "gone").unlink()
    os.sync()


def worn_image(testbed: Testbed) -> Path:
    image = testbed.file("disk.img")
    folder = testbed.file("mounted")
    run("truncate", "-s", testbed.size, image)
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image)
    folder.mkdir()
    run("mount", "-o", "loop,nodiscard", image, folder)
    try:
        fill(folder)
    finally:
        run("umount", folder)
        folder.rmdir()
    return image


def worn_file(testbed: Testbed) -> Places:
    return {"imgtool": testbed.imgtool, "image": worn_image(testbed), "size": testbed.size,
            "out": testbed.file("out.qcow2"), "middle": testbed.file("middle.img"),
            "free_ranges": Path(testbed.imgtool).with_name("free_ranges")}


def worn_disk(testbed: Testbed) -> Places:
    places = worn_file(testbed)
    backing = testbed.file("disk.backing")
    run("cp", "--sparse=never", places["image"], backing)  # a disk's zeros have to be read
    os.sync()
    return {**places, "disk": testbed.loop_over(backing)}


def worn_disk_and_memory(testbed: Testbed) -> Places:
    """The image goes to another place than the disk comes from, which then does not wait."""
    places = worn_disk(testbed)
    return {**places, "out": testbed.memory_directory("memory", testbed.size) / "out.img"}


def no_output_yet(places: Places, _first_round: bool) -> None:
    for name in ("out", "middle"):
        places[name].unlink(missing_ok=True)


def same_files(places: Places, result: str) -> str:
    """What is in use equals the image's: the file system is clean, and its files are the same."""
    raw = places["middle"]
    run("qemu-img", "convert", "-O", "raw", places[result], raw)
    try:
        if subprocess.run(["e2fsck", "-fn", raw], capture_output=True, check=False).returncode:
            return "e2fsck finds faults"
        folders = [places["image"].with_name(name) for name in ("left", "right")]
        for folder, image in zip(folders, (places["image"], raw)):
            folder.mkdir()
            run("mount", "-o", "loop,ro", image, folder)
        done = subprocess.run(["diff", "-r", "--no-dereference", *folders], capture_output=True,
                              text=True, check=False)
        for folder in folders:
            run("umount", folder)
            folder.rmdir()
        return "" if done.returncode == 0 else done.stdout[:200]
    finally:
        raw.unlink()


def sparse_tebibyte(testbed: Testbed) -> Places:
    image = testbed.file("tebibyte.img")
    run("truncate", "-s", 1024 * GIB, image)
    run("mkfs.ext4", "-q", image)
    return {"imgtool": testbed.imgtool, "image": image, "size": 1024 * GIB}


def two_tebibytes(kind: str):
    def setup(testbed: Testbed) -> Places:
        image = testbed.file(f"{kind}.img")
        run("truncate", "-s", 2048 * GIB, image)
        run(*{"xfs": ("mkfs.xfs", "-q", image), "ntfs": ("mkntfs", "-Q", "-F", "-q", image)}[kind])
        return {"imgtool": testbed.imgtool, "size": 2048 * GIB, "image": image,
                "free_ranges": Path(testbed.imgtool).with_name("free_ranges")}
    return setup


def mapping(name: str, title: str, setup, seconds: float, cold: bool) -> Case:
    us = "the map of what is free"
    return Case(
        name=name, title=title, setup=setup, cold=cold, prepare=nothing,
        contenders=[Contender(us, "{free_ranges} {image} > /dev/null", results=())],
        goals=[wall_seconds_within(us, seconds), peak_within(us, 64)],
    )


def capturing(name: str, title: str, setup) -> Case:
    return Case(
        name=name, title=title, setup=setup, prepare=no_output_yet, check=same_files,
        contenders=[
            Contender(FULL, "{imgtool} capture {disk} {out}", results=()),
            Contender(USED, "{imgtool} capture --used {disk} {out}", results=("out",)),
        ],
        goals=[wall_within(USED, 1.1 * IN_USE, of=FULL), reads_at_most(USED, IN_USE * 1.02, of=FULL),
               result_is_right(USED)],
    )


CASES = [
    mapping("free-map", "ext4, cold", worn_file, 0.5, cold=True),
    mapping("free-map-warm", "ext4, from the page cache", worn_file, 0.02, cold=False),
    mapping("free-map-xfs", "an XFS of 2 TiB", two_tebibytes("xfs"), 1, cold=True),
    mapping("free-map-ntfs", "an NTFS of 2 TiB", two_tebibytes("ntfs"), 1, cold=True),
    capturing("capture-used", "a disk, whole and what is in use, to an image beside it", worn_disk),
    capturing("capture-used-memory", "a disk, whole and what is in use, to memory",
              worn_disk_and_memory),
    Case(
        name="drop-free", title="what is in use to a compressed qcow2",
        setup=worn_file, prepare=no_output_yet, check=same_files,
        contenders=[
            Contender(DROP, "{imgtool} compress --drop-free {image} {out}", results=("out",)),
            Contender(SPARSIFY, "env LIBGUESTFS_BACKEND=direct "
                      "LIBGUESTFS_BACKEND_SETTINGS=force_tcg "
                      "virt-sparsify --quiet {image} {middle} && "
                      "qemu-img convert -c -O qcow2 {middle} {out} && sync {out}",
                      results=("out",), needs=("virt-sparsify",)),
        ],
        goals=[times_less(DROP, 5, SPARSIFY, "wall_s", "wall"),
               smaller_than(DROP, SPARSIFY), result_is_right(DROP)],
    ),
    Case(
        name="analyze", title="a sparse disk of 1 TiB", setup=sparse_tebibyte,
        contenders=[Contender(ANALYZE, "{imgtool} analyze {image}", results=())],
        goals=[wall_seconds_within(ANALYZE, 2), peak_within(ANALYZE, 128)],
    ),
    Case(
        name="analyze-deep", title="all that is stored, looked through for zeros",
        setup=worn_disk,
        contenders=[
            Contender(DEEP, "{imgtool} analyze --deep {disk}", results=()),
            Contender(READ, "dd if={disk} of=/dev/null bs=1M iflag=direct status=none",
                      results=()),
        ],
        goals=[wall_within(DEEP, 1.1, of=READ)],
    ),
]
