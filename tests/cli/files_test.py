"""ls, cat and cp: the files in an image, without mounting it, beside the ones that were put there."""
import hashlib
import os
import pathlib
import stat

from file_trees import MANY, FileTrees
from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, run
from lvm_testing import PhysicalVolume

trees = None
KINDS = ("ext4", "ext2", "xfs", "btrfs", "ntfs", "exfat", "fat32", "fat16")


def setUpModule():
    global trees
    if os.geteuid() == 0:
        trees = FileTrees()


def tearDownModule():
    if trees is not None:
        trees.close()


def content(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree_of(folder, unix):
    """{path: what it is} of all files below a folder of this host."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in folders + files:
            path = pathlib.Path(base) / name
            status = path.lstat()
            mode = stat.S_IMODE(status.st_mode) if unix else None
            if path.is_symlink():
                what = ("link", os.readlink(path))
            elif path.is_dir():
                what = ("folder", mode)
            elif path.is_file():
                what = ("file", status.st_size, mode, content(path))
            else:
                continue
            found[str(path.relative_to(folder))] = what
    return found


@requires_root
@requires("mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "mkntfs", "mkfs.exfat", "mkfs.fat", "mcopy",
          "debugfs", "ntfsls", "ntfscat", "ntfs-3g", "mount.exfat-fuse")
class FilesTest(TestCase):
    def root_of(self, kind):
        return "/sub" if kind == "btrfs" else "/"

    def test_trees_come_out_as_they_went_in(self):
        for kind in KINDS:
            with self.subTest(kind):
                out = self.path()
                self.imgtool_ok("cp", trees.image(kind), self.root_of(kind), out)
                unix = kind in ("ext4", "ext2", "xfs", "btrfs")
                want, have = tree_of(trees.source_of(kind), unix), tree_of(out, unix)
                for name in ("lost+found", "packed", "packed/text", "packed/sparse",
                             "packed/large", "packed/tiny", "packed/mixed"):
                    have.pop(name, None)
                if kind == "ntfs":
                    have = {k: v for k, v in have.items() if not k.startswith("$")}
                self.assertEqual(have, want)
                if kind not in ("exfat", "fat32", "fat16"):
                    self.assertLess((out / "sparse").stat().st_blocks * 512, MiB)

    def test_listings_name_all_files(self):
        for kind in KINDS:
            with self.subTest(kind):
                listed = self.imgtool_ok("ls", "-R", "--json", trees.image(kind),
                                         self.root_of(kind)).json
                have = {entry["name"] for entry in listed if not entry["name"].startswith("$")}
                have = {name for name in have if not name.startswith(("packed", "lost+found"))}
                want = set(tree_of(trees.source_of(kind), False))
                if trees.source_of(kind) == trees.source:
                    want.add("pipe")
                self.assertEqual(have, want)
                by_name = {entry["name"]: entry for entry in listed}
                source = trees.source_of(kind)
                for name in ("tiny", "large", "sparse"):
                    self.assertEqual(by_name[name]["size"], (source / name).stat().st_size)
                    if kind in ("ext4", "xfs", "btrfs"):
                        self.assertEqual(by_name[name]["modified"],
                                         int((source / name).stat().st_mtime))

    def test_compressed_files(self):
        for kind, folders in (("btrfs", ("zlib", "lzo", "zstd")), ("ntfs", ("packed",))):
            for folder in folders:
                for name in ("text", "sparse", "tiny", "large"):
                    with self.subTest(kind=kind, folder=folder, name=name):
                        have = self.imgtool_ok("cat", trees.image(kind), f"/{folder}/{name}")
                        want = (trees.source_of(kind) / name).read_bytes()
                        self.assertTrue(have.out_bytes == want)
                listed = self.imgtool_ok("ls", "--json", trees.image(kind), f"/{folder}/").json
                text = next(entry for entry in listed if entry["name"] == "text")
                self.assertLess(text["stored"], text["size"] / 4)

    def test_ext_agrees_with_debugfs(self):
        for kind in ("ext2", "ext4"):
            image = trees.image(kind)
            for path in ("/large", "/sparse", "/many/entry number 7"):
                result = run(["debugfs", "-R", f'cat "{path}"', image])
                self.assertEqual(self.imgtool_ok("cat", image, path).out_bytes, result.out_bytes)
            inode = check("debugfs", "-R", 'stat "/large"', image)
            have = next(entry for entry in self.imgtool_ok("ls", "--json", image, "/").json
                        if entry["name"] == "large")
            self.assertIn(f"Blockcount: {have['stored'] // 512}\n", inode)

    def test_ntfs_agrees_with_ntfsls_and_ntfscat(self):
        image = trees.image("ntfs")
        listed = {entry["name"] for entry in self.imgtool_ok("ls", "--json", image, "/").json}
        self.assertEqual({name for name in listed if not name.startswith("$")},
                         set(check("ntfsls", image).split("\n")))
        for path in ("/tiny", "/packed/mixed", "/sparse"):
            want = run(["ntfscat", image, path]).out_bytes
            self.assertTrue(self.imgtool_ok("cat", image, path).out_bytes == want, path)
        # Windows does not care about the case of letters.
        self.assertEqual(self.imgtool_ok("cat", image, "/TINY").out, "tiny\n")

    def test_fat_agrees_with_mtools(self):
        image = trees.image("fat32")
        check("mcopy", "-i", image, "::text", self.path("text"))
        self.assertTrue(self.imgtool_ok("cat", image, "/text").out_bytes ==
                        self.path("text").read_bytes())

    def test_btrfs_agrees_with_btrfs_restore(self):
        out = self.path()
        out.mkdir()
        check("btrfs", "restore", trees.image("btrfs"), out)
        for folder in ("zlib", "zstd"):
            for name in ("text", "tiny", "large"):
                have = self.imgtool_ok("cat", trees.image("btrfs"), f"/{folder}/{name}").out_bytes
                self.assertTrue(have == (out / folder / name).read_bytes(), (folder, name))
        # A snapshot is a folder like any other.
        snapshot = self.imgtool_ok("cat", trees.image("btrfs"), "/snap/small").out_bytes
        self.assertEqual(snapshot, (trees.source / "small").read_bytes())

    def test_names_are_harmless_on_a_terminal(self):
        listed = self.imgtool_ok("ls", trees.image("ext4"), "/").out
        self.assertIn("esc\\x1b[31mred", listed)
        self.assertIn("new\\nline", listed)
        self.assertNotIn("\x1b", listed)

    def test_links_lead_inside_the_image_only(self):
        image = trees.image("ext4")
        self.assertTrue(self.imgtool_ok("cat", image, "/short link").out_bytes ==
                        (trees.source / "large").read_bytes())
        result = self.imgtool("cat", image, "/absolute")
        self.assertEqual(result.code, 1)
        self.assertIn("there is no such file", result.err)
        out = self.path()
        self.imgtool_ok("cp", image, "/absolute", out)
        self.assertEqual(os.readlink(out), "/etc/passwd")

    def test_nothing_is_overwritten_unasked(self):
        image, out = trees.image("ext4"), self.path()
        out.write_text("mine")
        self.assert_refused(self.imgtool("cp", image, "/tiny", out), out, "--force")
        self.assertEqual(out.read_text(), "mine")
        self.imgtool_ok("cp", "--force", image, "/tiny", out)
        self.assertEqual(out.read_text(), "tiny\n")
        folder = self.path()
        folder.mkdir()
        self.assert_refused(self.imgtool("cp", "--force", image, "/many", folder), folder)
        self.assertEqual(os.listdir(folder), [])
        self.assertEqual([name for name in os.listdir(self.dir) if "partial" in name], [])

    def test_hostile_names_stay_in_the_folder(self):
        """Entries that are called "../../x" and "a/b", put in behind the file system's back."""
        image = self.path("hostile.img")
        folder = self.path()
        folder.mkdir()
        for name in ("AAAAAAAAAAAA", "BBB", "good"):
            (folder / name).write_text("data")
        check("mkfs.ext4", "-q", "-O", "^metadata_csum", "-d", folder, image, "8M")
        data = image.read_bytes().replace(b"AAAAAAAAAAAA", b"../../../x/y", 1)
        image.write_bytes(data.replace(b"BBB", b"b/c", 1))
        out = self.path("out")
        result = self.imgtool("cp", image, "/", out)
        self.assertEqual(result.code, 5, result)
        self.assertEqual(sorted(os.listdir(out)), ["good", "lost+found"])
        self.assertIn("no file can have this name", result.err)

    def test_folders_in_circles(self):
        image = self.path("circle.img")
        folder = self.path()
        (folder / "a" / "b").mkdir(parents=True)
        check("mkfs.ext4", "-q", "-O", "^metadata_csum", "-d", folder, image, "8M")
        check("debugfs", "-w", "-R", "link /a /a/b/c", image)
        self.assertEqual(self.imgtool("ls", "-R", image, "/").code, 5)
        self.assertEqual(self.imgtool("cp", image, "/", self.path("out")).code, 5)
        found = self.imgtool_ok("analyze", "--files", "--json", image).json["files"][0]
        self.assertEqual(found["problem-count"], 1)

    def test_parts_are_named(self):
        disk = self.path("disk.img")
        with open(disk, "wb") as file:
            file.truncate(160 * MiB)
        script = "label: gpt\nstart=1MiB, size=64MiB\nstart=65MiB, size=64MiB\nsize=1MiB\n"
        self.assertEqual(run(["sfdisk", "-q", disk], input=script.encode()).code, 0)
        for kind, place in (("ext4", 1), ("ntfs", 65)):
            check("dd", f"if={trees.image(kind)}", f"of={disk}", "bs=1M", f"seek={place}",
                  "conv=notrunc,sparse", "status=none")
        parts = self.imgtool_ok("ls", "--json", disk).json["parts"]
        self.assertEqual([(one["part"], one["type"]) for one in parts],
                         [("1", "ext4"), ("2", "ntfs")])
        self.assertIn("2:  ", self.imgtool_ok("ls", disk).out)
        self.assert_refused(self.imgtool("cat", disk, "/tiny"), "1:/", "1, 2")
        for part in ("1", "2"):
            self.assertEqual(self.imgtool_ok("cat", disk, f"{part}:/tiny").out, "tiny\n")
        self.assertEqual(self.imgtool("cat", disk, "7:/tiny").code, 1)
        self.assertEqual(self.imgtool("cat", disk, "tiny").code, 2)
        packed = self.path("disk.qcow2")
        check("qemu-img", "convert", "-c", "-O", "qcow2", disk, packed)
        self.assertEqual(self.imgtool_ok("cat", packed, "2:/tiny").out, "tiny\n")

    def test_a_file_system_that_was_not_unmounted(self):
        """The journal is replayed in memory, and the image stays as it is."""
        for kind, size in (("ext4", 64), ("xfs", 320)):
            with self.subTest(kind):
                image, crashed = trees.empty(size * MiB), self.path()
                check(f"mkfs.{kind}", "-q", image)
                with trees.mounted(image) as folder:
                    (folder / "synced").mkdir()
                    for number in range(50):
                        (folder / "synced" / f"file {number}").write_text(f"number {number}")
                    os.sync()
                    check("cp", "--sparse=always", image, crashed)
                before = content(crashed)
                result = self.imgtool_ok("cat", crashed, "/synced/file 49")
                self.assertEqual(result.out, "number 49")
                self.assertIn("was not unmounted", result.err)
                self.assertEqual(content(crashed), before)

    @requires("pvcreate", "vgcfgrestore")
    def test_logical_volumes(self):
        volume = PhysicalVolume(self, 72 * MiB)
        volume.add("root", [[("pv0", 3, 20)], [("pv0", 24, 44)]])
        volume.commit()
        volume.write("root", trees.image("ext4"))
        self.assertEqual(self.imgtool_ok("cat", volume.path, "vgtest/root:/tiny").out, "tiny\n")
        self.assertTrue(self.imgtool_ok("cat", volume.path, "/large").out_bytes ==
                        (trees.source / "large").read_bytes())

    def test_many_entries_in_one_folder(self):
        self.assertEqual(len(self.imgtool_ok("ls", "--json", trees.image("ext2"), "/many").json),
                         MANY)


if __name__ == "__main__":
    main()
