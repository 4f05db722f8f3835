"""Free space in thin pools of LVM: chunks of no volume, and what is free in thin volumes."""
import hashlib

from imgtool_testing import KiB, MiB, check, main, requires, requires_root, run
from lvm_guest import requires_lvm_guest, run_lvm_guest
from scrub_testing import ScrubTestCase, container, contents, free_map, scrub
from thin_testing import BITMAP, INDEX, SUPERBLOCK, TREE, KernelPool, MadePool, sums_of

POOL = "logical volume vgtest/pool"


def overlaps(ranges, begin, end):
    return any(offset < end and begin < offset + length for offset, length in ranges)


@requires_root
@requires("pvcreate", "vgcfgrestore", "mkfs.ext4", "e2fsck", "sfdisk", "thin_restore",
          "thin_check", "thin_dump")
class Thin(ScrubTestCase):
    def ext4(self, size, **aging):
        image = self.zero_image(size)
        check("mkfs.ext4", "-q", "-F", "-b", "1024", image)
        with self.mounted(image) as root:
            self.age(root, files=80, largest=128 * KiB, **aging)
        return image

    def later(self, image):
        """A copy in which some files have changed."""
        copy = self.path()
        check("cp", image, copy)
        with self.mounted(copy) as root:
            for path in sorted((root / "turn2").iterdir())[::3]:
                path.unlink()
            (root / "new").write_bytes(b"something new" * 20000)
        return copy

    def digest(self, image):
        with open(image, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def tree_of(self, image):
        with self.mounted(image, "ro") as root:
            return contents(root)

    def assert_intact(self, pool, name, tree):
        copy = pool.read(name)
        self.assert_checks(["e2fsck", "-fn", copy], name)
        self.assertEqual(self.tree_of(copy), tree, name)
        with self.mounted(copy) as root:
            (root / "new file").write_bytes(bytes(100000))
        self.assert_checks(["e2fsck", "-fn", copy], name)

    def made_pool(self, **options):
        """Two volumes, and a snapshot of one of them; 24 MiB of chunks."""
        pool = MadePool(self, **{"data": [[("pv0", 10, 24)]], **options})
        self.older = self.ext4(12 * MiB)
        self.images = {"root": self.later(self.older), "before": self.older,
                       "data": self.ext4(8 * MiB, seed=2)}
        pool.add("root", self.images["root"])
        pool.add("before", self.images["before"], like="root")
        pool.add("data", self.images["data"], size=400 * MiB)
        return pool

    # --- pools that kernels and thin_restore wrote --------------------------------------------

    def check_kernel_pool(self, pool):
        found = free_map(pool.path)
        self.assertEqual([one["name"] for one in found["containers"]],
                         ["whole disk"] + [f"logical volume vgthin/{name}" for name in
                                           ("plain", "pool", "before", "data", "root", "unused")])
        used, shared = pool.used_places()
        chunks = found["containers"][2]
        self.assertEqual(chunks["type"], "thin-pool")
        self.assertEqual(chunks["free-bytes"], (32 * MiB // pool.chunk_size - len(used)) * 64 * KiB)
        self.assertGreater(len(shared), 20)  # by whole blocks of the trees
        for chunk in shared:
            begin = pool.place(chunk)
            self.assertFalse(overlaps(found["free"], begin, begin + pool.chunk_size), chunk)
        for name in ("root", "data", "before"):
            volume = container(found, f"logical volume vgthin/{name}")
            self.assertEqual((volume["type"], volume["kept-because"]), ("ext4", ""))
            self.assertGreater(volume["free-bytes"], 300 * KiB, volume)
        unused = container(found, "logical volume vgthin/unused")
        self.assertEqual((unused["kept"], unused["free-bytes"]), ("unknown", 0))
        return found

    def test_a_pool_that_a_kernel_wrote(self):
        pool = KernelPool(self)
        found = self.check_kernel_pool(pool)
        scrub(pool.path, found["free"])
        pool.assert_clean()
        for name, sums in pool.sums.items():
            copy = pool.read(name)
            self.assert_checks(["e2fsck", "-fn", copy], name)
            with self.mounted(copy, "ro") as root:
                self.assertEqual(sums_of(root), sums, name)

    @requires_lvm_guest
    def test_a_kernel_uses_the_pool_after_the_scrub(self):
        pool = KernelPool(self)
        scrub(pool.path, free_map(pool.path)["free"])
        manifest = "".join(f"{digest}  /{volume}/{file}\n" for volume, sums in pool.sums.items()
                           for file, digest in sums.items())
        run_lvm_guest(self, pool.path, f"""
cat > /manifest <<'END'
{manifest}END
lvm vgchange -q -ay -K vgthin
for name in root data before; do
  e2fsck -fn /dev/vgthin/$name
  mkdir -p /$name
  mount -t ext4 /dev/vgthin/$name /$name
done
sha256sum -c /manifest
for name in root data before; do yes more | head -c 300000 > /$name/more; done
sync
lvm lvcreate -q -V 8m -T vgthin/pool -n another
mkfs.ext4 -q -F /dev/vgthin/another
sha256sum -c /manifest
for name in root data before; do
  umount /$name
  e2fsck -fn /dev/vgthin/$name
done
lvm vgchange -q -an vgthin
lvm lvchange -q -ay -y vgthin/pool_tmeta
thin_check /dev/vgthin/pool_tmeta
lvm vgchange -q -an vgthin
""")
        pool.assert_clean()

    def test_a_pool_in_pieces_in_a_partition(self):
        pool = self.made_pool(metadata=[[("pv0", 50, 1)], [("pv0", 3, 2)]],
                              data=[[("pv0", 40, 6)], [("pv0", 60, 6), ("pv0", 70, 6)],
                                    [("pv0", 20, 6)]])
        pool.commit()
        trees = {name: self.tree_of(image) for name, image in self.images.items()}
        disk = self.zero_image(128 * MiB)
        self.sfdisk(disk, "label: gpt\nstart=4MiB, size=96MiB, type=lvm\n")
        check("dd", f"if={pool.path}", f"of={disk}", "bs=1M", "seek=4", "conv=notrunc,sparse",
              "status=none")
        found = free_map(disk)
        used, _ = pool.used_places()
        for one in found["containers"]:
            self.assertEqual(one["kept-because"], "", one)
            self.assertGreater(one["free-bytes"], 0, one)
        self.assertEqual(container(found, POOL)["free-bytes"],
                         (pool.chunks - len(used)) * pool.chunk_size)
        scrub(disk, found["free"])
        check("dd", f"if={disk}", f"of={pool.path}", "bs=1M", "skip=4", "count=96", "status=none")
        pool.assert_clean()
        for name, tree in trees.items():
            self.assert_intact(pool, name, tree)

    def sfdisk(self, disk, text):
        self.assertEqual(run(["sfdisk", "--quiet", disk], input=text.encode()).code, 0)

    def test_what_snapshots_share_is_kept(self):
        pool = self.made_pool()
        pool.commit()
        used, shared = pool.used_places()
        self.assertGreater(len(shared), 20)
        found = free_map(pool.path)
        self.assertGreater(container(found, "logical volume vgtest/before")["free-bytes"], 0)
        for chunk in shared:
            begin = pool.place(chunk)
            self.assertFalse(overlaps(found["free"], begin, begin + pool.chunk_size), chunk)
        for chunk in set(range(pool.chunks)) - used:
            begin = pool.place(chunk)
            self.assertTrue(any(offset <= begin and begin + pool.chunk_size <= offset + length
                                for offset, length in found["free"]), chunk)

    def test_a_machine_s_disk_in_a_thin_volume(self):
        pool = MadePool(self, data=[[("pv0", 10, 24)]])
        disk = self.zero_image(16 * MiB)
        self.sfdisk(disk, "label: gpt\nstart=1MiB, size=12MiB\n")
        inner = self.ext4(12 * MiB)
        check("dd", f"if={inner}", f"of={disk}", "bs=1M", "seek=1", "conv=notrunc", "status=none")
        pool.add("vm", disk)
        pool.commit()
        tree = self.tree_of(inner)
        found = free_map(pool.path)
        inside = container(found, "partition 1 in logical volume vgtest/vm")
        self.assertEqual((inside["type"], inside["kept-because"]), ("ext4", ""))
        self.assertGreater(inside["free-bytes"], MiB)
        scrub(pool.path, found["free"])
        copy = pool.read("vm")
        check("sfdisk", "--verify", copy)
        check("dd", f"if={copy}", f"of={inner}", "bs=1M", "skip=1", "count=12", "status=none")
        self.assert_checks(["e2fsck", "-fn", inner], "after the scrub")
        self.assertEqual(self.tree_of(inner), tree)

    def test_many_small_trees_and_a_volume_cut_short(self):
        """Trees of several levels; and what lies behind the end of a volume stays."""
        pool = MadePool(self, data=[[("pv0", 10, 60)]], chunk_size=64 * KiB)
        image = self.path()
        with open(image, "wb") as file:
            for number in range(50 * MiB // (64 * KiB)):
                file.write(bytes([number % 250 + 1]) * 64 * KiB)
        pool.add("long", image, size=4 * MiB)
        pool.commit()
        self.assertEqual(pool.metadata().number(pool.metadata().root_of_device(), 4, "<I"), 1)
        used, _ = pool.used_places()
        self.assertEqual(len(used), 800)
        found = free_map(pool.path)
        self.assertEqual(container(found, POOL)["free-bytes"], 160 * 64 * KiB)
        for chunk in used:
            begin = pool.place(chunk)
            self.assertFalse(overlaps(found["free"], begin, begin + 64 * KiB), chunk)

    # --- what the commands do with it ---------------------------------------------------------

    def test_commands_leave_it_out(self):
        pool = self.made_pool()
        pool.commit()
        trees = {name: self.tree_of(image) for name, image in self.images.items()}
        free = sum(length for _, length in free_map(pool.path)["free"])
        document = self.imgtool_ok("analyze", "--json", pool.path).json
        place = {one["place"]: one for one in document["containers"]}
        used, _ = pool.used_places()
        self.assertEqual(place[POOL]["used"], len(used) * pool.chunk_size)
        data = place["logical volume vgtest/data"]
        mapped = len(pool.mappings()[0][pool.devices["data"][0]]) * pool.chunk_size
        self.assertEqual(data["size"], 400 * MiB)
        self.assertEqual(data["used"] + data["free"], mapped)
        for command in (["convert", "--drop-free", pool.path], ["capture", "--used", pool.path]):
            with self.subTest(command=command[0]):
                target = self.path()
                self.imgtool_ok(*command, target)
                stored = target.stat().st_blocks * 512
                self.assertLessEqual(stored, 96 * MiB - free + MiB)
                pool.path = target
                pool.assert_clean()
                for name, tree in trees.items():
                    self.assert_intact(pool, name, tree)
                pool.path = pool.pv.path

    # --- what is kept -------------------------------------------------------------------------

    def assert_pool_kept(self, path, *words, volumes=("root", "before", "data")):
        """No byte of the pool or its volumes is free, for a reason with these words."""
        found = free_map(path)
        for name in ("pool", *volumes):
            one = container(found, f"logical volume vgtest/{name}")
            self.assertEqual(one["free-bytes"], 0, one)
            for word in words:
                self.assertIn(word, one["kept-because"] + one["kept"], one)
        for offset, length in self.pool_pieces:
            self.assertFalse(overlaps(found["free"], offset, offset + length))

    def damage(self, pool, words, change):
        """What `change` does to the metadata keeps the pool; then they are as they were."""
        before = bytes(pool.metadata().content)
        changed = pool.metadata()
        change(changed)
        self.assertNotEqual(bytes(changed.content), before)
        pool.change_metadata(bytes(changed.content))
        self.assert_pool_kept(pool.path, *words)
        pool.change_metadata(before)

    def test_damaged_metadata(self):
        pool = self.made_pool()
        pool.commit()
        self.pool_pieces = pool.pieces("pool_tmeta") + pool.pieces("pool_tdata")
        metadata = pool.metadata()
        devices, details = metadata.number(0, 320), metadata.number(0, 328)
        root, second = metadata.root_of_device(), metadata.root_of_device(1)
        most = metadata.number(root, 20, "<I")
        values = 32 + most * 8
        bitmap, own_bitmap = metadata.data_bitmap(), metadata.metadata_bitmap()
        used, _ = pool.used_places()
        index = metadata.number(0, 192 + 16)
        data_tree = metadata.number(0, 64 + 16)
        some_used = min(used)
        some_unused = min(set(range(pool.chunks)) - used)
        cases = [
            ("needs check", ["check"], lambda m: m.change(0, SUPERBLOCK, 4, 1, "<I")),
            ("version", ["version"], lambda m: m.change(0, SUPERBLOCK, 40, 3, "<I")),
            ("held root", ["snapshot"], lambda m: m.change(0, SUPERBLOCK, 56, 5)),
            ("compat", ["features"], lambda m: m.change(0, SUPERBLOCK, 352, 1, "<I")),
            ("compat ro", ["features"], lambda m: m.change(0, SUPERBLOCK, 356, 1, "<I")),
            ("incompat", ["features"], lambda m: m.change(0, SUPERBLOCK, 360, 4, "<I")),
            ("transaction", ["transaction"], lambda m: m.change(0, SUPERBLOCK, 48, 8)),
            ("magic", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 32, 27022011)),
            ("block size", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 340, 16, "<I")),
            ("chunk size", ["chunks"], lambda m: m.change(0, SUPERBLOCK, 336, 256, "<I")),
            ("chunks", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 64, pool.chunks + 1)),
            ("blocks", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 192, 1 << 40)),
            ("mapping root", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 320, details)),
            ("details root", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 328, 1 << 50)),
            ("data root", ["damaged"], lambda m: m.change(0, SUPERBLOCK, 64 + 16, root)),
            ("kind", ["damaged"], lambda m: m.change(root, TREE, 4, 3, "<I")),
            ("a tree in itself", ["damaged"], lambda m: (
                m.change(root, TREE, 4, 1, "<I"), m.change(root, TREE, values, root))),
            ("count", ["damaged"], lambda m: m.change(root, TREE, 16, most + 1, "<I")),
            ("most", ["damaged"], lambda m: m.change(root, TREE, 20, 1 << 31, "<I")),
            ("value size", ["damaged"], lambda m: m.change(root, TREE, 24, 16, "<I")),
            ("number of the block", ["damaged"], lambda m: m.change(root, TREE, 8, second)),
            ("order of keys", ["damaged"], lambda m: m.change(root, TREE, 32 + 8, 0)),
            ("chunk behind the end", ["damaged"],
             lambda m: m.change(root, TREE, values, pool.chunks << 24)),
            ("one root for two", ["damaged"], lambda m: m.change(
                devices, TREE, 32 + m.number(devices, 20, "<I") * 8, second)),
            ("a device that has no details", ["damaged"], lambda m: m.change(
                devices, TREE, 32, 0)),
            ("details that no device has", ["damaged"], lambda m: m.change(details, TREE, 32, 0)),
            ("used counts as free", ["space map"],
             lambda m: m.change_count(bitmap, some_used, 0)),
            ("free counts as used", ["space map"],
             lambda m: m.change_count(bitmap, some_unused, 1)),
            ("block counts as free", ["damaged"], lambda m: m.change_count(own_bitmap, root, 0)),
            ("block counts twice", ["damaged"], lambda m: m.change_count(own_bitmap, root, 2)),
            ("bitmap for two", ["damaged"], lambda m: m.change(
                data_tree, TREE, 32 + m.number(data_tree, 20, "<I") * 8, own_bitmap)),
            ("bitmap of another key", ["damaged"], lambda m: m.change(data_tree, TREE, 32, 1)),
            ("no bitmap", ["damaged"], lambda m: m.change(data_tree, TREE, 16, 0, "<I")),
        ]
        for name, words, change in cases:
            with self.subTest(name):
                self.damage(pool, words, change)
        for block in (0, devices, details, root, second, bitmap, own_bitmap, index, data_tree):
            with self.subTest(block=block):  # no checksum fits
                self.damage(pool, ["checksum"],
                            lambda m, at=block: m.content.__setitem__(at * 4096 + 3000, 0x5A))
        self.assertEqual(container(free_map(pool.path), POOL)["kept-because"], "")
        self.assertEqual((BITMAP, INDEX), (240779, 160478))

    def test_a_device_that_counts_its_chunks_wrong(self):
        pool = self.made_pool()
        pool.commit()
        metadata = pool.metadata()
        details = metadata.number(0, 328)
        metadata.change(details, TREE, 32 + metadata.number(details, 20, "<I") * 8, 5)
        pool.change_metadata(bytes(metadata.content))
        found = free_map(pool.path)
        root = container(found, "logical volume vgtest/root")
        self.assertIn("number of chunks", root["kept-because"])
        self.assertEqual(container(found, "logical volume vgtest/data")["kept-because"], "")

    def test_what_its_volume_group_says(self):
        cases = {
            "transaction": ({"transaction_id": "8"}, "", "transaction"),
            "message": ({}, ' message1 { create = "data" }', "made of it"),
            "chunk size": ({"chunk_size": "256"}, "", "chunks"),
        }
        for name, (keys, sections, word) in cases.items():
            with self.subTest(name):
                pool = self.made_pool()
                pool.pool_keys.update(keys)
                pool.pool_sections = sections
                pool.commit()
                self.pool_pieces = pool.pieces("pool_tmeta") + pool.pieces("pool_tdata")
                self.assert_pool_kept(pool.path)
                self.assertIn(word, container(free_map(pool.path), POOL)["kept-because"])

    def test_volumes_that_are_kept_in_a_pool_that_is_read(self):
        pool = self.made_pool()
        pool.pv.add("image", [[("pv0", 80, 8)]])
        pool.volume_keys = {"root": {"external_origin": '"image"'},
                            "before": {"origin": '"data"', "merge": '"data"'}}
        pool.commit()
        found = free_map(pool.path)
        self.assertEqual(container(found, POOL)["kept-because"], "")
        self.assertGreater(container(found, POOL)["free-bytes"], 0)
        for name in ("root", "image", "data"):  # a volume that is being merged is not visible
            one = container(found, f"logical volume vgtest/{name}")
            self.assertNotEqual(one["kept-because"], "", one)
            self.assertEqual(one["free-bytes"], 0)

    def test_a_volume_that_the_pool_does_not_know(self):
        pool = self.made_pool()
        pool.volume_keys = {"data": {"device_id": "77"}}
        pool.commit()
        found = free_map(pool.path)
        one = container(found, "logical volume vgtest/data")
        self.assertIn("no device 77", one["kept-because"])
        self.assertGreater(container(found, "logical volume vgtest/root")["free-bytes"], 0)
        used, _ = pool.used_places()
        for chunk in used - set(pool.maps[1].values()) - set(pool.maps[2].values()):
            begin = pool.place(chunk)
            self.assertFalse(overlaps(found["free"], begin, begin + pool.chunk_size))

    def test_two_volumes_are_one_device(self):
        pool = self.made_pool()
        pool.volume_keys = {"data": {"device_id": "1"}}
        pool.commit()
        self.assert_kept_whole(pool.path, "same device", kind="LVM2_member")

    def test_parts_of_another_kind(self):
        pool = self.made_pool()
        for number, first in enumerate((80, 85)):
            pool.pv.add(f"m_rimage_{number}", [[("pv0", first, 2)]], status=("READ", "WRITE"))
            pool.pv.add(f"m_rmeta_{number}", [[("pv0", first + 2, 1)]], status=("READ", "WRITE"))
        pool.pv.add_text("m_tmeta", ['segment1 { start_extent = 0 extent_count = 2 type = "raid1" '
                               'device_count = 2 region_size = 4096 '
                               'raids = ["m_rmeta_0", "m_rimage_0", "m_rmeta_1", "m_rimage_1"] }'],
                         status=("READ", "WRITE"))
        pool.pool_keys["metadata"] = '"m_tmeta"'
        pool.commit()
        self.pool_pieces = pool.pieces("pool_tmeta") + pool.pieces("pool_tdata")
        self.assert_pool_kept(pool.path)


if __name__ == "__main__":
    main()
