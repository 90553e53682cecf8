"""The arrays of a layer: what goes in, what is updated in place, and what comes out."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from fastbp.contract.arrays import (
    FLOAT32,
    FLOAT64,
    FLOATS,
    FloatArray,
    finite,
    in_place,
    is_masked,
    is_ready,
    matrix,
    own_float,
    real,
)

BiasReduction = Literal["mean", "sum"]


class Gradients(NamedTuple):
    """Gradients of the cost: `w` (inputs, outputs), `b` (outputs,), and the `cost` itself."""

    w: FloatArray
    b: FloatArray
    cost: float


def weights(w: Any, b: Any, *, updated: bool) -> tuple[FloatArray, FloatArray]:
    """The weights (inputs, outputs) and bias (outputs,); where they are `updated`, the caller's own arrays."""
    for name, array in (("w", w), ("b", b)):
        if not isinstance(array, np.ndarray) or is_masked(array):
            raise TypeError(f"{name} is a {type(array).__name__}; a NumPy array is wanted")
        if array.dtype not in FLOATS:  # nor are those of the other byte order
            raise TypeError(f"{name} has dtype {array.dtype}; native float32 or float64 is wanted")
        flags = array.flags
        if updated and not flags.writeable:
            raise ValueError(f"{name} is read-only; it is updated in place and must be writeable")
        if updated and not flags.c_contiguous:
            raise ValueError(f"{name} has strides {array.strides}; it is updated in place and must be C-contiguous")
    if w.ndim != 2 or w.size == 0:
        raise ValueError(f"w has shape {w.shape}; (inputs, outputs) is wanted, both at least 1")
    if b.shape != (w.shape[1],):
        raise ValueError(f"b has shape {b.shape}; (outputs,) = ({w.shape[1]},) is wanted, after w {w.shape}")
    if b.dtype != w.dtype:
        raise TypeError(f"b has dtype {b.dtype}; {w.dtype} is wanted, as w has")
    if updated and np.may_share_memory(w, b):  # whose bounds tell, as they are contiguous
        raise ValueError("w and b overlap in memory; they are updated in place and must be apart")
    w, b = np.asarray(w), np.asarray(b)
    return (w, b) if updated else (in_place("w", w, w.dtype), in_place("b", b, w.dtype))


def rows_of_x(x: Any, w: FloatArray) -> FloatArray:
    """x (rows, inputs) in the dtype of w. A float32 or float64 array must have that dtype already."""
    if is_ready(x, w.dtype) and x.shape[1] == w.shape[0]:
        return x  # type: ignore[no-any-return]
    if isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.dtype.newbyteorder("=") in set(FLOATS) - {w.dtype}:
        raise TypeError(f"w has dtype {w.dtype}; {x.dtype} is wanted, as x has")
    array = matrix("x", x)
    if array.shape[1] != w.shape[0]:
        raise ValueError(f"x has shape {array.shape}; (rows, {w.shape[0]}) is wanted, after w {w.shape}")
    return in_place("x", array, w.dtype)


def rows_of_y(name: str, y: Any, x: FloatArray, w: FloatArray) -> FloatArray:
    """y or y_pred (rows, outputs) in the dtype of w."""
    wanted = (x.shape[0], w.shape[1])
    if is_ready(y, w.dtype) and y.shape == wanted:
        return y  # type: ignore[no-any-return]
    array = matrix(name, y)
    if array.shape != wanted:
        raise ValueError(f"{name} has shape {array.shape}; {wanted} is wanted, after x {x.shape} and w {w.shape}")
    return in_place(name, array, w.dtype)


