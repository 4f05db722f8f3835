"""shrink where the work folder has too little room: it is refused, or fails, and never waits for
the user to make some."""
from guest_testing import GuestDisk, requires_appliance
from imgtool_testing import MiB, TestCase, check, main, random_bytes, requires, requires_root


@requires_root
@requires_appliance
@requires("mkfs.xfs")
class Space(TestCase):
    def setUp(self):
        super().setUp()
        self.disk = GuestDisk(self, 600 * MiB)
        self.disk.make(0, "mkfs.xfs", "-q")
        with self.disk.mounted(0) as folder:
            (folder / "file").write_bytes(random_bytes(40 * MiB))
            for number in range(5):
                check("cp", "--reflink=always", folder / "file", folder / f"copy {number}")

    def shrink(self, size):
        self.work, self.out = self.tmpfs(size), self.path("out.img")
        return self.job("shrink", "--xfs=recreate", "--work-dir", self.work, self.disk.path,
                        self.out)

    def test_shared_blocks_are_counted_as_often_as_they_are_copied(self):
        result = self.shrink(400 * MiB).finish()
        self.assertEqual(result.code, 3, result)
        self.assertIn("--work-dir", result.err)
        self.assertFalse(self.out.exists())

    def test_a_folder_that_gets_full_ends_the_work(self):
        job = self.shrink(700 * MiB)
        job.wait_for("recreating", timeout=300)
        try:
            with open(self.work / "of another program", "wb", buffering=0) as file:
                while file.write(bytes(MiB)):
                    pass
        except OSError:
            pass  # it is full
        result = job.finish()
        self.assertEqual(result.code, 1, result)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertIn("is full", result.err)
        self.assertIn("--work-dir", result.err)
        self.assertFalse(self.out.exists())


if __name__ == "__main__":
    main()
