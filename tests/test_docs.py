"""What README and docs name exists; the page on reliability marks tests that are longer with --full."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
README = (TESTS.parent / "README.md").read_text()
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()


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
    table = README.split("## How it works")[1].split("Imports run downwards")[0]
    explained = set(re.findall(r"`(fastbp/[^`]*)`", table))
    package = TESTS.parent / "fastbp"
    modules = {
        f"fastbp/{path.name}{'/' if path.is_dir() else ''}" for path in package.iterdir() if path.name[0] not in "_."
    }
    assert explained == modules - {"fastbp/py.typed"}
