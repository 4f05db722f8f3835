"""XFS of version 4 with a log that is not empty. Kernels of today may not mount it, so a guest with
an older one writes it, crashes, and replays it."""
import re

from imgtool_testing import MiB, TestCase, check, main, requires, run
from linux_guest import requires_linux_guest, run_guest
from scrub_testing import container, free_map, scrub

# Files in many pieces, whose maps become trees, directories of every kind, inodes that come and go.
# The last of it is in the log alone: what sync does is to write the log.
CRASH = r"""
mount -t xfs /dev/vda /mnt
cd /mnt
mkdir a b
fill() { yes "$1 has this line over and over" | head -c "$2" > "$1"; }
for i in $(seq 60); do fill "a/f$i" $((i * 9000)); done
sync
for i in $(seq 2 3 60); do rm "a/f$i"; done
pieces() {
  for i in $(seq $2); do
    dd if=a/f60 of="$1" bs=4096 count=1 seek=$((i * 2)) conv=notrunc 2>/dev/null
  done
}
pieces b/pieces 120
sync
for i in $(seq 300); do echo $i > "b/$i with a name that is long enough to need many blocks"; done
for i in $(seq 1 2 300); do rm "b/$i with a name that is long enough to need many blocks"; done
pieces b/more 90
mkdir c; ln a/f1 c/link; ln -s target c/soft; mv a/f3 c/moved; truncate -s 5000 a/f4
mkdir gone; touch gone/1 gone/2; sync; rm -r gone
for i in $(seq 61 70); do fill "a/f$i" $((i * 3000)); done
sync
find . -type f | sort | while read -r file; do
  echo "SUM $(sha256sum < "$file" | cut -c1-64) $file"
done
echo GUEST DONE
echo 1 > /proc/sys/kernel/sysrq
echo b > /proc/sysrq-trigger
sleep 60
"""
# Of each disk.
READ = r"""
for disk in vda vdb; do
  mount -t xfs /dev/$disk /mnt
  cd /mnt
  find . -type f | sort | while read -r file; do
    echo "SUM $disk $(sha256sum < "$file" | cut -c1-64) $file"
  done
  yes new | head -c 300000 > new
  cd /
  umount /mnt
done
"""


@requires_linux_guest
@requires("mkfs.xfs", "xfs_repair", "qemu-system-x86_64")
class Version4(TestCase):
    def check_replay(self, *options):
        image = self.zero_image(320 * MiB)
        check("mkfs.xfs", "-q", "-m", "crc=0,finobt=0", *options, image)
        out = run_guest(self, [image], CRASH, ["xfs"])
        sums = re.findall(r"SUM (\w{64} .*)$", out, re.MULTILINE)
        self.assertGreater(len(sums), 200, out)
        self.assertIn("valuable metadata changes", run(["xfs_repair", "-n", image]).err)

        ours = free_map(image)
        self.assertEqual(container(ours, kind="xfs")["kept-because"], "")
        recovered = self.path()
        check("cp", "--sparse=always", image, recovered)
        scrub(image, ours["free"])
        out = run_guest(self, [recovered, image], READ, ["xfs"])
        for disk in ("vda", "vdb"):
            self.assertEqual(re.findall(rf"SUM {disk} (\w{{64}} .*)$", out, re.MULTILINE), sums)
        for disk in (recovered, image):
            result = run(["xfs_repair", "-n", disk])
            self.assertEqual(result.code, 0, result)
        theirs = free_map(recovered)
        self.assertGreater(sum(length for _, length in ours["free"]),
                           sum(length for _, length in theirs["free"]) * 0.8)

    def test_a_crash(self):
        self.check_replay()

    def test_a_crash_of_small_blocks_and_many_groups(self):
        self.check_replay("-b", "size=1k", "-d", "agcount=4", "-i", "size=512")


if __name__ == "__main__":
    main()
