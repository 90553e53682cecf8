"""Times and other numbers in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A time with three digits and its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{plain(seconds / size)} {unit}"
    return f"{plain(seconds / 1e-9)} ns"


def plain(value: float, digits: int = 3) -> str:
    """With so many digits, and up to seven before the point no exponent."""
    return f"{value:.0f}" if 10**digits - 0.5 <= abs(value) < 1e7 else f"{value:.{digits}g}"
