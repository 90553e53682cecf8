"""The page on reliability names tests that exist, and marks those that are longer with --full."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
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
