"""What git knows of the commits that the Compare page tells of. What it does not know is left out.

A shallow clone knows some commits only, and without git none are known.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.dashboard.graphs import Commit


def history(repository: Path, branch: str, compared: Iterable[str], measured: Iterable[Commit]) -> dict[str, Any]:
    """The newest commit of the branch, how many come after each that was compared, and those that asv measured."""
    newest = _git(repository, "rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}")
    later = {commit: _later(repository, commit, branch) for commit in dict.fromkeys(compared)}
    return {
        "newest": newest,
        "later": {commit: count for commit, count in later.items() if count is not None},
        "measured": [
            each._asdict() | {"subject": _git(repository, "show", "-s", "--format=%s", each.commit) or ""}
            for each in measured
        ],
    }


def _later(repository: Path, commit: str, branch: str) -> int | None:
    """How many commits the branch has after this one; None where it is not of the branch."""
    counts = _git(repository, "rev-list", "--count", "--left-right", f"{commit}...{branch}")
    aside, later = map(int, counts.split()) if counts else (1, 0)
    return None if aside else later


def _git(repository: Path, *words: str) -> str | None:
    """What git says; None where it does not know, or is not there."""
    command = ["git", "-C", str(repository), *words]
    try:
        result = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    except OSError:
        return None
    return None if result.returncode else result.stdout.strip()
