"""The lock of attaches is there after each boot, for root and the group libvirt."""
import os
import pathlib
import re
import stat

from imgtool_testing import IMGTOOL, TestCase, check, main, requires, requires_root

BUILD = pathlib.Path(IMGTOOL).resolve().parent
SOURCE = pathlib.Path(__file__).resolve().parents[2]
GROUP_ID = 4242


class Lock(TestCase):
    @requires_root
    @requires("systemd-tmpfiles", "cmake")
    def test_a_boot_makes_it_as_attach_does(self):
        system = self.path()
        for folder in ("etc", "run"):
            (system / folder).mkdir(parents=True)
        (system / "etc/passwd").write_text("root:x:0:0:::\n")
        (system / "etc/group").write_text(f"root:x:0:\nlibvirt:x:{GROUP_ID}:\n")
        check("cmake", "--install", BUILD, "--prefix", system / "usr", "--component", "tmpfiles")
        self.assertEqual(os.listdir(system / "usr/lib/tmpfiles.d"), ["imgtool.conf"])
        check("systemd-tmpfiles", f"--root={system}", "--create", "imgtool.conf")
        header = (SOURCE / "imgtool/virt/attach_turn.hpp").read_text()
        place, = re.findall(r'lock = "/([^"]+)"', header)
        self.assertIn('group = "libvirt"', header)
        status = os.stat(system / place)
        self.assertEqual((stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode)),
                         (stat.S_IFREG, 0o660))
        self.assertEqual((status.st_uid, status.st_gid), (0, GROUP_ID))


if __name__ == "__main__":
    main()
