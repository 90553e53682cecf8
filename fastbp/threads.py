"""How many threads fastbp uses."""

from __future__ import annotations

from fastbp import contract

_chosen: int | None = None


def available() -> int:
    """The processors of this process, or NUMBA_NUM_THREADS."""
    from numba import config

    return int(config.NUMBA_NUM_THREADS)


def set_num_threads(n: int) -> None:
    """Use at most n threads, from 1 on; no result depends on it. It concerns fastbp alone."""
    global _chosen
    _chosen = contract.count("n", n, 1)


def get_num_threads() -> int:
    """The number of threads that fastbp uses at most."""
    return _chosen if _chosen is not None else available()
