"""Learning rates that change from update to update: schedule(step), where step updates were done before.

A network counts the updates of its optimizer (`Network.updates`), of which an epoch has one for each batch: epochs x
ceil(rows / batch_size) in a call of `fit`. The next call goes on counting, and is at the end of a schedule where the
one before has come to it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fastbp import contract

MOST_UPDATES = 2**53  # that float64 counts


class _Schedule:
    """What all schedules have: a rate that first rises and then falls."""

    initial: float
    warmup: int

    def __call__(self, step: int) -> float:
        """The rate of the update that comes after `step` others."""
        return self._after(contract.count("step", step, 0, MOST_UPDATES))

    def _after(self, step: int) -> float:
        if step < self.warmup:
            return self.initial * ((step + 1) / self.warmup)  # their quotient first: no product overflows
        return self._fallen(step - self.warmup)

    def _fallen(self, step: int) -> float:
        """The rate of the update that comes after `step` others, the warm-up apart."""
        raise NotImplementedError


@dataclass(frozen=True)
class StepDecay(_Schedule):
    """initial * factor^floor(step / every): the rate is multiplied by `factor` after each `every` updates.

    initial: positive; every: at least 1; factor: above 0, at most 1.
    warmup: over so many updates the rate first rises evenly, from initial / warmup to initial; then step counts from 0.
    Raises TypeError or ValueError for anything else.
    """

    initial: float
    every: int
    factor: float = 0.1
    warmup: int = 0

    def __post_init__(self) -> None:
        vars(self).update(
            initial=contract.positive("initial", self.initial),
            every=contract.count("every", self.every, 1, MOST_UPDATES),
            factor=contract.positive("factor", self.factor, most=1),
            warmup=contract.count("warmup", self.warmup, 0, MOST_UPDATES),
        )

    def _fallen(self, step: int) -> float:
        return self.initial * self.factor ** (step // self.every)

    @property
    def largest(self) -> float:
        """No rate is above it."""
        return self.initial


@dataclass(frozen=True)
class CosineDecay(_Schedule):
    """initial (1 + c) / 2 + final (1 - c) / 2, where c = cos(pi step / steps): from initial to final, which it keeps.

    initial: positive; steps: at least 1; final: not negative (Loshchilov and Hutter 2017, eq. 5, without restarts).
    warmup: over so many updates the rate first rises evenly, from initial / warmup to initial; then step counts from 0.
    Raises TypeError or ValueError for anything else.
    """

    initial: float
    steps: int
    final: float = 0.0
    warmup: int = 0

    def __post_init__(self) -> None:
        vars(self).update(
            initial=contract.positive("initial", self.initial),
            steps=contract.count("steps", self.steps, 1, MOST_UPDATES),
            final=contract.not_negative("final", self.final),
            warmup=contract.count("warmup", self.warmup, 0, MOST_UPDATES),
        )

    def _fallen(self, step: int) -> float:
        c = math.cos(math.pi * (min(step, self.steps) / self.steps))
        return self.initial * ((1 + c) / 2) + self.final * ((1 - c) / 2)

    @property
    def largest(self) -> float:
        """No rate is above it."""
        return max(self.initial, self.final)


Schedule = StepDecay | CosineDecay


SCHEDULES = {kind.__name__: kind for kind in (StepDecay, CosineDecay)}


def rates(schedule: Schedule, first: int, count: int) -> list[float]:
    """The rates of `count` updates in a row, the first of which comes after `first` others."""
    return [schedule._after(step) for step in range(first, first + count)]
