"""What each room of the house can include: the rooms that its arrows lead to, and nothing else.

ROOM_PATHS names a file with one line for each room: its folder, then the folders of its include
path, with ";" between. The compiler itself is asked.
"""

import os
import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A room, and those that it may include beside itself.
ARROWS = {
    "io": [],
    "io/devices": ["io"],
    "formats/bytes": ["io"],
    "formats/images": ["formats/bytes", "io"],
    "formats/disks": ["formats/bytes", "io"],
    "imgtool/terminal": ["io"],
    "imgtool/cli": ["imgtool/terminal", "formats/images", "formats/bytes", "io"],
    "imgtool/jobs": ["imgtool/cli", "imgtool/terminal", "formats/images", "formats/disks",
                     "formats/bytes", "io/devices", "io"],
    "imgtool/reports": ["imgtool/jobs", "imgtool/cli", "imgtool/terminal", "formats/images",
                        "formats/disks", "formats/bytes", "io/devices", "io"],
    "imgtool": ["imgtool/cli", "imgtool/terminal", "formats/images", "formats/bytes", "io"],
    "imgtool/commands": ["imgtool", "imgtool/reports", "imgtool/jobs", "imgtool/cli",
                         "imgtool/terminal", "formats/images", "formats/disks", "formats/bytes",
                         "io/devices", "io"],
}
COMPANIONS = ["imgtool/guest", "imgtool/virt"]
for companion in COMPANIONS:
    ARROWS[companion] = [room for room in ARROWS["imgtool/commands"]]


def room_of(header: str) -> str:
    """The innermost room that a header lies in."""
    return max((room for room in ARROWS if header.startswith(room + "/")), key=len)


def include_paths() -> dict[str, list[str]]:
    lines = pathlib.Path(os.environ["ROOM_PATHS"]).read_text().splitlines()
    return {fields[0]: fields[1:] for fields in (line.split(";") for line in lines)}


def preprocess(source: str, paths: list[str]) -> subprocess.CompletedProcess:
    # -I- as it were: what is compiled lies in no room, so that nothing is found beside it.
    command = [os.environ.get("CXX", "c++"), "-std=c++20", "-E", "-P", "-x", "c++", "-"]
    command += [f"-I{path}" for path in paths]
    return subprocess.run(command, input=source, capture_output=True, text=True, cwd="/",
                          check=False)


class Walls(unittest.TestCase):
    def setUp(self) -> None:
        self.paths = include_paths()
        self.headers = [str(path.relative_to(ROOT)) for top in ("io", "formats", "imgtool")
                        for path in sorted((ROOT / top).rglob("*.hpp"))]
        self.assertGreater(len(self.headers), 100)

    def test_every_room_is_known(self) -> None:
        built = set(self.paths)
        self.assertLessEqual(built, set(ARROWS))
        self.assertLessEqual(set(ARROWS) - set(COMPANIONS), built)

    def test_a_room_sees_itself_and_what_its_arrows_lead_to(self) -> None:
        for room, paths in self.paths.items():
            source = "".join(f'#if __has_include("{header}")\nsees {header}\n#endif\n'
                             for header in self.headers)
            answer = preprocess(source, paths)
            self.assertEqual(answer.returncode, 0, answer.stderr)
            seen = {line.removeprefix("sees ").replace(" ", "")
                    for line in answer.stdout.splitlines() if line.startswith("sees ")}
            allowed = {header for header in self.headers
                       if room_of(header) in [room, *ARROWS[room]]}
            self.assertEqual(seen, allowed, f"what {room} can include")

    def test_a_forbidden_include_does_not_compile(self) -> None:
        for room, header in [("formats/images", "formats/disks/disk_view.hpp"),
                             ("formats/disks", "formats/images/image.hpp"),
                             ("io", "io/devices/device_usage.hpp"),
                             ("formats/images", "io/devices/device_usage.hpp"),
                             ("imgtool/terminal", "imgtool/cli/options.hpp"),
                             ("imgtool/jobs", "imgtool/reports/burn_report.hpp")]:
            answer = preprocess(f'#include "{header}"\n', self.paths[room])
            self.assertNotEqual(answer.returncode, 0, f"{room} can include {header}")
            self.assertIn(header, answer.stderr)


if __name__ == "__main__":
    sys.exit(unittest.main())
