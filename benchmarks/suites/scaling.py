"""A step from small to large: along the rows, the inputs, the outputs and the threads."""

from __future__ import annotations

import fastbp
from registry.cases import SCALING, case_of
from registry.limits import THREADS

from .timed import ENGINES, FASTBP, Timed


class Rows(Timed):
    params = (ENGINES, tuple(SCALING["rows"]))
    param_names = ("implementation", "rows")

    def setup(self, implementation: str, rows: int) -> None:
        self.prepare(implementation, SCALING["rows"][rows])

    def time_step(self, implementation: str, rows: int) -> None:
        self.run()


class Inputs(Timed):
    params = (ENGINES, tuple(SCALING["inputs"]))
    param_names = ("implementation", "inputs")

    def setup(self, implementation: str, inputs: int) -> None:
        self.prepare(implementation, SCALING["inputs"][inputs])

    def time_step(self, implementation: str, inputs: int) -> None:
        self.run()


class Outputs(Timed):
    params = (ENGINES, tuple(SCALING["outputs"]))
    param_names = ("implementation", "outputs")

    def setup(self, implementation: str, outputs: int) -> None:
        self.prepare(implementation, SCALING["outputs"][outputs])

    def time_step(self, implementation: str, outputs: int) -> None:
        self.run()


class Threads(Timed):
    """fastbp on 1, 2, 4 ... threads; more than the machine has are n/a."""

    params = ((1, 2, 4, 8, 16, 32, 64), ("digits-float32", "mnist-float32", "wide-float32"))
    param_names = ("threads", "case")

    def setup(self, threads: int, key: str) -> None:
        if threads > THREADS:
            raise NotImplementedError(f"this machine has {THREADS} threads")
        self.prepare(FASTBP, case_of(key))
        self.held.callback(fastbp.set_num_threads, fastbp.get_num_threads())
        fastbp.set_num_threads(threads)
        self.run()

    def time_step(self, threads: int, key: str) -> None:
        self.run()
