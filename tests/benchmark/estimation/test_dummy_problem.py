"""The probed and profiled steps of a condense task are compiled where those of the task itself are."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from benchmark.compute.engine import Compute
from benchmark.estimation.dummy_problem import compute_for, untrained_expert
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Runtime, Task
from benchmark.tasks.execute import execute
from helpers import CPU, planned
from methods import registry

IPCS = (1, 10, 20)


def decided_by_the_run(task: Task, out: Path, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the task itself, with untrained experts, compiles its steps."""
    computes: list[Compute] = []

    def run_steps(self: Attempt, *args: object) -> None:
        computes.append(self.compute)
        raise KeyboardInterrupt  # a task does not catch it; no step is done

    monkeypatch.setattr(Attempt, "run_steps", run_steps)
    monkeypatch.setattr(Attempt, "failed_input_outcome", lambda self, kind, identity: None)
    method = registry.get(task["resolved"]["method"])
    recipe = method.experts(method.Config(**task["resolved"]["settings"]))
    monkeypatch.setattr(Attempt, "expert", lambda self, identity, scratch: untrained_expert(scratch, recipe))
    with pytest.raises(KeyboardInterrupt):
        execute(task, Runtime(out, replace(CPU, compile=None)))
    (compute,) = computes
    return compute.compiled


@pytest.mark.parametrize("method", registry.names())
def test_a_dummy_problem_is_compiled_where_its_task_is(method: str, tmp_path: Path, monkeypatch) -> None:
    has_iterations = any(spec.name == "iterations" for spec in fields(registry.get(method).Config))
    words = [f"methods=[{method}]", f"ipcs=[{','.join(map(str, IPCS))}]", "architectures=[convnet2-w4]"]
    words += ["baselines=[]", "preset=paper", "seeds=[0]"] + [f"method.{method}.iterations=60"] * has_iterations
    plan, compiled = planned(*words), []
    for task in plan.of_kind("condense"):
        outline = plan.outlines[task["display"]["dataset"]]
        compute = compute_for(replace(CPU, compile=None), task, outline)
        assert compute.compile is decided_by_the_run(task, tmp_path, monkeypatch), task["slug"]
        assert compute_for(replace(CPU, compile=True), task, outline).compile, "as the option says"
        compiled.append(compute.compile)
    assert len(compiled) >= len(IPCS)
    if method in ("dc", "dsa"):  # 60 networks, each with as many steps as images per class; each step sees 1,438 real
        assert compiled == [False, False, True]
