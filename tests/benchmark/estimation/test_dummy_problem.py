"""What is probed and profiled computes as the task itself then does: compiled, or not."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from benchmark.compute.engine import Compute
from benchmark.condensation.problem import TrainedExpert
from benchmark.config import compose as options
from benchmark.estimation.dummy_problem import compute_for
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Runtime
from benchmark.planning import grid
from benchmark.tasks.execute import execute
from benchmark.training.experts import copy_weights
from methods import registry
from parts import CPU

IPCS = (1, 10, 20)


def planned(method: str, *words: str) -> grid.Plan:
    options.register()
    given = [f"methods=[{method}]", f"ipcs=[{','.join(map(str, IPCS))}]", "architectures=[convnet2-w4]", "baselines=[]",
             "preset=paper", "seeds=[0]", *words]  # fmt: skip
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return grid.build(options.parse(compose("run", overrides=given)))


def decided_by_the_run(task: grid.Task, out: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the task itself, with experts that nobody trained, compiles its steps."""
    seen: list[Compute] = []

    def run_steps(self: Attempt, *args: object) -> None:
        seen.append(self.compute)
        raise KeyboardInterrupt  # the one thing that a task lets through: its steps are never taken

    monkeypatch.setattr(Attempt, "run_steps", run_steps)
    monkeypatch.setattr(Attempt, "skip_reason", lambda self, kind, identity: None)
    monkeypatch.setattr(
        Attempt,
        "expert",
        lambda self, identity, scratch: TrainedExpert(scratch, copy_weights(scratch), copy_weights(scratch)),
    )
    with pytest.raises(KeyboardInterrupt):
        execute(task, Runtime(out, replace(CPU, compile=None)))
    (compute,) = seen
    return compute.compiled


@pytest.mark.parametrize("method", registry.names())
def test_a_stand_in_is_compiled_where_its_task_is(method: str, tmp_path: Path, monkeypatch) -> None:
    learns = any(spec.name == "iterations" for spec in fields(registry.get(method).Config))
    built, found = planned(method, *[f"method.{method}.iterations=60"] * learns), []
    for task in built.of_kind("condense"):
        outline = built.outlines[task["display"]["dataset"]]
        compute = compute_for(replace(CPU, compile=None), task, outline)
        assert compute.compile is decided_by_the_run(task, tmp_path, monkeypatch), task["slug"]
        assert compute_for(replace(CPU, compile=True), task, outline).compile, "as it was said"
        found.append(compute.compile)
    assert len(found) >= len(IPCS)
    if method in ("dc", "dsa"):  # 60 networks with as many steps each as images a class: 9, 102 and 212 million pixels
        assert found == [False, True, True]
