"""What both engines accept, refuse and return: argument checks and the result types.

`fastbp` and `fastbp.reference` promise the same errors; this package is where the promise is kept. It imports NumPy,
and nothing of fastbp. Every message names the argument, what it was and what was wanted.

words     a value of any kind in a message
arrays    real numbers as kernels take them
settings  arguments that are no arrays
layer     the arrays of a layer
network   the rows of a network
"""

from fastbp.contract.arrays import FLOATS, FloatArray, check_fits_memory, finite, real_array
from fastbp.contract.layer import (
    BiasReduction,
    Gradients,
    apart,
    for_training,
    pair,
    raise_diverged,
    rows_of_x,
    rows_of_y,
    weights,
)
from fastbp.contract.network import (
    LAST_STATE,
    MAY_HELP,
    check_apart_from_network,
    classes_of,
    raise_network_diverged,
    row_weights,
    samples,
    targets,
)
from fastbp.contract.settings import (
    check_representable,
    count,
    flag,
    known_name,
    mean_of_bias,
    not_negative,
    number,
    path,
    positive,
    rate,
    seed,
    step_count,
)
from fastbp.contract.words import shortened, shown

__all__ = [
    "FLOATS",
    "LAST_STATE",
    "MAY_HELP",
    "BiasReduction",
    "FloatArray",
    "Gradients",
    "apart",
    "check_apart_from_network",
    "check_fits_memory",
    "check_representable",
    "classes_of",
    "count",
    "finite",
    "flag",
    "for_training",
    "known_name",
    "mean_of_bias",
    "not_negative",
    "number",
    "pair",
    "path",
    "positive",
    "raise_diverged",
    "raise_network_diverged",
    "rate",
    "real_array",
    "row_weights",
    "rows_of_x",
    "rows_of_y",
    "samples",
    "seed",
    "shortened",
    "shown",
    "step_count",
    "targets",
    "weights",
]
