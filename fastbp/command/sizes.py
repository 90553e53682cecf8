"""How much memory a table, or what is made of it, may take, and how many rows are gone through at a time."""

from __future__ import annotations

import os

LARGEST_DEFLATE_RATIO = 1032  # no deflated stream grows by more
BYTES_A_STRING = 64  # what Python adds to the characters of a short string
ROWS_A_BLOCK = 1 << 12


def largest_table() -> int:
    """The bytes that a table may take: a quarter of the machine's memory, as training copies it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):  # no such call on this platform
        return 4 << 30


def check_size(size: int, what: str = "its table") -> None:
    """Refuse a table, or something else, of `size` bytes that this machine cannot train on."""
    if size > largest_table():
        raise ValueError(f"{what} takes {size:,} bytes or more; at most {largest_table():,} fit this machine's memory")


def blocks(rows: int) -> list[slice]:
    """All rows, some thousand at a time."""
    return [slice(start, start + ROWS_A_BLOCK) for start in range(0, rows, ROWS_A_BLOCK)]
