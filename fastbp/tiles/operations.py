"""The tile algebra: what the kernels are written in.

All operations under one name; each is defined, as its NumPy twin and its lowering to registers, in `memory`, `vectors`,
`bits`, `sums`, `products` or `transposition`. Rows, columns and extents are in elements; the widths of a tile are in
vectors.
"""

from __future__ import annotations

from fastbp.tiles.bits import (
    exponent as exponent,
    power_of_two as power_of_two,
    where_signed as where_signed,
    without_exponent as without_exponent,
)
from fastbp.tiles.memory import (
    as_row as as_row,
    block as block,
    is_gapless as is_gapless,
    lanes as lanes,
    matrix_at as matrix_at,
    overstep as overstep,
    prefetch as prefetch,
    scalars as scalars,
    scalars_of_t as scalars_of_t,
)
from fastbp.tiles.products import (
    add_dots as add_dots,
    add_dots_some as add_dots_some,
    add_matrix as add_matrix,
    add_matrix_of_some_rows as add_matrix_of_some_rows,
    add_outer as add_outer,
    add_outer_of_some_rows as add_outer_of_some_rows,
    add_outer_some as add_outer_some,
    add_sums as add_sums,
    store_tile as store_tile,
    store_tile_of_some_rows as store_tile_of_some_rows,
    zero_tile as zero_tile,
)
from fastbp.tiles.sums import add_products as add_products, sum_lanes as sum_lanes, zero_sums as zero_sums
from fastbp.tiles.transposition import (
    narrow_lanes as narrow_lanes,
    transpose_some as transpose_some,
    transpose_some_columns as transpose_some_columns,
    transpose_some_rows as transpose_some_rows,
    transpose_square as transpose_square,
)
from fastbp.tiles.vectors import (
    absolute as absolute,
    broadcast as broadcast,
    copy_sign as copy_sign,
    fill as fill,
    keep as keep,
    load as load,
    load_some as load_some,
    maximum as maximum,
    minimum as minimum,
    multiply_add as multiply_add,
    square_root as square_root,
    store as store,
    store_some as store_some,
    where_equal as where_equal,
    where_negative as where_negative,
)
