"""imgtool convert to raw: files, disks, what is there already; and the digest on the way."""
import os

from convert_testing import ConvertTestCase, KiB, MiB, mixed_content, sha256_of
from imgtool_testing import check, main, random_bytes, requires, requires_root, sha256
from qcow2_images import Qcow2


class ToRaw(ConvertTestCase):
    def test_holes_stay_holes_and_stored_zeros_become_some(self):
        source = self.half_sparse_image(8 * MiB)
        target = self.path()
        report = self.convert(source, target)
        self.assert_same_content(source, target)
        self.assertEqual(report["format"], "raw")
        self.assertEqual(report["data-bytes"], 4 * MiB)
        self.assertLessEqual(os.stat(target).st_blocks * 512, 4 * MiB + 64 * KiB)

    def test_the_smallest_hole(self):
        source = self.path()
        source.write_bytes((random_bytes(64 * KiB) + bytes(64 * KiB)) * 16)
        for size, stored in (("64K", MiB), ("128K", 2 * MiB), ("0", 2 * MiB)):
            target = self.path()
            report = self.convert(source, target, "-S", size)
            self.assert_same_content(source, target)
            self.assertGreaterEqual(os.stat(target).st_blocks * 512, stored)
            self.assertLess(os.stat(target).st_blocks * 512, stored + 512 * KiB)
            self.assertEqual(report["size"], 2 * MiB)

    def test_preallocation(self):
        source = self.sparse_image(4 * MiB + 100, {MiB: 64 * KiB})
        for kind in ("falloc", "full"):
            target = self.path()
            self.convert(source, target, "-o", f"preallocation={kind}")
            self.assert_same_content(source, target)
            self.assertGreaterEqual(os.stat(target).st_blocks * 512, 4 * MiB)

    def test_odd_sizes(self):
        for size in (1, 511, 4095, MiB + 1):
            source = self.mixed_image(size)
            target = self.path()
            self.convert(source, target)
            self.assertEqual(target.read_bytes(), source.read_bytes())

    def test_into_a_file_that_is_there(self):
        source = self.half_sparse_image(4 * MiB)
        target = self.backing_file(5 * MiB)
        self.convert(source, target, "-n")
        self.assert_same_content(source, target, 4 * MiB)
        self.assertEqual(os.path.getsize(target), 5 * MiB)
        self.assertFalse(target.read_bytes()[4 * MiB:].strip(b"\xa5"))

    @requires("qemu-img")
    def test_a_qcow2_image_that_is_there_is_not_taken_for_a_disk(self):
        source = self.mixed_image(MiB)
        target = self.path("vm-disk")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-o", "preallocation=full", target, 2 * MiB)
        before = sha256(target)
        self.assert_refused(self.imgtool("convert", "-n", source, target), target, "-O qcow2")
        self.assertEqual(sha256(target), before)
        self.convert(source, target, "-n", "-O", "raw")
        self.assert_same_content(source, target, MiB)

    @requires("bmaptool")
    def test_a_block_map_on_the_way(self):
        source = self.half_sparse_image(5 * MiB + 512, run=256 * KiB)
        texts = set()
        for name in ("a.img", "b.qcow2", "c.img.zst"):
            image, block_map = self.path(name), self.path(f"{name}.bmap")
            report = self.convert(source, image, "--bmap-out", block_map)
            self.assertEqual(report["bmap"], str(block_map))
            texts.add(block_map.read_text())
            target = self.path()
            self.imgtool_ok("burn", "--yes", image, target)  # finds it beside the image
            self.assert_same_content(source, target)
        self.assertEqual(len(texts), 1)
        target = self.path()
        check("bmaptool", "copy", "--bmap", self.dir / "a.img.bmap", self.dir / "a.img", target)
        self.assert_same_content(source, target)
        again = self.path()
        result = self.imgtool("convert", source, again, "--bmap-out", self.dir / "a.img.bmap")
        self.assert_refused(result, "a.img.bmap")
        self.assertFalse(again.exists())

    def test_no_block_map_of_another_size(self):
        source = self.mixed_image(MiB + 123)
        for name, code in (("a.qcow2", 1), ("a.img", 0), ("a.img.zst", 0)):
            result = self.imgtool("convert", source, self.path(name), "--bmap-out",
                                  self.path(f"{name}.bmap"))
            self.assertEqual(result.code, code, f"\n{result!r}")
            self.assertEqual((self.dir / name).exists(), code == 0)
            self.assertEqual((self.dir / f"{name}.bmap").exists(), code == 0)

    def test_target_is_zero(self):
        source = self.half_sparse_image(4 * MiB)
        target = self.zero_image(4 * MiB)
        self.convert(source, target, "-n", "--target-is-zero")
        self.assert_same_content(source, target)
        # The promise is taken at its word: what was not zero stays.
        stale = self.backing_file(4 * MiB)
        self.convert(source, stale, "-n", "--target-is-zero")
        self.assertEqual(stale.read_bytes()[MiB:MiB + 4096], b"\xa5" * 4096)

    def test_a_small_file_is_refused(self):
        source = self.mixed_image(4 * MiB)
        target = self.backing_file(MiB)
        before = sha256(target)
        self.assert_refused(self.imgtool("convert", source, target, "-n"), "too small")
        self.assertEqual(sha256(target), before)
        self.assert_refused(self.imgtool("convert", source, self.path("none"), "-n"), "none")

    def test_digest_in_the_form_of_sha256sum(self):
        source = self.mixed_image(3 * MiB + 700)
        for name in ("plain.raw", "packed.qcow2"):
            target = self.path(name)
            result = self.imgtool_ok("convert", source, target, "--digest", "sha256")
            # Of the new image's disk, which qcow2 fills up to whole sectors.
            padding = bytes(-source.stat().st_size % 512) if name.endswith("qcow2") else b""
            expected = sha256_of(source.read_bytes() + padding)
            line = result.out.splitlines()[-1]
            self.assertEqual(line, f"{expected}  {target}")
            self.assertEqual(line + "\n", self.imgtool_ok("hash", target).out)
        self.path("sums").write_text(f"{sha256(source)}  {self.dir / 'plain.raw'}\n")
        check("sha256sum", "-c", self.dir / "sums")

    def test_to_standard_output(self):
        content = mixed_content(2 * MiB + 5)
        source = self.path()
        source.write_bytes(content)
        result = self.imgtool_ok("convert", source, "-")
        self.assertEqual(sha256_of(result.out_bytes), sha256_of(content))
        self.assertEqual(self.imgtool("convert", source, "-", "--json").code, 2)
        self.assertEqual(self.imgtool("convert", source, "-", "-O", "qcow2").code, 2)

    @requires("qemu-img")
    def test_from_qcow2(self):
        image = Qcow2(self, 4 * MiB, cluster_size=4096)
        image.write(0, 5000)
        image.write(MiB, MiB, compressed=True)
        image.zero(MiB + 4096, 8192)
        image.finish()
        target = self.path()
        self.convert(image.path, target)
        self.assert_same_content(target, image.oracle)

    def test_rate(self):
        source = self.dense_image(4 * MiB)
        target = self.path()
        report = self.convert(source, target, "--rate", "8M")
        self.assert_same_content(source, target)
        self.assertGreater(report["seconds"], 0.3)


