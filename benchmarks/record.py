"""Measure commits of fastbp beside the other libraries, and keep what was measured: one JSON file for each commit.

Steps of a layer, how they scale, and epochs of networks.

    python benchmarks/record.py [COMMIT ...] [--machine NAME] [--only NAME ...] [--seconds S] [--quick]

The sources of a commit are unpacked into a temporary folder and imported from there; cases, implementations and the
clock are those of this checkout. The dashboard's Compare page and the README's figures are made from these records.
Measure on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "records"
# Compiled anew for every shape, for half a minute each.
NOT_SCALED = ("torch compile",)


def git(*words: str) -> str:
    result = subprocess.run(["git", "-C", HERE, *words], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"git {' '.join(words)}: {result.stderr.strip()}")
    return result.stdout.strip()


def measure(names: list[str] | None, seconds: float, quick: bool) -> dict[str, Any]:
    """The comparison of all cases, the scaling, and the networks, for the fastbp that this process imports."""
    import fastbp

    if Path.cwd() not in Path(fastbp.__file__).resolve().parents:
        raise SystemExit(f"{fastbp.__file__} was imported, and not the commit in {Path.cwd()}")
    sys.path.insert(0, str(HERE))
    import suites  # noqa: F401  registers this checkout's fastbp.bench as `registry`

    from registry.agreement import LAYERS
    from registry.cases import CASES, SCALING
    from registry.comparison import compare

    def announce(case: Any) -> None:
        print(f"{case.name} {case.shape} {case.dtype} ...", file=sys.stderr)

    present = LAYERS.registry.present()
    if names is None:
        names = [*present, "scikit-learn"]
    of_layers = [name for name in present if name in names]
    cases = [case.small() for case in CASES] if quick else CASES
    axes = {axis: list(series.items())[: 2 if quick else None] for axis, series in SCALING.items()}
    sizes = [(axis, size) for axis, series in axes.items() for size, _ in series]
    scaled = [case for series in axes.values() for _, case in series]

    comparison = compare(LAYERS, cases, seconds, names=of_layers, announce=announce)
    of_scaling = [name for name in of_layers if name not in NOT_SCALED]
    scaling = compare(LAYERS, scaled, seconds / 5, names=of_scaling, announce=announce)
    limits = comparison.limits.or_better(scaling.limits)
    record = comparison._replace(limits=limits).record()
    record["scaling"] = [
        {"axis": axis, "size": size, **measured.record(limits)}
        for (axis, size), measured in zip(sizes, scaling.measured, strict=True)
    ]
    record["errors"] += scaling.errors
    return record | networks(record, names, seconds, quick, announce)


def networks(
    record: dict[str, Any], names: list[str], seconds: float, quick: bool, announce: Callable[[Any], None]
) -> dict[str, Any]:
    """What a record has more for its epochs of networks: nothing, for a commit that has no networks."""
    from registry import host
    from registry.comparison import compare
    from registry.networks.agreement import NETWORKS
    from registry.networks.cases import CASES

    present = NETWORKS.registry.present()
    if "fastbp" not in present:
        return {}
    chosen = [name for name in present if name in names]
    cases = [case.small() for case in CASES] if quick else CASES
    comparison = compare(NETWORKS, cases, seconds, names=chosen, announce=announce)
    return {
        "networks": [each.record(comparison.limits) for each in comparison.measured],
        "not_in_networks": comparison.missing,
        "versions": record["versions"] | host.versions(comparison.packages),
        "errors": record["errors"] + comparison.errors,
    }


def known_names() -> set[str]:
    """All implementations, of layers and of networks."""
    from fastbp.bench import implementations
    from fastbp.bench.networks import implementations as of_networks

    return {*implementations.IMPLEMENTATIONS, *of_networks.IMPLEMENTATIONS}


def measured_commit(commit: str, options: list[str]) -> dict[str, Any]:
    """The record of a commit, measured in a process of its own that imports that commit's sources."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(
            ["git", "-C", HERE.parent, "archive", commit, "fastbp"], check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        process = subprocess.run(
            [sys.executable, str(Path(__file__).resolve()), "--measure", *options],
            env={**os.environ, "PYTHONPATH": folder},
            cwd=folder,
            stdout=subprocess.PIPE,
            check=True,
        )
    facts = {
        "commit": commit,
        "date": git("show", "-s", "--format=%cI", commit),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "subject": git("show", "-s", "--format=%s", commit),
    }
    return facts | json.loads(process.stdout)


def keep(record: dict[str, Any], machine: str | None) -> Path:
    """Write the record where the dashboard looks for it."""
    host = record["machine"]
    host["name"] = machine or f"{host['microarchitecture']}-{host['threads']}"
    path = RECORDS / host["name"] / f"{record['commit'][:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(record, indent=1) + "\n")
    unfinished.replace(path)
    return path


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commits", nargs="*", default=["HEAD"], metavar="COMMIT", help="default: HEAD")
    parser.add_argument("--machine", metavar="NAME", help="default: the microarchitecture and the number of threads")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these implementations; default: all present")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="rounds of a case (default 3)")
    parser.add_argument(
        "--quick", action="store_true", help="small shapes, to see that it runs; kept only for a --machine of its own"
    )
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # in the process of a commit
    arguments = parser.parse_args(words)
    if arguments.measure:
        print(json.dumps(measure(arguments.only, arguments.seconds, arguments.quick)))
        return 0

    if unknown := set(arguments.only or ()) - known_names():
        wanted = ", ".join(sorted(known_names()))
        parser.error(f"--only is {min(unknown)}; one of {wanted} is wanted")
    options = ["--seconds", str(arguments.seconds)]
    options += ["--quick"] if arguments.quick else []
    options += ["--only", *arguments.only] if arguments.only else []
    failed = False
    for commit in arguments.commits:
        full = git("rev-parse", "--verify", f"{commit}^{{commit}}")
        record = measured_commit(full, options)
        if arguments.machine or not arguments.quick:
            print(keep(record, arguments.machine))
        else:
            print("not kept: a record of small shapes is kept only for a --machine of its own")
        for error in record["errors"]:
            print(f"error: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
