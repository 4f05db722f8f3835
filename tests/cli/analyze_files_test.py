"""analyze --files: which files take the space, what nobody needs, and the same as a picture; and
--drop-swap, which leaves out what a system throws away when it starts."""
import json
import os

from browser import PROGRAM, Browser, contrast
from fuse_testing import NtfsTestCase
from imgtool_testing import KiB, MiB, check, main, random_bytes, requires, requires_root, run, sha256

TILE = ".m"


def hibernated(head):
    return head + random_bytes(256 * KiB - len(head), 3)


@requires("mkfs.ext4", "mkswap", "debugfs")
class AnalyzeFilesTest(NtfsTestCase):
    @classmethod
    def setUpClass(cls):
        cls.images = {}

    def ext4(self):
        """As a Linux looks after some time."""
        tree = self.path("tree")
        for name, size in (("var/cache/apt/archives/a.deb", 900 * KiB), ("tmp/old", 300 * KiB),
                           ("var/log/journal/1/system.journal", 500 * KiB),
                           ("usr/lib/large", 2 * MiB), ("usr/lib/<b>odd&name", 700 * KiB)):
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(random_bytes(size, size))
        (tree / "etc").mkdir()
        (tree / "etc/fstab").write_text("UUID=1 / ext4 defaults 0 1\n/my/swap none swap sw 0 0\n")
        (tree / "my").mkdir()
        swap = tree / "my" / "swap"
        swap.write_bytes(random_bytes(MiB, 8))
        swap.chmod(0o600)
        check("mkswap", swap)
        with open(swap, "r+b") as file:
            file.write(b"boot" * 256)
        os.link(tree / "usr/lib/large", tree / "usr/lib/again")
        image = self.path("linux.img")
        check("mkfs.ext4", "-q", "-b", "4096", "-d", tree, image, "16M")
        return image

    def survey(self, image, *options):
        return self.imgtool_ok("analyze", "--files", *options, "--json", image).json["files"][0]

    def test_the_largest_and_what_nobody_needs(self):
        image = self.ext4()
        found = self.survey(image, "3")
        largest = found["largest-files"]
        self.assertEqual([one["size"] for one in largest], [2 * MiB, MiB, 900 * KiB])
        self.assertIn(largest[0]["path"], ("/usr/lib/large", "/usr/lib/again"))
        self.assertEqual(largest[1]["path"], "/my/swap")
        self.assertEqual(found["largest-folders"][0]["path"], "/usr")
        self.assertEqual(found["files"], 7)  # a file with two names is one
        uses = {one["use"]: (one["files"], one["stored"]) for one in found["uses"]}
        self.assertEqual(uses, {"package-cache": (1, 900 * KiB), "temporary": (1, 300 * KiB),
                                "log": (1, 500 * KiB), "paging": (1, MiB)})
        text = self.imgtool_ok("analyze", "--files", image).out
        self.assertIn("what a system does without", text)
        self.assertIn("paging or swap file", text)
        # Without --files nothing of it.
        self.assertNotIn("files", self.imgtool_ok("analyze", "--json", image).json)

    @requires_root
    def test_agrees_with_du(self):
        image = self.ext4()
        folder = self.mount(image, "-o", "loop,ro")
        want = {line.split("\t")[1]: int(line.split("\t")[0])
                for line in check("du", "-B1", folder).split("\n")}
        found = self.survey(image)
        self.assertEqual(found["stored"], want.pop(str(folder)))
        self.assertEqual({str(folder) + one["path"]: one["stored"]
                          for one in found["largest-folders"]}, want)

    def test_drop_swap_of_linux(self):
        image = self.ext4()
        listed = self.imgtool_ok("analyze", "--json", image).json
        self.assertEqual([(one["path"], one["bytes"]) for one in listed["discarded"]],
                         [("/my/swap", MiB - 4 * KiB)])
        self.assertEqual(listed["stored-in-vain"]["swap"], MiB - 4 * KiB)
        out, kept = self.path(), self.path()
        result = self.imgtool_ok("convert", "-O", "raw", "--drop-free", "--drop-swap", image, out)
        self.assertIn("/my/swap: its content left out", result.out)
        self.imgtool_ok("convert", "-O", "raw", "--drop-free", image, kept)
        self.assertEqual(run(["e2fsck", "-fn", out]).code, 0)
        before, after = (self.imgtool_ok("cat", one, "/my/swap").out_bytes for one in (image, out))
        self.assertEqual(after[:4096], before[:4096])
        self.assertEqual(after[4096:], bytes(MiB - 4096))
        self.assertTrue(self.imgtool_ok("cat", kept, "/my/swap").out_bytes == before)
        for path in ("/usr/lib/large", "/etc/fstab"):
            have = [self.imgtool_ok("cat", one, path).out_bytes for one in (image, out)]
            self.assertTrue(have[0] == have[1], path)
        self.assertEqual(self.imgtool("convert", "--drop-swap", image, self.path()).code, 2)

    def test_a_hibernated_linux_is_kept(self):
        image = self.ext4()
        data = image.read_bytes()
        self.assertEqual(data.count(b"SWAPSPACE2"), 1)
        image.write_bytes(data.replace(b"SWAPSPACE2", b"S1SUSPEND\0"))
        listed = self.imgtool_ok("analyze", "--json", image).json["discarded"]
        self.assertEqual([(one["path"], one["bytes"]) for one in listed], [("/my/swap", 0)])
        self.assertIn("hibernated", listed[0]["kept-because"])

    def windows(self, **files):
        image = self.zero_image(24 * MiB)
        check("mkntfs", "-Q", "-F", "-q", image)
        with self.mounted(image) as folder:
            (folder / "Windows").mkdir()
            (folder / "Windows" / "MEMORY.DMP").write_bytes(random_bytes(400 * KiB, 4))
            for name, content in files.items():
                (folder / name.replace("_", ".")).write_bytes(content)
        return image

    @requires_root
    @requires("mkntfs", "ntfs-3g", "ntfscat")
    def test_drop_swap_of_windows(self):
        page = random_bytes(MiB, 5)
        image = self.windows(pagefile_sys=page, swapfile_sys=page[:256 * KiB],
                             hiberfil_sys=bytes(4096) + page[:512 * KiB])
        uses = {one["use"]: one["stored"] for one in self.survey(image)["uses"]}
        self.assertEqual(uses, {"paging": MiB + 256 * KiB, "hibernation": 516 * KiB,
                                "crash-dump": 400 * KiB})
        out = self.path()
        self.imgtool_ok("convert", "-O", "raw", "--drop-free", "--drop-swap", image, out)
        for name, size in (("pagefile.sys", MiB), ("hiberfil.sys", 516 * KiB)):
            self.assertEqual(run(["ntfscat", out, name]).out_bytes, bytes(size), name)
        self.assertEqual(run(["ntfscat", out, "Windows/MEMORY.DMP"]).out_bytes,
                         random_bytes(400 * KiB, 4))
        for head in (b"PAGEDU64", b"PAGEDUMP"):
            kept = self.windows(pagefile_sys=head + page)
            listed = self.imgtool_ok("analyze", "--json", kept).json["discarded"]
            self.assertEqual([one["bytes"] for one in listed], [0])
            self.assertIn("crash dump", listed[0]["kept-because"])
        for head in (b"wake", b"RSTR"):
            kept = self.windows(hiberfil_sys=hibernated(head), pagefile_sys=page)
            listed = self.imgtool_ok("analyze", "--json", kept).json["discarded"]
            reasons = {one["path"]: one["kept-because"] for one in listed if one["bytes"] == 0}
            self.assertEqual(set(reasons), {"/pagefile.sys", "/hiberfil.sys"})
            self.assertIn("sleeps in /hiberfil.sys", reasons["/pagefile.sys"])
        # Windows sleeps: nothing of the volume is free at all.
        asleep = self.windows(hiberfil_sys=hibernated(b"HIBR"), pagefile_sys=page)
        self.assertEqual(self.imgtool_ok("analyze", "--json", asleep).json["discarded"], [])

    def page(self, image):
        page = self.path("page.html")
        self.imgtool_ok("analyze", "--files", "--html", page, image)
        return page

    @requires(PROGRAM)
    def test_the_picture_in_a_browser(self):
        image = self.ext4()
        before = sha256(image)
        browser = Browser(self)
        page = browser.open(self.page(image))
        self.assertEqual(sha256(image), before)
        for step in (self.check_tiles, self.check_keyboard, self.check_schemes, self.check_narrow):
            with self.subTest(step.__name__):
                step(page)
        self.assertEqual(browser.errors, [])

    def titles(self, page):
        return json.loads(page.evaluate(
            f"JSON.stringify([...document.querySelectorAll('{TILE}')]"
            ".map(t=>t.querySelector('title').textContent))"))

    def told(self, page):
        return page.evaluate("document.querySelector('.told').textContent")

    def check_tiles(self, page):
        titles = self.titles(page)
        self.assertRegex(titles[0], r"^/: \S+ MiB$")
        self.assertIn("/var/cache/apt: 908 KiB, packages and updates, downloaded", titles)
        # Tiles lie in those of the folders that they are in.
        inside = page.evaluate(
            f"(t=>t.slice(1).every(r=>r.x>=t[0].x&&r.right<=t[0].right&&r.y>=t[0].y&&"
            f"r.bottom<=t[0].bottom))([...document.querySelectorAll('{TILE}')]"
            ".map(t=>t.getBoundingClientRect()))")
        self.assertTrue(inside)
        self.assertEqual(page.evaluate("document.querySelectorAll('b').length"), 0)
        self.assertIn("<b>odd&name", page.evaluate("document.body.textContent"))

    def check_keyboard(self, page):
        titles = self.titles(page)
        last = len(titles) - 1
        page.evaluate(f"document.querySelector('{TILE}').focus()")
        for key, at in (("ArrowRight", 1), ("ArrowDown", 2), ("ArrowLeft", 1), ("Home", 0),
                        ("ArrowUp", 0), ("End", last), ("ArrowRight", last)):
            page.press(key)
            self.assertEqual(self.told(page), titles[at], key)
        stops = page.evaluate(f"[...document.querySelectorAll('{TILE}')]"
                              ".filter(t=>t.tabIndex===0).length")
        self.assertEqual(stops, 1)

    def check_schemes(self, page):
        grounds = set()
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            fill, waste, text = (page.evaluate(
                f"getComputedStyle(document.querySelector('{what}')).fill")
                for what in (".tree .s1", ".tree .sw", ".tree text"))
            self.assertNotEqual(fill, waste)
            for ground in (fill, waste):
                self.assertGreater(contrast(text, ground), 4.5, (scheme, text, ground))
            grounds.add(fill)
        self.assertEqual(len(grounds), 2)

    def check_narrow(self, page):
        for width in (320, 1600):
            page.resize(width)
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth-innerWidth"),
                                 0, width)


if __name__ == "__main__":
    main()