@requires_root
class ToADisk(ConvertTestCase):
    def test_writes_it_in_place_when_told_to(self):
        source = self.half_sparse_image(4 * MiB)
        disk = self.loop_device(5 * MiB)
        self.assert_refused(self.imgtool("convert", source, disk), "--yes")
        self.convert(source, disk, "--yes")
        self.assert_same_content(source, disk, 4 * MiB)
        with open(disk, "rb") as file:
            file.seek(4 * MiB)
            self.assertFalse(file.read(MiB).strip(b"\xa5"))

    @requires("mkfs.ext4")
    def test_a_mounted_disk_is_refused(self):
        disk = self.loop_device(16 * MiB)
        check("mkfs.ext4", "-q", disk)
        self.mount(disk)
        result = self.imgtool("convert", self.mixed_image(MiB), disk, "--yes")
        self.assert_refused(result, "mounted")

    def test_a_small_disk_is_refused(self):
        disk = self.loop_device(MiB)
        result = self.imgtool("convert", self.mixed_image(2 * MiB), disk, "--yes")
        self.assert_refused(result, "too small")

    def test_other_formats_are_not_written_in_place(self):
        disk = self.loop_device(4 * MiB)
        for name in ("zst", "gz", "vmdk", "vpc", "vhdx", "vdi", "simg"):
            result = self.imgtool("convert", self.mixed_image(MiB), disk, "--yes", "-O", name)
            self.assert_refused(result, "raw")


if __name__ == "__main__":
    main()
