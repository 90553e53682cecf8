"""What the plans of layers and of networks have in common: how work is cut, and how much of it there is in a piece."""

from __future__ import annotations

from fastbp.memory import rounded_up
from fastbp.tiles.registers import TILE_ROWS

# Shards of the rows, at most: each has a gradient of its own. Sixteen threads, the most that were tried, have two each.
MOST_SHARDS = 32
# Tasks of few rows, of groups of many outputs, and of a layer of a network, at most: one for each of these threads.
MOST_TASKS = 16
# Multiply-adds of one line of a program: 50 ms of a core that does ten in a nanosecond. Between lines, Ctrl-C is heard.
LINE_WORK = 500_000_000
# Bytes of a level 1 cache.
LEVEL_1 = 32 * 1024


def power_of_two_within(*limits: int) -> int:
    """The largest power of two within all limits, 1 at least: as many tasks for each of 2, 4, 8 ... threads."""
    return 1 << (max(1, min(limits)).bit_length() - 1)


def largest_group(count: int, groups: int) -> int:
    """The most outputs of a group, where `fastbp.kernels.program.share` deals them out in whole tiles."""
    return min(count, rounded_up(-(-count // groups), TILE_ROWS))
