"""One module per family of cases; each has a list CASES. A new module is added here."""

from cases import burn, capture, digests, fanout

ALL = {case.name: case for module in (burn, fanout, capture, digests) for case in module.CASES}
