"""What both engines accept, refuse and return: argument checks and the result types.

`fastbp` and `fastbp.reference` promise the same errors; this module is where the promise is kept. It knows NumPy
and nothing else of the package. Every message names the argument, what it was and what was wanted.
"""

from __future__ import annotations

import math
import numbers
import operator
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[Any]
BiasReduction = Literal["mean", "sum"]

FLOATS = FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_LIMITS = {dtype: (float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)) for dtype in FLOATS}


class Gradients(NamedTuple):
    """Gradients of the cost: `w` (inputs, outputs), `b` (outputs,), and the `cost` itself."""

    w: FloatArray
    b: FloatArray
    cost: float


def shown(value: Any) -> str:
    """repr(value) on one line, of 100 characters at most; its type alone where that fails."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a whole number of more digits than Python writes is a ValueError
        text = f"a {type(value).__name__}"
    return shortened(text, 100)


def shortened(words: str, most: int) -> str:
    """The beginning of a text that may be of any length, for a message."""
    return words if len(words) <= most else words[:most] + "..."


def real_array(name: str, value: Any) -> FloatArray:
    """`value` as a C-contiguous array of real numbers of its own float dtype, or float64 if it has none."""
    array = _real(name, value)
    return _in_place(name, array, _own_float(array))


def _own_float(array: npt.NDArray[Any]) -> np.dtype[Any]:
    native = array.dtype.newbyteorder("=")
    return native if native in FLOATS else np.dtype(np.float64)


def _lies_ready(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether it lies in memory as kernels take it."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def _in_place(name: str, array: npt.NDArray[Any], dtype: np.dtype[Any]) -> FloatArray:
    """`array` in the dtype, C-contiguous and aligned: a copy, unless it is so already.

    An array that says one element over and over may be larger than any memory.
    """
    if _lies_ready(array, dtype):
        return array
    try:
        with np.errstate(over="ignore", under="ignore"):  # what overflows the dtype is inf, and is refused as inf
            return np.require(array.astype(dtype, copy=False), requirements=["C", "A"])
    except MemoryError:
        raise ValueError(f"{name} has shape {array.shape}; one that fits into memory as {dtype} is wanted") from None


def check_fits_memory(name: str, value: Any, numbers: int) -> None:
    """Refuse what asks for so many numbers of 8 bytes if there is no memory for them."""
    try:
        np.empty(numbers)
    except (MemoryError, OverflowError, ValueError):  # the last two are beyond what an array can have
        raise ValueError(f"{name} is {shown(value)}; what fits into memory is wanted") from None


def _real(name: str, value: Any) -> npt.NDArray[Any]:
    """`value` as an array of real numbers of whatever dtype."""
    if _is_masked(value):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first: {name}.filled(...)")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # the last two from what makes an array of itself
        said = "is ragged" if isinstance(value, (list, tuple)) else "is no array"
        raise ValueError(f"{name} {said} ({error}); a rectangular array of numbers is wanted") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; real numbers are wanted (float, integer or bool)")
    return array


def finite(name: str, array: FloatArray) -> FloatArray:
    """`array`, if every element is a finite number."""
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):  # without a mask of array's size
        good = np.isfinite(array)
        where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(good))[0])
        value = np.atleast_1d(array)[where]
        index = ", ".join(map(str, where))
        raise ValueError(f"{name} must be finite in dtype {array.dtype}, but {name}[{index}] is {value}")
    return array


def _is_masked(value: Any) -> bool:
    """Whether it is a masked array, of which there is none before NumPy's module of them is imported: by `np.ma`."""
    if type(value) is np.ndarray:
        return False
    return isinstance(value, getattr(sys.modules.get("numpy.ma"), "MaskedArray", ()))


def _matrix(name: str, value: Any) -> npt.NDArray[Any]:
    """`value` as a matrix with at least one row and one column."""
    array = _real(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; two dimensions are wanted")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, which is empty; at least one row and column are wanted")
    return array


