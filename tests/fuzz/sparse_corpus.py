"""Writes an image as an input of the fuzz targets of file systems; see file_system_fuzz.hpp.

Only what the parsers read is worth keeping: sectors of zeros are left out, and those that the
caller names, and runs of the same sector are one piece.
"""
import struct

SECTOR = 512


def sparse_input(image, skipped=()):
    """The bytes of the input; `skipped` are [offset, length] of the image."""
    with open(image, "rb") as file:
        content = file.read()
    pieces = []  # [first sector, count, bytes]
    for number in range(len(content) // SECTOR):
        at = number * SECTOR
        data = content[at:at + SECTOR]
        if not any(data) or any(start <= at < start + length for start, length in skipped):
            continue
        last = pieces[-1] if pieces else None
        if last and last[0] + last[1] == number and last[2] == data and last[1] < 0xffff:
            last[1] += 1
        else:
            pieces.append([number, 1, data])
    head = struct.pack("<I", len(content) // SECTOR)
    return head + b"".join(struct.pack("<IH", first, count) + data
                           for first, count, data in pieces)
