"""The man page is made from --help: all of it must arrive there, as source that groff accepts."""
import pathlib
import re

from imgtool_testing import IMGTOOL, TestCase, check, main, requires, run

MAN = pathlib.Path(__file__).parents[2] / "imgtool" / "man"


class ManPage(TestCase):
    def page(self):
        return check("sh", MAN / "page.sh", IMGTOOL, MAN / "imgtool.1.in", "1.2.3")

    def test_has_every_option_of_every_command(self):
        page = self.page().replace("\\-", "-")
        commands = re.findall(r"^  ([a-z][a-z-]*) ", self.imgtool_ok("help").out, re.MULTILINE)
        self.assertIn("burn", commands)
        common = page[page.index(".SH COMMON OPTIONS"):]
        for command in set(commands) - {"help"}:
            begin = page.index(f".SS {command}\n")
            section = page[begin:page.index("\n.S", begin + 1)] + common
            for option in re.findall(r"^  (?:-., )?(--[a-z-]+)", self.imgtool_ok("help", command).out,
                                     re.MULTILINE):
                self.assertRegex(section, rf"(?m)^\.B (-., )?{option}\b", command)

    @requires("groff")
    def test_is_clean_man_source(self):
        path = self.path("imgtool.1")
        path.write_text(self.page())
        result = run(["groff", "-man", "-Tutf8", "-ww", path])
        self.assertEqual((result.code, result.err), (0, ""))
        self.assertNotIn("@", re.sub(r"\S+@\S+", "", result.out))


if __name__ == "__main__":
    main()
