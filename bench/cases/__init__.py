"""One module per family of cases; each has a list CASES. A new module is added here."""

from cases import burn, capture, digests, fanout, qcow2

FAMILIES = (burn, fanout, capture, digests, qcow2)
ALL = {case.name: case for module in FAMILIES for case in module.CASES}