def weights(w: Any, b: Any, *, updated: bool) -> tuple[FloatArray, FloatArray]:
    """The weights (inputs, outputs) and bias (outputs,); where they are `updated`, the caller's own arrays."""
    for name, array in (("w", w), ("b", b)):
        if not isinstance(array, np.ndarray) or _is_masked(array):
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
    return (w, b) if updated else (_in_place("w", w, w.dtype), _in_place("b", b, w.dtype))


def _is_ready(matrix: Any, dtype: np.dtype[Any]) -> bool:
    """Whether it is just what kernels take. Most arguments are, and nothing else need be asked of them."""
    return type(matrix) is np.ndarray and matrix.ndim == 2 and matrix.size > 0 and _lies_ready(matrix, dtype)


def rows_of_x(x: Any, w: FloatArray) -> FloatArray:
    """x (rows, inputs) in the dtype of w. A float32 or float64 array must have that dtype already."""
    if _is_ready(x, w.dtype) and x.shape[1] == w.shape[0]:
        return x  # type: ignore[no-any-return]
    if isinstance(x, np.ndarray) and x.dtype != w.dtype and x.dtype.newbyteorder("=") in set(FLOATS) - {w.dtype}:
        raise TypeError(f"w has dtype {w.dtype}; {x.dtype} is wanted, as x has")
    array = _matrix("x", x)
    if array.shape[1] != w.shape[0]:
        raise ValueError(f"x has shape {array.shape}; (rows, {w.shape[0]}) is wanted, after w {w.shape}")
    return _in_place("x", array, w.dtype)


def rows_of_y(name: str, y: Any, x: FloatArray, w: FloatArray) -> FloatArray:
    """y or y_pred (rows, outputs) in the dtype of w."""
    wanted = (x.shape[0], w.shape[1])
    if _is_ready(y, w.dtype) and y.shape == wanted:
        return y  # type: ignore[no-any-return]
    array = _matrix(name, y)
    if array.shape != wanted:
        raise ValueError(f"{name} has shape {array.shape}; {wanted} is wanted, after x {x.shape} and w {w.shape}")
    return _in_place(name, array, w.dtype)


def apart(w: FloatArray, b: FloatArray, **inputs: Any) -> list[Any]:
    """The inputs, if they share no memory with the arrays that are updated in place.

    What makes an array of itself does so here, once: the next time it might make another one.
    """
    targets_own = w.flags.owndata and b.flags.owndata
    result: list[Any] = []
    for name, value in inputs.items():
        if isinstance(value, (list, tuple)):  # its numbers are copied
            result.append(value)
            continue
        result.append(value if isinstance(value, np.ndarray) else _real(name, value))
        array = np.asarray(result[-1])
        if targets_own and _is_in_other_memory(array, w, b):  # known in a tenth of the time
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


def check_apart_from_network(parameters: Sequence[FloatArray], **inputs: FloatArray | None) -> None:
    """Refuse rows that share memory with the parameters of the network that is to be trained on them."""
    for name, array in inputs.items():
        if array is not None and any(np.may_share_memory(array, parameter) for parameter in parameters):
            raise ValueError(
                f"{name} and the network's weights overlap in memory; they are updated in place and must be apart"
            )


def samples(x: Any, inputs: int, dtype: np.dtype[Any]) -> FloatArray:
    """x (rows, inputs) of a network, converted to its dtype: from any layout, any real dtype, and from lists."""
    if _is_ready(x, dtype) and x.shape[1] == inputs:
        return x  # type: ignore[no-any-return]
    array = _matrix("x", x)
    if array.shape[1] != inputs:
        raise ValueError(f"x has shape {array.shape}; (rows, {inputs}) is wanted, as the network has {inputs} inputs")
    return _in_place("x", array, dtype)


