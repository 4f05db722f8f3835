"""Counts a ctest JUnit report for ./dev test.

Prints "PASSED FAILED SKIPPED", then one line for each test that failed or was skipped. A test
program may skip a part of itself: every line "skipped: NAME: REASON" it printed counts as one.
"""
import sys
import xml.etree.ElementTree


def main(report):
    passed = failed = skipped = 0
    notes = []
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        name = case.get("name")
        output = case.findtext("system-out") or ""
        parts = [line for line in output.splitlines() if line.startswith("skipped: ")]
        skipped += len(parts)
        notes += [f"{name}: {line}" for line in parts]
        if case.find("failure") is not None or case.get("status") == "fail":
            failed += 1
            notes.append(f"failed: {name}")
        elif case.get("status") == "run":
            passed += 1
        elif not parts:
            skipped += 1
            notes.append(f"skipped: {name}")
    print(passed, failed, skipped)
    print("\n".join(notes))


if __name__ == "__main__":
    main(sys.argv[1])
