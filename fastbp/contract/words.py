"""A value of any kind in a message."""

from __future__ import annotations

from typing import Any


def shown(value: Any) -> str:
    """repr(value) on one line, of 100 characters at most; its type alone where that fails."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a whole number of more digits than Python writes is a ValueError
        text = f"a {type(value).__name__}"
    return shortened(text, 100)


def shortened(words: str, most: int) -> str:
    """The beginning of a text that may be of any length, for a message."""
    return words if len(words) <= most else words[:most] + "..."
