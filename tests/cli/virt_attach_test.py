"""attach, disks and domains against a libvirtd with running guests."""
import os

from imgtool_testing import MiB, check, main
from libvirt_testing import CutConnection, LibvirtTestCase


class Attach(LibvirtTestCase):
    def test_a_running_guest_gets_it_in_both_halves(self):
        guest = self.guest()
        image = self.image()
        done = self.attach_ok(guest, image, "--json").json
        self.assertEqual((done["target"], done["bus"], done["format"]), ("vda", "virtio", "raw"))
        self.assertTrue(done["live"] and done["config"])
        self.assert_equal_halves(guest, {"vda": image})
        for half in ("live", "config"):
            disk = self.libvirt.disks(guest, half)["vda"]
            driver = disk.find("driver")
            self.assertEqual([driver.get(key) for key in
                              ("type", "discard", "detect_zeroes")], ["raw", "unmap", "unmap"])
            self.assertEqual(disk.find("serial").text, done["serial"])

    def test_images_of_other_programs(self):
        guest = self.scsi_guest()
        for index, (format_name, option) in enumerate((("vdi", "static=off"), ("qed", "table_size=4"),
                                                       ("vpc", "subformat=dynamic"),
                                                       ("vpc", "subformat=fixed"),
                                                       ("vmdk", "subformat=monolithicSparse"))):
            with self.subTest(format=format_name, option=option):
                image = self.dir / f"disk{index}.img"  # a name that says nothing
                check("qemu-img", "create", "-q", "-f", format_name, "-o", option, image, "8M")
                done = self.attach_ok(guest, image, "--json").json
                self.assertEqual(done["format"], format_name)
                self.assertIn(f"QEMU writes to {format_name} images", " ".join(done["notes"]))
                for half in ("live", "config"):
                    disk = self.libvirt.disks(guest, half)[done["target"]]
                    self.assertEqual(disk.find("driver").get("type"), format_name)

    def test_a_shut_off_domain_gets_it_in_its_configuration(self):
        name = self.domain()
        done = self.attach_ok(name, self.image("a.img"), "--json").json
        self.assertEqual((done["live"], done["config"]), (False, True))
        self.assert_equal_halves(name, {"vda": self.dir / "a.img"})

    def test_a_transient_domain_gets_it_as_long_as_it_runs(self):
        name = self.guest()
        self.libvirt.virsh("undefine", name)
        image = self.image()
        result = self.attach_ok(name, image, "--json")
        self.assertEqual((result.json["live"], result.json["config"]), (True, False))
        self.assertIn("transient", " ".join(result.json["notes"]))
        self.assertEqual(self.sources(name, "live"), {"vda": str(image)})

    def test_a_paused_guest_can_be_given_a_disk(self):
        guest = self.guest()
        self.libvirt.virsh("suspend", guest)
        self.attach_ok(guest, self.image("a.img"))
        self.assert_equal_halves(guest, {"vda": self.dir / "a.img"})

    def test_start_starts_it(self):
        name = self.domain()
        done = self.attach_ok(name, self.image(), "--start", "--json").json
        self.assertTrue(done["started"])
        self.assertEqual(self.libvirt.virsh("domstate", name).out.strip(), "running")

    def test_a_domain_that_does_not_start_is_left_without_the_disk(self):
        missing = self.dir / "gone.img"
        name = self.domain(disks=f"<disk type='file'><source file='{missing}'/>"
                                 "<target dev='vda' bus='virtio'/></disk>")
        result = self.attach(name, self.image(), "--start")
        self.assert_not_attached(name, result, "libvirt: ", "gone.img", "(code ", "taken off again")
        self.assert_equal_halves(name, {"vda": missing})

    def test_names_are_no_xml(self):
        guest = self.guest("a 'quoted\" <guest> & more")
        image = self.image("it's <a> \"disk\" & more]]>.img")
        self.attach_ok(guest, image)
        self.assert_equal_halves(guest, {"vda": image})
        for bad in ("a\nb.img", "a\x1b[31m.img"):
            result = self.attach(guest, self.image(bad))
            self.assert_not_attached(guest, result, "control characters")
        self.assert_equal_halves(guest, {"vda": image})

    def test_a_loop_device_is_a_block_device_with_a_note(self):
        guest = self.scsi_guest()
        device = self.loop_device(8 * MiB)
        link = self.path("disk")
        link.symlink_to(os.path.relpath(device, self.dir))  # a relative link, from another folder
        result = self.attach_ok(guest, link, "--json")
        self.assertEqual(result.json["type"], "block")
        self.assertEqual(result.json["written-source"], device)
        self.assertIn("no name that lasts", " ".join(result.json["notes"]))
        self.assert_equal_halves(guest, {"sda": device})
        driver = self.libvirt.disks(guest, "live")["sda"].find("driver")
        self.assertEqual((driver.get("cache"), driver.get("io")), ("none", "native"))

    def test_a_qcow2_image_is_attached_as_qcow2(self):
        guest = self.scsi_guest()
        image, base, overlay = (self.path(name) for name in ("a.qcow2", "base.qcow2", "over.qcow2"))
        check("qemu-img", "create", "-q", "-f", "qcow2", image, "8M")
        check("qemu-img", "create", "-q", "-f", "qcow2", base, "8M")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
        self.assertEqual(self.attach_ok(guest, image, "--json").json["format"], "qcow2")
        self.assert_not_attached(guest, self.attach(guest, overlay), "--follow-references", base)
        done = self.attach_ok(guest, overlay, "--follow-references", "--json").json
        self.assertIn(str(base), [decision["value"] for decision in done["decisions"]])
        chain = self.imgtool_ok("disks", guest, "--json").json["domains"][0]["disks"][1]["live"]
        self.assertEqual([entry["path"] for entry in chain["chain"]], [str(overlay), str(base)])

    def test_a_file_without_direct_io_is_attached_through_the_page_cache(self):
        image = self.image(self.libvirt.ramfs / "a.img")
        with self.assertRaises(OSError):
            os.open(image, os.O_RDONLY | os.O_DIRECT)
        guest = self.scsi_guest()
        self.attach_ok(guest, image)
        driver = self.libvirt.disks(guest, "live")["sda"].find("driver")
        self.assertEqual((driver.get("cache"), driver.get("io")), ("writeback", "threads"))

    def test_readonly_and_chosen_values(self):
        guest = self.scsi_guest()
        self.attach_ok(guest, self.image(), "--readonly", "--serial", "RO-1")
        disk = self.libvirt.disks(guest, "live")["sda"]
        self.assertIsNotNone(disk.find("readonly"))
        self.assertEqual(disk.find("serial").text, "RO-1")
        self.attach_ok(guest, self.image(), "--target", "sdc", "--cache", "writeback", "--io",
                       "threads")
        disk = self.libvirt.disks(guest, "config")["sdc"]
        self.assertEqual(disk.find("target").get("bus"), "scsi")
        self.assertEqual(disk.find("driver").get("cache"), "writeback")
        self.assert_equal_halves(guest)

    def test_a_guest_without_a_free_port_gets_a_scsi_disk(self):
        guest = self.guest(ports=0)
        done = self.attach_ok(guest, self.image(), "--json").json
        self.assertEqual((done["bus"], done["target"]), ("scsi", "sda"))
        self.assertIn("no PCI port is free",
                      " ".join(decision["why"] for decision in done["decisions"]))
        result = self.attach(guest, self.image(), "--bus", "virtio")
        self.assert_not_attached(guest, result, "libvirt: ", "PCI slots", "(code 1)",
                                 "virtio-scsi")
        self.assert_equal_halves(guest)

    def test_windows_without_viostor_gets_sata_when_it_is_shut_off(self):
        os_id = ("<metadata><libosinfo:libosinfo xmlns:libosinfo="
                 "'http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
                 "<libosinfo:os id='http://microsoft.com/win/10'/></libosinfo:libosinfo></metadata>")
        name = self.domain(metadata=os_id)
        self.assertEqual(self.attach_ok(name, self.image(), "--json").json["bus"], "sata")
        self.libvirt.virsh("start", name)
        result = self.attach(name, self.image())
        self.assert_not_attached(name, result, "sata", "--config", "viostor")
        self.assert_equal_halves(name)

    def test_dry_run_changes_nothing(self):
        guest = self.bystander()
        result = self.attach_ok(guest, self.image("a.img"), "--dry-run")
        self.assertIn("<source file=", result.out)
        self.assertIn("bus: virtio (", result.out)

    def test_a_volume_is_attached_by_its_pool(self):
        pool = self.path("pool")
        pool.mkdir()
        self.libvirt.virsh("pool-create-as", "fast", "dir", "--target", pool)
        self.addCleanup(self.libvirt.virsh, "pool-destroy", "fast", check=False)
        check("qemu-img", "create", "-q", "-f", "qcow2", pool / "v1", "8M")  # the pool knows it not
        guest, other = self.scsi_guest(), self.bystander()
        done = self.attach_ok(guest, "fast/v1", "--json").json
        self.assertEqual((done["type"], done["format"]), ("volume", "qcow2"))
        self.assert_equal_halves(guest, {"sda": "fast/v1"})
        self.assert_not_attached(other, self.attach(other, pool / "v1"), guest, "sda")
        self.assert_not_attached(other, self.attach(other, "fast/v1"), guest, "sda")
        self.assert_not_attached(other, self.attach(other, "fast/v2"), "no such volume")


