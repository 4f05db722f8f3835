"""detach against a libvirtd: guests that let go, and guests that do not."""
import signal

from imgtool_testing import main
from libvirt_testing import CutConnection, LibvirtTestCase


class Detach(LibvirtTestCase):
    def detach(self, name, *options):
        return self.imgtool("detach", "--domain", name, *options)

    def detach_ok(self, name, *options):
        return self.imgtool_ok("detach", "--domain", name, *options)

    def start_waiting(self, guest):
        """detach of vda, which has asked the guest, and waits."""
        process = self.start_imgtool("detach", "-v", "--domain", guest, "--target", "vda")
        self.assertIn(b"asked to let go of vda", process.stderr.readline())
        return process

    def test_by_target_and_by_any_name_of_the_source(self):
        guest = self.scsi_guest()
        image = self.image("a.img")
        self.attach_ok(guest, image)
        done = self.detach_ok(guest, "--target", "sda", "--json").json
        self.assertEqual((done["target"], done["source"], done["live"], done["config"]),
                         ("sda", str(image), True, True))
        self.assert_equal_halves(guest, {})
        self.attach_ok(guest, image)
        link = self.path()
        link.symlink_to("a.img")
        self.detach_ok(guest, "--source", link)
        self.assert_equal_halves(guest, {})
        # And it is free for others again.
        self.attach_ok(self.domain(), image)

    def test_of_a_domain_that_is_shut_off(self):
        name = self.domain()
        self.attach_ok(name, self.image())
        self.assertEqual(self.detach_ok(name, "--target", "vda", "--json").json["live"], False)
        self.assert_equal_halves(name, {})

    def test_of_a_domain_with_a_saved_state(self):
        guest, image = self.guest(), self.image()
        self.attach_ok(guest, image)
        self.libvirt.virsh("managedsave", guest)
        self.assert_refused(self.detach(guest, "--target", "vda"), guest, "saved state",
                            f"virsh start {guest}", f"virsh managedsave-remove {guest}")
        self.assert_equal_halves(guest, {"vda": image})
        self.detach_ok(guest, "--target", "vdz", "--if-present")
        self.libvirt.virsh("managedsave-remove", guest)
        self.detach_ok(guest, "--target", "vda")

    def test_one_half(self):
        guest = self.scsi_guest()
        image = self.image()
        self.attach_ok(guest, image)
        self.detach_ok(guest, "--target", "sda", "--live")
        self.assertEqual(self.halves(guest), ({}, {"sda": str(image)}))
        self.detach_ok(guest, "--source", image)  # the half that is left
        self.assertEqual(self.halves(guest), ({}, {}))

    def test_a_guest_that_does_not_let_go_keeps_it_in_both_halves(self):
        guest = self.guest()
        image = self.image()
        self.attach_ok(guest, image)
        self.libvirt.virsh("suspend", guest)  # now it cannot even hear the question
        result = self.detach(guest, "--target", "vda", "--timeout", "2")
        self.assertEqual(result.code, 1, f"{result!r}")
        for words in ("did not let go within 2 s", "vda stays attached", "imgtool disks"):
            self.assertIn(words, result.err)
        self.assert_equal_halves(guest, {"vda": image})
        failed = self.detach(guest, "--target", "vda", "--timeout", "1", "--json").json["error"]
        self.assertEqual(failed["kind"], "system")
        self.assert_equal_halves(guest, {"vda": image})

    def test_what_was_asked_for_before_is_waited_for(self):
        guest = self.guest()
        image = self.image()
        self.attach_ok(guest, image)
        self.libvirt.virsh("suspend", guest)
        for _ in range(2):
            result = self.detach(guest, "--target", "vda", "--timeout", "1")
            self.assertEqual(result.code, 1, f"{result!r}")
            self.assertIn("did not let go within 1 s", result.err)
        self.assert_equal_halves(guest, {"vda": image})

    def test_a_guest_that_ends_meanwhile_has_let_go(self):
        guest = self.guest()
        self.attach_ok(guest, self.image())
        self.libvirt.virsh("suspend", guest)
        process = self.start_waiting(guest)
        self.libvirt.virsh("destroy", guest)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assert_equal_halves(guest, {})

    def test_one_name_for_two_disks(self):
        guest = self.scsi_guest()
        one, two = self.image("one.img"), self.image("two.img")
        self.attach_ok(guest, one, "--live", "--target", "sda")
        disk = f"<disk type='file'><source file='{two}'/><target dev='sda' bus='scsi'/></disk>"
        (self.dir / "disk.xml").write_text(disk)
        self.libvirt.virsh("attach-device", guest, self.dir / "disk.xml", "--config")
        self.assert_refused(self.detach(guest, "--target", "sda"), one, two, "--live or --config")
        self.assertEqual(self.halves(guest), ({"sda": str(one)}, {"sda": str(two)}))
        self.detach_ok(guest, "--target", "sda", "--config")
        self.assertEqual(self.halves(guest), ({"sda": str(one)}, {}))

    def test_a_volume_that_is_gone(self):
        name, pool = self.domain(), self.path("pool")
        pool.mkdir()
        self.libvirt.virsh("pool-create-as", "lost", "dir", "--target", pool)
        self.addCleanup(self.libvirt.virsh, "pool-destroy", "lost", check=False)
        self.libvirt.virsh("vol-create-as", "lost", "v1", "8M")
        self.attach_ok(name, "lost/v1")
        self.libvirt.virsh("vol-delete", "v1", "lost")
        self.detach_ok(name, "--source", "lost/v1")
        self.assert_equal_halves(name, {})

    def test_ctrl_c_ends_the_wait(self):
        guest = self.guest()
        image = self.image()
        self.attach_ok(guest, image)
        self.libvirt.virsh("suspend", guest)
        process = self.start_waiting(guest)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 128 + signal.SIGINT, err)
        self.assertIn(b"stays attached", err)
        self.assert_equal_halves(guest, {"vda": image})

    def test_what_is_not_there(self):
        guest = self.bystander()
        self.assert_refused(self.detach(guest, "--target", "vdz"), guest, "has no disk vdz")
        self.assert_refused(self.detach(guest, "--source", "/srv/none.img"), "has no disk")
        done = self.detach_ok(guest, "--target", "vdz", "--if-present", "--json").json
        self.assertEqual((done["target"], done["live"], done["config"]), (None, False, False))
        self.assertEqual(self.detach("missing", "--target", "vda").code, 1)
        off = self.domain()
        self.assert_refused(self.detach(off, "--target", "vda", "--live"), off, "is not running")
        for words in ([], ["--target", "vda", "--source", "x"]):
            self.assertEqual(self.detach(guest, *words).code, 2)

    def test_libvirtd_goes_away_between_the_halves(self):
        guest = self.scsi_guest()
        image = self.image()
        self.attach_ok(guest, image)
        cut = CutConnection(self.libvirt, "before", CutConnection.DETACH)
        self.addCleanup(cut.close)
        result = self.imgtool("detach", "-c", cut.uri, "--domain", guest, "--target", "sda")
        self.assertEqual(result.code, 1, f"{result!r}")
        self.assertIn("only the configuration still has it", result.err)
        self.assertEqual(self.halves(guest), ({}, {"sda": str(image)}))
        self.detach_ok(guest, "--target", "sda", "--config")
        self.assert_equal_halves(guest, {})


if __name__ == "__main__":
    main()
