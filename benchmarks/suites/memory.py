"""How much memory a step takes beside its arguments: x is 16 MB here, y_pred would be 40."""

from __future__ import annotations

import importlib

import numpy as np


class Memory:
    """The largest resident set of a process that holds the arguments and does one step."""

    params = ("reference", "fastbp")
    param_names = ("implementation",)
    timeout = 300.0

    def setup(self, implementation: str) -> None:
        self.step = importlib.import_module("fastbp" if implementation == "fastbp" else "fastbp.reference").step
        self.x, self.y = np.ones((200_000, 20), np.float32), np.zeros((200_000, 50), np.float32)
        self.w, self.b = np.zeros((20, 50), np.float32), np.zeros(50, np.float32)

    def peakmem_step(self, implementation: str) -> None:
        self.step(self.x, self.y, self.w, self.b, learning_rate=1e-6)
