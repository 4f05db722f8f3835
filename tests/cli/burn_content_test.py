"""imgtool burn: what the targets hold afterwards, byte for byte, whatever the way there."""
import errno
import os
import pathlib

import seccomp
from burn_testing import STALE, BurnTestCase
from imgtool_testing import GiB, KiB, MiB, engines, main, random_bytes, requires_root

SIZES = (1, 511, 512, 4095, 4096, 64 * KiB + 1, MiB - 1, MiB, MiB + 1, 2 * MiB - 1, 2 * MiB + 1)


def piecewise_image(path, size):
    """Data, holes and stored zeros of many lengths, also shorter than a sector."""
    with open(path, "wb") as file:
        file.truncate(size)
        offset, lengths = 0, [1, 100, 511, 512, 513, 4095, 4096, 4097, 65536, 131072, 300000]
        for index in range(1 << 20):
            length = min(lengths[index * 7 % len(lengths)], size - offset)
            if length == 0:
                break
            file.seek(offset)
            if index % 3 == 0:
                file.write(random_bytes(length, index))
            elif index % 3 == 1:
                file.write(bytes(length))
            offset += length
    return path


class Sizes(BurnTestCase):
    """Every size that hurts, on every way of writing, over old content."""

    def every_size(self, target, backing, *options):
        for size in SIZES:
            with self.subTest(size=size, options=options):
                image = self.dense_image(size, f"image{size}")
                self.refill(backing)
                report = self.burn(image, target, *options)
                self.assertEqual(report["image-size"], size)
                self.assert_holds(backing, image)

    def on_a_disk(self, sector_size, direct):
        backing = self.backing_file(4 * MiB)
        disk = self.loop_device(backing, sector_size=sector_size)
        for engine in engines():
            self.every_size(disk, backing, f"--io-engine={engine}", f"--direct={direct}")

    @requires_root
    def test_512_byte_sectors_direct(self):
        self.on_a_disk(512, "on")

    @requires_root
    def test_512_byte_sectors_buffered(self):
        self.on_a_disk(512, "off")

    @requires_root
    def test_4096_byte_sectors_direct(self):
        self.on_a_disk(4096, "on")

    @requires_root
    def test_4096_byte_sectors_buffered(self):
        self.on_a_disk(4096, "off")

    def test_a_file_overwritten_in_place(self):
        backing = self.backing_file(4 * MiB)
        for engine in engines():
            self.every_size(backing, backing, "--force", f"--io-engine={engine}")

    def test_a_file_gets_its_exact_length(self):
        """Also where direct I/O goes by 4096 bytes, so that the last write reaches beyond it."""
        memory = pathlib.Path("/dev/shm")
        for folder in [self.dir, memory] if os.access(memory, os.W_OK) else [self.dir]:
            for before, size in ((3, MiB + 1), (MiB + 1, MiB + 1), (MiB + 513, MiB + 513),
                                 (MiB + 700, MiB + 512), (512, 511)):
                with self.subTest(folder=folder, before=before, size=size):
                    backing = self.dir_in(folder) / "disk"
                    backing.write_bytes(b"\xee" * before)
                    image = self.dense_image(size, f"image{size}")
                    self.burn(image, backing, "--force")
                    tail = b"\xee" * (before - size)
                    self.assertTrue(backing.read_bytes() == image.read_bytes() + tail)

    def test_a_new_file(self):
        for engine in engines():
            for size in SIZES:
                with self.subTest(size=size, engine=engine):
                    image = self.dense_image(size, f"image{size}")
                    target = self.path()
                    self.burn(image, target, f"--io-engine={engine}")
                    self.assertEqual(target.read_bytes(), image.read_bytes())
        self.assertFalse(list(self.dir.glob("*partial*")))

    def test_chunks_plus_and_minus_one(self):
        for chunk in (64 * KiB, 256 * KiB):
            for size in (5 * MiB - 1, 5 * MiB, 5 * MiB + 1, 5 * MiB + chunk - 1, 5 * MiB + chunk,
                         5 * MiB + chunk + 1):
                with self.subTest(size=size, chunk=chunk):
                    image, target = self.dense_image(size, f"image{size}"), self.path()
                    self.burn(image, target, f"--chunk={chunk}")
                    self.assert_same_content(target, image)


