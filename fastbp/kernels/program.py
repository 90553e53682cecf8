"""How a program is carried out: a table of lines, each a number of tasks that do not depend on each other.

Every worker has tasks of its own; who is done with them steals those of slower ones. What a task computes, and the
order in which partial results are folded, is the same whoever does it: so are the bits, for any number of threads. How
the workers find to each other is told in `team`.
"""

from __future__ import annotations

import numpy as np

from fastbp.kernels.jit import entry, inlined, kernel
from fastbp.kernels.team import (
    DONE,
    LEADER,
    OVER,
    TASK,
    await_tasks,
    claim,
    dismiss,
    invite,
    next_line,
    open_line,
    take,
    wait_before_stealing,
)
from fastbp.tiles.atomics import add
from fastbp.tiles.calls import lay_open

# The first column of a program; the others are the business of who performs its tasks.
TASKS = 0


@inlined
def _unrolled(line, body, steps):
    """The index in the program of a line: first the prologue, then `body` lines `steps` times, then the rest."""
    if line == 0:
        return 0
    if line <= body * steps:
        return 1 + (line - 1) % body
    return line - body * (steps - 1)


@kernel
def share(count, group, groups, unit):
    """The first of `count` things that belong to a group, in whole units, and their number."""
    if groups == 1:  # two divisions less: a twentieth of 8-16-16-1 in batches of 32
        return 0, count
    units = -(-count // unit)
    first = min(units * group // groups * unit, count)
    return first, min(units * (group + 1) // groups * unit, count) - first


def runner(name, perform, close, conclude, examples):
    """The kernel `name`, which carries out programs. `arrays` and `plan` are like those of examples(dtype).

    perform(program, index, task, worker, again, arrays, plan) does a task of the line at that index; `again` is whether
    its step is not the first one of this call. close(program, index, arrays, plan) does what is left to the leader at
    the end of a line, and is False if the call must end with it. conclude(arrays, plan) is what it does at the end of
    the call.
    """

    def run(worker, program, body, steps, first_line, last_line, arrays, plan, door):
        """Carry out the lines first_line ... last_line - 1 of a program, unrolled.

        program[0] is the prologue; the next `body` lines are a step and are repeated `steps` times; the rest follows.
        Returns the number of the line to go on with: last_line, or the line whose `close` was False.

        Callers are the LEADER, with the `door` where helpers may be, or an empty one. Helpers call the same function
        with their own number: one of theirs would be compiled twice, by itself and inside of this one (1.5 s of 7.6 s).
        """
        desk = arrays.desk
        helped = worker == LEADER and take(door)
        if helped:
            call = (program, body, steps, first_line, last_line, arrays, plan, door)
            lay_open(door, TASK, run, call)
            invite(door, desk, plan.threads)

        line = first_line
        while line < last_line:
            if worker != LEADER:
                line = next_line(desk, line)
                if line == OVER:
                    break
            index = _unrolled(line, body, steps)
            tasks = program[index, TASKS]
            workers = max(1, min(plan.threads, tasks))
            if worker == LEADER:
                open_line(desk, line, workers)

            turn = 0
            while turn < workers:
                # A worker's own tasks are the same in every step, so that their rows lie in its core's cache already.
                owner = (worker + turn) % workers
                first = tasks * owner // workers
                count = tasks * (owner + 1) // workers - first
                if turn > 0:
                    wait_before_stealing(desk, owner, line, count)
                task = claim(desk, owner, line, count)
                if task == count:
                    turn += 1
                    continue
                perform(program, index, first + task, worker, line > body, arrays, plan)
                add(desk, DONE, 1)

            if worker == LEADER:
                await_tasks(desk, tasks)
                if not close(program, index, arrays, plan):
                    break
            line += 1

        if worker == LEADER:
            conclude(arrays, plan)
        if helped:
            dismiss(door, desk)
        return line

    run.__name__ = run.__qualname__ = name
    table = np.empty((1, 1), np.int64)
    whole = entry(lambda dtype: (LEADER, table, 1, 1, 0, 1, *examples(dtype), table))(run)
    run = whole.dispatcher  # as what it lays itself open
    return whole
