"""What bash completion offers for words typed so far."""
import pathlib

from imgtool_testing import IMGTOOL, TestCase, main, requires, run

SCRIPT = pathlib.Path(__file__).parents[2] / "imgtool" / "completions" / "imgtool.bash"


@requires("bash")
class Completion(TestCase):
    def offered(self, *words):
        """The last word is the one under the cursor. bash hands over "--a=b" as three words."""
        quoted = " ".join(f"'{word}'" for word in words)
        program = f"""
            source '{SCRIPT}'
            cd '{self.dir}'
            COMP_WORDS=('{IMGTOOL}' {quoted}) COMP_CWORD={len(words)}
            _imgtool
            printf '%s\\n' "${{COMPREPLY[@]}}" """
        result = run(["bash", "-c", program])
        self.assertEqual(result.err, "")
        return set(result.out.split())

    def test_commands(self):
        self.assertLessEqual({"burn", "capture", "help", "--version"}, self.offered(""))
        self.assertEqual(self.offered("bu"), {"burn"})
        self.assertEqual(self.offered("help", "bu"), {"burn"})

    def test_options(self):
        self.assertEqual(self.offered("burn", "--ver"), {"--verbose", "--verify"})
        self.assertEqual(self.offered("-v", "burn", "--exp"), {"--expect-serial"})

    def test_choices(self):
        self.assertEqual(self.offered("burn", "--verify", ""), {"full", "sample", "none"})
        self.assertEqual(self.offered("burn", "--verify", "=", "s"), {"sample"})
        self.assertEqual(self.offered("burn", "--verify", "="), {"full", "sample", "none"})
        self.assertLessEqual({"raw", "qcow2", "xz"}, self.offered("burn", "-f", ""))
        self.assertEqual(self.offered("convert", "-O", "qc"), {"qcow2"})

    def test_files_where_a_file_belongs(self):
        (self.dir / "golden.img").touch()
        self.assertEqual(self.offered("burn", "gol"), {"golden.img"})
        self.assertEqual(self.offered("burn", "--mapfile", "gol"), {"golden.img"})
        self.assertEqual(self.offered("burn", "--bmap", ""), {"auto", "none", "golden.img"})
        self.assertEqual(self.offered("create", "-b", "gol"), {"golden.img"})
        self.assertEqual(self.offered("burn", "--yes", "gol"), {"golden.img"})
        self.assertEqual(self.offered("burn", "--expect-serial", "gol"), set())


if __name__ == "__main__":
    main()
