"""What libvirt would let happen without a word, and what it says no to."""
import fcntl
import os
import pathlib
import socket

from imgtool_testing import MiB, check, main, run, unmount, wait_until
from libvirt_testing import LibvirtTestCase


class Refusals(LibvirtTestCase):
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
                                       "role": "disk", "live": False, "config": True, "saved": False}]))
        self.assert_not_attached(third, self.attach(third, image, "--config"), "vda", off)
        self.assert_not_attached(third, self.attach(third, image, "--force"), "vda", off)

    def test_two_at_the_same_moment_take_turns(self):
        guest, image = self.scsi_guest(), self.image()
        with open("/run/imgtool-attach.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            process = self.start_imgtool("attach", "--domain", guest, "--source", image)
            wait_until(lambda: self.waits_for(process, lock), "imgtool that waits for its turn")
            self.assert_equal_halves(guest, {})
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assert_equal_halves(guest, {"sda": image})

    @staticmethod
    def waits_for(process, file):
        inode = os.stat(file.name).st_ino
        return any("->" in line and f" {process.pid} " in line and f":{inode} " in line
                   for line in pathlib.Path("/proc/locks").read_text().splitlines())

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
        # And the other way round: what is to be read may not be written to.
        lone, above = self.path("lone.qcow2"), self.path("above.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", lone, "8M")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", lone, "-F", "qcow2", above)
        self.attach_ok(off, lone)
        result = self.attach(guest, above, "--follow-references")
        self.assert_not_attached(guest, result, "the disk vdb", off, lone)

    def test_a_saved_state_has_its_disks_still(self):
        guest, other = self.guest(), self.bystander()
        image = self.image()
        self.attach_ok(guest, image, "--target", "vdb")
        self.libvirt.virsh("managedsave", guest)
        result = self.attach(guest, self.image(), "--start")
        self.assert_not_attached(guest, result, "saved state", f"virsh managedsave-remove {guest}")
        # libvirt changes the configuration all the same.
        self.libvirt.virsh("detach-disk", guest, "vdb", "--config")
        result = self.attach(other, image)
        self.assert_not_attached(other, result, "the disk vdb", guest, "in its saved state")
        failed = self.attach(other, image, "--json").json["error"]
        self.assertEqual([(use["config"], use["saved"]) for use in failed["conflicts"]],
                         [(False, True)])
        self.libvirt.virsh("managedsave-remove", guest)
        self.attach_ok(guest, image, "--dry-run")

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
        unmount(folder)
        image = self.zero_image(8 * MiB)
        loop = self.loop_device(image)
        self.assert_not_attached(guest, self.attach(guest, image), loop, "losetup -d")
        self.assert_equal_halves(guest, {})
        self.attach_ok(guest, image, "--force")
        self.assert_equal_halves(guest, {"sda": image})

    def test_what_the_host_uses_below_the_image(self):
        name = self.domain()
        base, overlay = self.image("base.img"), self.path("overlay.qcow2")
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay)
        loop = self.loop_device(base)
        result = self.attach(name, overlay, "--follow-references")
        self.assert_not_attached(name, result, overlay, f"over {base}", loop, "losetup -d")
        self.assert_equal_halves(name, {})
        check("losetup", "-d", loop)
        check("losetup", "--read-only", loop, base)  # which changes nothing
        self.attach_ok(name, overlay, "--follow-references")

    def test_a_pipe_of_another_domain_is_not_waited_for(self):
        pipe = self.path()
        os.mkfifo(pipe)
        name = self.domain(disks=f"<disk type='file'><driver name='qemu' type='qcow2'/>"
                                 f"<source file='{pipe}'/><target dev='vda'/></disk>")
        self.assertIn("neither a file nor a disk", self.imgtool_ok("disks", name).out)
        self.assertIn("vda", self.imgtool_ok("domains").out)
        other = self.domain()
        done = self.attach_ok(other, self.image(), "--json").json
        self.assertIn("neither a file nor a disk", " ".join(done["notes"]))

    def test_an_image_that_another_qemu_has_open(self):
        image = self.image()
        path = self.path("qmp")
        self.start(["qemu-system-x86_64", "-M", "q35,accel=tcg", "-display", "none", "-S",
                    "-nodefaults", "-drive", f"file={image},format=raw,if=virtio",
                    "-qmp", f"unix:{path},server=on,wait=off"])
        wait_until(path.exists, "qemu")
        # It makes the socket before it opens its disks, and greets when it has opened them.
        with socket.socket(socket.AF_UNIX) as qemu:
            qemu.settimeout(60)
            qemu.connect(str(path))
            self.assertIn(b"QMP", qemu.recv(4096))
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
        vhdx = self.path()
        check("qemu-img", "create", "-q", "-f", "vhdx", vhdx, "8M")
        self.assert_not_attached(guest, self.attach(guest, vhdx), "vhdx", "convert")
        vdi = self.path()
        check("qemu-img", "create", "-q", "-f", "vdi", vdi, "8M")
        self.assert_not_attached(guest, self.attach(guest, vdi, "--format", "raw"), "is vdi")
        stream = self.path()
        check("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized",
              raw, stream)
        self.assert_not_attached(guest, self.attach(guest, stream), "stream", "--readonly")
        over = self.path()
        check("qemu-img", "create", "-q", "-f", "qed", "-b", raw, "-F", "raw", over)
        self.assert_not_attached(guest, self.attach(guest, over), "lies over another image")
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

    def test_what_is_there_already_has_to_be_what_is_asked_for(self):
        name, image = self.domain(), self.image()
        wanted = ["--target", "vdb", "--serial", "one", "--cache", "none", "--io", "native"]
        self.attach_ok(name, image, *wanted)
        for options, words in ((["--target", "vdc"], "target vdb, not vdc"),
                               (["--bus", "scsi"], "bus virtio, not scsi"),
                               (["--serial", "two"], "serial one, not two"),
                               (["--cache", "writethrough"], "cache none, not writethrough"),
                               (["--io", "threads"], "io native, not threads"),
                               (["--readonly"], "writable, not read-only")):
            result = self.attach(name, image, "--if-absent", *options)
            self.assert_not_attached(name, result, "as vdb", words)
        for options in ([], [*wanted, "--bus", "virtio"]):
            self.assertTrue(self.attach_ok(name, image, "--if-absent", "--json",
                                           *options).json["already-attached"])

    def test_names_that_libvirt_cannot_take(self):
        name = self.domain()
        for source in ("nbd://ho\x01st/e", "nbd://host/e\n", "rbd:a/b\x7f"):
            result = self.attach(name, source, "--dry-run")
            self.assert_not_attached(name, result, "control characters")

    def test_libvirts_own_words_and_code(self):
        name = self.domain()
        result = self.attach(name, self.image(), "--live")
        self.assert_not_attached(name, result, "libvirt: ", "domain is not running", "(code 55)")
        failed = self.attach("missing", self.image(), "--json").json["error"]
        self.assertEqual((failed["kind"], failed["code"]), ("libvirt", 42))
        self.assertIn("missing", failed["message"])
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


if __name__ == "__main__":
    main()
