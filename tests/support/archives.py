"""Archives that tools do not make, or not so: zip by hand, tar headers, appliances (OVA)."""
import hashlib
import io
import struct
import tarfile
import zlib

KiB = 1024


# --- zip ------------------------------------------------------------------------------------

def zip_member(name, content, method=0, packed=None, size=None, crc=None, flags=0, extra=b""):
    """A dictionary; what is not given is true."""
    packed = content if packed is None else packed
    return {"name": name.encode(), "method": method, "packed": packed, "flags": flags,
            "size": len(content) if size is None else size, "extra": extra,
            "crc": zlib.crc32(content) if crc is None else crc}


def deflated(name, content, **changes):
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return zip_member(name, content, 8, packer.compress(content) + packer.flush(), **changes)


def zip_archive(*members, comment=b"", before=b"", offsets=None, count=None, zip64=False):
    """`offsets`: where the directory says that the members begin, in place of where they do."""
    body, entries = before, b""
    for index, one in enumerate(members):
        at = len(body) - len(before) if offsets is None else offsets[index]
        numbers = (one["crc"], min(len(one["packed"]), 0xffffffff), min(one["size"], 0xffffffff))
        local = struct.pack("<HHHHHIIIHH", 20, one["flags"], one["method"], 0, 0, *numbers,
                            len(one["name"]), 0)
        body += b"PK\3\4" + local + one["name"] + one["packed"]
        extra, stated = one["extra"], (*numbers, at)
        if zip64:
            extra += struct.pack("<HHQQQ", 1, 24, one["size"], len(one["packed"]), at)
            stated = (one["crc"], 0xffffffff, 0xffffffff, 0xffffffff)
        entries += b"PK\1\2" + struct.pack(
            "<HHHHHHIIIHHHHHII", 20, 20, one["flags"], one["method"], 0, 0, *stated[:3],
            len(one["name"]), len(extra), 0, 0, 0, 0, stated[3]) + one["name"] + extra
    many = len(members) if count is None else count
    end = b""
    if zip64:
        end = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, many, many, len(entries),
                                      len(body))
        end += b"PK\6\7" + struct.pack("<IQI", 0, len(body) + len(entries), 1)
        many, places = 0xffff, (0xffffffff, 0xffffffff)
    else:
        places = (len(entries), len(body) - len(before) if offsets is None else len(body))
    end += b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, many, many, *places, len(comment)) + comment
    return body + entries + end


# --- tar ------------------------------------------------------------------------------------

def tar_archive(members, format=tarfile.GNU_FORMAT):
    """`members` are (name, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def tar_header(name, size, type=b"0", **fields):
    """One block. `fields`: bytes at offsets, as at345=b"prefix"."""
    block = bytearray(512)
    block[0:len(name)] = name
    block[100:108] = b"0000644\0"
    block[124:136] = b"%011o\0" % size if isinstance(size, int) else size
    block[156:157] = type
    block[257:265] = b"ustar\00000"
    for key, value in fields.items():
        block[int(key[2:]):int(key[2:]) + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def padded(content):
    return content + bytes(-len(content) % 512)


def pax(**records):
    """A header of records for the next member; dots in keys are written as __."""
    text = b""
    for key, value in records.items():
        rest = b" " + key.replace("__", ".").encode() + b"=" + str(value).encode() + b"\n"
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length += 1
        text += str(length).encode() + rest
    return tar_header(b"pax", len(text), b"x") + padded(text)


TAR_END = bytes(1024)


# --- appliances -----------------------------------------------------------------------------

def descriptor(disks):
    """An .ovf; `disks` are (file name, capacity in bytes)."""
    files = "".join(f'<File ovf:href="{name}" ovf:id="file{i}"/>' for i, (name, _) in enumerate(disks))
    rows = "".join(f'<Disk ovf:capacity="{size >> 20}" ovf:capacityAllocationUnits="byte * 2^20" '
                   f'ovf:diskId="vmdisk{i}" ovf:fileRef="file{i}"\n   ovf:format="streamOptimized"/>'
                   for i, (_, size) in enumerate(disks))
    return (f'<?xml version="1.0"?>\n<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">'
            f'<!-- <Disk ovf:diskId="no"/> --><References>{files}</References>'
            f'<DiskSection><Info>disks</Info>{rows}</DiskSection></Envelope>').encode()


def manifest(members, algorithm="SHA256"):
    return "".join(f"{algorithm}({name})= {hashlib.new(algorithm, content).hexdigest()}\n"
                   for name, content in members).encode()


def ova(disks, algorithm="SHA256", manifest_last=False, spoil=None):
    """`disks` are (file name, content, capacity). `spoil`: a file whose digest is made wrong."""
    ovf = ("vm.ovf", descriptor([(name, size) for name, _, size in disks]))
    files = [(name, content) for name, content, _ in disks]
    text = manifest([ovf, *files], algorithm)
    if spoil:
        at = text.index(spoil.encode())
        last = text.index(b"\n", at) - 1
        text = text[:last] + (b"0" if text[last:last + 1] != b"0" else b"1") + text[last + 1:]
    mf = [("vm.mf", text)]
    return tar_archive([ovf, *files, *mf] if manifest_last else [ovf, *mf, *files])
