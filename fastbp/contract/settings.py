"""Arguments that are no arrays: numbers, names and choices."""

from __future__ import annotations

import math
import numbers
import operator
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.contract.arrays import FLOATS, check_fits_memory, is_masked
from fastbp.contract.words import shown

_LIMITS = {dtype: (float(np.finfo(dtype).smallest_subnormal), float(np.finfo(dtype).max)) for dtype in FLOATS}


def rate(learning_rate: Any, dtype: np.dtype[Any]) -> float:
    """The learning rate: a positive number that is finite, and above 0, in the dtype of the weights."""
    value = number("learning_rate", learning_rate, "a positive number")
    smallest, largest = _LIMITS[dtype]
    if not smallest <= value <= largest:
        raise ValueError(f"learning_rate is {value!r}; a finite positive number in dtype {dtype} is wanted")
    return value


def positive(name: str, value: Any, *, most: float = math.inf, wanted: str = "") -> float:
    """A finite number above 0 and `most` at most; `wanted` says so, where the argument may be something else too."""
    limit = f" of {most} at most" if most < math.inf else ""
    return _good_number(name, value, lambda number: 0 < number <= most, wanted or f"a positive number{limit}")


def not_negative(name: str, value: Any, *, below: float = math.inf) -> float:
    """A finite number, 0 or more and `below` a limit."""
    limit = f" and below {below}" if below < math.inf else ""
    return _good_number(name, value, lambda number: 0 <= number < below, f"a number of 0 or more{limit}")


def _good_number(name: str, value: Any, good: Callable[[float], bool], wanted: str) -> float:
    known = number(name, value, wanted)
    if not (good(known) and math.isfinite(known)):
        raise ValueError(f"{name} is {shown(value)}; {wanted} is wanted")
    return known


def number(name: str, value: Any, wanted: str = "a number") -> float:
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
    return known_name("bias_reduction", bias_reduction, ("mean", "sum")) == "mean"


def count(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number, `least` or more, and `most` at most."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or is_masked(value):
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
    """One of the names that are known. To write what is wanted takes a microsecond: only if it is missed."""
    if isinstance(value, str) and value in known:
        return str(value)
    kind = ValueError if isinstance(value, str) else TypeError
    raise kind(f"{name} is {shown(value)}; {', '.join(map(repr, known[:-1]))} or {known[-1]!r} is wanted")


def path(name: str, value: Any) -> Path:
    """The path of a file."""
    try:
        known = Path(value)
    except TypeError:
        raise TypeError(f"{name} is {shown(value)}; the path of a file is wanted, a string or a Path") from None
    if "\0" in str(known):
        raise ValueError(f"{name} is {shown(value)}; a path without a character 0 is wanted")
    try:
        os.fsencode(known)
    except UnicodeEncodeError:  # half of a character
        raise ValueError(f"{name} is {shown(value)}; a path that the system can encode is wanted") from None
    return known