class Zeros(BurnTestCase):
    """Holes and zero runs become zeroing requests; old content never shines through."""

    def every_layout(self, target, backing, size, *options):
        layouts = {
            "one hole": self.zero_image(size, "hole"),
            "stored zeros": self.path("zeros"),
            "runs of 1 MiB": self.half_sparse_image(size, "runs"),
            "runs of 64 KiB": self.half_sparse_image(size, "short runs", run=64 * KiB),
            "odd pieces": piecewise_image(self.path("pieces"), size),
        }
        layouts["stored zeros"].write_bytes(bytes(size))
        for name, image in layouts.items():
            for engine in engines():
                with self.subTest(name, engine=engine, options=options):
                    self.refill(backing, 8 * MiB)
                    report = self.burn(image, target, f"--io-engine={engine}", *options)
                    self.assert_holds(backing, image)
                    zeros = report["targets"][0]["zero-bytes"]
                    if name in ("one hole", "stored zeros"):
                        self.assertGreaterEqual(zeros, size - 4096)

    @requires_root
    def test_on_a_disk(self):
        for sector_size in (512, 4096):
            backing = self.backing_file(8 * MiB)
            disk = self.loop_device(backing, sector_size=sector_size)
            self.every_layout(disk, backing, 5 * MiB + 1234)

    @requires_root
    def test_on_a_disk_through_the_page_cache(self):
        backing = self.backing_file(8 * MiB)
        self.every_layout(self.loop_device(backing), backing, 6 * MiB, "--direct=off")

    def test_on_a_file(self):
        backing = self.backing_file(8 * MiB)
        self.every_layout(backing, backing, 5 * MiB + 1234, "--force")

    def test_a_new_file_is_as_sparse_as_the_image(self):
        image, target = self.half_sparse_image(16 * MiB), self.path()
        self.burn(image, target)
        self.assert_same_content(target, image)
        self.assertLessEqual(os.stat(target).st_blocks * 512, 9 * MiB)

    def test_where_zeroing_requests_are_not_possible(self):
        image = self.half_sparse_image(4 * MiB + 77)
        backing = self.backing_file(8 * MiB)
        process = self.start_imgtool(
            "burn", image, backing, "--force", "--json", "--io-engine=threads",
            preexec_fn=lambda: seccomp.forbid(errno.EOPNOTSUPP, seccomp.FALLOCATE))
        out, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, out + err)
        self.assert_holds(backing, image)

    @requires_root
    def test_larger_than_4_gib(self):
        size = 5 * GiB + 511 * 512
        data = {0: MiB, 3 * MiB + 512: 4096, 2 * GiB - 4096: 8192, 4 * GiB - 5000: 10000,
                4 * GiB + 70 * MiB: 3 * MiB, size - 600: 600}
        image = self.sparse_image(size, data)
        stale = {offset + shift: 4096 for offset in data for shift in (-8192, 2 * MiB)
                 if offset + shift > 0}
        for engine in engines():
            with self.subTest(engine=engine):
                backing = self.sparse_image(size + MiB, {**stale, size + 4096: 4096}, seed=9)
                behind = backing.open("rb")
                behind.seek(size)
                untouched = behind.read()
                disk = self.loop_device(backing)
                self.burn(image, disk, f"--io-engine={engine}")
                self.assert_same_content(backing, image, size)
                behind.seek(size)
                self.assertEqual(behind.read(), untouched)
                behind.close()


