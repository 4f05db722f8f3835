"""A Linux guest sees what was attached: the serial number, the content, and that it goes."""
from imgtool_testing import MiB, check, main, requires, wait_until
from libvirt_testing import LibvirtTestCase
from linux_guest import make_initrd, os_xml, requires_linux_guest
from nbd_testing import serve_nbd


@requires_linux_guest
@requires("nbdkit")
class LinuxGuest(LibvirtTestCase):
    def says(self, guest, line):
        """Waits until the guest's console has said, to its end, a line that begins like this."""
        console = self.libvirt.console(guest)

        def found():
            if not console.exists():
                return None
            *whole, _unfinished = console.read_text(errors="replace").replace("\r", "").split("\n")
            return next((said for said in whole if said.startswith(line)), None)

        return wait_until(found, f"'{line}' from the guest", timeout=120)

    def test_serial_content_and_removal(self):
        initrd = self.path("initrd")
        make_initrd(initrd)
        guest = self.guest(os=os_xml(initrd), memory=192)
        self.says(guest, "GUEST READY")

        tree = self.path("tree")
        tree.mkdir()
        (tree / "greeting").write_text("hello from the image\n")
        image = self.image("a.img")
        check("mkfs.ext4", "-q", "-d", tree, image)
        done = self.attach_ok(guest, image, "--json").json
        self.assertEqual(done["bus"], "virtio")
        self.assertEqual(self.says(guest, "GUEST DISK vda"),
                         f"GUEST DISK vda serial {done['serial']} bytes {8 * MiB}")
        self.says(guest, "GUEST FILE vda hello from the image")

        # The guest's own name for a disk need not be ours: the serial number tells.
        self.attach_ok(guest, self.image(size=4 * MiB), "--target", "sdd", "--serial", "SECOND-1")
        self.assertRegex(self.says(guest, "GUEST DISK sd"),
                         rf"^GUEST DISK sd. serial SECOND-1 bytes {4 * MiB}$")

        # A disk that comes over the network, and to the guest is one like all others.
        (tree / "greeting").write_text("hello over the network\n")
        export, socket = self.image("export.img"), self.path("nbd.socket")
        check("mkfs.ext4", "-q", "-d", tree, export)
        serve_nbd(self, export, "-U", socket)
        done = self.attach_ok(guest, f"nbd+unix:///?socket={socket}", "--json").json
        self.assertEqual(self.says(guest, "GUEST DISK vdb"),
                         f"GUEST DISK vdb serial {done['serial']} bytes {8 * MiB}")
        self.says(guest, "GUEST FILE vdb hello over the network")
        self.imgtool_ok("detach", "--domain", guest, "--target", "vdb", "--timeout", "60")

        # A guest with an operating system lets go.
        gone = self.imgtool_ok("detach", "--domain", guest, "--target", "vda", "--timeout", "60",
                               "--json").json
        self.assertTrue(gone["live"] and gone["config"])
        self.says(guest, "GUEST GONE vda")
        self.assertEqual(list(self.halves(guest)[0]), ["sdd"])
        self.assert_equal_halves(guest)


if __name__ == "__main__":
    main()
