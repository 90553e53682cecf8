"""What `fastbp bench` times of a shape that the user describes: a layer, or a network."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import click
import numpy as np

from fastbp.bench import cases as layers
from fastbp.bench.networks import cases as networks
from fastbp.command.sizes import check_size
from fastbp.command.words import counted

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
LAYER = ("inputs", "outputs")
NETWORK = ("sizes", "batch_size", "activation", "loss", "optimizer")


def own_case(options: Mapping[str, Any]) -> layers.Case | networks.Case | None:
    """The case that options describe, by their names; None where none of them is given, which is None."""
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        return None
    for_layer, for_network = _listed(LAYER, given), _listed(NETWORK, given)
    if for_layer and for_network:
        raise click.UsageError(
            f"{for_layer} is of a layer, and {for_network} of a network; a shape of one of them is wanted"
        )
    if for_network:
        return _network(**given)
    if not {"rows", *LAYER} <= given.keys():
        which = f"{_listed(given, given)} is of a shape of your own: " if "rows" not in given else ""
        raise click.UsageError(
            f"{which}--rows, --inputs and --outputs are wanted for a layer, --rows and --sizes for a network"
        )
    rows, shape, dtype = given["rows"], (given["inputs"], given["outputs"]), given.get("dtype", "float32")
    _check_sizes(rows, shape, dtype, f"--inputs is {shape[0]} and --outputs {shape[1]}")
    return layers.Case("own", rows, *shape, dtype)


def _network(
    rows: int | None = None,
    sizes: tuple[int, ...] | None = None,
    batch_size: int = 32,
    activation: str = "sigmoid",
    loss: str | None = None,
    optimizer: str = "sgd",
    dtype: str = "float32",
) -> networks.Case:
    """A network with the defaults of `Network` and `fit`, but for the loss: the cross-entropy, from two outputs on."""
    if rows is None or sizes is None:
        raise click.UsageError("--rows and --sizes are wanted for a network of your own; one of them is missing")
    shown = ",".join(map(str, sizes))
    if len(sizes) < 2:
        raise click.UsageError(f"--sizes is {shown}; inputs and outputs at least are wanted, such as 784,10")
    if loss is None:
        loss = "cross_entropy" if sizes[-1] > 1 else "squared_error"
    if loss == "cross_entropy" and sizes[-1] == 1:
        raise click.UsageError("--loss is cross_entropy, but there is one output; two or more are wanted")
    _check_sizes(rows, sizes, dtype, f"--sizes is {shown}")
    return networks.Case("own", rows, sizes, batch_size, OPTIMIZERS[optimizer], dtype, activation, loss)


def _check_sizes(rows: int, sizes: tuple[int, ...], dtype: str, shown: str) -> None:
    """Refuse what this machine has no memory for, before any library is imported."""
    itemsize = np.dtype(dtype).itemsize
    numbers = sizes[0] + sizes[-1]
    check_size(rows * numbers * itemsize, f"--rows is {rows}: a table of {counted(numbers, 'column')}")
    weights = sum(inputs * outputs for inputs, outputs in pairwise(sizes))
    check_size(weights * itemsize, f"{shown}: an array of {counted(weights, 'weight')}")


def _listed(names: Any, given: Mapping[str, Any]) -> str:
    return " and ".join(f"--{name.replace('_', '-')}" for name in names if name in given)
