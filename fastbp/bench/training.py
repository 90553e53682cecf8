"""What the implementations share: the form of a run, Python's loop over steps, threads, and blocks of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

# A call trains the steps of its problem: w (inputs, outputs), b (outputs,), and the cost before the last update.
Run = Callable[[], tuple[Any, Any, Any]]


def repeated(step: Run, steps: int) -> Run:
    """`steps` steps in one call, where the library has no better loop than Python's."""
    if steps == 1:
        return step

    def train() -> tuple[Any, Any, Any]:
        for _ in repeat(None, steps):
            result = step()
        return result

    return train


@contextmanager
def thread_count(library: Any, threads: int) -> Iterator[None]:
    """A library that has get_num_threads and set_num_threads, held to `threads` threads."""
    before = library.get_num_threads()
    library.set_num_threads(threads)
    try:
        yield
    finally:
        library.set_num_threads(before)


def row_blocks(rows: int, row_bytes: int, block_bytes: int | None) -> list[slice]:
    """The rows, all at once or in blocks that stay in cache between the forward and the backward pass."""
    block = rows if block_bytes is None else min(rows, max(1, block_bytes // row_bytes))
    return [slice(start, min(start + block, rows)) for start in range(0, rows, block)]
