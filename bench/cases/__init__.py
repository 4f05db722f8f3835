"""One module per family of cases; each has a list CASES. A new module is added here."""

from cases import burn, capture, convert, digests, fanout, qcow2

FAMILIES = (burn, fanout, capture, convert, digests, qcow2)
ALL = {case.name: case for module in FAMILIES for case in module.CASES}
