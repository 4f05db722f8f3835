"""imgtool burn: what "done" promises of the medium, and which targets and images are refused."""
import gzip
import hashlib
import lzma
import os
import pathlib
import struct
import subprocess

from burn_testing import BurnTestCase
from imgtool_testing import (IMGTOOL, KiB, MiB, check, main, requires, requires_fault_disk,
                             requires_root, run, wait_until)


def partition_script(*sizes_mib):
    return "label: gpt\n" + "".join(f"size={size}MiB\n" for size in sizes_mib)


class PromiseTestCase(BurnTestCase):
    def partitioned_image(self, size, *sizes_mib, label="gpt"):
        image = self.dense_image(size)
        script = partition_script(*sizes_mib).replace("gpt", label)
        run(["sfdisk", "-q", "--wipe=never", image], input=script.encode())
        return image


@requires_root
class Medium(PromiseTestCase):
    @requires_fault_disk
    def test_a_counterfeit_is_told_by_what_it_holds(self):
        image = self.dense_image(40 * MiB)
        for options in ([], ["--verify=sample"]):
            with self.subTest(options=options):
                disk = self.fault_disk(64 * MiB, real_size=16 * MiB)
                result = self.imgtool("burn", image, disk.device, "--yes", "--json", *options)
                self.assertEqual(result.code, 4, f"\n{result!r}")
                target, = result.json["targets"]
                self.assertEqual((target["status"], target["real-size"], target["head"]),
                                 ("smaller-than-claimed", 16 * MiB, "wiped"))
                self.assertIn("only about 16.0 MiB of the 64.0 MiB", result.err)

    @requires_fault_disk
    def test_a_counterfeit_of_an_odd_size_whose_addresses_hit_only_zeros(self):
        """What was written too far comes out where the image has nothing."""
        for real in (21 * MiB, 20 * MiB + 192 * KiB, 19 * MiB + 512 * 77):
            with self.subTest(real=real):
                image = self.sparse_image(40 * MiB, {0: MiB, 26 * MiB: 4 * MiB})
                disk = self.fault_disk(64 * MiB, real_size=real)
                result = self.imgtool("burn", image, disk.device, "--yes", "--json")
                self.assertEqual(result.code, 4, f"\n{result!r}")
                target, = result.json["targets"]
                self.assertEqual((target["status"], target["real-size"], target["head"]),
                                 ("smaller-than-claimed", real, "wiped"))

    @requires_fault_disk
    @requires("sfdisk")
    def test_a_counterfeit_is_told_when_its_table_is_fitted(self):
        """The image fits into what there is; the backup GPT at the claimed end does not."""
        image = self.partitioned_image(12 * MiB, 2, 8)
        for real in (14 * MiB, 15 * MiB + 512 * KiB):
            with self.subTest(real=real):
                disk = self.fault_disk(64 * MiB, real_size=real)
                result = self.imgtool("burn", image, disk.device, "--yes", "--json", "--grow-last")
                self.assertEqual(result.code, 4, f"\n{result!r}")
                target, = result.json["targets"]
                self.assertEqual(target["head"], "wiped")
                self.assertIn("less than it claims", result.err)

    def test_a_file_system_without_direct_io_is_not_called_verified(self):
        image, folder = self.dense_image(3 * MiB), self.path()
        folder.mkdir()
        check("mount", "-t", "ramfs", "ramfs", folder)
        self.addCleanup(run, ["umount", "--lazy", folder])
        with self.assertRaises(OSError):  # else this file system proves nothing
            os.close(os.open(folder / "direct", os.O_CREAT | os.O_RDWR | os.O_DIRECT))
        target, = self.imgtool_ok("burn", image, folder / "new", "--json").json["targets"]
        self.assertEqual((target["status"], target["past-cache"]), ("read-back-cached", False))
        result = self.imgtool_ok("burn", image, folder / "new", "--force")
        self.assertIn("read back through the page cache", result.out)
        self.assertNotIn("verified", result.out)

    @requires_fault_disk
    def test_a_head_that_does_not_verify_is_wiped_again(self):
        """Inverted zeros: the byte is wrong while the head is wiped, too, so nothing is written."""
        image, bad = self.dense_image(4 * MiB), self.fault_disk(4 * MiB)
        bad.flip_reads(1000, 1)
        result = self.imgtool("burn", image, bad.device, "--yes", "--json")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertEqual(result.json["targets"][0]["head"], "unknown")
        with open(bad.backing, "rb") as file:
            self.assertFalse(any(file.read(MiB)), "it looks complete")

    def test_a_loop_device_is_burned_past_its_page_cache(self):
        image = self.dense_image(12 * MiB)
        disk = self.loop_device(16 * MiB, direct_io=False)
        mode = pathlib.Path(f"/sys/block/{os.path.basename(disk)}/loop/dio")
        self.assertEqual(mode.read_text().strip(), "0")
        job = self.job("burn", image, disk, "--yes", "--json", "--rate=4M")
        job.wait_for("write", 2 * MiB)
        self.assertEqual(mode.read_text().strip(), "1")
        result = job.finish()
        target, = result.json["targets"]
        self.assertEqual((target["status"], target["past-cache"]), ("verified", True))
        self.assertEqual(mode.read_text().strip(), "0")

    @requires_fault_disk
    def test_a_stop_on_a_slow_disk_waits_for_little(self):
        image, disk = self.dense_image(64 * MiB), self.fault_disk(64 * MiB, write_delay="500ms")
        job = self.job("burn", image, disk.device, "--yes")
        job.wait_for("write", 4 * MiB)
        job.signal(2)
        result = job.finish()
        self.assertEqual(result.code, 130, f"\n{result!r}")
        with open(disk.backing, "rb") as file:
            begun = sum(file.read(MiB) != b"\xa5" * MiB for _ in range(64))
        # What was in flight has to be waited for; with all lanes at work 32 MiB, 4 s.
        self.assertLess(begun * MiB - job.lines[-1]["done"], 12 * MiB)
        self.assertIn("its first MiB is wiped", result.err)

    def test_a_thin_loop_device_stays_thin(self):
        image = self.sparse_image(64 * MiB, {0: 4096, 40 * MiB: 4096})
        backing = self.path()
        with open(backing, "wb") as file:
            file.truncate(64 * MiB)
        self.burn(image, self.loop_device(backing))
        self.assertLess(os.stat(backing).st_blocks * 512, 8 * MiB)
        self.assert_same_content(backing, image)

    @requires("blkid", "sfdisk")
    def test_an_old_raid_member_is_no_longer_one(self):
        image = self.partitioned_image(8 * MiB, 2, 4, label="dos")
        backing = self.backing_file(16 * MiB, fill=0)
        with open(backing, "r+b") as file:
            file.seek(16 * MiB - 8 * KiB)
            file.write(struct.pack("<IIII", 0xa92b4efc, 1, 0, 0))
            file.seek(16 * MiB - 8 * KiB + 144)
            file.write(struct.pack("<Q", (16 * MiB - 8 * KiB) // 512))
        disk = self.loop_device(backing)
        result = self.imgtool_ok("burn", image, disk, "--yes")
        self.assertIn("md RAID 1.0", result.out)
        with open(backing, "rb") as file:
            file.seek(16 * MiB - 8 * KiB)
            self.assertFalse(any(file.read(4 * KiB)))
        self.assertIn("PTTYPE=\"dos\"", check("blkid", "-p", disk))


class CutShort(PromiseTestCase):
    def cut_image(self, label="gpt"):
        whole = self.partitioned_image(16 * MiB, 4, 8, label=label)
        os.truncate(whole, 10 * MiB)
        return whole

    @requires("sfdisk")
    def test_is_refused_and_says_what_is_missing(self):
        for label in ("gpt", "dos"):
            with self.subTest(label=label):
                target = self.path()
                result = self.imgtool("burn", self.cut_image(label), target)
                self.assert_refused(result, "partition 2", 3 * MiB, "--allow-truncated")
                self.assertFalse(target.exists())

    @requires("sfdisk")
    def test_of_a_stream_never_looks_complete(self):
        image = self.cut_image()
        for name, content in (("-", image.read_bytes()), ("x.gz", None)):
            with self.subTest(name=name):
                source = name
                if content is None:
                    source = self.path(name)
                    source.write_bytes(gzip.compress(image.read_bytes()))
                target = self.backing_file(20 * MiB)
                result = self.imgtool("burn", source, target, "--force", input=content or b"")
                self.assertNotEqual(result.code, 0, f"\n{result!r}")
                self.assertIn("partition 2", result.err)
                self.assertEqual(set(target.read_bytes()[:MiB]), {0})

    @requires("sfdisk")
    def test_allowed_it_is_filled_with_zeros_and_gets_no_backup(self):
        image, target = self.cut_image(), self.backing_file(20 * MiB)
        result = self.imgtool_ok("burn", image, target, "--force", "--allow-truncated", "--json")
        table = result.json["targets"][0]["partition-table"]
        self.assertEqual(table["zeros-for-missing-bytes"], 3 * MiB)
        content = target.read_bytes()
        self.assertEqual(content[:10 * MiB], image.read_bytes())
        self.assertFalse(any(content[10 * MiB:13 * MiB]))
        self.assertNotIn(b"EFI PART", content[13 * MiB:])

    @requires("sfdisk")
    def test_convert_and_capture_say_so(self):
        whole = self.partitioned_image(16 * MiB, 4, 8)
        for image, cut in ((self.cut_image(), True), (whole, False)):
            for command in ("convert", "capture"):
                result = self.imgtool_ok(command, image, self.path(), "--json")
                self.assertEqual("cut short" in result.err, cut, f"\n{result!r}")
                self.assertEqual(result.json["cut-short"], cut)

    def streams(self, image):
        """The same as a pipe and compressed: [name, what is piped]."""
        content = image.read_bytes()
        yield "-", content
        for suffix, compress in (("gz", gzip.compress), ("xz", lzma.compress)):
            packed = self.path(f"{image.name}.{suffix}")
            packed.write_bytes(compress(content))
            yield packed, b""

    @requires("sfdisk")
    def test_of_a_stream_convert_and_verify_say_so(self):
        whole = {label: self.partitioned_image(16 * MiB, 4, 8, label=label)
                 for label in ("gpt", "dos")}
        logical = self.zero_image(16 * MiB)
        self.assertEqual(run(["sfdisk", "--quiet", logical], input=b"label: dos\n"
                             b"1 : start=2048, size=2048\n2 : start=6144, type=5\n"
                             b"5 : start=8192, size=4096\n6 : start=14336\n").code, 0)
        for image, cut in ((self.cut_image(), True), (self.cut_image("dos"), True),
                           (whole["gpt"], False), (whole["dos"], False), (logical, False),
                           (self.dense_image(3 * MiB + 100), False), (self.dense_image(700), False)):
            for name, piped in self.streams(image):
                with self.subTest(image=image, name=name, cut=cut):
                    copy = self.path()
                    result = self.imgtool_ok("convert", name, copy, "-O", "raw", "--json",
                                             input=piped)
                    self.assertEqual("cut short: partition 2" in result.err, cut, f"\n{result!r}")
                    self.assertEqual(result.json["cut-short"], cut)
                    self.assertEqual(copy.read_bytes(), image.read_bytes())
                    result = self.imgtool_ok("verify", name, copy, "--json", input=piped)
                    self.assertEqual("cut short" in result.err, cut, f"\n{result!r}")
                    self.assertEqual(result.json["cut-short"], cut)

    @requires("sfdisk")
    def test_verify_says_so(self):
        image = self.cut_image()
        copy = self.path()
        copy.write_bytes(image.read_bytes())
        self.assertIn("cut short", self.imgtool_ok("verify", image, copy).err)


class Digest(PromiseTestCase):
    def packed(self):
        content = self.dense_image(3 * MiB).read_bytes()
        image = self.path("golden.img.gz")
        image.write_bytes(gzip.compress(content))
        return image, hashlib.sha256(image.read_bytes()).hexdigest(), \
            hashlib.sha256(content).hexdigest()

    def test_of_the_file_or_of_the_content(self):
        image, of_file, of_content = self.packed()
        for digest, what in ((of_file, "file"), (of_content, "content")):
            report = self.burn(image, self.path(), f"--digest=sha256:{digest}")
            self.assertEqual(report["digest-matched"], what)
        target = self.path("target")
        result = self.imgtool("burn", image, target, f"--digest=sha256:{'0' * 64}")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertFalse(target.exists())

    def test_auto_uses_the_sum_beside_the_image(self):
        image, of_file, of_content = self.packed()
        sums = self.path("SHA256SUMS")
        target = self.path("none")
        self.assert_refused(self.imgtool("burn", image, target, "--digest=auto"), "SHA256SUMS")
        for text, what in ((f"{'1' * 64}  other\n{of_file} *{image.name}\n", "file"),
                           (f"{of_content}  golden.img\n", "content")):
            sums.write_text(text)
            report = self.burn(image, self.path(), "--digest=auto")
            self.assertEqual(report["digest-matched"], what)
        own = self.path(f"{image.name}.sha256")
        own.write_text(f"{'2' * 64}\n")
        existing = self.backing_file(4 * MiB)
        before = existing.read_bytes()
        result = self.imgtool("burn", image, existing, "--force", "--digest=auto")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertIn("nothing was written", result.err)
        self.assertEqual(existing.read_bytes(), before)
        plain = self.dense_image(MiB, "plain.img")
        self.path("plain.img.sha256").write_text(f"{'3' * 64}  plain.img\n")
        result = self.imgtool("burn", plain, existing, "--force", "--digest=auto")
        self.assertEqual(result.code, 4, f"\n{result!r}")
        self.assertEqual(existing.read_bytes(), before)


class Names(PromiseTestCase):
    def setUp(self):
        super().setUp()
        self.image = self.dense_image(MiB)

    def test_standard_output_is_no_target(self):
        self.assert_refused(self.imgtool("burn", self.image, "-", cwd=self.dir), "convert")
        self.assertFalse((self.dir / "-").exists())

    def test_no_file_appears_in_dev(self):
        name = "/dev/imgtool-test-zz"
        self.addCleanup(lambda: os.path.exists(name) and os.unlink(name))
        for command in (["burn", self.image, name], ["convert", self.image, name]):
            self.assert_refused(self.imgtool(*command), "no such disk")
            self.assertFalse(os.path.exists(name))

    @requires_root
    def test_a_file_in_dev_is_no_disk(self):
        name = "/dev/imgtool-test-file"
        self.addCleanup(lambda: os.path.exists(name) and os.unlink(name))
        pathlib.Path(name).write_bytes(b"mistyped")
        for command in (["burn", self.image, name, "--force"],
                        ["convert", self.image, name, "--force"]):
            self.assert_refused(self.imgtool(*command), "not a disk")
        self.assertEqual(pathlib.Path(name).read_bytes(), b"mistyped")

    @requires_root
    def test_a_disks_name_without_its_folder(self):
        disk = self.loop_device(4 * MiB)
        name = os.path.basename(disk)
        for command in (["burn", self.image, name], ["convert", self.image, name]):
            self.assert_refused(self.imgtool(*command, cwd=self.dir), disk, f"./{name}")
            self.assertFalse((self.dir / name).exists())

    @requires("strace")
    def test_a_name_that_leads_elsewhere_once_it_was_checked(self):
        target, victim = self.backing_file(4 * MiB), self.backing_file(4 * MiB, fill=0x5A)
        before = victim.read_bytes()
        log = self.path()
        process = self.start(["strace", "-f", "-qq", "-o", log, "-P", target,
                              "-e", "trace=openat", "-e", "inject=openat:delay_enter=3000000",
                              IMGTOOL, "burn", self.image, target, "--force"],
                             env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
                             stderr=subprocess.PIPE)
        # strace writes a call down when it begins, which is before the delay.
        wait_until(lambda: log.exists() and b"openat" in log.read_bytes(), "the opening to begin")
        link = self.path()
        link.symlink_to(victim)
        link.rename(target)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 3, err)
        self.assertIn(b"something else", err)
        self.assertEqual(victim.read_bytes(), before)

    @requires_root
    def test_image_and_target_swapped(self):
        disk = self.loop_device(4 * MiB)
        result = self.imgtool("burn", disk, self.image)
        self.assert_refused(result, "the other way round?")
        self.assertNotIn("--force", result.err)


class Hints(PromiseTestCase):
    def assert_hint(self, *args, hint):
        result = self.imgtool(*args)
        self.assertEqual(result.code, 2, f"\n{result!r}")
        self.assertIn(hint, result.err)

    def test_words_of_other_tools(self):
        for word, hint in (("write", "imgtool burn"), ("flash", "imgtool burn"),
                           ("dd", "imgtool burn"), ("version", "imgtool --version")):
            self.assert_hint(word, "a.img", "/dev/sdb", hint=hint)
        self.assert_hint("burn", "-y", "a.img", "/dev/sdb", hint="'--yes'")
        self.assert_hint("hash", "-h", hint="'--help'")
        self.assert_hint("burn", "if=a.img", "of=/dev/sdb", hint="imgtool burn IMAGE TARGET")
        self.assert_hint("burn", "https://host/a.img.xz", "x", hint="curl -fL https://host/a.img.xz")


@requires_root
@requires("sfdisk")
class Place(PromiseTestCase):
    def test_a_disks_image_into_a_partition_needs_a_word(self):
        image = self.partitioned_image(8 * MiB, 2, 4)
        outer = self.partitioned_image(32 * MiB, 16, 8)
        partition = self.partition_node(self.loop_device(outer, partitions=True), 1)
        result = self.imgtool("burn", image, partition, "--yes")
        self.assert_refused(result, "whole disk", "--force-partition")
        report = self.burn(image, partition, "--force-partition")
        self.assertIn("whole disk", report["targets"][0]["misplaced"])

    @requires("mkfs.ext4")
    def test_a_partitions_image_onto_a_disk_needs_a_word(self):
        image = self.path()
        with open(image, "wb") as file:
            file.truncate(8 * MiB)
        check("mkfs.ext4", "-q", "-F", image)
        disk = self.loop_device(16 * MiB)
        result = self.imgtool("burn", image, disk, "--yes")
        self.assert_refused(result, "of a partition", "--force-partition")
        report = self.burn(image, disk, "--force-partition")
        self.assertIn("ext4", report["image-content"])


@requires_root
class Resume(PromiseTestCase):
    def test_another_disk_behind_the_same_name(self):
        image, mapfile = self.dense_image(16 * MiB), self.path("map")
        first = self.backing_file(16 * MiB)
        disk = self.loop_device(first)
        job = self.job("burn", image, disk, "--yes", "--rate=4M", f"--mapfile={mapfile}")
        job.wait_for("write", 6 * MiB)
        job.signal(2)
        self.assertEqual(job.finish().code, 130)
        with open(first, "r+b") as file:  # as another card in the same reader would be
            file.write(bytes([0x5A]) * 16 * MiB)
        before = first.read_bytes()
        result = self.imgtool("burn", image, disk, "--yes", f"--mapfile={mapfile}", "--resume")
        self.assert_refused(result, "not the disk")
        self.assertEqual(first.read_bytes(), before)


if __name__ == "__main__":
    main()
