"""shrink beside a KVM that does not work: one that hangs is given up, one that is slow is not.

QEMU is a script here, which emulates whatever it is told. What KVM would do is in how it begins."""
import os
import stat

from guest_testing import GuestDisk, requires_appliance
from imgtool_testing import MiB, TestCase, main, requires, requires_root

QEMU = """#!/bin/sh
case "$*" in
  *-kernel*)
    case "$*" in *accel=kvm*) {begin} ;; esac
    for word in "$@"; do
      shift
      case $word in accel=kvm*) word=accel=tcg,graphics=off ;; host*) word=max ;; esac
      set -- "$@" "$word"
    done ;;
esac
exec qemu-system-x86_64 "$@"
"""


@requires_root
@requires_appliance
@requires("mkfs.ext4")
class Kvm(TestCase):
    @classmethod
    def setUpClass(cls):
        # Whether there is one is all that is asked of it: the script above answers for it.
        if not os.path.exists("/dev/kvm"):
            os.mknod("/dev/kvm", 0o600 | stat.S_IFCHR, os.makedev(1, 3))  # as /dev/null
            cls.addClassCleanup(os.unlink, "/dev/kvm")

    def plan(self, begin):
        disk = GuestDisk(self, 200 * MiB)
        disk.make(0, "mkfs.ext4", "-q")
        script = self.path("qemu")
        script.write_text(QEMU.format(begin=begin))
        script.chmod(0o755)
        env = {**os.environ, "LIBGUESTFS_HV": str(script), "LIBGUESTFS_BACKEND_SETTINGS": ""}
        result = self.imgtool_ok("shrink", "--plan", "--engine=appliance", disk.path, env=env, timeout=600)
        self.assertIn("ext4", result.out)
        return result.err

    def test_one_that_hangs_is_given_up(self):
        self.assertIn("KVM is here and does not work", self.plan("exec sleep 600"))

    def test_one_that_is_slow_and_says_something_is_waited_for(self):
        # It goes on to say something while it boots, which is emulated and may take as long.
        words = "(while kill -0 $$; do echo booting; sleep 4; done) & sleep 36"
        self.assertNotIn("KVM", self.plan(words))


if __name__ == "__main__":
    main()
