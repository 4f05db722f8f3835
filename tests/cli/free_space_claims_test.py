"""Two claims to the same bytes: whatever blkid recognises beside a file system keeps all of it, and
so does a partition table inside a partition or a logical volume."""
import pathlib
import struct

from imgtool_testing import MiB, TestCase, check, main, requires, requires_root, run
from lvm_testing import PhysicalVolume
from scrub_testing import ScrubTestCase, blkid, container, contents, free_map, scrub

SIZE = 32 * MiB
CORPUS = pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "corpus"


def put(image, offset, data):
    with open(image, "r+b") as file:
        file.seek(offset)
        file.write(data)


def partition(image, script, label="gpt"):
    result = run(["sfdisk", "--quiet", "--wipe=never", "--label", label, image],
                 input=script.encode())
    assert result.code == 0, repr(result)


def silicon():
    sector = bytearray(512)
    struct.pack_into("<I", sector, 0x60, 0x2F000000)
    struct.pack_into("<H", sector, 0x13E, -sum(struct.unpack_from("<159H", sector)) & 0xFFFF)
    return bytes(sector)


def via():
    sector = bytearray(51)
    struct.pack_into("<H", sector, 0, 0xAA55)
    sector[50] = sum(sector[:50]) & 0xFF
    return bytes(sector)


def sun():
    label = bytearray(512)
    struct.pack_into(">H", label, 508, 0xDABE)
    struct.pack_into(">H", label, 510, 0xDABE)  # all words, this one too, come to zero
    return bytes(label[508:])


# What lies beside the ext4, and where.
CLAIMS = {
    "sgi": (0, b"\x0b\xe5\xa9\x41"),
    "sun": (508, sun()),
    "bsd": (512, b"\x57\x45\x56\x82" + bytes(128) + b"\x57\x45\x56\x82"),
    "solaris": (512 + 12, b"\xee\xde\x0d\x60"),
    "apple": (0, b"ER\x02\x00" + bytes(508) + b"PM\0\0" + (1).to_bytes(4, "big")),
    "atari": (454, b"\x01GEM" + (2048).to_bytes(4, "big") + (4096).to_bytes(4, "big")),
    "dasd": (2 * 512, b"\xd3\xd5\xe7\xf1"),
    "adaptec": (SIZE - 512, b"\x37\xfc\x4d\x1e" + bytes(252) + b"DPTM"),
    "promise": (SIZE - 63 * 512, b"Promise Technology, Inc."),
    "hpt37x": (4608 + 32, b"\xf0\x16\x78\x5a"),
    "hpt45x": (SIZE - 11 * 512, b"\xf3\x16\x78\x5a"),
    "jmicron": (SIZE - 512, b"JM\x01\x02"),
    "silicon": (SIZE - 512, silicon()),
    "via": (SIZE - 512, via()),
    "ufs, big-endian": (256 * 1024 + 1372, b"\x19\x54\x01\x19"),
    "ufs, little-endian": (1372 + 65536, b"\x54\x19\x01\x00"),
    "befs": (544, b"BFS1"),
    "md 1.2": (4096, b"\xfc\x4e\x2b\xa9"),
    "zonefs": (0, b"SFOZ"),
}


