"""analyze: where the bytes of an image are."""
import json
import os
import re

from imgtool_testing import (GiB, KiB, MiB, check, flip_byte, is_sanitized, main, processor_time,
                             random_bytes, requires, requires_root, sha256)
from table_testing import TableTestCase

PART = {1: (MiB, 2 * MiB), 2: (4 * MiB, 40 * MiB)}
SIZE = 48 * MiB


@requires("sfdisk", "mkfs.ext4", "dumpe2fs", "qemu-img", "qemu-io")
class AnalyzeTest(TableTestCase):
    def ext4_disk(self, garbage=8 * MiB):
        """A GPT: partition 1 is random bytes, 2 an ext4 with a file and a deleted one's garbage."""
        disk = self.zero_image(SIZE)
        table = self.gpt_image(SIZE, PART)
        with open(disk, "r+b") as file:
            content = table.read_bytes()
            file.write(content[:MiB])
            file.seek(SIZE - MiB)
            file.write(content[SIZE - MiB:])
            file.seek(MiB)
            file.write(random_bytes(2 * MiB))
        folder = self.path()
        folder.mkdir()
        (folder / "kept").write_bytes(random_bytes(5 * MiB // 2, 2).hex().encode())
        (folder / "zeros").write_bytes(bytes(3 * MiB))
        (folder / "deleted").write_bytes(random_bytes(garbage, 3))
        file_system = self.path()
        check("mkfs.ext4", "-q", "-L", "root", "-E", "lazy_itable_init=0,nodiscard", "-d", folder,
              file_system, f"{PART[2][1] // KiB}k")
        check("debugfs", "-w", "-R", "rm deleted", file_system)
        check("dd", f"if={file_system}", f"of={disk}", "bs=4k", f"seek={4 * MiB // (4 * KiB)}",
              "conv=notrunc,sparse", "status=none")
        return disk, file_system

    def analyze(self, image, *args):
        before = sha256(image)
        report = self.imgtool_ok("analyze", "--json", image, *args).json
        self.assertEqual(sha256(image), before)
        return report

    @staticmethod
    def free_bytes(file_system):
        text = check("dumpe2fs", "-h", file_system)
        number = {key: int(re.search(rf"^{key}: *(\d+)", text, re.M)[1])
                  for key in ("Free blocks", "Block size")}
        return number["Free blocks"] * number["Block size"]

    def test_a_raw_disk(self):
        disk, file_system = self.ext4_disk()
        with open(disk, "rb") as file:
            os.fsync(file.fileno())  # or what is allocated may still change
        report = self.analyze(disk)
        self.assertEqual(report["format"], "raw")
        self.assertEqual(report["virtual-size"], SIZE)
        self.assertEqual(report["file-size"], SIZE)
        self.assertEqual(report["allocated-size"], os.stat(disk).st_blocks * 512)
        self.assertEqual(report["partition-table"]["kind"], "gpt")
        self.assertEqual(report["partition-table"]["problems"], [])
        self.assertEqual([(p["start"], p["size"]) for p in report["partition-table"]["partitions"]],
                         list(PART.values()))
        unknown, ext4 = report["containers"]
        self.assertEqual((unknown["type"], unknown["free"]), (None, 0))
        self.assertEqual(unknown["stored"], 2 * MiB)
        self.assertTrue(unknown["kept-because"])
        self.assertEqual((ext4["place"], ext4["type"], ext4["label"]),
                         ("partition 2", "ext4", "root"))
        self.assertEqual(ext4["free"], self.free_bytes(file_system))
        self.assertEqual(ext4["used"], PART[2][1] - ext4["free"])
        self.assertAlmostEqual(ext4["free-stored"], 8 * MiB, delta=64 * KiB)
        self.assertEqual(report["free"]["size"], ext4["free"])
        self.assertEqual(report["stored-in-vain"]["free"], ext4["free-stored"])
        self.assertEqual(report["unpartitioned"]["size"], SIZE - 42 * MiB)
        self.assertIsNone(report["qcow2"])

    def test_deep_finds_stored_zeros(self):
        disk, _ = self.ext4_disk()
        shallow = self.analyze(disk)
        with open(disk, "r+b") as file:  # store what is a hole
            content = file.read()
        full = self.path()
        full.write_bytes(content)
        report = self.analyze(full, "--deep")
        self.assertTrue(report["deep"])
        zeros = sum(content[at:at + 4096] == bytes(4096) for at in range(0, SIZE, 4096)) * 4096
        self.assertEqual(report["stored-zeros"], zeros)
        self.assertEqual(report["stored"], SIZE)
        self.assertEqual(report["free"]["size"], shallow["free"]["size"])
        self.assertEqual(report["free"]["stored"], shallow["free"]["size"])
        self.assertGreaterEqual(report["stored-in-vain"]["zeros"], 3 * MiB)  # the file of zeros
        self.assertEqual(self.analyze(full)["stored-zeros"], 0)

    def test_a_qcow2_image_says_the_same_and_more(self):
        disk, _ = self.ext4_disk()
        raw = self.analyze(disk)
        image = self.path()
        check("qemu-img", "convert", "-O", "qcow2", "-c", disk, image)
        report = self.analyze(image)
        for key in ("virtual-size", "partition-table"):
            self.assertEqual(report[key], raw[key])
        self.assertEqual([c["free"] for c in report["containers"]],
                         [c["free"] for c in raw["containers"]])
        qcow2 = report["qcow2"]
        theirs = json.loads(check("qemu-img", "check", "--output=json", image))
        for key in ("allocated-clusters", "compressed-clusters", "fragmented-clusters"):
            self.assertEqual(qcow2[key], theirs[key], key)
        self.assertGreaterEqual(qcow2["compressed-clusters"], 5 * MiB // (64 * KiB))
        # Two hexadecimal digits a byte: half of what they were, and something for the headers.
        self.assertAlmostEqual(qcow2["compressed-bytes"], 3 * MiB, delta=MiB)
        self.assertEqual((qcow2["leaked-clusters"], qcow2["snapshot-only-bytes"]), (0, 0))

    def test_what_only_snapshots_need(self):
        disk, _ = self.ext4_disk()
        image = self.path()
        check("qemu-img", "convert", "-O", "qcow2", disk, image)
        check("qemu-img", "snapshot", "-c", "one", image)
        check("qemu-io", "-f", "qcow2", "-c", f"write -P 9 {MiB} 1M", image)
        self.assertEqual(self.analyze(image)["qcow2"]["snapshot-only-bytes"], MiB)
        self.assertIn("1.0 MiB only for snapshots",
                      self.imgtool_ok("analyze", image).out)

    def test_what_a_truncated_file_lost(self):
        image = self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", image, "16M")
        check("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 4M", image)
        self.assertEqual(self.analyze(image)["qcow2"]["missing-bytes"], 0)
        os.truncate(image, os.path.getsize(image) - 3 * MiB // 2)
        report = self.analyze(image)
        self.assertEqual(report["qcow2"]["missing-bytes"], 3 * MiB // 2)
        self.assertEqual(report["next"], [])
        text = self.imgtool_ok("analyze", image).out
        self.assertIn("1.5 MiB lie past the end of the file", text)
        self.assertIn("nothing can be said of what it could become", text)

    def test_what_the_next_commands_would_make_of_it(self):
        disk, _ = self.ext4_disk()
        report = self.analyze(disk)
        self.assertEqual([n["command"] for n in report["next"]],
                         ["compress", "compress --drop-free", "convert --drop-free -O qcow2"])
        for step in report["next"]:
            command, *options = step["command"].split()
            result = self.path()
            self.imgtool_ok(command, *options, disk, result)
            with self.subTest(command=step["command"]):
                size = os.path.getsize(result)
                self.assertLessEqual(size, step["most"] + 128 * KiB)  # clusters, rounded
                if step["estimate"]:
                    self.assertGreaterEqual(size, step["least"] - 128 * KiB)
                    self.assertAlmostEqual(size, step["file-size"], delta=size // 10)
        whole, dropped, _ = report["next"]
        self.assertGreater(whole["file-size"] - dropped["file-size"], 7 * MiB)
        self.assertRegex(self.imgtool_ok("analyze", disk).out,
                         r"compress --drop-free .* to about [0-9.]+ MiB \(")

    @requires_root
    def test_a_disk_is_captured(self):
        disk, _ = self.ext4_disk()
        report = self.analyze(self.loop_device(disk))
        self.assertEqual([n["command"] for n in report["next"]],
                         ["capture --used", "capture --used -O qcow2 -c"])

    def test_leaked_clusters(self):
        image = self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", image, "16M")
        check("qemu-io", "-f", "qcow2", "-c", "write 0 1M", image)
        with open(image, "r+b") as file:  # forget the mapping, keep the refcounts
            file.seek(40)
            l1 = int.from_bytes(file.read(8), "big")
            file.seek(l1)
            file.write(bytes(8))
        report = self.analyze(image)
        self.assertEqual(report["qcow2"]["leaked-clusters"], 17)
        self.assertEqual(report["stored-in-vain"]["leaked"], 17 * 64 * KiB)

    def test_says_why_something_counts_as_used(self):
        disk, _ = self.ext4_disk()
        flip_byte(disk, 4 * MiB + 1024 + 0x68)  # the superblock's checksum is wrong now
        ext4 = self.analyze(disk)["containers"][1]
        self.assertEqual((ext4["free"], ext4["used"]), (0, PART[2][1]))
        self.assertTrue(ext4["kept-because"])
        text = self.imgtool_ok("analyze", disk).out
        self.assertIn("partition 2 counts as used: " + ext4["kept-because"], text)

    def test_in_words(self):
        disk, _ = self.ext4_disk()
        text = self.imgtool_ok("analyze", disk).out
        self.assertRegex(text, r"raw, 48\.0 MiB inside; the file has 48\.0 MiB, of which \S+ MiB")
        self.assertIn("GPT 11111111-2222-3333-4444-555555555555, 2 partitions", text)
        self.assertRegex(text, r"partition 2 +ext4 +root +40\.0 MiB")
        self.assertRegex(text, r"8\.\d+ MiB that no file system uses")
        self.assertIn("--deep", text)
        self.assertIn("FREE, STORED", text)

    def test_names_from_the_disk_cannot_move_the_cursor(self):
        disk, _ = self.ext4_disk()
        with open(disk, "r+b") as file:
            file.seek(4 * MiB)
            content = bytearray(file.read(PART[2][1]))
            file_system = self.path()
            file_system.write_bytes(content)
            check("tune2fs", "-L", "a\x1b[2Jb", file_system)
            file.seek(4 * MiB)
            file.write(file_system.read_bytes())
        self.assertNotIn("\x1b", self.imgtool_ok("analyze", disk).out)
        self.assertEqual(self.analyze(disk)["containers"][1]["label"], "a\x1b[2Jb")

    def test_without_a_table_or_anything(self):
        for image in (self.zero_image(MiB), self.dense_image(MiB), self.zero_image(0)):
            report = self.analyze(image)
            self.assertEqual(report["partition-table"]["kind"], "none")
            self.assertEqual(report["free"]["size"], 0)
            self.imgtool_ok("analyze", "--deep", image)

    @requires_root
    def test_a_disk(self):
        disk, _ = self.ext4_disk()
        image = self.analyze(disk)
        for sector_size in (512, 4096):
            device = self.loop_device(disk, sector_size)
            report = self.analyze(device)
            self.assertEqual((report["virtual-size"], report["file-size"]), (SIZE, SIZE))
            self.assertIsNone(report["allocated-size"])
            self.assertEqual([c["free"] for c in report["containers"]],
                             [c["free"] for c in image["containers"]])
            self.assertIn("raw, 48.0 MiB inside; it is a disk itself",
                          self.imgtool_ok("analyze", device).out)

    def test_a_large_sparse_image_takes_no_time(self):
        image = self.path()
        check("truncate", "-s", 1024 * GiB, image)
        check("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", image)
        with processor_time() as seconds:
            report = self.imgtool_ok("analyze", "--json", image).json
        self.assertEqual(report["containers"][0]["free"], self.free_bytes(image))
        if not is_sanitized():
            self.assertLess(seconds(), 2)

    def test_a_backing_file_is_opened_only_when_asked(self):
        disk, _ = self.ext4_disk()
        image = self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk, image)
        self.assert_refused(self.imgtool("analyze", image), "--follow-references")
        report = self.analyze(image, "--follow-references")
        self.assertEqual(report["containers"][1]["type"], "ext4")


if __name__ == "__main__":
    main()
