"""How much memory a run of imgtool takes."""
import os
import sys

from imgtool_testing import IMGTOOL, KiB, is_sanitized, run

MEASURE = """import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(status, usage.ru_maxrss)"""


def peak_memory(test, *args, code=0):
    """Runs imgtool to its end; returns its peak resident memory in bytes. The small process
    between us is there because a child's peak counts what it was before exec, a copy of its
    parent."""
    result = run([sys.executable, "-c", MEASURE, IMGTOOL, *args])
    status, peak = result.out.split()[-2:]
    test.assertEqual(os.waitstatus_to_exitcode(int(status)), code, f"\n{result!r}")
    return int(peak) * KiB


def assert_modest(test, limit, *args, code=0):
    """imgtool's peak stays below `limit` bytes; with a sanitizer it only has to end well."""
    peak = peak_memory(test, *args, code=code)
    if not is_sanitized():
        test.assertLess(peak, limit)
