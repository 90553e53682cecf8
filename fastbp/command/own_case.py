"""What `fastbp bench` times of a shape that the user describes: a layer, or a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from fastbp.bench import cases as layers
from fastbp.bench.networks import cases as networks

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
            f"{for_layer} is of a layer, and {for_network} of a network; a shape of one of them is wanted."
        )
    if for_network:
        return _network(**given)
    if not {"rows", *LAYER} <= given.keys():
        which = f"{_listed(given, given)} is of a shape of your own: " if "rows" not in given else ""
        raise click.UsageError(
            f"{which}--rows, --inputs and --outputs are wanted for a layer, --rows and --sizes for a network."
        )
    return layers.Case("own", given["rows"], given["inputs"], given["outputs"], given.get("dtype", "float32"))


def _network(
    rows: int | None = None,
    sizes: tuple[int, ...] = (),
    batch_size: int = 32,
    activation: str = "sigmoid",
    loss: str | None = None,
    optimizer: str = "sgd",
    dtype: str = "float32",
) -> networks.Case:
    """A network with the defaults of `Network` and `fit`, but for the loss: the cross-entropy, from two outputs on."""
    if rows is None or len(sizes) < 2:
        raise click.UsageError(
            "--rows and --sizes, of the inputs and the outputs at least, are wanted for a network of your own."
        )
    if loss is None:
        loss = "cross_entropy" if sizes[-1] > 1 else "squared_error"
    if loss == "cross_entropy" and sizes[-1] == 1:
        raise click.UsageError("--loss is cross_entropy, but there is one output; two or more are wanted.")
    return networks.Case("own", rows, sizes, batch_size, OPTIMIZERS[optimizer], dtype, activation, loss)


def _listed(names: Any, given: Mapping[str, Any]) -> str:
    return " and ".join(f"--{name.replace('_', '-')}" for name in names if name in given)
