"""Images in containers: compressed streams, seekable zst, Android sparse images, block maps."""
import bz2
import gzip
import hashlib
import lzma
import struct
import subprocess
import zlib

KiB = 1024
MiB = 1024 * KiB


def zstd(content, *options):
    """As the tool compresses it."""
    return subprocess.run(["zstd", "-q", "-c", "--stream-size", str(len(content)), *options],
                          input=content, stdout=subprocess.PIPE, check=True).stdout


COMPRESSORS = {
    "gz": lambda content: gzip.compress(content, 6),
    "xz": lambda content: lzma.compress(content, preset=1),
    "bz2": lambda content: bz2.compress(content, 9),
    "zst": lambda content: zstd(content, "-3"),
}


# --- seekable zst ---------------------------------------------------------------------------

def zero_frame(size):
    """A zstd frame of zeros, made of blocks that repeat one byte; with neither size nor checksum."""
    frame = struct.pack("<IBB", 0xFD2FB528, 0x00, 0x38)
    while size > 0:
        length = min(size, 128 * KiB)
        size -= length
        frame += struct.pack("<I", (size == 0) | 1 << 1 | length << 3)[:3] + b"\0"
    return frame


def seek_table(frames, checksums=None):
    """`frames` are (stored, content) sizes."""
    entries = b""
    for index, sizes in enumerate(frames):
        entries += struct.pack("<II", *sizes)
        if checksums is not None:
            entries += struct.pack("<I", checksums[index])
    body = entries + struct.pack("<IBI", len(frames), 0 if checksums is None else 0x80, 0x8F92EAB1)
    return struct.pack("<II", 0x184D2A5E, len(body)) + body


def seekable_zst(content, frame_size=MiB, zeros_as_frames=True):
    """A seekable zst file of another's making: a frame for each `frame_size` of content."""
    frames, sizes = [], []
    for offset in range(0, len(content), frame_size):
        piece = content[offset:offset + frame_size]
        zeros = zeros_as_frames and not piece.strip(b"\0")
        frames.append(zero_frame(len(piece)) if zeros else zstd(piece, "-1"))
        sizes.append((len(frames[-1]), len(piece)))
    return b"".join(frames) + seek_table(sizes)


# --- Android sparse images ------------------------------------------------------------------

def raw_chunk(content, block=4096):
    return struct.pack("<HHII", 0xCAC1, 0, len(content) // block, 12 + len(content)) + content


def fill_chunk(word, blocks):
    return struct.pack("<HHII", 0xCAC2, 0, blocks, 16) + word


def dont_care_chunk(blocks):
    return struct.pack("<HHII", 0xCAC3, 0, blocks, 12)


def checksum_chunk(value):
    return struct.pack("<HHIII", 0xCAC4, 0, 0, 16, value)


def simg(chunks, blocks, block=4096, checksum=0):
    return struct.pack("<IHHHHIIII", 0xED26FF3A, 1, 0, 28, 12, block, blocks, len(chunks),
                       checksum) + b"".join(chunks)


def sample_simg(data):
    """An image with every kind of chunk, and its content; `data` is 2 blocks of 4096 bytes."""
    content = data[:4096] + b"\x11\x22\x33\x44" * 2048 + bytes(4096) + data[4096:] + bytes(8192)
    first = zlib.crc32(content[:12288])
    chunks = [raw_chunk(data[:4096]), fill_chunk(b"\x11\x22\x33\x44", 2), checksum_chunk(first),
              fill_chunk(bytes(4), 1), raw_chunk(data[4096:]), dont_care_chunk(2)]
    return simg(chunks, len(content) // 4096, checksum=zlib.crc32(content)), content


# --- block maps -----------------------------------------------------------------------------

def bmap(content, ranges, version="2.0", block=4096, algorithm="sha256", checksum=None):
    """A block map of `content` whose `ranges` are (first, last) blocks; `checksum` replaces what
    the ranges' ones would be."""
    blocks = -(-len(content) // block)
    mapped = sum(last - first + 1 for first, last in ranges)
    old = version in ("1.2", "1.3")
    algorithm = "sha1" if old else algorithm
    lines = []
    for first, last in ranges:
        digest = checksum or hashlib.new(algorithm,
                                         content[first * block:(last + 1) * block]).hexdigest()
        name = "sha1" if old else "chksum"
        text = f"{first}-{last}" if first != last else f"{first}"
        lines.append(f'        <Range {name}="{digest}"> {text} </Range>\n')
    zeros = "0" * hashlib.new(algorithm).digest_size * 2
    own = {"1.2": "", "1.3": f"    <BmapFileSHA1> {zeros} </BmapFileSHA1>\n"}.get(
        version, f"    <ChecksumType> {algorithm} </ChecksumType>\n"
                 f"    <BmapFileChecksum> {zeros} </BmapFileChecksum>\n")
    count = f"    <MappedBlocksCount> {mapped}   </MappedBlocksCount>\n"
    text = (f'<?xml version="1.0" ?>\n<!-- A comment -->\n<bmap version="{version}">\n'
            f"    <ImageSize> {len(content)} </ImageSize>\n    <BlockSize> {block} </BlockSize>\n"
            f"    <BlocksCount> {blocks} </BlocksCount>\n" + (count if version != "1.2" else "") +
            own + "    <BlockMap>\n" + "".join(lines) + "    </BlockMap>\n" +
            (count if version == "1.2" else "") + "</bmap>\n")
    return signed(text, algorithm) if own else text


def signed(text, algorithm="sha256"):
    """`text` with its checksum of itself in the place where zeros stand for it."""
    zeros = "0" * hashlib.new(algorithm).digest_size * 2
    return text.replace(zeros, hashlib.new(algorithm, text.encode()).hexdigest(), 1)
