"""Write the README's figures from a record: the table of ratios, the plot, the machine, and where fastbp does not win.

    python benchmarks/figures.py [RECORD]      write them; default: the newest record with PyTorch and JAX
    python benchmarks/figures.py --check       exit code 1 if README or plots are not what the record says

They stand between two markers in README.md; nothing between them is written by hand.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from fastbp.bench.quantities import duration, plain
from fastbp.bench.registry import Configuration
from fastbp.bench.report import left_out

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
RECORDS = HERE / "records"
PLOTS = {theme: HERE / "figures" / f"ratios-{theme}.svg" for theme in ("light", "dark")}
BEGIN, END = "<!-- figures: written by benchmarks/figures.py -->", "<!-- figures: end -->"

GROUPS = {"reference": ("reference",), "best NumPy": ("numpy",), "best of PyTorch and JAX": ("torch", "jax")}
NETWORK_GROUPS = {"best NumPy": ("numpy",), "best of PyTorch and JAX": ("torch", "jax"), "scikit-learn": ("scikit",)}
# As on the dashboard's Compare page, told apart by colour-blind people, by theme: reference, NumPy, frameworks.
COLOURS = {"light": ("#5f6873", "#0072b2", "#008763"), "dark": ("#9aa4b0", "#4ea7e0", "#23b98d")}
INK = {"light": "#1f2328", "dark": "#e6edf3"}


def read(path: Path) -> dict[str, Any]:
    """The record in a file."""
    try:
        record = json.loads(path.read_text())
    except OSError as error:
        raise SystemExit(f"{path}: {error.strerror}; a record that benchmarks/record.py wrote is wanted") from None
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"cases", "scaling", "commit"} <= record.keys():
        raise SystemExit(f"{path} is no record; one that benchmarks/record.py wrote is wanted")
    return record


def newest(records: Path) -> Path:
    """The record of the newest commit, by its date, that PyTorch and JAX took part in."""
    found = []
    for path in records.glob("*/*.json"):
        record = json.loads(path.read_text())
        if {"torch", "jax"} <= {label.split()[0].strip(",") for label in record["cases"][0]["medians"]}:
            found.append((record["date"], record["measured"], path))
    if not found:
        raise SystemExit(f"{records} has no record with PyTorch and JAX; benchmarks/record.py measures one")
    return max(found)[2]


def own(case: dict[str, Any], threads: int) -> float:
    """Seconds of fastbp as its users get it, on all threads."""
    return float(case["medians"][Configuration("fastbp", threads).label])


def best(case: dict[str, Any], families: tuple[str, ...]) -> tuple[float, str]:
    """The fastest of these families: seconds and configuration."""
    return min((seconds, label) for label, seconds in case["medians"].items() if label.startswith(families))


def shape_of(case: dict[str, Any]) -> str:
    """As a reader has it; that of a network is said in words already."""
    shape = str(case["shape"])
    return shape.replace("x", " x ").replace("->", " -> ") if "->" in shape else shape


def table(cases: list[dict[str, Any]], threads: int, title: str, groups: dict[str, tuple[str, ...]]) -> str:
    """A row for each case; ratios are time of the other / time of fastbp."""
    titles = (title, "dtype", "fastbp", *groups, "share of the limit")
    lines = [f"| {' | '.join(titles)} |", "|---|---|" + "---:|" * (len(titles) - 2)]
    for case in cases:
        seconds = own(case, threads)
        cells = [shape_of(case), case["dtype"], duration(seconds)]
        for families in groups.values():
            other, label = best(case, families)
            cells.append(f"{plain(other / seconds)} x ({label})")
        lines.append(f"| {' | '.join(cells)} | {100 * case['limit'] / seconds:.0f} % |")
    return "\n".join(lines)


def losses(record: dict[str, Any]) -> str:
    """Where another configuration is faster than fastbp on all threads, among all that was measured."""
    found = []
    cases = [*record["cases"], *record["scaling"], *record.get("networks", [])]
    for case in cases:
        seconds = own(case, record["machine"]["threads"])
        others = {label: time for label, time in case["medians"].items() if not label.startswith("fastbp")}
        label = min(others, key=lambda each: others[each])
        if others[label] < seconds:
            shape = f"{shape_of(case)} {case['dtype']}"
            found.append(f"- {shape}: {duration(seconds)}, {label} {duration(others[label])}")
    measured = f"{len(cases)} shapes of this record"
    if not found:
        return f"In none of the {measured} is another configuration faster than fastbp."
    return f"Of the {measured}, another configuration is faster than fastbp in {len(found)}:\n\n" + "\n".join(found)


def machine(record: dict[str, Any]) -> str:
    """What the figures hold for."""
    host, limits, versions = record["machine"], record["limits"], record["versions"]
    peaks = " and ".join(f"{limits['peak'][dtype] / 1e9:.0f} Gflop/s in {dtype}" for dtype in ("float32", "float64"))
    names = {"numpy": "NumPy", "numba": "Numba", "torch": "PyTorch", "jax": "JAX", "scikit-learn": "scikit-learn"}
    names["python"] = "Python"
    stated = ", ".join(f"{shown} {versions[name]}" for name, shown in names.items() if name in versions)
    blas = ", ".join(f"{names[library]} with {name}" for library, name in record["blas"].items())
    return (
        f"Commit {record['commit'][:8]} on {host['threads']} threads of {host['cpu']} ({host['microarchitecture']}, "
        f"{host['system']}), measured {record['measured'][:10]}: at most {peaks}, reading "
        f"{limits['bandwidth'] / 1e9:.0f} GB/s, measured in the same run. {stated}; {blas}. "
        f"Not compared for layers: {left_out(record['missing'])}."
    )


def section(record: dict[str, Any]) -> str:
    """All that stands between the markers."""
    light, dark = (PLOTS[theme].relative_to(README.parent).as_posix() for theme in ("light", "dark"))
    picture = (
        f'<picture>\n  <source media="(prefers-color-scheme: dark)" srcset="{dark}">\n'
        f'  <img alt="Time of a step with the reference, NumPy, PyTorch and JAX, in times of fastbp" src="{light}">\n'
        "</picture>"
    )
    threads = record["machine"]["threads"]
    parts = [table(record["cases"], threads, "a step of a layer", GROUPS), picture]
    if "networks" in record:
        parts.insert(0, table(record["networks"], threads, "an epoch of a network", NETWORK_GROUPS))
    return "\n\n".join([BEGIN, *parts, machine(record), losses(record), END])


def with_section(readme: str, record: dict[str, Any]) -> str:
    """The README with the figures of this record."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md has no {BEGIN} ... {END}")
    return before + section(record) + after


