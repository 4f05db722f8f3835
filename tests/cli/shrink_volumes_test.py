"""shrink through what lies between partitions and file systems: LVM, whose volumes are packed, XFS,
which is made anew in there, and LUKS with its key."""
import os
import threading

from guest_testing import GuestDisk, requires_appliance
from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, run, sha256
from lvm_testing import PhysicalVolume
from thin_testing import KernelPool, sums_of

LVM, LUKS = 1, 2
KEY = b"a passphrase"


@requires_root
@requires_appliance
@requires("sfdisk", "lvm", "mkfs.xfs", "mkfs.ext4", "cryptsetup", "thin_dump", "thin_check")
class Volumes(TestCase):
    def file_system(self, size, *command):
        disk = GuestDisk(self, size * MiB)
        disk.make(0, *command)
        disk.fill(0)
        return disk

    def put(self, disk, number, content):
        check("dd", f"if={content}", f"of={disk.path}", "bs=1M", "conv=sparse,notrunc",
              f"seek={disk.range(number)[0] // MiB}", "status=none")

    def physical_volume(self):
        self.root = self.file_system(600, "mkfs.xfs", "-q", "-L", "root", "-m",
                                     "reflink=0,bigtime=0,inobtcount=0")
        self.home = self.file_system(500, "mkfs.ext4", "-q", "-L", "home")
        swap = GuestDisk(self, 32 * MiB)
        swap.make(0, "mkswap", "-q", "-L", "swap")
        volume = PhysicalVolume(self, 1500 * MiB)
        volume.add("root", [[("pv0", 10, 300)], [("pv0", 900, 300)]])
        volume.add("home", [[("pv0", 350, 500)]])
        volume.add("swap", [[("pv0", 1400, 32)]])
        volume.commit()
        for name, content in (("root", self.root), ("home", self.home), ("swap", swap)):
            volume.write(name, content.path)
        return volume

    def encrypted(self):
        self.secret = self.file_system(368, "mkfs.ext4", "-q", "-L", "secret")
        path = self.path()
        check("cp", "--sparse=always", self.secret.path, path)
        os.truncate(path, 400 * MiB)
        self.key = self.path("key")
        self.key.write_bytes(KEY)
        self.encrypt(path)
        return path

    def encrypt(self, path):
        """In place; the last 32 MiB must be unused."""
        check("cryptsetup", "reencrypt", "--encrypt", "--type", "luks2", "--pbkdf", "pbkdf2",
              "--pbkdf-force-iterations", 1000, "--reduce-device-size", "32M", "--batch-mode",
              "--key-file", self.key, path)

    def test_what_was_encrypted_is_in_no_file_of_the_work(self):
        """An XFS inside LUKS is made anew on a scratch disk, and its names are compared."""
        name, content = "plain-name-7f3a", b"plain-content-1c9e-" * 60000
        self.key = self.path("key")
        self.key.write_bytes(KEY)
        inside = self.file_system(576, "mkfs.xfs", "-q", "-L", "secret")
        with inside.mounted(0) as folder:
            (folder / name).write_bytes(content)
        files = inside.listing(0)
        os.truncate(inside.path, 608 * MiB)
        self.encrypt(inside.path)
        work, seen, ended = self.path("work"), [], threading.Event()
        work.mkdir()

        def watch():
            while not ended.wait(0.5):
                for marker in (name, content[:19].decode()):
                    seen.extend(run(["grep", "-rlaF", marker, work]).out.split())

        watcher = threading.Thread(target=watch)
        watcher.start()
        self.addCleanup(watcher.join)
        self.addCleanup(ended.set)
        small = self.path("small.img")
        result = self.imgtool_ok("shrink", "--xfs=recreate", "--verify=quick", "--key", self.key,
                                 "--work-dir", work, inside.path, small, "--json", timeout=900)
        ended.set()
        watcher.join()
        self.assertEqual(result.json["volumes"][0]["inside"][0]["action"], "recreate")
        self.assertEqual(seen, [])
        after = self.decrypted(GuestDisk(self, path=small), 0)
        self.assertEqual(after.listing(0), files)

    def decrypted(self, disk, number):
        start, length = disk.range(number)
        path = self.path()
        check("dd", f"if={disk.path}", f"of={path}", "bs=1M", f"skip={start // MiB}",
              f"count={length // MiB}", "conv=sparse", "status=none")
        check("cryptsetup", "reencrypt", "--decrypt", "--force-offline-reencrypt", "--header", self.path("header"),
              "--batch-mode", "--key-file", self.key, path)
        return GuestDisk(self, path=path)

    def logical(self, disk, name):
        """A copy of a logical volume of the new disk, by imgtool's own reading of its segments."""
        start, length = disk.range(LVM)
        part = self.path()
        check("dd", f"if={disk.path}", f"of={part}", "bs=1M", f"skip={start // MiB}",
              f"count={length // MiB}", "conv=sparse", "status=none")
        text = self.vgcfg(part)
        found = GuestDisk(self, path=self.path())
        pe_start = int(text.split("pe_start = ")[1].split()[0]) * 512
        block = text.split(f"\n\t\t{name} {{")[1].split("\n\t\t}")[0]
        with open(part, "rb") as source, open(found.path, "wb") as target:
            for segment in block.split("segment")[2:]:
                count = int(segment.split("extent_count = ")[1].split()[0])
                first = int(segment.split('"pv0", ')[1].split()[0])
                source.seek(pe_start + first * MiB)
                target.write(source.read(count * MiB))
        return found

    def vgcfg(self, part):
        device = self.loop_device(part, direct_io=False)
        text = self.path()
        config = f'devices {{ use_devicesfile=0 filter=["a|^{device}$|", "r|.*|"] }}'
        check("vgcfgbackup", "--config", config, "--nolocking", "-f", text, "vgtest")
        check("pvck", "--config", config, device)
        self.detach(device)
        return text.read_text()

    def test_lvm_xfs_and_luks(self):
        volume, luks = self.physical_volume(), self.encrypted()
        disk = GuestDisk(self, 2000 * MiB)
        disk.mbr("label: dos\nlabel-id: 0x1b2c3d4e\nstart=2048, size=1500MiB, type=8e\n"
                 "size=400MiB, type=83, bootable\n")
        self.put(disk, LVM, volume.path)
        self.put(disk, LUKS, luks)
        digest, (_, identity) = sha256(disk.path), disk.partitions()
        files = {name: one.listing(0) for name, one in
                 (("root", self.root), ("home", self.home), ("secret", self.secret))}
        names = {name: one.blkid(0) for name, one in
                 (("root", self.root), ("home", self.home), ("secret", self.secret))}

        small = self.path("small.img")
        result = self.imgtool_ok("shrink", "--xfs=recreate", "--key", f"2:{self.key}", disk.path,
                                 small, "--json", timeout=900)
        self.assertEqual(sha256(disk.path), digest, "the source is read only")
        after = GuestDisk(self, path=small)
        places, identity_after = after.partitions()
        self.assertEqual(identity_after, identity)
        self.assertLess(places[LVM][1], 1000 * MiB)
        self.assertLess(places[LUKS][1], 300 * MiB)
        check("sfdisk", "--verify", small)
        actions = {inner["name"]: inner["action"]
                   for outer in result.json["volumes"] for inner in outer["inside"]}
        self.assertEqual(actions, {"logical volume vgtest/root": "recreate",
                                   "logical volume vgtest/home": "shrink",
                                   "logical volume vgtest/swap": "keep",
                                   "inside partition 2": "shrink"})
        now = {"root": self.logical(after, "root"), "home": self.logical(after, "home"),
               "secret": self.decrypted(after, LUKS)}
        for name, one in now.items():
            self.assertEqual(one.listing(0), files[name], name)
            self.assertEqual(one.blkid(0), names[name])
        now["root"].fsck(0, "xfs_repair", "-n")
        now["home"].fsck(0, "e2fsck", "-fn")
        now["secret"].fsck(0, "e2fsck", "-fn")
        self.assertEqual(self.logical(after, "swap").blkid(0)["LABEL"], "swap")

    def test_sparsify_drops_what_is_free_in_luks(self):
        disk = GuestDisk(self, path=self.encrypted())
        files, digest = self.secret.listing(0), sha256(disk.path)
        thin = self.path("thin.img")
        result = self.imgtool_ok("sparsify", "--verify=quick", "--key", self.key, disk.path, thin,
                                 "--json", timeout=600)
        self.assertEqual(sha256(disk.path), digest, "the source is read only")
        self.assertEqual(result.json["new-size"], os.path.getsize(disk.path))
        self.assertEqual(os.path.getsize(thin), os.path.getsize(disk.path))
        self.assertLess(os.stat(thin).st_blocks * 512, 120 * MiB)
        self.assertGreater(os.stat(disk.path).st_blocks * 512, 360 * MiB)
        after = self.decrypted(GuestDisk(self, path=thin), 0)
        self.assertEqual(after.listing(0), files)
        after.fsck(0, "e2fsck", "-fn")

    def test_sparsify_trims_a_thin_pool_and_says_which_maps_it_believes(self):
        pool = KernelPool(self)
        disk = self.zero_image(96 * MiB)
        check("mkfs.ext4", "-q", "-F", "-E", f"offset={MiB}", disk, "16M")
        self.assertEqual(run(["sfdisk", "--quiet", disk], input=b"label: gpt\nstart=1MiB, size=16MiB"
                             b"\nsize=64MiB, type=lvm\n").code, 0)
        check("dd", f"if={pool.path}", f"of={disk}", "bs=1M", "seek=17", "conv=sparse,notrunc",
              "status=none")
        out = self.path("out.img")
        result = self.imgtool_ok("sparsify", "--trust-maps", "--verify=quick", disk, out, "--json",
                                 timeout=900)
        ext, lvm = result.json["volumes"]
        self.assertEqual((ext["map-believed"], lvm["map-believed"]), (True, False))
        self.assertEqual([one["map-believed"] for one in lvm["inside"]],
                         [False] * len(lvm["inside"]))
        self.assertLess(os.stat(out).st_blocks, os.stat(disk).st_blocks)
        check("dd", f"if={out}", f"of={pool.path}", "bs=1M", "skip=17", "count=64", "status=none")
        pool.assert_clean()
        for name, sums in pool.sums.items():
            copy = pool.read(name)
            check("e2fsck", "-fn", copy)
            self.assertEqual(sums_of(self.mount(copy, "-o", "loop,ro")), sums, name)
        text = self.imgtool_ok("sparsify", "--plan", "--trust-maps", "--keep", 2, disk).out
        self.assertIn("its files were not asked", text)

    def test_each_key_is_tried(self):
        disk = GuestDisk(self, 96 * MiB)
        disk.gpt([("8309", 40), ("8309", 40)])
        keys = [self.path(name) for name in ("first", "second", "third")]
        for number, key in enumerate(keys):
            key.write_text(f"{key.name} passphrase\n" * (number + 1))
        for number, key in ((1, keys[0]), (2, keys[1])):
            disk.make(number, "cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2",
                      "--pbkdf-force-iterations", 1000, "--key-file", self.as_typed(key))
        result = self.imgtool("sparsify", "--plan", "--progress=none", "--key", keys[0], "--key",
                              keys[2], disk.path, timeout=300)
        self.assert_refused(result, "partition 2", "none of its keys fits", keys[0], keys[2],
                            "--key 2:FILE")

    def as_typed(self, key):
        """Without the line's end."""
        path = self.path()
        path.write_bytes(key.read_bytes()[:-1])
        return path


if __name__ == "__main__":
    main()
