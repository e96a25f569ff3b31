"""The command `reference`: published cells are planned or named, cheapest first; pieces go on to the same bytes."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.config.schema import ReferenceConfig
from benchmark.estimation import step_timing, stored_seconds
from benchmark.estimation.prober import Prober, TaskCost
from benchmark.planning.plan import Plan
from benchmark.planning.published_cells import PublishedCell, cheapest_first, leave_out_shipped, plan_cells
from benchmark.reference import reference
from benchmark.runners import speed_ratios
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from dataset_files import noise, small_card, write_idx
from helpers import outcome
from methods import registry
from methods.dm import DistributionMatching
from plain_loops import STEPS
from results.published.compare import load


def config(root: Path, **options: object) -> ReferenceConfig:
    return ReferenceConfig(**{"data_root": str(root), "store": str(root / "store"), "dry_run": True} | options)


# --- what is planned --------------------------------------------------------------------------------------------------


def test_every_cell_of_the_tables_is_planned_or_named(tmp_path: Path) -> None:
    plan, cells = plan_cells(config(tmp_path))
    printed = [entry for entry in load() if entry.table in ("Table 1", "Table 2") and entry.source.startswith("DANCE")]
    assert sorted(map(repr, printed)) == sorted(repr(cell.published) for cell in cells)
    for cell in cells:
        published = cell.published
        if published.method not in {*registry.names(), "whole"}:
            assert cell.reason == f"no method {published.method} is installed" and not cell.tasks
            continue
        tasks = [plan.by_identity[identity] for identity in cell.tasks]
        evaluations = [task for task in tasks if task["kind"] == "evaluate"]
        assert not cell.reason and evaluations
        for task in evaluations:
            display, resolved = task["display"], task["resolved"]
            assert (display["published_as"], display["ipc"]) == (published.dataset, published.ipc)
            assert published.architecture in ("unknown", resolved["architecture"])
            assert display["card"]["name"] == published.method and display["iterations_fraction"] == 1
            assert resolved["precision"] == "bf16" and resolved["num_eval"] == (
                1 if published.method == "random" else 5
            )
        protocols = {"dance"} if published.method == "whole" else {"native", "dance"}
        assert {task["display"]["protocol"] for task in evaluations} == protocols
        assert len(evaluations) == len(protocols) * (5 if published.method == "random" else 1)
        best_on_test = [task for task in tasks if task["resolved"].get("analysis") == "best_on_test"]
        assert [task["display"]["protocol"] for task in best_on_test] == (
            ["native"] if published.reported == "best_on_test" else []
        )
        found = registry.resolve(published.method, dataset=published.dataset, ipc=published.ipc, preset="paper")
        assert cell.provenance == found.weakest_provenance
        for index, task in enumerate(tasks):  # inputs come first
            assert task["resolved"].get("set") in {None, "whole", *cell.tasks[:index]}


def test_experts_are_those_of_the_paper(tmp_path: Path) -> None:
    """Neither the pool nor the epochs are those of the preset `quick`."""
    plan, _ = plan_cells(config(tmp_path, datasets=["fashionmnist"], methods=["dance"], ipcs=[1, 10]))
    experts = plan.of_kind("prepare")
    assert len(experts) == 5 and {task["resolved"]["recipe"]["epochs"] for task in experts} == {60}


def test_a_cell_that_comes_with_the_package_is_left_out(tmp_path: Path) -> None:
    _, cells = plan_cells(config(tmp_path, datasets=["fashionmnist"], methods=["dsa"]))
    left = leave_out_shipped(cells)
    assert [cell.reason for cell in left] == ["it comes with the package (store=reference:)", "", ""]
    assert not left[0].tasks and left[1:] == cells[1:]
    _, others = plan_cells(config(tmp_path, datasets=["fashionmnist"], methods=["dsa"], ipcs=[1], precision="fp32"))
    assert leave_out_shipped(others) == others


def test_what_cannot_be_read_is_named_and_the_rest_is_planned(tmp_path: Path, monkeypatch) -> None:
    fashion(tmp_path, monkeypatch)
    options = {"datasets": ["imagenette", "fashionmnist"], "methods": ["random", "dm"], "ipcs": [1]}
    _, cells = plan_cells(config(tmp_path, dry_run=False, **options))
    assert {(cell.name, bool(cell.tasks), bool(cell.reason)) for cell in cells} == {
        *((f"{method} on imagenette, ipc 1", False, True) for method in ("random", "dm")),
        *((f"{method} on fashionmnist, ipc 1", True, False) for method in ("random", "dm")),
    }
    assert "ILSVRC" in cells[0].reason


@pytest.mark.parametrize(("options", "message"), [
    ({"methods": ["dnace"]}, "Did you mean 'dance'?"), ({"datasets": ["mnist"]}, "no dataset of these tables 'mnist'"),
    ({"datasets": ["cifar10"], "tables": [2]}, "no dataset of these tables 'cifar10'"), ({"ipcs": [7]}, "ipc 7"),
    ({"methods": ["datadam"], "datasets": ["fashionmnist"]}, "no table has a cell"),
    ({"datasets": ["nowhere/folder"]}, "nowhere/folder"),
    ({"methods": ["dance"], "method": {"dm": {"lr_img": 1}}}, "no method of this request 'dm'"),
])  # fmt: skip
def test_what_no_table_has_is_refused(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError) as caught:
        plan_cells(config(tmp_path, **options))
    assert message in caught.value.what


def test_the_cheapest_cells_come_first_and_shared_tasks_count_once() -> None:
    entry = load()[0]
    tasks = {"far": ("far",), "one": ("experts", "one"), "two": ("experts", "two"), "new": ("new",), "old": ("old",)}
    cells = [PublishedCell(entry, name, names) for name, names in tasks.items()]
    plan = Plan({identity: {} for identity in ("old", "new", "two", "one", "experts", "far")})
    seconds = {"experts": 10.0, "one": 2.0, "two": 1.0, "far": 4.0, "old": 99.0}
    ordered = cheapest_first(plan, cells, seconds, done={"old"})
    assert [cell.dataset for cell in ordered] == ["old", "far", "two", "one", "new"]
    assert list(plan.by_identity) == ["old", "far", "experts", "two", "one", "new"]


# --- the command ------------------------------------------------------------------------------------------------------

TINY = ("datasets=[fashionmnist]", "architectures=[convnet2-w4]", "protocols=[quick]", "num_eval=1", "precision=fp32",
        "workers=1", "threads=1", "ipcs=[1]")  # fmt: skip


def fashion(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FashionMNIST's files with two images a class in either split, under `root`, and a protocol of few epochs."""
    get = protocols.get
    monkeypatch.setattr(protocols, "get", lambda *a, **k: replace(get(*a, **k), epochs=9, lr_milestones=(6,)))
    small_card(monkeypatch, "fashionmnist", 2, 2)
    for part in ("train", "t10k"):
        write_idx(root / f"FashionMNIST/raw/{part}-images-idx3-ubyte", noise(20, 28, 28))
        write_idx(root / f"FashionMNIST/raw/{part}-labels-idx1-ubyte", np.arange(20, dtype=np.uint8) % 10)


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["reference", *TINY, *words])
    with pytest.raises(SystemExit) as ended:
        main.launch(reference, "reference")
    return int(ended.value.code or 0)


