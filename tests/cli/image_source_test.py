"""burn, verify and hash take images of any format as they take raw ones."""
import os
import shutil

from imgtool_testing import (KiB, MiB, check, engines, flip_byte, is_sanitized, main,
                             processor_time, random_bytes, requires, requires_root, sha256)
from memory_testing import assert_modest
from qcow2_images import Qcow2, Raw
from resume_testing import ResumeTestCase


@requires("qemu-img", "qemu-io")
class Qcow2Sources(ResumeTestCase):
    def image(self, size=8 * MiB + 512, **options):
        """Of every kind of cluster."""
        image = Qcow2(self, size, **options)
        image.write(0, 200 * KiB)
        image.write(2 * MiB + 512, 1 * MiB)
        if "data_file" not in options:
            unit = max(128 * KiB, options.get("cluster_size", 0))
            for index in range(3):
                image.write(4 * MiB + index * unit, unit, compressed=True)
        image.zero(3 * MiB, 128 * KiB)
        image.write(size - 512, 512)
        return image.finish()

    def images(self):
        base = Raw(self, random_bytes(7 * MiB))
        yield "zlib", self.image()
        yield "zstd", self.image(compression_type="zstd")
        yield "clusters of 512 bytes", self.image(cluster_size=512)
        yield "clusters of 2 MiB", self.image(size=11 * MiB, cluster_size=2 * MiB)
        yield "subclusters", self.image(extended_l2="on")
        yield "version 2", self.image(compat="0.10")
        yield "backing file", self.image(backing=base)
        yield "data file", self.image(data_file=self.path())

    def test_burn_verify_and_hash(self):
        for name, image in self.images():
            target = self.path()
            for engine in engines():
                with self.subTest(name, engine=engine):
                    options = ["--follow-references", f"--io-engine={engine}"]
                    self.imgtool_ok("burn", image.path, target, "--force", *options)
                    self.assert_same_content(target, image.oracle)
                    self.imgtool_ok("verify", image.path, target, *options)
                    result = self.imgtool_ok("hash", image.path, *options)
                    self.assertEqual(result.out.split()[0], sha256(image.oracle))

    def assert_read_past_the_cache(self, image, folder):
        """`image`, moved to `folder`, gives its content while nothing of it is cached."""
        path = shutil.copy(image.path, folder)
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        trace = self.path()
        result = self.traced_imgtool(["trace=fcntl"], "hash", path, log=trace)
        self.assertEqual(result.out.split()[0], sha256(image.oracle), result)
        self.assertIn("O_DIRECT", trace.read_text())
        for engine in engines():
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.imgtool_ok("compare", f"--io-engine={engine}", path, image.oracle)

    @requires("strace")
    def test_what_is_not_cached(self):
        folder = self.dir_in("/var/tmp")
        for name, image in self.images():
            if name not in ("backing file", "data file"):
                with self.subTest(name):
                    self.assert_read_past_the_cache(image, folder)

    @requires("strace")
    @requires_root
    def test_what_is_not_cached_on_a_disk_of_4k_sectors(self):
        disk = self.loop_device(self.backing_file(96 * MiB), sector_size=4096)
        check("mkfs.ext4", "-q", disk)
        folder = self.mount(disk)
        for options in ({}, {"cluster_size": 512}, {"cluster_size": 2048}, {"extended_l2": "on"}):
            with self.subTest(options=options):
                self.assert_read_past_the_cache(self.image(**options), folder)

    @requires("strace")
    def test_what_is_cached_is_read_from_there(self):
        image = self.image()
        path = shutil.copy(image.path, self.dir_in("/var/tmp"))
        trace = self.path()
        self.traced_imgtool(["trace=fcntl"], "hash", path, log=trace)
        self.assertNotIn("O_DIRECT", trace.read_text())

    @requires_root
    def test_burn_to_a_disk_of_either_sector_size(self):
        image = self.image(size=8 * MiB)
        for sector_size in (512, 4096):
            backing = self.backing_file(9 * MiB)
            disk = self.loop_device(backing, sector_size=sector_size)
            self.imgtool_ok("burn", image.path, disk, "--yes",
                            f"--digest=sha256:{sha256(image.oracle)}")
            self.assert_same_content(backing, image.oracle, 8 * MiB)

    def test_verify_tells_the_guest_offset(self):
        image = self.image()
        flip_byte(image.oracle, 4 * MiB + 300 * KiB)
        result = self.imgtool("verify", image.path, image.oracle, "--json")
        self.assertEqual(result.code, 4, result)
        self.assertEqual(result.json["targets"][0]["differences"],
                         [{"start": 4 * MiB + 300 * KiB, "length": 1}])

    def test_the_target_of_verify_is_always_raw(self):
        image = self.image()
        copy = self.path()
        copy.write_bytes(image.path.read_bytes() + bytes(image.size))
        self.assertEqual(self.imgtool("verify", image.path, copy).code, 4)
        self.imgtool_ok("verify", "-f", "raw", image.path, copy)

    def test_every_chunk_size(self):
        image = self.image(cluster_size=2 * MiB, size=11 * MiB)
        for options in (["--chunk=64K"], ["--chunk=16M"], ["--depth=1"], ["--depth=256"]):
            with self.subTest(options=options):
                result = self.imgtool_ok("hash", image.path, *options)
                self.assertEqual(result.out.split()[0], sha256(image.oracle))

    def test_a_stated_format_wins(self):
        image = self.image()
        result = self.imgtool_ok("hash", "-f", "raw", image.path)
        self.assertEqual(result.out.split()[0], sha256(image.path))
        for command in (["hash"], ["burn", "--yes"], ["verify"]):
            raw = self.dense_image(4096)
            targets = [] if command == ["hash"] else [self.path()]
            result = self.imgtool(*command, "-f", "qcow2", raw, *targets)
            self.assertEqual(result.code, 1, result)
            self.assertIn("is not a qcow2 image", result.err)
            result = self.imgtool(*command, "-f", "iso", raw, *targets)
            self.assertEqual(result.code, 2, result)

    def test_standard_input(self):
        image = self.image()
        with open(image.path, "rb") as file:
            result = self.imgtool_ok("hash", "-", input=file)
        self.assertEqual(result.out, f"{sha256(image.oracle)}  -\n")
        result = self.imgtool("hash", "-f", "qcow2", "-", input=image.path.read_bytes())
        self.assertEqual(result.code, 1, result)
        self.assertIn("pipe", result.err)

    def test_snapshots(self):
        image = Qcow2(self, 4 * MiB)
        image.write(0, 2 * MiB)
        image.finish()
        before = sha256(image.oracle)
        check("qemu-img", "snapshot", "-c", "before", image.path)
        image.write(MiB, 64 * KiB)
        image.finish()
        target = self.path()
        self.imgtool_ok("burn", "-l", "before", image.path, target)
        self.assertEqual(sha256(target), before)
        self.imgtool_ok("verify", "-l", "before", image.path, target)
        self.assertEqual(self.imgtool("verify", image.path, target).code, 4)
        self.assertEqual(self.imgtool_ok("hash", "-l", "1", image.path).out.split()[0], before)
        result = self.imgtool("hash", "-l", "after", image.path)
        self.assertEqual(result.code, 1, result)
        self.assertIn("no snapshot with id or name 'after'", result.err)
        self.assertEqual(self.imgtool("hash", "-l", "1", image.oracle).code, 1)

    # --- references ---

    def test_references_are_refused_unless_asked_for(self):
        images = [Qcow2(self, MiB, backing=Raw(self, bytes(MiB))).finish(),
                  Qcow2(self, MiB, data_file=self.path()).finish()]
        for image in images:
            for command in ("burn", "verify", "hash"):
                target = [] if command == "hash" else [self.path()]
                with self.subTest(command):
                    result = self.imgtool(command, image.path, *target)
                    self.assert_refused(result, image.path, "--follow-references")
                    self.assertFalse(target and target[0].exists())
            result = self.imgtool("hash", "--json", image.path)
            self.assertEqual(result.json["error"]["kind"], "refused")

    @requires("strace")
    def test_nothing_that_an_image_names_is_opened_unasked(self):
        secret = Raw(self, random_bytes(MiB), "secret.img")
        image = Qcow2(self, MiB, backing=secret).finish()
        log = self.path()
        for command in (["hash"], ["info"], ["map"], ["check"], ["verify", secret.path],
                        ["compare", image.path]):
            self.traced_imgtool(["trace=file"], command[0], image.path, *command[1:], log=log)
            opened = [line for line in log.read_text().splitlines()
                      if "secret.img" in line and "open" in line]
            wanted = [line for line in opened if command[0] == "verify"]
            self.assertEqual(opened, wanted, command)

    def test_a_target_that_is_part_of_the_image_is_refused(self):
        base = Raw(self, random_bytes(MiB))
        image = Qcow2(self, MiB, backing=base).finish()
        data = self.path()
        external = Qcow2(self, MiB, data_file=data).finish()
        for source, target in ((image.path, base.path), (image.path, image.path),
                               (external.path, data)):
            before = sha256(target)
            result = self.imgtool("burn", "--follow-references", "--force", source, target)
            self.assert_refused(result, target, "image")
            self.assertEqual(sha256(target), before)

    @requires_root
    def test_a_disk_that_holds_the_backing_file_is_refused(self):
        disk = self.loop_device(self.backing_file(8 * MiB, fill=0))
        image = Qcow2(self, MiB)
        check("qemu-img", "rebase", "-u", "-b", disk, "-F", "raw", image.path)
        self.assert_refused(self.imgtool("burn", "--follow-references", "--yes", image.path, disk),
                            disk)

    # --- safety ---

    def test_an_image_that_changes_meanwhile(self):
        base = Raw(self, random_bytes(12 * MiB))
        image = Qcow2(self, 12 * MiB, backing=base).finish()
        for changed in (image.path, base.path):
            job = self.job("burn", "--follow-references", image.path, self.path(), "--rate=8M",
                           "--verify=none")
            job.wait_for("write", 2 * MiB)
            os.utime(changed)
            result = job.finish()
            self.assertEqual(result.code, 4, result)
            self.assertIn(f"{changed}: was changed", result.err)

    def test_resume(self):
        base = Raw(self, random_bytes(12 * MiB))
        image = Qcow2(self, 12 * MiB, backing=base)
        image.write(3 * MiB, MiB)
        image.finish()
        target, mapfile = self.path(), self.path()
        args = ["burn", "--follow-references", image.path, target, f"--mapfile={mapfile}"]
        self.interrupted(*args)
        self.assertLess(self.resumed(*args), 11 * MiB)
        self.assert_same_content(target, image.oracle)
        mapfile.unlink()
        target.unlink()
        self.interrupted(*args)
        os.utime(base.path)
        self.assert_refused(self.imgtool(*args, "--resume"), mapfile)

    def test_skip_holes_leaves_only_what_was_never_written(self):
        image = Qcow2(self, 4 * MiB)
        image.write(MiB, 64 * KiB)
        image.zero(2 * MiB, MiB)
        image.finish()
        target = self.backing_file(4 * MiB)
        self.imgtool_ok("burn", "--force", "--skip-holes", image.path, target)
        content = target.read_bytes()
        self.assertEqual(content[:2 * MiB], bytes(image.content[:2 * MiB]))
        self.assertEqual(set(content[2 * MiB:3 * MiB]), {0})
        self.assertEqual(set(content[3 * MiB:]), {0xA5})

    def test_damage_ends_a_burn_before_the_target_looks_complete(self):
        image = self.image()
        entry = image.l2 + 8 * (4 * MiB // (64 * KiB) + 4)
        image.patch(entry, "Q", 1 << 62 | 1 << 50)
        target = self.path()
        result = self.imgtool("burn", image.path, target)
        self.assertEqual(result.code, 1, result)
        self.assertIn("cut short", result.err)
        self.assertFalse(target.exists())
        disk = self.backing_file(16 * MiB)
        self.assertEqual(self.imgtool("burn", "--force", image.path, disk).code, 1)
        self.assertEqual(set(disk.read_bytes()[:MiB]), {0})

    # --- resources ---

    def test_memory(self):
        tiny = Qcow2(self, 48 * MiB, cluster_size=512)
        for index in range(0, 24):
            tiny.write(2 * index * MiB, MiB, compressed=index % 2 == 0)
        large = Qcow2(self, 256 * MiB, cluster_size=2 * MiB)
        for index in range(0, 64):
            large.write(4 * index * MiB, 2 * MiB, compressed=True)
        for image in (tiny, large):
            image.finish_without_oracle()
            for options in ([], ["--depth=256"], ["--chunk=16M"]):
                with self.subTest(image.path, options=options):
                    assert_modest(self, 128 * MiB, "hash", image.path, *options)

    def test_hostile_images_are_refused_at_once(self):
        image = self.image()
        image.patch(36, "I", 1 << 22)  # an L1 table of 32 MiB, in a file of 2 MiB
        for command in ("burn", "verify", "hash"):
            target = [] if command == "hash" else [self.path()]
            with processor_time() as seconds:
                result = self.imgtool(command, image.path, *target)
            self.assertEqual(result.code, 1, result)
            self.assertLess(seconds(), 10 if is_sanitized() else 1)


if __name__ == "__main__":
    main()