def apart(w: FloatArray, b: FloatArray, **inputs: Any) -> list[Any]:
    """The inputs, if they share no memory with the arrays that are updated in place.

    What makes an array of itself does so here, once: the next time it might make another one.
    """
    own = w.flags.owndata and b.flags.owndata
    result: list[Any] = []
    for name, value in inputs.items():
        if isinstance(value, (list, tuple)):  # its numbers are copied
            result.append(value)
            continue
        result.append(value if isinstance(value, np.ndarray) else real(name, value))
        array = np.asarray(result[-1])
        if own and _is_in_other_memory(array, w, b):  # known in a tenth of the time
            continue
        for target_name, target in (("w", w), ("b", b)):
            if np.may_share_memory(array, target) and np.shares_memory(array, target):
                raise ValueError(
                    f"{name} and {target_name} overlap in memory; {target_name} is updated in place and must be apart"
                )
    return result


def for_training(x: Any, y: Any, w: Any, b: Any) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """x (rows, inputs) and y (rows, outputs), and the caller's own w and b, which are updated from them."""
    if not _ready_for_training(x, y, w, b):
        w, b = weights(w, b, updated=True)
        x, y = apart(w, b, x=x, y=y)
        x = rows_of_x(x, w)
        y = rows_of_y("y", y, x, w)
    return x, y, w, b


def _ready_for_training(x: Any, y: Any, w: Any, b: Any) -> bool:
    """Whether all are just what kernels take, as most are: in a quarter of the time that it takes to say what is not.

    Read-only rows are ready, too, but this does not tell: `carray` asks for all that w and b must be at once.
    """
    if not (type(x) is type(y) is type(w) is type(b) is np.ndarray):
        return False
    dtype = w.dtype
    if not ((dtype is FLOAT64 or dtype is FLOAT32) and x.dtype is y.dtype is b.dtype is dtype):
        return False
    of_x, of_w = x.shape, w.shape
    if not (len(of_x) == len(of_w) == 2 and x.size > 0 and w.size > 0):
        return False
    if not (of_x[1] == of_w[0] and y.shape == (of_x[0], of_w[1]) and b.shape == of_w[1:]):
        return False
    flags_of_w, flags_of_b = w.flags, b.flags
    if not (flags_of_w.carray and flags_of_b.carray and x.flags.carray and y.flags.carray):
        return False
    own = flags_of_w.owndata and flags_of_b.owndata
    return own and _is_in_other_memory(x, w, b) and _is_in_other_memory(y, w, b)


def _is_in_other_memory(array: npt.NDArray[Any], w: FloatArray, b: FloatArray) -> bool:
    """Whether an array lies for sure in other memory than w and b, which own theirs."""
    owner = array if array.base is None else array.base
    return type(owner) is np.ndarray and owner.flags.owndata and owner is not w and owner is not b


def pair(y_pred: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    """y_pred and y: finite, of one shape and one dtype (float64 if they differ)."""
    first, second = real("y_pred", y_pred), real("y", y)
    if first.shape != second.shape:
        raise ValueError(f"y has shape {second.shape}; {first.shape} is wanted, as y_pred has")
    if first.size == 0:
        raise ValueError(f"y_pred has shape {first.shape}, which is empty; at least one element is wanted")
    dtype = np.result_type(own_float(first), own_float(second))
    return finite("y_pred", in_place("y_pred", first, dtype)), finite("y", in_place("y", second, dtype))


def raise_diverged(x: FloatArray, y: FloatArray, w: FloatArray, b: FloatArray, step: int | None) -> NoReturn:
    """Say why the cost or the update of `step` is not finite: a nan or inf in what it is made of, or else divergence.

    None is no step: gradients alone were asked for.

    A number that is not finite always reaches the cost or a gradient (0 * inf is nan), so the inputs need no look
    before: training reads x once a step, and this is only called when something went wrong.
    """
    for name, array in (("x", x), ("y", y), ("w", w), ("b", b)):
        finite(name, array)
    if step is None:
        raise FloatingPointError(
            f"the cost or a gradient is not finite in dtype {x.dtype}; smaller numbers in x, y, w or b are wanted"
        )
    raise FloatingPointError(
        f"training diverged in step {step}: its cost or its update is not finite; w and b hold the last finite "
        f"state (a smaller learning_rate may help)"
    )
