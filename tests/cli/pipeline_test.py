"""tests/pipeline/nightly.sh: a disk becomes a small image that a virtual machine proves, and a
failure at any step leaves nothing behind."""
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from imgtool_testing import IMGTOOL, MiB, check, main, requires, run, sha256
from libvirt_testing import LibvirtTestCase
from linux_guest import make_initrd, os_xml, requires_linux_guest

# The test of shrink's boot tries KVM, and what it does where that hangs; here it would cost minutes.
os.environ.setdefault("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "pipeline"
NIGHTLY = FOLDER / "nightly.sh"
TODAY = "2026-02-03"

# Stands in for imgtool: shrinks once for all tests, since that takes a minute, and does what a test
# wants to go wrong right before the step that has to find it.
WRAPPER = r"""#!/bin/bash
real={real} cache={cache}
if [[ $1 == "{step}" ]]; then
{damage}
fi
if [[ $1 == shrink && -f $cache/small.qcow2 && "{step}" != shrink ]]; then
    cp "$cache/small.qcow2" "$4" && cat "$cache/shrink.json"
    exit
fi
if [[ $1 == shrink ]]; then
    "$real" "$@" >"$cache/try.json"
    code=$?
    cat "$cache/try.json"
    [[ $code -ne 0 ]] || {{ mv "$cache/try.json" "$cache/shrink.json"; cp "$4" "$cache/small.qcow2"; }}
    exit "$code"
fi
exec "$real" "$@"
"""


@requires("jq", "mkfs.ext4", "sfdisk")
@requires_linux_guest
class Nightly(LibvirtTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cache = pathlib.Path(tempfile.mkdtemp(prefix="imgtool-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.cache, ignore_errors=True)
        make_initrd(cls.cache / "initrd")
        tree = cls.cache / "tree"
        tree.mkdir()
        (tree / "greeting").write_text("all is well\n")
        with open(cls.cache / "disk.img", "wb") as file:
            file.truncate(300 * MiB)
        run(["sfdisk", "-q", cls.cache / "disk.img"],
            input=b"label: gpt\nstart=1MiB, size=256MiB, name=root\n")
        check("mkfs.ext4", "-q", "-L", "root", "-d", tree, "-E", f"offset={MiB}",
              cls.cache / "disk.img", "256M")

    def setUp(self):
        super().setUp()
        self.store = self.dir / "store"
        self.store.mkdir()
        (self.store / "older.qcow2").write_bytes(b"yesterday's")
        self.disk = self.loop_device(self.cache / "disk.img", read_only=True)
        self.checker = self.domain(os=os_xml(self.cache / "initrd"), memory=192)

    def nightly(self, step="", damage=":", **environment):
        wrapper = self.dir / "imgtool"
        wrapper.write_text(WRAPPER.format(real=IMGTOOL, cache=self.cache, step=step, damage=damage))
        wrapper.chmod(0o755)
        settings = {"DISK": self.disk, "STORE": str(self.store), "DOMAIN": self.checker,
                    "CONSOLE": str(self.libvirt.console(self.checker)), "TODAY": TODAY,
                    "EXPECT": "GUEST FILE vda1 all is well", "IMGTOOL": str(wrapper),
                    "TMPDIR": str(self.dir), **environment}
        return run([NIGHTLY], env=settings, timeout=600)

    def assert_nothing_left(self):
        self.assertEqual(os.listdir(self.store), ["older.qcow2"])
        self.assertEqual(self.libvirt.virsh("domstate", self.checker).out.strip(), "shut off")
        self.assert_equal_halves(self.checker, {})

    def assert_stops(self, result, step, code, *words):
        self.assertEqual(result.code, code, f"\n{result!r}")
        last = result.err.splitlines()[-1]
        self.assertTrue(last.startswith(f"nightly: {step}: "), f"\n{result!r}")
        for word in words:
            self.assertIn(word, last)
        self.assert_nothing_left()

    def test_1_from_the_disk_to_the_guest(self):
        before = sha256(self.disk)
        result = self.nightly()
        self.assertEqual(result.code, 0, f"\n{result!r}")
        self.assertEqual(sorted(os.listdir(self.store)),
                         [f"{TODAY}.json", f"{TODAY}.qcow2", "older.qcow2"])
        found = json.loads((self.store / f"{TODAY}.json").read_text())
        self.assertEqual(found["capture"]["size"], 300 * MiB)
        self.assertLess(found["shrink"]["new-size"], 200 * MiB)
        self.assertEqual(found["attach"]["serial"], "nightly-20260203")
        self.assertTrue(found["detach"]["live"] and found["detach"]["config"])
        image = self.store / f"{TODAY}.qcow2"
        self.assertEqual(self.imgtool_ok("hash", image, "--json").json["digest"],
                         found["hash"]["digest"])
        self.assertEqual(self.libvirt.virsh("domstate", self.checker).out.strip(), "shut off")
        self.assert_equal_halves(self.checker, {})
        self.assertEqual(sha256(self.disk), before)

    def test_2_each_step_that_fails_stops_it(self):
        if not (self.cache / "small.qcow2").exists():
            self.fail("test_1 made no image")
        other = self.domain()
        steps = [
            ("analyze", 'truncate -s 100000 "$2"', 1, "disk.qcow2"),
            ("shrink", 'truncate -s 100000 "$3"', None, "disk.qcow2"),
            ("check", 'dd if=/dev/zero of="$2" bs=1 seek=104 count=4000 conv=notrunc status=none; '
                      'python3 -c "import sys; f=open(sys.argv[1],\'r+b\'); f.seek(48); '
                      'at=int.from_bytes(f.read(8),\'big\'); f.seek(at); f.write(bytes(8))" "$2"',
             None, ""),
            ("hash", 'python3 -c "import sys; f=open(sys.argv[1],\'r+b\'); f.seek(65536+64); '
                     'f.write(b\'x\'*3000)" "$2"', 1, "small.qcow2"),
            ("attach", f'virsh -q attach-disk {other} "$5" vda --config --subdriver qcow2 >&2', 1,
             f"vda of the domain {other}"),
            # Not when nightly.sh cleans up, without --timeout.
            ("detach", f'if [[ $6 == --timeout ]]; then virsh -q suspend {self.checker}; '
                       'set -- "${@:1:6}" 2 --json; fi', 1, "did not let go"),
        ]
        for step, damage, code, words in steps:
            with self.subTest(step=step):
                result = self.nightly(step, damage)
                self.assert_stops(result, step, result.code if code is None else code, words)
                self.assertNotEqual(result.code, 0)

    def test_3_a_disk_that_is_not_there(self):
        self.assert_stops(self.nightly(DISK=str(self.dir / "none")), "capture", 1, "none")

    def test_4_a_guest_that_does_not_start_or_finds_nothing(self):
        self.assert_stops(self.nightly(PATIENCE="1"), "guest", 1, "nightly-20260203")
        self.assert_stops(self.nightly(EXPECT="all is lost", PATIENCE="15"), "guest", 1)
        self.libvirt.remove(self.checker)
        gone = self.dir / "gone.img"
        self.libvirt.define(self.checker, disks=f"<disk type='file'><source file='{gone}'/>"
                                                "<target dev='vdz' bus='virtio'/></disk>")
        result = self.nightly()
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("nightly: attach: libvirt: ", result.err)
        self.assertIn("gone.img", result.err)
        self.assert_equal_halves(self.checker, {"vdz": gone})
        self.assertEqual(os.listdir(self.store), ["older.qcow2"])

    def test_5_an_image_that_cannot_be_kept(self):
        (self.store / f"{TODAY}.qcow2" / "x").mkdir(parents=True)
        result = self.nightly()
        self.assertEqual(result.code, 1, f"\n{result!r}")
        self.assertIn("nightly: keep: ", result.err)
        self.assertEqual(sorted(os.listdir(self.store)), [f"{TODAY}.qcow2", "older.qcow2"])
        self.assert_equal_halves(self.checker, {})


class Units(unittest.TestCase):
    @requires("systemd-analyze")
    def test_systemd_takes_the_units(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("imgtool-nightly.service", "imgtool-nightly.timer"):
                text = (FOLDER / name).read_text()
                text = text.replace("/usr/local/libexec/imgtool/nightly.sh", str(NIGHTLY))
                (pathlib.Path(folder) / name).write_text(text)
            result = run(["systemd-analyze", "verify", "--man=no",
                          f"{folder}/imgtool-nightly.timer", f"{folder}/imgtool-nightly.service"])
            self.assertEqual((result.code, "imgtool-nightly" in result.err), (0, False),
                             f"\n{result!r}")


if __name__ == "__main__":
    main()
