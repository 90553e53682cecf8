"""Write the dashboard: asv's pages by commit, and a page that compares with NumPy, PyTorch and JAX.

    python benchmarks/dashboard/publish.py [--output DIR] [--results DIR] [--records DIR]

The dashboard needs no network and no server: any static server can serve it, and a browser can open it from a folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, this folder is no package yet

from benchmarks.dashboard import DashboardError
from benchmarks.dashboard.graphs import Graphs
from benchmarks.dashboard.history import history
from benchmarks.dashboard.libraries import LOCAL, copy_libraries, installed
from benchmarks.dashboard.pages import assignment, embedded, with_additions, without_network
from benchmarks.dashboard.patches import PATCHES, patched

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CONFIGURATION = ROOT / "asv.conf.json"
RECORDS = ROOT / "benchmarks" / "records"
PACKAGES = ROOT / "build" / "dashboard-packages"

FORMAT = 1  # of the records
ADDITIONS = ("offline.js", "asv-plots.js", "asv-pages.css")  # to asv's pages
COMPARE = (
    "compare.html",
    "compare.css",
    "compare-measures.js",
    "compare-charts.js",
    "compare-elements.js",
    "compare-sections.js",
    "compare.js",
)


def publish(
    configuration: Path,
    output: Path | None = None,
    results: Path | None = None,
    records: Path = RECORDS,
    packages: Path = PACKAGES,
) -> Path:
    """Write the dashboard of asv's `results` and the comparison's `records` to `output`, and return where it is.

    The defaults of `output` and `results` are those of asv's configuration. An earlier dashboard is replaced once the
    new one is complete.
    """
    settings = _settings(configuration)
    output = (output or Path(settings["html_dir"])).resolve()
    results = (results or Path(settings["results_dir"])).resolve()
    _check_replaceable(output)
    libraries = installed(packages)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as scratch:
        site = Path(scratch) / "new"
        _run_asv(settings | {"results_dir": str(results), "html_dir": str(site)}, Path(scratch), configuration.parent)
        graphs = Graphs(site)
        graphs.rewrite()
        _patch(site)
        _make_offline(site, libraries)
        compared = read_records(records)
        commits = [record["commit"] for record in compared]
        branch = settings.get("branches", ["HEAD"])[0]
        known = history(Path(settings["repo"]), branch, commits, graphs.commits())
        _add_compare(site, compared, known)
        if output.exists():
            output.rename(Path(scratch) / "old")
        site.rename(output)
    return output


def _settings(configuration: Path) -> dict[str, Any]:
    """asv's configuration, its paths made absolute."""
    try:
        from asv import util
    except ImportError:
        raise DashboardError("asv is wanted: pip install asv") from None
    if not configuration.is_file():
        raise DashboardError(f"there is no {configuration}")
    settings: dict[str, Any] = util.load_json(str(configuration), js_comments=True)
    folder = configuration.resolve().parent
    defaults = {"results_dir": "results", "html_dir": "html", "env_dir": "env", "benchmark_dir": "benchmarks"}
    paths = {key: str(folder / settings.get(key, default)) for key, default in defaults.items()}
    if (folder / settings["repo"]).is_dir():
        paths["repo"] = str(folder / settings["repo"])
    return settings | paths


def _check_replaceable(output: Path) -> None:
    """Only a dashboard, what plain `asv publish` wrote, or nothing at all may be replaced."""
    if output.is_dir() and any(output.iterdir()) and not (output / "asv.js").is_file():
        raise DashboardError(f"{output} holds something else than a dashboard; it is left as it is")
    if output.exists() and not output.is_dir():
        raise DashboardError(f"{output} is no folder")


def _run_asv(settings: dict[str, Any], scratch: Path, folder: Path) -> None:
    """asv's own pages, into the settings' html_dir."""
    configuration = scratch / "asv.conf.json"
    configuration.write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "asv", "publish", "--no-pull", "--config", str(configuration)]
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])  # for its plugins
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    if result.returncode:
        raise DashboardError(f"asv publish failed:\n{result.stdout}{result.stderr}")


def _patch(site: Path) -> None:
    """asv's scripts at `site` as the dashboard wants them."""
    for patch in PATCHES:
        script = site / patch.file
        script.write_text(patched(script.read_text(encoding="utf-8"), patch), encoding="utf-8")


def _make_offline(site: Path, libraries: Path) -> None:
    """asv's pages at `site` with their libraries beside them, and their data in a script for use from a folder."""
    copy_libraries(libraries, site)
    for page in site.glob("*.html"):
        text = without_network(page.read_text(encoding="utf-8"), LOCAL)
        page.write_text(with_additions(text) if page.name == "index.html" else text, encoding="utf-8")
    (site / "data.js").write_text(embedded(site), encoding="utf-8")
    for name in ADDITIONS:
        shutil.copy(HERE / name, site)


def _add_compare(site: Path, records: list[dict[str, Any]], known: dict[str, Any]) -> None:
    """The Compare page and its data: the records, and what is known of commits."""
    for name in COMPARE:
        shutil.copy(HERE / name, site)
    data = assignment("FASTBP_RECORDS", records) + assignment("FASTBP_HISTORY", known)
    (site / "compare-data.js").write_text(data, encoding="utf-8")


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The records in folder/<machine>/<commit>.json, the newest commit first."""
    found = []
    for path in sorted(folder.glob("*/*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise DashboardError(f"{path} is no JSON: {error}") from None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise DashboardError(f"{path} is no record of format {FORMAT}")
        found.append(record)
    return sorted(found, key=lambda record: datetime.fromisoformat(record["date"]), reverse=True)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write it (asv's html_dir)")
    parser.add_argument("--results", type=Path, metavar="DIR", help="asv's results (asv's results_dir)")
    parser.add_argument(
        "--records", type=Path, default=RECORDS, metavar="DIR", help="the comparison's records (benchmarks/records)"
    )
    parser.add_argument(
        "--config", type=Path, default=CONFIGURATION, metavar="FILE", help="asv's configuration (asv.conf.json)"
    )
    options = parser.parse_args(words)
    try:
        output = publish(options.config, options.output, options.results, options.records)
    except DashboardError as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    print(f"The dashboard is at {output / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
