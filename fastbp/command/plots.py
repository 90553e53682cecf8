"""The cost curve as a picture. Matplotlib is imported only when one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt

from fastbp.command.atomic import replacing

KINDS = ("png", "svg", "pdf")


def check_plot(path: Path) -> None:
    """Refuse, before any work is done, a picture that could not be drawn at the end."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ValueError(f"--plot is {path}, which needs matplotlib: pip install 'fastbp[plot]'") from None
    if _kind(path) not in KINDS:
        raise ValueError(f"--plot is {path}; a name that ends in .png, .svg or .pdf is wanted")


def plot_costs(costs: npt.NDArray[Any], title: str, path: Path) -> None:
    """Draw the costs (steps + 1,) over the steps, on a logarithmic scale where they allow one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(range(len(costs)), costs, marker="." if len(costs) < 30 else "")
    if costs.min() > 0:
        axes.set_yscale("log")
    axes.set_title(title, parse_math=False)
    axes.set_xlabel("steps")
    axes.set_ylabel("cost: sum of squared errors")
    axes.grid(alpha=0.3, which="both")
    with replacing(path) as stream:
        figure.savefig(stream, format=_kind(path), dpi=150)


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
