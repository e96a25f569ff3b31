"""How long 100,000 records take to read and to aggregate, and how much memory. CONTRIBUTING.md says how to run it.

An ordinary test run does the same once with few records, to see that it works; no time is asserted.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from many_records import many_records, write_store
from results.aggregation.cells import cells
from results.frame import frame
from results.store.read_all import read_all
from results.tables.registry import tables

pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is not installed: pip install -e '.[test]'")

pytestmark = pytest.mark.timeout(900)  # in full, with 200,000 files to write first

ROWS, SEEDS = 40, 10  # 100,025 records, which make 9,000 cells
FEW_ROWS, FEW_SEEDS = 2, 2
Measure = Callable[[Callable[[], int]], int]


@pytest.fixture
def measured(benchmark: Any, in_full: bool, capsys: pytest.CaptureFixture[str]) -> Iterator[Measure]:
    """Times a function that counts what it makes; with the processor's seconds, which other work does not lengthen.

    The peak is of the process so far, so that it holds for what was measured until then.
    """

    def measure(act: Callable[[], int]) -> int:
        rounds, before = 3 if in_full else 1, time.process_time()
        made: int = benchmark.pedantic(act, rounds=rounds)
        cpu = (time.process_time() - before) / rounds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        benchmark.extra_info.update(found=made, cpu_seconds=round(cpu, 2), peak_gigabytes=round(peak, 2))
        return made

    yield measure
    if in_full:
        with capsys.disabled():
            seconds = min(benchmark.stats.stats.data)
            print(f"\n{benchmark.name}: {seconds:.2f} s, {benchmark.extra_info}")


@pytest.fixture(scope="session")
def store(in_full: bool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = (ROWS, SEEDS) if in_full else (FEW_ROWS, FEW_SEEDS)
    return write_store(tmp_path_factory.mktemp("store"), many_records(*shape))


@pytest.fixture(scope="session")
def records(store: Path) -> list[dict[str, Any]]:
    return read_all(store).records


def test_reading_the_records_of_a_store(measured: Measure, store: Path, in_full: bool) -> None:
    assert measured(lambda: len(read_all(store).records)) == (100_025 if in_full else 1_025)


def test_aggregating_records(measured: Measure, records: list[dict[str, Any]], in_full: bool) -> None:
    assert measured(lambda: len(cells(records))) == (9_000 if in_full else 450)


def test_making_tables(measured: Measure, records: list[dict[str, Any]]) -> None:
    found = cells(records)
    assert measured(lambda: len(tables(found))) == 9 + 45 + 15 + 15 + 9 + 45 + 45 + 45


def test_a_tidy_frame(measured: Measure, records: list[dict[str, Any]]) -> None:
    evaluated = sum(record["kind"] == "evaluate" for record in records)
    assert measured(lambda: len(frame(records))) == 5 * evaluated