class Discard(BurnTestCase):
    def burned(self, discard):
        """A half sparse image on a disk of 16 MiB with old content; gives the disk's file."""
        image = self.half_sparse_image(8 * MiB, "image")
        backing = self.backing_file(16 * MiB)
        self.burn(image, self.loop_device(backing), f"--discard={discard}")
        self.assert_same_content(backing, image, 8 * MiB)
        return backing

    def tail(self, backing):
        return set(backing.read_bytes()[8 * MiB:])

    @requires_root
    def test_auto_leaves_what_is_behind_the_image(self):
        self.assertEqual(self.tail(self.burned("auto")), {STALE})

    def test_auto_gives_zeros_back_to_the_file_system(self):
        image, target = self.half_sparse_image(8 * MiB), self.backing_file(8 * MiB)
        self.burn(image, target, "--force")
        self.assert_same_content(target, image)
        self.assertLessEqual(os.stat(target).st_blocks * 512, 5 * MiB)

    @requires_root
    def test_never_keeps_them_allocated(self):
        backing = self.burned("never")
        self.assertEqual(self.tail(backing), {STALE})
        self.assertGreaterEqual(os.stat(backing).st_blocks * 512, 16 * MiB)

    @requires_root
    def test_always_empties_the_whole_disk_first(self):
        backing = self.burned("always")
        self.assertEqual(self.tail(backing), {0})
        self.assertLessEqual(os.stat(backing).st_blocks * 512, 5 * MiB)

    @requires_root
    def test_skipped_holes_keep_what_the_disk_had(self):
        image = self.sparse_image(8 * MiB, {0: MiB, 4 * MiB: MiB})
        backing = self.backing_file(16 * MiB)
        self.imgtool_ok("burn", image, self.loop_device(backing), "--yes", "--skip-holes")
        expected = bytearray(bytes([STALE]) * (16 * MiB))
        for offset in (0, 4 * MiB):
            expected[offset:offset + MiB] = image.read_bytes()[offset:offset + MiB]
        self.assertTrue(backing.read_bytes() == expected)


class Streams(BurnTestCase):
    """The image from standard input."""

    def test_every_size_from_a_pipe(self):
        backing = self.backing_file(4 * MiB)
        for engine in engines():
            for size in (*SIZES, 3 * MiB + 17):
                if size == 0:  # is a failure of the program that was to write it
                    continue
                with self.subTest(size=size, engine=engine):
                    image = self.dense_image(size, f"image{size}")
                    self.refill(backing)
                    report = self.burn("-", backing, "--force", f"--io-engine={engine}",
                                       input=image.read_bytes())
                    self.assertEqual(report["image-size"], size)
                    self.assert_holds(backing, image)

    def test_a_pipe_that_trickles(self):
        content, target = random_bytes(3 * MiB + 17), self.path()
        process = self.start_imgtool("burn", "-", target)
        for offset in range(0, len(content), 99991):
            process.stdin.write(content[offset:offset + 99991])
            process.stdin.flush()
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        self.assertTrue(target.read_bytes() == content)

    def test_a_pipe_becomes_a_sparse_file_over_old_content(self):
        image, target = self.half_sparse_image(8 * MiB), self.path()
        self.burn("-", target, input=image.read_bytes())
        self.assert_same_content(target, image)
        self.assertLessEqual(os.stat(target).st_blocks * 512, 5 * MiB)

    def test_a_redirected_file(self):
        image, target = self.half_sparse_image(8 * MiB + 1), self.path()
        with open(image, "rb") as file:
            self.burn("-", target, input=file)
        self.assert_same_content(target, image)

    @requires_root
    def test_a_pipe_to_several_disks(self):
        image = self.half_sparse_image(6 * MiB + 1)
        backings = [self.backing_file(8 * MiB) for _ in range(3)]
        disks = [self.loop_device(backing) for backing in backings]
        self.burn("-", *disks, input=image.read_bytes())
        for backing in backings:
            self.assert_holds(backing, image)


if __name__ == "__main__":
    main()
