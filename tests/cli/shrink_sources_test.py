"""Sources that shrink and sparsify hand to QEMU, which has to see the disk that imgtool sees; and what
the programs in the appliance say of them, however much that is."""
import os
import re
import struct

from guest_testing import (APPLIANCE, DIRECT, GuestDisk, requires_appliance,
                           requires_direct)
from imgtool_testing import KiB, MiB, TestCase, check, main, requires, run


@requires_appliance
@requires_direct
@requires("qemu-img", "mkfs.ext4", "dumpe2fs")
class Sources(TestCase):
    def test_a_name_in_a_linked_image_is_looked_for_beside_the_link(self):
        here, there = self.path("here"), self.path("there")
        for folder in (here, there):
            folder.mkdir()
            GuestDisk(self, path=self.zero_image(32 * MiB, folder / "base.img")).make(
                0, "mkfs.ext4", "-q", "-L", folder.name)
        check("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.img", "-F", "raw",
              there / "vm.qcow2")
        os.symlink("../there/vm.qcow2", here / "vm.qcow2")
        for engine in (DIRECT, APPLIANCE):
            out = self.path("out.img")
            self.imgtool_ok("sparsify", "--verify=quick", "--force", f"--engine={engine}",
                            "--follow-references", here / "vm.qcow2", out, timeout=300)
            check("qemu-img", "compare", "-q", here / "vm.qcow2", out)

    def test_damage_that_takes_megabytes_to_tell(self):
        path = self.zero_image(1300 * MiB)
        check("mke2fs", "-q", "-F", "-t", "ext2", "-b", KiB, "-N", 2000, path)
        self.mark_every_other_block(path)
        self.assertGreater(len(run(["e2fsck", "-fn", path]).out), 4 * MiB)
        for engine in (DIRECT, APPLIANCE):
            result = self.imgtool("shrink", "--plan", "--progress=none", f"--engine={engine}", path,
                                  timeout=300)
            self.assert_refused(result, "is damaged", "--keep 0")
            self.assertLess(len(result.err), KiB)

    def mark_every_other_block(self, path):
        """As in use, in the bitmaps of an ext2 with blocks of 1 KiB; all counts agree with that."""
        groups = re.findall(r"Block bitmap at (\d+)", check("dumpe2fs", path))
        free = 0
        with open(path, "r+b") as file:
            for group, block in enumerate(groups):
                bitmap = bytes(byte | 0x55
                               for byte in os.pread(file.fileno(), KiB, int(block) * KiB))
                free_here = 8 * KiB - int.from_bytes(bitmap, "little").bit_count()
                os.pwrite(file.fileno(), bitmap, int(block) * KiB)
                os.pwrite(file.fileno(), struct.pack("<H", free_here), 2 * KiB + 32 * group + 12)
                free += free_here
            os.pwrite(file.fileno(), struct.pack("<I", free), KiB + 12)


if __name__ == "__main__":
    main()
