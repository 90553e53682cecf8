"""A call of the kernels: its program, its memory, and how it is carried out, some lines at a time: Ctrl-C is heard.

A call fits all arrays of its shapes, and is kept for the next ones. Fresh memory costs a page fault for every 4 KiB,
more than the whole step of a small layer. A thread keeps its last calls; who carries one out takes it from there, so
that a call inside of another gets its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastbp import contract
from fastbp.contract import FloatArray
from fastbp.kernels import layer, schedule, team
from fastbp.kernels.schedule import FAILED, STEP, Arrays
from fastbp.plan import PAGE, plan_for, program_for, work_of
from fastbp.pool import engage
from fastbp.tiles import atomics
from fastbp.tiles.registers import lanes_of

# A kernel call should last so long, in seconds: Ctrl-C waits for its end.
CALL_SECONDS = 0.05
# Multiply-adds a second that the slowest machine is good for: how much of a program the first kernel call dares.
SLOWEST = 2e9
# A thread keeps so many calls, of at most so many bytes each.
MOST_KEPT = 4
LARGEST_KEPT = 16 * 1024 * 1024

Progress = Callable[[int, FloatArray], None]


class Kind(NamedTuple):
    """What calls have in common that can share a program and memory."""

    purpose: int
    followed: bool  # gradients: by an update of the weights
    last_cost: bool  # one more cost, after the last step
    rows: int
    inputs: int
    outputs: int
    dtype: np.dtype[Any]
    threads: int


class Call:
    """The program of a kind, and memory for it."""

    def __init__(self, kind: Kind) -> None:
        shapes = kind.rows, kind.inputs, kind.outputs
        forward, followed = kind.purpose == layer.FORWARD, kind.followed
        self.kind = kind
        self.plan = plan_for(*shapes, kind.dtype, kind.threads, forward=forward, followed=followed)
        self.program, self._body = program_for(
            self.plan, *shapes, kind.purpose, followed=followed, last_cost=kind.last_cost
        )
        self.memory = aligned(self.plan.size, kind.dtype)
        parts, lanes = self.plan.parts, lanes_of(8)
        self.cost = aligned(parts * lanes, np.dtype(np.float64)).reshape(parts, lanes)
        self._state = np.zeros(FAILED + self.plan.pieces, np.int64)
        self._desk = atomics.board(team.FIRST + self.plan.threads)
        self._unused = np.empty((1, 1), kind.dtype)
        self._lines_at_once = max(1, int(CALL_SECONDS * SLOWEST * self._body / work_of(*shapes)))

    def carry_out(
        self,
        x: FloatArray,
        y: FloatArray,
        w: FloatArray,
        b: FloatArray,
        *,
        y_pred: FloatArray | None = None,
        learning_rate: float = 0.0,
        bias_rate: float = 0.0,
        steps: int = 1,
        progress: Progress | None = None,
    ) -> FloatArray:
        """The costs; w and b end with the last whole step, whatever happens."""
        state = self._state
        state.fill(0)
        costs = np.empty(steps + 1 if self.kind.last_cost else steps)
        arrays = Arrays(
            x=x,
            y=y,
            y_pred=self._unused if y_pred is None else y_pred,
            w=w,
            b=b.reshape(1, -1),
            memory=self.memory,
            cost=self.cost,
            state=state,
            desk=self._desk,
            costs=costs,
            learning_rate=learning_rate,
            bias_rate=bias_rate,
        )
        lines = len(self.program) + self._body * (steps - 1)
        line = 0
        try:
            while line < lines:
                start = time.perf_counter()
                last = min(lines, line + self._lines_at_once)
                line = self._run(line, last, steps, arrays)
                if progress is not None:
                    progress(int(state[STEP]), costs)
                if line < last:
                    contract.diverged(int(state[STEP]), x, y)
                if line < lines:  # there is more to do: at the pace of the lines so far
                    pace = CALL_SECONDS / max(time.perf_counter() - start, 1e-9)
                    self._lines_at_once = max(1, int(self._lines_at_once * min(max(pace, 0.5), 2.0)))
        finally:
            # Ctrl-C may come after a kernel call and before its line is known: the state tells what was done.
            if line < lines and self.kind.followed and state[STEP] > 0:
                self._run(lines - 1, lines, steps, arrays)  # SAVE
        return costs

    def _run(self, first: int, last: int, steps: int, arrays: Arrays) -> int:
        """Carry out some lines; the number of the line to go on with, or of the one that failed."""
        door = engage(self.plan.threads)
        run = schedule.run.for_dtype(self.kind.dtype)
        line: int = run(team.LEADER, self.program, self._body, steps, first, last, arrays, self.plan, door)
        return line


class _Kept(threading.local):
    def __init__(self) -> None:
        self.calls: OrderedDict[Kind, Call] = OrderedDict()


_kept = _Kept()


def take(kind: Kind) -> Call:
    """A call of the kind, to be given back when its memory is no longer needed."""
    return _kept.calls.pop(kind, None) or Call(kind)


def give_back(call: Call) -> None:
    """Keep the call for the next one of its kind."""
    if call.memory.nbytes <= LARGEST_KEPT:
        _kept.calls[call.kind] = call
        if len(_kept.calls) > MOST_KEPT:
            _kept.calls.popitem(last=False)


def aligned(size: int, dtype: np.dtype[Any]) -> FloatArray:
    """Uninitialised memory that starts at a page, and so at a cache line: a vector across lines costs two loads."""
    memory = np.empty(size * dtype.itemsize + PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE
    return memory[start : start + size * dtype.itemsize].view(dtype)
