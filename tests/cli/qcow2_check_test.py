"""`check` finds what is wrong with a qcow2 image, and counts it as qemu-img check does."""
import struct

from imgtool_testing import KiB, MiB, TestCase, check, main, requires, run
from qcow2_images import Qcow2

COPIED = 1 << 63
CLUSTER = 64 * KiB


def read_word(image, offset):
    with open(image.path, "rb") as file:
        file.seek(offset)
        return struct.unpack(">Q", file.read(8))[0]


def block(image, index=0):
    """The first refcount block, or an entry of it."""
    return read_word(image, image.header(48, "Q")) + 2 * index


def data(image, index=0):
    return read_word(image, image.l2 + 8 * index) & 0x00fffffffffffe00


def set_refcount(cluster_of, value):
    return lambda image: image.patch(block(image, cluster_of(image) // CLUSTER), "H", value)


def set_l2(index, change):
    def damage(image):
        offset = image.l2 + 8 * index
        image.patch(offset, "Q", change(read_word(image, offset)))
    return damage


def set_l1(change):
    return lambda image: image.patch(image.l1, "Q", change(read_word(image, image.l1)))


def grow(size):
    def damage(image):
        with open(image.path, "r+b") as file:
            file.truncate(size)
    return damage


# name: (damage, part of a message)
DAMAGE = {
    "leaked cluster": (
        lambda image: (grow(2 * MiB)(image), set_refcount(lambda _: 20 * CLUSTER, 1)(image)),
        "cluster 20 at 1310720 is leaked"),
    "leaked data": (set_l2(0, lambda word: 0), "is leaked: it is used 0 times, but its refcount is 1"),
    "refcount too high": (set_refcount(data, 2), "the copied flag is set, but the refcount is 2"),
    "refcount too low": (set_refcount(data, 0), "is used 1 times, but its refcount is 0"),
    "refcount of the header too low": (set_refcount(lambda image: 0, 0), "cluster 0 at 0 is used"),
    "refcount of an L2 table too low": (set_refcount(lambda image: image.l2, 0), "L1 entry"),
    "no copied flag": (set_l2(0, lambda word: word & ~COPIED), "the copied flag is not set"),
    "no copied flag in L1": (set_l1(lambda word: word & ~COPIED), "L1 entry"),
    "copied flag of a compressed cluster": (set_l2(4, lambda word: word | COPIED),
                                            "has the copied flag"),
    "two entries for one cluster": (set_l2(0, lambda word: word + CLUSTER), "is used 2 times"),
    "data over the header": (set_l2(0, lambda word: COPIED), ""),
    "data over the L2 table": (lambda image: set_l2(0, lambda word: COPIED | image.l2)(image),
                               "is used 2 times"),
    "data over the refcount block": (
        lambda image: set_l2(0, lambda word: COPIED | block(image))(image), "is used 2 times"),
    "reserved bits in L2": (set_l2(0, lambda word: word | 1 << 57), "reserved bits are set"),
    "reserved bits in L1": (set_l1(lambda word: word | 1 << 57), "reserved bits are set"),
    "unaligned data": (set_l2(0, lambda word: word + 512), "the offset is not that of a cluster"),
    "data past the end": (set_l2(0, lambda word: COPIED | 1 << 40), "but the file ends at"),
    "stream past the end": (set_l2(4, lambda word: word | 1 << 40), "but the file ends at"),
    "L2 past the end": (set_l1(lambda word: COPIED | 1 << 40), "but the file ends at"),
    "cut by a cluster": (lambda image: grow(image.path.stat().st_size - 2 * CLUSTER)(image),
                         "but the file ends at"),
    "refcount block past the end": (
        lambda image: image.patch(image.header(48, "Q"), "Q", 1 << 40), "outside of the file"),
    "unaligned refcount block": (
        lambda image: image.patch(image.header(48, "Q"), "Q", block(image) + 512), "cannot be read"),
    "reserved bits in the refcount table": (
        lambda image: image.patch(image.header(48, "Q"), "Q", block(image) | 1), "reserved bits"),
    "refcount block twice": (
        lambda image: image.patch(image.header(48, "Q") + 8, "Q", block(image)), "is used 2 times"),
    "no refcount blocks": (lambda image: image.patch(image.header(48, "Q"), "Q", 0),
                           "but its refcount is 0"),
    "space behind the end": (grow(8 * MiB), None),
}


@requires("qemu-img", "qemu-io")
class Check(TestCase):
    def image(self, size=4 * MiB, **options):
        image = Qcow2(self, size, **options)
        image.write(0, 2 * CLUSTER)
        image.write(3 * CLUSTER, CLUSTER)
        image.write(2 * CLUSTER, CLUSTER)
        for index in (4, 5, 9):
            image.write(index * CLUSTER, CLUSTER, compressed=True)
        return image.finish()

    def compare_with_qemu(self, image):
        theirs = run(["qemu-img", "check", "-f", "qcow2", "--output=json", image.path])
        ours = self.imgtool("check", "-f", "qcow2", "--json", image.path)
        self.assertEqual((ours.code, ours.json), (theirs.code, theirs.json), (ours, theirs))
        return ours

    def test_damage_is_counted_as_qemu_counts_it(self):
        image = self.image()
        pristine = image.path.read_bytes()
        for name, (damage, message) in DAMAGE.items():
            with self.subTest(name):
                damage(image)
                result = self.compare_with_qemu(image)
                if message is None:
                    self.assertEqual(result.code, 0, result)
                else:
                    self.assertNotEqual(result.code, 0, result)
                    self.assertIn(message, result.err)
                    self.assertIn(message, self.imgtool("check", image.path).out)
                image.path.write_bytes(pristine)

    def test_subclusters(self):
        image = self.image(extended_l2="on")
        pristine = image.path.read_bytes()
        for name, index, value in (("both", 0, 1 << 32 | 0xffffffff), ("without a cluster", 20, 1)):
            with self.subTest(name):
                image.patch(image.l2 + 16 * index + 8, "Q", value)
                self.assertEqual(self.compare_with_qemu(image).code, 2)
                image.path.write_bytes(pristine)

    def test_snapshots(self):
        image = self.image()
        for name in ("one", "two", "three"):
            check("qemu-img", "snapshot", "-c", name, image.path)
            image.write(0, CLUSTER)
            image.flush_commands()
        self.assertEqual(self.compare_with_qemu(image).code, 0)
        pristine = image.path.read_bytes()
        table = image.header(64, "Q")
        shared = data(image, 3) // CLUSTER
        for name, damage in (
                ("shared data", lambda: image.patch(block(image, shared), "H", 1)),
                ("snapshot's L1 unaligned", lambda: image.patch(table, "Q", 512)),
                ("snapshot's L1 too large", lambda: image.patch(table + 8, "I", 1 << 30)),
                ("copied flag on shared data", lambda: set_l2(3, lambda word: word | COPIED)(image))):
            with self.subTest(name):
                damage()
                self.assertEqual(self.compare_with_qemu(image).code, 2)
                image.path.write_bytes(pristine)

    def test_bitmaps(self):
        image = self.image()
        check("qemu-img", "bitmap", "--add", image.path, "daily")
        image.write(1 * MiB, CLUSTER)
        image.flush_commands()
        self.assertEqual(self.compare_with_qemu(image).code, 0)
        image.patch(88, "Q", 0)  # nobody kept them up to date: their clusters are leaked
        self.assertEqual(self.compare_with_qemu(image).code, 3)

    def test_every_refcount_width(self):
        for bits in (1, 2, 4, 8, 32, 64):
            with self.subTest(bits=bits):
                image = self.image(refcount_bits=bits)
                self.assertEqual(self.compare_with_qemu(image).code, 0)
                set_l2(0, lambda word: word + CLUSTER)(image)
                self.assertEqual(self.compare_with_qemu(image).code, 2)

    def test_overlap_that_refcounts_agree_with(self):
        """qemu-img calls this clean: the copied flags are right, and so are the refcounts."""
        image = self.image()
        set_l2(0, lambda word: image.l2)(image)
        image.patch(block(image, image.l2 // CLUSTER), "H", 2)
        set_l1(lambda word: word & ~COPIED)(image)
        result = self.imgtool("check", image.path)
        self.assertEqual(result.code, 2, result)
        self.assertIn("is used for more than one thing", result.out)

    def test_raw_images_cannot_be_checked(self):
        result = self.imgtool("check", "--json", self.dense_image(4096))
        self.assertEqual(result.code, 63, result)
        self.assertEqual(result.json["error"]["kind"], "unsupported")

    def test_no_reference_is_followed(self):
        path = self.path()
        check("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/no/such/file", "-F", "raw",
              path, "1M")
        self.imgtool_ok("check", path)

    def test_the_image_is_not_written_to(self):
        image = self.image(lazy_refcounts="on")
        set_refcount(data, 0)(image)
        before = image.path.read_bytes()
        self.assertEqual(self.imgtool("check", image.path).code, 2)
        self.assertEqual(image.path.read_bytes(), before)

    def test_files_of_impossible_size(self):
        image = self.image()
        grow(1 << 43)(image)
        result = self.imgtool("check", image.path)
        self.assertEqual(result.code, 63, result)
        self.assertIn("too many clusters", result.err)


if __name__ == "__main__":
    main()
