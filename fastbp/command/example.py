"""The worked example of the article that fastbp starts from: 2 rows, 3 inputs, 2 outputs, 1000 steps at 0.1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

import fastbp
from fastbp.contract import FloatArray

STEPS = 1000
FIRST, LAST = 19, 13  # the steps that the article prints


class Step(NamedTuple):
    """The outputs before and after a step (rows, outputs), and the cost after it."""

    number: int
    before: FloatArray
    after: FloatArray
    cost: float


def worked_example() -> Iterator[Step]:
    """Each step of the example, from 1 to 1000."""
    x = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    y = np.array([[1.0, 0.0], [0.0, 1.0]])
    w = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    b = np.array([0.0, 0.0])
    after = fastbp.forward(x, w, b)
    for number in range(1, STEPS + 1):
        before = after
        fastbp.backward(x, before, y, w, b, learning_rate=0.1)
        after = fastbp.forward(x, w, b)
        yield Step(number, before, after, fastbp.cost(after, y))


def in_words(step: Step) -> str:
    """A step as the article prints it, in English."""
    before, after = (np.array2string(outputs, precision=8, prefix=" " * 8) for outputs in (step.before, step.after))
    return f"step {step.number}\n before {before}\n after  {after}\n cost   {step.cost!r}"
