"""How long a kernel call lasts: Ctrl-C waits for its end."""

from __future__ import annotations

# What it should last, in seconds.
CALL_SECONDS = 0.05
# Multiply-adds a second of the slowest machine: the first kernel call of a program has as many as that does in time.
SLOWEST = 2e9


class Pace:
    """How many lines of a program, or tiny steps, a kernel call carries out, to last about CALL_SECONDS."""

    def __init__(self, lines: int, work: int) -> None:
        """For a program in which so many lines are so many multiply-adds."""
        self.lines = max(1, int(CALL_SECONDS * SLOWEST * lines / (work + 1)))

    def adapt(self, seconds: float) -> None:
        """After a call of so many lines, and before more of them, that took so long."""
        self.lines = max(1, int(self.lines * min(max(CALL_SECONDS / max(seconds, 1e-9), 0.5), 2.0)))
