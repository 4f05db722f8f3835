"""qcow2 images of every kind, made by qemu: content, `info` and `map` are as they must be."""
import itertools

from imgtool_testing import (KiB, MiB, TestCase, check, is_sanitized, main, processor_time,
                             random_bytes, requires, run)
from qcow2_images import Qcow2, Raw, make_encrypted, qemu_info, qemu_map


class ImageTestCase(TestCase):
    def assert_read(self, image, *options):
        """Content equals the oracle's, and a single changed byte in the oracle would be found."""
        result = self.imgtool("compare", "--strict", "-f", "qcow2", "-F", "raw", image.path,
                              image.oracle, *options)
        self.assertEqual(result.code, 0, result)
        offset = len(image.content) // 3
        with open(image.oracle, "r+b") as file:
            file.seek(offset)
            file.write(bytes([image.content[offset] ^ 1]))
        result = self.imgtool("compare", image.path, image.oracle, "--json", *options)
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.json["differences"], [{"start": offset, "length": 1}])
        image.oracle.write_bytes(image.content)

    def assert_same_info(self, path, *options):
        theirs = qemu_info(path, *options)
        ours = self.imgtool_ok("info", "--output=json", *options, path).json
        self.assertEqual(ours, theirs)

    def assert_same_map(self, path, *options, qemu_options=()):
        theirs = qemu_map(path, *qemu_options)
        ours = self.imgtool_ok("map", "--output=json", *options, *qemu_options, path).json
        for extent in ours:
            extent.pop("compressed")
        self.assertEqual(ours, theirs)

    def assert_same_check(self, path):
        theirs = run(["qemu-img", "check", "--output=json", path])
        ours = self.imgtool("check", "--output=json", path)
        self.assertEqual(ours.json, theirs.json)
        self.assertEqual(ours.code, theirs.code)

    def assert_understood(self, image, *options):
        image.finish()
        self.assert_read(image, *options)
        self.assert_same_check(image.path)
        self.assert_same_info(image.path)
        self.assert_same_map(image.path, *options)

    @staticmethod
    def fill(image, cluster, compressed=True, zeros=True):
        """Whole clusters and parts of them, of every kind."""
        image.write(0, cluster)
        image.write(3 * cluster, 2 * cluster)
        if compressed:
            for index in (6, 7, 9, 12):
                image.write(index * cluster, cluster, compressed=True)
        if zeros:
            image.zero(10 * cluster, 2 * cluster)
            image.zero(3 * cluster, cluster)
        image.write(image.size - 512, 512)
        image.write(5 * cluster + cluster // 2, max(512, cluster // 8))


@requires("qemu-img", "qemu-io")
class OneFile(ImageTestCase):
    def test_every_cluster_size_and_compression(self):
        for bits, kind in itertools.product(range(9, 22), ("zlib", "zstd")):
            with self.subTest(cluster_bits=bits, compression=kind):
                cluster = 1 << bits
                image = Qcow2(self, 20 * cluster + 512, cluster_size=cluster,
                              compression_type=kind)
                self.fill(image, cluster)
                self.assert_understood(image)

    def test_version_2(self):
        for cluster in (512, 64 * KiB):
            with self.subTest(cluster=cluster):
                image = Qcow2(self, 100 * cluster, compat="0.10", cluster_size=cluster)
                self.fill(image, cluster, zeros=False)
                self.assert_understood(image)

    def test_subclusters(self):
        for cluster in (16 * KiB, 64 * KiB, 2 * MiB):
            with self.subTest(cluster=cluster):
                image = Qcow2(self, 24 * cluster, extended_l2="on", cluster_size=cluster)
                self.fill(image, cluster)
                unit = cluster // 32
                image.write(14 * cluster + 3 * unit, 5 * unit)
                image.zero(14 * cluster + 20 * unit, 2 * unit)
                image.zero(unit, unit)
                image.zero(16 * cluster + 8 * unit, 4 * unit)
                self.assert_understood(image)

    def test_every_refcount_width(self):
        for bits in (1, 2, 4, 8, 32, 64):
            with self.subTest(bits=bits):
                image = Qcow2(self, 4 * MiB, refcount_bits=bits)
                self.fill(image, 64 * KiB)
                self.assert_understood(image)

    def test_every_preallocation(self):
        for kind in ("metadata", "falloc", "full"):
            with self.subTest(kind=kind):
                image = Qcow2(self, 4 * MiB, preallocation=kind)
                self.fill(image, 64 * KiB, compressed=False)
                self.assert_understood(image)

    def test_discarded(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, 2 * MiB)
        image.discard(256 * KiB, 512 * KiB)
        image.zero(1 * MiB, 128 * KiB, unmap=True)
        self.assert_understood(image)

    def test_empty_and_tiny(self):
        for size in (0, 512, 1024, 66048):
            with self.subTest(size=size):
                image = Qcow2(self, size).finish()
                self.assertEqual(self.imgtool("compare", image.path, image.oracle).code, 0)
                self.assert_same_info(image.path)
                self.assert_same_map(image.path)

    def test_lazy_refcounts_left_dirty(self):
        image = Qcow2(self, 4 * MiB, lazy_refcounts="on")
        image.write(0, 1 * MiB)
        script = "\n".join(image.commands + ["flush", "sigraise 9", ""])
        run(["qemu-io", "-f", "qcow2", image.path], input=script.encode())
        image.commands = []
        image.finish()
        self.assertTrue(qemu_info(image.path)["dirty-flag"])
        self.assert_same_check(image.path)
        self.assert_read(image)
        self.assert_same_info(image.path)

    def test_corrupt_bit_is_still_readable(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, 1 * MiB)
        image.finish()
        image.patch(72, "Q", 2)
        self.assert_read(image)
        self.assert_same_info(image.path)

    def test_converted_by_qemu(self):
        raw = Raw(self, random_bytes(MiB) + bytes(MiB) + b"imgtool " * (MiB // 8) +
                  random_bytes(1000 * 512))
        for kind in ("zlib", "zstd"):
            with self.subTest(kind=kind):
                path = self.path()
                check("qemu-img", "convert", "-c", "-O", "qcow2", "-o", f"compression_type={kind}",
                      raw.path, path)
                self.assertEqual(self.imgtool("compare", "--strict", path, raw.path).code, 0)
                self.assert_same_map(path)

    def test_many_l2_tables_most_of_them_missing(self):
        image = Qcow2(self, 64 * MiB + 512, cluster_size=4096)
        for offset in range(0, 64 * MiB, 5 * MiB):
            image.write(offset + 4096 - 512, 1024)
        self.assert_understood(image)
        self.assert_same_map(image.path, qemu_options=("--start-offset=3000000",
                                                       "--max-length=20000000"))

    def test_snapshots(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, MiB)
        image.write(2 * MiB, 64 * KiB, compressed=True)
        image.flush_commands()
        first = Raw(self, bytes(image.content))
        check("qemu-img", "snapshot", "-c", "first", image.path)
        image.write(512 * KiB, MiB)
        image.flush_commands()
        second = Raw(self, bytes(image.content))
        # An id wins over a name: snapshot 1 is the first one.
        check("qemu-img", "snapshot", "-c", "1", image.path)
        image.write(64 * KiB, 64 * KiB)
        self.assert_understood(image)
        for wanted, oracle in (("first", first), ("1", first), ("2", second)):
            result = self.imgtool("compare", "-l", wanted, image.path, oracle.path)
            self.assertEqual(result.code, 0, result)
        result = self.imgtool("compare", "-l", "first", image.path, second.path, "--json")
        self.assertEqual(result.json["differences"], [{"start": 512 * KiB, "length": MiB}])
        self.assertEqual(self.imgtool("map", "-l", "none", image.path).code, 1)

    def test_snapshots_of_another_size(self):
        image = Qcow2(self, 2 * MiB)
        image.write(MiB, 64 * KiB)
        image.finish()
        small = Raw(self, bytes(image.content))
        check("qemu-img", "snapshot", "-c", "small", image.path)
        check("qemu-img", "resize", "-q", image.path, "6M")
        image.content += bytes(4 * MiB)
        image.size = 6 * MiB
        image.write(5 * MiB, 64 * KiB)
        self.assert_understood(image)
        result = self.imgtool("compare", "--strict", "-l", "small", image.path, small.path)
        self.assertEqual(result.code, 0, result)
        last = self.imgtool_ok("map", "--json", "-l", "small", image.path).json[-1]
        self.assertEqual(last["start"] + last["length"], 2 * MiB)

    def test_a_few_extents_of_64_tib(self):
        image = Qcow2(self, 64 << 40)
        for offset in (0, 1 << 40, (64 << 40) - 64 * KiB):
            image.commands.append(f"write -P 7 {offset} 65536")
        image.finish_without_oracle()
        with processor_time() as seconds:
            extents = self.imgtool_ok("map", "--json", image.path).json
        self.assertEqual(len([extent for extent in extents if extent["data"]]), 3)
        self.assertLess(seconds(), 10 if is_sanitized() else 0.5)
        self.assert_same_map(image.path)
        self.assert_same_info(image.path)
        self.assert_same_check(image.path)

    def test_bitmaps(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, MiB)
        image.flush_commands()
        check("qemu-img", "bitmap", "--add", image.path, "daily")
        check("qemu-img", "bitmap", "--add", "--disable", "-g", "4096", image.path, "weekly")
        image.write(MiB, 64 * KiB)
        self.assert_understood(image)

    def test_encrypted_content_is_refused(self):
        for kind, options in (("LUKS", {"format": "luks", "iter_time": 10}),
                              ("LUKS", {"format": "luks", "iter_time": 10, "cipher_alg": "aes-128",
                                        "cipher_mode": "cbc", "ivgen_alg": "essiv",
                                        "ivgen_hash_alg": "sha256"}), ("AES", {"format": "aes"})):
            with self.subTest(options=options):
                path = self.path()
                make_encrypted(path, **options)
                self.assert_same_info(path)
                for command, code in ((["compare", path], 2), (["hash"], 1)):
                    result = self.imgtool(command[0], path, *command[1:])
                    self.assertEqual(result.code, code, result)
                    self.assertIn(f"is encrypted ({kind})", result.err)
                self.assertIn(f"encryption: {kind}", self.imgtool_ok("info", path).out)


@requires("qemu-img", "qemu-io")
class SeveralFiles(ImageTestCase):
    def test_backing_chain(self):
        base = Raw(self, random_bytes(3 * MiB, 7) + bytes(MiB), "base.img")
        middle = Qcow2(self, 6 * MiB, "middle.qcow2", backing=base)
        middle.write(1 * MiB, 100 * KiB)
        middle.zero(2 * MiB, 64 * KiB)
        middle.write(5 * MiB, 64 * KiB, compressed=True)
        middle.finish()
        for size in (5 * MiB, 6 * MiB, 8 * MiB):
            with self.subTest(size=size):
                top = Qcow2(self, size, backing=middle)
                top.write(64 * KiB, 64 * KiB)
                top.zero(1 * MiB, 32 * KiB)
                top.zero(4 * MiB, 64 * KiB)
                self.assert_understood(top, "--follow-references")
                self.assert_same_info(top.path, "--backing-chain")

    def test_backing_file_beside_the_image(self):
        base = Raw(self, random_bytes(MiB), "base.img")
        top = self.path("top.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw", top)
        self.assert_same_info(top)
        self.assertEqual(self.imgtool("compare", "--follow-references", top, base.path).code, 0)

    def test_subclusters_over_a_backing_file(self):
        base = Raw(self, random_bytes(2 * MiB))
        image = Qcow2(self, 2 * MiB, backing=base, extended_l2="on")
        image.write(4096, 2048)
        image.zero(8192, 4096)
        image.zero(192 * KiB, 2048)
        self.assert_understood(image, "--follow-references")

    def test_external_data_file(self):
        for raw in ("on", "off"):
            with self.subTest(raw=raw):
                data = self.path()
                image = Qcow2(self, 4 * MiB, data_file=data, data_file_raw=raw)
                image.write(0, 64 * KiB)
                image.write(1 * MiB, 1000 * KiB)
                image.zero(128 * KiB, 64 * KiB)
                self.assert_understood(image, "--follow-references")
                result = self.imgtool("compare", image.path, image.oracle)
                self.assertEqual(result.code, 3, result)

    def test_references_are_not_opened_unasked(self):
        base = Raw(self, random_bytes(MiB), "base.img")
        top = Qcow2(self, MiB, "top.qcow2", backing=base).finish()
        result = self.imgtool("compare", top.path, top.oracle, "--json")
        self.assertEqual(result.code, 3, result)
        self.assertEqual(result.json["error"]["kind"], "refused")
        self.assertIn("--follow-references", result.err)
        (extent,) = self.imgtool_ok("map", "--json", top.path).json
        self.assertFalse(extent["present"] or extent["zero"] or extent["data"])

    def test_special_names_are_never_opened(self):
        for name in ("json:{}", "nbd://localhost/", "file:/etc/passwd", "a\x1b[2Jb", "x\ny"):
            with self.subTest(name=name):
                top = Qcow2(self, MiB)
                check("qemu-img", "rebase", "-u", "-F", "raw", "-b", name, top.path)
                top.finish()
                result = self.imgtool("compare", "--follow-references", top.path, top.oracle)
                self.assertEqual(result.code, 3, result)
                self.assertNotIn("\x1b", result.err)
                self.assertNotIn("\x1b", self.imgtool_ok("info", top.path).out)

    def test_backing_file_without_a_format_is_never_probed(self):
        base = Qcow2(self, MiB, "base.qcow2").finish()
        top = Qcow2(self, MiB)
        check("qemu-img", "rebase", "-u", "-F", "qcow2", "-b", base.path, top.path)
        extension = 112
        self.assertEqual(top.header(extension, "I"), 0xE2792ACA)
        top.patch(extension, "I", 0x12345678)  # an unknown extension
        top.finish()
        result = self.imgtool("compare", "--follow-references", top.path, top.oracle)
        self.assertEqual(result.code, 3, result)
        self.assertIn("looks like qcow2", result.err)

    def test_chains_that_bite_their_tail(self):
        for others in (0, 1, 2):
            with self.subTest(others=others):
                paths = [self.path() for _ in range(others + 1)]
                for path, backing in zip(paths, paths[1:] + paths[:1]):
                    check("qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
                    check("qemu-img", "rebase", "-u", "-b", backing, "-F", "qcow2", path)
                result = self.imgtool("compare", "--follow-references", paths[0], paths[0])
                self.assertEqual(result.code, 2, result)
                self.assertIn("part of the same chain", result.err)
                self.assertEqual(self.imgtool("info", "--backing-chain", paths[0]).code, 1)

    def test_chains_that_are_too_long(self):
        paths = [self.path() for _ in range(202)]
        paths[0].write_bytes(bytes(MiB))
        for index, path in enumerate(paths[1:]):
            form = "raw" if index == 0 else "qcow2"
            check("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", paths[index], "-F", form,
                  path, "1M")
        self.imgtool_ok("compare", "--follow-references", paths[199], paths[0])
        result = self.imgtool("compare", "--follow-references", paths[-1], paths[0])
        self.assertEqual(result.code, 3, result)


if __name__ == "__main__":
    main()
