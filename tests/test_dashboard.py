"""The dashboard: what publish writes, and that a real browser shows it, from a server and from a folder, offline."""

import base64
import hashlib
import http.server
import json
import math
import re
import shutil
import subprocess
import sys
import threading
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import dashboard_records as made_up
import pytest

from benchmarks.dashboard import DashboardError, graphs, history, libraries, pages, patches, publish

ROOT = Path(__file__).resolve().parents[1]
SCHEMES = ("http", "file")
FLOAT32_CASES = [name for name, *_ in made_up.SHAPES]
FLOAT32_NETWORKS = [name for name, *_, dtype in made_up.NETWORKS if dtype == "float32"]
FAMILIES_OF_TINY = len(made_up.FAMILIES) - 1  # without PyTorch

# ---- asv's pages, rewritten ----


def test_what_asv_loads_from_elsewhere_is_loaded_from_beside_it():
    page = '<p>1 < 2</p><script src="https://a.org/b.js" integrity="sha256-x" crossorigin onerror="f()"></script>\n'
    expected = '<p>1 < 2</p><script src="vendor/b.js" onerror="f()"></script>\n'
    assert pages.without_network(page, {"https://a.org/b.js": "vendor/b.js"}) == expected


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://a.org/new.js"></script>',
        "<SCRIPT SRC=//a.org/new.js></SCRIPT>",
        '<link rel="stylesheet"\n      href="http://a.org/new.css"/>',
        '<img alt="" src=" https://a.org/new.png">',
        '<iframe src="https://a.org/new"></iframe>',
    ],
)
def test_what_nothing_local_stands_for_is_refused_by_name(tag):
    with pytest.raises(DashboardError, match=r"//a\.org/new.*libraries\.py"):
        pages.without_network(f"<head>{tag}</head>", libraries.LOCAL)


@pytest.mark.parametrize(
    "page",
    [
        '<a href="https://github.com/">a link to follow</a>',
        '<script>window.location = "https://a.org/";</script>',
        '<script src="asv.js"></script><link href="asv.css"><img src="swallow.png"></img>',
        "<!-- <script src='https://a.org/b.js'></script> -->",
    ],
)
def test_what_loads_nothing_from_elsewhere_stays_as_it_is(page):
    assert pages.without_network(page, {}) == page


@pytest.mark.parametrize(
    "page", ["<html></html>", '<script src="asv.js"></script>' * 2 + '<li id="nav-li-graphdisplay">']
)
def test_index_page_without_the_places_for_our_additions_is_refused(page):
    with pytest.raises(DashboardError, match="1 is wanted"):
        pages.with_additions(page)


def test_patch_replaces_the_one_place_that_there_is():
    patch = patches.Patch("a.js", "one", "two")
    assert patches.patched("var one = 1;", patch) == "var two = 1;"
    for script, places in (("var none = 0, one, one;", 3), ("", 0)):
        with pytest.raises(DashboardError, match=rf"^asv's a\.js has {places} places of one; 1 is wanted$"):
            patches.patched(script, patch)


# ---- libraries and licences ----


def test_packages_are_pinned_and_their_addresses_left_to_npm():
    wanted = json.loads((libraries.HERE / "package.json").read_text())["dependencies"]
    lock = json.loads((libraries.HERE / "package-lock.json").read_text())
    locked = {path.removeprefix("node_modules/"): entry for path, entry in lock["packages"].items() if path}
    assert wanted.keys() == locked.keys() == {library.package for library in libraries.LIBRARIES}
    for package, entry in locked.items():
        assert wanted[package] == entry["version"]
        assert entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry


@pytest.mark.parametrize("name", ["LICENSE", "LICENSE.txt", "LICENCE.md", "COPYING"])
def test_licence_of_a_package_is_copied_word_for_word(tmp_path, name):
    (tmp_path / name).write_text("Do as you like.\n")
    assert libraries.licence(tmp_path) == "Do as you like.\n"


@pytest.mark.parametrize("stated", ["MIT", {"type": "MIT", "url": "https://a.org"}])
def test_licence_that_a_package_only_states_is_written_down(tmp_path, stated):
    (tmp_path / "package.json").write_text(
        json.dumps({"name": "b", "version": "1.0", "license": stated, "author": "A. B."})
    )
    written = libraries.licence(tmp_path)
    assert written.startswith("b 1.0 brings no licence file")
    assert "license: MIT" in written
    assert "author: A. B." in written


def test_package_without_a_licence_is_refused(tmp_path):
    (tmp_path / "package.json").write_text('{"name": "b", "version": "1.0"}')
    with pytest.raises(DashboardError, match=r"b 1\.0 states no licence"):
        libraries.licence(tmp_path)


def test_npm_is_asked_for_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(DashboardError, match=r"^npm is wanted.*Node\.js$"):
        libraries.installed(tmp_path / "cache")


def test_libraries_are_the_bytes_that_asv_asks_for(packages):
    asv = pytest.importorskip("asv")
    asked = {}

    class Asked(HTMLParser):
        def handle_starttag(self, tag, attrs):
            attributes = dict(attrs)
            asked[attributes.get("src") or attributes.get("href")] = attributes.get("integrity")

    Asked().feed((Path(asv.__file__).parent / "www" / "index.html").read_text())
    for library in libraries.LIBRARIES:
        if library.package in ("flot", "stupid-table-plugin"):  # other files of the same library, see LIBRARIES
            continue
        algorithm, digest = asked[library.address].split("-", 1)
        content = (packages / library.package / library.file).read_bytes()
        assert base64.b64encode(hashlib.new(algorithm, content).digest()).decode() == digest, library


# ---- publish ----


def _wanted(*commands):
    """Skips where one of the commands is not installed; CI has them all."""
    for command in commands:
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The libraries of asv's page, installed."""
    _wanted("npm")
    return libraries.installed(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a git repository, this project's asv configuration, results and records."""
    pytest.importorskip("asv")
    _wanted("git")
    folder = tmp_path_factory.mktemp("source")
    commits = made_up.repository(folder / "repository")
    shutil.copy(ROOT / "asv.conf.json", folder / "repository")
    made_up.write_results(folder / "results", commits)
    made_up.write_records(folder / "records", commits)
    return folder


@pytest.fixture(scope="module")
def write(source, packages):
    """write(output, ...) publishes the source there."""

    def write(output, records=source / "records"):
        configuration = source / "repository" / "asv.conf.json"
        return publish.publish(configuration, output, source / "results", records, packages.parents[1])

    return write


@pytest.fixture(scope="module")
def site(write, tmp_path_factory):
    return write(tmp_path_factory.mktemp("site") / "dashboard")


@pytest.fixture(scope="module")
def records(source):
    """The records, by machine, the oldest first."""
    found = [json.loads(path.read_text()) for path in source.glob("records/*/*.json")]
    by_machine = {name: [each for each in found if each["machine"]["name"] == name] for name in made_up.MACHINES}
    return {name: sorted(each, key=lambda record: record["date"]) for name, each in by_machine.items()}


def test_licences_lie_beside_the_libraries(site):
    licences = {path.stem: path.read_text() for path in (site / "vendor" / "LICENSES").iterdir()}
    assert licences.keys() == {library.package for library in libraries.LIBRARIES}
    assert all("MIT" in text or "Permission is hereby granted" in text for text in licences.values())


def test_new_remote_script_of_asv_is_refused_and_nothing_is_left(write, tmp_path, monkeypatch):
    jquery = libraries.LIBRARIES[0].address
    monkeypatch.setattr(publish, "LOCAL", {key: value for key, value in libraries.LOCAL.items() if key != jquery})
    with pytest.raises(DashboardError, match=re.escape(jquery)):
        write(tmp_path / "dashboard")
    assert list(tmp_path.iterdir()) == []


def test_earlier_dashboard_stays_until_the_new_one_is_complete(write, source, tmp_path):
    output = tmp_path / "dashboard"
    write(output, records=tmp_path / "none")
    assert (output / "compare-data.js").read_text().startswith("window.FASTBP_RECORDS = [];\n")
    (tmp_path / "bad" / "machine").mkdir(parents=True)
    (tmp_path / "bad" / "machine" / "1234.json").write_text('{"format": 99}')
    with pytest.raises(DashboardError, match=r"1234\.json is no record of format 1"):
        write(output, records=tmp_path / "bad")
    assert (output / "compare-data.js").read_text().startswith("window.FASTBP_RECORDS = [];\n")
    write(output)
    assert "zen4-2" in (output / "compare-data.js").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "dashboard"]


