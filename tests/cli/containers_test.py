"""Images in containers (gz, xz, bz2, zst, Android sparse): recognised by content, read right, and
refused with the place where they are damaged, by every command that takes an image."""
import hashlib
import lzma
import random
import struct
import subprocess

from containers import COMPRESSORS, checksum_chunk, sample_simg, seekable_zst, simg, zero_frame, zstd
from imgtool_testing import (KiB, MiB, TestCase, check, differing_offset, engines, main,
                             random_bytes, requires, run)

SIZES = (1, 2 * MiB + 77)


def sample(size, seed=1):
    """Runs of noise, text and zeros."""
    generator = random.Random(seed)
    content = bytearray()
    while len(content) < size:
        length = generator.choice((700, 64 * KiB, 300 * KiB, MiB))
        kind = generator.choice("ntz")
        content += (generator.randbytes(length) if kind == "n" else bytes(length) if kind == "z"
                    else (b"some text %d " % length) * (length // 12))
    return bytes(content[:size])


# Of VMware disks that are in several files: read by their descriptor, never alone nor from a pipe.
PARTS = {
    "COWD": b"COWD\1\0\0\0", "descriptor": b"# Disk DescriptorFile\nRW 8 FLAT \"a\" 0\n",
    "seSparse": b"\xbe\xba\xfe\xca\0\0\0\0",
}
# A part of each refusal, and the least of a file that leads to it.
FOREIGN = {
    "7z": b"7z\xbc\xaf\x27\x1c", "rar": b"Rar!\x1a\7", "lz4": b"\x02\x21\x4c\x18",
    "lzip": b"LZIP", "lzop": b"\x89LZO\0\r\n\x1a\n",
    "partclone": b"partclone-image", "web page": b"\n <!DOCTYPE HTML><html>404</html>",
    "EnCase": b"EVF\x09\x0d\x0a\xff\0", "WIM": b"MSWIM\0\0\0",
}


class ContainerTestCase(TestCase):
    def file(self, content, name=None):
        path = self.path(name)
        path.write_bytes(content)
        return path

    def assert_content(self, image, content, *options, **stdin):
        """hash, compare, burn and verify all read `content`; from a pipe those that can."""
        result = self.imgtool_ok("hash", *options, image, **stdin)
        self.assertEqual(result.out.split()[0].lstrip("\\"), hashlib.sha256(content).hexdigest())
        target = self.path()
        result = self.imgtool_ok("burn", "--yes", *options, image, target, **stdin)
        self.assertEqual(target.read_bytes(), content)
        result = self.imgtool_ok("verify", *options, image, target, **stdin)
        if stdin or options:
            return
        self.imgtool_ok("compare", "--strict", image, target)
        if content:
            with open(target, "r+b") as file:
                file.seek(len(content) // 2)
                file.write(bytes([content[len(content) // 2] ^ 1]))
            self.assertEqual(self.imgtool("verify", *options, image, target).code, 4)
            result = self.imgtool("compare", "--json", target, image)
            self.assertEqual(result.code, 1)
            self.assertEqual(result.json["differences"],
                             [{"start": len(content) // 2, "length": 1}])

    def assert_damaged(self, image, *words, at=None, **stdin):
        """hash and burn end with exit 1, name the file and a place in it; nothing is made."""
        result = self.imgtool("hash", "--json", image, **stdin)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        error = result.json["error"]
        self.assertIn("offset", error, f"\n{result!r}")
        if at is not None:
            self.assertEqual(error["offset"], at, f"\n{result!r}")
        for word in words:
            self.assertIn(word, error["message"])
        target = self.path()
        result = self.imgtool("burn", "--yes", image, target, **stdin)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertFalse(target.exists(), f"\n{result!r}")


class Streams(ContainerTestCase):
    def test_every_format_and_size(self):
        for name, compress in COMPRESSORS.items():
            for size in SIZES:
                with self.subTest(format=name, size=size):
                    content = sample(size, size)
                    # What it is called does not matter.
                    self.assert_content(self.file(compress(content), f"{name}{size}.bin"), content)

    def test_both_engines(self):
        content = sample(3 * MiB + 5)
        for engine in engines():
            for name, compress in COMPRESSORS.items():
                with self.subTest(format=name, engine=engine):
                    image = self.file(compress(content))
                    target = self.path()
                    self.imgtool_ok("burn", image, target, "--yes", f"--io-engine={engine}")
                    self.assertEqual(target.read_bytes(), content)

    def test_from_a_pipe(self):
        content = sample(3 * MiB + 77)
        for name, compress in COMPRESSORS.items():
            with self.subTest(format=name):
                self.assert_content("-", content, input=compress(content))
        self.assert_content("-", content, input=content)

    def test_from_a_pipe_that_is_shorter_than_what_is_looked_at(self):
        for content in (b"\x1f", b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f", b"abc"):
            with self.subTest(content=content):
                self.assert_content("-", content, input=content)

    def test_a_file_on_standard_input(self):
        content = sample(2 * MiB)
        image = self.file(COMPRESSORS["xz"](content))
        with open(image, "rb") as file:
            result = self.imgtool_ok("hash", "-", input=file)
        self.assertIn(hashlib.sha256(content).hexdigest(), result.out)
        with open(self.file(b"skip me" + image.read_bytes()), "rb") as file:
            file.seek(7)
            result = self.imgtool_ok("hash", "-", input=file)
        self.assertIn(hashlib.sha256(content).hexdigest(), result.out)

    def test_members_that_follow_one_another(self):
        parts = [sample(MiB + 3, 1), b"", sample(5, 2), sample(700 * KiB, 3)]
        for name, compress in COMPRESSORS.items():
            with self.subTest(format=name):
                image = b"".join(compress(part) for part in parts)
                self.assert_content(self.file(image), b"".join(parts))
                self.assert_content("-", b"".join(parts), input=image)

    @requires("gzip", "bzip2", "xz", "zstd")
    def test_what_the_tools_write(self):
        content = sample(5 * MiB + 9)
        plain = self.file(content)
        for args in (["gzip", "-9c"], ["gzip", "-1cn"], ["bzip2", "-1c"], ["xz", "-0c", "-T2",
                     "--block-size=1MiB"], ["xz", "-6c"], ["xz", "-0c", "--check=none"],
                     ["xz", "-0c", "--check=sha256"], ["xz", "-0c", "--x86", "--lzma2"],
                     ["zstd", "-19c"], ["zstd", "-1c", "-T2"], ["zstd", "-c", "--no-check"],
                     ["zstd", "-c", "--no-content-size"], ["zstd", "-c", "--long=27"]):
            with self.subTest(args=args):
                with open(plain, "rb") as file:
                    packed = subprocess.run(args, stdin=file, stdout=subprocess.PIPE, check=True)
                self.imgtool_ok("compare", "--strict", self.file(packed.stdout), plain)

    def test_xz_padding(self):
        content = sample(MiB)
        packed = COMPRESSORS["xz"](content)
        self.assert_content(self.file(packed + bytes(8) + packed + bytes(4)), content + content)

    def test_the_size_of_xz_is_known_beforehand(self):
        packed = self.file(COMPRESSORS["xz"](sample(MiB)))
        self.assertEqual(self.imgtool_ok("info", "--json", packed).json["virtual-size"], MiB)
        target = self.loop_device(512 * KiB)
        result = self.imgtool("burn", "--yes", packed, target)
        self.assert_refused(result, target)

    def test_info_of_a_stream(self):
        packed = self.file(COMPRESSORS["gz"](sample(MiB)))
        info = self.imgtool_ok("info", "--json", packed).json
        self.assertEqual((info["format"], info["virtual-size"]), ("gz", None))
        self.assertIn("unknown", self.imgtool_ok("info", packed).out)
        result = self.imgtool("map", packed)
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("stream", result.err)

    def test_what_has_to_be_read_at_any_place_is_unpacked_first(self):
        disk = self.path("fs.img")
        check("mkfs.ext4", "-q", disk, "8M")
        content = disk.read_bytes()
        plain = self.imgtool_ok("analyze", "--json", disk).json
        for suffix in ("gz", "zst"):
            packed = self.file(COMPRESSORS[suffix](content), f"fs.img.{suffix}")
            found = self.imgtool_ok("analyze", "--deep", "--json", "--spool", packed.parent, packed)
            self.assertIn(f"unpacked into {packed.parent} first", found.err)
            self.assertEqual(found.json["format"], suffix)
            self.assertEqual(found.json["free"]["size"], plain["free"]["size"])
            out = self.path()
            self.imgtool_ok("convert", "--drop-free", "-O", "raw", packed, out)
            self.assertIsNone(differing_offset(out, disk))
            needed = self.imgtool_ok("measure", "-O", "qcow2", "--json", packed).json["required"]
            self.assertLess(needed, 4 * MiB)
            self.assertIn("lost+found", self.imgtool_ok("ls", packed).out)
            # The user says that these bytes, whatever they look like, are the disk's.
            stated = self.file(COMPRESSORS[suffix](COMPRESSORS["xz"](content)))
            self.assertEqual(
                self.imgtool_ok("analyze", "--json", "-f", suffix, stated).json["virtual-size"],
                len(COMPRESSORS["xz"](content)))

    def test_f_raw_takes_it_as_it_is(self):
        packed = COMPRESSORS["gz"](sample(MiB))
        self.assert_content(self.file(packed), packed, "-f", "raw")
        self.assert_content("-", packed, "-f", "raw", input=packed)

    def test_a_name_that_promises_a_container(self):
        for name in ("image.img.gz", "image.xz", "image.zip"):
            with self.subTest(name=name):
                image = self.file(b"what is this?", name)
                self.assert_refused(self.imgtool("hash", image), "-f raw")
                self.imgtool_ok("hash", "-f", "raw", image)

    def test_f_states_the_format(self):
        result = self.imgtool("hash", "-f", "xz", self.file(COMPRESSORS["gz"](b"abc")))
        self.assertEqual(result.code, 1)
        self.assertIn("no xz data", result.err)

    def test_a_digest_that_must_fit(self):
        content = sample(2 * MiB)
        image = self.file(COMPRESSORS["bz2"](content))
        for digest, code in ((hashlib.sha256(content).hexdigest(), 0), ("0" * 64, 4)):
            target = self.path()
            result = self.imgtool("burn", "--yes", "--digest", f"sha256:{digest}", image, target)
            self.assertEqual(result.code, code, f"\n{result!r}")

    def test_a_mapfile_needs_a_second_look(self):
        image = self.file(COMPRESSORS["gz"](b"abc"))
        result = self.imgtool("burn", "--yes", image, self.path(), "--mapfile", self.path())
        self.assertEqual(result.code, 1)
        self.assertIn("--mapfile", result.err)

    def test_pipes_need_formats_that_can_be_read_once(self):
        for content in (sample_simg(bytes(8192))[0], b"QFI\xfb" + bytes(100)):
            result = self.imgtool("hash", "-", input=content)
            self.assertEqual(result.code, 1)
            self.assertIn("only be read from a file", result.err)

    def test_damage(self):
        content = sample(3 * MiB)
        for name, compress in COMPRESSORS.items():
            packed = compress(content)
            for place in (0.01, 0.9):
                bad = bytearray(packed)
                bad[int(len(bad) * place)] ^= 0x55
                with self.subTest(format=name, place=place):
                    self.assert_damaged(self.file(bytes(bad)))
                    self.assert_damaged("-", input=bytes(bad))

    def test_truncation(self):
        content = sample(3 * MiB)
        for name, compress in COMPRESSORS.items():
            packed = compress(content)
            for length in (10, len(packed) - 1):
                with self.subTest(format=name, length=length):
                    self.assert_damaged(self.file(packed[:length]), "cut short", at=length)
                    self.assert_damaged("-", "cut short", at=length, input=packed[:length])

    def test_garbage_behind_the_end(self):
        content = sample(MiB + 1)
        for name, compress in COMPRESSORS.items():
            packed = compress(content)
            with self.subTest(format=name):
                self.assert_damaged(self.file(packed + b"x"), "follow")
                self.assert_damaged("-", input=packed + random_bytes(5000))


class SeekableZst(ContainerTestCase):
    """Files of others' making; those of our own are in zst_writer_test.py."""

    def test_content(self):
        for size in (1, 5 * MiB + 99):
            content = sample(size, size)
            for frame in (64 * KiB, 3 * MiB):
                with self.subTest(size=size, frame=frame):
                    packed = seekable_zst(content, frame)
                    self.assert_content(self.file(packed), content)
                    self.assert_content("-", content, input=packed)

    def test_chunks_that_do_not_fit_frames(self):
        content = sample(9 * MiB + 99)
        image = self.file(seekable_zst(content, 768 * KiB))
        for chunk in ("64K", "512K", "4M"):
            target = self.path()
            self.imgtool_ok("burn", "--yes", image, target, f"--chunk={chunk}")
            self.assertEqual(target.read_bytes(), content)

    def test_zeros_are_known_without_decoding(self):
        content = random_bytes(MiB) + bytes(3 * MiB) + random_bytes(MiB, 2)
        image = self.file(seekable_zst(content))
        extents = self.imgtool_ok("map", "--json", image).json
        self.assertEqual([(e["start"], e["length"], e["zero"], e["data"]) for e in extents],
                         [(0, MiB, False, True), (MiB, 3 * MiB, True, False),
                          (4 * MiB, MiB, False, True)])
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["virtual-size"], 5 * MiB)

    def test_what_looks_like_zeros_and_is_not(self):
        content = bytearray(seekable_zst(bytes(MiB)))
        place = content.index(b"\0", 9)  # what a block repeats
        content[place] = 7
        target = self.path()
        self.imgtool_ok("burn", "--yes", self.file(bytes(content)), target)
        self.assertEqual(target.read_bytes().count(7), 128 * KiB)

    def test_damaged_frames(self):
        content = random_bytes(3 * MiB)
        packed = seekable_zst(content)
        for place in (100, 2 * MiB):
            bad = bytearray(packed)
            bad[place] ^= 1
            with self.subTest(place=place):
                self.assert_damaged(self.file(bytes(bad)))

    def test_damaged_tables(self):
        packed = seekable_zst(random_bytes(3 * MiB))
        for back, value in ((5, 0x04), (9, 0xff), (9, 0x02), (17, 0x01), (21, 0x01)):
            bad = bytearray(packed)
            bad[-back] ^= value
            with self.subTest(back=back):
                self.assert_damaged(self.file(bytes(bad)))

    def test_a_table_that_lies_about_a_frame(self):
        frames = [zstd(random_bytes(MiB, seed), "-1") for seed in range(2)]
        def table(*sizes):
            body = b"".join(struct.pack("<II", *pair) for pair in sizes)
            body += struct.pack("<IBI", len(sizes), 0, 0x8F92EAB1)
            return b"".join(frames) + struct.pack("<II", 0x184D2A5E, len(body)) + body
        lengths = list(map(len, frames))
        self.assert_damaged(self.file(table((lengths[0], MiB - 1), (lengths[1], MiB))))
        self.assert_damaged(self.file(table((lengths[0] - 9, MiB), (lengths[1] + 9, MiB))))
        self.assert_damaged(self.file(table((lengths[0] - 1, MiB))))
        # Of the last frame alone: another file stands in front of it.
        both = hashlib.sha256(random_bytes(MiB, 0) + random_bytes(MiB, 1)).hexdigest()
        one_too_few = self.file(table((lengths[1], MiB)))
        self.assertIn(both, self.imgtool_ok("hash", one_too_few).out)

    @requires("zstd")
    def test_one_file_behind_another(self):
        """Ours and other tools', as `zstd -d` takes them; each of ours has to be whole."""
        contents = [random_bytes(9 * MiB, seed) for seed in (1, 2)]
        ours, plain = [], []
        for seed, content in enumerate(contents):
            raw = self.file(content)
            packed = self.path(f"{seed}.zst")
            self.imgtool_ok("convert", "-O", "zst", raw, packed)
            ours.append(packed.read_bytes())
            plain.append(zstd(content, "-1"))
        whole = hashlib.sha256(b"".join(contents)).hexdigest()
        for first in (ours[0], plain[0]):
            for second in (ours[1], plain[1]):
                image = self.file(first + second)
                self.assertIn(whole, self.imgtool_ok("hash", image).out)
        cut = ours[0].index(b"\x28\xb5\x2f\xfd", 100)  # between two frames
        for parts in ((ours[0][:cut], ours[1]), (ours[0][:cut], plain[1]),
                      (ours[1], ours[0][:cut]), (plain[1], ours[0][:cut])):
            self.assert_damaged(self.file(b"".join(parts)))

    def test_frames_too_large_for_memory_are_a_stream(self):
        content = bytes(70 * MiB)
        packed = zero_frame(70 * MiB)
        body = struct.pack("<II", len(packed), 70 * MiB) + struct.pack("<IBI", 1, 0, 0x8F92EAB1)
        image = self.file(packed + struct.pack("<II", 0x184D2A5E, len(body)) + body)
        result = self.imgtool_ok("hash", image)
        self.assertIn(hashlib.sha256(content).hexdigest(), result.out)


class AndroidSparse(ContainerTestCase):
    def test_every_kind_of_chunk(self):
        packed, content = sample_simg(random_bytes(8192))
        image = self.file(packed)
        self.assert_content(image, content)
        extents = self.imgtool_ok("map", "--json", image).json
        self.assertEqual([(e["start"] // 4096, e["length"] // 4096, e["zero"]) for e in extents],
                         [(0, 1, False), (1, 2, False), (3, 1, True), (4, 1, False), (5, 2, True)])
        info = self.imgtool_ok("info", "--json", image).json
        self.assertEqual((info["format"], info["virtual-size"]), ("simg", len(content)))

    @requires("img2simg", "simg2img")
    def test_against_the_tools(self):
        content = sample(9 * MiB)
        packed, unpacked = self.path(), self.path()
        check("img2simg", self.file(content), packed)
        self.assert_content(packed, content)
        other, other_content = sample_simg(random_bytes(8192))
        check("simg2img", self.file(other), unpacked)
        self.assertEqual(unpacked.read_bytes(), other_content)

    def test_wrong_checksums(self):
        packed, _ = sample_simg(random_bytes(8192))
        for place in (24, 28 + 13, packed.index(struct.pack("<H", 0xCAC4)) + 12):
            bad = bytearray(packed)
            bad[place] ^= 1
            with self.subTest(place=place):
                self.assert_damaged(self.file(bytes(bad)), "checksum")

    def test_damage_in_any_field(self):
        packed, content = sample_simg(random_bytes(8192))
        for place in [*range(6), 8, 9, 10, 11, *range(12, 28), *range(28, 30), *range(32, 40)]:
            bad = bytearray(packed)
            bad[place] ^= 0x10
            image = self.file(bytes(bad))
            with self.subTest(place=place):
                result = self.imgtool("hash", "-f", "simg", image)
                self.assertEqual(result.code, 1, f"\n{result!r}")

    def test_truncation_and_garbage(self):
        packed, _ = sample_simg(random_bytes(8192))
        for length in (27, 39, 5000, len(packed) - 1):
            self.assert_damaged(self.file(packed[:length]))
        for behind in (bytes(64 * KiB + 1), packed):
            self.assert_damaged(self.file(packed + behind), at=len(packed))

    def test_a_signature_behind_it(self):
        packed, content = sample_simg(random_bytes(8192))
        for size in (1, 3, 256, 4096, 64 * KiB):
            self.assert_content(self.file(packed + random_bytes(size)), content)

    def test_petabytes_of_nothing(self):
        image = self.file(simg([checksum_chunk(0), struct.pack("<HHII", 0xCAC3, 0, 1 << 31, 12)],
                               1 << 31))
        self.assertEqual(self.imgtool_ok("info", "--json", image).json["virtual-size"], 1 << 43)


class ForeignFiles(ContainerTestCase):
    """What is no disk, and of a kind that imgtool does not read, is not taken for one."""

    def refused(self, what, *arguments, **options):
        result = self.imgtool(*arguments, **options)
        self.assertEqual(result.code, 3, f"\n{result!r}")
        self.assertIn(what, result.err)
        self.assertIn("-f raw", result.err)

    def test_known_by_content_in_files_and_pipes(self):
        target = self.path("out.img")
        for what, start in FOREIGN.items():
            with self.subTest(what):
                image = self.file(start + bytes(8 * KiB), "misnamed.img")
                self.refused(what, "hash", image)
                self.refused(what, "burn", "--yes", image, target)
                self.refused(what, "info", image)
                with image.open("rb") as file:
                    pipe = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
                    self.refused(what, "convert", "-", target, input=pipe.stdout)
                    pipe.stdout.close()
                    pipe.wait()
                self.assertFalse(target.exists())
                self.imgtool_ok("hash", "-f", "raw", image)

    def test_parts_of_vmware_disks_alone(self):
        target = self.path("out.img")
        for what, start in PARTS.items():
            with self.subTest(what):
                image = self.file(start + bytes(8 * KiB), "misnamed.img")
                for arguments in (["hash", image], ["burn", "--yes", image, target]):
                    self.assert_refused(self.imgtool(*arguments), "--follow-references")
                self.refused(what, "convert", "-", target, input=image.read_bytes())
                self.assertFalse(target.exists())
                self.imgtool_ok("hash", "-f", "raw", image)

    def test_inside_streams(self):
        content = FOREIGN["rar"] + bytes(64 * KiB)
        target = self.path("out.img")
        for suffix, compress in COMPRESSORS.items():
            with self.subTest(suffix):
                image = self.file(compress(content))
                self.refused("rar archive inside", "burn", "--yes", image, target)
                self.assertFalse(target.exists())
                self.imgtool_ok("hash", "-f", suffix, image)

    def test_inside_a_seekable_zst(self):
        image = self.file(seekable_zst(FOREIGN["7z"] + bytes(64 * KiB)))
        self.refused("7z archive inside zst", "hash", image)


class Bounds(ContainerTestCase):
    def test_many_empty_xz_streams_take_no_time_each_for_all_before(self):
        image = self.file(lzma.compress(b"") * 100000)
        result = self.imgtool("info", image, timeout=40)  # took a minute
        self.assertEqual(result.code, 0, f"\n{result!r}")

    def test_sizes_of_a_sparse_image_do_not_wrap(self):
        block, most = 16 * MiB, 0xffffffff
        chunks = [(0xCAC3, most, b"")] * 256 + [(0xCAC3, 256, b""),
                                                (0xCAC2, 1, struct.pack("<I", 0xdeadbeef))]
        image = struct.pack("<IHHHHIIII", 0xED26FF3A, 1, 0, 28, 12, block, 1, len(chunks), 0)
        for kind, blocks, payload in chunks:
            image += struct.pack("<HHII", kind, 0, blocks, 12 + len(payload)) + payload
        self.assert_damaged(self.file(image), "more")


if __name__ == "__main__":
    main()
