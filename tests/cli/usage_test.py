"""What every command promises: exit codes, one line for a mistake, help, JSON also on failure."""
import json
import os
import re
import shutil
import subprocess

from imgtool_testing import IMGTOOL, TestCase, main, requires_root, run


def commands():
    """The names that `imgtool help` lists."""
    overview = run([IMGTOOL, "help"]).out
    rows = overview.split("Commands:\n")[1].splitlines()
    return [row.split()[0] for row in rows if row.strip() and not row.strip().startswith("help")]


class Usage(TestCase):
    def assert_usage_error(self, result, text):
        """Exit 2 and one line that contains `text`."""
        self.assertEqual(result.code, 2, f"\n{result!r}")
        self.assertEqual(result.err.count("\n"), 1, f"\n{result!r}")
        self.assertTrue(result.err.startswith("imgtool: "), f"\n{result!r}")
        self.assertIn(text, result.err)

    def test_version(self):
        result = self.imgtool_ok("--version")
        self.assertRegex(result.out, r"^imgtool \d+\.\d+\.\d+\n$")
        self.assertEqual(result.err, "")

    def test_help_lists_the_commands(self):
        result = self.imgtool_ok("help")
        self.assertEqual(result.out, self.imgtool_ok("--help").out)
        self.assertEqual(result.out, self.imgtool_ok("help", "help").out)
        self.assertLessEqual(max(map(len, result.out.splitlines())), 80)

    def test_every_command_explains_itself(self):
        for command in commands():
            with self.subTest(command):
                text = self.imgtool_ok(command, "--help").out
                self.assertEqual(text, self.imgtool_ok("help", command).out)
                self.assertTrue(text.startswith(f"Usage: imgtool {command} [OPTIONS]"), text)
                self.assertLessEqual(max(map(len, text.splitlines())), 80)
                for heading in ("Common options", "Examples", "Exit codes"):
                    self.assertIn(f"\n{heading}:\n", text)
                self.assertGreaterEqual(len(re.findall(r"^  imgtool ", text, re.M)), 2, text)
                for code in ("0", "1", "2", r"128\+N"):
                    self.assertRegex(text, rf"(?m)^  {code} ")

    def test_every_command_reports_an_unknown_option(self):
        for command in commands():
            with self.subTest(command):
                result = self.imgtool(command, "--jsn")
                self.assert_usage_error(result, f"{command}: unknown option '--jsn'; did you mean")
                self.assertEqual(result.out, "")
                result = self.imgtool(command, "--frobnicate", "--json")
                self.assert_usage_error(result, f"{command}: unknown option '--frobnicate'")
                self.assertEqual(result.json["error"]["kind"], "usage")

    def test_only_images_over_another_one_can_name_it(self):
        disk = self.zero_image(512)
        for command in (["capture", disk, self.path("out.qcow2")], ["measure", disk]):
            result = self.imgtool(*command, "-O", "qcow2", "-o", "backing_file=base.img")
            self.assert_usage_error(result, "-o backing_file: is not known here")

    def test_no_command(self):
        self.assert_usage_error(self.imgtool(), "no command given")
        self.assert_usage_error(self.imgtool("-v"), "no command given")

    def test_unknown_command_suggests_the_nearest(self):
        self.assert_usage_error(self.imgtool("hlep"), "'hlep'; did you mean 'help'?")
        self.assert_usage_error(self.imgtool("frobnicate"), "unknown command 'frobnicate' (")
        self.assert_usage_error(self.imgtool("help", "frobnicate"), "'frobnicate'")
        self.assert_usage_error(self.imgtool(""), "unknown command ''")

    def test_option_before_the_command(self):
        self.assert_usage_error(self.imgtool("--json", "help"), "'--json' before the command")

    def test_hostile_words_stay_on_one_harmless_line(self):
        result = self.imgtool("a\nb\x1b[2J\u202e", "\udcff")
        self.assert_usage_error(result, "a\\nb\\x1b[2J\\u{202e}")

    def test_failure_with_json_is_one_document(self):
        result = self.imgtool("frob\x1b\nnicate", "--json")
        self.assertEqual(result.code, 2)
        error = result.json["error"]
        self.assertEqual(set(error), {"kind", "message", "path", "offset"})
        self.assertEqual(error["kind"], "usage")
        self.assertIn("frob\x1b\nnicate", error["message"])
        self.assertTrue(result.out.isascii())
        result = self.imgtool("\udcff\udcfe", "--json")
        self.assertIn("\ufffd", result.json["error"]["message"])

    def test_output_that_cannot_be_written_is_a_failure(self):
        def to(stdout, *args):
            return subprocess.run([IMGTOOL, *args], stdout=stdout, stderr=subprocess.PIPE, text=True)

        with open("/dev/full", "wb") as full:
            result = to(full, "help")
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stderr,
                             "imgtool: standard output: write: No space left on device\n")
            self.assertEqual(to(full, "frobnicate", "--json").returncode, 2)
            image = self.dense_image(1)
            # 1 would say that the two differ.
            self.assertEqual(to(full, "compare", image, image).returncode, 4)
        reader, writer = os.pipe()
        os.close(reader)
        result = to(writer, "help")
        os.close(writer)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "imgtool: standard output: write: Broken pipe\n")

    def test_companions_are_not_looked_for_beside_any_folder(self):
        for folder, runs in (("bin", True), ("x", False)):
            with self.subTest(folder):
                program = self.dir / folder / "imgtool"
                program.parent.mkdir()
                shutil.copy(IMGTOOL, program)
                companion = self.dir / "libexec" / "imgtool" / "imgtool-virt"
                companion.parent.mkdir(parents=True, exist_ok=True)
                companion.write_text("#!/bin/sh\necho companion \"$@\"\n")
                companion.chmod(0o755)
                result = run([program, "domains"])
                self.assertEqual((result.code, result.out),
                                 (0, "companion domains\n") if runs else (3, ""), f"\n{result!r}")

    @requires_root
    def test_companions_that_another_user_could_have_put_there_are_not_run(self):
        program = self.dir / "bin" / "imgtool"
        program.parent.mkdir()
        shutil.copy(IMGTOOL, program)
        folder = self.dir / "libexec" / "imgtool"
        folder.mkdir(parents=True)
        companion = folder / "imgtool-virt"
        companion.write_text("#!/bin/sh\necho companion\n")
        companion.chmod(0o755)
        self.dir.chmod(0o755)
        self.assertEqual(run([program, "domains"]).out, "companion\n")
        for what, change, undo in (
                ("belongs to user", lambda: os.chown(companion, 65534, -1),
                 lambda: os.chown(companion, 0, -1)),
                ("belongs to user", lambda: os.chown(folder.parent, 65534, -1),
                 lambda: os.chown(folder.parent, 0, -1)),
                ("can be written by other users", lambda: folder.chmod(0o777),
                 lambda: folder.chmod(0o755)),
                ("can be written by other users", lambda: companion.chmod(0o757),
                 lambda: companion.chmod(0o755))):
            with self.subTest(what):
                change()
                result = run([program, "domains"])
                self.assertEqual((result.code, result.out), (3, ""), f"\n{result!r}")
                self.assertIn(what, result.err)
                undo()
        folder.parent.chmod(0o1777)  # as /tmp: what lies in it is still ours
        self.assertEqual(run([program, "domains"]).out, "companion\n")

    def test_closed_standard_streams(self):
        for redirection, code in ((">&-", 1), ("<&-", 0), ("2>&-", 0), ("<&- 2>&-", 0)):
            with self.subTest(redirection):
                self.assertEqual(run(["sh", "-c", f'"$0" help {redirection}', IMGTOOL]).code, code)


if __name__ == "__main__":
    main()
