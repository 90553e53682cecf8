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
from fastbp.kernels import layer, sigmoid_layer, team, tiny
from fastbp.kernels.layer_arrays import FAILED, FINITE_X, STEP, Arrays
from fastbp.layers import few_rows, many_rows
from fastbp.layers.plan import is_tiny, plan_for
from fastbp.layers.program import program_for
from fastbp.layers.work import work_of
from fastbp.memory import aligned
from fastbp.pace import Pace
from fastbp.pool import engage
from fastbp.tiles import atomics
from fastbp.tiles.registers import lanes_of

# A thread keeps so many calls, and so many bytes of memory in all. A step of 282 x 3020 -> 538 in float64, 41 MB, takes
# 1.2 times as long in fresh memory.
MOST_KEPT = 4
KEPT_BYTES = 64 * 1024 * 1024
SHARE_BYTES = KEPT_BYTES // MOST_KEPT  # of each: only with a larger one can it be more in all

Progress = Callable[[int, FloatArray], None]


class Kind(NamedTuple):
    """What calls have in common that can share a program and memory."""

    purpose: int
    update: bool  # whether gradients update the weights
    last_cost: bool  # whether one more cost is wanted after the last step
    rows: int
    inputs: int
    outputs: int
    dtype: np.dtype[Any]
    threads: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.inputs, self.outputs


class Call:
    """The program of a kind, and memory for it."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        forward = kind.purpose == sigmoid_layer.FORWARD
        self.plan = plan_for(*kind.shape, kind.dtype, kind.threads, forward=forward, update=kind.update)
        self._program, self._body = program_for(
            self.plan, *kind.shape, kind.purpose, update=kind.update, last_cost=kind.last_cost
        )
        self.memory = aligned(self.plan.size, kind.dtype)
        costs, lanes = self.plan.costs, lanes_of(8)
        self.cost = aligned(costs * lanes, np.dtype(np.float64)).reshape(costs, lanes)
        self._state = np.zeros(FAILED + self.plan.update_tasks, np.int64)
        self._desk = atomics.board(team.FIRST + self.plan.threads)
        self._unused = np.empty((1, 1), kind.dtype)
        self._kernel = layer.run.for_dtype(kind.dtype)
        self._pace = Pace(self._body, work_of(*kind.shape))

    @property
    def finite_x(self) -> bool:
        """Whether it is sure that all of the x that has gone forward is finite; false, too, where weights are not."""
        return bool(self._state[FINITE_X])

    def gradients(self) -> tuple[FloatArray, FloatArray]:
        """dC/dw and dC/db of the last call, in its memory."""
        plan, weights = self.plan, (self.kind.inputs, self.kind.outputs)
        if plan.few:
            return few_rows.gradients_in(self.memory, plan.few_rows, *weights)
        return many_rows.gradients_in(self.memory, plan.many_rows, *weights)

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
        state[FINITE_X] = 1
        costs = np.empty(steps + 1 if self.kind.last_cost else steps)
        arrays = Arrays(  # in their order: by name they would cost half a microsecond
            x,
            y,
            self._unused if y_pred is None else y_pred,
            w,
            b[np.newaxis],
            self.memory,
            self.cost,
            state,
            self._desk,
            costs,
            learning_rate,
            bias_rate,
        )
        lines = len(self._program) + self._body * (steps - 1)
        line = 0
        try:
            while line < lines:
                start = time.perf_counter()
                last = min(lines, line + self._pace.lines)
                line = self._run(line, last, steps, arrays)
                if progress is not None:
                    progress(int(state[STEP]), costs)
                if line < last:
                    contract.raise_diverged(x, y, w, b, int(state[STEP]) if self.kind.update else None)
                if line < lines:  # there is more to do: at the pace of the lines so far
                    self._pace.adapt(time.perf_counter() - start)
        finally:
            # Ctrl-C may come after a kernel call and before its line is known: the state tells what was done.
            if line < lines and self.kind.update and state[STEP] > 0:
                self._run(lines - 1, lines, steps, arrays)  # SAVE
        return costs

    def _run(self, first: int, last: int, steps: int, arrays: Arrays) -> int:
        """Carry out some lines; the number of the line to go on with, or of the one that failed."""
        door = engage(self.plan.threads)
        line: int = self._kernel(team.LEADER, self._program, self._body, steps, first, last, arrays, self.plan, door)
        return line


class TinyCall:
    """Memory for a kind of training that is so small that a kernel of its own is faster."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.memory = aligned(tiny.memory_size(*kind.shape, lanes_of(kind.dtype.itemsize)), kind.dtype)
        self._kernel = tiny.train_tiny.for_dtype(kind.dtype)
        self._pace = Pace(1, 100 + work_of(*kind.shape))

    def carry_out(
        self,
        x: FloatArray,
        y: FloatArray,
        w: FloatArray,
        b: FloatArray,
        *,
        learning_rate: float,
        bias_rate: float,
        steps: int,
        progress: Progress | None,
    ) -> FloatArray:
        """As that of `Call`."""
        costs = np.empty(steps + 1 if self.kind.last_cost else steps)
        arrays, step = (x, y, w, b[np.newaxis], self.memory), 0
        while step < costs.size:
            last = min(costs.size, step + self._pace.lines)
            step = self._kernel(*arrays, learning_rate, bias_rate, step, last, steps, costs)
            if progress is not None:
                progress(min(step, steps), costs)
            if step < last:
                contract.raise_diverged(x, y, w, b, step)
        return costs


class _Kept(threading.local):
    def __init__(self) -> None:
        self.calls: OrderedDict[Kind, Call | TinyCall] = OrderedDict()


_kept = _Kept()


def take(*kind: Any) -> Call | TinyCall:
    """A call of the `Kind` with these fields, to be given back when its memory is no longer needed.

    A plain tuple of them finds it, too, and is made in a tenth of a step's time less.
    """
    return _kept.calls.pop(kind, None) or _new(Kind(*kind))  # type: ignore[call-overload]


def _new(kind: Kind) -> Call | TinyCall:
    trains = kind.purpose == sigmoid_layer.GRADIENTS and kind.update
    return TinyCall(kind) if trains and is_tiny(*kind.shape, kind.dtype.itemsize) else Call(kind)


def give_back(call: Call | TinyCall) -> None:
    """Keep the call for the next one of its kind."""
    kept, size = _kept.calls, call.memory.nbytes
    if size > KEPT_BYTES:
        return
    kept[call.kind] = call
    if len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    if size > SHARE_BYTES:
        while sum(each.memory.nbytes for each in kept.values()) > KEPT_BYTES:
            kept.popitem(last=False)
