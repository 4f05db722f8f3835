"""analyze --html and --svg: the map of a disk as a picture, seen by a real browser."""
import re
import xml.etree.ElementTree as xml

from browser import PROGRAM, Browser, contrast
from imgtool_testing import MiB, check, main, requires
from table_testing import TableTestCase

SIZE = 64 * MiB
CELL = ".c"


@requires("sfdisk", "mkfs.ext4")
class AnalyzePictureTest(TableTestCase):
    def disk(self, label="root"):
        """An ext4 with garbage where nothing is, between 8 MiB and 56 MiB of a GPT disk."""
        disk = self.zero_image(SIZE)
        table = self.gpt_image(SIZE, {1: (8 * MiB, 48 * MiB)}).read_bytes()
        file_system = self.path()
        file_system.write_bytes(bytes([0x55]) * (48 * MiB))
        check("mkfs.ext4", "-q", "-F", "-E", "nodiscard", file_system)
        check("tune2fs", "-L", label, file_system)
        with open(disk, "r+b") as file:
            file.write(table[:MiB])
            file.seek(8 * MiB)
            file.write(file_system.read_bytes())
            file.seek(SIZE - 33 * 512)
            file.write(table[SIZE - 33 * 512:])
        return disk

    def html(self, disk):
        page = self.path("map.html")
        self.imgtool_ok("analyze", "--html", page, disk)
        return page

    def test_the_svg_is_well_formed_and_has_a_cell_for_every_byte(self):
        picture = self.path("map.svg")
        self.imgtool_ok("analyze", "--svg", picture, self.disk())
        root = xml.fromstring(picture.read_text())
        space = "{http://www.w3.org/2000/svg}"
        cells = [rect for rect in root.iter(space + "rect") if "c" in rect.get("class").split()]
        self.assertEqual(len(cells), 1490)  # of 45056 bytes, 1536 would be smaller than that
        kinds = [cell.get("class") for cell in cells]
        self.assertEqual(kinds[0], "c k1")  # the table
        self.assertEqual(kinds[100], "c k4")  # nothing
        self.assertGreater(kinds.count("c k3"), 700)  # garbage
        titles = [cell.find(space + "title").text for cell in cells]
        self.assertRegex(titles[700], r"^\S+ MiB to \S+ MiB, partition 1 \(part 1\): .* free$")

    def test_files_are_not_overwritten_unasked(self):
        disk, page = self.disk(), self.path("map.html")
        page.write_text("mine")
        self.assert_refused(self.imgtool("analyze", "--html", page, disk), page, "--force")
        self.assertEqual(page.read_text(), "mine")
        self.imgtool_ok("analyze", "--force", "--html", page, disk)
        self.assertIn("<svg", page.read_text())

    def test_an_empty_image(self):
        for size in (0, 1, 5000):
            self.imgtool_ok("analyze", "--force", "--html", self.path("map.html"),
                            self.zero_image(size))

    def test_the_page_needs_nothing_else(self):
        text = self.html(self.disk()).read_text()
        self.assertEqual(re.findall(r"(?:src|href)=", text), [])
        self.assertEqual(set(re.findall(r"https?://[^\"']+", text)), {"http://www.w3.org/2000/svg"})

    @requires(PROGRAM)
    def test_in_a_browser(self):
        browser = Browser(self)
        page = browser.open(self.html(self.disk()))
        self.assertIn("Map of", page.evaluate("document.title"))
        self.assertEqual(page.evaluate(f"document.querySelectorAll('{CELL}').length"), 1490)
        for step in (self.check_hover, self.check_keyboard, self.check_schemes,
                     self.check_narrow):
            with self.subTest(step.__name__):
                step(page)
        self.assertEqual(browser.errors, [])

    def detail(self, page):
        return page.evaluate("document.getElementById('detail').textContent")

    def title(self, page, index):
        return page.evaluate(
            f"document.querySelectorAll('{CELL}')[{index}].querySelector('title').textContent")

    def check_hover(self, page):
        page.resize(1200)
        place = page.evaluate(
            f"(r=>[r.x+r.width/2,r.y+r.height/2])(document.querySelectorAll('{CELL}')[200]"
            ".getBoundingClientRect())")
        page.point_at(*place)
        self.assertEqual(self.detail(page), self.title(page, 200))

    def check_keyboard(self, page):
        page.evaluate(f"document.querySelector('{CELL}').focus()")
        for key, at in (("ArrowRight", 1), ("ArrowDown", 65), ("ArrowLeft", 64), ("ArrowUp", 0),
                        ("ArrowUp", 0), ("End", 1489), ("ArrowRight", 1489), ("Home", 0)):
            page.press(key)
            self.assertEqual(self.detail(page), self.title(page, at), key)
        stops = page.evaluate(f"[...document.querySelectorAll('{CELL}')]"
                              ".filter(c=>c.tabIndex===0).length")
        self.assertEqual(stops, 1)  # one press of Tab passes the picture

    def check_schemes(self, page):
        for scheme in ("light", "dark"):
            page.prefer(scheme)
            text, ground = (page.evaluate(f"getComputedStyle(document.body).{what}")
                            for what in ("color", "backgroundColor"))
            self.assertGreater(contrast(text, ground), 7, scheme)
            colours = [page.evaluate(f"(c=>c?getComputedStyle(c).backgroundColor:'')"
                                     f"(document.querySelector('.b{kind}'))") for kind in range(5)]
            self.assertEqual(len(set(colours)), 5)
            for colour in colours[:4]:
                self.assertGreater(contrast(colour, ground), 2, (scheme, colour))

    def check_narrow(self, page):
        for width in (320, 600, 1600):
            page.resize(width)
            overflow = page.evaluate("document.documentElement.scrollWidth-innerWidth")
            self.assertLessEqual(overflow, 0, width)
            text = page.evaluate("parseFloat(getComputedStyle(document.querySelector('#detail'))"
                                 ".fontSize)")
            self.assertGreaterEqual(text, 12)

    @requires(PROGRAM)
    def test_names_from_the_disk_are_text(self):
        browser = Browser(self)
        page = browser.open(self.html(self.disk("<b>&'\\\"x</b>")))
        self.assertEqual(page.evaluate("document.querySelectorAll('b').length"), 0)
        self.assertIn("<b>&'", page.evaluate("document.querySelector('tbody').textContent"))
        self.assertEqual(browser.errors, [])


if __name__ == "__main__":
    main()
