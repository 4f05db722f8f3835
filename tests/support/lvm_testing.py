"""LVM2 physical volumes with logical volumes in them, made without device-mapper.

    pv = PhysicalVolume(test, 256 * MiB)
    pv.add("root", [[("pv0", 3, 4)], [("pv0", 20, 4)]])    # 4 extents at 3, then 4 extents at 20
    pv.add("data", [[("pv0", 30, 2), ("pv0", 40, 2)]])      # two stripes of 2 extents
    pv.commit()
    pv.write("root", image)                                 # into its extents
    pv.read("root", copy)

LVM's own programs write the label and the metadata: what a volume group looks like is restored
from a text. Extents are 1 MiB, stripes change every 64 KiB.
"""
import re

from imgtool_testing import KiB, MiB, check

EXTENT = MiB
STRIPE = 64 * KiB


class PhysicalVolume:
    def __init__(self, test, size, group="vgtest"):
        self.test = test
        self.path = test.zero_image(size)
        self.group = group
        self.volumes = {}
        self.extra = []
        device = self._attach()
        self._lvm(device, "pvcreate", "--yes", device)
        self._lvm(device, "vgcreate", "--yes", "-s", "1m", group, device)
        self.text_path = test.path()
        self._lvm(device, "vgcfgbackup", "-f", self.text_path, group)
        test.detach(device)
        self.text = self.text_path.read_text()
        self.begin = int(re.search(r"pe_start = (\d+)", self.text)[1]) * 512
        self.extents = int(re.search(r"pe_count = (\d+)", self.text)[1])

    def _attach(self):
        return self.test.loop_device(self.path, direct_io=False)

    def _lvm(self, device, command, *args):
        config = ('devices { use_devicesfile=0 filter=["a|^%s$|", "r|.*|"] } '
                  'backup { backup=0 archive=0 } ' % device)
        return check(command, "--config", config, "--nolocking", *args)

    def add(self, name, segments, kind="striped", status=("READ", "WRITE", "VISIBLE")):
        """`segments`: each a list of stripes (volume, first extent, count)."""
        self.volumes[name] = segments
        parts, start = [], 0
        for number, stripes in enumerate(segments, 1):
            count = sum(length for _, _, length in stripes)
            places = ", ".join(f'"{volume}", {first}' for volume, first, _ in stripes)
            size = f"stripe_size = {STRIPE // 512}" if len(stripes) > 1 else ""
            parts.append(f'segment{number} {{ start_extent = {start} extent_count = {count} '
                         f'type = "{kind}" stripe_count = {len(stripes)} {size} '
                         f'stripes = [ {places} ] }}')
            start += count
        self.add_text(name, parts, status)

    def add_text(self, name, segments, status=("READ", "WRITE", "VISIBLE")):
        flags = ", ".join(f'"{word}"' for word in status)
        number = len(self.extra)
        self.extra.append(
            f'{name} {{ id = "aaaaaa-bbbb-cccc-dddd-eeee-ffff-{number:06d}" status = [{flags}] '
            f'flags = [] segment_count = {len(segments)} ' + " ".join(segments) + " }")

    def commit(self):
        """Writes the volume group with all that was added."""
        end = self.text.rindex("}")
        text = self.text[:end] + "logical_volumes { " + "\n".join(self.extra) + " }\n}\n"
        self.text_path.write_text(text)
        device = self._attach()
        self._lvm(device, "vgcfgrestore", "--force", "-f", self.text_path, self.group)
        self.test.detach(device)

    def pieces(self, name):
        """[offset in the physical volume, length] in the volume's order."""
        for stripes in self.volumes[name]:
            if len(stripes) == 1:
                yield self.begin + stripes[0][1] * EXTENT, stripes[0][2] * EXTENT
                continue
            for turn in range(stripes[0][2] * EXTENT // STRIPE):
                for _, first, _ in stripes:
                    yield self.begin + first * EXTENT + turn * STRIPE, STRIPE

    def size(self, name):
        return sum(length for _, length in self.pieces(name))

    def write(self, name, image, base=0, disk=None):
        with open(image, "rb") as source, open(disk or self.path, "r+b") as target:
            for offset, length in self.pieces(name):
                target.seek(base + offset)
                target.write(source.read(length))

    def read(self, name, image, base=0, disk=None):
        with open(image, "wb") as target, open(disk or self.path, "rb") as source:
            for offset, length in self.pieces(name):
                source.seek(base + offset)
                target.write(source.read(length))
        return image
