"""Equal seconds: shares that follow from what a step costs, remembered, and never from the clock in a result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module

from benchmark.compute import compilation
from benchmark.compute.compilation import COMPILER, Compiler
from benchmark.compute.engine import Compute
from benchmark.config import compose as options
from benchmark.estimation import dummy_problem, time_budget
from benchmark.estimation import prober as estimating
from benchmark.estimation.prober import Prober, TaskCost, estimate
from benchmark.planning.grid import Plan
from benchmark.utils.errors import BenchmarkError
from results.errors import ResultsError
from results.store.store import Store

CPU = Compute(torch.device("cpu"), "fp32", threads=1)
COSTS = {"dm": 0.1, "idm": 0.5, "dance": 0.2}  # seconds of a step


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lets steps cost what COSTS says, and experts 14 seconds at any number at once; collects what is probed."""
    seen: list[str] = []

    def probe(self: Prober, task: dict, experts: int = 1) -> TaskCost:  # type: ignore[type-arg]
        seen.append(task["slug"])
        if task["kind"] == "prepare":
            return TaskCost(7, 2 / experts, 0.0, 0.0, 0)
        steps = task["resolved"]["settings"].get("iterations")
        if steps is None:
            return TaskCost(0, float("nan"), 1.0, 0.0, 0)
        return TaskCost(steps, COSTS[task["resolved"]["method"]], 0.0, 0.0, 0)

    monkeypatch.setattr(Prober, "probe", probe)
    return seen


def planned(folder: Path, *words: str, seconds: float = 60, compute: Compute = CPU) -> Plan:
    options.register()
    given = ["ipcs=[1]", "architectures=[convnet2-w4]", f"store={folder}", *words]
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        resolved = options.parse(compose("run", overrides=given))
    return time_budget.planned_within(resolved, seconds, compute, lambda *call: None)


def iterations(plan: Plan) -> dict[str, int]:
    return {
        task["display"]["display_name"]: task["resolved"]["settings"]["iterations"]
        for task in plan.of_kind("condense")
        if task["display"]["role"] == "method"
    }


def test_each_method_runs_what_fits_its_experts_included(tmp_path: Path, probed: list[str]) -> None:
    plan = planned(tmp_path, "methods=[dm,idm,dance,herding]", "method.dance.experts=2")
    found = {task["display"]["display_name"]: task for task in plan.of_kind("condense")}
    # 60 s: DM 600 steps of 0.1 s, IDM 120 of 0.5 s, DANCE (60 − 14) s of 0.2 s
    assert found["dm"]["resolved"]["settings"]["iterations"] == 600
    assert found["idm"]["resolved"]["settings"]["iterations"] == 120
    assert found["dance (experts=2)"]["resolved"]["settings"]["iterations"] == 230
    assert found["dm"]["display"]["fraction"] == pytest.approx(600 / 20_000)
    assert "random" in found and found["herding"]["display"]["fraction"] == 1.0


def test_experts_are_shared_out_over_the_devices(tmp_path: Path, probed: list[str], monkeypatch) -> None:
    """Two devices train one each, and not both at once on one: 28 seconds of the 60 are gone."""
    monkeypatch.setattr(Compute, "devices", 2)
    plan = planned(tmp_path, "methods=[dance]", "method.dance.experts=2")
    assert iterations(plan) == {"dance (experts=2)": 160}


def test_no_more_than_the_papers_iterations(tmp_path: Path, probed: list[str]) -> None:
    assert iterations(planned(tmp_path, "methods=[dm]", seconds=1e9)) == {"dm": 20_000}


