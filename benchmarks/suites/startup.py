"""What a new process pays before its first step is done: import, and compilation or loading from the cache."""

from __future__ import annotations

_STEP = """
import numpy as np
import fastbp
x, y = np.ones((100, 20), np.{dtype}), np.ones((100, 3), np.{dtype})
w, b = np.zeros((20, 3), np.{dtype}), np.zeros(3, np.{dtype})
{timed}fastbp.step(x, y, w, b)
"""
_STATEMENT = "fastbp.step(x, y, w, b)"


def _before_the_step(dtype: str) -> str:
    return _STEP.format(dtype=dtype, timed="# ")


class Startup:
    """Fresh interpreters, one for each sample."""

    params = ("float32", "float64")
    param_names = ("dtype",)
    number = 1
    repeat = 3
    rounds = 1
    timeout = 300.0

    def timeraw_first_step_compiling(self, dtype: str) -> tuple[str, str]:
        """The first step on an empty cache."""
        empty = (
            "import os, tempfile; folder = tempfile.TemporaryDirectory(); os.environ['FASTBP_CACHE_DIR'] = folder.name"
        )
        return _STATEMENT, empty + _before_the_step(dtype)

    def timeraw_first_step_from_cache(self, dtype: str) -> tuple[str, str]:
        """The first step where a process before has compiled."""
        step = _STEP.format(dtype=dtype, timed="").strip().replace("\n", "; ")
        filled = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{step}'], check=True)"
        return _STATEMENT, filled + _before_the_step(dtype)


class Import:
    number = 1
    repeat = 5
    rounds = 1

    def timeraw_import(self) -> tuple[str, str]:
        """`import fastbp`, after NumPy."""
        return "import fastbp", "import numpy"
