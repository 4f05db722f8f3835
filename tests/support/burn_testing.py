"""What the tests of imgtool burn share."""
from imgtool_testing import MiB, TestCase

STALE = 0xA5  # what the targets hold before


class BurnTestCase(TestCase):
    def refill(self, backing, size=4 * MiB):
        backing.write_bytes(bytes([STALE]) * size)

    def assert_holds(self, backing, image):
        """The image at the beginning, and behind it what was there before."""
        content = image.read_bytes()
        found = backing.read_bytes()
        self.assertEqual(len(found), max(len(found), len(content)))
        self.assert_same_content(backing, image, len(content))
        self.assertFalse(found[len(content):].strip(bytes([STALE])), "bytes behind the image")

    def burn(self, image, *targets_and_options, **options):
        """Burns, and every target must end verified; returns the JSON report."""
        result = self.imgtool("burn", image, *targets_and_options, "--yes", "--json", **options)
        self.assertEqual(result.code, 0, f"\n{result!r}")
        for target in result.json["targets"]:
            self.assertEqual(target["status"], "verified", f"\n{result!r}")
            self.assertEqual(target["bad-ranges"], [])
            self.assertEqual(target["data-bytes"] + target["zero-bytes"],
                             result.json["image-size"], f"\n{result!r}")
        return result.json
