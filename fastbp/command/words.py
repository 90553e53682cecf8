"""Counts, names and reasons in a message: on one line and not too long."""

from __future__ import annotations

from collections.abc import Sequence

from fastbp.contract import shortened

LONGEST_QUOTE = 40  # characters of a file's text that a message repeats
LONGEST_REASON = 400  # characters of what a parser says, which may repeat all of a file
MOST_NAMES = 8  # names that a message lists


def reason(error: Exception) -> str:
    """What an exception says, or at least what it is."""
    return shortened(str(error), LONGEST_REASON) or type(error).__name__


def quoted(words: str) -> str:
    """A file's own words for a message: on one line and not too long."""
    return repr(shortened(words, LONGEST_QUOTE))


def listed(names: Sequence[str]) -> str:
    """The first few names for a message."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(quoted(name) for name in names[:MOST_NAMES]) + more


def counted(number: int, word: str, ending: str = "s") -> str:
    """A number of things."""
    return f"{number} {word}{ending if number != 1 else ''}"
