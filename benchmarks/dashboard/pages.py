"""asv's pages, changed so that they need no network: the libraries from beside them, and what the dashboard adds.

What is changed is replaced where it stands; the rest stays as asv wrote it. A page that would still load something
from elsewhere is an error, so a new version of asv cannot bring the network back unnoticed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

from benchmarks.dashboard import DashboardError

REMOTE = re.compile(r"\s*([a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
LOADING = ("src", "href", "srcset", "poster", "data")
OF_REMOTE_FILES_ONLY = ("integrity", "crossorigin", "referrerpolicy")

COMPARE_LINK = '<li id="nav-li-compare"><a href="compare.html">Compare</a></li>\n        '
SCRIPTS = '<script src="offline.js"></script>\n    <script src="asv-plots.js"></script>\n    '
STYLE = '<link href="asv-pages.css" rel="stylesheet">\n    '
WIDTH = '<meta name="viewport" content="width=device-width, initial-scale=1">\n    '
LEGEND = '\n          <div id="legend"></div>'


class Tag(NamedTuple):
    """A start tag, and where it stands in its page."""

    name: str
    attributes: dict[str, str | None]
    start: int
    end: int


class _Tags(HTMLParser):
    """The start tags of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Tag] = []
        self._lines = [0, *(match.end() for match in re.finditer("\n", page))]
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line, column = self.getpos()
        start = self._lines[line - 1] + column
        self.found.append(Tag(tag, dict(attrs), start, start + len(self.get_starttag_text() or "")))


def without_network(page: str, local: Mapping[str, str]) -> str:
    """The page with every file that it loads from elsewhere replaced by the local one that stands for it."""
    for tag in reversed(_Tags(page).found):  # from the end, so that the places before stay where they are
        if remote := _remote(tag):
            page = page[: tag.start] + _localised(tag, remote, local) + page[tag.end :]
    return page


def _remote(tag: Tag) -> dict[str, str]:
    """The attributes by which the tag loads something from elsewhere. A link to follow loads nothing by itself."""
    if tag.name == "a":
        return {}
    values = ((name, tag.attributes.get(name) or "") for name in LOADING)
    return {name: value for name, value in values if REMOTE.match(value)}


def _localised(tag: Tag, remote: Mapping[str, str], local: Mapping[str, str]) -> str:
    """The tag, loading local files."""
    for address in remote.values():
        if address not in local:
            raise DashboardError(
                f"asv's page loads {address}, which nothing local stands for; "
                "add it to LIBRARIES in benchmarks/dashboard/libraries.py"
            )
    kept = {name: value for name, value in tag.attributes.items() if name not in OF_REMOTE_FILES_ONLY}
    kept |= {name: local[address] for name, address in remote.items()}
    words = (name if value is None else f'{name}="{escape(value)}"' for name, value in kept.items())
    return f"<{' '.join([tag.name, *words])}>"


def with_additions(page: str) -> str:
    """asv's index page with a link to the Compare page, a legend below its graphs, and our scripts and style."""
    tags = _Tags(page).found
    places = {
        WIDTH: [tag.start for tag in tags if tag.name == "title"],
        SCRIPTS: [tag.start for tag in tags if tag.attributes.get("src") == "asv.js"],
        STYLE: [tag.start for tag in tags if tag.attributes.get("rel") == "shortcut icon"],  # after asv's own
        COMPARE_LINK: [tag.start for tag in tags if tag.attributes.get("id") == "nav-li-graphdisplay"],
        LEGEND: [tag.end for tag in tags if tag.attributes.get("id") == "graph"],
    }
    for text, found in sorted(places.items(), key=lambda item: item[1], reverse=True):
        if len(found) != 1:
            raise DashboardError(f"asv's index page has {len(found)} places for {text.strip()}; 1 is wanted")
        page = page[: found[0]] + text + page[found[0] :]
    return page


def embedded(site: Path) -> str:
    """A script with every JSON file of the site: what offline.js answers asv's requests from."""
    files = {
        path.relative_to(site).as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.json"))
    }
    return assignment("DASHBOARD_FILES", files)


def assignment(name: str, value: object) -> str:
    """A script that gives the page this value under this name."""
    return f"window.{name} = {json.dumps(value, separators=(',', ':'))};\n"