def targets(y: Any, rows: int, outputs: int, dtype: np.dtype[Any], loss: str) -> tuple[npt.NDArray[Any], bool]:
    """y of a network: numbers (rows, outputs) in its dtype, or labels (rows,) of dtype intp; and whether it is labels.

    For the loss "cross_entropy" one dimension of integers or bools is labels, which must be in 0 ... outputs - 1, and
    numbers must be 0 or more; for "binary_cross_entropy" they must be in 0 ... 1: beyond, a loss has no lower bound.
    For one output, numbers may also be (rows,).
    """
    array, labels = _real("y", y), loss == "cross_entropy"
    is_labels = labels and array.ndim == 1 and array.dtype.kind in "iub" and array.size > 0
    if not is_labels and outputs == 1 and array.ndim == 1:
        array = array[:, np.newaxis]
    if array.shape != ((rows,) if is_labels else (rows, outputs)):
        wanted = f"{(rows, outputs)}"
        if labels:
            wanted += f", or {(rows,)} of integer dtype for labels,"
        elif outputs == 1:
            wanted += f" or {(rows,)}"
        raise ValueError(
            f"y has shape {np.shape(y)} and dtype {array.dtype}; {wanted} is wanted, "
            f"as x has {rows} rows and the network {outputs} outputs"
        )
    if not is_labels:
        array = _in_place("y", array, dtype)
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
    array = _real("sample_weight", sample_weight)
    if array.shape != (rows,):
        raise ValueError(f"sample_weight has shape {array.shape}; ({rows},) is wanted, as x has {rows} rows")
    array = finite("sample_weight", _in_place("sample_weight", array, dtype))
    if array.min() < 0:
        first = int((array < 0).argmax())
        raise ValueError(f"sample_weight[{first}] is {array[first]}; 0 or more is wanted")
    return array


def pair(y_pred: Any, y: Any) -> tuple[FloatArray, FloatArray]:
    """y_pred and y: finite, of one shape and one dtype (float64 if they differ)."""
    first, second = _real("y_pred", y_pred), _real("y", y)
    if first.shape != second.shape:
        raise ValueError(f"y has shape {second.shape}; {first.shape} is wanted, as y_pred has")
    if first.size == 0:
        raise ValueError(f"y_pred has shape {first.shape}, which is empty; at least one element is wanted")
    dtype = np.result_type(_own_float(first), _own_float(second))
    return finite("y_pred", _in_place("y_pred", first, dtype)), finite("y", _in_place("y", second, dtype))


def rate(learning_rate: Any, dtype: np.dtype[Any]) -> float:
    """The learning rate: a positive number that is finite, and above 0, in the dtype of the weights."""
    value = _float("learning_rate", learning_rate, "a positive number")
    smallest, largest = _LIMITS[dtype]
    if not smallest <= value <= largest:
        raise ValueError(f"learning_rate is {value!r}; a finite positive number in dtype {dtype} is wanted")
    return value


def positive(name: str, value: Any, *, most: float = math.inf, wanted: str = "") -> float:
    """A finite number above 0 and `most` at most; `wanted` says so, where the argument may be something else too."""
    limit = f" of {most} at most" if most < math.inf else ""
    return _number(name, value, lambda number: 0 < number <= most, wanted or f"a positive number{limit}")


def not_negative(name: str, value: Any, *, below: float = math.inf) -> float:
    """A finite number, 0 or more and `below` a limit."""
    limit = f" and below {below}" if below < math.inf else ""
    return _number(name, value, lambda number: 0 <= number < below, f"a number of 0 or more{limit}")


def _number(name: str, value: Any, good: Callable[[float], bool], wanted: str) -> float:
    number = _float(name, value, wanted)
    if not (good(number) and math.isfinite(number)):
        raise ValueError(f"{name} is {shown(value)}; {wanted} is wanted")
    return number


def _float(name: str, value: Any, wanted: str) -> float:
    """A real number as float64, inf if it is beyond; else a TypeError."""
    if type(value) is float:
        return value
    if not isinstance(value, numbers.Real) or isinstance(value, (bool, np.timedelta64)):  # which NumPy calls real
        raise TypeError(f"{name} is {shown(value)}; {wanted} is wanted")
    try:
        return float(value)
    except OverflowError:  # a whole number or a fraction
        return math.inf


