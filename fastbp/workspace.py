"""The memory that kernels work in, kept from one call to the next.

Fresh memory costs a page fault for every 4 KiB, more than the whole step of a small layer. A thread keeps what its
last calls used; a call takes it out while it runs, so that one inside of another gets its own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastbp.contract import FloatArray
from fastbp.kernels import team
from fastbp.kernels.schedule import FAILED, Plan
from fastbp.plan import PAGE
from fastbp.tiles import atomics
from fastbp.tiles.registers import lanes_of

# A thread keeps so many workspaces, of at most so many bytes each.
MOST_KEPT = 4
LARGEST_KEPT = 16 * 1024 * 1024


class Workspace(NamedTuple):
    """What `kernels.schedule.Arrays` wants beside the caller's arrays."""

    memory: FloatArray
    cost: npt.NDArray[np.float64]
    state: npt.NDArray[np.int64]
    desk: npt.NDArray[np.int64]


class _Kept(threading.local):
    def __init__(self) -> None:
        self.workspaces: OrderedDict[tuple[Plan, np.dtype[Any]], Workspace] = OrderedDict()


_kept = _Kept()


def take(plan: Plan, dtype: np.dtype[Any]) -> Workspace:
    """A workspace for the plan; only `state` is cleared."""
    workspace = _kept.workspaces.pop((plan, dtype), None)
    if workspace is None:
        return Workspace(
            memory=aligned(plan.size, dtype),
            cost=aligned(plan.parts * plan.groups * lanes_of(8), np.dtype(np.float64)).reshape(-1, lanes_of(8)),
            state=np.zeros(FAILED + plan.pieces, np.int64),
            desk=atomics.board(team.FIRST + plan.threads),
        )
    workspace.state[:] = 0
    return workspace


def give_back(plan: Plan, workspace: Workspace) -> None:
    """Keep the workspace for a later call with the same plan."""
    if workspace.memory.nbytes <= LARGEST_KEPT:
        _kept.workspaces[plan, workspace.memory.dtype] = workspace
        if len(_kept.workspaces) > MOST_KEPT:
            _kept.workspaces.popitem(last=False)


def aligned(size: int, dtype: np.dtype[Any]) -> FloatArray:
    """Uninitialised memory that starts at a page, and so at a cache line: a vector across lines costs two loads."""
    memory = np.empty(size * dtype.itemsize + PAGE, np.uint8)
    start = -memory.ctypes.data % PAGE
    return memory[start : start + size * dtype.itemsize].view(dtype)
