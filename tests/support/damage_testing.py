"""Damage to the metadata of a file system, which may cost knowledge of free space, never data.

    class Ext(ScrubTestCase):
        def test_flipped_bits(self):
            assert_flips_are_safe(self, image, [[0, 4096]], 100)
"""
import random

from scrub_testing import container, free_map

SECTOR = 512


def _sectors_in_use(image, ranges):
    """Offsets of the sectors in these [offset, length] that are not zeros."""
    with open(image, "rb") as file:
        for offset, length in ranges:
            file.seek(offset)
            content = file.read(length)
            for at in range(0, len(content), SECTOR):
                if any(content[at:at + SECTOR]):
                    yield offset + at


def _inside(ranges, others):
    """Whether all of `ranges` lie in `others`; both are ascending [offset, length]."""
    index = 0
    for offset, length in ranges:
        while index < len(others) and sum(others[index]) < offset + length:
            index += 1
        if index == len(others) or others[index][0] > offset:
            return False
    return True


def assert_flips_are_safe(test, image, ranges, count, seed=1):
    """Flips one bit after the other, of sectors in `ranges`: nothing more may become free than
    was before, and what is not exact any more is kept with a reason. Returns how often all was
    kept."""
    generator = random.Random(seed)
    before = free_map(image)
    test.assertEqual(container(before)["kept-because"], "", before)
    sectors = list(_sectors_in_use(image, ranges))
    kept = 0
    with open(image, "r+b", buffering=0) as file:
        for number in range(count):
            # All of them in turn, when there are not more of them than flips.
            sector = sectors[number % len(sectors)] if len(sectors) <= count \
                else generator.choice(sectors)
            at = sector + generator.randrange(SECTOR)
            bit = 1 << generator.randrange(8)
            file.seek(at)
            old = file.read(1)
            file.seek(at)
            file.write(bytes([old[0] ^ bit]))
            found = free_map(image)
            with test.subTest(f"bit {bit:#x} of byte {at}"):
                test.assertTrue(_inside(found["free"], before["free"]), found["containers"])
                here = container(found)
                test.assertTrue(found["free"] or here["kept-because"], here)
                kept += bool(here["kept-because"])
            file.seek(at)
            file.write(old)
    test.assertEqual(free_map(image)["free"], before["free"])
    test.assertGreater(kept, 0, "no flip was noticed")
    return kept
