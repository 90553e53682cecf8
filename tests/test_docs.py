"""What README and docs name exists; the page on reliability marks tests that are longer with --full."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
README = (TESTS.parent / "README.md").read_text()
PACKAGE = TESTS.parent / "fastbp"
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()
# The files and folders of each row of its table of modules.
EXPLAINED = [
    re.findall(r"`(fastbp/[^`]*)`", row)
    for row in README.split("## How it works")[1].split("Imports run")[0].splitlines()
]


def test_every_hazard_has_tests_that_exist_and_slices_are_marked_as_such():
    rows = re.findall(r"^\| (\d+) \|.*\| (`test_\w+\.py`: .*) \|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 17))
    for _, cell in rows:
        for part in cell.split("; "):
            file, tests = re.fullmatch(r"`(test_\w+\.py)`: (.*)", part).groups()
            arguments = dict(re.findall(r"^def (test_\w+)\((.*)\):$", (TESTS / file).read_text(), re.MULTILINE))
            for name, mark in re.findall(r"`(\w+)`( †)?", tests):
                assert name in arguments, f"{file} has no {name}"
                assert ("rounds" in arguments[name]) == bool(mark), name


def test_every_file_that_the_readme_explains_exists_and_every_module_is_explained():
    modules = {
        f"fastbp/{path.name}{'/' if path.is_dir() else ''}" for path in PACKAGE.iterdir() if path.name[0] not in "_."
    }
    assert {name for row in EXPLAINED for name in row} == modules - {"fastbp/py.typed"}


def test_imports_run_down_the_table_of_the_readme():
    place = {name.strip("/").removesuffix(".py")[7:]: i for i, row in enumerate(EXPLAINED) for name in row}
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text())) if module in place else ():
            if isinstance(node, ast.ImportFrom) and node.module == "fastbp":
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastbp."):
                imported = [node.module.split(".")[1]]
            else:
                imported = []
            for name in imported:
                assert place[module] <= place.get(name, len(place)), f"{path} imports {name}, which is above it"
