"""Layers gone through in a chosen way, whatever their shape: small ones, which are quick to test, do not take all."""

from contextlib import contextmanager

import pytest

from fastbp.layers import call, cycles, few_rows, many_rows, panels, plan, program
from fastbp.tiles.registers import lanes_of

_NOT_TINY = {"PARALLEL_WORK": 0}
_FEW_ROWS = {
    "few_is_faster": lambda _rows, _inputs, outputs, itemsize: outputs >= lanes_of(itemsize),
    "FEW_ROWS": 10**9,
    "BLOCK_BYTES": 1,
    "WORK_OF_TASK": 1,
    "INPUTS_OF_CUT": 6,
    "BYTES_OF_GROUP": 128,
    "BLOCK_VECTORS": 2,
    "STREAM_VECTORS": 4,
}
_MANY_ROWS = {"few_is_faster": lambda *_: False, "WORK_OF_SHARD": 1}
_FAR = {"FAR_BYTES": 0, "NEAR_BYTES": 0}
_STRIPS = {"LEVEL_1": 0, "direct_cycles": lambda *_: float("inf")}
_GROUPS = {"LEAST_OF_GROUP": 6, "GROUP_BYTES": 1}
_STRETCHES = {"WIDE_BYTES": 0, "FEW_OUTPUTS": 0, "LEAST_ROWS": 1, "WANTED_ROWS": 1, "PANEL_BYTES": 1, "PIECE": 1}
_STRETCHES |= {"LEAST_OF_GROUP": 6, "TASKS_OF_THREAD": 100}

# Few inputs at a time, or small shards of the rows, and these transposed in strips, or small groups of the outputs, or
# stretches of small panels, some of it as if it came from memory: in as many tasks as can be, and for all threads.
WAYS = {
    "as it comes": {},
    "few rows": _FEW_ROWS | _NOT_TINY,
    "many rows": _MANY_ROWS | _NOT_TINY,
    "strips": _MANY_ROWS | _STRIPS | _FAR | _NOT_TINY,
    "groups": _MANY_ROWS | _GROUPS | _NOT_TINY,
    "stretches": _MANY_ROWS | _STRETCHES | _FAR | _NOT_TINY,
}


@contextmanager
def gone_through(way):
    """All layers, in one of the WAYS."""
    with planned_with(WAYS[way]), pytest.MonkeyPatch.context() as patch:
        if WAYS[way]:
            patch.setattr(call, "is_tiny", lambda *_: False)
        yield


@contextmanager
def planned_with(settings):
    """All layers, with these settings of the modules that plan them, by name."""
    with pytest.MonkeyPatch.context() as patch:
        for name, setting in settings.items():
            modules = [module for module in (plan, cycles, few_rows, many_rows, panels) if hasattr(module, name)]
            assert modules, name
            for module in modules:
                patch.setattr(module, name, setting)
        if settings:
            _forget()
        yield
    if settings:
        _forget()


def _forget():
    plan.plan_for.cache_clear()
    program.program_for.cache_clear()
    call._kept.calls.clear()
