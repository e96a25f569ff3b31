"""One real two-node SLURM cluster for all tests of this folder; each test starts without jobs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import loopback


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.LoopbackCluster]:
    if reason := loopback.why_not():
        pytest.skip(reason)
    with loopback.running(tmp_path_factory.mktemp("slurm")) as started:
        yield started


@pytest.fixture(autouse=True)
def no_jobs_of_other_tests(request: pytest.FixtureRequest) -> None:
    if "cluster" in request.fixturenames:
        request.getfixturevalue("cluster").clear()
