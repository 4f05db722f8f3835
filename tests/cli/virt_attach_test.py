"""attach, disks and domains against a libvirtd with running guests."""
import os

from imgtool_testing import MiB, check, main, run, wait_until
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


class Refusals(LibvirtTestCase):
    """What libvirt would let happen without a word, and what it says no to."""

    def test_the_same_image_twice_in_one_domain(self):
        for name in (self.domain(), self.guest()):
            image = self.image()
            self.attach_ok(name, image)
            link = self.path()
            link.symlink_to(image)
            for spelling in (image, link, os.path.relpath(image)):
                result = self.attach(name, spelling, "--target", "vdd")
                self.assert_not_attached(name, result, "vda", name, "--if-absent")
                self.assert_equal_halves(name, {"vda": image})
            done = self.attach_ok(name, link, "--if-absent", "--json").json
            self.assertTrue(done["already-attached"])
            self.assertEqual(done["target"], "vda")
            self.assert_equal_halves(name, {"vda": image})

    def test_the_same_image_in_another_domain(self):
        device = self.loop_device(8 * MiB)
        image = self.image()
        running, off, third = self.scsi_guest(), self.domain(), self.bystander()
        self.attach_ok(running, device)
        self.attach_ok(off, image)
        self.assert_not_attached(third, self.attach(third, device), "sda", running, device)
        self.assert_not_attached(third, self.attach(third, image), "vda", off, image)
        failed = self.attach(third, image, "--json").json["error"]
        self.assertEqual((failed["kind"], failed["conflicts"]),
                         ("refused", [{"domain": off, "target": "vda", "path": str(image),
                                       "role": "disk", "live": False, "config": True}]))
        self.assert_not_attached(third, self.attach(third, image, "--config"), "vda", off)
        self.assert_not_attached(third, self.attach(third, image, "--force"), "vda", off)

    def test_shared_on_both_sides_and_readonly_on_both_sides(self):
        one, two = self.scsi_guest(), self.guest()
        device, image = self.loop_device(8 * MiB), self.image()
        self.attach_ok(one, device, "--shared")
        self.assert_not_attached(two, self.attach(two, device), one)
        self.attach_ok(two, device, "--shared")
        self.attach_ok(one, image, "--readonly")
        self.assert_not_attached(two, self.attach(two, image), one)
        self.attach_ok(two, image, "--readonly")
        self.assert_equal_halves(one, {"sda": device, "sdb": image})
        self.assert_equal_halves(two, {"vda": device, "vdb": image})

    def test_an_image_below_another_ones_disk(self):
        base, overlay = self.path("base.qcow2"), self.path("overlay.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", base, "8M")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", overlay)
        off, guest = self.domain(), self.bystander()
        self.attach_ok(off, overlay, "--follow-references")
        for options in ([], ["--config"], ["--target", "vdc"]):
            result = self.attach(guest, base, *options)
            self.assert_not_attached(guest, result, "below the disk vda", off, base)
        self.assert_not_attached(off, self.attach(off, base), "below the disk vda")
        # And the other way round: nobody may write to what is to be read.
        lone, above = self.path("lone.qcow2"), self.path("above.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", lone, "8M")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", lone, "-F", "qcow2", above)
        self.attach_ok(off, lone)
        result = self.attach(guest, above, "--follow-references")
        self.assert_not_attached(guest, result, "the disk vdb", off, lone)

    def test_the_other_end_of_a_block_copy(self):
        guest, other = self.scsi_guest(), self.bystander()
        image, copy = self.image(), self.path("copy.img")
        self.attach_ok(guest, image)
        self.libvirt.virsh("blockcopy", guest, "sda", "--dest", copy, "--format", "raw",
                           "--transient-job")
        result = self.attach(other, copy)
        self.assert_not_attached(other, result, "copy that is being made", "sda", guest)
        self.libvirt.virsh("blockjob", guest, "sda", "--abort")

    def test_a_partition_of_an_attached_disk(self):
        guest, other = self.scsi_guest(), self.bystander()
        backing = self.zero_image(16 * MiB)
        run(["sfdisk", "-q", backing], input=b"label: gpt\nstart=1MiB, size=4MiB\n")
        device = self.loop_device(backing, partitions=True)
        partition = self.partition_node(device, 1)
        self.attach_ok(guest, partition)
        self.assert_not_attached(other, self.attach(other, device), "sda", guest, partition)

    def test_what_the_host_uses(self):
        guest = self.scsi_guest()
        device = self.loop_device(8 * MiB)
        check("mkfs.ext4", "-q", device)
        folder = self.path()
        folder.mkdir()
        check("mount", device, folder)
        self.addCleanup(run, ["umount", folder])
        self.assert_not_attached(guest, self.attach(guest, device), "mounted on", folder, "umount")
        check("umount", folder)
        image = self.zero_image(8 * MiB)
        loop = self.loop_device(image)
        self.assert_not_attached(guest, self.attach(guest, image), loop, "losetup -d")
        self.assert_equal_halves(guest, {})
        self.attach_ok(guest, image, "--force")
        self.assert_equal_halves(guest, {"sda": image})

    def test_an_image_that_another_qemu_has_open(self):
        image = self.image()
        socket = self.path("qmp")
        self.start(["qemu-system-x86_64", "-M", "q35,accel=tcg", "-display", "none", "-S",
                    "-nodefaults", "-drive", f"file={image},format=raw,if=virtio",
                    "-qmp", f"unix:{socket},server=on,wait=off"])
        wait_until(socket.exists, "qemu")
        guest = self.bystander()
        self.assert_not_attached(guest, self.attach(guest, image), "QEMU")

    def test_what_is_not_there(self):
        guest = self.bystander()
        for missing, advice in ((self.dir / "no.img", "does not exist"),
                                ("/dev/vg0/no", "lvchange -ay vg0/no"),
                                ("/dev/mapper/vg0-no", "lvchange -ay")):
            for options in ([], ["--config"]):
                result = self.attach(guest, missing, *options)
                self.assert_not_attached(guest, result, "does not exist", advice)
        self.assert_not_attached(guest, self.attach(guest, self.dir), "neither a disk nor")
        self.assert_not_attached(guest, self.attach(guest, "/dev/null"), "neither a disk nor")

    def test_formats_that_the_content_contradicts(self):
        guest = self.scsi_guest()
        image = self.path("disk.img")  # a name that says nothing
        check("qemu-img", "create", "-q", "-f", "qcow2", image, "8M")
        for options in (["--format", "raw"], ["--format", "raw", "--config"]):
            self.assert_not_attached(guest, self.attach(guest, image, *options), "is qcow2")
        raw = self.dense_image(MiB)
        self.assert_not_attached(guest, self.attach(guest, raw, "--format", "qcow2"), "is raw")
        for format_name in ("vmdk", "vhdx", "vpc", "vdi"):
            other = self.path()
            check("qemu-img", "create", "-q", "-f", format_name, other, "8M")
            self.assert_not_attached(guest, self.attach(guest, other), format_name, "convert")
        check("gzip", "-k", raw)
        self.assert_not_attached(guest, self.attach(guest, f"{raw}.gz"), "gz", "imgtool convert")
        os.truncate(image, MiB)  # a disk is longer than the image on it
        device = self.loop_device(image)
        self.assert_not_attached(guest, self.attach(guest, device, "--format", "raw"), "is qcow2")
        self.assertEqual(self.attach_ok(guest, device, "--json").json["format"], "qcow2")
        self.assert_equal_halves(guest, {"sda": device})

    def test_a_target_that_one_half_has(self):
        guest = self.scsi_guest()
        self.attach_ok(guest, self.image("live.img"), "--live")
        self.attach_ok(guest, self.image("config.img"), "--config", "--target", "sdb")
        done = self.attach_ok(guest, self.image("both.img"), "--json").json
        self.assertEqual(done["target"], "sdc")
        self.assert_not_attached(guest, self.attach(guest, self.image(), "--target", "sda"),
                                 "sda already")
        self.assert_not_attached(guest, self.attach(guest, self.image(), "--target", "sdb"),
                                 "sdb already")

    def test_a_disk_that_one_half_has_is_completed(self):
        guest = self.scsi_guest()
        for half, other in (("--live", "--config"), ("--config", "--live")):
            image = self.image()
            target = self.attach_ok(guest, image, half, "--bus", "scsi",
                                    "--json").json["target"]
            self.assert_not_attached(guest, self.attach(guest, image), target, "--if-absent")
            done = self.attach_ok(guest, image, "--if-absent", "--json").json
            self.assertEqual((done["target"], done["already-attached"]), (target, False))
            self.assertEqual((done["live"], done["config"]),
                             (half == "--config", half == "--live"))
            self.assert_equal_halves(guest)
            serials = {self.libvirt.disks(guest, half)[target].find("serial").text
                       for half in ("live", "config")}
            self.assertEqual(len(serials), 1)

    def test_libvirts_own_words_and_code(self):
        name = self.domain()
        result = self.attach(name, self.image(), "--live")
        self.assert_not_attached(name, result, "libvirt: ", "domain is not running", "(code 55)")
        failed = self.attach("nobody", self.image(), "--json").json["error"]
        self.assertEqual((failed["kind"], failed["code"]), ("libvirt", 42))
        self.assertIn("nobody", failed["message"])
        result = self.imgtool("attach", "-c", "qemu+unix:///system?socket=/nowhere", "--domain",
                              "x", "--source", self.image())
        self.assert_not_attached(name, result, "libvirt: ", "/nowhere", "(code 38)")

    def test_wrong_usage(self):
        for words in (["--source", "x"], ["--domain", "x"], [],
                      ["--domain", "x", "--kvm", "y", "--source", "z"],
                      ["--domain", "x", "--source", "z", "--bus", "fast"]):
            self.assertEqual(self.imgtool("attach", *words).code, 2)
        name = self.domain()
        for options in (["--serial", "a b"], ["--serial", "x" * 21], ["--target", "vd1"],
                        ["--target", "sda", "--bus", "virtio"],
                        ["--io", "native", "--cache", "writeback"]):
            self.assertEqual(self.attach(name, self.image(), *options).code, 2)
        self.assert_equal_halves(name, {})

    def test_the_old_scripts_spelling(self):
        name = self.domain()
        image = self.image()
        self.imgtool_ok("attach", "--kvm", name, "--source", image)
        self.assertEqual(self.imgtool("attach", "--kvm", name, "--source", image).code, 1)
        self.assert_equal_halves(name, {"vda": image})


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
        self.assertEqual(self.imgtool("disks", "nobody").code, 1)


if __name__ == "__main__":
    main()
