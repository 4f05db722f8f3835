"""A disk for a running guest, in guest and configuration: one round trip to libvirtd for virsh, and for
imgtool a look at all domains and at this host first."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.contest import Case, Contender, Places
from harness.goals import result_is_right, wall_within
from harness.testbed import MIB, BenchError, Testbed, run

IMGTOOL = "imgtool attach"
VIRSH = "virsh attach-disk"
GUEST = "bench"
NEIGHBOURS = 4  # domains that have a disk each


def libvirt() -> object:
    """A libvirtd of our own, which ends with this process."""
    sys.path.append(str(Path(__file__).resolve().parents[2] / "tests/support"))
    import libvirt_testing

    return libvirt_testing.Libvirt.shared()


def setup(testbed: Testbed) -> Places:
    try:
        daemon = libvirt()
    except OSError as error:  # no libvirtd, no unshare ...
        raise BenchError(f"no libvirtd of our own: {error}") from error
    for number in range(NEIGHBOURS):
        name = f"neighbour{number}"
        disk = testbed.file(f"{name}.img")
        run("truncate", "-s", 64 * MIB, disk)
        xml = f"<disk type='file'><source file='{disk}'/><target dev='sda' bus='scsi'/></disk>"
        daemon.define(name, disks=xml)
    daemon.define(GUEST, ports=0)
    daemon.virsh("start", GUEST)
    image = testbed.file("disk.img")
    run("truncate", "-s", 64 * MIB, image)
    return {
        "imgtool": testbed.imgtool,
        "size": 64 * MIB,
        "uri": daemon.uri,
        "guest": GUEST,
        "image": image,
        "daemon": daemon,
    }


def take_off(places: Places, _first_round: bool) -> None:
    daemon = places["daemon"]
    for half in ("live", "config"):
        for target in daemon.disks(GUEST, half):
            daemon.virsh("detach-disk", GUEST, target, f"--{half}")


def in_both_halves(places: Places, _result: str) -> str:
    daemon = places["daemon"]
    halves = [list(daemon.disks(GUEST, half)) for half in ("live", "config")]
    return "" if halves == [["sda"], ["sda"]] else f"attached as {halves}"


CASES = [
    Case(
        name="attach",
        title="a disk for a running guest",
        setup=setup,
        prepare=take_off,
        check=in_both_halves,
        cold=False,
        contenders=[
            Contender(
                IMGTOOL,
                "{imgtool} attach -c '{uri}' --domain {guest} --source {image} >/dev/null",
                results=("guest",),
            ),
            Contender(
                VIRSH,
                "virsh -q -c '{uri}' attach-disk {guest} {image} sda --targetbus scsi"
                " --subdriver raw --live --config",
                results=("guest",),
            ),
        ],
        goals=[wall_within(IMGTOOL, 1.2, VIRSH), result_is_right(IMGTOOL)],
    )
]
