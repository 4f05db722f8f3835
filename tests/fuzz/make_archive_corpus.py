#!/usr/bin/env python3
"""Makes the corpora of the fuzz targets for archives: zip, deflate64, tar, ovf, vmdk_stream, lz4.

    PYTHONPATH=tests/support python3 tests/fuzz/make_archive_corpus.py

Small files, each with something of its own; needs 7z, lz4, xz, tar, qemu-img and zstd.
"""
import lzma
import pathlib
import subprocess
import tempfile

from archives import (TAR_END, deflated, descriptor, manifest, ova, padded, pax, tar_archive,
                      tar_header, zip_archive, zip_member)
from containers import zstd

CORPUS = pathlib.Path(__file__).parent / "corpus"
TEXT = b"".join(b"line %d of a small image\n" % index for index in range(200))


def write(target, name, content):
    directory = CORPUS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(content)


def filtered(*args, content=TEXT):
    return subprocess.run(args, input=content, stdout=subprocess.PIPE, check=True).stdout


def zips(folder):
    (folder / "disk.img").write_bytes(TEXT)
    for method in ("Copy", "Deflate", "Deflate64", "BZip2", "LZMA"):
        path = folder / f"{method}.zip"
        subprocess.run(["7z", "a", "-bd", f"-mm={method}", path, folder / "disk.img"], check=True,
                       stdout=subprocess.DEVNULL)
        write("zip", method.lower(), path.read_bytes())
    member = zip_member("a.img", TEXT, 9, b"")
    write("zip", "zstd", zip_archive(zip_member("a.img", TEXT, 93, zstd(TEXT))))
    write("zip", "xz", zip_archive(zip_member("a.img", TEXT, 95, lzma.compress(TEXT))))
    write("zip", "zip64", zip_archive(deflated("a.img", TEXT), zip64=True))
    write("zip", "overlap", zip_archive(deflated("a.img", TEXT), member, offsets=(0, 9)))
    write("zip", "before", zip_archive(deflated("a", TEXT), member, before=b"#!/bin/sh\n",
                                       comment=b"behind"))
    packed = (folder / "Deflate64.zip").read_bytes()
    begin = 30 + len("disk.img")
    write("deflate64", "dynamic", packed[begin:packed.index(b"PK\1\2")])
    write("deflate64", "fixed", deflated("a", b"abcabcabcabc")["packed"])
    write("deflate64", "stored", b"\1\5\0\xfa\xffhello")
    write("deflate64", "zeros", deflated("a", bytes(5000))["packed"])


def tars(folder):
    with open(folder / "sparse", "wb") as file:
        for at in (0, 65536, 300000):
            file.seek(at)
            file.write(b"data" * 20)
        file.truncate(400000)
    for name, options in (("oldgnu", ["--format=oldgnu"]),
                          ("sparse_00", ["--format=posix", "--sparse-version=0.0"]),
                          ("sparse_01", ["--format=posix", "--sparse-version=0.1"]),
                          ("sparse_10", ["--format=posix", "--sparse-version=1.0"])):
        write("tar", name, subprocess.run(["tar", "-S", "-b2", *options, "-cf", "-", "sparse"],
                                          cwd=folder, stdout=subprocess.PIPE, check=True).stdout)
    write("tar", "long_name", tar_archive([("n" * 300, b"x")])[:4096] + TAR_END)
    write("tar", "pax", pax(path="d.img", size=5) + tar_header(b"x", 0) + padded(b"hello") + TAR_END)
    write("tar", "binary", tar_header(b"x", b"\x80" + (5).to_bytes(11, "big")) + padded(b"hello") +
          TAR_END)
    write("tar", "appliance", ova([("d.vmdk", b"KDMV", 1 << 20)])[:6000] + TAR_END)


def texts():
    write("ovf", "descriptor", descriptor([("a.vmdk", 1 << 30), ("b.vmdk", 1 << 40)]))
    write("ovf", "manifest", manifest([("a", b"a")]) + manifest([("b", b"b")], "SHA1") +
          manifest([("c", b"c")], "SHA512"))
    write("ovf", "odd", b"<!--<Disk--><![CDATA[<File]]><File id='a&lt;' href = \"x&amp;y\" /><a b")


def disks(folder):
    (folder / "raw").write_bytes(TEXT + bytes(200000) + TEXT + bytes(-2 * len(TEXT) % 512 + 960))
    with open(folder / "raw", "r+b") as file:
        file.truncate(262144)
    subprocess.run(["qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized",
                    folder / "raw", folder / "disk.vmdk"], check=True)
    whole = (folder / "disk.vmdk").read_bytes()
    write("vmdk_stream", "qemu", whole)
    write("vmdk_stream", "cut", whole[:len(whole) // 2])


def streams():
    for name, args in (("lz4", ["lz4", "-c"]), ("lz4_blocks", ["lz4", "-c", "-B4", "-BX"]),
                       ("lz4_size", ["lz4", "-c", "--content-size", "-9"]),
                       ("lzma", ["xz", "--format=lzma", "-c"])):
        good = filtered(*args)
        write("streams", name, good)
        write("streams", f"{name}_cut", good[:-5])


def main():
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        zips(folder)
        tars(folder)
        disks(folder)
    texts()
    streams()


if __name__ == "__main__":
    main()
