"""A record says what was measured, of which commit; dashboard and README rely on it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import record
from fastbp.bench.cases import CASES, SCALING

if (
    not shutil.which("git")
    or subprocess.run(["git", "-C", record.HERE, "rev-parse", "HEAD"], capture_output=True).returncode
):
    pytest.skip("a record is of a commit, and this is no git repository", allow_module_level=True)


def test_a_record_holds_every_case_and_axis_of_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RECORDS", tmp_path)
    words = ["HEAD", "--quick", "--seconds", "0", "--machine", "trial", "--only", "fastbp", "reference"]
    assert record.main(words) == 0
    commit = record.git("rev-parse", "HEAD")
    found = json.loads((tmp_path / "trial" / f"{commit[:8]}.json").read_text())
    assert found["commit"] == commit
    assert found["date"] == record.git("show", "-s", "--format=%cI", "HEAD")
    assert found["machine"]["name"] == "trial"
    assert [case["case"] for case in found["cases"]] == [case.key for case in CASES]
    assert {(each["axis"], each["size"]) for each in found["scaling"]} == {
        (axis, size) for axis, series in SCALING.items() for size in list(series)[:2]
    }
    for case in found["cases"] + found["scaling"]:
        assert {label.split(",")[0] for label in case["medians"]} == {"fastbp", "reference"}
        assert min(case["medians"].values()) > 0
    assert found["missing"]["numpy"] == "not asked for"


def test_a_commit_that_is_not_there_is_an_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RECORDS", tmp_path)
    with pytest.raises(SystemExit, match=r"git rev-parse --verify no-such-commit.*: fatal: Needed a single revision"):
        record.main(["no-such-commit"])
    assert list(tmp_path.iterdir()) == []


def test_a_record_of_small_shapes_does_not_take_the_place_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "RECORDS", tmp_path)
    monkeypatch.setattr(record, "measured_commit", lambda commit, options: {"errors": [], "commit": commit})
    assert record.main(["HEAD", "--quick"]) == 0
    assert list(tmp_path.iterdir()) == []


def test_an_implementation_that_is_not_there_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        record.main(["HEAD", "--only", "fastbp", "nope"])
    assert "--only is nope; one of fastbp, jax," in capsys.readouterr().err
