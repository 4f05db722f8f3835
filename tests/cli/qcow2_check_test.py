"""`check` finds what is wrong with a qcow2 image, and counts it as qemu-img check does."""
import itertools
import os
import struct
import subprocess

from imgtool_testing import KiB, MiB, TestCase, check, main, random_bytes, requires, run
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
    "zeros with a place that is not a cluster's": (
        set_l2(0, lambda word: COPIED | 0x2a01), "the offset of zeros is not that of a cluster"),
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

    def change_snapshot_entries(self, image, extra):
        """Their extra data becomes so many bytes (iotest 261); with less than 16, as qemu up to 4.1
        left them that made version 3 of version 2."""
        with open(image.path, "r+b") as file:
            at = image.header(64, "Q")
            file.seek(at)
            table = file.read(CLUSTER)
            made, place = b"", 0
            for _ in range(image.header(60, "I")):
                fixed = table[place:place + 36]
                id_size, name_size = struct.unpack_from(">HH", fixed, 12)
                had = struct.unpack_from(">I", table, place + 36)[0]
                names = table[place + 40 + had:place + 40 + had + id_size + name_size]
                made += fixed + struct.pack(">I", extra)
                made += table[place + 40:place + 40 + had].ljust(extra, b"x")[:extra]
                made += names
                made += bytes(-len(made) % 8)
                place += (40 + had + id_size + name_size + 7) // 8 * 8
            file.seek(at)
            file.write(made + bytes(CLUSTER - len(made)))

    def test_snapshots_that_do_not_know_their_size(self):
        for extra in (0, 8):
            with self.subTest(extra=extra):
                image = self.with_snapshots("one", "two")
                wanted = self.imgtool_ok("info", "--json", image.path).json["snapshots"]
                for snapshot in wanted:
                    del snapshot["icount"]  # goes with the rest
                contents = [self.imgtool_ok("hash", "-l", name, image.path, "--json").json["digest"]
                            for name in ("one", "two")]
                self.change_snapshot_entries(image, extra)
                self.assertEqual(self.compare_with_qemu(image).code, 2)
                self.assertEqual(self.imgtool_ok("info", "--json", image.path).json["snapshots"],
                                 wanted)
                self.assert_refused(self.imgtool("resize", image.path, "5M"), "own size", "repair")
                result = self.imgtool_ok("check", "--repair", "all", "--json", image.path)
                self.assertEqual(result.json["corruptions-fixed"], 2)
                self.assertEqual(self.compare_with_qemu(image).code, 0)
                self.imgtool_ok("resize", image.path, "5M")
                self.assertEqual(self.compare_with_qemu(image).code, 0)
                self.assertEqual(self.imgtool_ok("info", "--json", image.path).json["snapshots"],
                                 wanted)
                self.assertEqual(
                    [self.imgtool_ok("hash", "-l", name, image.path, "--json").json["digest"]
                     for name in ("one", "two")], contents)

    def with_snapshots(self, *names):
        image = self.image()
        for name in names:
            check("qemu-img", "snapshot", "-c", name, image.path)
            image.write(0, CLUSTER)
            image.finish()
        return image

    def assert_repaired(self, image, names):
        self.assertEqual(self.imgtool("check", image.path).code, 2)  # qemu-img ends here
        digest = self.imgtool_ok("hash", image.path).out.split()[0]
        result = self.imgtool("info", image.path)
        self.assertEqual(result.code, 1, result)
        self.assertIn("--repair all leaves out", result.err)
        self.imgtool_ok("check", "--repair", "all", image.path)
        self.assertEqual(self.compare_with_qemu(image).code, 0)
        found = self.imgtool_ok("info", "--json", image.path).json["snapshots"]
        self.assertEqual([snapshot["name"] for snapshot in found], names)
        self.assertEqual(self.imgtool_ok("hash", image.path).out.split()[0], digest)
        return found

    def test_snapshots_with_too_much_extra_data(self):
        for extra in (1025, 8000):
            with self.subTest(extra=extra):
                image = self.with_snapshots("one", "two")
                wanted = self.imgtool_ok("info", "--json", image.path).json["snapshots"]
                content = self.imgtool_ok("hash", "-l", "one", image.path, "--json").json["digest"]
                self.change_snapshot_entries(image, extra)
                self.assertEqual(self.assert_repaired(image, ["one", "two"]), wanted)
                self.assertEqual(
                    self.imgtool_ok("hash", "-l", "one", image.path, "--json").json["digest"],
                    content)

    def append_snapshot_table(self, image, entries):
        """Behind the end of the file, counted by no refcount."""
        end = -(-os.path.getsize(image.path) // CLUSTER) * CLUSTER
        with open(image.path, "r+b") as file:
            file.seek(end)
            file.write(b"".join(entries))
        image.patch(60, "I", len(entries))
        image.patch(64, "Q", end)

    def test_too_many_snapshots(self):
        def entries(count, extra):
            for number in range(count):
                name = b"%d" % number
                entry = struct.pack(">QIHHIIQII", 0, 0, len(name), len(name), 0, 0, 0, 0, extra)
                entry += struct.pack(">QQ", 0, 4 * MiB).ljust(extra, b"\0") + name + name
                yield entry + bytes(-len(entry) % 8)
        for count, extra in ((65538, 16), (66, MiB)):
            with self.subTest(count=count, extra=extra):
                image = self.image()
                made = list(entries(count, extra))
                self.append_snapshot_table(image, made)
                ends = list(itertools.accumulate(len(entry) for entry in made))
                kept = min(65536, sum(end <= 64 * MiB for end in ends))
                self.assertLess(kept, count)
                self.assert_repaired(image, [str(number) for number in range(kept)])

    def test_unknown_features_are_a_failure_as_for_qemu(self):
        image = self.image()
        image.patch(72, "Q", 1 << 20)
        result = self.imgtool("check", image.path)
        self.assertEqual(result.code, 1, result)
        self.assertIn("features that are not known", result.err)
        self.assertEqual(run(["qemu-img", "check", image.path]).code, 1)

    def test_a_refcount_table_past_the_end(self):
        image = self.image()
        digest = self.imgtool_ok("hash", image.path).out.split()[0]
        image.patch(48, "Q", 1 << 40)
        self.assertEqual(self.imgtool_ok("hash", image.path).out.split()[0], digest)
        self.imgtool_ok("info", image.path)
        result = self.imgtool("check", image.path)
        self.assertEqual(result.code, 2, result)
        self.assertIn("the refcount table is outside of the file", result.out)
        self.assertEqual(self.imgtool("snapshot", "-c", "x", image.path).code, 3)
        self.imgtool_ok("check", "--repair", "all", image.path)
        self.assertEqual(self.compare_with_qemu(image).code, 0)
        self.assertEqual(self.imgtool_ok("hash", image.path).out.split()[0], digest)

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
        image.patch(88, "Q", 0)  # they were not kept up to date: their clusters are leaked
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

    def test_a_compressed_image_that_was_cut_short(self):
        source = self.path()
        source.write_bytes(random_bytes(4 * MiB).translate(bytes(b & 0x3f for b in range(256))))
        image = self.path()
        check("qemu-img", "convert", "-O", "qcow2", "-c", source, image)
        self.assertEqual(self.imgtool("check", image).code, 0)
        for cut in (512, 20000):
            with open(image, "r+b") as file:
                file.truncate(image.stat().st_size - cut)
            result = self.imgtool("check", image)
            self.assertEqual(result.code, 2, result)
            self.assertIn("but the file ends at", result.out)
            self.assertEqual(self.imgtool("hash", image).code, 1)

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


@requires("qemu-img", "qemu-io")
class Repair(TestCase):
    image = Check.image

    def qemu_code(self, path):
        return run(["qemu-img", "check", "-f", "qcow2", "-q", path]).code

    def assert_content(self, image):
        result = self.imgtool("compare", "-f", "qcow2", image.path, image.oracle)
        self.assertEqual(result.code, 0, result)
        theirs = run(["qemu-img", "compare", "-f", "qcow2", "-F", "raw", image.path, image.oracle])
        self.assertEqual(theirs.code, 0, theirs)

    def test_mends_what_qemu_mends(self):
        image = self.image()
        pristine = image.path.read_bytes()
        theirs = self.path()
        for name, (damage, message) in DAMAGE.items():
            for scope in ("leaks", "all"):
                with self.subTest(name, scope=scope):
                    image.path.write_bytes(pristine)
                    damage(image)
                    theirs.write_bytes(image.path.read_bytes())
                    run(["qemu-img", "check", "-f", "qcow2", "-q", "-r", scope, theirs])
                    result = self.imgtool("check", "-f", "qcow2", "--repair", scope, image.path)
                    # Never worse than qemu's work, and our own answer is what qemu says too.
                    if name != "data over the L2 table":  # to mend it would change that data
                        self.assertIn(self.qemu_code(image.path), (0, self.qemu_code(theirs)),
                                      result)
                    self.assertEqual(self.qemu_code(image.path), result.code, result)

    def test_content_survives(self):
        refcounts = {name: DAMAGE[name] for name in (
            "leaked cluster", "refcount too high", "refcount too low", "no copied flag",
            "refcount of the header too low", "refcount of an L2 table too low",
            "copied flag of a compressed cluster", "no copied flag in L1",
            "refcount block past the end", "unaligned refcount block", "no refcount blocks",
            "reserved bits in the refcount table", "refcount block twice")}
        for bits in (1, 16, 64):
            image = self.image(refcount_bits=bits)
            pristine, content = image.path.read_bytes(), bytes(image.content)
            for name, (damage, _) in refcounts.items():
                if bits != 16 and "refcount" in name and "block" not in name or "leaked" in name:
                    continue  # these write 16-bit refcounts
                with self.subTest(name, bits=bits):
                    damage(image)
                    result = self.imgtool_ok("check", "--repair", "all", "--json", image.path)
                    self.assertGreater(result.json["corruptions-fixed"], 0)
                    self.assertEqual(self.qemu_code(image.path), 0)
                    self.assert_content(image)
                    # qemu can go on writing to it.
                    image.write(30 * CLUSTER, CLUSTER)
                    image.finish()
                    self.assertEqual(self.qemu_code(image.path), 0)
                    self.assert_content(image)
                    image.path.write_bytes(pristine)
                    image.content[:] = content
                    image.finish()

    def test_leaks_alone(self):
        image = self.image()
        image.patch(block(image, data(image) // CLUSTER), "H", 0)
        image.patch(block(image, image.l2 // CLUSTER), "H", 3)
        result = self.imgtool("check", "--repair", "leaks", "--json", image.path)
        self.assertEqual(result.code, 2, result)
        self.assertEqual(result.json["leaks-fixed"], 1)
        self.assertEqual(read_word(image, block(image, data(image) // CLUSTER)) >> 48, 0)

    def test_what_leaked_is_given_back(self):
        """Its room, and what the guest wrote there; what is in use stays."""
        path, marker = self.path(), b"\x5a" * 4096
        check("qemu-img", "create", "-q", "-f", "qcow2", path, "2G")
        check("qemu-io", "-c", "write -P 0x5a 0 16M", "-c", "write -P 2 1G 1M",
              "-c", "write -P 0x5a 512M 1M", path)
        with open(path, "r+b") as file:
            l1 = struct.unpack(">Q", os.pread(file.fileno(), 8, 40))[0]
            os.pwrite(file.fileno(), bytes(16), l1)  # the first GiB
        before = os.stat(path).st_blocks * 512
        self.assertEqual(self.imgtool("check", path).code, 3)
        self.assertEqual(os.stat(path).st_blocks * 512, before)
        digest = self.imgtool_ok("hash", path, "--json").json["digest"]
        self.imgtool_ok("check", "--repair", "leaks", path)
        self.assertGreater(before - os.stat(path).st_blocks * 512, 16 * MiB)
        self.assertNotIn(marker, path.read_bytes())
        self.assertEqual(self.imgtool_ok("hash", path, "--json").json["digest"], digest)
        self.assertEqual(self.qemu_code(path), 0)
        length = os.path.getsize(path)
        with open(path, "ab") as file:  # behind the last cluster that is counted
            file.truncate(length + 4 * MiB)
        self.imgtool_ok("check", "--repair", "all", path)
        self.assertLessEqual(os.path.getsize(path), length)

    def test_dirty_and_corrupt_flags_are_cleared(self):
        image = self.image()
        image.patch(72, "Q", 3)
        self.imgtool_ok("check", "--repair", "all", image.path)
        self.assertEqual(image.header(72, "Q"), 0)

    def test_snapshots(self):
        image = self.image()
        check("qemu-img", "snapshot", "-c", "one", image.path)
        before = image.oracle.read_bytes()
        image.write(0, CLUSTER)
        image.finish()
        image.patch(image.header(48, "Q"), "Q", 0)
        self.imgtool_ok("check", "--repair", "all", image.path)
        self.assertEqual(self.qemu_code(image.path), 0)
        self.assert_content(image)
        image.oracle.write_bytes(before)
        self.imgtool_ok("compare", "-l", "one", image.path, image.oracle)

    def test_an_image_in_use_is_left_alone(self):
        image = self.image()
        set_refcount(data, 0)(image)
        user = self.start(["qemu-io", "-f", "qcow2", image.path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        user.stdin.write(b"read 0 512\n")
        user.stdin.flush()
        user.stdout.readline()
        result = self.imgtool("check", "--repair", "all", image.path)
        self.assertEqual(result.code, 1, result)
        self.assertIn("is in use", result.err)

    @requires("strace")
    def test_killed_at_every_write(self):
        for name in ("refcount too low", "no refcount blocks"):
            image = self.image()
            DAMAGE[name][0](image)
            image.patch(image.l2 + 8 * 3, "Q", read_word(image, image.l2 + 8 * 3) & ~COPIED)
            damaged = image.path.read_bytes()
            worst = run(["qemu-img", "check", "--output=json", image.path]).json["corruptions"]
            for count in range(1, 100):
                with self.subTest(name, killed_at=count):
                    image.path.write_bytes(damaged)
                    result = self.traced_imgtool(
                        ["trace=pwrite64", f"inject=pwrite64:signal=KILL:when={count}"],
                        "check", "--repair", "all", image.path)
                    self.assert_content(image)
                    now = run(["qemu-img", "check", "--output=json", image.path]).json
                    self.assertLessEqual(now.get("corruptions", 0), worst)
                    if result.code == 0:
                        break
                    self.imgtool_ok("check", "--repair", "all", image.path)
                    self.assertEqual(self.qemu_code(image.path), 0)
            self.assertGreater(count, 2)


if __name__ == "__main__":
    main()
