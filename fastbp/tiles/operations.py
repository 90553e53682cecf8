"""The tile algebra: what the kernels are written in.

Each operation is its NumPy twin, followed by its lowering to registers. Shapes are in vectors of `lanes` elements.
"""

from __future__ import annotations

from fastbp.tiles.memory import (
    as_row as as_row,
)
from fastbp.tiles.memory import (
    block as block,
)
from fastbp.tiles.memory import (
    is_gapless as is_gapless,
)
from fastbp.tiles.memory import (
    lanes as lanes,
)
from fastbp.tiles.memory import (
    matrix_at as matrix_at,
)
from fastbp.tiles.memory import (
    overstep as overstep,
)
from fastbp.tiles.memory import (
    prefetch as prefetch,
)
from fastbp.tiles.memory import (
    scalars as scalars,
)
from fastbp.tiles.memory import (
    scalars_of_t as scalars_of_t,
)
from fastbp.tiles.products import (
    add_dots as add_dots,
)
from fastbp.tiles.products import (
    add_dots_some as add_dots_some,
)
from fastbp.tiles.products import (
    add_matrix as add_matrix,
)
from fastbp.tiles.products import (
    add_matrix_of_some_rows as add_matrix_of_some_rows,
)
from fastbp.tiles.products import (
    add_outer as add_outer,
)
from fastbp.tiles.products import (
    add_outer_of_some_rows as add_outer_of_some_rows,
)
from fastbp.tiles.products import (
    add_outer_some as add_outer_some,
)
from fastbp.tiles.products import (
    add_sums as add_sums,
)
from fastbp.tiles.products import (
    store_tile as store_tile,
)
from fastbp.tiles.products import (
    store_tile_of_some_rows as store_tile_of_some_rows,
)
from fastbp.tiles.products import (
    zero_tile as zero_tile,
)
from fastbp.tiles.transposition import (
    narrow_lanes as narrow_lanes,
)
from fastbp.tiles.transposition import (
    transpose_some as transpose_some,
)
from fastbp.tiles.transposition import (
    transpose_some_columns as transpose_some_columns,
)
from fastbp.tiles.transposition import (
    transpose_some_rows as transpose_some_rows,
)
from fastbp.tiles.transposition import (
    transpose_square as transpose_square,
)
from fastbp.tiles.vectors import (
    absolute as absolute,
)
from fastbp.tiles.vectors import (
    add_products as add_products,
)
from fastbp.tiles.vectors import (
    at_least as at_least,
)
from fastbp.tiles.vectors import (
    broadcast as broadcast,
)
from fastbp.tiles.vectors import (
    copy_sign as copy_sign,
)
from fastbp.tiles.vectors import (
    exponent as exponent,
)
from fastbp.tiles.vectors import (
    fill as fill,
)
from fastbp.tiles.vectors import (
    keep as keep,
)
from fastbp.tiles.vectors import (
    load as load,
)
from fastbp.tiles.vectors import (
    load_some as load_some,
)
from fastbp.tiles.vectors import (
    maximum as maximum,
)
from fastbp.tiles.vectors import (
    minimum as minimum,
)
from fastbp.tiles.vectors import (
    multiply_add as multiply_add,
)
from fastbp.tiles.vectors import (
    power_of_two as power_of_two,
)
from fastbp.tiles.vectors import (
    square_root as square_root,
)
from fastbp.tiles.vectors import (
    store as store,
)
from fastbp.tiles.vectors import (
    store_some as store_some,
)
from fastbp.tiles.vectors import (
    sum_lanes as sum_lanes,
)
from fastbp.tiles.vectors import (
    where_equal as where_equal,
)
from fastbp.tiles.vectors import (
    where_negative as where_negative,
)
from fastbp.tiles.vectors import (
    where_signed as where_signed,
)
from fastbp.tiles.vectors import (
    without_exponent as without_exponent,
)
