"""What else is done with images of other programs: --drop-free, analyze, measure, compress, backing."""
import os

from block_image_testing import BlockImageTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires, sha256

FORMATS = ("vdi", "vpc", "vhdx", "qed", "qcow", "parallels", "vmdk")


@requires("qemu-img", "mkfs.ext4")
class BlockImageUse(BlockImageTestCase):
    def file_system(self):
        """ext4 with a file in it, and what was deleted before."""
        disk = self.path("fs.img")
        folder = self.path("files")
        folder.mkdir()
        (folder / "kept").write_bytes(random_bytes(300 * KiB))
        with open(disk, "wb") as file:
            file.truncate(32 * MiB)
            file.seek(24 * MiB)
            file.write(random_bytes(4 * MiB, 7))
        check("mkfs.ext4", "-q", "-F", "-E", "nodiscard", "-d", folder, disk)
        return disk

    def images(self, disk):
        for name in FORMATS:
            options = ("force_size=on",) if name == "vpc" else ()
            yield name, self.written_by_qemu(disk, name, *options)

    def test_free_space_is_found_in_all_of_them(self):
        disk = self.file_system()
        free = self.imgtool_ok("analyze", "--json", disk).json["free"]["size"]
        sparse = self.path()
        self.imgtool_ok("convert", "--drop-free", "-O", "raw", disk, sparse)
        self.assertLess(os.stat(sparse).st_blocks * 512, 4 * MiB)
        for name, image in self.images(disk):
            with self.subTest(name):
                analysis = self.imgtool_ok("analyze", "--json", image).json
                self.assertEqual((analysis["format"], analysis["free"]["size"]), (name, free))
                out = self.path()
                self.imgtool_ok("convert", "--drop-free", "-O", "raw", image, out)
                self.assertEqual(sha256(out), sha256(sparse))
                required = self.imgtool_ok("measure", "-O", "qcow2", "--json", image).json["required"]
                self.assertGreater(required, 4 * MiB)
                self.assertLess(required, 16 * MiB)

    def test_compressing_keeps_the_content(self):
        disk = self.file_system()
        for name, image in self.images(disk):
            with self.subTest(name):
                packed = self.path()
                self.imgtool_ok("compress", "-O", "qcow2", image, packed)
                self.assert_same_content(self.unpacked(packed), disk)

    def unpacked(self, image):
        raw = self.path()
        self.imgtool_ok("convert", "-O", "raw", image, raw)
        return raw

    def test_as_a_backing_file_whose_format_is_stated(self):
        disk = self.disk(4 * MiB)
        for name, image in self.images(disk):
            with self.subTest(name):
                over = self.path(f"over.{name}.qcow2")
                check("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", name, over)
                self.assert_refused(self.imgtool("hash", over), "--follow-references")
                digest = self.imgtool_ok("hash", "--follow-references", over).out.split()[0]
                self.assertEqual(digest, sha256(disk))
                chain = self.imgtool_ok("info", "--json", "--backing-chain", over).json
                self.assertEqual([facts["format"] for facts in chain], ["qcow2", name])
                content = over.read_bytes()  # without the extension that states the format
                over.write_bytes(content.replace(b"\xe2\x79\x2a\xca", b"none", 1))
                self.assert_refused(self.imgtool("hash", "--follow-references", over), "looks like")

    def test_what_cannot_be_done_with_them(self):
        disk = self.disk(4 * MiB)
        for name, image in self.images(disk):
            with self.subTest(name):
                self.assertEqual(self.imgtool("check", "--repair=all", image).code, 1)
                self.assertEqual(self.imgtool("resize", image, "+1M").code, 1)
                misnamed = image.rename(self.path(f"{name}.img"))
                self.assert_refused(self.imgtool("convert", "-n", disk, misnamed), f"is {name}")
                self.assert_reads(misnamed, disk)


if __name__ == "__main__":
    main()
