"""imgtool resize: images of another size, in place."""
import fcntl
import gzip
import os
import struct
import subprocess

from convert_testing import ConvertTestCase, KiB, MiB
from imgtool_testing import GiB, check, main, random_bytes, requires, run, sha256
from qcow2_images import Qcow2, Raw, qemu_info

F_OFD_SETLK = 37


@requires("qemu-img", "qemu-io")
class Resize(ConvertTestCase):
    def filled(self, size, **options):
        image = Qcow2(self, size, **options)
        image.write(0, 300 * KiB)
        image.write(size - 200 * KiB, 200 * KiB)
        if options.get("cluster_size", 65536) <= 65536 and "extended_l2" not in options:
            image.write(size - 512 * KiB, 256 * KiB, compressed=True)
        return image.finish()

    def assert_resized(self, image, size, kept):
        self.assert_clean(image.path)
        self.assertEqual(qemu_info(image.path)["virtual-size"], size)
        with open(image.oracle, "r+b") as file:
            file.truncate(kept)
            file.truncate(size)
        self.assert_image_of(image.path, image.oracle)

    def shrink(self, image, size):
        self.imgtool_ok("resize", image.path, size, "--shrink", "--discard-content")

    def test_bitmaps_are_not_lost_unless_they_are_already(self):
        image = self.filled(4 * MiB)
        check("qemu-img", "bitmap", "--add", image.path, "nightly")
        self.assert_refused(self.imgtool("resize", image.path, "8M"), "bitmap IMAGE NAME --remove")
        self.imgtool_ok("bitmap", image.path, "nightly", "--remove")
        self.imgtool_ok("resize", image.path, "8M")
        # A program without bitmaps has written to it: what they say is not true any more.
        check("qemu-img", "bitmap", "--add", image.path, "nightly")
        image.patch(88, "Q", 0)
        for size, options in ((16 * MiB, []), (8 * MiB, ["--shrink", "--discard-content"])):
            self.imgtool_ok("resize", image.path, size, *options)
            self.assertEqual(qemu_info(image.path)["virtual-size"], size)
            image.patch(88, "Q", 0)
        self.imgtool_ok("check", "--repair", "leaks", image.path)
        self.assert_resized(image, 8 * MiB, 4 * MiB)

    KINDS = [{}, {"compat": "0.10"}, {"cluster_size": 512, "refcount_bits": 1},
             {"cluster_size": 4096, "refcount_bits": 64}, {"extended_l2": "on"},
             {"cluster_size": 2 * MiB}]

    def test_grow(self):
        for options in self.KINDS:
            with self.subTest(options=options):
                image = self.filled(4 * MiB, **options)
                report = self.imgtool_ok("resize", image.path, "+3M", "--json").json
                self.assertEqual(report["size-before"], 4 * MiB)
                self.assert_resized(image, 7 * MiB, 4 * MiB)
                check("qemu-io", "-c", "write -P 3 6M 1M", image.path)
                self.assert_clean(image.path)

    @requires("sfdisk")
    def test_the_backup_gpt_moves_with_the_end(self):
        label = b"label: gpt\nstart=2048, size=4MiB\nsize=2MiB, name=last\n"
        for size, options in (("40M", []), ("+1M", []), ("9M", ["--shrink"])):
            image = self.dense_image(16 * MiB)
            with open(image, "r+b") as file:  # no data behind the partitions
                file.seek(7 * MiB)
                file.write(bytes(9 * MiB))
            run(["sfdisk", "-q", "--wipe=never", image], input=label)
            before = check("sfdisk", "--dump", image)
            content = image.read_bytes()[MiB:7 * MiB]
            report = self.imgtool_ok("resize", image, size, *options, "--json").json
            self.assertTrue(report["backup-moved"], report)
            self.assertIn("No errors", check("sfdisk", "--verify", image))
            dump = [line for line in check("sfdisk", "--dump", image).splitlines()
                    if not line.startswith("last-lba")]
            self.assertEqual(dump, [line for line in before.splitlines()
                                    if not line.startswith("last-lba")])
            after = image.read_bytes()
            self.assertEqual(after[MiB:7 * MiB], content)
            self.assertEqual(after.count(b"EFI PART"), 2)
        stays = self.imgtool_ok("resize", "--relocate-gpt=never", image, "+1M", "--json").json
        self.assertFalse(stays["backup-moved"])
        qcow2 = self.path("gpt.qcow2")
        self.imgtool_ok("convert", image, qcow2)
        self.assertIn("backup GPT stays", self.imgtool_ok("resize", qcow2, "+1M").out)

    @requires("sfdisk", "strace")
    def test_a_kill_while_the_table_moves_leaves_a_valid_copy(self):
        label = b"label: gpt\nstart=2048, size=4MiB, name=data\n"
        original = self.dense_image(8 * MiB)
        run(["sfdisk", "-q", "--wipe=never", original], input=label)
        image, count, code = self.path("image"), 0, -9
        while code != 0:
            count += 1
            image.write_bytes(original.read_bytes())
            calls = "pwrite64,ftruncate,fsync"
            code = self.traced_imgtool([f"trace={calls}",
                                        f"inject={calls}:signal=KILL:when={count}"],
                                       "resize", image, "+8M").code
            self.assertIn("data", check("sfdisk", "--dump", image), count)
        self.assertGreater(count, 4)

    def test_grow_beyond_the_room_of_the_l1_table(self):
        for refcount_bits in (1, 16, 64):
            image = self.filled(4 * MiB, cluster_size=512, refcount_bits=refcount_bits)
            self.imgtool_ok("resize", image.path, "100M")
            self.assert_resized(image, 100 * MiB, 4 * MiB)

    def test_shrink(self):
        for options in self.KINDS:
            with self.subTest(options=options):
                image = self.filled(6 * MiB, **options)
                before = sha256(image.path)
                self.assert_refused(self.imgtool("resize", image.path, "-2M"), "--shrink")
                self.assertEqual(sha256(image.path), before)
                refused = self.imgtool("resize", image.path, "-2M", "--shrink")
                self.assert_refused(refused, "--discard-content")
                self.assertEqual(sha256(image.path), before)
                self.shrink(image, 5 * MiB + 800 * KiB + 512)
                self.assert_resized(image, 5 * MiB + 800 * KiB + 512, 5 * MiB + 800 * KiB + 512)
                self.shrink(image, 2 * MiB)
                self.assert_resized(image, 2 * MiB, 2 * MiB)
                # What was cut off does not come back.
                self.imgtool_ok("resize", image.path, "6M")
                self.assert_resized(image, 6 * MiB, 2 * MiB)

    def test_shrinking_gives_space_back(self):
        image = Qcow2(self, 8 * MiB)
        image.write(0, 8 * MiB)
        image.finish()
        self.shrink(image, MiB)
        self.assertLess(os.path.getsize(image.path), 2 * MiB)
        image = Qcow2(self, 8 * MiB)
        image.write(4 * MiB, 4 * MiB)  # in the file before what stays
        image.write(0, 4 * MiB)
        image.finish()
        self.shrink(image, 4 * MiB)
        self.assertLess(os.stat(image.path).st_blocks * 512, 5 * MiB)
        self.assert_resized(image, 4 * MiB, 4 * MiB)

    def test_a_compressed_cluster_is_not_cut_in_two(self):
        image = Qcow2(self, 4 * MiB)
        image.write(2 * MiB, MiB, compressed=True)
        image.finish()
        before = sha256(image.path)
        result = self.imgtool("resize", image.path, 2 * MiB + 70 * KiB, "--shrink",
                              "--discard-content")
        self.assert_refused(result, f"{2 * MiB + 64 * KiB} or {2 * MiB + 128 * KiB}")
        self.assertEqual(sha256(image.path), before)
        self.shrink(image, 2 * MiB + 64 * KiB)
        self.assert_resized(image, 2 * MiB + 64 * KiB, 2 * MiB + 64 * KiB)

    def test_space_set_aside_stays_in_use(self):
        image = Qcow2(self, 4 * MiB, cluster_size=512, preallocation="metadata")
        self.imgtool_ok("resize", image.path, "32M")
        self.assert_clean(image.path)
        check("qemu-io", "-c", "write -P 5 0 4M", "-c", "read -P 5 0 4M", "-c",
              "read -P 0 4M 28M", image.path)
        self.assert_clean(image.path)

    def test_a_damaged_image_stays_as_it_is(self):
        image = self.filled(4 * MiB)
        with open(image.path, "r+b") as file:
            file.seek(image.header(48, "Q"))
            block = int.from_bytes(file.read(8), "big")
            file.seek(block + 2 * 4)  # of a cluster in use
            file.write(bytes(2))
        before = sha256(image.path)
        result = self.imgtool("resize", image.path, "2M", "--shrink", "--discard-content")
        self.assert_refused(result, "is damaged")
        self.assertEqual(sha256(image.path), before)

    def test_other_formats_are_left_alone(self):
        image = self.path("disk.img.gz")
        image.write_bytes(gzip.compress(bytes(MiB)))
        before = sha256(image)
        for size in ("+1M", "512K"):
            result = self.imgtool("resize", image, size, "--shrink", "--discard-content")
            self.assertEqual(result.code, 1, f"\n{result!r}")
            self.assertEqual(sha256(image), before)

    @requires("sfdisk")
    def test_a_partition_is_not_cut_off(self):
        image = self.zero_image(8 * MiB)
        run(["sfdisk", "-q", image], input=b"start=2048,size=8192\n")
        before = sha256(image)
        self.assert_refused(self.imgtool("resize", image, "4M", "--shrink"), "partition 1")
        self.assertEqual(sha256(image), before)
        self.imgtool_ok("resize", image, "6M", "--shrink")
        self.assertEqual(os.path.getsize(image), 6 * MiB)

    def test_raw(self):
        image = self.dense_image(MiB)
        content = image.read_bytes()
        self.imgtool_ok("resize", image, "+1M")
        self.assertEqual(image.read_bytes(), content + bytes(MiB))

    def test_snapshots(self):
        image = self.filled(4 * MiB)
        check("qemu-img", "snapshot", "-c", "one", image.path)
        result = self.imgtool("resize", image.path, "2M", "--shrink", "--discard-content")
        self.assert_refused(result, "snapshots")
        self.imgtool_ok("resize", image.path, "+4M")
        self.assert_resized(image, 8 * MiB, 4 * MiB)
        check("qemu-img", "snapshot", "-a", "one", image.path)
        self.assertEqual(qemu_info(image.path)["virtual-size"], 4 * MiB)
        self.assert_clean(image.path)

    def test_an_overlay_does_not_show_more_of_its_base(self):
        base = Raw(self, random_bytes(4 * MiB), "base.raw")
        short = Qcow2(self, 2 * MiB, backing=base).finish()
        self.assert_refused(self.imgtool("resize", short.path, "3M"), "--follow-references")
        result = self.imgtool("resize", short.path, "3M", "--follow-references")
        self.assert_refused(result, "longer backing file")
        whole = Qcow2(self, 4 * MiB, backing=base).finish()
        self.imgtool_ok("resize", whole.path, "5M", "--follow-references")
        self.assert_clean(whole.path)

    def test_an_image_in_use(self):
        image = self.filled(4 * MiB)
        guest = self.start(["qemu-io", "-f", "qcow2", image.path], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE)
        guest.stdin.write(b"write 0 64K\n")
        guest.stdin.flush()
        guest.stdout.readline()
        self.assert_refused(self.imgtool("resize", image.path, "+1M"), "another program")
        guest.communicate(b"quit\n", timeout=30)
        self.imgtool_ok("resize", image.path, "+1M")

    def test_one_at_a_time(self):
        """The process that holds the lock keeps another resize off, of any format."""
        plain = self.path("disk.img")
        plain.write_bytes(bytes(MiB))
        for path in (plain, self.filled(4 * MiB).path):
            with open(path, "r+b") as file:
                lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 100, 200, 0)
                fcntl.fcntl(file, F_OFD_SETLK, lock)
                self.assert_refused(self.imgtool("resize", path, "+1M"), "another program")
            self.imgtool_ok("resize", path, "+1M")

    @requires("strace")
    def test_it_holds_the_lock(self):
        image = self.filled(4 * MiB)
        trace = self.path()
        result = self.traced_imgtool(["trace=fcntl,pwrite64"], "resize", image.path, "+1M",
                                     log=trace)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        calls = trace.read_text()
        self.assertLess(calls.index("F_OFD_SETLK"), calls.index("pwrite64"))

    @requires("strace")
    def test_what_a_killed_shrink_left_does_not_come_back(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, 4 * MiB)
        image.finish()
        before = image.path.read_bytes()
        # In the middle of a cluster, at its end, and with no L2 table left.
        for size in (MiB + 1536, MiB + 64 * KiB, 0):
            for count in (2, 3, 4):
                with self.subTest(size=size, killed_at=count):
                    image.path.write_bytes(before)
                    self.traced_imgtool(
                        ["trace=pwrite64", f"inject=pwrite64:signal=KILL:when={count}"],
                        "resize", "--shrink", "--discard-content", image.path, size)
                    kept = qemu_info(image.path)["virtual-size"]
                    self.imgtool_ok("resize", image.path, 4 * MiB)
                    check("qemu-img", "check", "-q", "-r", "leaks", image.path)
                    self.assert_clean(image.path)
                    plain = self.path()
                    self.imgtool_ok("convert", image.path, plain)
                    whole = image.oracle.read_bytes()
                    self.assertEqual(plain.read_bytes(), whole[:kept] + bytes(4 * MiB - kept))

    def test_content_behind_the_end_of_an_image_with_snapshots(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, 4 * MiB)
        image.finish()
        image.patch(24, "Q", MiB + 1536)
        check("qemu-img", "snapshot", "-c", "one", image.path)
        before = image.path.read_bytes()
        self.assert_refused(self.imgtool("resize", image.path, "4M"), "behind the end")
        self.assertEqual(image.path.read_bytes(), before)

    def test_a_compressed_last_cluster_may_grow(self):
        image = Qcow2(self, MiB + 1536)
        image.write(MiB, 1536, compressed=True)
        image.finish()
        self.imgtool_ok("resize", image.path, 2 * MiB)
        self.assert_resized(image, 2 * MiB, MiB + 1536)

    def test_wrong_usage(self):
        image = self.filled(4 * MiB)
        for size in ("-5M", "+", "x", "+9999999T"):
            self.assertEqual(self.imgtool("resize", image.path, size, "--shrink").code, 2, size)

    @requires("strace")
    def test_killed_at_any_write_it_is_whole_and_of_one_size(self):
        image = Qcow2(self, 4 * MiB, cluster_size=4096, refcount_bits=16)
        image.write(MiB, 100 * KiB)
        image.write(3 * MiB, 300 * KiB)
        image.finish()
        before = image.path.read_bytes()
        kept = image.oracle.read_bytes()
        for size, options in ((4 << 30, []), (2 * MiB + 512, ["--shrink", "--discard-content"])):
            for count in (1, 2, 3, 4, 5, 6, 8, 11, 15, 20, 27, 36, 48, 64, 85):
                with self.subTest(size=size, killed_at=count):
                    image.path.write_bytes(before)
                    result = self.traced_imgtool(
                        ["trace=pwrite64,ftruncate",
                         f"inject=pwrite64,ftruncate:signal=KILL:when={count}"],
                        "resize", image.path, size, *options)
                    now = qemu_info(image.path)["virtual-size"]
                    self.assertIn(now, (size, 4 * MiB))
                    check("qemu-img", "check", "-q", "-r", "leaks", image.path)
                    self.assert_clean(image.path)
                    plain = self.path()
                    check("qemu-img", "dd", "-O", "raw", f"if={image.path}", f"of={plain}",
                          "bs=1M", "count=4")
                    shared = min(now, 4 * MiB)
                    self.assertEqual(plain.read_bytes()[:shared], kept[:shared])
                    if result.code == 0:
                        break
            self.assertEqual(now, size)
            self.assertGreater(count, 2)


if __name__ == "__main__":
    main()
