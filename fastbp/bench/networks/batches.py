"""What the peers share: the form of a run, and batches whose rows are gathered together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

# A call trains an epoch: (w, b) of each layer as they are now, and the mean loss of the rows before their updates.
Run = Callable[[], tuple[list[tuple[Any, Any]], float]]

# What the gathered rows of x may take: half of a core's second-level cache. One call gathers many small batches.
GATHERED_BYTES = 2**20


class Gathered(NamedTuple):
    """Rows of an epoch that are gathered in one call, and the batches among them, both counted along the order."""

    rows: slice
    batches: list[slice]


def gathered(batches: list[slice], row_bytes: int) -> list[Gathered]:
    """The batches of an epoch, as many together as GATHERED_BYTES allow, and at least one."""
    length = batches[0].stop
    together = max(1, GATHERED_BYTES // (row_bytes * length))
    groups = [batches[start : start + together] for start in range(0, len(batches), together)]
    return [Gathered(slice(group[0].start, group[-1].stop), group) for group in groups]
