"""A real SLURM cluster for all tests of this folder, and one with accounting; each test starts without jobs."""

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


@pytest.fixture(scope="session")
def accounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.LoopbackCluster]:
    """A cluster that keeps the ends of jobs, knows accounts, and kills jobs for their memory."""
    if reason := loopback.why_not(accounting=True):
        pytest.skip(reason)
    with loopback.running(tmp_path_factory.mktemp("slurm"), accounting=True) as started:
        yield started


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[loopback.LoopbackCluster]:
    """A cluster whose jobs are each in a cgroup with the memory that they asked for, where the kernel kills."""
    if reason := loopback.why_not() or loopback.why_no_cgroups():
        pytest.skip(reason)
    with loopback.running(tmp_path_factory.mktemp("slurm"), cgroups=True) as started:
        yield started


@pytest.fixture(autouse=True)
def no_jobs_of_other_tests(request: pytest.FixtureRequest) -> None:
    for name in {"cluster", "accounted"} & set(request.fixturenames):
        request.getfixturevalue(name).clear()
