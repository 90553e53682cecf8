"""The README's figures are those of a record: all of them, and nothing else."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures


def case(shape: str, dtype: str, limit: float, **medians: float) -> dict[str, Any]:
    names = {"fastbp": "fastbp, 2 threads", "reference": "reference, 1 thread", "numpy": "numpy blocks, 2 threads"}
    return {
        "shape": shape,
        "dtype": dtype,
        "limit": limit,
        "medians": {names.get(name, name): seconds for name, seconds in medians.items()} | {"fastbp, 1 thread": 1e-9},
    }


RECORD = {
    "commit": "0123456789" * 4,
    "date": "2026-01-02T03:04:05+00:00",
    "measured": "2026-01-03T04:05:06+00:00",
    "machine": {"cpu": "A Processor", "microarchitecture": "arch", "system": "Linux", "threads": 2},
    "limits": {"peak": {"float32": 2e11, "float64": 1e11}, "bandwidth": 3e10},
    "versions": {"python": "3.11.7", "numpy": "2.4.6", "torch": "2.13.0", "jax": "0.10.2"},
    "blas": {"numpy": "openblas 1"},
    "missing": {"torch compile": "no C++ compiler", "other": "no C++ compiler"},
    "cases": [
        case("1797x64->10", "float32", 2e-5, fastbp=5e-5, reference=2e-4, numpy=1e-4, torch=3e-4, jax=2.5e-4),
        case("2x3->2, 1000 steps", "float64", 1e-9, fastbp=1e-4, reference=1.2345, numpy=2e-4, torch=1, jax=9e-5),
    ],
    "scaling": [case("10x64->10", "float32", 1e-9, fastbp=1e-5, reference=2e-5, numpy=5e-6, torch=1, jax=1)],
    "networks": [
        case("9 rows, 8-4-1 relu, batches of 3, SGD", "float32", 1e-6, fastbp=1e-5, numpy=2e-5, torch=3e-5, jax=1)
        | {"name": "a network"}
    ],
}
RECORD["networks"][0]["medians"]["scikit-learn, 2 threads"] = 9e-5


def test_the_table_has_the_ratios_and_the_share_of_the_limit() -> None:
    assert figures.table(RECORD["cases"], 2, "a step of a layer", figures.GROUPS).splitlines()[2:] == [
        "| 1797 x 64 -> 10 | float32 | 50 µs | 4 x (reference, 1 thread) | 2 x (numpy blocks, 2 threads) | 5 x (jax) "
        "| 40 % |",
        "| 2 x 3 -> 2, 1000 steps | float64 | 100 µs | 12345 x (reference, 1 thread) | 2 x (numpy blocks, 2 threads) "
        "| 0.9 x (jax) | 0 % |",
    ]


def test_networks_have_a_table_of_their_own() -> None:
    assert figures.table(RECORD["networks"], 2, "an epoch of a network", figures.NETWORK_GROUPS).splitlines() == [
        "| an epoch of a network | dtype | fastbp | best NumPy | best of PyTorch and JAX | scikit-learn "
        "| share of the limit |",
        "|---|---|---:|---:|---:|---:|---:|",
        "| 9 rows, 8-4-1 relu, batches of 3, SGD | float32 | 10 µs | 2 x (numpy blocks, 2 threads) | 3 x (torch) "
        "| 9 x (scikit-learn, 2 threads) | 10 % |",
    ]


def test_every_shape_where_another_is_faster_is_named() -> None:
    assert figures.losses(RECORD).splitlines() == [
        "Of the 4 shapes of this record, another configuration is faster than fastbp in 2:",
        "",
        "- 2 x 3 -> 2, 1000 steps float64: 100 µs, jax 90 µs",
        "- 10 x 64 -> 10 float32: 10 µs, numpy blocks, 2 threads 5 µs",
    ]


def test_the_machine_the_versions_and_what_was_not_compared_are_stated() -> None:
    assert figures.machine(RECORD) == (
        "Commit 01234567 on 2 threads of A Processor (arch, Linux), measured 2026-01-03: at most 200 Gflop/s in "
        "float32 and 100 Gflop/s in float64, reading 30 GB/s, measured in the same run. NumPy 2.4.6, PyTorch 2.13.0, "
        "JAX 0.10.2, Python 3.11.7; NumPy with openblas 1. Not compared for layers: torch compile, other (no C++ "
        "compiler)."
    )


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A README with markers, and plots beside it."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{figures.BEGIN}old{figures.END}\nafter\n")
    monkeypatch.setattr(figures, "README", readme)
    monkeypatch.setattr(figures, "PLOTS", {theme: tmp_path / f"{theme}.svg" for theme in figures.PLOTS})
    return tmp_path


def written(project: Path, record: dict[str, Any]) -> None:
    figures.README.write_text(figures.with_section(figures.README.read_text(), record))
    for theme, path in figures.PLOTS.items():
        figures.draw(record, theme, path)


def test_what_was_written_is_not_stale_and_nothing_beside_it_changed(project: Path) -> None:
    written(project, RECORD)
    assert figures.stale(RECORD) == []
    text = figures.README.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text


def test_a_figure_changed_by_hand_is_found(project: Path) -> None:
    written(project, RECORD)
    figures.README.write_text(figures.README.read_text().replace("4 x (reference", "5 x (reference"))
    assert figures.stale(RECORD) == ["README.md"]


def test_another_record_makes_readme_and_plots_stale(project: Path) -> None:
    written(project, RECORD)
    other = copy.deepcopy(RECORD)
    other["cases"][0]["medians"]["jax"] *= 1.1
    assert figures.stale(other) == ["README.md", "light.svg", "dark.svg"]


def test_a_plot_shows_every_ratio(project: Path) -> None:
    written(project, RECORD)
    for path in figures.PLOTS.values():
        text = path.read_text()
        assert all(f">{number} x<" in text for number in ("4", "2", "5", "12345", "0.9"))


def test_the_newest_record_with_all_frameworks_is_taken(tmp_path: Path) -> None:
    (tmp_path / "machine").mkdir()
    whole, without = ["jax", "torch, 1 thread"], ["jax autodiff", "numpy, 1 thread"]
    for name, date, labels in (("a", "2026-01-01", whole), ("b", "2026-01-02", whole), ("c", "2027-01-01", without)):
        record = {"date": date, "measured": date, "cases": [{"medians": dict.fromkeys(labels, 1.0)}]}
        (tmp_path / "machine" / f"{name}.json").write_text(json.dumps(record))
    assert figures.newest(tmp_path).name == "b.json"


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(SystemExit, match="has no <!-- figures"):
        figures.with_section("nothing here", RECORD)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"record\.json: No such file or directory; a record"), ("[1]", "is no record"), ("{", "is no record")],
)
def test_what_is_no_record_is_refused_in_one_line_and_nothing_is_written(
    project: Path, content: str | None, message: str
) -> None:
    before = figures.README.read_text()
    path = project / "record.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit, match=message):
        figures.main([str(path)])
    assert figures.README.read_text() == before
