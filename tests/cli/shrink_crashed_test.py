"""shrink on the disk of a machine that crashed while it was hibernated: journals are replayed, what
was in memory goes when the user says so, and a file system that a boot loader finds by its blocks
keeps its size."""
import contextlib
import hashlib
import shutil

from guest_testing import GuestDisk, requires_appliance
from imgtool_testing import MiB, TestCase, check, main, random_bytes, requires, requires_root, sha256

EXT4, XFS, SWAP, BOOT = range(1, 5)


@requires_root
@requires_appliance
@requires("sgdisk", "mkfs.ext4", "mkfs.xfs", "xfs_repair", "mkswap")
class Crashed(TestCase):
    def make_disk(self):
        disk = GuestDisk(self, 1500 * MiB)
        disk.gpt([("8300", 600), ("8300", 400), ("8200", 64), ("8300", 300)])
        for number, command in ((EXT4, "mkfs.ext4"), (XFS, "mkfs.xfs"), (BOOT, "mkfs.ext4")):
            disk.make(number, command, "-q", "-L", f"fs{number}")
            disk.fill(number)
        disk.make(SWAP, "mkswap", "-q", "-L", "swap")
        with open(disk.path, "r+b") as file:
            file.seek(disk.range(BOOT)[0] + 3)
            file.write(b"EXTLINUX")
        return disk

    def crash(self, disk):
        """A copy of the disk while its file systems are mounted and changed."""
        path = self.path()
        with disk.mounted(EXT4) as ext4, disk.mounted(XFS) as xfs:
            with contextlib.ExitStack() as files:
                for folder in (ext4, xfs):
                    orphan = files.enter_context((folder / "deleted while open").open("wb"))
                    orphan.write(random_bytes(3 * MiB, 1))
                    (folder / "last words").write_bytes(random_bytes(MiB, 2))
                    (folder / "deleted while open").unlink()
                check("sync")
                check("cp", "--sparse=always", disk.path, path)
        crashed = GuestDisk(self, path=path)
        with open(path, "r+b") as file:
            file.seek(disk.range(SWAP)[0] + 4086)
            file.write(b"S1SUSPEND\0")
        return crashed

    def test_journals_are_replayed_and_what_was_in_memory_is_dropped(self):
        disk = self.make_disk()
        swap = disk.blkid(SWAP)
        crashed = self.crash(disk)
        digest, small = sha256(crashed.path), self.path("small.img")
        self.assert_refused(self.imgtool("shrink", crashed.path, small), "partition 3",
                            "hibernated", "--drop-swap-content")
        self.assertFalse(small.exists())

        replayed = GuestDisk(self, path=self.path())
        shutil.copyfile(crashed.path, replayed.path)
        files = {number: replayed.listing(number, "-o", "rw") for number in (EXT4, XFS, BOOT)}
        self.assertIn("last words", files[EXT4])
        state = check("dumpe2fs", "-h", f"{crashed.path}?offset={crashed.range(EXT4)[0]}")
        self.assertIn(" needs_recovery ", state)

        report = self.imgtool_ok("shrink", "--drop-swap-content", "--slack", "100M", crashed.path,
                                 small, "--json", timeout=900).json
        self.assertEqual(sha256(crashed.path), digest, "the source is read only")
        after = GuestDisk(self, path=small)
        self.assertEqual({number: after.listing(number) for number in files}, files)
        after.fsck(EXT4, "e2fsck", "-fn")
        after.fsck(XFS, "xfs_repair", "-n")
        self.assertEqual(after.blkid(SWAP), swap)
        self.assert_swap_holds_nothing(after)
        volumes = {volume["number"]: volume for volume in report["volumes"]}
        self.assertEqual(volumes[EXT4]["action"], "shrink")
        room = volumes[EXT4]["new-size"] - volumes[EXT4]["minimum"]
        self.assertGreaterEqual(room, 100 * MiB)
        self.assertLess(room, 101 * MiB)
        self.assertEqual(volumes[BOOT]["action"], "keep")
        self.assertIn("EXTLINUX", volumes[BOOT]["kept-because"])
        for number in (EXT4, XFS):
            self.assertTrue(any(note.startswith(f"partition {number} ") and "replayed" in note
                                for note in report["notes"]), report["notes"])
        self.assertTrue(any("memory is dropped" in note for note in report["notes"]))

    def assert_swap_holds_nothing(self, disk):
        start, length = disk.range(SWAP)
        with open(disk.path, "rb") as file:
            file.seek(start + 4096)
            self.assertEqual(file.read(length - 4096).strip(b"\0"), b"")


@requires_root
@requires_appliance
@requires("sgdisk", "mkfs.xfs")
class Hashed(TestCase):
    def test_a_dirty_file_system_whose_blocks_are_hashed_is_left_alone(self):
        """Two reasons at once: that its log has to be replayed must not hide the hashes."""
        disk = GuestDisk(self, 500 * MiB)
        disk.gpt([("8300", 400), ("8300", 8)])
        disk.make(1, "mkfs.xfs", "-q")
        disk.fill(1)
        dirty = self.path()
        with disk.mounted(1) as xfs:
            (xfs / "last words").write_bytes(random_bytes(MiB, 2))
            check("sync")
            check("cp", "--sparse=always", disk.path, dirty)
        start, length = disk.range(1)
        with open(dirty, "r+b") as file:
            file.seek(disk.range(2)[0])
            file.write(b"verity\0\0")
            file.seek(start)
            before = hashlib.sha256(file.read(length)).hexdigest()
        out = self.path("out.img")
        result = self.imgtool_ok("sparsify", "--verify=quick", "--json", dirty, out)
        self.assertEqual(result.json["engine"], "direct", "nothing is worked on")
        volume = result.json["volumes"][0]
        self.assertEqual(volume["action"], "keep")
        self.assertIn("hashes", volume["kept-because"])
        with open(out, "rb") as file:
            file.seek(start)
            self.assertEqual(hashlib.sha256(file.read(length)).hexdigest(), before)


if __name__ == "__main__":
    main()
