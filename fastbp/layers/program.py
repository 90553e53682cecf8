"""The program of a call on a layer: the lines that `fastbp.kernels.layer` carries out."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp.cutting import LINE_WORK
from fastbp.kernels import few_rows, many_rows
from fastbp.kernels.layer import CHECK, NEXT_STEP, NOTHING, TOTAL, Plan
from fastbp.kernels.sigmoid_layer import BACKWARD, COST, FORWARD, GRADIENTS
from fastbp.layers.many_rows import tasks_of_gradient, tasks_of_rows
from fastbp.layers.work import work_of


class Line(NamedTuple):
    """So many tasks of a phase, and what is done at the end of it."""

    tasks: int
    phase: int
    purpose: int = 0
    first_row: int = 0
    last_row: int = 0
    closing: int = NOTHING


@functools.lru_cache(maxsize=256)
def program_for(
    plan: Plan, rows: int, inputs: int, outputs: int, purpose: int, *, update: bool, last_cost: bool
) -> tuple[npt.NDArray[np.int64], int]:
    """The lines, and how many of them make a step; they begin with one that is not of a step.

    Gradients `update` the weights, which ends with one more line after the last step, or are kept. With `last_cost`,
    one more cost comes after the last step.
    """
    way = _FewRows(plan) if plan.few else _ManyRows(plan, rows, inputs, outputs)
    step = way.rows(purpose)
    if purpose != FORWARD:
        _close(step, TOTAL)
        step += way.update() if update else way.gradient()
    lines = [way.opening(purpose), *step]
    if last_cost:
        lines += _close(way.rows(COST), TOTAL)
    if update:
        lines.append(way.saving())
    return np.array(lines, np.int64), len(step)


def _close(lines: list[Line], closing: int) -> list[Line]:
    """Have the leader do something at the end of the last line."""
    lines[-1] = lines[-1]._replace(closing=closing)
    return lines


class _FewRows:
    """The lines of few rows. Their weights stay in place: there is nothing to load or save."""

    def __init__(self, plan: Plan) -> None:
        self._tasks = plan.few_rows.tasks

    def opening(self, purpose: int) -> Line:
        return Line(0 if purpose == FORWARD else self._tasks, few_rows.PREPARE)

    def rows(self, purpose: int) -> list[Line]:
        """All rows, as far as the purpose wants."""
        phases = [few_rows.DELTA] if purpose == BACKWARD else [few_rows.OUTPUTS, few_rows.DELTA]
        return [Line(self._tasks, phase, purpose) for phase in phases]

    def gradient(self) -> list[Line]:
        return [Line(self._tasks, few_rows.GRADIENT)]

    def update(self) -> list[Line]:
        rehearsal = Line(self._tasks, few_rows.REHEARSAL, closing=CHECK)
        return [rehearsal, Line(self._tasks, few_rows.UPDATE, closing=NEXT_STEP)]

    def saving(self) -> Line:
        return Line(0, few_rows.UPDATE)


class _ManyRows:
    """The lines of many rows."""

    def __init__(self, plan: Plan, rows: int, inputs: int, outputs: int) -> None:
        self._shape = rows, inputs, outputs
        self._tasks, self._plan = tasks_of_rows(plan.many_rows, plan.threads), plan.many_rows
        self._tasks_of_gradient = tasks_of_gradient(plan.many_rows, inputs, outputs, plan.threads)

    def opening(self, purpose: int) -> Line:
        return Line(self._plan.pieces, many_rows.LOAD)

    def rows(self, purpose: int) -> list[Line]:
        """All rows, as far as the purpose wants: some at a time, between which Ctrl-C is heard."""
        rows, inputs, outputs = self._shape
        plan = self._plan
        unit = plan.stretch or plan.panel * plan.parts
        of_line = plan.stretch or max(unit, LINE_WORK // work_of(1, inputs, outputs) // unit * unit)
        lines = []
        for first in range(0, rows, of_line):
            some = first, min(rows, first + of_line)
            lines.append(Line(self._tasks, many_rows.ROWS, purpose, *some))
            if plan.stretch and purpose in (BACKWARD, GRADIENTS):
                lines.append(Line(self._tasks_of_gradient, many_rows.GRADIENT, purpose, *some))
        return lines

    def gradient(self) -> list[Line]:
        return [Line(self._plan.pieces, many_rows.FOLD)]

    def update(self) -> list[Line]:
        return [Line(self._plan.pieces, many_rows.UPDATE, closing=NEXT_STEP)]

    def saving(self) -> Line:
        return Line(self._plan.pieces, many_rows.SAVE)
