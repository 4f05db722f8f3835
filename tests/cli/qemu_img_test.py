"""imgtool qemu-img: a script written for qemu-img gives the same images and the same exit codes."""
import json
import os
import shlex

from imgtool_testing import KiB, MiB, TestCase, check, main, random_bytes, requires, run

# In the manner of build scripts, importers and backup tools: an empty line begins a new job. After
# each line both folders are looked at.
SCRIPT = """
convert -f raw -O qcow2 disk.img golden.qcow2
convert -p -c -O qcow2 golden.qcow2 packed.qcow2
convert -pcfraw -Oqcow2 disk.img packed2.qcow2
convert -t none -T none -W -m 16 -f qcow2 -O raw packed.qcow2 unpacked.raw
convert -O qcow2 -o cluster_size=2M,compat=0.10 disk.img old.qcow2
convert -q -S 64k -O raw golden.qcow2 holes.raw
convert -O qcow2 -o preallocation=metadata disk.img prepared.qcow2
convert -U --out json golden.qcow2 wrong.raw

create -q -f raw empty.img 0x100000
create -f qcow2 -o size=64M sized.qcow2
create -f qcow2 -o preallocation=off,lazy_refcounts=on disk2.qcow2 10G
create -f qcow2 -F qcow2 -b golden.qcow2 overlay.qcow2
create -f qcow2 -o backing_file=golden.qcow2,backing_fmt=qcow2 overlay2.qcow2 16M
create -u -f qcow2 -F raw -b not-there.img later.qcow2 1G
create fresh.img 3M
create -f qcow2 disk2.qcow2 64M

resize disk2.qcow2 +36M
resize -f raw empty.img 5M
resize --shrink disk2.qcow2 -50M
resize disk2.qcow2 10M

snapshot -c first golden.qcow2
snapshot -c second golden.qcow2
snapshot -d first golden.qcow2
snapshot -a second golden.qcow2
snapshot -d not-there golden.qcow2
convert -l snapshot.name=second -O raw golden.qcow2 second.raw
convert -l second -f qcow2 -O qcow2 golden.qcow2 second.qcow2

convert -O qcow2 -B golden.qcow2 -F qcow2 changed.img thin.qcow2
rebase -f qcow2 -b unpacked.raw -F raw thin.qcow2
commit -q thin.qcow2
rebase -u -b golden.qcow2 -F qcow2 overlay2.qcow2
rebase -p -b "" overlay2.qcow2

bitmap --add -g 64k disk2.qcow2 nightly
bitmap --add --disable disk2.qcow2 weekly
bitmap --merge nightly disk2.qcow2 weekly
bitmap --remove disk2.qcow2 nightly
amend -o compat=1.1 old.qcow2
check -q packed.qcow2
check --output=json -f qcow2 golden.qcow2
compare golden.qcow2 disk.img
compare -s -f raw -F raw disk.img changed.img
compare -q disk.img not-there.img

dd bs=64k skip=3 if=golden.qcow2 of=piece.raw
dd -f qcow2 -O qcow2 if=packed.qcow2 of=copy.qcow2 bs=1M
dd if=disk.img of=start.raw count=7
convert -n -f raw -O raw changed.img holes.raw
convert disk.img not/there.raw
frobnicate disk.img
"""


