"""Images in archives (zip, tar, OVA) and packed twice: recognised by content, read right by every
command, from files and pipes, and refused with what to do where they are damaged or hostile."""
import gzip
import hashlib
import lzma
import pathlib
import struct
import subprocess
import tarfile
import zlib

from archives import (TAR_END, deflated, ova, padded, pax, tar_archive, tar_header, zip_archive,
                      zip_member)
from containers import seekable_zst, zstd
from imgtool_testing import KiB, MiB, TestCase, check, main, random_bytes, requires, run
from memory_testing import assert_modest

MOST_MEMORY = 256 * MiB


def sample(size=3 * MiB + 512, seed=1):
    """Noise, text, zeros and noise."""
    quarter = size // 4 // 512 * 512
    text = (b"what stands here is text %d " % seed) * (quarter // 20)
    content = random_bytes(quarter, seed) + text[:quarter] + bytes(quarter)
    return content + random_bytes(size - len(content), seed + 1)


class ArchiveTestCase(TestCase):
    def file(self, content, name=None):
        path = self.path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def folder(self):
        path = self.path()
        path.mkdir()
        return path

    def digest_of(self, image, *options, **stdin):
        result = self.imgtool_ok("hash", *options, image, **stdin)
        return result.out.split()[0].lstrip("\\")

    def assert_content(self, image, content, *options, **stdin):
        self.assertEqual(self.digest_of(image, *options, **stdin),
                         hashlib.sha256(content).hexdigest(), image)

    def assert_used(self, image, content, *options):
        """By all that read images, from a file and from a pipe."""
        self.assert_content(image, content, *options)
        self.assert_content("-", content, *options, input=pathlib.Path(image).read_bytes())
        target, raw = self.path(), self.path()
        self.imgtool_ok("burn", "--yes", *options, image, target)
        self.assertEqual(target.read_bytes(), content)
        self.imgtool_ok("verify", *options, image, target)
        self.imgtool_ok("convert", *options, "-O", "raw", image, raw)
        self.assertEqual(raw.read_bytes(), content)
        self.imgtool_ok("compress", *options, "-O", "qcow2", image, self.path())
        self.imgtool_ok("compare", "--strict", *options, image, raw)

    def assert_damaged(self, image, *words, code=1, **stdin):
        """Refused within two seconds, and nothing is left of the target."""
        target = self.path()
        for command in (["hash", "--json", image], ["burn", "--yes", image, target]):
            result = self.imgtool(*command, timeout=60, **stdin)
            self.assertEqual(result.code, code, f"\n{result!r}")
            for word in words:
                self.assertIn(word, result.out + result.err, f"\n{result!r}")
        self.assertFalse(target.exists())

    def tool(self, *args, cwd):
        result = run(args, cwd=cwd)
        self.assertEqual(result.code, 0, f"\n{result!r}")


class Zip(ArchiveTestCase):
    @requires("7z")
    def test_every_method(self):
        content = sample()
        folder = self.folder()
        (folder / "disk.img").write_bytes(content)
        (folder / "readme.txt").write_text("about it")
        for method in ("Copy", "Deflate", "Deflate64", "BZip2", "LZMA"):
            with self.subTest(method=method):
                self.tool("7z", "a", "-bd", f"-mm={method}", f"{method}.zip", "disk.img",
                          "readme.txt", cwd=folder)
                self.assert_used(folder / f"{method}.zip", content)

    @requires("zstd")
    def test_zstd_and_xz(self):
        content = sample()
        for method, packed in ((93, zstd(content)), (95, lzma.compress(content))):
            archive = zip_archive(zip_member("disk.img", content, method, packed))
            self.assert_used(self.file(archive), content)

    @requires("7z")
    def test_deflate64_over_its_whole_window(self):
        """Matches of all lengths and up to 64 KiB back, stored blocks, and its end at each place."""
        folder = self.folder()
        for number, content in enumerate((
                b"", b"a", bytes(MiB), b"a" * 65538 * 3, random_bytes(300 * KiB),
                random_bytes(65536) * 5, random_bytes(50000) * 9 + bytes(70000) + b"end",
                b"".join(bytes([i % 251]) * (i % 700) for i in range(3000)))):
            if not content:
                continue
            (folder / "d.img").write_bytes(content)
            for level in (1, 5, 9):
                name = f"{number}-{level}.zip"
                self.tool("7z", "a", "-bd", "-mm=Deflate64", f"-mx={level}", name, "d.img",
                          cwd=folder)
                with self.subTest(number=number, level=level):
                    self.assert_content(folder / name, content)

    @requires("zip")
    def test_what_zip_writes_and_with_bytes_before_and_behind(self):
        content = sample()
        folder = self.folder()
        (folder / "disk.img").write_bytes(content)
        self.tool("zip", "-q", "a.zip", "disk.img", cwd=folder)
        self.assert_used(folder / "a.zip", content)
        piped = subprocess.run(["zip", "-q", "-", "disk.img"], cwd=folder, stdout=subprocess.PIPE,
                               check=True).stdout  # zip64, sizes behind the content
        self.assert_content(self.file(piped), content)
        archive = zip_archive(deflated("disk.img", content), comment=b"PK\5\6" * 9)
        self.assert_content(self.file(archive), content)
        before = zip_archive(deflated("disk.img", content), before=b"PK\3\4" + bytes(100))
        self.assert_content(self.file(before), content, "-f", "zip")

    def test_zip64(self):
        content = sample()
        for one in (zip_member("disk.img", content), deflated("disk.img", content)):
            self.assert_used(self.file(zip_archive(one, zip64=True)), content)

    @requires("qemu-img")
    def test_a_stored_image_is_read_at_any_place(self):
        raw = self.file(sample(4 * MiB))
        for format in ("qcow2", "vmdk", "vdi", "vhdx"):
            with self.subTest(format=format):
                image = self.path(f"disk.{format}")
                check("qemu-img", "convert", "-O", format, raw, image)
                archive = self.file(zip_archive(
                    zip_member("readme.txt", b"x"), zip_member("disk", image.read_bytes())))
                self.assert_used(archive, raw.read_bytes())
                result = self.imgtool_ok("map", "--json", archive)
                self.assertTrue(any("offset" in extent for extent in result.json))

    def test_members(self):
        one, two = sample(seed=3), sample(seed=5)
        archive = self.file(zip_archive(deflated("a/one.img", one), deflated("two.img", two),
                                        zip_member("notes.txt", b"no image")))
        self.assert_damaged(archive, "--member", "a/one.img", "two.img", code=3)
        self.assert_used(archive, one, "--member", "a/one.img")
        self.assert_used(archive, one, "--member", "one.img")
        self.assert_used(archive, two, "--member=two.img")
        self.assert_refused(self.imgtool("hash", "--member", "three.img", archive), "three.img")
        self.assert_content(archive, b"no image", "--member", "notes.txt")
        self.assert_refused(self.imgtool("hash", "--member", "x", self.file(one)), "no archive")
        result = self.imgtool("compare", "--member", "one.img", "--member-b", "two.img", archive,
                              archive)
        self.assertEqual(result.code, 1, f"\n{result!r}")

    def test_one_image_beside_other_files(self):
        content = sample()
        archive = self.file(zip_archive(
            zip_member("boot.exe", b"program"), deflated("x/disk.img", content),
            zip_member("__MACOSX/x/._disk.img", b"fork"), zip_member("x/", b"")))
        self.assert_used(archive, content)
        for names in (("a.txt", "b.md"), ()):
            archive = self.file(zip_archive(*[zip_member(name, b"text") for name in names])
                                if names else b"PK\5\6" + bytes(18))
            self.assertEqual(self.imgtool("hash", archive).code, 3)

    def test_names_are_names(self):
        content = sample(MiB)
        name = "../../../tmp/\x1b[31m\n$(touch x).img"
        archive = self.file(zip_archive(deflated(name, content)))
        self.assert_used(archive, content)
        bad = self.file(zip_archive(deflated(name, content, crc=1)))
        result = self.imgtool("hash", bad)
        self.assertEqual(result.code, 1)
        self.assertNotIn("\x1b", result.err)
        self.assertEqual(len(result.err.splitlines()), 1)

    @requires("7z")
    def test_encrypted_and_unknown(self):
        folder = self.folder()
        (folder / "disk.img").write_bytes(sample(64 * KiB))
        for options in (["-psecret"], ["-psecret", "-mem=AES256"]):
            name = f"e{len(options)}.zip"
            self.tool("7z", "a", "-bd", "-tzip", *options, name, "disk.img", cwd=folder)
            self.assert_damaged(folder / name, "encrypted", "7z x", code=3)
        archive = self.file(zip_archive(zip_member("disk.img", b"x" * 99, 97)))
        self.assert_damaged(archive, "method 97", "7z x", code=3)

    def test_damage(self):
        content = sample(MiB)
        good = zip_archive(deflated("disk.img", content))
        for cut in (3, 20, 40, len(good) // 2, len(good) - 80, len(good) - 23, len(good) - 1):
            with self.subTest(cut=cut):
                if cut >= 4:
                    self.assert_damaged(self.file(good[:cut]))
        bad = bytearray(good)
        bad[len(bad) // 2] ^= 0x10
        self.assert_damaged(self.file(bytes(bad)))
        self.assert_damaged("-", input=bytes(bad))
        for change, word in (({"crc": 1}, "CRC-32"), ({"size": MiB - 1}, "more than"),
                             ({"size": MiB + 1}, "after"), ({"size": 1 << 31}, "after")):
            with self.subTest(change=change):
                self.assert_damaged(self.file(zip_archive(deflated("disk.img", content, **change))),
                                    word)
        stored = zip_archive(zip_member("disk.img", content, crc=7))
        self.assert_damaged(self.file(stored), "CRC-32")
        self.assert_damaged(self.file(zip_archive(zip_member("disk.img", content, size=5))))

    def test_lies(self):
        content = sample(MiB)
        one, two = deflated("one.img", content), deflated("two.txt", content)
        self.assert_damaged(self.file(zip_archive(one, two, offsets=(0, 0))), "another member")
        self.assert_damaged(self.file(zip_archive(one, two, offsets=(0, 20))), "another member")
        self.assert_damaged(self.file(zip_archive(one, offsets=(1 << 31,))), "does not fit")
        self.assert_damaged(self.file(zip_archive(one, offsets=(5,))), "local header")
        self.assert_damaged(self.file(zip_archive(one, count=2)), "directory")
        self.assert_damaged(self.file(zip_archive(one, count=60000)), "impossible")
        same = zip_archive(one, one)
        self.assert_damaged(self.file(same), "--member", code=3)
        result = self.imgtool("hash", "--member", "one.img", self.file(same))
        self.assert_refused(result, "2 members of the name")

    def test_bombs_are_bounded(self):
        """A member of 16 MiB that says 1 MiB, and one that says a terabyte; a million members."""
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(bytes(256 * MiB)) + packer.flush()
        for size in (MiB, 1 << 40):
            extra = struct.pack("<HHQ", 1, 8, size)
            archive = zip_archive(zip_member("disk.img", b"", 8, packed, min(size, 0xffffffff), 0,
                                             extra=extra if size > MiB else b""))
            assert_modest(self, MOST_MEMORY, "hash", self.file(archive), code=1)
        entry = zip_archive(zip_member("a.img", b"x"))
        body, entry = entry[:entry.index(b"PK\1\2")], entry[entry.index(b"PK\1\2"):-22]
        count = 300000
        end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count,
                                        count * len(entry), len(body))
        end64 += b"PK\6\7" + struct.pack("<IQI", 0, len(body) + count * len(entry), 1)
        end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0)
        assert_modest(self, MOST_MEMORY, "hash", self.file(body + entry * count + end64 + end),
                      code=3)


class Tar(ArchiveTestCase):
    def sparse_file(self, folder):
        path = folder / "disk.raw"
        with open(path, "wb") as file:
            for index in range(40):
                file.seek(index * 256 * KiB)
                file.write(random_bytes(4096, index + 1))
            file.truncate(11 * MiB)
        return path

    def test_every_format(self):
        content = sample()
        long = "/".join(["folder" * 12] * 4) + "/disk.img"
        for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            for name in ("disk.img", long if format != tarfile.USTAR_FORMAT else long[-150:]):
                with self.subTest(format=format, name=name):
                    archive = self.file(tar_archive([("readme.txt", b"text"), (name, content)],
                                                    format))
                    self.assert_used(archive, content)
                    self.assert_content(archive, content, "--member", name)

    def test_compressed(self):
        content = sample()
        plain = tar_archive([("a.txt", b"text"), ("disk.img", content), ("disk.img.sha256", b"x")])
        for name, packed in (("gz", gzip.compress(plain)), ("xz", lzma.compress(plain)),
                             ("zst", zstd(plain)), ("seekable", seekable_zst(plain))):
            with self.subTest(name):
                self.assert_used(self.file(packed, f"image.tar.{name}"), content)

    @requires("tar")
    def test_sparse_of_gnu_tar(self):
        folder = self.folder()
        content = self.sparse_file(folder).read_bytes()
        for name, options in (("oldgnu", ["--format=oldgnu"]), ("gnu", ["--format=gnu"]),
                              ("0.0", ["--format=posix", "--sparse-version=0.0"]),
                              ("0.1", ["--format=posix", "--sparse-version=0.1"]),
                              ("1.0", ["--format=posix", "--sparse-version=1.0"])):
            with self.subTest(name):
                self.tool("tar", "-S", *options, "-cf", f"{name}.tar", "disk.raw", cwd=folder)
                self.assertLess((folder / f"{name}.tar").stat().st_size, MiB)
                self.assert_used(folder / f"{name}.tar", content)
                packed = gzip.compress((folder / f"{name}.tar").read_bytes())
                self.assert_used(self.file(packed), content)

    @requires("bsdtar", "qemu-img")
    def test_bsdtar_and_an_image_that_is_sparse(self):
        folder = self.folder()
        content = self.sparse_file(folder).read_bytes()
        self.tool("bsdtar", "-cf", "a.tar", "disk.raw", cwd=folder)
        self.assert_used(folder / "a.tar", content)
        check("qemu-img", "convert", "-O", "qcow2", "-o", "preallocation=metadata",
              folder / "disk.raw", folder / "disk.qcow2")
        self.tool("tar", "-S", "-cf", "q.tar", "disk.qcow2", cwd=folder)
        self.assert_used(folder / "q.tar", content)

    def test_numbers_in_binary_and_pax(self):
        content = sample(MiB)
        binary = b"\x80" + len(content).to_bytes(11, "big")
        archive = tar_header(b"disk.img", binary) + padded(content) + TAR_END
        self.assert_used(self.file(archive), content)
        archive = pax(path="d.img", size=len(content)) + tar_header(b"x", 0) + padded(content)
        self.assert_used(self.file(archive + TAR_END), content)

    def test_other_members_are_passed_over(self):
        content = sample(MiB)
        archive = (tar_header(b"folder", 0, b"5") + tar_header(b"link", 0, b"2") +
                   tar_header(b"global", 10, b"g") + padded(b"10 comment") +
                   tar_header(b"disk.img", len(content)) + padded(content) + TAR_END)
        self.assert_used(self.file(archive), content)

    def test_members(self):
        one, two = sample(seed=3), sample(seed=5)
        plain = tar_archive([("one.img", one), ("two.img", two)])
        for image in (self.file(plain), self.file(gzip.compress(plain))):
            self.assert_damaged(image, "--member", "one.img", "two.img", code=3)
            self.assert_used(image, one, "--member", "one.img")
            self.assert_used(image, two, "--member", "two.img")
            self.assert_refused(self.imgtool("hash", "--member", "three", image), "three")
        self.assert_damaged("-", "--member", code=3, input=plain)
        nothing = tar_archive([("a.txt", b"text")])
        self.assert_damaged(self.file(nothing), "a.txt", code=3)
        self.assert_damaged(self.file(gzip.compress(nothing)), "a.txt", code=3)

    def test_cut_at_every_structure(self):
        content = sample(MiB)
        good = pax(comment="x") + tar_header(b"disk.img", len(content)) + padded(content)
        for cut in (512, 700, 1024, 1300, 1536, 4000, len(good) - 512, len(good)):
            for image in (good[:cut], gzip.compress(good[:cut])):
                with self.subTest(cut=cut, packed=image[:2] == b"\x1f\x8b"):
                    self.assert_damaged(self.file(image), "cut short")
        self.assert_damaged("-", "cut short", input=good)
        self.assert_content(self.file(good + TAR_END), content)

    def test_lies(self):
        content = sample(64 * KiB)

        def sparse(segments, real, stored=content):
            table = b"".join(b"%011o\0%011o\0" % segment for segment in segments)
            return tar_header(b"disk.img", len(stored), b"S", at257=b"ustar  \0", at386=table,
                              at483=b"%011o\0" % real) + padded(stored) + TAR_END

        half = len(content) // 2
        for what, image in {
            "checksum": b"x" + tar_header(b"disk.img", 5)[1:] + padded(b"hello") + TAR_END,
            "size": tar_header(b"disk.img", b"\xff" * 12) + TAR_END,
            "past the end": tar_header(b"disk.img", 1 << 32) + padded(content) + TAR_END,
            "wrapping": tar_header(b"disk.img", b"\x80" + b"\xff" * 11) + TAR_END,
            "long name": tar_header(b"x", 1 << 30, b"L") + TAR_END,
            "long pax": tar_header(b"x", 1 << 30, b"x") + TAR_END,
            "pax length": tar_header(b"x", 10, b"x") + padded(b"99 path=x\n") + TAR_END,
            "overlap": sparse([(0, half), (half - 1, half)], len(content)),
            "descending": sparse([(half, half), (0, half)], len(content)),
            "beyond": sparse([(0, half), (half, half)], len(content) - 1),
            "too few": sparse([(0, half)], len(content)),
            "map": pax(GNU__sparse__major=1, GNU__sparse__minor=0, GNU__sparse__realsize=99) +
                   tar_header(b"disk.img", 512) + padded(b"9999999\n0\n") + TAR_END,
            "map of no numbers": pax(GNU__sparse__major=1, GNU__sparse__realsize=99) +
                                 tar_header(b"disk.img", 512) + padded(b"x" * 400) + TAR_END,
            "half a pair": pax(GNU__sparse__map="0,5,9", GNU__sparse__size=99) +
                           tar_header(b"disk.img", 5) + padded(b"hello") + TAR_END,
        }.items():
            with self.subTest(what):
                self.assert_damaged(self.file(image))
                self.assert_damaged(self.file(gzip.compress(image)))
        self.assert_content(self.file(sparse([(0, half), (half + 512, half)], len(content) + 512)),
                            content[:half] + bytes(512) + content[half:])

    def test_memory(self):
        many = (tar_header(b"a" * 99, 0) * 300000) + TAR_END
        assert_modest(self, MOST_MEMORY, "hash", self.file(many), code=3)
        assert_modest(self, MOST_MEMORY, "hash", self.file(gzip.compress(many, 1)), code=3)
        content = random_bytes(64 * MiB)
        packed = self.file(gzip.compress(tar_archive([("disk.img", content)]), 1))
        assert_modest(self, MOST_MEMORY, "hash", packed)


@requires("qemu-img")
class Appliances(ArchiveTestCase):
    """As the makers lay them out: descriptor, manifest, streamed VMDKs."""

    def disk(self, size, seed):
        raw = self.file(sample(size, seed))
        image = self.path()
        check("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, image)
        return raw.read_bytes(), image.read_bytes()

    def test_one_disk(self):
        content, vmdk = self.disk(4 * MiB, 1)
        for algorithm in ("SHA1", "SHA256", "SHA512"):
            for last in (False, True):
                with self.subTest(algorithm=algorithm, last=last):
                    image = ova([("vm-disk1.vmdk", vmdk, 4 * MiB)], algorithm, last)
                    self.assert_used(self.file(image, "vm.ova"), content)
                    self.assert_content(self.file(gzip.compress(image)), content)

    def test_a_manifest_that_is_wrong_by_one_digit(self):
        _, vmdk = self.disk(4 * MiB, 1)
        for last in (False, True):
            image = ova([("disk.vmdk", vmdk, 4 * MiB)], "SHA256", last, spoil="disk.vmdk")
            self.assert_damaged(self.file(image), "manifest", "disk.vmdk", "sha256")
            self.assert_damaged(self.file(gzip.compress(image)), "manifest")
            self.assert_damaged("-", "manifest", input=image)
            out = self.path()
            self.assertEqual(self.imgtool("convert", self.file(image), out).code, 1)
            self.assertFalse(out.exists())

    def test_nothing_but_zeros_is_at_the_beginning_of_a_disk_then(self):
        _, vmdk = self.disk(4 * MiB, 1)
        image = self.file(ova([("disk.vmdk", vmdk, 4 * MiB)], spoil="disk.vmdk"))
        target = self.file(b"x" * (8 * MiB))
        result = self.imgtool("burn", "--yes", "--force", image, target)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertEqual(target.read_bytes()[:MiB], bytes(MiB))

    def test_several_disks(self):
        one, vmdk_one = self.disk(4 * MiB, 1)
        two, vmdk_two = self.disk(3 * MiB, 9)
        image = self.file(ova([("disk1.vmdk", vmdk_one, 4 * MiB), ("disk2.vmdk", vmdk_two, 3 * MiB)],
                              spoil="disk2.vmdk"))
        self.assert_damaged(image, "disk1.vmdk", "disk2.vmdk", "--member", code=3)
        self.assert_damaged("-", "disk1.vmdk", "disk2.vmdk", code=3, input=image.read_bytes())
        self.assert_used(image, one, "--member", "disk1.vmdk")
        result = self.imgtool("hash", "--member", "disk2.vmdk", image)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertNotEqual(one, two)

    def test_other_files_and_packed_disks(self):
        content, vmdk = self.disk(4 * MiB, 1)
        image = ova([("disk1.vmdk.gz", gzip.compress(vmdk), 4 * MiB)])
        self.assert_used(self.file(image), content)
        ovf = b'<Envelope><File href="disk.vmdk" id="f"/><File href="vm.iso" id="i"/>' \
              b'<Disk diskId="d" fileRef="f" capacity="9"/></Envelope>'
        image = tar_archive([("vm.ovf", ovf), ("vm.iso", b"cd" * 999), ("disk.vmdk", vmdk),
                             ("vm.nvram", b"x")])
        self.assert_used(self.file(image), content)

    def test_info(self):
        _, vmdk = self.disk(4 * MiB, 1)
        one = self.file(ova([("disk1.vmdk", vmdk, 4 * MiB)]))
        info = self.imgtool_ok("info", "--json", one).json
        self.assertEqual((info["format"], info["virtual-size"]), ("tar", 4 * MiB))
        data = info["format-specific"]["data"]
        self.assertEqual((data["member"], data["content-format"]), ("disk1.vmdk", "vmdk"))
        self.assertEqual(data["disks"],
                         [{"id": "vmdisk0", "file": "disk1.vmdk", "capacity": 4 * MiB}])
        two = self.file(ova([("disk1.vmdk", vmdk, 4 * MiB), ("disk2.vmdk", vmdk, 8 * MiB)]))
        info = self.imgtool_ok("info", "--json", two).json
        self.assertEqual((info["virtual-size"], len(info["format-specific"]["data"]["disks"])),
                         (None, 2))
        self.assertIn("--member", self.imgtool_ok("info", two).out)
        info = self.imgtool_ok("info", "--json", "--member", "disk2.vmdk", two).json
        self.assertEqual(info["virtual-size"], 4 * MiB)  # the image counts, not the descriptor
        packed = self.file(gzip.compress(vmdk))
        info = self.imgtool_ok("info", "--json", packed).json
        self.assertEqual((info["format"], info["virtual-size"]), ("gz", 4 * MiB))
        self.assertEqual(info["format-specific"]["data"]["content-format"], "vmdk")
        zipped = self.file(zip_archive(deflated("disk.img", sample(MiB))))
        self.assertEqual(self.imgtool_ok("info", "--json", zipped).json["virtual-size"], MiB)

    def test_hostile_descriptors(self):
        content, vmdk = self.disk(MiB, 1)
        bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
            b'<!ENTITY b%d "&b%d;&b%d;&b%d;">' % (i + 1, i, i, i) for i in range(60)) + b"]><x>&b60;"
        for ovf in (bomb, b"<" * 100000, b"<a " * 30000, b'<Disk a="', b"<!--", b"\0" * 5000,
                    b'<Disk fileRef="f" capacity="99999999999999999999"/>' * 9999,
                    b"<a>" * 200000):
            with self.subTest(ovf=ovf[:20]):
                image = tar_archive([("vm.ovf", ovf), ("disk.vmdk", vmdk)])
                result = self.imgtool("hash", self.file(image), timeout=20)
                self.assertEqual(result.code, 0, f"\n{result!r}")
                self.assertIn(hashlib.sha256(content).hexdigest(), result.out)


@requires("qemu-img")
class PackedImages(ArchiveTestCase):
    """Images inside streams: by markers, or unpacked first."""

    def images(self, content):
        raw = self.file(content, "raw")
        for format, options in (("qcow2", ""), ("vdi", ""), ("vhdx", ""), ("vpc", "force_size"),
                                ("vmdk", "subformat=monolithicSparse"),
                                ("vmdk", "subformat=streamOptimized"),
                                ("vpc", "subformat=fixed,force_size"), ("qed", "")):
            image = self.path()
            check("qemu-img", "convert", "-O", format, *(["-o", options] if options else []), raw,
                  image)
            yield f"{format} {options}", image.read_bytes()

    def test_every_format_in_streams(self):
        content = sample(4 * MiB)
        for name, image in self.images(content):
            front_to_back = "stream" in name or "fixed" in name
            for suffix, packed in (("gz", gzip.compress(image, 1)), ("zst", zstd(image)),
                                   ("xz", lzma.compress(image, preset=0)),
                                   ("seekable", seekable_zst(image))):
                with self.subTest(format=name, suffix=suffix):
                    vhd = ".vhd" if "fixed" in name else ""
                    path = self.file(packed, f"{suffix}/image{vhd}.{suffix}")
                    for image_path, stdin in ((path, {}), ("-", {"input": packed})):
                        result = self.imgtool_ok("hash", image_path, **stdin)
                        self.assertIn(hashlib.sha256(content).hexdigest(), result.out)
                        self.assertEqual("unpacked" in result.err, not front_to_back, result.err)
            with self.subTest(format=name, suffix="zip"):
                archive = self.file(zip_archive(deflated("disk.vhd", image)))
                self.assert_used(archive, content)

    def test_streamed_disks_from_a_pipe(self):
        content = sample(4 * MiB)
        for name, image in self.images(content):
            if "stream" not in name:
                continue
            target = self.path()
            self.imgtool_ok("burn", "--yes", "-", target, input=image)
            self.assertEqual(target.read_bytes(), content)
            for cut in (600, 1000, len(image) // 2, len(image) - 70000):
                self.assert_damaged("-", "cut short", input=image[:cut])

    def test_a_fixed_vhd_whose_size_was_told_as_a_disk(self):
        content = sample(4 * MiB)
        image = dict(self.images(content))["vpc subformat=fixed,force_size"]
        self.assert_content("-", content, input=gzip.compress(image))
        bad = self.file(lzma.compress(image), "image.xz")
        self.assertEqual(self.imgtool("hash", bad).code, 1)
        self.assert_content(self.file(lzma.compress(image), "image.vhd.xz"), content)
        # A guest may have written such a footer: the sizes do not agree then.
        self.assert_content(self.file(gzip.compress(image[512:])), image[512:])

    def test_depth(self):
        content = sample(MiB)
        for layers in range(1, 6):
            packed = content
            for _ in range(layers):
                packed = gzip.compress(packed, 1)
            with self.subTest(layers=layers):
                if layers <= 3:
                    self.assert_used(self.file(packed), content)
                else:
                    self.assert_damaged(self.file(packed), "more than 3 times", code=3)

    def test_the_folder(self):
        content = sample(4 * MiB)
        packed = self.file(gzip.compress(dict(self.images(content))["qcow2 "], 1), "disk.qcow2.gz")
        folder = self.folder()
        result = self.imgtool_ok("hash", "--spool", folder, packed)
        self.assertIn(str(folder), result.err)
        self.assertEqual(list(folder.iterdir()), [])
        out = folder / "out.img"
        result = self.imgtool_ok("convert", packed, out)
        self.assertIn(f"unpacked into {folder}", result.err)
        self.assertEqual(out.read_bytes(), content)
        result = self.imgtool("hash", "--spool", folder / "none", packed)
        self.assertEqual(result.code, 1, f"\n{result!r}")

    def test_a_pipe_that_is_no_stream(self):
        content = sample(4 * MiB)
        image = dict(self.images(content))["qcow2 "]
        result = self.imgtool("hash", "-", input=image)
        self.assertEqual(result.code, 1)
        self.assertIn("--spool", result.err)
        self.assert_content("-", content, "--spool", self.folder(), input=image)

    def test_nothing_that_an_image_in_an_archive_names_is_opened(self):
        base = self.file(sample(MiB), "base.img")
        overlay = self.path("overlay.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay)
        archive = self.file(zip_archive(zip_member("overlay.qcow2", overlay.read_bytes())))
        for options in ([], ["--follow-references"]):
            result = self.imgtool("hash", *options, archive)
            self.assertEqual(result.code, 3, f"\n{result!r}")

    @requires("lz4", "xz")
    def test_lz4_and_lzma(self):
        content = sample()
        raw = self.file(content)
        for args in (["lz4", "-1c"], ["lz4", "-9c", "-BD"], ["lz4", "-c", "-B4", "-BX"],
                     ["lz4", "-c", "--content-size"], ["xz", "--format=lzma", "-c"]):
            with self.subTest(args=args):
                with open(raw, "rb") as file:
                    packed = subprocess.run(args, stdin=file, stdout=subprocess.PIPE,
                                            check=True).stdout
                self.assert_used(self.file(packed), content)
                self.assert_damaged(self.file(packed[:-9]), "cut short")
                self.assert_damaged(self.file(packed[:len(packed) // 2]), "cut short")
        with open(raw, "rb") as file:
            legacy = subprocess.run(["lz4", "-lc"], stdin=file, stdout=subprocess.PIPE,
                                    check=True).stdout
        self.assert_damaged(self.file(legacy), "lz4 -d", code=3)


if __name__ == "__main__":
    main()
