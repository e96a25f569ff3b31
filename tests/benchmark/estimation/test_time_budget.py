"""Equal seconds: fractions that follow from the seconds of a step, and are stored for the same command."""

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
from benchmark.estimation import dummy_problem, prober, time_budget
from benchmark.estimation.estimate import estimate
from benchmark.estimation.prober import Prober, TaskCost
from benchmark.planning.plan import Plan
from benchmark.utils.errors import BenchmarkError
from results.errors import ResultsError
from results.store.store import Store

CPU = Compute(torch.device("cpu"), "fp32", threads=1)
COSTS = {"dm": 0.1, "idm": 0.5, "dance": 0.2}  # seconds of a step


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Steps cost as in COSTS, and experts 14 seconds, however many together; returns the slugs of probed tasks."""
    slugs: list[str] = []

    def task_cost(self: Prober, task: dict, experts: int = 1) -> TaskCost:  # type: ignore[type-arg]
        slugs.append(task["slug"])
        if task["kind"] == "prepare":
            return TaskCost(7, 2 / experts, 0.0, 0.0, 0)
        steps = task["resolved"]["settings"].get("iterations")
        if steps is None:
            return TaskCost(0, float("nan"), 1.0, 0.0, 0)
        return TaskCost(steps, COSTS[task["resolved"]["method"]], 0.0, 0.0, 0)

    monkeypatch.setattr(Prober, "task_cost", task_cost)
    return slugs


def planned(folder: Path, *words: str, seconds: float = 60, compute: Compute = CPU) -> Plan:
    options.register()
    overrides = ["ipcs=[1]", "architectures=[convnet2-w4]", f"store={folder}", *words]
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        config = options.parse(compose("run", overrides=overrides))
    return time_budget.plan_within(config, seconds, compute, lambda *call: None)


def iterations(plan: Plan) -> dict[str, int]:
    return {
        task["display"]["display_name"]: task["resolved"]["settings"]["iterations"]
        for task in plan.of_kind("condense")
        if task["display"]["role"] == "method"
    }


def test_each_method_runs_what_fits_its_experts_included(tmp_path: Path, probed: list[str]) -> None:
    plan = planned(tmp_path, "methods=[dm,idm,dance,herding]", "method.dance.experts=2")
    tasks = {task["display"]["display_name"]: task for task in plan.of_kind("condense")}
    # 60 s: DM 600 steps of 0.1 s, IDM 120 of 0.5 s, DANCE (60 − 14) s of 0.2 s
    assert tasks["dm"]["resolved"]["settings"]["iterations"] == 600
    assert tasks["idm"]["resolved"]["settings"]["iterations"] == 120
    assert tasks["dance (experts=2)"]["resolved"]["settings"]["iterations"] == 230
    assert tasks["dm"]["display"]["iterations_fraction"] == pytest.approx(600 / 20_000)
    assert tasks["dm"]["display"]["budget"]["seconds"] == 60 and "budget" not in tasks["random"]["display"]
    assert "random" in tasks and tasks["herding"]["display"]["iterations_fraction"] == 1.0


def test_experts_are_shared_out_over_the_devices(tmp_path: Path, probed: list[str], monkeypatch) -> None:
    """Each of two devices trains one expert, instead of one device both together: 28 of the 60 seconds."""
    monkeypatch.setattr(Compute, "num_devices", 2)
    plan = planned(tmp_path, "methods=[dance]", "method.dance.experts=2")
    assert iterations(plan) == {"dance (experts=2)": 160}


def test_no_more_than_the_papers_iterations(tmp_path: Path, probed: list[str]) -> None:
    assert iterations(planned(tmp_path, "methods=[dm]", seconds=1e9)) == {"dm": 20_000}


def test_the_same_command_plans_the_same_tasks_whatever_steps_cost_now(
    tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = planned(tmp_path, "methods=[dm]")
    probed.clear()
    monkeypatch.setitem(COSTS, "dm", 0.5)
    again = planned(tmp_path, "methods=[dm]", "seeds=[0,1,2]")
    assert not probed and iterations(again) == iterations(first)
    assert first.by_identity.keys() <= again.by_identity.keys()
    assert iterations(planned(tmp_path, "methods=[dm]", seconds=30)) == {"dm": 60}


def test_a_dry_run_writes_nothing(tmp_path: Path, probed: list[str]) -> None:
    planned(tmp_path / "out", "methods=[dm]", "dry_run=true")
    assert not list(tmp_path.iterdir())


def test_experts_that_take_all_the_time_are_refused(tmp_path: Path, probed: list[str]) -> None:
    with pytest.raises(BenchmarkError, match="take 14 s alone"):
        planned(tmp_path / "out", "methods=[dance]", seconds=10)
    assert not list(tmp_path.iterdir())


SHARE = {"share": 0.5, "low": 0.4, "high": 0.6, "settled": True}


@pytest.mark.parametrize(
    "content",
    ["[", "", "3", "[]", "\x00", '{"key": 0.5}', '{"key": NaN}', '{"key": []}',
     *(json.dumps({"key": SHARE | {"share": value}}) for value in (0, -0.5, 1.5, None, "0.5", True, 0.7)),
     '{"key": {"share": NaN, "low": 0.4, "high": 0.6, "settled": true}}',
     '{"key": {"share": 0.5, "low": 0.4, "settled": true}}'],
)  # fmt: skip
def test_a_damaged_file_of_shares_is_named(content: str, tmp_path: Path, probed: list[str]) -> None:
    path = tmp_path / time_budget.FILE
    path.write_text(content)
    with pytest.raises(ResultsError, match="cannot be used") as caught:
        planned(tmp_path, "methods=[dm]")
    assert caught.value.where == str(path) and "remove the file" in caught.value.next and path.read_text() == content


def test_the_spread_of_shares_is_said_also_when_they_are_stored(tmp_path: Path, probed: list[str], monkeypatch) -> None:
    cost = Prober.task_cost

    def uncertain(*args: object) -> TaskCost:
        return replace(cost(*args), uncertainty=0.25, settled=False)

    monkeypatch.setattr(Prober, "task_cost", uncertain)
    first = planned(tmp_path, "methods=[dm]", "baselines=[]")
    probed.clear()
    again = planned(tmp_path, "methods=[dm]", "baselines=[]")
    for plan in (first, again):
        (overall,) = [note for note in plan.notes if note.startswith("budget_seconds=60")]
        assert overall.endswith("the share of each method is known to within 33 %")  # 1 / (1 - 0.25)
        (note,) = [note for note in plan.notes if "did not settle" in note]
        assert "dm on digits at ipc 1" in note and "3 %, from 2.4 to 4 %" in note and time_budget.FILE in note
    assert not probed


def test_shares_of_settled_steps_have_no_note_of_their_own(tmp_path: Path, probed: list[str]) -> None:
    assert not [note for note in planned(tmp_path, "methods=[dm]").notes if "did not settle" in note]


def test_stored_fractions_are_readable(tmp_path: Path, probed: list[str]) -> None:
    planned(tmp_path, "methods=[dm]")
    ((key, share),) = json.loads((tmp_path / time_budget.FILE).read_text()).items()
    assert "in 60 s on" in key and ", 1 threads, uncompiled, " in key and share["share"] == pytest.approx(0.03)


def count_and_clear(slugs: list[str]) -> int:
    """The number of tasks probed since the last call."""
    count = len(slugs)
    slugs.clear()
    return count


def test_compiled_and_uncompiled_steps_are_probed_apart(tmp_path: Path, probed: list[str]) -> None:
    words = ("methods=[dance]", "method.dance.experts=2")
    for compile in (False, True):
        for expected in (3, 0):  # condensing and two experts; then they are stored
            planned(tmp_path, *words, compute=replace(CPU, compile=compile))
            assert count_and_clear(probed) == expected


@pytest.mark.parametrize(("epochs", "expected"), [(1, 3), (10_000, 0)])
def test_with_the_rule_fractions_are_stored_by_how_condensing_and_experts_are_compiled(
    epochs: int, expected: int, tmp_path: Path, probed: list[str]
) -> None:
    """10,000 iterations are worth compiling; 1,797 digits of 8×8 are so after some 900 epochs."""
    words = ("methods=[dance]", "preset=paper", "seeds=[0]", "method.dance.experts=2",
             f"method.dance.pretrain_epochs={epochs}")  # fmt: skip
    planned(tmp_path, *words, compute=replace(CPU, compile=True))
    assert count_and_clear(probed) > 0
    planned(tmp_path, *words, compute=replace(CPU, compile=None))
    assert count_and_clear(probed) == expected


def test_fractions_of_another_probe_version_are_probed_again(
    tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(tmp_path, "methods=[dm]")
    assert count_and_clear(probed) == 1
    monkeypatch.setattr(time_budget, "PROBE_VERSION", time_budget.PROBE_VERSION + 1)
    planned(tmp_path, "methods=[dm]")
    assert count_and_clear(probed) == 1 and len(json.loads((tmp_path / time_budget.FILE).read_text())) == 2


def test_steps_are_probed_with_the_threads_they_are_stored_by(
    tmp_path: Path, probed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []
    cost = Prober.task_cost
    monkeypatch.setattr(Prober, "task_cost", lambda *args: threads.append(torch.get_num_threads()) or cost(*args))
    planned(tmp_path, "methods=[dm]", compute=replace(CPU, threads=2))
    assert threads == [2]


def test_what_probed_steps_leave_uncompiled_is_noted_in_the_plan(tmp_path: Path, monkeypatch) -> None:
    def gives_up(self: Compiler, *given: object) -> None:
        raise compilation._CannotCompile("it is too new", this_task_only=True)

    monkeypatch.setattr(Compiler, "_call_compiled", gives_up)
    compute = replace(CPU, compile=True)
    plan = planned(tmp_path, "methods=[dm]", "ipcs=[1,2]", "baselines=[]", compute=compute)
    notes = [note for note in plan.notes if "uncompiled" in note]
    reasons = [note.partition("which is slower: ")[2] for note in notes]
    assert notes and all(note.startswith("probing condense dm-") for note in notes)
    assert len(set(reasons)) == len(reasons)
    estimate(plan, Store(tmp_path), compute, lambda *call: None)  # as with dry_run=true: probed once more
    later = [note for note in plan.notes if "uncompiled" in note and note not in notes]
    assert [note.partition("-digits")[0] for note in later] == 2 * ["probing evaluate dm"]
    COMPILER.begin_task(lambda text: None)


@pytest.mark.parametrize(
    ("owner", "name", "compile", "message"),
    [
        (prober, "_FewClasses", False, "while dance on digits at ipc 1 with convnet2-w4 was probed"),
        (dummy_problem, "DeviceImages", None, "while dance on digits at ipc 1 with convnet2-w4 was probed"),
        (Compute, "training_loss", False, "while the experts of dance on digits at ipc 1 with convnet2-w4 were"),
    ],
)
def test_a_row_that_does_not_fit_in_memory_is_named(
    owner: object, name: str, compile: bool | None, message: str, tmp_path: Path, monkeypatch
) -> None:
    """Also when its method is built only to decide whether its steps will be compiled."""

    def none_left(*anything: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(owner, name, none_left)
    with pytest.raises(BenchmarkError) as refused:
        planned(tmp_path / "out", "methods=[dance]", compute=replace(CPU, compile=compile))
    assert message in refused.value.what and "smaller ipc" in refused.value.next
    assert refused.value.where == "budget_seconds=60"
    assert not list(tmp_path.iterdir())