@requires("qemu-img")
class AScriptForQemuImg(TestCase):
    def folder(self, name):
        folder = self.path(name)
        folder.mkdir()
        content = bytearray(random_bytes(9 * MiB) + bytes(7 * MiB))
        (folder / "disk.img").write_bytes(content)
        content[4 * MiB:4 * MiB + 100 * KiB] = random_bytes(100 * KiB, 2)
        (folder / "changed.img").write_bytes(content)
        return folder

    def run_in(self, folder, program, line):
        return run([*program, *shlex.split(line)], cwd=folder)

    def setUp(self):
        super().setUp()
        self.seen = {}  # when the images were changed that were looked at last

    def assert_same_images(self, line, ours, theirs):
        self.assertEqual(sorted(os.listdir(ours)), sorted(os.listdir(theirs)), line)
        for name in sorted(os.listdir(ours)):
            changed = [(folder / name).stat().st_mtime_ns for folder in (ours, theirs)]
            if self.seen.get(name) == changed:
                continue
            self.seen[name] = changed
            ours_info, theirs_info = (json.loads(check("qemu-img", "info", "-U", "--output=json",
                                                       folder / name))
                                      for folder in (ours, theirs))
            for key in ("format", "virtual-size", "backing-filename", "backing-filename-format",
                        "cluster-size", "dirty-flag"):
                self.assertEqual(ours_info.get(key), theirs_info.get(key), (line, name, key))
            tags = [[entry["name"] for entry in info.get("snapshots", [])]
                    for info in (ours_info, theirs_info)]
            self.assertEqual(*tags, (line, name))
            bitmaps = [sorted((entry["name"], entry["granularity"], entry["flags"]) for entry in
                              info.get("format-specific", {}).get("data", {}).get("bitmaps", []))
                       for info in (ours_info, theirs_info)]
            self.assertEqual(*bitmaps, (line, name))

    def assert_same_content(self, name, ours, theirs):
        result = run(["qemu-img", "compare", ours / name, theirs / name])
        self.assertEqual(result.code, 0, (name, result))

    def test_it_runs_unchanged(self):
        ours, theirs = self.folder("ours"), self.folder("theirs")
        imgtool = [os.environ["IMGTOOL"], "qemu-img"]
        lines = [line for line in SCRIPT.splitlines() if line]
        self.assertGreaterEqual(len(lines), 30)
        for line in lines:
            expected = self.run_in(theirs, ["qemu-img"], line)
            found = self.run_in(ours, imgtool, line)
            self.assertEqual(found.code, expected.code, (line, found, expected))
            if expected.code == 0 and not line.startswith(("check", "compare")) and "-p" not in line:
                self.assertEqual(found.out, "", line)
            self.assert_same_images(line, ours, theirs)
        for name in sorted(os.listdir(ours)):
            if name != "later.qcow2":
                self.assert_same_content(name, ours, theirs)

    def test_dd_takes_as_many_blocks_as_dd_does(self):
        """qemu-img 7.2 counts those that are skipped, too."""
        folder = self.folder("dd")
        for operands in ("bs=64k skip=3 count=5", "bs=1M count=2", "skip=7",
                         "bs=4096 skip=2047 count=9", "bs=1M skip=15 count=9"):
            with self.subTest(operands=operands):
                check("dd", "status=none", f"if={folder}/disk.img", *operands.split(),
                      f"of={folder}/a")
                result = self.run_in(folder, [os.environ["IMGTOOL"], "qemu-img"],
                                     f"dd if=disk.img {operands} of=b")
                self.assertEqual(result.code, 0, result)
                self.assertEqual((folder / "a").read_bytes(), (folder / "b").read_bytes())

    def test_it_says_what_scripts_look_for(self):
        folder = self.folder("words")
        for line in ("convert -O qcow2 disk.img golden.qcow2", "snapshot -c before golden.qcow2",
                     "bitmap --add golden.qcow2 nightly",
                     "create -f qcow2 -F qcow2 -b golden.qcow2 overlay.qcow2"):
            self.assertEqual(self.run_in(folder, ["qemu-img"], line).code, 0)
        imgtool = [os.environ["IMGTOOL"], "qemu-img"]
        for line in ("info golden.qcow2", "info overlay.qcow2", "info disk.img",
                     "info --backing-chain overlay.qcow2", "snapshot -l golden.qcow2",
                     "map golden.qcow2", "compare disk.img changed.img",
                     "compare disk.img overlay.qcow2", "check golden.qcow2", "measure -O raw disk.img"):
            with self.subTest(line=line):
                expected = self.run_in(folder, ["qemu-img"], line).out
                found = self.run_in(folder, imgtool, line).out
                found = found.replace("\n0x0 ", "\n0   ")  # as qemu-img writes that one
                self.assertEqual(found, expected)

    def test_it_answers_in_json(self):
        folder = self.folder("json")
        check("qemu-img", "convert", "-O", "qcow2", folder / "disk.img", folder / "golden.qcow2")
        imgtool = [os.environ["IMGTOOL"], "qemu-img"]
        for line in ("info --output=json golden.qcow2", "map --output json golden.qcow2",
                     "measure --output=json -O raw disk.img", "check --output=json golden.qcow2"):
            with self.subTest(line=line):
                expected = json.loads(self.run_in(folder, ["qemu-img"], line).out)
                found = json.loads(self.run_in(folder, imgtool, line).out)
                if isinstance(expected, list):
                    self.assertEqual(len(found), len(expected))
                    for ours, theirs in zip(found, expected):
                        self.assertEqual({key: ours[key] for key in theirs}, theirs)
                else:
                    self.assertEqual({key: found[key] for key in expected}, expected)

    def test_a_link_of_that_name_does_the_same(self):
        folder = self.folder("link")
        link = folder / "qemu-img"
        link.symlink_to(os.environ["IMGTOOL"])
        self.assertEqual(run([link, "convert", "-O", "qcow2", "disk.img", "x.qcow2"],
                             cwd=folder).code, 0)
        self.assertEqual(run(["qemu-img", "compare", "disk.img", "x.qcow2"], cwd=folder).code, 0)
        self.assertIn("qemu-img", run([link, "--version"]).out)

    def test_what_has_no_counterpart_is_told(self):
        folder = self.folder("refused")
        imgtool = [os.environ["IMGTOOL"], "qemu-img"]
        for line, words in (("convert --bitmaps disk.img x.qcow2", "bitmaps are not copied"),
                            ("convert --object secret,id=s disk.img x.img", "encrypted"),
                            ("info --image-opts driver=raw,file.filename=disk.img", "path"),
                            ("convert disk.img changed.img both.img", "several sources"),
                            ("resize --preallocation=full disk.img 20M", "set aside"),
                            ("convert --sal disk.img x.img -O", "its value is missing"),
                            ("convert --t disk.img x.img", "ambiguous"),
                            ("convert -Z disk.img x.img", "unknown option '-Z'"),
                            ("dd if=disk.img of=x.img seek=1", "unknown operand"),
                            ("bench disk.img", "bench")):
            with self.subTest(line=line):
                result = self.run_in(folder, imgtool, line)
                self.assertEqual(result.code, 1, result)
                self.assertIn(words, result.err)
        self.assertEqual(sorted(os.listdir(folder)), ["changed.img", "disk.img"])

    def test_content_is_not_lost_as_it_would_be(self):
        folder = self.folder("kept")
        disk = folder / "table.img"
        disk.write_bytes(bytes(16 * MiB))
        run(["sfdisk", "-q", disk], input=b"label: gpt\nsize=12MiB\n")
        before = disk.read_bytes()
        result = self.run_in(folder, [os.environ["IMGTOOL"], "qemu-img"],
                             "resize --shrink -f raw table.img 8M")
        self.assertEqual(result.code, 1, result)
        self.assertIn("is in use up to", result.err)
        self.assertEqual(disk.read_bytes(), before)


if __name__ == "__main__":
    main()