def test_a_piece_stops_at_its_minutes_and_the_next_goes_on_to_the_same_bytes(tmp_path, monkeypatch, capsys) -> None:
    fashion(tmp_path / "data", monkeypatch)
    monkeypatch.chdir(tmp_path)
    words = ("methods=[dm]", "method.dm.batch_real=2", "iterations_fraction=0.005")
    assert command(monkeypatch, *words, "store=whole") == 0
    step = DistributionMatching.step

    def slow_step(self: DistributionMatching) -> dict[str, float]:
        time.sleep(0.1)
        return step(self)

    with monkeypatch.context() as slow:
        slow.setattr(DistributionMatching, "step", slow_step)
        for _ in range(20):  # the first may end before its first step on a busy machine
            start = time.monotonic()
            assert command(monkeypatch, *words, "store=pieces", "minutes=0.1") == main.CONTINUE
            if list(tmp_path.glob("pieces/condense/*/checkpoint.safetensors")):
                break
        assert time.monotonic() - start < 60
    printed = capsys.readouterr().out
    assert "0 of 1 cells are done" in printed.splitlines()[-3]
    assert "0.1 minutes are over; the same command continues from here" in printed
    assert not list(tmp_path.glob("pieces/*/*/record.json"))
    assert command(monkeypatch, *words, "store=pieces") == 0
    logs = "".join(path.read_text() for path in tmp_path.glob("pieces/condense/*/log.txt"))
    assert "resuming from step" in logs
    assert outcome(tmp_path / "pieces") == outcome(tmp_path / "whole") and outcome(tmp_path / "whole")
    assert command(monkeypatch, *words, "store=pieces", "minutes=0.1") == 0, "nothing is left to do"


