"""Into what many rows are cut: shards of panels, each of which lies in strips; and their outputs into groups."""

from __future__ import annotations

from fastbp.cutting import LEVEL_1, MOST_SHARDS, power_of_two_within
from fastbp.kernels.many_rows import FEW_PANELS
from fastbp.kernels.matmul import LEAST_VECTORS
from fastbp.layers.work import work_of
from fastbp.tiles.registers import REGISTER_BITS, TILE_VECTORS, lanes_of

# Shards are folded after every step, for which gradients come from the caches of other cores. 1797 x 64 -> 10, 3.3
# million multiply-adds, on two threads beside the thread pools of other libraries: 87 us with 14 shards, 70 with 8.
WORK_OF_SHARD = 250_000
# Rows of a shard, at least, beyond so many shards. 1000 x 8000 -> 10 in float32 took two threads 5.8 ms with 32 shards
# of a panel each, and 4.4 with 8, 1000 x 1500 -> 40 3.6 and 3.2. 386 shapes that so have 8 or 16 took 0.93 of their
# time on average, from 0.96 with 8 KB of weights to 0.87 with 256; 286 with 4 took as long as before. With 250 rows it
# would be 0.97 of that, but for half as many threads.
ROWS_OF_SHARD = 100
FEW_SHARDS = 8
# Panels: so many bytes of x, or so many tiles of rows if that is less; but rows enough, more of them if they are short.
PANEL_BYTES = 8 * 1024
MOST_TILES = 8
LEAST_ROWS = 32
WANTED_ROWS = 32 if REGISTER_BITS == 512 else 64
WANTED_BYTES = 96 * 1024
# Many outputs are gone through in groups, so that these bytes of y_pred and y of a panel, and of weights and gradients,
# stay in the level 2 cache. x is transposed for each group again, which so many outputs outweigh. 1442 x 68 -> 1565 in
# float64 took 19.3 ms on two threads of a Zen 3, all outputs of a stretch at a time, and 11.0 in groups.
GROUP_BYTES = 128 * 1024
GROUP_BYTES_OF_WEIGHTS = 512 * 1024
LEAST_OF_GROUP = 96


def panel_rows(inputs: int, itemsize: int) -> int:
    """Rows of a panel: whole tiles, and few enough that the panel and its transpose stay in the level 1 or 2 cache.

    Not too few: each of them is one k of a gradient's tile, which is loaded and stored once more for every panel, and
    with 256 bits a tile is as narrow as 8 rows of float64. 5000 x 300 -> 33 ran at 42 % of a Zen 3's peak with these.
    """
    tile = max(TILE_VECTORS * lanes_of(itemsize), LEAST_VECTORS)
    row_bytes = inputs * itemsize
    least = max(LEAST_ROWS, min(WANTED_ROWS, WANTED_BYTES // row_bytes))
    return tile * max(-(-least // tile), min(MOST_TILES, PANEL_BYTES // (tile * row_bytes)))


def shards_and_panel(rows: int, inputs: int, outputs: int, itemsize: int) -> tuple[int, int]:
    """Into how many shards the rows are cut, and the rows of a panel: as even as whole vectors allow where it matters.

    128 x 512 -> 64 in float32, two shards of 64 rows, took 1.2 times as long in panels of 48 and 16. Of many panels the
    last one does not matter, and the others are whole tiles. A stretch is cut as shards would be, whose number is a
    power of two: of 282 rows 9 panels of 32 were 5 for one thread and 4 for the other, and 8 of 40 are 4 for each.
    """
    panel = panel_rows(inputs, itemsize)
    most = min(work_of(rows, inputs, outputs) // WORK_OF_SHARD, max(FEW_SHARDS, rows // ROWS_OF_SHARD))
    shards = power_of_two_within(MOST_SHARDS, most, -(-rows // panel))
    of_shard = -(-rows // shards)
    panels = max(1, round(of_shard / panel))
    if panels > FEW_PANELS:
        return shards, panel
    unit = max(lanes_of(itemsize), LEAST_VECTORS)
    return shards, -(-of_shard // (panels * unit)) * unit


def rows_of_strip(panel: int, inputs: int, outputs: int, itemsize: int) -> int:
    """Rows of a strip of a panel's transpose: as wide as a tile, or all rows if all fit half of the level 1 cache.

    What a tile reads then follows in memory. Else its lines lie a row apart, and are on more pages than a processor
    keeps at hand: 1024 x 1024 times 1024 x 32 in float64 takes 0.73 cycles for a vector of multiply-adds, and 0.53 so.
    """
    fits = 2 * panel * inputs * itemsize <= LEVEL_1
    return panel if fits else max(TILE_VECTORS, LEAST_VECTORS // outputs) * lanes_of(itemsize)


def groups_of_outputs(panel: int, inputs: int, outputs: int, itemsize: int) -> int:
    """Groups that the outputs are gone through in, with all rows each; 1 if all outputs together are as good."""
    most_of_weights = GROUP_BYTES_OF_WEIGHTS // (2 * inputs * itemsize)
    most = min(most_of_weights, max(LEAST_OF_GROUP, GROUP_BYTES // (2 * panel * itemsize)))
    return -(-outputs // most) if most >= LEAST_OF_GROUP and outputs >= 1.5 * most else 1