@requires("mkfs.ext4", "mkfs.btrfs", "mkfs.fat", "blkid", "sfdisk", "pvcreate")
class Claims(ScrubTestCase):
    def ext4(self, size=SIZE, path=None):
        image = path or self.zero_image(size)
        check("mkfs.ext4", "-q", "-F", "-b", "4096", image)
        return image

    def test_each_keeps_the_file_system_whole(self):
        image = self.ext4()
        self.exact_map(image)
        original = image.read_bytes()
        for name, (offset, data) in CLAIMS.items():
            with self.subTest(claim=name):
                put(image, offset, data)
                self.assert_kept_whole(image, "more than one", "ext4")
                self.assertNotIn("wipefs", container(free_map(image))["remedy"])
                put(image, offset, original[offset:offset + len(data)])
        self.exact_map(image)

    def test_the_old_file_system_under_a_table_of_another_kind(self):
        for label in ("sun", "sgi", "dos"):  # a GPT is written over the superblock
            with self.subTest(label=label):
                image = self.ext4(64 * MiB)
                partition(image, "start=32768, size=32768\n", label)
                found = free_map(image)
                self.assertEqual(found["free"], [])
                self.assertEqual([part["kept"] for part in found["containers"]], ["ambiguous"])

    def test_a_machines_disk_in_a_partition(self):
        disk = self.zero_image(80 * MiB)
        partition(disk, "start=2048, size=131072\n")
        check("mkfs.ext4", "-q", "-F", "-E", f"offset={MiB}", disk, f"{64 * 1024}k")
        self.exact_map(disk)
        inner = self.zero_image(64 * MiB)
        partition(inner, "start=32768, size=32768\n", "dos")
        put(disk, MiB, inner.read_bytes()[:512])
        self.assert_kept_whole(disk, "partition table", "ext4", name="partition 1")
        self.assertEqual(container(free_map(disk), "partition 1")["kept"], "ambiguous")

    def test_a_boot_sector_without_a_table_is_no_table(self):
        disk = self.zero_image(80 * MiB)
        partition(disk, "start=2048, size=131072\n")
        check("mkfs.ext4", "-q", "-F", "-E", f"offset={MiB}", disk, f"{64 * 1024}k")
        put(disk, MiB + 510, b"\x55\xaa")  # GRUB in the boot sector of a partition
        self.exact_map(disk)

    def test_a_boot_sector_without_a_table_on_a_whole_disk(self):
        for make in (["mkfs.ext4", "-q", "-F"], ["mkfs.btrfs", "-q"], ["mkfs.fat", "-F", "12"]):
            with self.subTest(make=make[0]):
                image = self.zero_image(128 * MiB if "btrfs" in make[0] else SIZE)
                check(*make, image)
                put(image, 510, b"\x55\xaa")
                self.exact_map(image)
        put(image, 446, b"\0\0\0\0\x83\0\0\0" + struct.pack("<II", 64, 1024))
        self.assert_kept_whole(image, "partition table")

    @requires_root
    @requires("e2fsck")
    def test_a_machines_disk_in_a_partition_and_in_a_logical_volume(self):
        """The file systems of a machine whose disk is a volume here."""
        for label in ("dos", "gpt"):
            with self.subTest(label=label):
                self.check_machines_disk(label)

    def check_machines_disk(self, label):
        content = self.ext4()
        with self.mounted(content) as root:
            self.age(root, files=60)
            before = contents(root)
        machine = self.zero_image(48 * MiB)
        partition(machine, f"start=2048, size={SIZE // 512}\n", label)
        put(machine, MiB, content.read_bytes())
        disk = self.zero_image(80 * MiB)
        partition(disk, f"start=2048, size={48 * MiB // 512}\n")
        put(disk, MiB, machine.read_bytes())
        pv = PhysicalVolume(self, 80 * MiB)
        pv.add("vm", [[("pv0", 30, 20)], [("pv0", 2, 28)]])
        pv.commit()
        pv.write("vm", machine)
        for image, outer in ((disk, "partition 1"), (pv.path, "logical volume vgtest/vm")):
            found = free_map(image)
            self.assertEqual(container(found, outer)["type"], label)
            inside = container(found, f"partition 1 in {outer}")
            self.assertEqual((inside["kept"], inside["type"]), ("", "ext4"))
            self.assertGreater(inside["free-bytes"], 8 * MiB)
            scrub(image, found["free"])
            copy = self.path()
            if image is disk:
                check("dd", f"if={disk}", f"of={copy}", "bs=1M", "skip=1", "count=48",
                      "status=none")
            else:
                pv.read("vm", copy)
            self.assertEqual(copy.read_bytes()[:MiB], machine.read_bytes()[:MiB])
            inner = self.path()
            inner.write_bytes(copy.read_bytes()[MiB:MiB + SIZE])
            self.assert_checks(["e2fsck", "-fn", inner], outer)
            with self.mounted(inner, "ro") as root:
                self.assertEqual(contents(root), before)
            analysis = self.imgtool_ok("analyze", "--json", image).json["containers"]
            self.assertIn(f"partition 1 in {outer}", [one["place"] for one in analysis])

    def test_hashes_behind_it(self):
        image = self.zero_image(SIZE)
        check("mkfs.ext4", "-q", "-F", image, "24M")
        self.exact_map(image)
        for place in (24 * MiB, 24 * MiB + 512, 30 * MiB):
            put(image, place, b"verity\0\0")
            self.assert_kept_whole(image, "hashes")
            self.assertTrue(container(free_map(image))["hashed"])
            put(image, place, bytes(8))
        self.exact_map(image)

    @requires("veritysetup")
    def test_hashes_that_veritysetup_made(self):
        image = self.zero_image(SIZE)
        check("mkfs.ext4", "-q", "-F", image, "24M")
        check("veritysetup", "format", image, image, f"--hash-offset={24 * MiB}",
              f"--data-blocks={24 * MiB // 4096}")
        self.assert_kept_whole(image, "hashes")


def overlay(description):
    """The pieces of a sample for XFS and btrfs: see overlay_disk.hpp."""
    size = struct.unpack_from("<Q", description)[0] % (1 << 42)
    pieces, at = [], 8
    while at + 12 <= len(description):
        offset, length = struct.unpack_from("<QI", description, at)
        pieces.append((offset, description[at + 12:at + 12 + length]))
        at += 12 + length
    return size, pieces


def sectors(description):
    """Those of the others: see file_system_fuzz.hpp."""
    size = struct.unpack_from("<I", description)[0] * 512
    pieces = []
    for at in range(4, len(description) - 6, 518):
        first, count = struct.unpack_from("<IH", description, at)
        pieces.append((first * 512, description[at + 6:at + 518].ljust(512, b"\0") * count))
    return size, pieces


@requires("blkid")
class Samples(TestCase):
    """Our parsers and blkid on each sample that the fuzz targets have."""

    def test_both_see_the_same_in_each(self):
        compared = 0
        for folder, pieces_of in (("xfs", overlay), ("btrfs", overlay), ("f2fs", overlay), ("ext", sectors),
                                  ("fat", sectors), ("exfat", sectors), ("ntfs", sectors),
                                  ("lvm", sectors)):
            for sample in sorted((CORPUS / folder).iterdir()):
                with self.subTest(sample=f"{folder}/{sample.name}"):
                    size, pieces = pieces_of(sample.read_bytes())
                    image = self.zero_image(size)
                    for offset, data in pieces:
                        put(image, offset, data[:max(size - offset, 0)])
                    told = blkid(image)
                    found = free_map(image)["containers"][0]
                    # "dos" is a boot sector's signature, too.
                    if "AMBIVALENT" in told or told.get("PTTYPE", "dos") != "dos":
                        self.assertNotEqual(found["kept"], "", told)
                    elif "TYPE" in told:
                        self.assertEqual(found["type"], told["TYPE"])
                        compared += 1
                    image.unlink()
        self.assertGreater(compared, 25)


if __name__ == "__main__":
    main()
