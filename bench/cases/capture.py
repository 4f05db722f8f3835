"""A disk to a sparse file."""

from __future__ import annotations

from cases import fio
from harness.contest import Case, Contender, Places
from harness.goals import no_slower_than_any, peak_within, result_is_right
from harness.testbed import Testbed, allocated_bytes, differences, run

CAPTURE = "imgtool capture"
NBDCOPY = "nbdcopy --flush"
QEMU = "qemu-img"
QEMU_DIRECT = "qemu-img -W -m16 -t/-T none"
DD_SPARSE = "dd bs=1M direct, conv=sparse"


def setup(testbed: Testbed) -> Places:
    image = testbed.half_sparse_image(testbed.size)
    backing = testbed.file("disk.backing")
    run("dd", f"if={image}", f"of={backing}", "bs=16M", "conv=fsync")  # its holes become zeros
    return {
        "imgtool": testbed.imgtool,
        "image": image,
        "size": testbed.size,
        "data_size": allocated_bytes(image),
        "disk": testbed.loop_over(backing),
        "out": testbed.file("captured.img"),
    }


def no_output_yet(places: Places, _first_round: bool) -> None:
    places["out"].unlink(missing_ok=True)


def equal_and_sparse(places: Places, result: str) -> str:
    if wrong := differences(places["image"], places[result]):
        return wrong
    stored, needed = allocated_bytes(places[result]), places["data_size"]
    return "" if stored <= needed * 1.02 else f"not sparse: {stored / needed:.2f} x the data"


CASE = Case(
    name="capture",
    title="a half-empty disk to a sparse file",
    setup=setup,
    prepare=no_output_yet,
    check=equal_and_sparse,
    contenders=[
        Contender(CAPTURE, "{imgtool} capture {disk} {out}", results=("out",)),
        fio.limit(
            "fio read all + write data at once",
            fio.reading("{disk}"),
            fio.writing("{out}", size="{data_size}"),
        ),
        Contender(
            DD_SPARSE,
            "dd if={disk} of={out} bs=1M iflag=direct conv=sparse,fsync status=none",
            results=("out",),
        ),
        Contender(
            "dd bs=10M conv=fsync",
            "dd if={disk} of={out} bs=10M conv=fsync status=none",
            results=("out",),
        ),
        Contender(NBDCOPY, "nbdcopy --flush -- {disk} {out}", results=("out",)),
        Contender(
            QEMU, "qemu-img convert -f raw -O raw {disk} {out} && sync {out}", results=("out",)
        ),
        Contender(
            QEMU_DIRECT,
            "qemu-img convert -W -m 16 -t none -T none -f raw -O raw {disk} {out}",
            results=("out",),
        ),
        Contender(
            "ddrescue -d -S", "ddrescue -q -d -S {disk} {out} && sync {out}", results=("out",)
        ),
        Contender(
            "dcfldd bs=1M",
            "dcfldd if={disk} of={out} bs=1M status=off && sync {out}",
            results=("out",),
        ),
    ],
    goals=[
        no_slower_than_any(CAPTURE, (DD_SPARSE, NBDCOPY, QEMU, QEMU_DIRECT)),
        peak_within(CAPTURE, 128),
        result_is_right(CAPTURE),
    ],
)

CASES = [CASE]
