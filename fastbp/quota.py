"""How much of the processors a control group leaves to this process, as containers have them (Linux, versions 1 and 2).

More threads than that only wait for each other: the system stops all of them when the share of a period is used up.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path


@functools.cache
def processors(root: Path = Path("/")) -> float:
    """The smallest quota of the group and of those around it, in processors; inf if there is none."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
        return min((quota for line in lines for quota in _quotas(root / "sys/fs/cgroup", line)), default=float("inf"))
    except (OSError, ValueError):  # another system, or another format
        return float("inf")


def _quotas(mounts: Path, line: str) -> Iterator[float]:
    """The quotas that a line of /proc/self/cgroup, `number:controllers:path`, leads to."""
    _, controllers, path = line.split(":", 2)
    if controllers == "":
        mount = mounts / "unified" if (mounts / "unified").is_dir() else mounts
        files = ["cpu.max"]  # quota and period, in microseconds
    elif "cpu" in controllers.split(","):
        mount, files = mounts / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
    else:
        return
    group = mount / path.lstrip("/")
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mount):
            break
        if all((folder / file).is_file() for file in files):
            quota, period = " ".join((folder / file).read_text() for file in files).split()
            if quota not in ("max", "-1"):
                yield int(quota) / int(period)