def plotted(record: dict[str, Any]) -> list[tuple[str, list[float]]]:
    """By case, how many times as long as fastbp each group takes."""
    threads = record["machine"]["threads"]
    return [
        (f"{case['shape']}\n{case['dtype']}", [best(case, each)[0] / own(case, threads) for each in GROUPS.values()])
        for case in record["cases"]
    ]


def digest(record: dict[str, Any]) -> str:
    """Of what a plot shows: written into it, so that a stale plot is found without drawing it again."""
    return hashlib.sha256(json.dumps(plotted(record)).encode()).hexdigest()


def draw(record: dict[str, Any], theme: str, path: Path) -> None:
    """A bar for each group and case, from 1 to time of the other / time of fastbp, on a log scale."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "fastbp", "svg.fonttype": "none", "font.size": 10})
    from matplotlib import pyplot as plt

    rows, ink = plotted(record), INK[theme]
    figure, axes = plt.subplots(figsize=(8.2, 0.72 * len(rows) + 1.1), layout="constrained")
    thickness = 0.8 / len(GROUPS)
    for i, (group, colour) in enumerate(zip(GROUPS, COLOURS[theme], strict=True)):
        places = [len(rows) - 1 - row + 0.4 - (i + 0.5) * thickness for row in range(len(rows))]
        values = [ratios[i] for _, ratios in rows]
        lengths = [value - 1 for value in values]
        axes.barh(places, lengths, left=1, height=thickness * 0.92, color=colour, label=group)
        for place, value in zip(places, values, strict=True):
            axes.text(1.03 * max(value, 1), place, f"{plain(value)} x", va="center", fontsize=8, color=ink)
    axes.axvline(1, color=ink, linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(0.5, 2.2 * max(max(ratios) for _, ratios in rows))
    axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
    axes.set_xlabel("time of a step / time of a step with fastbp (log scale; right of 1: fastbp is faster)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.tick_params(colors=ink, which="both")
    axes.xaxis.label.set_color(ink)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(ink)
    figure.legend(ncols=3, loc="outside upper left", frameon=False, labelcolor=ink)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, transparent=True, metadata={"Date": None, "Description": digest(record)})
    plt.close(figure)


def stale(record: dict[str, Any]) -> list[str]:
    """What is not as the record says."""
    wrong = []
    readme = README.read_text()
    if with_section(readme, record) != readme:
        wrong.append(README.name)
    for path in PLOTS.values():
        if not path.exists() or digest(record) not in path.read_text():
            wrong.append(path.name)
    return wrong


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("record", nargs="?", type=Path, help="default: the newest one with PyTorch and JAX")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if something is stale")
    arguments = parser.parse_args(words)
    record = read(arguments.record or newest(RECORDS))
    if arguments.check:
        for name in stale(record):
            print(f"{name} is not as the record of {record['commit'][:8]} says; run benchmarks/figures.py")
        return int(bool(stale(record)))
    README.write_text(with_section(README.read_text(), record))
    for theme, path in PLOTS.items():
        draw(record, theme, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
