"""Hostile qcow2 images: whatever they say, no command crashes, hangs, or takes much memory."""
import zlib

from handmade_qcow2 import COMPRESSED, COPIED, Handmade
from imgtool_testing import TestCase, main

C = 65536


def deflated(content):
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return compressor.compress(content) + compressor.flush()


class StreamsPastTheEnd(TestCase):
    def image(self, words, end):
        image = Handmade(self, 16, 4 * C, l1=C, refcount_table=2 * C)
        image.words(C, [COPIED | 4 * C])
        image.words(2 * C, [3 * C])
        image.bytes(3 * C, b"\0\1" * 6)
        image.words(4 * C, words)
        image.bytes(5 * C, deflated(b"imgtool " * (C // 8)))
        image.end(end)
        return image.path

    def test_a_stream_that_begins_behind_the_end_is_refused(self):
        behind = COMPRESSED | (5 * C + 400)
        good = COMPRESSED | 5 * C
        for words in ([behind], [good, behind], [0, good, behind]):
            image = self.image(words, 5 * C + 390)
            for command in (["hash", image], ["convert", image, self.path()],
                            ["measure", "-O", "qcow2", "-c", image]):
                with self.subTest(words=words, command=command[0]):
                    result = self.imgtool(*command)
                    self.assertEqual(result.code, 1, result)
                    self.assertIn(f"offset {5 * C + 400}", result.err)
                    self.assertIn("cut short", result.err)
            self.assertEqual(self.imgtool("compare", image, image).code, 4)
            self.assertIn(self.imgtool("resize", "--shrink", image, 3 * C).code, (1, 3))


if __name__ == "__main__":
    main()
