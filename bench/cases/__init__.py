"""One module per family of cases; each has a list CASES. A new module is added here."""

from cases import burn, capture, convert, digests, fanout, qcow2, zst

FAMILIES = (burn, fanout, capture, convert, zst, digests, qcow2)
ALL = {case.name: case for module in FAMILIES for case in module.CASES}
