"""What the report of `pytest benchmarks` says first: which configurations are left out, and why."""

from __future__ import annotations

import pytest

from fastbp.bench.implementations import IMPLEMENTATIONS


def pytest_report_header(config: pytest.Config) -> list[str]:
    return [f"left out: {name} ({reason})" for name, reason in IMPLEMENTATIONS.missing().items()]
