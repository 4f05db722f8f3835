#!/usr/bin/env python3
"""Makes tests/support/thin_pool.img.xz: a physical volume with a thin pool that a kernel wrote.

    PYTHONPATH=tests/support tests/support/make_thin_pool.py

Two thin volumes with ext4, a snapshot of one of them while it was mounted, one that was deleted,
and one that nothing was written to. The files' sums are in thin_pool.sums, as the guest read them.
"""
import lzma
import pathlib
import re

from imgtool_testing import MiB, TestCase, make
from lvm_guest import run_lvm_guest

FOLDER = pathlib.Path(__file__).resolve().parent
SCRIPT = r"""
lvm pvcreate -q /dev/vda
lvm vgcreate -q -s 1m vgthin /dev/vda
lvm lvcreate -q --type thin-pool -L 32m --poolmetadatasize 2m -c 64k -n pool vgthin
lvm lvcreate -q -V 64m -T vgthin/pool -n root
lvm lvcreate -q -V 24m -T vgthin/pool -n data
lvm lvcreate -q -V 16m -T vgthin/pool -n gone
lvm lvcreate -q -V 16m -T vgthin/pool -n unused
lvm lvcreate -q -L 4m -n plain vgthin
mkfs.ext4 -q -F -b 1024 -N 512 -J size=1 /dev/vgthin/root
mkfs.ext4 -q -F -b 4096 -N 256 -O ^has_journal /dev/vgthin/data
mkfs.ext4 -q -F -b 1024 -N 128 -O ^has_journal /dev/vgthin/gone
mkdir -p /root /data
mount -t ext4 /dev/vgthin/root /root
mount -t ext4 /dev/vgthin/data /data
fill() { yes "$1 has this line over and over" | head -c "$2" > "$1"; }
for i in 1 2 3 4 5 6 7 8 9; do
  fill "/root/f$i" $((i * 50000)); fill "/data/g$i" $((i * 40000))
done
sync
rm /root/f2 /root/f9 /data/g3 /data/g8
sync
lvm lvcreate -q -s -n before vgthin/root
rm /root/f3 /root/f7
fill /root/f11 400000
fill /root/f12 500000
sync
rm /root/f12
sync
lvm lvremove -q -y vgthin/gone
(cd /root && sha256sum f*) | sed 's/^/SUM root /'
(cd /data && sha256sum g*) | sed 's/^/SUM data /'
umount /root /data
lvm lvchange -q -ay -K vgthin/before
mount -t ext4 -o ro,noload /dev/vgthin/before /root
(cd /root && sha256sum f*) | sed 's/^/SUM before /'
umount /root
lvm vgchange -q -an vgthin
"""


class Maker(TestCase):
    def runTest(self):
        disk = self.zero_image(64 * MiB)
        out = run_lvm_guest(self, disk, SCRIPT)
        sums = re.findall(r"^SUM (\w+ \w{64}  \w+)$", out, re.MULTILINE)
        assert len(sums) == 20, out
        (FOLDER / "thin_pool.sums").write_text("\n".join(sums) + "\n")
        content = lzma.compress(pathlib.Path(disk).read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        (FOLDER / "thin_pool.img.xz").write_bytes(content)


if __name__ == "__main__":
    make(Maker())