class Broken(LibvirtTestCase):
    """libvirtd goes away in the middle."""

    def test_before_and_after_the_call(self):
        guest = self.scsi_guest()
        for when, expected in (("before", 0), ("after", 1)):
            cut = CutConnection(self.libvirt, when, CutConnection.ATTACH)
            self.addCleanup(cut.close)
            result = self.imgtool("attach", "-c", cut.uri, "--domain", guest, "--source",
                                  self.image())
            self.assertEqual(result.code, 1, f"{result!r}")
            self.assertIn("libvirt: ", result.err)
            self.assertIn("not known whether", result.err)
            self.assertIn(f"imgtool disks {guest}", result.err)
            self.assert_equal_halves(guest)
            self.assertEqual(len(self.sources(guest, "live")), expected)

    def test_a_killed_daemon_comes_back_with_both_halves(self):
        guest = self.scsi_guest()
        self.attach_ok(guest, self.image("a.img"))
        self.libvirt.kill_daemon()
        self.libvirt.wait_until_up()
        self.attach_ok(guest, self.image("b.img"))
        self.assert_equal_halves(guest, {"sda": self.dir / "a.img", "sdb": self.dir / "b.img"})

    def test_a_domain_that_is_started_meanwhile_keeps_the_disk(self):
        name, image = self.domain(), self.image()
        way = CutConnection(self.libvirt, "before", CutConnection.CREATE,
                            lambda: self.libvirt.virsh("start", name))
        self.addCleanup(way.close)
        done = self.attach_ok(name, image, "-c", way.uri, "--start", "--json").json
        self.assertEqual((done["config"], done["started"]), (True, False))
        self.assertIn("started by another program", " ".join(done["notes"]))
        self.assert_equal_halves(name, {"vda": image})


