"""One image to four disks at once. The disks live in memory, so no two share a medium."""

from __future__ import annotations

from cases import fio
from harness.contest import Case, Contender, Places
from harness.goals import peak_within, reads_once, result_is_right, wall_within_extreme
from harness.testbed import MIB, Testbed, fill_with_stale_data, memory_available

COUNT = 4
NAMES = tuple(f"target{number}" for number in range(COUNT))
WORDS = tuple(f"{{{name}}}" for name in NAMES)
ALL = f"imgtool burn, {COUNT} targets"
SINGLES = tuple(f"imgtool burn, only {name}" for name in NAMES)


def setup(testbed: Testbed) -> Places:
    size = min(testbed.size, memory_available() // (2 * COUNT) // (256 * MIB) * 256 * MIB)
    directory = testbed.memory_directory("memory", COUNT * size)
    places: Places = {
        "imgtool": testbed.imgtool,
        "image": testbed.dense_image(size),
        "size": size,
    }
    for name in NAMES:
        places[f"{name}_backing"] = directory / name
        places[name] = testbed.loop(directory / name, size)
    return places


def stale_in_first_round(places: Places, first_round: bool) -> None:
    if first_round:
        for name in NAMES:
            fill_with_stale_data(places[name], places[f"{name}_backing"])


FANOUT = Case(
    name="fanout",
    title=f"dense image to {COUNT} memory-backed disks at once",
    setup=setup,
    prepare=stale_in_first_round,
    contenders=[
        Contender(
            ALL, f"{{imgtool}} burn --yes --verify=none {{image}} {' '.join(WORDS)}", results=NAMES
        ),
        *(
            Contender(
                single, f"{{imgtool}} burn --yes --verify=none {{image}} {word}", results=(name,)
            )
            for single, word, name in zip(SINGLES, WORDS, NAMES)
        ),
        fio.limit("fio read + 1 write at once", fio.reading("{image}"), fio.writing(WORDS[0])),
        fio.limit(
            f"fio read + {COUNT} writes at once",
            fio.reading("{image}"),
            *(fio.writing(word) for word in WORDS),
        ),
        Contender(
            "dd bs=4M | tee",
            f"dd if={{image}} bs=4M iflag=direct status=none | tee {' '.join(WORDS[1:])}"
            f" > {WORDS[0]} && sync {' '.join(WORDS)}",
            needs=("tee",),
            results=NAMES,
        ),
        Contender(
            f"dcfldd, {COUNT} x of=",
            f"dcfldd if={{image}} bs=1M status=off {' '.join('of=' + word for word in WORDS)}"
            f" && sync {' '.join(WORDS)}",
            results=NAMES,
        ),
    ],
    goals=[
        wall_within_extreme(ALL, 1.15, SINGLES, slowest=True),
        reads_once(ALL),
        peak_within(ALL, 128),
        result_is_right(ALL),
    ],
)

CASES = [FANOUT]
