"""imgtool doctor: each answer is compared with what the feature's user then meets."""
import os
import shutil

from imgtool_testing import IMGTOOL, TestCase, main, requires, run

KERNEL = ("io_uring", "direct-io", "locks", "room", "kvm", "qemu", "appliance", "kernel")


class Doctor(TestCase):
    def features(self, *arguments, code=0, command=(), **options):
        result = run([*command, IMGTOOL, "doctor", "--json", *arguments], **options)
        self.assertEqual(result.code, code, result)
        return {feature["name"]: feature for feature in result.json["features"]}

    def test_all_are_told_with_what_they_are_for(self):
        found = self.features("--folder", self.dir)
        self.assertEqual(set(found), {*KERNEL, "shrink", "attach"})
        for feature in found.values():
            self.assertTrue(feature["needed-for"])
            self.assertEqual(feature["works"], feature["remedy"] is None)
        self.assertTrue(found["locks"]["works"] and found["room"]["works"])
        self.assertEqual(found["kvm"]["works"], os.access("/dev/kvm", os.R_OK | os.W_OK))
        text = self.imgtool_ok("doctor", "--folder", self.dir).out
        for name, feature in found.items():
            if not feature["works"]:
                self.assertIn(feature["remedy"], text)
        self.assertEqual(os.listdir(self.dir), [])

    def test_a_named_feature_decides_the_exit_code(self):
        self.assertEqual(set(self.features("locks", "room", "--folder", self.dir)), {"locks", "room"})
        self.features("direct-io", "--folder", "/proc", code=1)
        self.features("--folder", "/proc")  # is told, and decides nothing
        self.assertEqual(self.imgtool("doctor", "locksmith").code, 2)
        self.assertEqual(self.imgtool("doctor", "--folder", self.path("none")).code, 2)
        quiet = self.imgtool("doctor", "-q", "room", "--folder", self.dir)
        self.assertEqual((quiet.code, quiet.out), (0, ""))

    @requires("strace")
    def test_a_kernel_without_io_uring(self):
        forbidden = ("strace", "-f", "-qq", "-o", self.path(), "-e",
                     "inject=io_uring_setup:error=ENOSYS")
        found = self.features("io_uring", command=forbidden, code=1)
        self.assertFalse(found["io_uring"]["works"])
        self.assertIn("io_uring", found["io_uring"]["found"])

    def test_companions_that_are_not_there_or_do_not_start(self):
        alone = self.path("imgtool")
        shutil.copy(IMGTOOL, alone)
        found = run([alone, "doctor", "shrink", "attach", "--json"])
        self.assertEqual(found.code, 1, found)
        for feature in found.json["features"]:
            self.assertIn("imgtool-", feature["found"])
        companions = self.dir / "libexec/imgtool"
        companions.mkdir(parents=True)
        broken = companions / "imgtool-guest"
        broken.write_text("#!/bin/sh\necho 'libguestfs.so.0: cannot open shared object file' >&2\n"
                          "exit 127\n")
        broken.chmod(0o755)
        found = run([alone, "doctor", "shrink", "--json"])
        self.assertEqual(found.code, 1, found)
        self.assertIn("libguestfs.so.0", found.json["features"][0]["found"])
        broken.chmod(0o777)
        self.assertIn("other users", run([alone, "doctor", "shrink"]).out)

    @requires("qemu-system-x86_64")
    def test_the_companions_of_this_build(self):
        self.assertTrue(self.features("shrink")["shrink"]["works"])
        dead = {**os.environ, "LIBVIRT_DEFAULT_URI": "qemu+unix:///system?socket=/nonexistent"}
        self.assertIn("/nonexistent", self.features("attach", code=1, env=dead)["attach"]["found"])


if __name__ == "__main__":
    main()
