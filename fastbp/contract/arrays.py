"""Real numbers as arrays that kernels take: C-contiguous, aligned, of one float dtype."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from fastbp.contract.words import shown

FloatArray = npt.NDArray[Any]

FLOATS = FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def real_array(name: str, value: Any) -> FloatArray:
    """`value` as a C-contiguous array of real numbers of its own float dtype, or float64 if it has none."""
    array = real(name, value)
    return in_place(name, array, own_float(array))


def own_float(array: npt.NDArray[Any]) -> np.dtype[Any]:
    native = array.dtype.newbyteorder("=")
    return native if native in FLOATS else np.dtype(np.float64)


def lies_ready(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether it lies in memory as kernels take it."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def is_ready(matrix: Any, dtype: np.dtype[Any]) -> bool:
    """Whether it is just what kernels take. Most arguments are, and nothing else need be asked of them."""
    return type(matrix) is np.ndarray and matrix.ndim == 2 and matrix.size > 0 and lies_ready(matrix, dtype)


def in_place(name: str, array: npt.NDArray[Any], dtype: np.dtype[Any]) -> FloatArray:
    """`array` in the dtype, C-contiguous and aligned: a copy, unless it is so already.

    An array that says one element over and over may be larger than any memory.
    """
    if lies_ready(array, dtype):
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


def real(name: str, value: Any) -> npt.NDArray[Any]:
    """`value` as an array of real numbers of whatever dtype."""
    if is_masked(value):
        raise TypeError(f"{name} is a masked array, whose mask would be lost; fill it first: {name}.filled(...)")
    if _holds_masked(value):
        raise TypeError(f"{name} holds a masked array, whose mask would be lost; fill it first")
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:  # the last two from what makes an array of itself
        said = "is ragged" if isinstance(value, (list, tuple)) else "is no array"
        raise ValueError(f"{name} {said} ({error}); a rectangular array of numbers is wanted") from None
    if array.dtype.kind not in "fiub":
        of_several = ", as numpy.asarray(..., float) makes of several kinds" if array.dtype == object else ""
        raise TypeError(f"{name} has dtype {array.dtype}; real numbers are wanted (float, integer or bool){of_several}")
    return array


def is_masked(value: Any) -> bool:
    """Whether it is a masked array."""
    return type(value) is not np.ndarray and isinstance(value, _masked_array())


def _holds_masked(value: Any) -> bool:
    """Whether it is a list or tuple of which an element is a masked array, as rows may be.

    Those of lists within are not looked at: that would take four times as long as to make an array of them.
    """
    if not isinstance(value, (list, tuple)):
        return False
    return any(issubclass(kind, _masked_array()) for kind in set(map(type, value)))


def _masked_array() -> Any:
    """The class of masked arrays, of which there is none before NumPy's module of them is imported: by `np.ma`."""
    return getattr(sys.modules.get("numpy.ma"), "MaskedArray", ())


def matrix(name: str, value: Any) -> npt.NDArray[Any]:
    """`value` as a matrix with at least one row and one column."""
    array = real(name, value)
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}; two dimensions are wanted")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, which is empty; at least one row and column are wanted")
    return array


def finite(name: str, array: FloatArray) -> FloatArray:
    """`array`, if every element is a finite number."""
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):  # without a mask of array's size
        good = np.isfinite(array)
        where = tuple(int(i) for i in np.argwhere(~np.atleast_1d(good))[0])
        value = np.atleast_1d(array)[where]
        index = ", ".join(map(str, where))
        raise ValueError(f"{name}[{index}] is {value}; a finite number in dtype {array.dtype} is wanted")
    return array
