"""Free space in LVM2: extents of no volume, and what is free in linear and striped volumes."""
import struct

from imgtool_testing import KiB, MiB, check, flip_byte, main, requires, requires_root, run
from lvm_testing import EXTENT, PhysicalVolume
from scrub_testing import ScrubTestCase, container, contents, free_map, scrub


def overlaps(ranges, begin, end):
    return any(offset < end and begin < offset + length for offset, length in ranges)


@requires_root
@requires("pvcreate", "vgcfgrestore", "mkfs.ext4", "e2fsck", "sfdisk", "mkswap")
class Lvm(ScrubTestCase):
    def aged_ext4(self, size):
        image = self.zero_image(size)
        check("mkfs.ext4", "-q", "-F", "-b", "1024", image)
        with self.mounted(image) as root:
            self.age(root, files=120, largest=256 * KiB)
            before = contents(root)
        return image, before

    def assert_volume_intact(self, pv, name, before, **place):
        copy = pv.read(name, self.path(), **place)
        self.assert_checks(["e2fsck", "-fn", copy], name)
        with self.mounted(copy) as root:
            self.assertEqual(contents(root), before)
            (root / "new").write_bytes(bytes(100000))
        self.assert_checks(["e2fsck", "-fn", copy], name)

    def test_scattered_and_striped_volumes_in_a_partition(self):
        pv = PhysicalVolume(self, 128 * MiB)
        pv.add("root", [[("pv0", 30, 10)], [("pv0", 2, 14)], [("pv0", 60, 8)]])
        pv.add("data", [[("pv0", 80, 12), ("pv0", 100, 12)]])
        pv.add("swap", [[("pv0", 70, 8)]])
        pv.commit()
        trees = {}
        for name in ("root", "data"):
            image, trees[name] = self.aged_ext4(pv.size(name))
            pv.write(name, image)
        swap = self.zero_image(8 * MiB)
        check("mkswap", swap)
        pv.write("swap", swap)

        disk = self.zero_image(160 * MiB)
        layout = self.path()
        layout.write_text("label: gpt\nstart=4MiB, size=128MiB, type=lvm\n")
        with open(layout, "rb") as text:
            self.assertEqual(run(["sfdisk", "--quiet", disk], input=text).code, 0)
        check("dd", f"if={pv.path}", f"of={disk}", "bs=1M", "seek=4", "conv=notrunc,sparse",
              "status=none")

        found = free_map(disk)
        names = [c["name"] for c in found["containers"]]
        self.assertEqual(names, ["partition 1", "logical volume vgtest/data",
                                 "logical volume vgtest/root", "logical volume vgtest/swap"])
        for entry in found["containers"]:
            self.assertEqual(entry["kept-because"], "", entry)
            self.assertGreater(entry["free-bytes"], 0, entry)
        used = sum(pv.size(name) for name in pv.volumes)
        self.assertEqual(container(found, "partition 1")["free-bytes"],
                         pv.extents * EXTENT - used)
        self.assertEqual(container(found, "logical volume vgtest/swap")["free-bytes"],
                         8 * MiB - 4096)
        group, *volumes = self.imgtool_ok("analyze", "--json", disk).json["containers"]
        self.assertGreater(group["stored"], 0)
        for volume in volumes:  # its bytes count for the group
            self.assertIsNone(volume["stored"], volume)
        scrub(disk, found["free"])
        for name, before in trees.items():
            self.assert_volume_intact(pv, name, before, base=4 * MiB, disk=disk)
        check("sfdisk", "--verify", disk)
        whole = self.path()
        check("dd", f"if={disk}", f"of={whole}", "bs=1M", "skip=4", "count=128", "status=none")
        device = self.loop_device(whole, direct_io=False)
        self.assertIn("vgtest", pv._lvm(device, "vgs", "--noheadings"))

    def test_a_volume_of_another_kind_keeps_its_extents(self):
        pv = PhysicalVolume(self, 64 * MiB)
        pv.add("m_rimage_0", [[("pv0", 0, 4)]], status=("READ", "WRITE"))
        pv.add("m_rmeta_0", [[("pv0", 4, 1)]], status=("READ", "WRITE"))
        pv.add("m_rimage_1", [[("pv0", 5, 4)]], status=("READ", "WRITE"))
        pv.add("m_rmeta_1", [[("pv0", 9, 1)]], status=("READ", "WRITE"))
        pv.add_text("m", ['segment1 { start_extent = 0 extent_count = 4 type = "raid1" '
                          'device_count = 2 region_size = 4096 '
                          'raids = ["m_rmeta_0", "m_rimage_0", "m_rmeta_1", "m_rimage_1"] }'])
        pv.commit()
        image = self.zero_image(4 * MiB)
        check("mkfs.ext4", "-q", "-F", image)
        pv.write("m_rimage_0", image)
        found = free_map(pv.path)
        volume = container(found, "logical volume vgtest/m")
        self.assertIn("raid1", volume["kept-because"])
        self.assertFalse(overlaps(found["free"], pv.begin, pv.begin + 10 * EXTENT))
        self.assertEqual(container(found, "whole disk")["free-bytes"],
                         (pv.extents - 10) * EXTENT)

    def test_a_snapshot_s_origin_is_kept(self):
        pv = PhysicalVolume(self, 64 * MiB)
        pv.add("root", [[("pv0", 0, 8)]])
        pv.add("before", [[("pv0", 8, 4)]], status=("READ", "WRITE"))
        pv.add_text("snapshot0", ['segment1 { start_extent = 0 extent_count = 8 type = "snapshot" '
                                  'chunk_size = 8 origin = "root" cow_store = "before" }'],
                    status=("READ", "WRITE"))
        pv.commit()
        image = self.zero_image(8 * MiB)
        check("mkfs.ext4", "-q", "-F", image)
        pv.write("root", image)
        found = free_map(pv.path)
        self.assertIn("other volumes", container(found, "logical volume vgtest/root")["kept-because"])
        self.assertFalse(overlaps(found["free"], pv.begin, pv.begin + 12 * EXTENT))

    def test_a_damaged_file_system_in_a_volume(self):
        pv = PhysicalVolume(self, 64 * MiB)
        pv.add("root", [[("pv0", 20, 8)], [("pv0", 3, 8)]])
        pv.commit()
        image = self.zero_image(16 * MiB)
        check("mkfs.ext4", "-q", "-F", image)
        flip_byte(image, 1024 + 0x3A)
        pv.write("root", image)
        self.assert_kept_whole(pv.path, name="logical volume vgtest/root")

    def test_damaged_metadata(self):
        pv = PhysicalVolume(self, 64 * MiB)
        pv.add("root", [[("pv0", 20, 8)]])
        pv.commit()
        with open(pv.path, "rb") as file:
            start = file.read(2 * MiB)
        header = start.index(b" LVM2 x[5A%r0N*>") - 4
        text = header + struct.unpack_from("<Q", start, header + 40)[0]
        for offset in (512 + 9, 512 + 50, header + 45, text + 40, text + 300):
            with self.subTest(offset=offset):
                flip_byte(pv.path, offset)
                self.assert_kept_whole(pv.path, kind="LVM2_member")
                flip_byte(pv.path, offset)
        self.exact_map(pv.path, name="whole disk")

    def test_cut_off(self):
        pv = PhysicalVolume(self, 64 * MiB)
        pv.add("root", [[("pv0", 20, 8)]])
        pv.commit()
        with open(pv.path, "r+b") as file:
            file.truncate(40 * MiB)
        self.assert_kept_whole(pv.path, "cut off")


if __name__ == "__main__":
    main()
