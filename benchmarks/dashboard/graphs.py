"""asv's graphs, so that they show what was measured and no more, the machine with the newest commit first.

asv keeps a line for each benchmark of each environment, a machine with its software, in graphs/; index.json has the
values of a benchmark's parameters, and a point of a line a figure for each combination of them, null where none is.
"""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

Points = list[list[Any]]  # of a line: [revision, figure], or [revision, figures or null] of a benchmark with parameters


class Commit(NamedTuple):
    """A commit that asv measured, when it was committed, and on which machines asv measured it."""

    commit: str
    date: str
    machines: list[str]


class Graphs:
    """What asv wrote into `site`, read at once."""

    def __init__(self, site: Path) -> None:
        self._site = site
        self._index: dict[str, Any] = _read(site / "index.json")
        self._dates: dict[int, int] = {int(key): date for key, date in self._index["revision_to_date"].items()}
        self._environments: list[dict[str, Any]] = self._index["graph_param_list"]
        self._lines: dict[str, dict[int, Points]] = {}  # by benchmark, by place in _environments
        for name in self._index["benchmarks"]:
            lines = {i: self._points(environment, name) for i, environment in enumerate(self._environments)}
            self._lines[name] = {i: points for i, points in lines.items() if points}

    def commits(self) -> list[Commit]:
        """The commits that have a figure, the newest first."""
        machines: dict[int, set[str]] = {}
        for lines in self._lines.values():
            for i, points in lines.items():
                for revision, _ in points:
                    machines.setdefault(revision, set()).add(self._environments[i]["machine"])
        hashes = self._index["revision_to_hash"]
        return [
            Commit(hashes[str(each)], _written(self._dates[each]), sorted(machines[each]))
            for each in sorted(machines, key=self._dates.__getitem__, reverse=True)
        ]

    def rewrite(self) -> None:
        """Write the graphs of what was measured, and the lists that belong to them."""
        benchmarks = self._index["benchmarks"]
        for name in [name for name, lines in self._lines.items() if not lines]:
            del benchmarks[name], self._lines[name]
        places = {name: self._without_values_of_nothing(name) for name in benchmarks if benchmarks[name]["params"]}
        self._write_lines()
        self._write_grid()
        self._write_lists(places)
        self._order_by_age()
        _write(self._site / "index.json", self._index)

    def _points(self, environment: dict[str, Any], name: str) -> Points:
        """The points that have a figure."""
        path = self._path(environment, name)
        points: Points = _read(path) if path.is_file() else []
        return [point for point in points if any(figure is not None for figure in _figures(point))]

    def _path(self, environment: dict[str, Any], name: str) -> Path:
        from asv.graph import Graph

        return self._site / f"{Graph.get_file_path(environment, name)}.json"

    def _newest_first(self, places: list[int]) -> list[int]:
        """Those environments, the one with the newest commit first."""
        dates = {
            i: [self._dates[point[0]] for lines in self._lines.values() for point in lines.get(i, [])] for i in places
        }
        newest = {i: max(of_place, default=0) for i, of_place in dates.items()}
        return sorted(places, key=newest.__getitem__, reverse=True)

    def _without_values_of_nothing(self, name: str) -> dict[int, int]:
        """Drop a benchmark's values without a figure anywhere, as 64 threads; where its combinations were, and are."""
        benchmark, lines = self._index["benchmarks"][name], self._lines[name]
        values = benchmark["params"]
        combinations = list(itertools.product(*(range(len(each)) for each in values)))
        points = [point for line in lines.values() for point in line]
        measured = {
            combination
            for point in points
            for combination, figure in zip(combinations, _figures(point), strict=True)
            if figure is not None
        }
        kept = [{combination[axis] for combination in measured} for axis in range(len(values))]
        places = [
            place
            for place, combination in enumerate(combinations)
            if all(value in of_axis for value, of_axis in zip(combination, kept, strict=True))
        ]
        benchmark["params"] = [[each[i] for i in sorted(of_axis)] for each, of_axis in zip(values, kept, strict=True)]
        for point in points:
            point[1] = [point[1][place] for place in places]
        return {old: new for new, old in enumerate(places)}

    def _write_lines(self) -> None:
        """A line for each benchmark and environment: where nothing was measured one point of nothing, not no file."""
        newest = max(self._dates, key=self._dates.__getitem__, default=0)
        for name, lines in self._lines.items():
            for i, environment in enumerate(self._environments):
                _write(self._path(environment, name), lines.get(i, [[newest, None]]))

    def _write_grid(self) -> None:
        """The line of each tile of the grid: of two machines, asv would draw one."""
        from asv.graph import Graph, make_summary_graph

        for name, lines in self._lines.items():
            shown = self._newest_first(list(lines))[0]
            graph = Graph(name, self._environments[shown])
            for point in lines[shown]:
                graph.add_data_point(*point)
            make_summary_graph([graph]).save(str(self._site))

    def _write_lists(self, places: dict[str, dict[int, int]]) -> None:
        """The list of each machine, without what was never measured there, and the regressions."""
        for path in self._site.rglob("summary.json"):
            rows = [row for row in _read(path) if row["last_value"] is not None]
            for row in rows:
                if row["idx"] is not None:
                    row["idx"] = places[row["name"]][row["idx"]]
            _write(path, rows)
        path = self._site / "regressions.json"
        regressions = _read(path)["regressions"]
        for regression in regressions:
            name, place = regression[0].split("(")[0], regression[3]
            if place is not None:
                regression[3] = places[name][place]
        commits = self.commits()
        machines = {machine for commit in commits for machine in commit.machines}
        _write(path, {"regressions": regressions, "commits": len(commits), "machines": len(machines)})

    def _order_by_age(self) -> None:
        """asv's list opens on the first of each parameter of its environments."""
        order = [self._environments[i] for i in self._newest_first(list(range(len(self._environments))))]
        self._index["graph_param_list"] = order
        for name, values in self._index["params"].items():
            if name != "branch":  # the first of the configuration
                ages = [environment.get(name) for environment in order]
                values.sort(key=lambda value, ages=ages: ages.index(value) if value in ages else len(ages))


def _figures(point: list[Any]) -> list[Any]:
    return point[1] if isinstance(point[1], list) else [point[1]]


def _written(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
