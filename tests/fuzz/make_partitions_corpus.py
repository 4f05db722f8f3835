#!/usr/bin/env python3
"""Makes tests/fuzz/corpus/partitions: small disks with tables of every kind, by sfdisk.

    tests/fuzz/make_partitions_corpus.py

The disks have a few KiB each, and GPTs of 4 entries, so that every byte is worth changing.
"""
import pathlib
import subprocess

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus" / "partitions"
IDS = "label-id: 11111111-2222-3333-4444-555555555555\n"
GPT = "label: gpt\n" + IDS + "table-length: 4\nfirst-lba: 3\n"
DOS = "label: dos\nlabel-id: 0x1b2c3d4e\n"
ENTRY = "type=L, uuid=00000000-0000-0000-0000-00000000000{0}, name=\"p{0}\""
FAT = b"\xeb\x3c\x90mkfs.fat" + bytes([0, 2, 1, 1, 0, 2, 16, 0, 16, 0, 0xF8, 1, 0])


def sfdisk(name, script, sectors=24, sector_size=512):
    path = CORPUS / name
    path.write_bytes(bytes(sectors * 512))
    options = ["--no-reread", "--no-tell-kernel", "--wipe=never", "--quiet"]
    if sector_size != 512:
        options += [f"--sector-size={sector_size}"]
    subprocess.run(["/sbin/sfdisk", *options, path], input=script.encode(), check=True)
    return path


def gpt_lines(*ranges):
    lines = [f"start={first}, size={size}, " + ENTRY.format(index + 1)
             for index, (first, size) in enumerate(ranges)]
    return GPT + "\n".join(lines) + "\n"


def patch(path, offset, content):
    data = bytearray(path.read_bytes())
    data[offset:offset + len(content)] = content
    path.write_bytes(data)


def main():
    CORPUS.mkdir(parents=True, exist_ok=True)
    for stale in CORPUS.iterdir():
        if not stale.name.startswith("found_"):  # what fuzzing found stays
            stale.unlink()
    sfdisk("gpt", gpt_lines((4, 4), (8, 6)))
    sfdisk("gpt_out_of_order", gpt_lines((8, 6), (4, 4)))
    patch(sfdisk("gpt_primary_bad", gpt_lines((4, 4))), 512, bytes(64))
    patch(sfdisk("gpt_backup_bad", gpt_lines((4, 4))), 23 * 512, bytes(64))
    path = sfdisk("gpt_larger_disk", gpt_lines((4, 4)))
    path.write_bytes(path.read_bytes() + bytes(4096))
    path = sfdisk("gpt_truncated", gpt_lines((4, 4)))
    path.write_bytes(path.read_bytes()[:8192])
    path = sfdisk("gpt_hybrid", gpt_lines((4, 4), (8, 6)))
    patch(path, 462, bytes.fromhex("00fefffe0cfefffe0400000004000000"))
    patch(sfdisk("gpt_no_mbr", gpt_lines((4, 4))), 0, bytes(512))
    sfdisk("mbr", DOS + "start=1, size=4, type=83, bootable\nstart=8, size=10, type=c\n")
    extended = DOS + "start=1, size=3, type=83\nstart=4, size=20, type=5\n" \
        "start=6, size=2, type=83\nstart=10, size=4, type=82\nstart=16, size=8, type=83\n"
    sfdisk("mbr_logical", extended)
    patch(sfdisk("mbr_circle", extended), 4 * 512 + 470, bytes(4))
    (CORPUS / "fat").write_bytes((FAT + bytes(510 - len(FAT)) + b"\x55\xaa").ljust(4096, b"\0"))
    (CORPUS / "no_table").write_bytes(bytes(range(256)) * 8)
    (CORPUS / "empty").write_bytes(b"")


if __name__ == "__main__":
    main()
