"""The loss of each epoch as a picture. Matplotlib is imported only when one is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path

from fastbp.atomic import replacing
from fastbp.history import History

KINDS = ("png", "svg", "pdf")


def check_plot(path: Path) -> None:
    """Refuse, before any work is done, a picture that could not be drawn at the end."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ValueError(f"--plot is {path}, which needs Matplotlib: pip install matplotlib") from None
    if _kind(path) not in KINDS:
        raise ValueError(f"--plot is {path}; a name that ends in .png, .svg or .pdf is wanted")


def plot_history(history: History, title: str, path: Path) -> None:
    """Draw the losses over the epochs, on a logarithmic scale where they allow one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = history.plot(figure.add_subplot())
    if all(history[name].min() > 0 for name in ("loss", "val_loss") if name in history):
        axes.set_yscale("log")
    axes.set_title(title, parse_math=False)
    axes.grid(alpha=0.3, which="both")
    with warnings.catch_warnings(), replacing(path) as stream:
        warnings.simplefilter("ignore")  # of characters that no font has: they are boxes
        figure.savefig(stream, format=_kind(path), dpi=150)


def _kind(path: Path) -> str:
    return path.suffix.lower().removeprefix(".")