def check_representable(name: str, value: float, dtype: np.dtype[Any], *, below: float = math.inf) -> None:
    """Refuse a setting that the dtype rounds to 0, to its limit or to infinity, though it is none of these."""
    if value == 0:
        return
    with np.errstate(over="ignore", under="ignore"):
        rounded = float(dtype.type(value))
    if not 0 < rounded < below:
        limit = f"below {below:g}" if below < math.inf else "finite"
        raise ValueError(f"{name} is {value!r}; a number that is above 0 and {limit} in dtype {dtype} is wanted")


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {shown(value)}; True or False is wanted")
    return bool(value)


def mean_of_bias(bias_reduction: Any) -> bool:
    """True for "mean", False for "sum"."""
    if not isinstance(bias_reduction, str) or bias_reduction not in ("mean", "sum"):
        raise ValueError(f'bias_reduction is {shown(bias_reduction)}; "mean" or "sum" is wanted')
    return bool(bias_reduction == "mean")


def count(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number, `least` or more, and `most` at most."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.ma.MaskedArray)):
        raise TypeError(f"{name} is {shown(value)}; a whole number is wanted")
    if number < least:
        raise ValueError(f"{name} is {shown(number)}; {least} or more is wanted")
    if most is not None and number > most:
        raise ValueError(f"{name} is {shown(number)}; {most} at most is wanted")
    return number


def seed(value: Any) -> int:
    """A seed of random numbers: 0 or more, and no more than 128 bits, which a generator is in."""
    return count("seed", value, 0, 2**128 - 1)


def step_count(steps: Any) -> int:
    """How many steps: 0 or more, and no more than there is memory for their costs."""
    number = count("steps", steps, 0)
    check_fits_memory("steps", number, number + 1)
    return number


def known_name(name: str, value: Any, known: Sequence[str]) -> str:
    """One of the names that are known."""
    wanted = f"{', '.join(map(repr, known[:-1]))} or {known[-1]!r} is wanted"
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)}; {wanted}")
    if value not in known:
        raise ValueError(f"{name} is {shown(value)}; {wanted}")
    return str(value)


def path(name: str, value: Any) -> Path:
    """The path of a file."""
    try:
        known = Path(value)
    except TypeError:
        raise TypeError(f"{name} is {shown(value)}; the path of a file is wanted, a string or a Path") from None
    if "\0" in str(known):
        raise ValueError(f"{name} is {shown(value)}; a path without a character 0 is wanted")
    return known


def raise_diverged(step: int | None, x: FloatArray, y: FloatArray) -> NoReturn:
    """Say why the cost or the update of `step` is not finite: a nan or inf in x or y, or else divergence.

    None is no step: gradients alone were asked for.

    A number that is not finite always reaches the cost or a gradient (0 * inf is nan), so the inputs need no look
    before: training reads x once a step, and this is only called when something went wrong.
    """
    finite("x", x)
    finite("y", y)
    if step is None:
        raise FloatingPointError(
            f"the cost or a gradient is not finite in dtype {x.dtype}; smaller numbers in x, y, w or b are wanted"
        )
    raise FloatingPointError(
        f"training diverged in step {step}: its cost or its update is not finite; w and b hold the last finite "
        f"state (a smaller learning_rate may help)"
    )


MAY_HELP = "a smaller learning_rate or a clip_norm may help"
LAST_STATE = f"weights and biases hold the last finite state ({MAY_HELP})"


def raise_network_diverged(x: FloatArray, y: npt.NDArray[Any], step: int | None, epoch: int | None = None) -> NoReturn:
    """Say why the loss or the update of `step` is not finite, and where it was: all of x and y are looked at."""
    finite("x", x)
    finite("y", y)
    if step is None:
        raise FloatingPointError(
            f"the loss or a gradient is not finite in dtype {x.dtype}; smaller numbers in x, y, weights or biases are "
            f"wanted"
        )
    where = f"step {step}" if epoch is None else f"step {step}, in epoch {epoch}"
    raise FloatingPointError(f"training diverged in {where}: its loss or its update is not finite; {LAST_STATE}")
