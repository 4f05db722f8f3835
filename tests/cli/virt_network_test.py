"""Disks on the network: exports of real NBD servers, and rbd as far as there is no cluster."""
import xml.etree.ElementTree

from imgtool_testing import MiB, main, requires
from libvirt_testing import LibvirtTestCase
from nbd_testing import free_port, serve_nbd


@requires("nbdkit")
class Nbd(LibvirtTestCase):
    def test_an_export_on_a_socket_and_one_on_a_port(self):
        guest, other = self.scsi_guest(), self.bystander()
        socket, port = self.path("nbd socket"), free_port()
        serve_nbd(self, self.image(size=8 * MiB), "-U", socket)
        serve_nbd(self, self.image(size=16 * MiB), "-i", "127.0.0.1", "-p", port, "-e", "disk1")
        names = [f"nbd+unix:///?socket={socket}", f"nbd://127.0.0.1:{port}/disk1"]
        for target, name in zip(("sda", "sdb"), names):
            done = self.attach_ok(guest, name, "--json").json
            self.assertEqual((done["type"], done["target"]), ("network", target))
            self.assertIn(f"not checked: whether {name} exists", " ".join(done["notes"]))
        for half in ("live", "config"):
            disks = self.libvirt.disks(guest, half)
            hosts = [disks[target].find("source/host").attrib for target in ("sda", "sdb")]
            self.assertEqual(hosts, [{"transport": "unix", "socket": str(socket)},
                                     {"name": "127.0.0.1", "port": str(port)}])
        # QEMU has opened both: libvirt asks it for the sizes.
        disks = self.imgtool_ok("disks", guest, "--json").json["domains"][0]["disks"]
        self.assertEqual([disk["live"]["chain"][0]["virtual-size"] for disk in disks],
                         [8 * MiB, 16 * MiB])
        for name in names:
            self.assert_not_attached(other, self.attach(other, name), guest, name)
            self.assert_not_attached(guest, self.attach(guest, name), "--if-absent")
        for name in names:
            self.imgtool_ok("detach", "--domain", guest, "--source", name)
        self.assert_equal_halves(guest, {})

    def test_a_server_that_is_not_there(self):
        guest, port = self.bystander(), free_port()
        result = self.attach(guest, f"nbd://127.0.0.1:{port}/disk1")
        self.assert_not_attached(guest, result, "libvirt: ", "Connection refused", "(code 1)")


class Rbd(LibvirtTestCase):
    """What is asked of libvirt. Whether a cluster gives the image is not shown here."""

    def test_the_xml(self):
        name = self.domain()
        done = self.attach_ok(name, "rbd:vms/web1", "--dry-run", "--json").json
        source = xml.etree.ElementTree.fromstring(done["xml"]).find("source")
        self.assertEqual(source.attrib, {"protocol": "rbd", "name": "vms/web1"})
        result = self.attach(name, "rbd:vms/web1@monday")
        self.assert_not_attached(name, result, "is a snapshot", "--readonly")
        self.assert_equal_halves(name, {})
        self.attach_ok(name, "rbd:vms/web1@monday", "--readonly")
        disk = self.libvirt.disks(name, "config")["vda"]
        self.assertEqual(disk.find("source/snapshot").get("name"), "monday")
        other = self.domain()
        result = self.attach(other, "rbd:vms/web1@monday", "--readonly", "--json")
        self.assertEqual(result.code, 0, f"{result!r}")  # both only read


if __name__ == "__main__":
    main()
