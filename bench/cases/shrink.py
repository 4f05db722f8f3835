"""A golden image made smaller: shrink -c beside the four tools that it takes today."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cases.convert import files_of_usr
from harness.contest import Case, Contender, Places
from harness.goals import result_is_right, smaller_than, times_less
from harness.testbed import MIB, Testbed, run

SHRINK = "imgtool shrink -c"
CHAIN = "resize2fs, virt-resize, virt-sparsify, qemu-img -c"

# Of a disk of 4 GiB, in MiB.
ESP, ROOT, SWAP = (1, 256), (257, 3328), (3585, 500)
FILES = 200 * MIB
GARBAGE = 400 * MIB
# What the chain is told: as large as what shrink makes of the file system, and a disk around it.
SMALL_ROOT, SMALL_DISK = 400, 1200

# Its first three steps work on a copy, which is not counted; all emulate, as imgtool does.
EMULATED = "env LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg"
CHAIN_COMMAND = (
    f"{EMULATED} guestfish -a {{copy}} run : e2fsck-f /dev/sda2 : "
    f"resize2fs-size /dev/sda2 {SMALL_ROOT}M && "
    f"truncate -s {SMALL_DISK}M {{middle}} && "
    f"{EMULATED} virt-resize --quiet --format raw --output-format raw "
    f"--resize-force /dev/sda2={SMALL_ROOT}M {{copy}} {{middle}} && "
    f"{EMULATED} virt-sparsify --quiet --format raw {{middle}} {{thin}} && "
    "qemu-img convert -c -O qcow2 {thin} {out} && sync {out}")


def loop(image: Path, place: tuple[int, int]) -> str:
    return run("losetup", "-f", "--show", "-o", place[0] * MIB, "--sizelimit", place[1] * MIB,
               image).strip()


def golden_image(testbed: Testbed) -> Places:
    image, folder = testbed.file("golden.img"), testbed.file("mounted")
    run("truncate", "-s", 4096 * MIB, image)
    names = ("ef00", "8300", "8200")
    run("sgdisk", *[word for number, (place, kind) in enumerate(zip((ESP, ROOT, SWAP), names), 1)
                    for word in ("-n", f"{number}:{place[0]}M:+{place[1]}M",
                                 "-t", f"{number}:{kind}")], image)
    folder.mkdir()
    for place, command in ((ESP, ("mkfs.vfat", "-I")), (SWAP, ("mkswap", "-q")),
                           (ROOT, ("mkfs.ext4", "-q"))):
        device = loop(image, place)
        try:
            run(*command, device)
            if place is ROOT:
                run("mount", device, folder)
                try:
                    fill(folder)
                finally:
                    run("umount", folder)
        finally:
            run("losetup", "-d", device)
    folder.rmdir()
    return {"imgtool": testbed.imgtool, "image": image, "size": 4096 * MIB,
            **{name: testbed.file(f"{name}.img") for name in ("copy", "middle", "thin", "out")}}


def fill(folder: Path) -> None:
    """Garbage in front, so that the files have to be moved; then it is deleted."""
    with (folder / "gone").open("wb") as file:
        for _ in range(GARBAGE // MIB):
            file.write(os.urandom(MIB))
    os.sync()
    subprocess.run(f"tar -C / -cf - --files-from=- 2>/dev/null | tar -C {folder} -xf -",
                   shell=True, input="\n".join(files_of_usr(FILES)), text=True, check=True)
    (folder / "gone").unlink()
    os.sync()


def fresh_copy(places: Places, _first_round: bool) -> None:
    for name in ("middle", "thin", "out"):
        places[name].unlink(missing_ok=True)
    run("cp", "--sparse=always", places["image"], places["copy"])


def same_root(places: Places, result: str) -> str:
    """The disk is smaller, and its second partition is clean and holds the same files."""
    raw = places["middle"]
    run("qemu-img", "convert", "-O", "raw", places[result], raw)
    if os.path.getsize(raw) >= os.path.getsize(places["image"]):
        return "the disk is not smaller"
    devices, folders = [], []
    try:
        for image in (places["image"], raw):
            lines = [line.split() for line in run("sgdisk", "-p", image).splitlines()]
            start, end = next((int(words[1]), int(words[2])) for words in lines
                              if words[:1] == ["2"])
            devices.append(run("losetup", "-f", "--show", "-r", "-o", start * 512, "--sizelimit",
                               (end + 1 - start) * 512, image).strip())
            folders.append(places["image"].with_name(f"side{len(folders)}"))
            folders[-1].mkdir()
            run("mount", "-o", "ro,noload", devices[-1], folders[-1])
        if subprocess.run(["e2fsck", "-fn", devices[1]], capture_output=True,
                          check=False).returncode:
            return "e2fsck finds faults"
        done = subprocess.run(["diff", "-r", "--no-dereference", *folders], capture_output=True,
                              text=True, check=False)
        return "" if done.returncode == 0 else done.stdout[:200]
    finally:
        for folder in folders:
            subprocess.run(["umount", folder], check=False)
            folder.rmdir()
        for device in devices:
            run("losetup", "-d", device)
        raw.unlink()


CASES = [
    Case(
        name="shrink", title="a golden image of 4 GiB to a smaller disk, compressed",
        setup=golden_image, prepare=fresh_copy, check=same_root,
        contenders=[
            Contender(SHRINK, "env LIBGUESTFS_BACKEND_SETTINGS=force_tcg "
                      "{imgtool} shrink -c -O qcow2 {image} {out}", results=("out",),
                      needs=("qemu-system-x86_64",)),
            Contender(CHAIN, CHAIN_COMMAND, results=("out",),
                      needs=("virt-resize", "virt-sparsify", "guestfish", "qemu-img")),
        ],
        goals=[times_less(SHRINK, 4, CHAIN, "wall_s", "wall"), smaller_than(SHRINK, CHAIN),
               result_is_right(SHRINK)],
    ),
]
