"""upload into storage pools of a libvirtd."""
import os
import stat

from imgtool_testing import MiB, check, main, random_bytes, run
from libvirt_testing import LibvirtTestCase


class Upload(LibvirtTestCase):
    def setUp(self):
        super().setUp()
        self.pool = self.dir / "pool"
        self.pool.mkdir()
        self.libvirt.virsh("pool-create-as", "files", "dir", "--target", self.pool)
        self.addCleanup(self.libvirt.virsh, "pool-destroy", "files", check=False)

    def volume_xml(self, name):
        return self.libvirt.virsh("vol-dumpxml", name, "files").out

    def test_a_raw_image_takes_no_more_than_its_data(self):
        image = self.sparse_image(64 * MiB, {0: MiB, 40 * MiB: 3 * MiB + 512, 63 * MiB: MiB})
        done = self.imgtool_ok("upload", image, "files/a.img", "--json").json
        self.assertEqual((done["format"], done["sparse"], done["replaced"]), ("raw", True, False))
        self.assert_same_content(image, self.pool / "a.img")
        self.assertEqual(os.stat(self.pool / "a.img").st_size, 64 * MiB)
        self.assertLess(os.stat(self.pool / "a.img").st_blocks * 512, 8 * MiB)

    def test_a_qcow2_image_stays_what_it_is(self):
        raw, image = self.sparse_image(32 * MiB, {0: MiB, 20 * MiB: MiB}), self.path("a.qcow2")
        check("qemu-img", "convert", "-O", "qcow2", raw, image)
        self.imgtool_ok("upload", image, "files/a")
        self.assert_same_content(image, self.pool / "a")
        self.assertIn("<format type='qcow2'/>", self.volume_xml("a"))
        self.assertIn(f"<capacity unit='bytes'>{32 * MiB}</capacity>", self.volume_xml("a"))
        self.imgtool_ok("upload", "-O", "raw", image, "files/b")
        self.assert_same_content(raw, self.pool / "b")
        self.assertIn("<format type='raw'/>", self.volume_xml("b"))

    def test_the_holes_of_a_qcow2_image_show_nothing_of_libvirts(self):
        image = self.path("empty.qcow2")
        self.imgtool_ok("create", "-f", "qcow2", image, "1G")
        self.imgtool_ok("upload", image, "files/a")
        self.assertEqual((self.pool / "a").read_bytes(), image.read_bytes())
        check("qemu-img", "check", "-q", self.pool / "a")
        self.assertIn("<format type='qcow2'/>", self.volume_xml("a"))
        self.assertIn(f"<capacity unit='bytes'>{1024 * MiB}</capacity>", self.volume_xml("a"))
        holes = self.sparse_image(8 * MiB, {0: MiB})  # at its end, too
        long, copy = self.path("long.qcow2"), self.pool / "b"
        check("qemu-img", "convert", "-O", "qcow2", holes, long)
        os.truncate(long, 4 * MiB + 12345)
        self.imgtool_ok("upload", long, "files/b")
        self.assertEqual(copy.read_bytes(), long.read_bytes())

    def test_only_formats_of_volumes_are_offered(self):
        self.assertIn("raw|qcow2", self.imgtool_ok("upload", "--help").out)
        result = self.imgtool("upload", "-O", "gz", self.image(), "files/a")
        self.assertEqual(result.code, 2, f"{result!r}")
        self.assertIn("none of raw, qcow2", result.err)

    def test_a_compressed_image_is_decoded(self):
        raw = self.sparse_image(8 * MiB, {0: MiB, 5 * MiB: MiB})
        check("xz", "-k", "-0", raw)
        self.imgtool_ok("upload", f"{raw}.xz", "files/a.img")
        self.assert_same_content(raw, self.pool / "a.img")
        check("bzip2", "-k", raw)  # which does not say how large it is
        result = self.imgtool("upload", f"{raw}.bz2", "files/b.img")
        self.assertEqual(result.code, 1, f"{result!r}")
        self.assertIn("imgtool convert", result.err)
        self.assertFalse((self.pool / "b.img").exists())

    def test_a_volume_that_exists_is_replaced_with_force_only(self):
        old = self.pool / "a.img"
        old.write_bytes(random_bytes(16 * MiB))
        self.libvirt.virsh("pool-refresh", "files")
        image = self.sparse_image(8 * MiB, {MiB: 4096})
        self.assert_refused(self.imgtool("upload", image, "files/a.img"), "exists", "--force")
        self.assertEqual(old.read_bytes(), random_bytes(16 * MiB))
        self.imgtool_ok("upload", "--force", image, "files/a.img")
        self.assertEqual(old.stat().st_size, 16 * MiB)  # as long as it was
        self.assert_same_content(image, old, 8 * MiB)
        self.assertEqual(old.read_bytes()[8 * MiB:], bytes(8 * MiB))

    def test_a_volume_in_use_is_not_replaced(self):
        image = self.image()
        self.imgtool_ok("upload", image, "files/a.img")
        name = self.domain()
        self.attach_ok(name, "files/a.img")
        result = self.imgtool("upload", "--force", image, "files/a.img")
        self.assert_refused(result, "vda", name)
        self.assertTrue((self.pool / "a.img").exists())

    def test_a_volume_that_the_image_is_read_from_is_not_replaced(self):
        old = self.pool / "a.img"
        old.write_bytes(random_bytes(MiB))
        overlay, link = self.path("over.qcow2"), self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", old, "-F", "raw", overlay)
        link.symlink_to(old)
        self.libvirt.virsh("pool-refresh", "files")
        for image in ([old], [os.path.relpath(old)], [link],
                      ["-O", "raw", "--follow-references", overlay]):
            result = self.imgtool("upload", "--force", *image, "files/a.img")
            self.assert_refused(result, "files/a.img", "which is to be read")
            self.assertEqual(old.read_bytes(), random_bytes(MiB))

    def test_a_disk_is_cleared_to_its_last_byte(self):
        backing = self.backing_file(32 * MiB)  # full of something
        run(["sfdisk", "-q", backing], input=b"label: gpt\nstart=1MiB, size=16MiB\n")
        device = self.loop_device(backing, partitions=True)
        self.partition_node(device, 1)
        self.libvirt.virsh("pool-create-as", "blocks", "disk", "--source-dev", device,
                           "--source-format", "gpt", "--target", "/dev")
        self.addCleanup(self.libvirt.virsh, "pool-destroy", "blocks", check=False)
        place = f"blocks/{os.path.basename(device)}p1"
        image = self.sparse_image(8 * MiB, {MiB: 4096})
        self.assert_refused(self.imgtool("upload", image, place), "exists")
        done = self.imgtool_ok("upload", "--force", image, place, "--json").json
        self.assertEqual((done["sparse"], done["replaced"]), (False, True))
        with open(device, "rb") as disk:
            disk.seek(MiB)
            self.assertEqual(disk.read(8 * MiB), image.read_bytes())
            self.assertEqual(disk.read(8 * MiB), bytes(8 * MiB))
            self.assertNotEqual(disk.read(MiB), bytes(MiB))  # behind the partition
        large = self.zero_image(32 * MiB)
        result = self.imgtool("upload", "--force", large, place)
        self.assert_refused(result, str(16 * MiB), str(32 * MiB))
        self.assert_refused(self.imgtool("upload", "--force", "-O", "qcow2", image, place), "qcow2")

    def test_the_node_of_a_disk_in_a_folder_stays_one(self):
        device = self.loop_device(4 * MiB)
        node = self.pool / "node"
        os.mknod(node, 0o600 | stat.S_IFBLK, os.stat(device).st_rdev)
        image = self.sparse_image(MiB, {4096: 4096})  # libvirt takes the node for a file
        done = self.imgtool_ok("upload", "--force", image, "files/node", "--json").json
        self.assertFalse(done["sparse"])
        self.assertTrue(stat.S_ISBLK(os.stat(node).st_mode))
        with open(device, "rb") as disk:
            self.assertEqual(disk.read(), image.read_bytes() + bytes(3 * MiB))

    def test_an_image_that_names_another(self):
        base, overlay = self.path("base.qcow2"), self.path("overlay.qcow2")
        raw = self.sparse_image(8 * MiB, {0: MiB})
        check("qemu-img", "convert", "-O", "qcow2", raw, base)
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
        self.assert_refused(self.imgtool("upload", overlay, "files/a"), base, "-O raw")
        self.assertFalse((self.pool / "a").exists())
        self.imgtool_ok("upload", "-O", "raw", "--follow-references", overlay, "files/a")
        self.assert_same_content(raw, self.pool / "a")

    def test_a_damaged_image_leaves_no_volume(self):
        raw = self.dense_image(4 * MiB)
        check("xz", "-k", "-0", "--block-size=1MiB", raw)
        with open(f"{raw}.xz", "r+b") as file:
            file.seek(3 * MiB)
            file.write(random_bytes(64, seed=9))
        result = self.imgtool("upload", f"{raw}.xz", "files/a.img")
        self.assertEqual(result.code, 1, f"{result!r}")
        self.assertFalse((self.pool / "a.img").exists())
        self.assertNotIn("a.img", self.libvirt.virsh("vol-list", "files").out)

    def test_names_that_lead_nowhere(self):
        image = self.image()
        self.assert_refused(self.imgtool("upload", image, "missing/a"), "no such storage pool")
        for place in ("files", "files/", "/a"):
            self.assertEqual(self.imgtool("upload", image, place).code, 2)
        self.assertEqual(self.imgtool("upload", self.dir / "none", "files/a").code, 1)


if __name__ == "__main__":
    main()
