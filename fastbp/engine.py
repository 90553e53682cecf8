"""One call of the API, carried out: the plan, the memory, the kernel, line by line so that Ctrl-C is heard."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fastbp import contract, pool, threads, workspace
from fastbp.contract import FloatArray
from fastbp.kernels import elementwise, schedule, team, tiny
from fastbp.kernels.schedule import STEP, Arrays
from fastbp.plan import is_tiny, plan_for, program_for, tiny_size, work_of
from fastbp.workspace import aligned

# A kernel call should last so long, in seconds: Ctrl-C waits for its end.
CALL_SECONDS = 0.05
# Multiply-adds a second that the slowest machine is good for: how much of a program the first call dares.
SLOWEST = 2e9

_FLOAT64 = np.empty((1, 1))

Progress = Callable[[int, FloatArray], None]


def read_only(array: FloatArray) -> FloatArray:
    """A view that cannot be written. Numba has a type of its own for these: all inputs are of that one type."""
    view = array.view()
    view.flags.writeable = False
    return view


def writeable(array: FloatArray) -> FloatArray:
    """The array, or a copy of it, for an argument that other calls write to."""
    return array if array.flags.writeable else array.copy()


class Call:
    """A program and what it works on."""

    def __init__(
        self,
        purpose: int,
        closing: int,
        x: FloatArray,
        y: FloatArray,
        y_pred: FloatArray,
        w: FloatArray,
        b: FloatArray,
        *,
        learning_rate: float = 0.0,
        mean: bool = True,
        steps: int = 1,
        last_cost: bool = False,
    ) -> None:
        rows, (inputs, outputs) = x.shape[0], w.shape
        self.plan = plan_for(
            rows, inputs, outputs, w.dtype, threads.get_num_threads(), forward=purpose == schedule.FORWARD
        )
        self.program, self.body = program_for(
            self.plan, rows, inputs, outputs, purpose, closing=closing, last_cost=last_cost
        )
        self.steps = steps
        self.lines = len(self.program) + self.body * (steps - 1)
        self.costs = np.empty(steps + 1 if last_cost else steps)
        self.workspace = workspace.take(self.plan, w.dtype)
        self.state = self.workspace.state
        self.arrays = Arrays(
            x=read_only(x),
            y=read_only(y),
            y_pred=y_pred,
            w=w,
            b=b.reshape(1, outputs),
            **self.workspace._asdict(),
        )
        self.learning_rate = learning_rate
        self.bias_rate = learning_rate / rows if mean else learning_rate
        work = work_of(rows, inputs, outputs) / max(1, self.body)
        self._lines_at_once = max(1, int(CALL_SECONDS * SLOWEST / work))

    def advance(self, line: int) -> int:
        """Carry out some lines; the number of the line to go on with, or of the one that failed."""
        last = min(self.lines, line + self._lines_at_once)
        start = time.perf_counter()
        done = self.run(line, last)
        pace = CALL_SECONDS / max(time.perf_counter() - start, 1e-9)
        self._lines_at_once = max(1, int(self._lines_at_once * min(max(pace, 0.5), 2.0)))
        self.failed = done < last
        return done

    def run(self, first: int, last: int) -> int:
        with pool.helpers(self.plan.threads) as door:
            return int(
                schedule.run(
                    team.LEADER,
                    self.program,
                    self.body,
                    self.steps,
                    first,
                    last,
                    self.arrays,
                    self.plan,
                    self.learning_rate,
                    self.bias_rate,
                    self.costs,
                    door,
                )
            )

    def close(self) -> None:
        """Give the memory back; after a failure it is simply dropped."""
        workspace.give_back(self.plan, self.workspace)

    def carry_out(self, progress: Progress | None = None) -> FloatArray:
        """All lines; w and b end with the last whole step, whatever happens."""
        line = 0
        updates = self.program[-1, schedule.PHASE] == schedule.SAVE
        try:
            while line < self.lines:
                line = self.advance(line)
                if progress is not None:
                    progress(int(self.state[STEP]), self.costs)
                if self.failed:
                    contract.diverged(int(self.state[STEP]), self.arrays.x, self.arrays.y)
        finally:
            # Ctrl-C may come after a kernel call and before its line is known: the state tells what was done.
            if updates and line < self.lines and self.state[STEP] > 0:
                self.run(self.lines - 1, self.lines)
        return self.costs


def _unused(w: FloatArray) -> FloatArray:
    """Stands for y_pred where a purpose does not touch it."""
    return np.empty((1, 1), w.dtype)


def forward(x: FloatArray, w: FloatArray, b: FloatArray) -> FloatArray:
    """y_pred, new."""
    y_pred = np.empty((x.shape[0], w.shape[1]), w.dtype)
    call = Call(schedule.FORWARD, schedule.FOLD, x, y_pred, y_pred, writeable(w), writeable(b))
    call.carry_out()
    if not np.isfinite(call.arrays.cost).all():  # the kernel adds 0 x to it
        contract.finite("x", x)
    call.close()
    return y_pred


def gradients(x: FloatArray, y: FloatArray, w: FloatArray, b: FloatArray, mean: bool) -> contract.Gradients:
    """The gradients and the cost, new."""
    call = Call(schedule.GRADIENTS, schedule.FOLD, x, y, _unused(w), writeable(w), writeable(b))
    cost = float(call.carry_out()[0])
    plan, memory = call.plan, call.arrays.memory
    inputs, outputs = w.shape
    grad_w = memory[plan.gradient_t : plan.gradient_t + outputs * plan.width].reshape(outputs, plan.width)
    grad_b = memory[plan.bias_gradient : plan.bias_gradient + outputs * plan.lanes].reshape(outputs, plan.lanes)
    result = contract.Gradients(
        np.array(grad_w[:, :inputs].T, order="C"), grad_b.sum(axis=1) / (x.shape[0] if mean else 1), cost
    )
    call.close()
    if not (np.isfinite(result.w).all() and np.isfinite(result.b).all()):
        contract.diverged(0, x, y)
    return result


def backward(
    x: FloatArray, y_pred: FloatArray, y: FloatArray, w: FloatArray, b: FloatArray, learning_rate: float, mean: bool
) -> None:
    y_pred = writeable(y_pred)
    call = Call(schedule.BACKWARD, schedule.UPDATE, x, y, y_pred, w, b, learning_rate=learning_rate, mean=mean)
    call.carry_out()
    call.close()


def train(
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    b: FloatArray,
    learning_rate: float,
    steps: int,
    mean: bool,
    *,
    last_cost: bool,
    progress: Progress | None = None,
) -> FloatArray:
    """The costs of `steps` steps, and with `last_cost` the cost after them."""
    if steps == 0:
        contract.finite("x", x)  # no gradient will tell
    if is_tiny(x.shape[0], x.shape[1], w.itemsize):
        return _train_tiny(x, y, w, b, learning_rate, steps, mean, last_cost, progress)
    call = Call(
        schedule.GRADIENTS,
        schedule.UPDATE,
        x,
        y,
        _unused(w),
        w,
        b,
        learning_rate=learning_rate,
        mean=mean,
        steps=steps,
        last_cost=last_cost,
    )
    costs = call.carry_out(progress)
    call.close()
    return costs


def _train_tiny(
    x: FloatArray,
    y: FloatArray,
    w: FloatArray,
    b: FloatArray,
    learning_rate: float,
    steps: int,
    mean: bool,
    last_cost: bool,
    progress: Progress | None,
) -> FloatArray:
    (rows, inputs), outputs = x.shape, y.shape[1]
    memory = aligned(tiny_size(rows, inputs, outputs, w.itemsize), w.dtype)
    bias_rate = learning_rate / rows if mean else learning_rate
    end = steps + 1 if last_cost else steps
    costs = np.empty(end)
    at_once = max(1, int(CALL_SECONDS * SLOWEST / (100 + work_of(rows, inputs, outputs))))
    step = 0
    while step < end:
        last = min(end, step + at_once)
        step = tiny.train_tiny(
            read_only(x),
            read_only(y),
            w,
            b.reshape(1, outputs),
            memory,
            _FLOAT64,
            learning_rate,
            bias_rate,
            step,
            last,
            steps,
            costs,
        )
        if progress is not None:
            progress(min(step, steps), costs)
        if step < last:
            contract.diverged(step, x, y)
    return costs


def sigmoid(x: FloatArray, *, gradient: bool) -> FloatArray:
    source = np.require(x, requirements=["C", "A"])
    result = np.empty_like(source)
    elementwise.apply_sigmoid(read_only(source.reshape(1, -1)), result.reshape(1, -1), gradient)
    return result.reshape(x.shape)[()]


def sum_of_squares(y_pred: FloatArray, y: FloatArray) -> float:
    flat = (read_only(np.require(array, requirements=["C", "A"]).reshape(1, -1)) for array in (y_pred, y))
    return float(elementwise.sum_of_squares(*flat, _FLOAT64))
