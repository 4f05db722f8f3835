#!/usr/bin/env python3
"""Writes the seed corpora below tests/fuzz/corpus: one folder per fuzz target, small files.

Run it after a change here and commit what it writes; the output is always the same.
"""

import pathlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def mapfile_seeds():
    heading = (
        "# Mapfile. Created by GNU ddrescue version 1.27\n"
        "# Command line: ddrescue -d -r1 /dev/loop2 out map\n"
        "# Start time:   2026-11-22 17:44:47\n"
        "# Current time: 2026-11-22 17:44:47\n"
        "# Finished\n"
        "# current_pos  current_status  current_pass\n"
    )
    title = "#      pos        size  status\n"
    blocks = "0x00000000  0x00117000  +\n0x00117000  0x00000200  -\n0x00117200  0x00001000  /\n" \
        "0x00118200  0x00007E00  *\n0x00120000  0x00048000  ?\n"
    status = "0x00120000     ?               1\n"
    return {
        "ddrescue": heading + status + title + blocks,
        "finished": heading + "0x000FFE00     +               1\n" + title
        + "0x00000000  0x00100000  +\n",
        "empty_disk": heading + "0x00000000     +               1\n" + title
        + "0x00000000  0x00000000  ?\n",
        "unknown_size": status + "0x00000000  0x00061A80  +\n0x00061A80  0x7FFFFFFFFFF9E57F  ?\n",
        "no_pass": "0 ?\n0 4096 +\n4096 4096 ?\n",
        "octal_and_decimal": "017 F 3\n0 010 ?\n8 0x8 *\n16 1 /\n",
        "crlf": (heading + status + title + blocks).replace("\n", "\r\n"),
        "comments_everywhere": "#\n # a\n0 G 1 # b\n0 1 + # c\n# d\n1 1 -",
        "starts_late": "0 * 1\n4096 512 +\n",
        "gap": "0 ? 1\n0 10 +\n20 10 +\n",
        "overlap": "0 ? 1\n0 10 +\n5 10 +\n",
        "overflow": "0 ? 1\n0 1 +\n1 0x7FFFFFFFFFFFFFFF ?\n",
        "control_characters": "# a\x00b\x1b[2J\x7f\xff\n0 - 2\n0 1 -\n",
        "cut_short": heading + "0x0012",
        "no_text": "",
    }


def write(target, seeds):
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.iterdir():
        stale.unlink()
    for name, content in seeds.items():
        data = content if isinstance(content, bytes) else content.encode("latin-1")
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    write("mapfile", mapfile_seeds())
