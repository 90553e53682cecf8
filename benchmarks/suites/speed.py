"""How many times as fast as the reference, and which share of the machine's limit: measured side by side, in turns."""

from __future__ import annotations

import warnings
from typing import Any

from registry.agreement import LAYERS
from registry.cases import CASES
from registry.comparison import DEFAULT, compare

KEYS = tuple(case.key for case in CASES)


class Speed:
    """One comparison of fastbp and the reference for all figures: asv would measure them minutes apart."""

    params = KEYS
    param_names = ("case",)
    timeout = 600.0
    # A part of the benchmark's identity: other cases, other figures.
    version = " ".join(KEYS)

    def setup_cache(self) -> dict[str, tuple[float, float]]:
        """By case: the reference's time and the limit, both divided by fastbp's time."""
        comparison = compare(LAYERS, CASES, 0.5, names=["fastbp", "reference"])
        for error in comparison.errors:
            warnings.warn(error, stacklevel=1)
        figures = {}
        for measured in comparison.measured:
            own, reference = measured.medians.get(DEFAULT), measured.best("reference")
            if own and reference:
                limit = comparison.limits.seconds(measured.case)
                figures[measured.case.key] = (reference[1] / own, 100 * limit / own)
        return figures

    setup_cache.timeout = 900.0  # type: ignore[attr-defined]

    def track_speedup(self, figures: dict[str, Any], key: str) -> float:
        return float(figures[key][0])

    track_speedup.unit = "times as fast as the reference"  # type: ignore[attr-defined]

    def track_share_of_limit(self, figures: dict[str, Any], key: str) -> float:
        return float(figures[key][1])

    track_share_of_limit.unit = "% of the limit"  # type: ignore[attr-defined]
