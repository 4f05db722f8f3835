"""Disks and images with partition tables, by sfdisk and sgdisk, and what those say of a disk."""
import json
import pathlib

from imgtool_testing import MiB, TestCase, check, random_bytes, run

DISK_ID = "11111111-2222-3333-4444-555555555555"
SIGNATURE = b"EFI PART"


def guid(number):
    return f"00000000-0000-0000-0000-{number:012x}"


class TableTestCase(TestCase):
    def partitioned(self, size, script, sector_size=512, name=None):
        """An image with the table that sfdisk makes of `script`, and random bytes in between."""
        path = self.path(name)
        with open(path, "wb") as file:
            file.truncate(size)
            for offset in range(MiB, size - MiB, 2 * MiB):
                file.seek(offset)
                file.write(random_bytes(MiB // 4, offset))
        options = ["--quiet", "--no-reread", "--no-tell-kernel", "--wipe=never",
                   "--wipe-partitions=never"]
        # It takes a file's sectors to have 512 bytes; other ones need a disk, and so root.
        disk = path if sector_size == 512 else self.loop_device(path, sector_size)
        result = run(["sfdisk", *options, disk], input=script.encode())
        self.assertEqual(result.code, 0, result)
        if disk is not path:
            self.detach(disk)
        return path

    def gpt_image(self, size, partitions, sector_size=512, name=None):
        """Partitions are {number: (start, size)} in bytes; GUIDs are guid(number)."""
        lines = [f"label: gpt\nlabel-id: {DISK_ID}"]
        for number, (start, length) in partitions.items():
            lines.append(f"{number} : start={start // sector_size}, size={length // sector_size}, "
                         f"type=L, uuid={guid(number)}, name=\"part {number}\", "
                         "attrs=\"RequiredPartition\"")
        return self.partitioned(size, "\n".join(lines) + "\n", sector_size, name)

    @staticmethod
    def table(disk):
        """What sfdisk reads: the table without the device's name and its usable range."""
        table = json.loads(check("sfdisk", "--json", disk))["partitiontable"]
        for partition in table["partitions"]:
            partition["node"] = partition["node"].removeprefix(str(disk)).removeprefix("p")
        return {key: value for key, value in table.items()
                if key not in ("device", "firstlba", "lastlba")}

    def assert_healthy(self, disk, sector_size=512):
        """sgdisk and sfdisk find nothing wrong with the GPT, and there are just two copies."""
        result = run(["sgdisk", "--verify", disk])
        self.assertIn("No problems found", result.out, result)
        self.assertEqual(result.err, "", result)
        self.assert_sfdisk_is_content(disk)
        content = pathlib.Path(disk).read_bytes()
        found = [at for at in range(0, len(content), sector_size)
                 if content[at:at + 8] == SIGNATURE]
        self.assertEqual(found, [sector_size, len(content) - sector_size])

    def assert_sfdisk_is_content(self, disk):
        result = run(["sfdisk", "--verify", disk])
        self.assertEqual(result.code, 0, result)
        self.assertEqual(result.err, "", result)
        text = result.out.lower().replace("no errors detected", "")
        for word in ("error", "corrupt", "mismatch", "overlap", "not ok", "warning"):
            self.assertNotIn(word, text, result)

    def assert_partitions_equal(self, left, right, ranges):
        with open(left, "rb") as a, open(right, "rb") as b:
            for start, length in ranges:
                a.seek(start)
                b.seek(start)
                self.assertEqual(a.read(length), b.read(length), (start, length))