def test_the_same_command_asks_for_the_same_whatever_steps_cost_now(
    tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = planned(tmp_path, "methods=[dm]")
    probed.clear()
    monkeypatch.setitem(COSTS, "dm", 5.0)
    again = planned(tmp_path, "methods=[dm]", "seeds=[0,1,2]")
    assert not probed and iterations(again) == iterations(first)
    assert first.by_identity.keys() <= again.by_identity.keys()
    assert iterations(planned(tmp_path, "methods=[dm]", seconds=30)) == {"dm": 6}


def test_a_dry_run_writes_nothing(tmp_path: Path, probed: list[str]) -> None:
    planned(tmp_path / "out", "methods=[dm]", "dry_run=true")
    assert not list(tmp_path.iterdir())


def test_experts_that_take_all_the_time_are_refused(tmp_path: Path, probed: list[str]) -> None:
    with pytest.raises(BenchmarkError, match="take 14 s alone"):
        planned(tmp_path / "out", "methods=[dance]", seconds=10)
    assert not list(tmp_path.iterdir())


def test_a_damaged_memory_is_named(tmp_path: Path, probed: list[str]) -> None:
    (tmp_path / time_budget.FILE).write_text("[")
    with pytest.raises(ResultsError) as caught:
        planned(tmp_path, "methods=[dm]")
    assert time_budget.FILE in caught.value.where


def test_what_is_remembered_is_readable(tmp_path: Path, probed: list[str]) -> None:
    planned(tmp_path, "methods=[dm]")
    ((key, share),) = json.loads((tmp_path / time_budget.FILE).read_text()).items()
    assert "in 60 s on" in key and ", 1 threads, uncompiled, " in key and share == pytest.approx(0.03)


def probes(seen: list[str]) -> int:
    """How many tasks were probed since the last look."""
    count = len(seen)
    seen.clear()
    return count


def test_what_was_probed_compiled_says_nothing_of_uncompiled_steps(tmp_path: Path, probed: list[str]) -> None:
    words = ("methods=[dance]", "method.dance.experts=2")
    for compile in (False, True):
        for expected in (3, 0):  # condensing and two experts; then it is known
            planned(tmp_path, *words, compute=replace(CPU, compile=compile))
            assert probes(probed) == expected


@pytest.mark.parametrize(("epochs", "expected"), [(1, 3), (10_000, 0)])
def test_by_the_rule_condensing_and_experts_are_each_remembered_as_they_are_computed(
    epochs: int, expected: int, tmp_path: Path, probed: list[str]
) -> None:
    """10,000 iterations are worth compiling; 1,797 digits of 8×8 are so after some 900 epochs."""
    words = ("methods=[dance]", "preset=paper", "seeds=[0]", "method.dance.experts=2",
             f"method.dance.pretrain_epochs={epochs}")  # fmt: skip
    planned(tmp_path, *words, compute=replace(CPU, compile=True))
    assert probes(probed) > 0
    planned(tmp_path, *words, compute=replace(CPU, compile=None))
    assert probes(probed) == expected


def test_shares_that_were_measured_in_another_way_are_measured_anew(
    tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(tmp_path, "methods=[dm]")
    assert probes(probed) == 1
    monkeypatch.setattr(time_budget, "MEASURED", time_budget.MEASURED + 1)
    planned(tmp_path, "methods=[dm]")
    assert probes(probed) == 1 and len(json.loads((tmp_path / time_budget.FILE).read_text())) == 2


def test_steps_are_probed_with_the_threads_they_are_remembered_by(
    tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    probe = Prober.probe
    monkeypatch.setattr(Prober, "probe", lambda *args: threads.append(torch.get_num_threads()) or probe(*args))
    planned(tmp_path, "methods=[dm]", compute=replace(CPU, threads=2))
    assert threads == [2]


def test_what_probed_steps_leave_uncompiled_is_noted_in_the_plan(tmp_path: Path, monkeypatch) -> None:
    def gives_up(self: Compiler, *given: object) -> None:
        raise compilation._CannotCompile("it is too new", this_task_only=True)

    monkeypatch.setattr(Compiler, "_call_compiled", gives_up)
    compute = replace(CPU, compile=True)
    found = planned(tmp_path, "methods=[dm]", "ipcs=[1,2]", "baselines=[]", compute=compute)
    told = [note for note in found.notes if "uncompiled" in note]
    whats = [note.partition("which is slower: ")[2] for note in told]
    assert told and all(note.startswith("probing condense dm-") for note in told) and len(set(whats)) == len(whats)
    estimate(found, Store(tmp_path), compute, lambda *call: None)  # as with dry_run=true: probed once more
    later = [note for note in found.notes if "uncompiled" in note and note not in told]
    assert [note.partition("-digits")[0] for note in later] == 2 * ["probing evaluate dm"]
    COMPILER.begin_task(lambda text: None)


@pytest.mark.parametrize(
    ("owner", "name", "compile", "said"),
    [
        (estimating, "_FewClasses", False, "while dance on digits at ipc 1 with convnet2-w4 was probed"),
        (dummy_problem, "DeviceImages", None, "while dance on digits at ipc 1 with convnet2-w4 was probed"),
        (Compute, "training_loss", False, "while the experts of dance on digits at ipc 1 with convnet2-w4 were"),
    ],
)
def test_a_row_without_memory_is_named(
    owner: object, name: str, compile: bool | None, said: str, tmp_path: Path, monkeypatch
) -> None:
    """Also where its method is built only to decide whether its steps will be compiled."""

    def none_left(*anything: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(owner, name, none_left)
    with pytest.raises(BenchmarkError) as refused:
        planned(tmp_path / "out", "methods=[dance]", compute=replace(CPU, compile=compile))
    assert (
        said in refused.value.what
        and "smaller ipc" in refused.value.next
        and refused.value.where == "budget_seconds=60"
    )
    assert not list(tmp_path.iterdir())
