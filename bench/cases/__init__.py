"""One module per family of cases; each has a list CASES. A new module is added here."""

from cases import (
    attach, burn, capture, convert, digests, fanout, foreign, free_space, qcow2, shrink, streams,
    zst,
)

FAMILIES = (
    burn, fanout, capture, convert, foreign, zst, streams, digests, qcow2, free_space, shrink,
    attach,
)
ALL = {case.name: case for module in FAMILIES for case in module.CASES}
