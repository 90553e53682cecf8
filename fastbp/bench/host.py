"""What a comparison ran on: the machine, the versions of whatever took part, and who multiplies their matrices."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np

from .limits import THREADS

# What is installed under another name than it is imported by.
DISTRIBUTIONS = {"sklearn": "scikit-learn"}

POOL_SETTINGS = ("OMP_", "GOMP_", "KMP_BLOCKTIME", "MKL_", "OPENBLAS_", "NUMBA_", "XLA_FLAGS")


def machine() -> dict[str, Any]:
    """The processor, the threads of this process, and the settings of thread pools that its environment brings."""
    settings = {name: value for name, value in os.environ.items() if name.startswith(POOL_SETTINGS)}
    return {
        "cpu": _processor(),
        "microarchitecture": llvmlite.binding.get_host_cpu_name(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "threads": THREADS,
        "environment": settings,
    }


def _processor() -> str:
    """The name that the processor gives itself."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or "unknown"


def versions(packages: Collection[str]) -> dict[str, str]:
    """The versions of Python, of what every comparison needs, and of the packages that took part."""
    found = {"python": platform.python_version()}
    for package in ("fastbp", "numpy", "numba", *sorted(set(packages) - {"fastbp", "numpy"})):
        name = DISTRIBUTIONS.get(package, package)
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def blas(packages: Collection[str]) -> dict[str, str]:
    """Who multiplies matrices for which of the packages that took part; XLA brings its own."""
    build: Any = np.show_config(mode="dicts")
    numpy_blas = build["Build Dependencies"]["blas"]
    names = {"numpy": f"{numpy_blas['name']} {numpy_blas['version']}"}
    if "torch" not in packages:
        return names
    import torch

    mkl = re.search(r"Math Kernel Library Version ([\w.]+)", torch.__config__.show())
    return names | ({"torch": f"MKL {mkl[1]}"} if mkl else {})
