"""A comparison in words: a table of cases, or a list of configurations for one case, and what they ran on."""

from __future__ import annotations

from .comparison import DEFAULT, Comparison, Measured
from .host import blas, machine, versions
from .limits import Limits
from .quantities import duration, plain

FRAMEWORKS = ("torch", "jax")
TITLES = ("case", "dtype", "fastbp", "reference", "best NumPy", "best of PyTorch and JAX", "share of the limit")


def table(comparison: Comparison) -> str:
    """A row for each case: the time of one call, and of the others how many times as long they take."""
    head = [f"| {' | '.join(TITLES)} |", f"|{'---|' * len(TITLES)}"]
    return "\n".join(head + [row(each, comparison.limits) for each in comparison.measured])


def row(measured: Measured, limits: Limits) -> str:
    """The case's line of the table."""
    own = measured.medians.get(DEFAULT)
    share = f"{100 * limits.seconds(measured.case) / own:.3g}%" if own else "-"
    others = [_against(measured, *families) for families in (("reference",), ("numpy",), FRAMEWORKS)]
    cells = measured.case.shape, measured.case.dtype, duration(own) if own else "-", *others, share
    return f"| {' | '.join(cells)} |"


def _against(measured: Measured, *families: str) -> str:
    """How many times as long as fastbp the best of these families takes, and which it is."""
    best, own = measured.best(*families), measured.medians.get(DEFAULT)
    if best is None:
        return "-"
    ratio = f"{plain(best[1] / own)}x " if own else ""
    return f"{ratio}({best[0]}: {duration(best[1])})"


def listing(measured: Measured, limits: Limits) -> str:
    """A line for each configuration, the fastest first: time, how many times as long as fastbp, share of the limit."""
    medians, limit = measured.medians, limits.seconds(measured.case)
    own = medians.get(DEFAULT, float("nan"))
    lines = [("", "time", "of fastbp's", "share of the limit"), ("the limit", duration(limit), "", "")]
    for label, seconds in sorted(medians.items(), key=lambda item: item[1]):
        lines.append((label, duration(seconds), f"{plain(seconds / own)}x", f"{100 * limit / seconds:.3g}%"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    return "\n".join([measured.case.title, "", *(line.rstrip() for line in rows)])


def footer(comparison: Comparison) -> str:
    """The machine, its limits, the versions, and what was left out."""
    host, limits = machine(), comparison.limits
    peaks = ", ".join(f"{peak / 1e9:.0f} Gflop/s {dtype}" for dtype, peak in limits.peak.items())
    lines = [
        f"{host['cpu']} ({host['microarchitecture']}, {host['system']}), {host['threads']} threads; "
        f"peak {peaks}; read bandwidth {limits.bandwidth / 1e9:.1f} GB/s",
        "; ".join(f"{name} {number}" for name, number in versions(comparison.packages).items()),
        "BLAS: " + "; ".join(f"{library}: {name}" for library, name in blas(comparison.packages).items()),
        "thread pools: " + (" ".join(f"{k}={v}" for k, v in host["environment"].items()) or "no settings"),
        "left out: " + left_out(comparison.missing),
    ]
    return "\n".join(lines)


def left_out(missing: dict[str, str]) -> str:
    """What is missing, each reason said once."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing.items():
        by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
