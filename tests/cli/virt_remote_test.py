"""Another host's libvirt, reached by ssh: what works as here, and what cannot be checked from here."""
from imgtool_testing import MiB, check, main
from libvirt_testing import LibvirtTestCase
from ssh_testing import Sshd, requires_ssh


@requires_ssh
class Remote(LibvirtTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.ssh = Sshd(cls.libvirt)
        cls.addClassCleanup(cls.ssh.stop)

    def setUp(self):
        super().setUp()
        self.pool = self.dir / "pool"
        self.pool.mkdir()
        self.libvirt.virsh("pool-create-as", "there", "dir", "--target", self.pool)
        self.addCleanup(self.libvirt.virsh, "pool-destroy", "there", check=False)

    def remote(self, command, *args):
        return self.imgtool(command, "-c", self.ssh.uri(), *args)

    def remote_ok(self, command, *args):
        return self.imgtool_ok(command, "-c", self.ssh.uri(), *args)

    def test_a_volume_from_upload_to_detach(self):
        guest = self.scsi_guest()
        raw, image = self.sparse_image(8 * MiB, {MiB: 4096}), self.path("a.qcow2")
        check("qemu-img", "convert", "-O", "qcow2", raw, image)
        self.remote_ok("upload", image, "there/a.qcow2")
        self.assert_same_content(image, self.pool / "a.qcow2")
        done = self.remote_ok("attach", "--domain", guest, "--source", "there/a.qcow2",
                              "--json").json
        self.assertEqual((done["type"], done["format"], done["target"]), ("volume", "qcow2", "sda"))
        notes = " ".join(done["notes"])
        self.assertIn("not checked: what else on that host uses", notes)
        self.assertIn("not checked: the backing files", notes)
        self.assert_equal_halves(guest, {"sda": "there/a.qcow2"})

        disks = self.remote_ok("disks", guest, "--json").json
        self.assertTrue(disks["remote"])
        chain = disks["domains"][0]["disks"][0]["live"]["chain"]
        self.assertEqual((chain[0]["virtual-size"], chain[0]["identity"]), (8 * MiB, None))
        self.assertIn("were not looked into", self.remote_ok("disks", guest).err)
        self.assertIn(guest, self.remote_ok("domains").out)

        # In use, also by another name of it: libvirt tells the volume's path.
        other = self.bystander()
        for name in ("there/a.qcow2", self.pool / "a.qcow2"):
            result = self.remote("attach", "--domain", other, "--source", name)
            self.assert_not_attached(other, result, "the disk sda", guest)
        self.assert_refused(self.remote("upload", "--force", image, "there/a.qcow2"), "sda", guest)

        done = self.remote_ok("detach", "--domain", guest, "--source", "there/a.qcow2",
                              "--json").json
        self.assertTrue(done["live"] and done["config"])
        self.assert_equal_halves(guest, {})

    def test_a_host_that_is_this_one_after_all(self):
        image = self.pool / "a.img"
        image.write_bytes(b"x" * MiB)
        self.libvirt.virsh("pool-refresh", "there")
        for path in (image, self.pool / ".." / "pool" / "a.img"):
            result = self.remote("upload", "--force", path, "there/a.img")
            self.assert_refused(result, "which is to be read")
        self.assertEqual(image.read_bytes(), b"x" * MiB)

    def test_a_path_in_a_pool_is_read_through_libvirt(self):
        guest = self.scsi_guest()
        image = self.pool / "b.img"
        check("qemu-img", "create", "-q", "-f", "qcow2", image, "8M")
        self.libvirt.virsh("pool-refresh", "there")
        result = self.remote("attach", "--domain", guest, "--source", image, "--format", "raw")
        self.assert_not_attached(guest, result, image, "is qcow2 by its content")
        done = self.remote_ok("attach", "--domain", guest, "--source", image, "--json").json
        self.assertEqual((done["type"], done["format"]), ("file", "qcow2"))
        self.assert_equal_halves(guest, {"sda": image})

    def test_a_path_that_libvirt_knows_nothing_of(self):
        guest = self.scsi_guest()
        image = self.image("c.img")
        result = self.remote("attach", "--domain", guest, "--source", image)
        self.assert_not_attached(guest, result, image, "give --format")
        result = self.remote("attach", "--domain", guest, "--source", "c.img", "--format", "raw")
        self.assert_not_attached(guest, result, "no absolute path")
        done = self.remote_ok("attach", "--domain", guest, "--source", image, "--format", "raw",
                              "--json").json
        notes = " ".join(done["notes"])
        self.assertIn(f"whether {image} exists", notes)
        self.assertIn(f"what else uses {image}", notes)
        self.assert_equal_halves(guest, {"sda": image})
        # Nothing there: the running guest's QEMU says so, and both halves stay as they were.
        result = self.remote("attach", "--domain", guest, "--source", self.dir / "none.img",
                             "--format", "raw")
        self.assert_not_attached(guest, result, "libvirt: ", "none.img", "(code ")
        self.assert_equal_halves(guest, {"sda": image})

    def test_a_host_that_does_not_let_us_in(self):
        result = self.imgtool("domains", "-c", self.ssh.uri("foreign_key"), "--json")
        self.assertEqual(result.code, 1, f"{result!r}")
        self.assertEqual(result.json["error"]["code"], 38)
        self.assertIn("Permission denied", result.err)


if __name__ == "__main__":
    main()
