"""What a network is made of: its sizes, activations, loss and dtype, checked once; and the weights it starts from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import numpy as np

from fastbp import contract
from fastbp.contract import FloatArray

MOST_SIZES = 10_000  # layers that no memory holds, and lists that never end, are refused
LEAKY_SLOPE = 0.01  # of leaky_relu, below 0

HIDDEN_ACTIVATIONS = ("sigmoid", "tanh", "relu", "leaky_relu", "identity")
OUTPUT_ACTIVATIONS = (*HIDDEN_ACTIVATIONS, "softmax")

# Each loss, and the output activations that it is defined for.
LOSSES = {
    "squared_error": OUTPUT_ACTIVATIONS,
    "binary_cross_entropy": ("sigmoid",),
    "cross_entropy": ("softmax",),
}


class PerLayer(tuple[FloatArray, ...]):
    """An array for each layer. To assign one is to copy into it, so that `network.weights[0] -= change` is allowed."""

    def __setitem__(self, layer: int, values: Any) -> None:
        array, name = self[layer], f"the array for layer {layer}"
        if not isinstance(array, np.ndarray):  # those of several layers, of a slice
            raise TypeError(f"layer is {layer}; the number of one is wanted")
        given = contract.real_array(name, values)
        if given.shape not in ((), array.shape):
            raise ValueError(f"{name} has shape {given.shape}; {array.shape} or a number is wanted")
        with np.errstate(over="ignore", under="ignore"):
            converted = given.astype(array.dtype)
        beyond = np.isfinite(given) & ~np.isfinite(converted)
        if beyond.any():
            found = f"{name} holds {given[beyond][0]}, which {array.dtype} does not have"
            raise ValueError(f"{found}; smaller numbers are wanted")
        array[...] = converted


@dataclass(frozen=True)
class Architecture:
    """A dense network: layer l takes sizes[l] numbers of a row to activations[l] of sizes[l + 1]; made by `of`."""

    sizes: tuple[int, ...]
    activations: tuple[str, ...]  # one for each layer of weights; the last is the output's
    loss: str
    dtype: np.dtype[Any]

    @classmethod
    def of(
        cls,
        sizes: Sequence[int],
        activation: str | Sequence[str] = "sigmoid",
        output_activation: str | None = None,
        loss: str = "squared_error",
        dtype: Any = "float32",
    ) -> Architecture:
        """The architecture, if it is one.

        sizes: inputs, the hidden layers, outputs; at least two, each at least 1.
        activation: of all hidden layers, or one for each: sigmoid, tanh, relu, leaky_relu (slope 0.01) or identity.
        output_activation: one of those or softmax, of two outputs or more; None is softmax for cross_entropy, and else
            sigmoid.
        loss: squared_error, binary_cross_entropy (of a sigmoid output) or cross_entropy (of a softmax output).
        dtype: float32 or float64.
        Raises TypeError or ValueError, which names the argument, what it was and what is wanted.
        """
        known_sizes = _sizes(sizes)
        hidden = _hidden(activation, len(known_sizes) - 2)
        known_loss = contract.known_name("loss", loss, tuple(LOSSES))
        if output_activation is None:
            output_activation = "softmax" if known_loss == "cross_entropy" else "sigmoid"
        output = contract.known_name("output_activation", output_activation, OUTPUT_ACTIVATIONS)
        if output not in LOSSES[known_loss]:
            raise ValueError(
                f"output_activation is {output!r}; {LOSSES[known_loss][0]!r} is wanted, as loss is {known_loss!r}"
            )
        if output == "softmax" and known_sizes[-1] == 1:
            raise ValueError(
                f"sizes[{len(known_sizes) - 1}] is 1, and a softmax of one output is always 1; two or more are wanted "
                f"(the loss 'binary_cross_entropy' is for one)"
            )
        return cls(known_sizes, (*hidden, output), known_loss, _float(dtype))

    @property
    def inputs(self) -> int:
        return self.sizes[0]

    @property
    def outputs(self) -> int:
        return self.sizes[-1]

    @property
    def layers(self) -> int:
        """How many layers of weights."""
        return len(self.sizes) - 1

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer of weights."""
        return list(pairwise(self.sizes))

    @property
    def parameters(self) -> int:
        """How many weights and biases."""
        return parameters_of(self.sizes)

    def initial(self, generator: np.random.Generator) -> list[tuple[FloatArray, FloatArray]]:
        """w (inputs, outputs), uniform in +-limit, and b (outputs,) of 0 for each layer in turn, in dtype.

        limit^2 is 6 / (inputs + outputs) (Glorot and Bengio 2010, eq. 16); before relu 6 / inputs, and before
        leaky_relu 6 / ((1 + slope^2) inputs) (He et al. 2015, eqs. 10 and 15). Drawn in float64.
        ValueError if there is no memory for them.
        """
        size = self.parameters * (8 + 2 * self.dtype.itemsize)  # as drawn, these in dtype, and the network's own
        contract.check_fits_memory("sizes", list(self.sizes), -(-size // 8))
        parameters = []
        for (inputs, outputs), activation in zip(self.shapes, self.activations, strict=True):
            limit = _limit(activation, inputs, outputs)
            w = generator.uniform(-limit, limit, (inputs, outputs)).astype(self.dtype)
            parameters.append((w, np.zeros(outputs, self.dtype)))
        return parameters


def parameters_of(sizes: Sequence[int]) -> int:
    """How many weights and biases a network of these sizes has."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def _limit(activation: str, inputs: int, outputs: int) -> float:
    if activation == "relu":
        return float((6 / inputs) ** 0.5)
    if activation == "leaky_relu":
        return float((6 / (1 + LEAKY_SLOPE**2) / inputs) ** 0.5)
    return float((6 / (inputs + outputs)) ** 0.5)


def _sizes(sizes: Any) -> tuple[int, ...]:
    number = isinstance(sizes, np.ndarray) and sizes.ndim == 0  # which has __iter__ all the same
    if number or isinstance(sizes, (str, bytes)) or not hasattr(sizes, "__iter__"):
        raise TypeError(
            f"sizes is {contract.shown(sizes)}; a list of whole numbers is wanted: inputs, hidden layers, outputs"
        )
    known = tuple(contract.count(f"sizes[{i}]", size, 1) for i, size in enumerate(islice(sizes, MOST_SIZES + 1)))
    if len(known) < 2:
        raise ValueError(f"sizes is {list(known)}; at least two are wanted: inputs and outputs")
    if len(known) > MOST_SIZES:
        raise ValueError(f"sizes is {contract.shown(sizes)}; {MOST_SIZES} at most are wanted")
    return known


def _hidden(activation: Any, layers: int) -> tuple[str, ...]:
    """The activations of the hidden layers."""
    if isinstance(activation, str) or not isinstance(activation, Sequence):
        return (contract.known_name("activation", activation, HIDDEN_ACTIVATIONS),) * layers
    if len(activation) != layers:
        raise ValueError(
            f"activation has {len(activation)} names; one for all hidden layers is wanted, or {layers}, "
            f"one for each (the output has output_activation)"
        )
    return tuple(contract.known_name(f"activation[{i}]", name, HIDDEN_ACTIVATIONS) for i, name in enumerate(activation))


def _float(dtype: Any) -> np.dtype[Any]:
    known: np.dtype[Any] | None
    try:
        known = np.dtype(dtype)
    except (TypeError, ValueError, SyntaxError):  # the last of a text with a bracket
        known = None
    if dtype is None or known is None or known not in contract.FLOATS:  # None would be float64
        raise TypeError(f"dtype is {contract.shown(dtype)}; float32 or float64 is wanted")
    return known