def test_folder_of_something_else_is_left_as_it_is(write, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(DashboardError, match="something else than a dashboard"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_failure_of_asv_is_shown(write, source, tmp_path, capsys):
    configuration = source / "repository" / "asv.conf.json"
    words = ["--config", configuration, "--results", tmp_path / "nothing", "--output", tmp_path / "dashboard"]
    assert publish.main([str(word) for word in words]) == 1
    assert re.search(r"error: asv publish failed:\n.*benchmarks\.json", capsys.readouterr().err, re.DOTALL)


def test_command_says_where_the_dashboard_is(source, packages, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(publish, "installed", lambda cache: packages)
    words = ["--config", source / "repository" / "asv.conf.json", "--results", source / "results"]
    words += ["--records", source / "records", "--output", tmp_path / "dashboard"]
    assert publish.main([str(word) for word in words]) == 0
    assert capsys.readouterr().out == f"The dashboard is at {tmp_path / 'dashboard' / 'index.html'}\n"
    assert (tmp_path / "dashboard" / "index.html").is_file()


def test_command_runs_as_a_script():
    command = [sys.executable, "-W", "error", ROOT / "benchmarks" / "dashboard" / "publish.py", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--output DIR" in shown


def test_records_are_read_newest_commit_first(source, records):
    dates = [record["date"] for record in publish.read_records(source / "records")]
    assert dates == sorted(dates, reverse=True)
    assert len(dates) == sum(map(len, records.values()))


# ---- asv's graphs ----

OLD, NEW = ({"machine": name, "cpu": cpu, "branch": "main"} for name, cpu in (("old", "Z"), ("new", "A")))
SCALING = [  # of a benchmark by case and threads: its points, by machine
    (OLD, [[3, [0.1, None, 0.2, None]], [5, [0.3, 0.4, None, None]]]),
    (NEW, [[5, [4.0, None, 9.0, None]], [9, [None, 1.0, 1.0, None]]]),
]


@pytest.fixture
def graphs_of(tmp_path):
    """graphs_of(lines) writes what asv publishes of {benchmark: (parameters' values, [(environment, points)])}."""
    graph = pytest.importorskip("asv.graph").Graph

    def graphs_of(lines):
        index = {
            "revision_to_hash": {"3": "c3", "5": "c5", "9": "c9"},
            "revision_to_date": {"3": 1793534400000, "5": 1793620800000, "9": 1793707200000},
            "params": {"cpu": ["A", "Z"], "machine": ["old", "new"], "branch": ["main"]},
            "graph_param_list": [OLD, NEW],
            "benchmarks": {name: {"params": params} for name, (params, _) in lines.items()},
        }
        (tmp_path / "index.json").write_text(json.dumps(index))
        (tmp_path / "regressions.json").write_text('{"regressions": []}')
        for name, (_, of_machines) in lines.items():
            for environment, points in of_machines:
                path = tmp_path / f"{graph.get_file_path(environment, name)}.json"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(points))
        return graphs.Graphs(tmp_path)

    return graphs_of


def _shown(site, path):
    return json.loads((site / path).read_text())


def _line(site, environment, name):
    from asv.graph import Graph

    return _shown(site, f"{Graph.get_file_path(environment, name)}.json")


def test_values_that_were_measured_nowhere_are_dropped_and_places_follow(graphs_of, tmp_path):
    values = [["'a'", "'b'"], ["1", "2", "64"]]
    wide = [
        (machine, [[revision, [*row[:2], None, *row[2:], None]] for revision, row in points])
        for machine, points in SCALING
    ]
    asv = graphs_of({"scaling.time": (values, wide)})
    rows = [
        {"name": "scaling.time", "idx": idx, "last_value": value} for idx, value in enumerate([0.3, 0.4, None, 0.2])
    ]
    (tmp_path / "graphs" / "summary.json").write_text(json.dumps([*rows, {"name": "x", "idx": None, "last_value": 1}]))
    regression = ["scaling.time('b', 1)", "graphs/x.json", {}, 3, 0.2, 0.1, []]
    (tmp_path / "regressions.json").write_text(json.dumps({"regressions": [regression]}))
    asv.rewrite()
    assert _shown(tmp_path, "index.json")["benchmarks"]["scaling.time"]["params"] == [["'a'", "'b'"], ["1", "2"]]
    assert [(environment, _line(tmp_path, environment, "scaling.time")) for environment in (OLD, NEW)] == SCALING
    assert [row["idx"] for row in _shown(tmp_path, "graphs/summary.json")] == [0, 1, 2, None]
    regression[3] = 2
    assert _shown(tmp_path, "regressions.json") == {"regressions": [regression], "commits": 3, "machines": 2}


def test_tile_of_the_grid_is_of_the_machine_measured_last(graphs_of, tmp_path):
    values = [["'a'", "'b'"], ["1", "2"]]
    graphs_of({"scaling.time": (values, SCALING), "old.time": ([], [(OLD, [[3, 0.5], [5, 0.25]])])}).rewrite()
    tile = _shown(tmp_path, "graphs/summary/scaling.time.json")
    assert [[revision, round(value, 12)] for revision, value in tile] == [[5, 6.0], [9, 1.0]]  # geometric means
    assert _shown(tmp_path, "graphs/summary/old.time.json") == [[3, 0.5], [5, 0.25]]


def test_line_that_was_not_measured_is_a_point_of_nothing(graphs_of, tmp_path):
    """Without a file, asv would ask for it in vain and tell of an error; without a point, it would stop."""
    lines = {
        "import.time": ([], [(OLD, [[3, 0.5]])]),
        "step.time": ([["1", "2"]], [(OLD, [[3, [None, None]]]), (NEW, [[5, [1, 2]]])]),
        "nowhere.time": ([["1"]], [(OLD, []), (NEW, [[9, None]])]),
    }
    graphs_of(lines).rewrite()
    assert _line(tmp_path, NEW, "import.time") == _line(tmp_path, OLD, "step.time") == [[9, None]]
    assert _line(tmp_path, NEW, "step.time") == [[5, [1, 2]]]
    assert _shown(tmp_path, "index.json")["benchmarks"].keys() == {"import.time", "step.time"}


def test_machine_measured_last_comes_first(graphs_of, tmp_path):
    graphs_of({"import.time": ([], [(OLD, [[3, 0.5], [5, 0.5]]), (NEW, [[9, 0.5]])])}).rewrite()
    index = _shown(tmp_path, "index.json")
    assert index["graph_param_list"] == [NEW, OLD]
    assert index["params"] == {"cpu": ["A", "Z"], "machine": ["new", "old"], "branch": ["main"]}
    graphs_of({"import.time": ([], [(OLD, [[3, 0.5], [9, 0.5]]), (NEW, [[5, 0.5]])])}).rewrite()
    index = _shown(tmp_path, "index.json")
    assert index["graph_param_list"] == [OLD, NEW]
    assert index["params"] == {"cpu": ["Z", "A"], "machine": ["old", "new"], "branch": ["main"]}


def test_commits_are_those_with_a_figure_and_say_where(graphs_of):
    asv = graphs_of({"import.time": ([], [(OLD, [[3, 0.5], [5, 0.5]]), (NEW, [[5, 0.5], [9, None]])])})
    assert asv.commits() == [
        ("c5", "2026-11-02T12:00:00+00:00", ["new", "old"]),
        ("c3", "2026-11-01T12:00:00+00:00", ["old"]),
    ]


# ---- what git knows of commits ----


@pytest.fixture(scope="module")
def commits(source):
    """The commits of the repository, the oldest first."""
    words = ["git", "-C", source / "repository", "log", "--reverse", "--format=%H", "main"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_history_counts_the_commits_since_and_names_those_measured(source, commits):
    measured = [graphs.Commit(commits[1], "2026-11-02T12:00:00+00:00", ["zen4-2"])]
    assert history.history(source / "repository", "main", [commits[-1], commits[2], "0" * 40], measured) == {
        "newest": commits[-1],
        "later": {commits[-1]: 0, commits[2]: 3},
        "measured": [
            {
                "commit": commits[1],
                "date": "2026-11-02T12:00:00+00:00",
                "machines": ["zen4-2"],
                "subject": "Make step 2 of the kernels a little faster",
            }
        ],
    }


def test_history_leaves_out_what_a_shallow_clone_does_not_know(source, commits, tmp_path):
    address = (source / "repository").as_uri()
    subprocess.run(["git", "clone", "--quiet", "--depth=2", address, tmp_path / "shallow"], check=True)
    measured = [graphs.Commit(commits[0], "2026-11-01T12:00:00+00:00", ["zen4-2"])]
    known = history.history(tmp_path / "shallow", "main", commits, measured)
    assert known["later"] == {commits[-1]: 0, commits[-2]: 1}
    assert known["measured"][0]["subject"] == ""


def test_history_of_a_commit_that_is_not_of_the_branch_counts_nothing(source, commits, tmp_path):
    subprocess.run(["git", "clone", "--quiet", source / "repository", tmp_path / "clone"], check=True)
    git = ["git", "-C", tmp_path / "clone", "-c", "user.name=tester", "-c", "user.email=tester"]
    subprocess.run([*git, "checkout", "--quiet", "-b", "aside", commits[0]], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "Aside"], check=True)
    assert history.history(tmp_path / "clone", "main", ["aside", commits[0]], [])["later"] == {commits[0]: 5}


def test_history_without_git_is_what_asv_knows(source, commits, monkeypatch):
    monkeypatch.setenv("PATH", "")
    measured = [graphs.Commit(commits[1], "2026-11-02T12:00:00+00:00", ["zen4-2"])]
    known = history.history(source / "repository", "main", commits, measured)
    assert known == {"newest": None, "later": {}, "measured": [measured[0]._asdict() | {"subject": ""}]}


# ---- the results that are published ----


@pytest.fixture(scope="module")
def stored():
    """asv's benchmarks, and the results of each machine and commit."""
    pytest.importorskip("asv")
    from asv.results import Results

    folder = ROOT / "benchmarks" / "results"
    benchmarks = json.loads((folder / "benchmarks.json").read_text())
    benchmarks.pop("version")  # of the format
    return benchmarks, [Results.load(str(path)) for path in folder.glob("*/*-py*.json")]


def test_every_stored_figure_is_of_a_benchmark_that_asv_publishes(stored):
    benchmarks, results = stored
    assert results
    for each in results:
        for name in each.get_all_result_keys():
            assert each.benchmark_version[name] == benchmarks[name]["version"], name
            columns = each.get_result_params(name), benchmarks[name]["params"]
            lost = [set(of) - set(shown) for of, shown in zip(*columns, strict=True)]
            assert lost == [set()] * len(lost), name


def test_every_graph_opens_with_a_line(stored):
    # asv opens a graph at the first of each parameter.
    benchmarks, results = stored
    for name, benchmark in benchmarks.items():
        of_name = [each for each in results if name in each.get_all_result_keys()]
        first = [each.get_result_value(name, benchmark["params"])[0] for each in of_name]
        assert any(figure is not None and not math.isnan(figure) for figure in first), name


# ---- in a browser ----


class _Browser:
    """Chromium that can reach nothing but this machine, and what it showed, asked for and complained about."""

    def __init__(self, site, profile):
        from selenium import webdriver
        from selenium.webdriver.support.wait import WebDriverWait

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        flags = (
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-dev-shm-usage",
            "disable-quic",
            "no-first-run",
            "disable-sync",
        )
        flags += ("disable-background-networking", "disable-component-update", f"user-data-dir={profile}")
        flags += ("window-size=1280,900", "host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
        for flag in flags:
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options, service)
        self._wait = WebDriverWait(self.driver, 10, poll_frequency=0.02)
        self.serve(site)

    def serve(self, site):
        self.site = site
        handler = partial(_Quiet, directory=site)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self):
        self.driver.quit()
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()

    def base(self, scheme):
        return f"http://127.0.0.1:{self.server.server_port}/" if scheme == "http" else f"{self.site.as_uri()}/"

    def open(self, page, scheme="file", width=1280, dark=False):
        """A page, opened afresh in a window of that width."""
        self.driver.get("about:blank")
        self.emulate(width, dark)
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.get(self.base(scheme) + page)

    def get(self, address):
        """That address, once its scripts have run: the driver may still be at the page before when it returns."""
        self.driver.get(address)
        self.wait("location.href.startsWith(arguments[0]) && document.readyState === 'complete'", address.split("#")[0])

    def emulate(self, width, dark):
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self, script, *arguments):
        """Wait until the expression is true, and return it."""
        return self._wait.until(lambda _: self.run(f"return {script}", *arguments))

    def count(self, selector):
        return self.run("return document.querySelectorAll(arguments[0]).length", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def assert_quiet(self):
        """Nothing was complained about, and nothing was asked of another machine."""
        assert self.driver.get_log("browser") == []
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        here = (self.base("http"), self.base("file"), "data:")
        assert asked
        assert [address for address in asked if not address.startswith(here)] == []


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    pytest.importorskip("selenium")
    _wanted("chromium", "chromedriver")
    browser = _Browser(site, tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


# How many canvases there are below a selector that show something coloured: a line, and not only axes.
DRAWN = """\
[...document.querySelectorAll(arguments[0] + " canvas.flot-base")].filter((canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.abs(data[i] - data[i + 2]) > 60) return true;
  return false;
}).length"""


def test_request_that_leaves_this_machine_would_be_noticed(browser, tmp_path):
    (tmp_path / "page.html").write_text('<img src="https://example.org/picture.png">')
    browser.open("index.html")
    browser.get(f"{tmp_path.as_uri()}/page.html")
    with pytest.raises(AssertionError, match=r"example\.org"):
        browser.assert_quiet()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_grid_draws_every_benchmark(browser, scheme):
    browser.open("index.html", scheme)
    browser.wait(f"{DRAWN} === 3", "#summarygrid-display")
    assert browser.texts(".benchmark-text") == ["Step.time_step", "Epoch.time_epoch", "time_import"]
    browser.assert_quiet()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("machine", "rows"), [("zen4-2", 5), ("m2-air", 3)])
def test_list_has_a_row_for_every_parameter_that_was_measured(browser, machine, rows, scheme):
    cpu = quote(made_up.MACHINES[machine]["cpu"])
    browser.open(f"index.html#/summarylist?machine={machine}&cpu={cpu}", scheme)
    browser.wait("document.querySelectorAll('#summarylist-body tbody tr').length === arguments[0]", rows)
    browser.wait("/^\\d/.test(document.querySelector('#summarylist-body td.value').textContent)")
    browser.assert_quiet()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_graph_draws_a_line_for_every_parameter_and_machine(browser, scheme):
    browser.open("index.html#layer.Step.time_step", scheme)
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    labels = browser.texts("#legend .legendLabel")
    assert len(labels) == 3 + 2  # the third parameter was measured on the first machine only
    assert sum("zen4-2" in label for label in labels) == 3
    browser.assert_quiet()


@pytest.mark.parametrize("width", [390, 1280])
def test_legend_of_a_graph_covers_nothing_and_the_plot_is_high_enough(browser, width):
    browser.open("index.html#layer.Step.time_step", width=width)
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    boxes = "['#main-graph canvas', '#overview canvas', '#legend'].map(e => $(e)[0].getBoundingClientRect())"
    plot, overview, legend = browser.run(f"return {boxes}.map(box => [box.top, box.bottom, box.width])")
    assert plot[1] <= overview[0]
    assert overview[1] <= legend[0]
    assert plot[1] - plot[0] >= 300
    assert plot[2] >= 0.8 * (width if width < 500 else width - 220)  # beside what is picked
    assert browser.count("#main-graph .legend") == 0


def test_figures_that_lie_far_apart_are_on_a_log_scale_unless_the_address_says_otherwise(browser):
    ticks, pressed = "$('#main-graph .flot-y-axis').text()", "$('#log-scale').hasClass('active')"
    browser.open("index.html#layer.Step.time_step")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    assert browser.run(f"return [{ticks}, {pressed}]") == ["10-510-410-310-210-1", True]
    for log in (False, True):
        browser.driver.find_element("id", "log-scale").click()
        browser.wait(f"{pressed} === {str(log).lower()} && {ticks}.startsWith('10-5') === {str(log).lower()}")
    browser.open("index.html#layer.Step.time_step?y-axis-scale=zoom")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    assert browser.run(f"return [$('#zoom-y-axis').hasClass('active'), {pressed}]") == [True, False]
    browser.open("index.html#startup.time_import")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    assert browser.run(f"return {pressed}") is False
    browser.assert_quiet()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_graph_by_name_has_a_point_for_each_that_was_measured(browser, scheme):
    """asv draws bars of several lines nowhere, and a bar says nothing on a log scale."""
    browser.open("index.html#layer.Step.time_step?x-axis=case", scheme)
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    assert browser.texts("#main-graph .flot-x-axis .flot-tick-label") == [
        "digits-float32",
        "mnist-float32",
        "wide-float64",
    ]
    plot = "$('#main-graph').data('plot')"
    assert browser.run(f"return [{plot}.getAxes().xaxis.min, {plot}.getAxes().xaxis.max]") == [-0.5, 2.5]
    lines = browser.run(
        f"""return {plot}.getData().map((each) => [each.bars.show, Boolean(each.lines.show), each.points.show,
             each.datapoints.points.filter((value, i) => i % each.datapoints.pointsize === 0 && value !== null)])"""
    )
    # On the second machine, the third was not measured.
    assert sorted(lines) == [[False, False, True, [0, 1]], [False, False, True, [0, 1, 2]]]
    browser.assert_quiet()


def test_graph_by_size_has_a_log_scale_and_a_tick_for_each(browser):
    browser.open("index.html")
    browser.wait("window.$ && $.asv && $.asv.main_json && $.asv.main_json.project === 'fastbp'")
    sizes = ["1", "10", "1000"]
    browser.run("$.asv.main_json.benchmarks['layer.Step.time_step'].params[0] = arguments[0]", sizes)
    browser.run("location.hash = 'layer.Step.time_step?x-axis=case'")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    assert browser.texts("#main-graph .flot-x-axis .flot-tick-label") == sizes
    axis = "$('#main-graph').data('plot').getAxes().xaxis"
    first, second, third = browser.run(f"return [1, 10, 1000].map(size => {axis}.p2c(size))")
    assert third - first == pytest.approx(3 * (second - first), rel=1e-6)
    browser.assert_quiet()


@pytest.mark.parametrize("dots", [1, 3])
def test_name_of_the_x_axis_stands_within_the_graph_on_every_screen(browser, dots):
    browser.open("index.html")
    screen = {"width": 1280, "height": 800, "deviceScaleFactor": dots, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.run(
        """window.below = {};
           const fillText = CanvasRenderingContext2D.prototype.fillText;
           CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
             below[text] = (this.canvas.height - this.getTransform().f) / devicePixelRatio;
             return fillText.call(this, text, ...place);
           };"""
    )
    browser.run("location.hash = 'layer.Step.time_step?x-axis=case'")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    assert browser.run("return [devicePixelRatio, below.case]") == [dots, pytest.approx(3, abs=1)]
    browser.assert_quiet()


def test_names_of_the_axes_are_not_cut(browser):
    browser.open("index.html")
    browser.wait("window.$ && $.asv && $.asv.main_json && $.asv.main_json.project === 'fastbp'")
    browser.run("$.asv.main_json.benchmarks['layer.Step.time_step'].param_names = ['implementation of it']")
    browser.run("location.hash = 'layer.Step.time_step'")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    browser.wait("$('.btn-group-justified .btn:contains(implementation)').length === 1")
    assert browser.run("return $('.btn').get().filter(e => e.scrollWidth > e.clientWidth).map(e => e.innerText)") == []


@pytest.mark.parametrize(("axis", "said"), [("case", "commit-last"), ("commit", "{commit}")])
def test_point_tells_of_its_commit_or_of_its_line(browser, records, axis, said):
    """By a parameter, asv takes the place of a point for a revision, and leads to a commit that is not its own."""
    from selenium.webdriver import ActionChains

    browser.open(f"index.html#layer.Step.time_step?machine=zen4-2&x-axis={axis}")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    browser.run("window.opened = []; window.open = (address) => { opened.push(address); };")
    x, y = browser.run(
        """const plot = $('#main-graph').data('plot'), {points} = plot.getData()[0].datapoints;
           const {left, top} = plot.pointOffset({x: points[0], y: points[1]});
           const box = $('#main-graph')[0].getBoundingClientRect();
           return [box.left + left, box.top + top].map(Math.round)"""
    )
    actions = ActionChains(browser.driver, duration=0)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    actions.perform()
    browser.wait("$('.tooltip-inner:visible').length > 0")
    commit = records["zen4-2"][0]["commit"][:8]
    assert browser.run("return $('.tooltip-inner:visible').text()").endswith(f" @ {said.format(commit=commit)}")
    ActionChains(browser.driver, duration=0).click().perform()
    assert browser.run("return opened") == ([f"compare.html#commit={commit}"] if axis == "commit" else [])
    browser.assert_quiet()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("axis", ["commit", "case"])
def test_graph_of_what_was_not_measured_says_so(browser, scheme, axis):
    browser.open(f"index.html#networks.Epoch.time_epoch?machine=m2-air&x-axis={axis}", scheme)
    browser.wait("$('#not-measured').text() === 'Not measured'")
    assert browser.count("#legend .legendLabel") == 0
    assert browser.run("return $('#error:visible').length") == 0
    browser.assert_quiet()


def test_window_may_change_while_a_graph_is_not_shown(browser):
    browser.open("index.html#layer.Step.time_step")
    browser.wait(f"{DRAWN} === 1", "#main-graph")
    browser.run("location.hash = '#/summarylist'")
    browser.wait("$('#summarylist-body tbody tr').length > 0")
    browser.emulate(1000, dark=False)
    browser.wait("innerWidth === 1000")
    browser.assert_quiet()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_regressions_name_what_became_slower(browser, scheme):
    browser.open("index.html#/regressions", scheme)
    browser.wait("document.querySelectorAll('#regressions-body tbody tr').length > 0")
    assert browser.texts("#regressions-body tbody tr td:first-child") == ["startup.time_import"]
    browser.run("$('#regressions-body tbody a').first().trigger('mouseenter')")
    browser.wait(f"{DRAWN} === 1", ".popover")
    browser.assert_quiet()


def test_page_without_regressions_says_of_how_much(browser):
    """The made-up results have one."""
    browser.open("index.html")
    browser.wait("window.$ && $.asv && $.asv.main_json && $.asv.main_json.project === 'fastbp'")
    browser.run("DASHBOARD_FILES['regressions.json'] = {regressions: [], commits: 6, machines: 1}")
    browser.run("location.hash = '#/regressions'")
    browser.wait("$('#regressions-body').text() === 'No regressions in 6 commits on 1 machine'")
    browser.assert_quiet()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("page", ["/", "/summarylist", "/regressions", "layer.Step.time_step"])
def test_pages_of_asv_are_as_wide_as_the_window(browser, page, width):
    browser.open(f"index.html#{page}", width=width)
    browser.wait("$('.benchmark-group:visible, table:visible tbody tr').length > 0")
    assert browser.run("return innerWidth") == width
    assert browser.run("return document.documentElement.scrollWidth") <= width
    cut = "[...document.querySelectorAll('#summarylist-body')].filter(e => e.scrollWidth > e.clientWidth)"
    assert browser.run(f"return {cut}.length") == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_graph_that_was_never_measured_is_missed_as_asv_does(browser, scheme):
    browser.open("index.html#/summarylist", scheme)
    browser.wait("window.$ && $.asv && $.asv.main_json && $.asv.main_json.project === 'fastbp'")
    browser.run("$.asv.load_graph_data('graphs/nothing.json').fail(() => { window.failed = true; })")
    browser.wait("window.failed === true")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_compare_draws_a_marker_and_a_line_for_every_family(browser, scheme):
    browser.open("compare.html#machine=zen4-2&dtype=float32", scheme)
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    assert [title.split()[0] for title in browser.texts("#cases h3")] == FLOAT32_CASES
    cases = "[...document.querySelectorAll('#cases .case')]"
    markers = browser.run(f"return {cases}.map(e => e.querySelectorAll('.chart.dots .marker').length)")
    assert markers == [FAMILIES_OF_TINY] + [len(made_up.FAMILIES)] * (len(FLOAT32_CASES) - 1)
    for axis, sizes in made_up.SCALING.items():
        figure = f'figure[data-axis="{axis}"]'
        assert browser.count(f"{figure} path.series") == len(made_up.FAMILIES)
        assert browser.count(f"{figure} path.marker") == len(made_up.FAMILIES) * len(sizes)
        assert browser.count(f"{figure} path.limit") == 1
        assert browser.count(f"{figure} tbody tr") == len(sizes)
    for name, lines in [("layers", len(FLOAT32_CASES)), ("networks", len(FLOAT32_NETWORKS))]:
        chart = f"#history [data-history={name}] .chart"
        assert browser.count(f"{chart} path.series") == lines
        assert browser.count(f"{chart} path.marker") == lines * made_up.COMMITS
    browser.assert_quiet()


@pytest.mark.parametrize("width", [360, 1280])
def test_stem_starts_at_the_limit_and_is_as_long_as_the_ratio_to_it(browser, records, width):
    """Also leftwards, where a case in the caches takes less than one read of its data from memory."""
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=width)
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    stems = browser.run(
        """return Object.fromEntries([...document.querySelectorAll("#cases .case")].map((each) => [
             each.dataset.case, [...each.querySelectorAll("line.stem")].map((stem) =>
               [...["x1", "x2"].map((name) => Number(stem.getAttribute(name))),
                Number(each.querySelector("line.limit").getAttribute("x1"))])]))"""
    )
    entries = {each["case"]: each for each in records["zen4-2"][-1]["cases"]}
    for case, of_families in stems.items():
        best = {}
        for label, seconds in sorted(entries[case]["medians"].items(), key=lambda item: item[1]):
            best.setdefault(re.split("[ ,]", label)[0], seconds)
        ratios = [math.log(best[family] / entries[case]["limit"]) for family in made_up.FAMILIES if family in best]
        assert len(of_families) == len(ratios)
        assert all(start == limit for start, _, limit in of_families)
        lengths = [end - start for start, end, _ in of_families]
        pixels = lengths[0] / ratios[0]
        assert pixels > 0
        assert lengths == pytest.approx([pixels * ratio for ratio in ratios])


def test_compare_ranks_the_implementations_by_time(browser, records):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    case = next(each for each in records["zen4-2"][-1]["cases"] if each["case"] == "digits-float32")
    ranking = sorted(case["medians"], key=case["medians"].get)
    rows = browser.run(
        """return [...document.querySelectorAll('[data-case="digits-float32"] tbody tr')].map(
               row => [...row.children].map(cell => cell.innerText.trim()))"""
    )
    shown = [re.sub(r"\s*best$", "", row[0]) for row in rows]
    assert shown == [label.split(",")[0] for label in ranking]
    best = [row[0] for row in rows if row[0].endswith("best")]
    assert len(best) == len(made_up.FAMILIES)
    own = min(seconds for label, seconds in case["medians"].items() if label.startswith("fastbp"))
    numpy = min(seconds for label, seconds in case["medians"].items() if label.startswith("numpy"))
    name, threads, time, ratio, share = rows[0]
    assert name.startswith("fastbp")
    assert threads == "2"
    assert float(time.split()[0]) == pytest.approx(own * 1e6, rel=5e-3)
    assert time.endswith("µs")
    assert float(ratio.rstrip("\N{MULTIPLICATION SIGN}")) == pytest.approx(numpy / own, rel=5e-3)
    assert float(share.rstrip("% \xa0")) == pytest.approx(100 * case["limit"] / own, rel=5e-3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_compare_shows_the_networks_of_a_dtype(browser, records, scheme):
    browser.open("compare.html#machine=zen4-2&dtype=float32", scheme)
    named = ["mnist 60,000 rows, 784-128-10 sigmoid, batches of 32, SGD"]
    named += ["tall 100,000 rows, 8-16-16-1 sigmoid, batches of 32, SGD"]
    assert browser.texts("#networks h3") == named
    families = {"fastbp", "numpy", "torch", "jax", "scikit-learn"}
    assert browser.count("#networks .chart.dots .marker") == len(named) * len(families)
    network = records["zen4-2"][-1]["networks"][0]
    rows = browser.run(
        """return [...document.querySelectorAll('#networks [data-case="mnist-float32"] tbody tr')].map(
               row => [...row.children].map(cell => cell.innerText.trim()))"""
    )
    for section in ("cases", "networks"):  # one ratio for both
        titles = browser.texts(f'#{section} [data-case="mnist-float32"] thead th')
        assert titles == ["implementation", "threads", "time", "vs NumPy", "of the limit"]
    ranking = sorted(network["medians"], key=network["medians"].get)
    assert [row[0].removesuffix("best").strip() for row in rows] == [label.split(",")[0] for label in ranking]
    numpy = min(seconds for label, seconds in network["medians"].items() if label.startswith("numpy"))
    for row, label in zip(rows, ranking, strict=True):
        ratio = float(row[3].rstrip("\N{MULTIPLICATION SIGN}"))
        assert ratio == pytest.approx(numpy / network["medians"][label], rel=5e-3)
    browser.assert_quiet()


def test_record_without_networks_has_no_section_of_them(browser, site, records, tmp_path):
    for name in publish.COMPARE:
        shutil.copy(site / name, tmp_path)
    older = {key: value for key, value in records["zen4-2"][-1].items() if key != "networks"}
    (tmp_path / "compare-data.js").write_text(pages.assignment("FASTBP_RECORDS", [older]))
    browser.get(f"{tmp_path.as_uri()}/compare.html")
    browser.wait("document.querySelectorAll('#cases .chart.dots .marker').length > 0")
    assert browser.count("#networks") == 0


def _pick(browser, picker, value):
    """Choose as a reader does."""
    from selenium.webdriver.support.select import Select

    Select(browser.driver.find_element("id", picker)).select_by_value(value)


def test_pickers_change_what_is_shown_and_the_address_restores_it(browser, records):
    browser.open("compare.html")
    assert browser.texts("#machine option") == sorted(made_up.MACHINES)
    _pick(browser, "machine", "zen4-2")
    browser.wait("document.querySelectorAll('#commit option').length === arguments[0]", made_up.COMMITS)
    newest, oldest = records["zen4-2"][-1]["commit"], records["zen4-2"][0]["commit"]
    assert browser.run("return document.getElementById('commit').value") == newest
    after = browser.texts("#cases td")
    _pick(browser, "commit", oldest)
    browser.wait("document.getElementById('chosen').textContent.startsWith(arguments[0])", oldest[:7])
    before = browser.texts("#cases td")
    _pick(browser, "dtype", "float64")
    browser.wait("document.querySelector('[data-case=digits-float64]') !== null")
    assert "Measured for float32 only." in browser.texts("#scaling p")
    assert len({tuple(after), tuple(before), tuple(browser.texts("#cases td"))}) == 3

    state = "[...document.querySelectorAll('select')].map(each => each.value)"
    picked, shown = browser.run(f"return {state}"), browser.texts("#comparison")
    assert picked == ["zen4-2", oldest, "float64"]
    address = browser.run("return location.hash")
    browser.open(f"compare.html{address}")
    assert browser.run(f"return {state}") == picked
    assert browser.texts("#comparison") == shown
    browser.assert_quiet()


LINKS_TO_A_COMMIT = {
    "label": "#history .chart a:not([tabindex])",
    "point": "#history [data-history=networks] .chart a[tabindex]",
    "row": "#history tbody th a",
}


@pytest.mark.parametrize("link", LINKS_TO_A_COMMIT)
def test_commit_of_the_history_leads_to_its_comparison(browser, records, link):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    browser.run("document.querySelectorAll('#history details').forEach((each) => { each.open = true; })")
    oldest = records["zen4-2"][0]["commit"]
    selector = f"{LINKS_TO_A_COMMIT[link]}[href*='commit={oldest[:10]}']"
    target = browser.driver.find_element("css selector", selector)
    browser.run("arguments[0].scrollIntoView({block: 'center'})", target)
    assert browser.run("return scrollY") > 0
    target.click()
    browser.wait("document.getElementById('commit').value === arguments[0]", oldest)
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    assert browser.run("return document.getElementById('dtype').value") == "float32"
    assert browser.run("return document.activeElement.id") == "main"  # from its beginning
    assert browser.run("return document.getElementById('main').getBoundingClientRect().top") == pytest.approx(0, abs=1)
    here = browser.run("return [...document.querySelectorAll('#history [aria-current]')].map(e => e.textContent)")
    assert here == [oldest[:8]] * 2
    browser.assert_quiet()


def test_history_tells_the_speed_ups_of_networks(browser, records):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    table = "#history [data-history=networks] table"
    assert browser.texts(f"{table} thead th") == ["commit", *FLOAT32_NETWORKS]
    rows = browser.run(
        f"""return [...document.querySelectorAll("{table} tbody tr")].map(
               row => [...row.children].map(cell => cell.textContent))"""
    )
    assert [row[0] for row in rows] == [record["commit"][:8] for record in reversed(records["zen4-2"])]
    for row, record in zip(rows, reversed(records["zen4-2"]), strict=True):
        for shown, name in zip(row[1:], FLOAT32_NETWORKS, strict=True):
            medians = next(each["medians"] for each in record["networks"] if each["case"] == f"{name}-float32")
            own, numpy = (
                min(seconds for label, seconds in medians.items() if label.startswith(family))
                for family in ("fastbp", "numpy")
            )
            assert float(shown.rstrip("\N{MULTIPLICATION SIGN}")) == pytest.approx(numpy / own, rel=5e-3)


def test_history_is_of_the_commits_that_have_it(browser, site, records, tmp_path):
    """Records from before networks were compared, and a single one with them."""
    for name in publish.COMPARE:
        shutil.copy(site / name, tmp_path)
    newest, *older = reversed(records["zen4-2"])
    older = [{key: value for key, value in record.items() if key != "networks"} for record in older]
    for data, histories in [([newest, *older], ["layers"]), ([newest], [])]:
        (tmp_path / "compare-data.js").write_text(pages.assignment("FASTBP_RECORDS", data))
        browser.get(f"{tmp_path.as_uri()}/compare.html")
        browser.driver.refresh()
        browser.wait("document.querySelectorAll('#networks .case').length > 0")
        shown = "return [...document.querySelectorAll('#history figure')].map(each => each.dataset.history)"
        assert browser.run(shown) == histories


def test_back_returns_to_what_was_picked_before(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    _pick(browser, "dtype", "float64")
    browser.wait("document.querySelector('[data-case=digits-float64]') !== null")
    browser.driver.back()
    browser.wait("document.querySelector('[data-case=digits-float32]') !== null")
    assert browser.run("return document.getElementById('dtype').value") == "float32"


def test_address_of_what_is_not_there_shows_the_newest_instead(browser, records):
    browser.open("compare.html#machine=nobody&commit=none&dtype=float16")
    assert browser.count("#cases .case") == len(FLOAT32_CASES)
    newest = browser.run("return document.getElementById('commit').value")[:8]
    assert browser.texts("#absent > div") == [
        "Nothing was compared on nobody. Shown: m2-air.",
        f"Nothing is known of commit none. Shown: {newest}, the newest on m2-air.",
        "No comparison of float16. Shown: float32.",
    ]
    newest = max(each[-1]["date"] for each in records.values())
    assert newest[:10] in browser.run("return document.getElementById('commit').selectedOptions[0].textContent")
    browser.assert_quiet()


def test_a_commit_alone_leads_to_where_it_was_measured(browser, records):
    """As asv's graphs and lists do, by the first digits."""
    commit = records["m2-air"][0]["commit"]
    browser.open(f"compare.html#commit={commit[:8]}")
    assert browser.run("return document.getElementById('commit').value") == commit
    assert browser.count("#absent") == 0
    settings = json.loads(re.sub(r"^ *//.*", "", (ROOT / "asv.conf.json").read_text(), flags=re.MULTILINE))
    assert settings["show_commit_url"] == "compare.html#commit="


@pytest.fixture
def with_history(browser, site, records, tmp_path):
    """with_history(kept, known, address) opens Compare with the records of those days; what is shown instead, if so."""
    for name in publish.COMPARE:
        shutil.copy(site / name, tmp_path)

    def with_history(kept, known, address):
        data = [record for name in made_up.MACHINES for record in records[name] if record["date"][8:10] in kept[name]]
        newest_first = sorted(data, key=lambda record: record["date"], reverse=True)
        data = pages.assignment("FASTBP_RECORDS", newest_first) + pages.assignment("FASTBP_HISTORY", known)
        (tmp_path / "compare-data.js").write_text(data)
        browser.get(f"{tmp_path.as_uri()}/compare.html#{address}")
        browser.driver.refresh()
        browser.wait("document.querySelectorAll('.case').length > 0")
        return browser.run("return document.getElementById('absent')?.innerText ?? ''").split("\n")

    return with_history


def test_commit_that_asv_alone_measured_leads_to_the_nearest_comparison(with_history, records):
    second, fifth, sixth = (records["zen4-2"][number]["commit"] for number in (1, 4, 5))
    of_asv = [
        {"commit": commit, "date": date, "subject": "Faster", "machines": machines}
        for commit, date, machines in [
            ("a" * 40, "2026-11-02T23:00:00+00:00", ["zen4-2"]),
            ("b" * 40, "2026-11-05T20:00:00+00:00", ["m2-air"]),
            ("c" * 40, "2026-11-03T23:00:00+00:00", ["another"]),
        ]
    ]
    kept, known = {"zen4-2": ["02", "06"], "m2-air": ["05"]}, {"newest": None, "later": {}, "measured": of_asv}
    asv_alone = "Faster: measured by asv, without a comparison. Shown:"
    shown = [
        ("commit=aaaaaaaa", f"aaaaaaaa · 2026-11-02 · {asv_alone} {second[:8]}, the nearest on zen4-2."),
        ("commit=bbbbbbbb", f"bbbbbbbb · 2026-11-05 · {asv_alone} {fifth[:8]}, the nearest on m2-air."),
        ("commit=cccccccc", f"cccccccc · 2026-11-03 · {asv_alone} {second[:8]}, the nearest on zen4-2."),
        ("commit=dddddddd", f"Nothing is known of commit dddddddd. Shown: {sixth[:8]}, the newest on zen4-2."),
        ("machine=elsewhere", "Nothing was compared on elsewhere. Shown: zen4-2."),
        ("dtype=float16", "No comparison of float16. Shown: float32."),
        (f"commit={second[:8]}", ""),
    ]
    for address, notice in shown:
        assert with_history(kept, known, address) == [notice]
    subject = "Make step 2 of the kernels a little faster"
    assert with_history(kept, known, f"machine=m2-air&commit={second}&dtype=float64") == [
        f"{second[:8]} · 2026-11-02 · {subject}: not compared on m2-air. Shown: {fifth[:8]}, the nearest on m2-air."
    ]


def test_compare_says_how_far_the_branch_has_come_since(browser, with_history, records):
    kept = {"zen4-2": ["05", "06"], "m2-air": []}
    fifth, sixth = (records["zen4-2"][number]["commit"] for number in (4, 5))
    subject = {
        commit: f"Make step {number} of the kernels a little faster" for commit, number in ((fifth, 5), (sixth, 6))
    }
    for commit, later, said in [
        (fifth, {fifth: 1149}, ", 1,149 commits before the newest (eeeeeeee)"),
        (fifth, {fifth: 1}, ", 1 commit before the newest (eeeeeeee)"),
        (sixth, {fifth: 1, sixth: 0}, ", the newest"),
        (sixth, {fifth: 1}, ""),
    ]:
        with_history(kept, {"newest": "e" * 40, "later": later, "measured": []}, f"commit={commit}")
        assert browser.texts("#chosen") == [f"{commit[:8]}{said}: {subject[commit]}"]


def test_commits_of_asv_lead_to_compare_with_what_is_known_of_them(site, commits):
    data = (site / "compare-data.js").read_text().splitlines()[1]
    known = json.loads(data.removeprefix("window.FASTBP_HISTORY = ").removesuffix(";"))
    assert known["newest"] == commits[-1]
    assert known["later"] == {commit: number for number, commit in enumerate(reversed(commits))}
    assert [each["commit"] for each in known["measured"]] == commits[::-1]
    assert known["measured"][0] == {
        "commit": commits[-1],
        "date": "2026-11-06T12:00:00+00:00",
        "machines": ["m2-air", "zen4-2"],
        "subject": "Make step 6 of the kernels a little faster",
    }


def test_machine_keeps_the_commit_where_it_was_measured_there_too(browser, records):
    commit = records["m2-air"][0]["commit"]
    browser.open(f"compare.html#machine=zen4-2&commit={commit}&dtype=float64")
    _pick(browser, "machine", "m2-air")
    browser.wait("document.getElementById('machine').value === 'm2-air' && location.hash.includes('m2-air')")
    assert browser.run("return document.getElementById('commit').value") == commit
    assert browser.run("return document.getElementById('dtype').value") == "float64"


def test_asv_and_compare_link_to_each_other(browser):
    browser.open("index.html")
    browser.wait("document.querySelector('#nav-li-compare a') !== null")
    browser.driver.find_element("css selector", "#nav-li-compare a").click()
    browser.wait("document.querySelectorAll('.case').length > 0")
    for label, place in (
        ("Regressions", "#regressions-body"),
        ("List", "#summarylist-body"),
        ("Grid", ".benchmark-group"),
    ):
        browser.open("compare.html")
        browser.driver.find_element("link text", label).click()
        browser.wait("$(arguments[0] + ':visible').length > 0", place)
    browser.assert_quiet()


def test_what_it_ran_on_and_what_was_left_out_are_named(browser):
    browser.open("compare.html#machine=zen4-2")
    environment = browser.run("return document.getElementById('environment').innerText")
    for fact in (
        "AMD EPYC 9654",
        "znver4",
        "218 Gflop/s float32",
        "36.0 GB/s",
        "numba 0.68.1",
        "scipy-openblas 0.3.31",
    ):
        assert fact in environment.replace("\xa0", " ")
    assert "OMP_NUM_THREADS=2" in environment
    # scikit-learn is compared for networks.
    assert browser.run("return document.getElementById('left-out-of-layers').previousSibling.textContent") == (
        "Not compared for layers"
    )
    left_out = browser.texts("#left-out-of-layers li")
    assert left_out == [
        f"scikit-learn: {made_up.MISSING['scikit-learn']}",
        "tensorflow, oneDNN: is not installed",
    ]
    assert browser.texts("#errors li") == [made_up.ERROR]


def test_without_records_a_sentence_says_so(browser, write, tmp_path):
    empty = write(tmp_path / "dashboard", records=tmp_path / "none")
    browser.driver.get("about:blank")
    browser.driver.get_log("browser")
    browser.get(f"{empty.as_uri()}/compare.html")
    assert "Nothing has been compared yet." in browser.run("return document.querySelector('main').innerText")
    assert not browser.driver.find_element("id", "machine").is_displayed()
    assert browser.driver.get_log("browser") == []


def test_record_with_little_in_it_is_shown_all_the_same(browser, site, records, tmp_path):
    for name in publish.COMPARE:
        shutil.copy(site / name, tmp_path)
    scarce = json.loads(json.dumps(records["m2-air"][-1])) | {
        "subject": "<b>",
        "missing": {},
        "scaling": [],
        "networks": [],
        "blas": {},
    }
    scarce["cases"] = scarce["cases"][2:3]
    scarce["cases"][0]["medians"] = {"fastbp": 1.25e-3, "another library, 1 thread": 2.5e-3}
    (tmp_path / "compare-data.js").write_text(pages.assignment("FASTBP_RECORDS", [scarce]))
    browser.get(f"{tmp_path.as_uri()}/compare.html")
    browser.wait("document.querySelectorAll('.chart.dots .marker').length === 2")
    rows = browser.run("return [...document.querySelectorAll('.case tbody tr')].map(row => row.innerText.split(/\\t/))")
    assert [row[1:4] for row in rows] == [["auto", "1.25\xa0ms", "-"], ["1", "2.50\xa0ms", "-"]]
    assert browser.run("return document.getElementById('chosen').textContent").endswith(" <b>")
    assert browser.driver.get_log("browser") == []


def test_records_of_a_peak_measured_too_low_say_so_and_later_ones_do_not(browser, site, records, tmp_path):
    for name in publish.COMPARE:
        shutil.copy(site / name, tmp_path)
    record = records["m2-air"][-1]
    for date, notices in [
        ("2026-11-26T02:43:06+00:00", 1),
        ("2026-11-26T09:26:37+03:00", 1),
        ("2026-11-26T06:26:38+00:00", 0),  # of 4207ff64
        ("2026-11-26T05:26:38-01:00", 0),
    ]:
        (tmp_path / "compare-data.js").write_text(pages.assignment("FASTBP_RECORDS", [record | {"date": date}]))
        browser.get(f"{tmp_path.as_uri()}/compare.html")
        browser.wait("document.querySelectorAll('.case').length > 0")
        assert browser.count(".notice") == browser.count("#comparison > #older-peak:first-child") == notices


# ---- for every reader ----


CONTROLS = "a[href]:not([tabindex='-1']), select, summary, [tabindex='0']"


@pytest.mark.parametrize("width", [1280, 360])
def test_tab_reaches_every_control_and_focus_is_seen(browser, width):
    from selenium.webdriver import ActionChains, Keys

    browser.open("compare.html#machine=zen4-2&dtype=float32", width=width)
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    wanted = browser.count(CONTROLS)
    browser.run(
        """window.reached = new Set(); window.unseen = [];
           addEventListener("focusin", ({target}) => {
             reached.add(target);
             if (getComputedStyle(target).outlineStyle === "none") unseen.push(target.outerHTML);
           });"""
    )
    actions = ActionChains(browser.driver, duration=0)
    for _ in range(wanted):
        actions.send_keys(Keys.TAB)
    actions.perform()
    missed = browser.run(
        f"return [...document.querySelectorAll(`{CONTROLS}`)].filter(e => !reached.has(e)).map(e => e.outerHTML)"
    )
    assert missed == []
    assert browser.run("return unseen") == []


def test_skip_link_leads_to_the_comparison_and_keeps_the_view(browser):
    from selenium.webdriver import ActionChains, Keys

    browser.open("compare.html#machine=zen4-2&dtype=float64")
    browser.wait("document.querySelector('.case') !== null")
    ActionChains(browser.driver, duration=0).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert browser.run("return document.activeElement.id") == "main"
    assert browser.run("return location.hash") == "#machine=zen4-2&dtype=float64"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window_and_no_label_is_cut_off(browser, width):
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=width)
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    cut_off = browser.run(
        """return [...document.querySelectorAll(".chart text")].filter((text) => {
             const outer = text.ownerSVGElement.getBoundingClientRect(), inner = text.getBoundingClientRect();
             return inner.left < outer.left - 1 || inner.right > outer.right + 1
                 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
           }).map(text => text.textContent)"""
    )
    assert cut_off == []
    overlapping = browser.run(
        """const box = (text) => [text.textContent, text.getBoundingClientRect()];
           const boxes = (svg) => [...svg.querySelectorAll("text")].map(box);
           return [...document.querySelectorAll(".chart svg")].flatMap((svg) => boxes(svg).flatMap(([a, p], i, all) =>
             all.slice(i + 1).filter(([b, q]) => p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 3
               && q.top < p.bottom - 3).map(([b]) => `${a} / ${b}`)))"""
    )
    assert overlapping == []


def test_tables_fade_where_there_is_more_of_them(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=280)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    fades = """[...document.querySelectorAll(".scroll")].map((each) => [
                 each.scrollWidth - each.clientWidth,
                 ...["left", "right"].map(side => parseInt(each.style.getPropertyValue(`--more-${side}`)))])"""
    browser.wait(f"{fades}.every(([hidden, before, after]) => before === 0 && after === Math.min(hidden, 40))")
    assert any(hidden > 40 for hidden, *_ in browser.run(f"return {fades}"))
    browser.run("document.querySelectorAll('.scroll').forEach((each) => { each.scrollLeft = each.scrollWidth; })")
    browser.wait(f"{fades}.every(([hidden, before, after]) => before === Math.min(hidden, 40) && after === 0)")


@pytest.mark.parametrize(("width", "most"), [(1280, 0), (390, 20)])
def test_tables_of_scaling_fit(browser, width, most):
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=width)
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    hidden = "[...document.querySelectorAll('#scaling .scroll')].map(each => each.scrollWidth - each.clientWidth)"
    assert browser.run(f"return {hidden}.length") == len(made_up.SCALING)
    assert browser.run(f"return Math.max(...{hidden})") <= most
    sizes = browser.texts("[data-axis=rows] tbody th")
    assert sizes == ["10", "100", "1k", "10k", "100k", "1M"]


def test_numbers_and_names_are_written_alike(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    browser.wait("document.querySelector('#networks .chart.dots svg') !== null")
    mnist = "[data-case=mnist-float32]"
    assert browser.texts(f"#cases {mnist} .shape") == ["60,000 \N{MULTIPLICATION SIGN} 784 → 10"]
    assert browser.texts(f"#networks {mnist} .shape")[0].startswith("60,000 rows, 784-128-10 sigmoid, batches of 32")
    assert browser.texts(f"#networks {mnist} svg .detail").count("auto threads") == 1  # JAX
    threads = browser.run(
        f"""return [...document.querySelectorAll("#networks {mnist} tbody tr")].filter(
               row => row.textContent.startsWith("jax")).map(row => row.children[1].textContent)"""
    )
    assert threads == ["auto"]
    assert "2026-11-06 12:45 UTC" in browser.texts("#environment dd")


def test_all_columns_of_a_case_are_seen_on_a_phone(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=375)
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    hidden = browser.run(
        "return [...document.querySelectorAll('#cases .scroll')].map(each => each.scrollWidth - each.clientWidth)"
    )
    assert hidden == [0] * len(FLOAT32_CASES)


@pytest.mark.parametrize("width", [360, 1280])
def test_line_of_the_limit_crosses_no_label(browser, width):
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=width)
    browser.wait("document.querySelector('.chart.dots svg') !== null")
    assert browser.count("#cases .chart.dots line.limit") >= len(FLOAT32_CASES)
    crossed = browser.run(
        """return [...document.querySelectorAll(".chart.dots svg")].flatMap((svg) => {
             const lines = [...svg.querySelectorAll("line.limit")].map(line => line.getBoundingClientRect());
             const across = (p, q) =>
               p.left > q.left && p.left < q.right && p.top < q.bottom - 3 && p.bottom > q.top + 3;
             return [...svg.querySelectorAll("text")].filter((text) =>
               lines.some(line => across(line, text.getBoundingClientRect()))).map(text => text.textContent);
           })"""
    )
    assert crossed == []


def test_logarithmic_axes_are_called_so(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    browser.wait("document.querySelector('.chart.dots svg') !== null")
    dots = browser.run("return [...document.querySelectorAll('.chart.dots')].map(each => each.textContent)")
    assert dots
    assert all("log scale" in each for each in dots)
    assert all("log" in browser.texts(f"#{section} > p")[0] for section in ("scaling", "history"))


@pytest.mark.parametrize("width", [360, 1280])
def test_charts_are_drawn_again_for_another_width(browser, width):
    other = 1640 - width
    browser.open("compare.html#machine=zen4-2&dtype=float32", width=other)
    browser.wait("document.querySelector('#history .chart svg') !== null")
    browser.emulate(width, dark=False)
    history = "document.querySelector('#history .chart')"
    browser.wait(f"{history}.firstChild.getAttribute('width') == {history}.clientWidth")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    browser.assert_quiet()


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_told_of_as_an_error(browser, width):
    # The console of a driver leaves out what a reader's shows: that a ResizeObserver did not come to an end.
    record = "window.told = []; addEventListener('error', (event) => told.push(event.message));"
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": record})
    try:
        browser.open("compare.html#machine=zen4-2&dtype=float32", width=width)
        browser.wait("document.querySelector('#history .chart path.series') !== null")
        browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        browser.emulate(1640 - width, dark=False)
        history = "document.querySelector('#history .chart')"
        browser.wait(f"{history}.firstChild.getAttribute('width') == {history}.clientWidth")
        assert browser.run("return told") == []
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


# The contrast of two colours as WCAG 2 defines it.
CONTRAST = """
const luminance = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number).map(
    (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};
const page = getComputedStyle(document.body).backgroundColor;
const of = (selector, property) => Object.fromEntries([...document.querySelectorAll(selector)].map(
  (e) => [e.className.baseVal ?? (e.className || e.localName), contrast(getComputedStyle(e)[property], page)]));
return {page, text: of("body, .lead, td, dt, main a, .chart text", "color"), labels: of(".chart text", "fill"),
        marks: of(".chart .marker", "fill")};"""


def test_dark_scheme_changes_the_colours_and_both_are_readable(browser):
    pages_seen, marks_seen = [], []
    for dark in (False, True):
        browser.open("compare.html#machine=zen4-2&dtype=float32", dark=dark)
        browser.wait("document.querySelector('#history .chart path.series') !== null")
        seen = browser.run(CONTRAST)
        assert min(seen["text"].values()) >= 4.5, seen
        assert min(seen["labels"].values()) >= 4.5, seen
        assert min(seen["marks"].values()) >= 3, seen
        pages_seen.append(seen["page"])
        marks_seen.append(seen["marks"])
    assert pages_seen[0] != pages_seen[1]
    assert marks_seen[0] != marks_seen[1]


def test_families_differ_in_shape_and_not_in_colour_alone(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    outlines = browser.run(
        "return [...document.querySelectorAll('#scaling .legend .marker')].map(e => e.getAttribute('d'))"
    )
    assert len(outlines) == len(set(outlines)) == len(made_up.FAMILIES)


def test_tables_and_charts_are_announced(browser):
    browser.open("compare.html#machine=zen4-2&dtype=float32")
    browser.wait("document.querySelector('#history .chart path.series') !== null")
    assert browser.run("return document.documentElement.lang") == "en"
    charts = browser.run(
        "return [...document.querySelectorAll('.chart svg')].map(e => [e.getAttribute('role'), e.ariaLabel])"
    )
    assert charts
    assert all(role == "img" and label for role, label in charts if role != "group")
    linked = browser.run(
        "return [...document.querySelectorAll('.chart svg')].filter(e => e.querySelector('a')).map(e => e.ariaLabel)"
    )
    assert linked == [label for role, label in charts if role == "group"]  # what a picture holds is not announced
    assert all(label.startswith("fastbp's speed-up over NumPy at 6 commits, for ") for label in linked)
    assert browser.count("table") == browser.count("table > caption")
    assert browser.count("table thead th:not([scope=col])") == 0
    assert browser.count("table tbody tr > :first-child:not(th[scope=row])") == 0
    inline = "[...document.querySelectorAll('*')].some(e => [...e.attributes].some(a => a.name.startsWith('on')))"
    assert browser.run(f"return {inline}") is False
