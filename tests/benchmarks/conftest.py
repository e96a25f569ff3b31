"""Whether benchmarks are asked for, or an ordinary test run passes by."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def in_full(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("benchmark_only", default=False))
