"""Layers gone through as few rows are, whatever their shape: small ones, which are quick to test, never are else."""

from contextlib import contextmanager

import pytest

from fastbp import call, plan


@contextmanager
def as_few_rows():
    """Few inputs at a time, in as many tasks as there can be, and for all threads."""
    settings = {
        "few_is_faster": lambda *_: True,
        "FEW_ROWS": 10**9,
        "WEIGHT_BYTES": 1,
        "WORK_OF_TASK": 1,
        "INPUTS_OF_CUT": 6,
        "BYTES_OF_GROUP": 64,
        "STRIP_VECTORS": 2,
        "STREAM_VECTORS": 4,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, setting in {**settings, "PARALLEL_WORK": 0}.items():
            patch.setattr(plan, name, setting)
        patch.setattr(call, "is_tiny", lambda *_: False)
        _forget()
        yield
    _forget()


def _forget():
    plan.plan_for.cache_clear()
    call._kept.calls.clear()
