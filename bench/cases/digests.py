"""What it costs to know the content's digest, and how long a start takes."""

from __future__ import annotations

from cases.burn import disk_with, stale_before_first_run
from harness.contest import Case, Contender, Places
from harness.goals import result_is_right, wall_seconds_within, wall_within
from harness.testbed import Testbed, run

OFF = "imgtool burn, digests off"
ON = "imgtool burn, xxh3 checked"
SHA = "imgtool burn, sha256 checked"


def disk_and_known_digests(testbed: Testbed) -> Places:
    places = disk_with("dense_image")(testbed)
    for algorithm in ("xxh3", "sha256"):
        answer = run(testbed.imgtool, "hash", "--algorithm", algorithm, places["image"])
        places[algorithm] = answer.split()[0]
    return places


DIGESTS = Case(
    name="digests",
    title="dense image to a disk, with and without digests",
    setup=disk_and_known_digests,
    prepare=stale_before_first_run,
    contenders=[
        Contender(OFF, "{imgtool} burn --yes --verify=none {image} {target}"),
        Contender(ON, "{imgtool} burn --yes --verify=none --digest xxh3:{xxh3} {image} {target}"),
        Contender(
            SHA, "{imgtool} burn --yes --verify=none --digest sha256:{sha256} {image} {target}"
        ),
        Contender(
            "dcfldd hash=sha256",
            "dcfldd if={image} of={target} bs=1M hash=sha256 status=off && sync {target}",
        ),
    ],
    goals=[wall_within(ON, 1.05, of=OFF), result_is_right(ON)],
)


def image_only(testbed: Testbed) -> Places:
    image = testbed.dense_image(testbed.size)
    return {"imgtool": testbed.imgtool, "image": image, "size": testbed.size}


HASH = Case(
    name="hash",
    title="digest of a dense image",
    setup=image_only,
    contenders=[
        Contender("imgtool hash", "{imgtool} hash {image}", results=()),
        Contender("imgtool hash xxh3", "{imgtool} hash --algorithm xxh3 {image}", results=()),
        Contender("sha256sum", "sha256sum {image}", results=()),
        Contender("openssl sha256", "openssl dgst -sha256 {image}", results=()),
        Contender("xxhsum -H3", "xxhsum -H3 {image}", results=()),
    ],
    goals=[],
)


def tiny_image(testbed: Testbed) -> Places:
    size = 4096
    return {
        "imgtool": testbed.imgtool,
        "image": testbed.dense_image(size),
        "size": size,
        "target": testbed.file("tiny.out"),
    }


def no_target_yet(places: Places, _first_round: bool) -> None:
    places["target"].unlink(missing_ok=True)


START = Case(
    name="start",
    title="the shortest burn: 4 KiB to a file, from start to exit",
    cold=False,
    setup=tiny_image,
    prepare=no_target_yet,
    contenders=[
        Contender("imgtool burn", "{imgtool} burn --verify=none {image} {target}"),
        Contender("dd", "dd if={image} of={target} bs=4096 conv=fsync status=none"),
        Contender("qemu-img", "qemu-img convert -f raw -O raw {image} {target} && sync {target}"),
    ],
    goals=[wall_seconds_within("imgtool burn", 0.02)],
)

CASES = [DIGESTS, HASH, START]
