"""An image to a disk: dense, half-sparse, and with every byte read back."""

from __future__ import annotations

from cases import fio
from harness.contest import Case, Contender, Places
from harness.goals import (
    no_slower_than_any,
    peak_within,
    result_is_right,
    times_less,
    wall_within,
    wall_within_sum,
)
from harness.testbed import (
    Testbed,
    fill_with_stale_data,
    is_fully_allocated,
    run,
)

FIO_BOTH = "fio read + write at once"
FIO_READ_BACK = "fio read of the target"
DD_USERS = "dd bs=10M conv=fsync"
DD_1M = "dd bs=1M direct"
DD_4M = "dd bs=4M direct"
NBDCOPY = "nbdcopy --flush"
QEMU = "qemu-img"
QEMU_DIRECT = "qemu-img -W -m16 -t/-T none"
BURN = "imgtool burn"
BURN_VERIFIED = "imgtool burn, verified"

# Who flushes by itself (seen with strace): dd conv=fsync, nbdcopy --flush, bmaptool, qemu-img with
# -t none or -t writeback. qemu-img without -t, ddrescue and dcfldd do not, so sync follows them.
TO_BLOCK_DEVICE = [
    Contender(DD_USERS, "dd if={image} of={target} bs=10M conv=fsync status=none"),
    Contender(
        DD_1M,
        "dd if={image} of={target} bs=1M iflag=direct oflag=direct conv=fsync status=none",
    ),
    Contender(
        DD_4M,
        "dd if={image} of={target} bs=4M iflag=direct oflag=direct conv=fsync status=none",
    ),
    Contender(NBDCOPY, "nbdcopy --flush -- {image} {target}"),
    Contender(QEMU, "qemu-img convert -n -f raw -O raw {image} {target} && sync {target}"),
    Contender(
        QEMU_DIRECT,
        "qemu-img convert -n -W -m 16 -t none -T none -f raw -O raw {image} {target}",
    ),
    Contender("ddrescue -d -D", "ddrescue -q -f -d -D {image} {target} && sync {target}"),
    Contender(
        "dcfldd bs=1M", "dcfldd if={image} of={target} bs=1M status=off && sync {target}"
    ),
]
IMGTOOL = Contender(BURN, "{imgtool} burn --yes --verify=none {image} {target}")


def disk_with(image_name: str, with_bmap: bool = False):
    """A setup: the named image of the testbed, and a disk on the same file system."""

    def setup(testbed: Testbed) -> Places:
        image = getattr(testbed, image_name)(testbed.size)
        backing = testbed.file("target.backing")
        places: Places = {
            "imgtool": testbed.imgtool,
            "image": image,
            "size": testbed.size,
            "backing": backing,
            "target": testbed.loop(backing, testbed.size),
        }
        if with_bmap:
            places["bmap"] = testbed.file("image.bmap")
            run("bmaptool", "-q", "create", "-o", places["bmap"], image)
        return places

    return setup


def stale_before_first_run(places: Places, first_round: bool) -> None:
    """So that a contender that writes nothing cannot live on its predecessor's work."""
    if first_round or not is_fully_allocated(places["backing"]):
        fill_with_stale_data(places["target"], places["backing"])


def stale_before_every_run(places: Places, _first_round: bool) -> None:
    fill_with_stale_data(places["target"], places["backing"])


DENSE = Case(
    name="dense",
    title="dense image to a disk",
    setup=disk_with("dense_image"),
    prepare=stale_before_first_run,
    contenders=[
        IMGTOOL,
        fio.limit(FIO_BOTH, fio.reading("{image}"), fio.writing("{target}")),
        *TO_BLOCK_DEVICE,
        Contender("bmaptool --nobmap", "bmaptool -q copy --nobmap {image} {target}"),
    ],
    goals=[
        wall_within(BURN, 1.1, of=FIO_BOTH),
        no_slower_than_any(BURN, (DD_1M, DD_4M, NBDCOPY, QEMU, QEMU_DIRECT)),
        times_less(BURN, 3, DD_USERS, "wall_s", "wall"),
        times_less(BURN, 10, DD_USERS, "cpu_s", "CPU seconds"),
        peak_within(BURN, 128),
        result_is_right(BURN),
    ],
)

SPARSE = Case(
    name="sparse",
    title="half-sparse image to a disk full of old data",
    setup=disk_with("half_sparse_image", with_bmap=True),
    prepare=stale_before_every_run,
    contenders=[
        IMGTOOL,
        *TO_BLOCK_DEVICE,
        Contender("bmaptool --bmap", "bmaptool -q copy --bmap {bmap} {image} {target}"),
    ],
    goals=[
        no_slower_than_any(BURN, (NBDCOPY, QEMU, QEMU_DIRECT)),
        peak_within(BURN, 128),
        result_is_right(BURN),
    ],
)

VERIFIED = Case(
    name="verified",
    title="dense image to a disk and every byte read back",
    setup=disk_with("dense_image"),
    prepare=stale_before_first_run,
    contenders=[
        Contender(BURN_VERIFIED, "{imgtool} burn --yes --verify=full {image} {target}"),
        fio.limit(FIO_BOTH, fio.reading("{image}"), fio.writing("{target}")),
        fio.limit(FIO_READ_BACK, fio.reading("{target}")),
        Contender(
            "dd bs=4M direct, cmp",
            "dd if={image} of={target} bs=4M iflag=direct oflag=direct conv=fsync status=none"
            " && cmp -n {size} {image} {target}",
            needs=("cmp",),
        ),
        Contender(
            "dd bs=10M, drop caches, cmp",
            "dd if={image} of={target} bs=10M conv=fsync status=none"
            " && echo 1 > /proc/sys/vm/drop_caches && cmp -n {size} {image} {target}",
            needs=("cmp",),
        ),
    ],
    goals=[
        wall_within_sum(BURN_VERIFIED, 1.1, (FIO_BOTH, FIO_READ_BACK)),
        peak_within(BURN_VERIFIED, 128),
        result_is_right(BURN_VERIFIED),
    ],
)

CASES = [DENSE, SPARSE, VERIFIED]