def test_a_dry_run_lists_cells_and_writes_nothing(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(step_timing, "PATIENCE", 0.0)
    monkeypatch.delitem(registry.BUILT_IN, "cafe")  # all methods of the tables are there
    assert command(monkeypatch, "methods=[cafe,dm,random]", "dry_run=true") == 0
    printed = capsys.readouterr().out
    rows = [
        line.split() for line in printed.splitlines() if " fashionmnist " in line and line.strip().startswith("Table")
    ]
    assert {row[2]: row[4:11] for row in rows} == {
        "random": ["1", "51.4", "±", "3.8", "code", "10", "0"], "dm": ["1", "70.7", "±", "0.6", "ours", "2", "0"],
    }  # fmt: skip
    assert rows[0][2] == "random", "the cheapest comes first"
    assert "left out: no method cafe is installed: cafe on fashionmnist, ipc 1" in printed
    assert "0 of 2 cells are done" in printed and not list(tmp_path.iterdir())


def test_networks_that_train_alike_are_probed_once(tmp_path: Path) -> None:
    plan, _ = plan_cells(config(tmp_path, datasets=["fashionmnist"], methods=["dm", "dsa", "idc"], ipcs=[1]))
    keys = {
        (task["display"]["display_name"], task["display"]["protocol"]): stored_seconds._cost_key(task, plan)
        for task in plan.of_kind("evaluate")
    }
    assert keys["dm", "dance"] == keys["dsa", "dance"] != keys["idc", "dance"], "IDC has four times as many images"
    assert keys["dm", "native"] == keys["dsa", "native"] != keys["dm", "dance"]
    assert len({stored_seconds._cost_key(task, plan) for task in plan.of_kind("condense")}) == 3


def test_probed_seconds_are_kept_and_a_damaged_file_of_them_is_named(tmp_path, monkeypatch, capsys) -> None:
    fashion(tmp_path / "data", monkeypatch)
    monkeypatch.chdir(tmp_path)
    words = ("methods=[random]", "minutes=9")
    assert command(monkeypatch, *words) == 0
    path = tmp_path / "outputs" / stored_seconds.FILE
    ((where, seconds),) = json.loads(path.read_text()).items()
    assert "1 threads" in where and len(seconds) == 10 and all(value >= 0 for value in seconds.values())
    capsys.readouterr()
    shutil.rmtree(tmp_path / "outputs/evaluate")
    with monkeypatch.context() as without:
        without.setattr(Prober, "task_cost", None)  # it is not called again
        assert command(monkeypatch, *words, "dry_run=true") == 0
    assert re.search(r"Table 1 +random +fashionmnist +1 +51.4 ± 3.8 +code +10 +5 +[\d.]+ s", capsys.readouterr().out)
    path.write_text('{"somewhere": 3}')
    assert command(monkeypatch, *words) == 2
    error = capsys.readouterr().err
    assert "probed before cannot be read" in error and str(Path("outputs") / stored_seconds.FILE) in error


def test_a_cell_that_does_not_fit_in_memory_is_left_out(tmp_path, monkeypatch, capsys) -> None:
    fashion(tmp_path / "data", monkeypatch)
    monkeypatch.chdir(tmp_path)

    def cost(self: Prober, task: dict, experts: int = 1) -> TaskCost:
        fits = task["resolved"].get("method") != "dm"
        return TaskCost(1 if fits else None, 1.0, 0.0, 1.0, 1)

    monkeypatch.setattr(Prober, "task_cost", cost)
    assert command(monkeypatch, "methods=[random,dm]") == 0
    printed = capsys.readouterr().out
    assert "left out: memory ran out when it was probed" in printed and "probes again: 1 cells" in printed
    methods = {
        json.loads(path.read_text())["resolved"].get("method") for path in tmp_path.glob("outputs/*/*/task.json")
    }
    assert methods == {"random", None}
    assert command(monkeypatch, "methods=[dm]") == 2 and "none of these cells can be run" in capsys.readouterr().err


# --- speed ratios -----------------------------------------------------------------------------------------------------

CASES = """
import pytest
@pytest.mark.parametrize("ratio", [2.5, 0])
def test_step(ratio, benchmark):
    benchmark(lambda: 1 / ratio)
    benchmark.extra_info["ratio"] = ratio
"""


def test_speed_ratios_are_measured_once_and_a_failed_one_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(speed_ratios, "ROOT", tmp_path)
    (tmp_path / "test_cases.py").write_text(CASES)
    first = ["measuring 1 of 2: test_cases.py::test_step[2.5]", "test_cases.py::test_step[2.5]: ratio 2.50"]
    for before in (first, []):
        lines: list[str] = []
        speed_ratios.measure(tmp_path / "store", lines.append, files=["test_cases.py"])
        assert lines[:-1] == [*before, "measuring 2 of 2: test_cases.py::test_step[0]"]
        assert lines[-1].startswith("test_cases.py::test_step[0] was not measured: ")
    (path,) = (tmp_path / "store" / speed_ratios.FOLDER).iterdir()
    assert path.name == "test-step-2-5.json" and len(json.loads(path.read_text())["benchmarks"]) == 1
    with pytest.raises(BenchmarkError, match=r"there is no elsewhere\.py"):
        speed_ratios.measure(tmp_path / "store", print, files=["elsewhere.py"])


def test_the_ratios_of_the_checkout_are_steps_and_trainings() -> None:
    cases = speed_ratios._cases(speed_ratios.FILES)
    steps = len(STEPS) * 3 * 2  # methods, ipcs, precisions
    assert sum("test_step[" in case for case in cases) == steps and len(cases) == steps + 6
