"""imgtool devices, on the devices that this machine has and on loop devices made for it."""
import fcntl
import os
import pathlib
import pty
import struct
import subprocess
import termios

from imgtool_testing import IMGTOOL, MiB, TestCase, check, main, requires, requires_root, run


class Devices(TestCase):
    def listed(self, *options):
        result = self.imgtool_ok("devices", "--json", *options)
        return {device["path"]: device for device in result.json["devices"]}

    def test_lists_the_disks_of_this_machine_as_sysfs_has_them(self):
        disks = self.listed()
        for path, device in self.listed("--all").items():
            if device["kind"] == "loop":
                continue  # others' may come and go meanwhile
            folder = pathlib.Path("/sys/dev/block", f"{device['major']}:{device['minor']}")
            self.assertEqual(int((folder / "size").read_text()) * 512, device["size"])
            if device["kind"] == "disk" and device["size"]:
                self.assertIn(path, disks)
        self.assertFalse([path for path in disks if "loop" in path])

    def test_a_machine_without_disks_is_no_error(self):
        result = self.imgtool_ok("devices")
        self.assertTrue(result.out.startswith(("DEVICE", "No disks")), result.out)

    def test_wrong_usage(self):
        self.assertEqual(self.imgtool("devices", "/dev/sda").code, 2)
        self.assertEqual(self.imgtool("devices", "--every").code, 2)
        self.assertIn("--all", self.imgtool_ok("devices", "--help").out)

    @requires_root
    def test_a_free_loop_device(self):
        backing = self.path("of a\ndisk \x1b[31m.img")
        backing.write_bytes(bytes(8 * MiB))
        loop = self.loop_device(backing)
        device = self.listed("--all")[loop]
        self.assertEqual(device["kind"], "loop")
        self.assertEqual(device["size"], 8 * MiB)
        self.assertEqual(device["backing_file"], str(backing))
        self.assertEqual(device["uses"], [])
        self.assertFalse(device["system"])
        table = self.imgtool_ok("devices", "--all").out
        self.assertNotIn("\x1b", table)
        line = next(line for line in table.splitlines() if line.startswith(loop + " "))
        self.assertIn("of a\\ndisk \\x1b[31m.img", line)
        self.assertTrue(line.endswith("free"), line)

    @requires_root
    def test_sector_sizes_and_read_only(self):
        big_sectors = self.loop_device(8 * MiB, sector_size=4096)
        read_only = self.loop_device(8 * MiB, read_only=True)
        devices = self.listed("--all")
        self.assertEqual(devices[big_sectors]["logical-sector"], 4096)
        self.assertEqual(devices[read_only]["logical-sector"], 512)
        self.assertTrue(devices[read_only]["read-only"])
        self.assertFalse(devices[big_sectors]["read-only"])
        self.assertTrue(devices[read_only]["read_only"])  # the old name, for one version
        self.assertIn("free; read-only", self.imgtool_ok("devices", "--all").out)

    def ends_with_its_remedy(self, loop, use):
        check("sh", "-c", use["remedy"])
        self.assertEqual(self.listed("--all")[loop]["uses"], [])

    @requires_root
    @requires("mkfs.ext4")
    def test_a_mounted_loop_device_and_the_way_out(self):
        loop = self.loop_device(8 * MiB)
        check("mkfs.ext4", "-q", loop)
        place = self.path("a place\nwith 'odd' \\ names")
        place.mkdir()
        check("mount", loop, place)
        self.addCleanup(run, ["umount", place])
        (use,) = self.listed("--all")[loop]["uses"]
        self.assertEqual(use["kind"], "mounted")
        self.assertEqual(use["detail"], str(place))
        self.assertNotIn("\x1b", self.imgtool_ok("-v", "devices", "--all").out)
        self.ends_with_its_remedy(loop, use)

    @requires_root
    @requires("mkswap", "swapon")
    def test_swap_and_the_way_out(self):
        loop = self.loop_device(8 * MiB)
        check("mkswap", loop)
        check("swapon", loop)
        self.addCleanup(run, ["swapoff", loop])
        (use,) = self.listed("--all")[loop]["uses"]
        self.assertEqual((use["kind"], use["remedy"]), ("swap", f"swapoff {loop}"))
        self.ends_with_its_remedy(loop, use)

    @requires_root
    @requires("mkfs.ext4")
    def test_a_loop_device_over_a_loop_device(self):
        lower = self.loop_device(8 * MiB)
        upper = self.loop_device(lower, direct_io=False)
        (use,) = self.listed("--all")[lower]["uses"]
        self.assertEqual((use["kind"], use["detail"]), ("loop", upper))
        self.assertEqual(self.listed("--all")[upper]["uses"], [])
        check("mkfs.ext4", "-q", upper)
        place = self.mount(upper)
        (use,) = self.listed("--all")[lower]["uses"]
        self.assertEqual((use["kind"], use["detail"]), ("mounted", str(place)))
        self.assertEqual(use["stack"], [lower, upper])
        self.assertEqual(use["remedy"], f"umount {place} && losetup -d {upper}")
        self.ends_with_its_remedy(lower, use)

    @requires_root
    def test_finds_the_lower_device_of_a_loop_through_any_name(self):
        lower = self.loop_device(8 * MiB)
        node = self.path("node")
        os.mknod(node, 0o600 | 0o060000, os.stat(lower).st_rdev)
        self.loop_device(node, direct_io=False)
        (use,) = self.listed("--all")[lower]["uses"]
        self.assertEqual(use["kind"], "loop")

    def test_the_disk_below_the_root_file_system_is_the_systems(self):
        number = os.stat("/").st_dev
        for device in self.listed("--all").values():
            if (device["major"], device["minor"]) == (os.major(number), os.minor(number)):
                self.assertTrue(device["system"])
                self.assertEqual(device["uses"][0]["kind"], "system_disk")

    @requires_root
    def test_fits_a_narrow_terminal(self):
        backing = self.path("a-rather-long-name-" + "x" * 100)
        backing.write_bytes(bytes(MiB))
        self.loop_device(backing)
        for columns in (60, 80, 120):
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            subprocess.run([IMGTOOL, "devices", "--all"], stdout=slave, check=True, timeout=60,
                           env={**os.environ, "TERM": "xterm"})
            text = os.read(master, 1 << 16).decode()
            os.close(master)
            os.close(slave)
            for line in text.splitlines():
                self.assertLessEqual(len(line), columns, text)

    def test_full_standard_output_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([IMGTOOL, "devices"], stdout=full, stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    main()
