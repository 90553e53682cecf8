"""The rows that a network is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from fastbp.contract.arrays import FloatArray, finite, in_place, is_ready, matrix, real

MAY_HELP = "a smaller learning_rate or a clip_norm may help"
LAST_STATE = f"weights and biases hold the last finite state ({MAY_HELP})"


def samples(x: Any, inputs: int, dtype: np.dtype[Any]) -> FloatArray:
    """x (rows, inputs) of a network, converted to its dtype: from any layout, any real dtype, and from lists."""
    if is_ready(x, dtype) and x.shape[1] == inputs:
        return x  # type: ignore[no-any-return]
    array = matrix("x", x)
    if array.shape[1] != inputs:
        raise ValueError(f"x has shape {array.shape}; (rows, {inputs}) is wanted, as the network has {inputs} inputs")
    return in_place("x", array, dtype)


def targets(y: Any, rows: int, outputs: int, dtype: np.dtype[Any], loss: str) -> tuple[npt.NDArray[Any], bool]:
    """y of a network: numbers (rows, outputs) in its dtype, or labels (rows,) of dtype intp; and whether it is labels.

    For the loss "cross_entropy" one dimension of integers or bools is labels, which must be in 0 ... outputs - 1, and
    numbers must be 0 or more; for "binary_cross_entropy" they must be in 0 ... 1: beyond, a loss has no lower bound.
    For one output, numbers may also be (rows,).
    """
    if loss == "squared_error" and is_ready(y, dtype) and y.shape == (rows, outputs):
        return y, False
    array, may_be_labels = real("y", y), loss == "cross_entropy"
    is_labels = may_be_labels and array.ndim == 1 and array.dtype.kind in "iub" and array.size > 0
    if not is_labels and outputs == 1 and array.ndim == 1:
        array = array[:, np.newaxis]
    if array.shape != ((rows,) if is_labels else (rows, outputs)):
        wanted = f"{(rows, outputs)}"
        if may_be_labels:
            wanted += f", or {(rows,)} of integer dtype for labels,"
        elif outputs == 1:
            wanted += f" or {(rows,)}"
        raise ValueError(
            f"y has shape {np.shape(y)} and dtype {array.dtype}; {wanted} is wanted, "
            f"as x has {rows} rows and the network {outputs} outputs"
        )
    if not is_labels:
        array = in_place("y", array, dtype)
        if loss != "squared_error":
            _in_domain(array, 1.0 if loss == "binary_cross_entropy" else math.inf, loss)
        return array, False
    if outputs > 2 ** (np.finfo(dtype).nmant + 1):
        raise ValueError(
            f"y is labels, but the network has {outputs} outputs, more than {dtype} tells apart; a network of float64, "
            f"or one-hot rows, are wanted"
        )
    wrong = (array < 0) | (array >= outputs)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"y[{first}] is {array[first]}; a label in 0 ... {outputs - 1} is wanted")
    return np.ascontiguousarray(array, np.intp), True


def _in_domain(y: FloatArray, most: float, loss: str) -> None:
    """Refuse targets (rows, outputs) below 0 or above `most`."""
    if y.min() < 0 or y.max() > most:
        finite("y", y)
        row, output = (int(i) for i in np.argwhere((y < 0) | (y > most))[0])
        wanted = f"a number in 0 ... {most:g}" if most < math.inf else "0 or more"
        raise ValueError(f"y[{row}, {output}] is {y[row, output]}; {wanted} is wanted for the loss {loss!r}")


def row_weights(sample_weight: Any, rows: int, dtype: np.dtype[Any]) -> FloatArray | None:
    """sample_weight (rows,) of a network, in its dtype: finite and not negative; or None."""
    if sample_weight is None:
        return None
    array = real("sample_weight", sample_weight)
    if array.shape != (rows,):
        raise ValueError(f"sample_weight has shape {array.shape}; ({rows},) is wanted, as x has {rows} rows")
    array = finite("sample_weight", in_place("sample_weight", array, dtype))
    if array.min() < 0:
        first = int((array < 0).argmax())
        raise ValueError(f"sample_weight[{first}] is {array[first]}; 0 or more is wanted")
    return array


def classes_of(y: FloatArray) -> npt.NDArray[np.int64]:
    """The class of each row, (rows,): the largest of its outputs, or of one alone, whether that is above 1/2."""
    return (y[:, 0] > 0.5).astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1).astype(np.int64)


def check_apart_from_network(parameters: Sequence[FloatArray], **inputs: FloatArray | None) -> None:
    """Refuse rows that share memory with the parameters of the network that is to be trained on them."""
    for name, array in inputs.items():
        for parameter in parameters:
            if array is not None and np.may_share_memory(array, parameter):
                raise ValueError(
                    f"{name} and the network's weights overlap in memory; they are updated in place and must be apart"
                )


def raise_network_diverged(
    x: FloatArray,
    y: npt.NDArray[Any],
    weights: Sequence[FloatArray],
    biases: Sequence[FloatArray],
    step: int | None,
    epoch: int | None = None,
) -> NoReturn:
    """Say why the loss or the update of `step` is not finite, and where it was: all that it is made of is looked at."""
    finite("x", x)
    finite("y", y)
    for name, arrays in (("weights", weights), ("biases", biases)):
        for layer, array in enumerate(arrays):
            finite(f"{name}[{layer}]", array)
    if step is None:
        raise FloatingPointError(
            f"the loss or a gradient is not finite in dtype {x.dtype}; smaller numbers in x, y, weights or biases are "
            f"wanted"
        )
    where = f"step {step}" if epoch is None else f"step {step}, in epoch {epoch}"
    raise FloatingPointError(f"training diverged in {where}: its loss or its update is not finite; {LAST_STATE}")
