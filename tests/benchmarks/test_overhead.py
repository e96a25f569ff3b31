"""What a cluster adds to 200 tiny tasks. CONTRIBUTING.md says how to run it; an ordinary test run skips it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

import loopback
from benchmark.compute.engine import choose_compute
from benchmark.config import compose as options
from benchmark.config.schema import RunConfig
from benchmark.execution.runtime import Runtime
from benchmark.planning import grid
from benchmark.planning.grid import Plan
from benchmark.runners import slurm
from benchmark.runners.local import run_tasks
from benchmark.utils.timing import Stopwatch
from results.store.store import Store

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(3600)]
TASKS, AT_ONCE, STEPS = 200, 2, 100


@pytest.fixture
def cluster(tmp_path: Path, in_full: bool, monkeypatch: pytest.MonkeyPatch) -> Iterator[loopback.LoopbackCluster]:
    if not in_full:
        pytest.skip("a measurement of ten minutes: pytest tests/benchmarks/test_overhead.py --benchmark-only")
    if reason := loopback.why_not():
        pytest.skip(reason)
    with loopback.running(tmp_path / "slurm") as started:
        monkeypatch.setenv("SLURM_CONF", str(started.conf))
        yield started


def asked(out: Path, *words: str) -> RunConfig:
    options.register()
    said = [
        "methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]", "threads=1", "num_eval=1",
        f"method.dm.iterations={STEPS}", f"seeds=[{','.join(map(str, range(TASKS)))}]", f"store={out}",
        f"data_root={out.parent / 'data'}",
    ]  # fmt: skip
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return options.parse(compose("run", [*said, *words]))


def sets_of(planned: Plan) -> Plan:
    """The plan without its evaluations: equal tasks, none of which waits for another."""
    kept = Plan()
    kept.by_identity = {name: task for name, task in planned.by_identity.items() if task["kind"] == "condense"}
    return kept


def test_two_hundred_tiny_tasks(benchmark, cluster: loopback.LoopbackCluster, tmp_path: Path, capsys) -> None:
    """Seconds from queueing to the last record, beside those of the same tasks in two processes of this machine.

    Jobs of half the tasks each, as `tasks_per_job` makes them where tasks are tiny.
    """
    compute, _ = choose_compute("cpu", "fp32", 1, AT_ONCE)
    here, there = asked(tmp_path / "here"), tmp_path / "there"
    planned = sets_of(grid.build(here))
    assert len(planned.tasks) == TASKS
    alone = Stopwatch(compute.device)
    with alone.running():
        run_tasks(planned.tasks, Runtime(Path(here.store), compute), AT_ONCE, lambda *step: None, lambda *end: None)
    pure = sum(record["seconds"] for _, record in Store(Path(here.store)).recorded(planned.tasks)) / AT_ONCE

    path = tmp_path / "cluster.yaml"
    path.write_text(f"partition: gpu\ntimeout_min: 30\ntasks_per_job: {TASKS // AT_ONCE}\n")

    def queue_and_wait() -> None:
        wanted = asked(there, "launcher=slurm", f"cluster={path}")
        queued = slurm.launch(planned.tasks, wanted, slurm.check(wanted))
        assert queued.jobs == AT_ONCE
        cluster.wait_for(lambda: len(list(Store(there).recorded(planned.tasks))) == TASKS, 1800, every=0.5)

    benchmark.pedantic(queue_and_wait, rounds=1)
    took = benchmark.stats.stats.data[0]
    beyond = {"over_tasks_percent": pure, "over_here_percent": alone.seconds}
    benchmark.extra_info.update({name: round(100 * (took / least - 1), 1) for name, least in beyond.items()})
    benchmark.extra_info.update(in_tasks=round(pure, 1), here=round(alone.seconds, 1), queued=round(took, 1))
    with capsys.disabled():
        print(f"\n{benchmark.name}: {benchmark.extra_info}")
