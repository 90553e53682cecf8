"""The words and figures of a comparison: one table for people, one record for machines."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from statistics import median
from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np

from benchmarks.cases import Case
from benchmarks.limits import THREADS, Limits

FRAMEWORKS = ("torch", "jax")
POOL_SETTINGS = ("OMP_", "GOMP_", "KMP_BLOCKTIME", "MKL_", "OPENBLAS_", "NUMBA_", "XLA_FLAGS")


class Measured(NamedTuple):
    """One case: seconds of a call by configuration and round, and the deviation of each implementation."""

    case: Case
    times: dict[str, list[float]]
    deviations: dict[str, float]

    def best(self, *families: str) -> tuple[str, float] | None:
        """The fastest configuration of these families and its median, in seconds."""
        medians = [(median(times), name) for name, times in self.times.items() if name.startswith(families)]
        return (min(medians)[1], min(medians)[0]) if medians else None

    def row(self, limits: Limits) -> str:
        """The case's line of the table."""
        fastbp = self.best("fastbp")
        own = duration(fastbp[1]) if fastbp else "-"
        share = f"{100 * limits.seconds(self.case) / fastbp[1]:.3g}%" if fastbp else "-"
        others = [self.against(*families) for families in (("reference",), ("numpy",), FRAMEWORKS)]
        return f"| {' | '.join((self.case.shape, self.case.dtype, own, *others, share))} |"

    def against(self, *families: str) -> str:
        """How many times as long as fastbp the best of these families takes, and which it is."""
        other, fastbp = self.best(*families), self.best("fastbp")
        if other is None:
            return "-"
        ratio = f"{other[1] / fastbp[1]:.3g}x " if fastbp else ""
        return f"{ratio}({other[0]}: {duration(other[1])})"


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(measured: list[Measured], limits: Limits) -> str:
    """A row for each case: the time of one call, and of the others how many times as long they take."""
    titles = ("case", "dtype", "fastbp", "reference", "best NumPy", "best of PyTorch and JAX", "share of the limit")
    head = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join(head + [each.row(limits) for each in measured])


def versions() -> dict[str, str]:
    """The versions of whatever took part."""
    found = {"python": platform.python_version()}
    for package in ("fastbp", "numpy", "numba", "torch", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def blas() -> dict[str, str]:
    """Who multiplies matrices for whom; XLA brings its own."""
    build: Any = np.show_config(mode="dicts")
    numpy_blas = build["Build Dependencies"]["blas"]
    names = {"numpy": f"{numpy_blas['name']} {numpy_blas['version']}"}
    try:
        import torch
    except ImportError:
        return names
    mkl = re.search(r"Math Kernel Library Version ([\w.]+)", torch.__config__.show())
    return names | ({"torch": f"MKL {mkl[1]}"} if mkl else {})


def machine() -> dict[str, Any]:
    """The host, and the settings of thread pools that its environment brings."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(POOL_SETTINGS)}
    return {
        "system": platform.system(),
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "architecture": platform.machine(),
        "threads": THREADS,
        "environment": settings,
    }


def footer(limits: Limits, missing: dict[str, str]) -> str:
    """The machine, its limits, the versions, and what was left out."""
    host = machine()
    peaks = ", ".join(f"{peak / 1e9:.0f} Gflop/s {dtype}" for dtype, peak in limits.peak.items())
    lines = [
        f"{host['cpu']} ({host['architecture']}, {host['system']}), {THREADS} threads; "
        f"peak {peaks}; read bandwidth {limits.bandwidth / 1e9:.1f} GB/s",
        "; ".join(f"{name} {number}" for name, number in versions().items()),
        "BLAS: " + "; ".join(f"{library}: {name}" for library, name in blas().items()),
        "thread pools: " + (" ".join(f"{k}={v}" for k, v in host["environment"].items()) or "no settings"),
        "left out: " + ("; ".join(f"{name} ({reason})" for name, reason in missing.items()) or "nothing"),
    ]
    return "\n".join(lines)


def record(measured: list[Measured], limits: Limits, missing: dict[str, str], errors: list[str]) -> dict[str, Any]:
    """Everything, for a JSON file; times in seconds a call."""
    cases = [
        {
            "case": each.case.key,
            "shape": each.case.shape,
            "dtype": each.case.dtype,
            "limit": limits.seconds(each.case),
            "medians": {name: median(times) for name, times in each.times.items()},
            "times": each.times,
            "deviations": each.deviations,
        }
        for each in measured
    ]
    return {
        "machine": machine(),
        "limits": limits._asdict(),
        "versions": versions(),
        "blas": blas(),
        "missing": missing,
        "errors": errors,
        "cases": cases,
    }