class Lists(LibvirtTestCase):
    def test_disks_tells_where_the_halves_differ(self):
        guest = self.scsi_guest()
        image = self.image("a.img")
        self.attach_ok(guest, image)
        self.attach_ok(guest, self.image("b.img"), "--live")
        document = self.imgtool_ok("disks", guest, "--json").json
        self.assertFalse(document["remote"])
        first, second = document["domains"][0]["disks"]
        self.assertEqual((first["target"], first["differs"]), ("sda", False))
        self.assertEqual(first["live"]["chain"][0]["virtual-size"], 8 * MiB)
        self.assertEqual(first["live"]["chain"][0]["identity"]["inode"], os.stat(image).st_ino)
        self.assertEqual(second["differences"], ["only in the running guest"])
        self.assertIsNone(second["config"])
        text = self.imgtool_ok("disks", guest).out
        self.assertIn("only in the running guest", text)
        self.assertIn("8.0 MiB", text)

    def test_domains_lists_all(self):
        guest, off = self.scsi_guest(), self.domain()
        self.attach_ok(guest, self.image())
        domains = {domain["name"]: domain
                   for domain in self.imgtool_ok("domains", "--json").json["domains"]}
        self.assertEqual(domains[guest]["state"], "running")
        self.assertEqual(domains[guest]["disks"], [{"target": "sda", "differs": False}])
        self.assertEqual((domains[off]["state"], domains[off]["disks"]), ("shut off", []))
        self.assertIn(guest, self.imgtool_ok("domains").out)

    def test_libvirts_default_uri_is_taken(self):
        self.assertIn("test", self.imgtool_ok("domains", "-c", "test:///default").out)
        self.assertEqual(self.imgtool("disks", "missing").code, 1)


if __name__ == "__main__":
    main()
