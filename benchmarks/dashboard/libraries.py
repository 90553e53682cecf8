"""The libraries of asv's page: which npm package holds each, where they are installed, and under which licences.

`package.json` pins the versions and `package-lock.json` the contents; npm checks both. Nothing of them is kept in the
repository.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.dashboard import DashboardError

HERE = Path(__file__).resolve().parent
FOLDER = "vendor"
LICENCE_FILES = ("LICENSE*", "LICENCE*", "COPYING*")


class Library(NamedTuple):
    """A file that asv's page loads from `address`, and the npm package that has it under the name `file`."""

    address: str
    package: str
    file: str

    @property
    def local(self) -> str:
        """Its address in the dashboard."""
        return f"{FOLDER}/{Path(self.file).name}"


def _cdnjs(path: str) -> str:
    return f"https://cdnjs.cloudflare.com/ajax/libs/{path}"


def _jsdelivr(path: str) -> str:
    return f"https://cdn.jsdelivr.net/npm/{path}"


# The same bytes as asv asks for, but for two: flot's package has no minified files, and stupidtable, whose package is
# called stupid-table-plugin, was first put on npm as 1.1.3.
LIBRARIES = (
    Library("https://code.jquery.com/jquery-3.3.1.min.js", "jquery", "dist/jquery.min.js"),
    Library(_cdnjs("flot/0.8.3/jquery.flot.min.js"), "flot", "jquery.flot.js"),
    Library(_cdnjs("flot/0.8.3/jquery.flot.time.min.js"), "flot", "jquery.flot.time.js"),
    Library(_cdnjs("flot/0.8.3/jquery.flot.selection.min.js"), "flot", "jquery.flot.selection.js"),
    Library(_cdnjs("flot/0.8.3/jquery.flot.categories.min.js"), "flot", "jquery.flot.categories.js"),
    Library(
        _jsdelivr("flot-orderbars@1.0.0/js/jquery.flot.orderBars.js"), "flot-orderbars", "js/jquery.flot.orderBars.js"
    ),
    Library(_cdnjs("stupidtable/1.0.1/stupidtable.min.js"), "stupid-table-plugin", "stupidtable.min.js"),
    Library(_cdnjs("blueimp-md5/2.19.0/js/md5.min.js"), "blueimp-md5", "js/md5.min.js"),
    Library(_jsdelivr("bootstrap@3.1.1/dist/js/bootstrap.min.js"), "bootstrap", "dist/js/bootstrap.min.js"),
    Library(_jsdelivr("bootstrap@3.1.1/dist/css/bootstrap.min.css"), "bootstrap", "dist/css/bootstrap.min.css"),
)

LOCAL = {library.address: library.local for library in LIBRARIES}


def installed(cache: Path) -> Path:
    """The folder with the packages, installed under `cache` unless these versions are there already."""
    lock = HERE / "package-lock.json"
    folder = cache / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise DashboardError("npm is wanted, to install the libraries of asv's page; it comes with Node.js")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        unfinished = Path(scratch) / "packages"
        unfinished.mkdir()
        shutil.copy(HERE / "package.json", unfinished)
        shutil.copy(lock, unfinished)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        result = subprocess.run(command, cwd=unfinished, capture_output=True, text=True)
        if result.returncode:
            raise DashboardError(f"npm could not install the libraries of asv's page:\n{result.stdout}{result.stderr}")
        unfinished.rename(folder)
    return folder / "node_modules"


def copy_libraries(packages: Path, site: Path) -> None:
    """Each library, and the licence of each package, into the dashboard at `site`."""
    licences = site / FOLDER / "LICENSES"
    licences.mkdir(parents=True)
    for library in LIBRARIES:
        shutil.copy(packages / library.package / library.file, site / library.local)
    for package in sorted({library.package for library in LIBRARIES}):
        (licences / f"{package}.txt").write_text(licence(packages / package), encoding="utf-8")


def licence(package: Path) -> str:
    """The licence that the package brings; without one, what its package.json states."""
    for pattern in LICENCE_FILES:
        for file in sorted(package.glob(pattern)):
            return file.read_text(encoding="utf-8")
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    if "license" not in about:
        raise DashboardError(f"{about['name']} {about['version']} states no licence")
    stated = (f"{key}: {_words(about[key])}" for key in ("license", "author", "homepage") if key in about)
    return "\n".join(
        [f"{about['name']} {about['version']} brings no licence file; its package.json states:", *stated, ""]
    )


def _words(value: str | dict[str, str]) -> str:
    return value if isinstance(value, str) else ", ".join(value.values())
