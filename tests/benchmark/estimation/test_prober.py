"""Estimates: the same tasks, steps and bytes that the run then has; extrapolation of costs; memory that runs out."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from benchmark.cli.workflow import show_estimate
from benchmark.compute import compilation
from benchmark.compute.compilation import COMPILER, Compiler
from benchmark.compute.engine import Compute
from benchmark.condensation.contract import make_images
from benchmark.datasets import outline
from benchmark.estimation import prober, step_timing, summary
from benchmark.estimation.estimate import EstimateRow, estimate
from benchmark.estimation.step_timing import memory_at, next_size, seconds_at
from benchmark.planning import grid
from helpers import CPU, planned
from results.store.schema import KINDS
from results.store.store import Store

TINY = ("ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=2", "method.dance.iterations=3", "method.dm.iterations=4",
        "method.dance.experts=2", "method.dance.pretrain_epochs=1", "method.whole.epochs=1", "workers=1",
        "threads=1")  # fmt: skip


PATIENCE = step_timing.PATIENCE


@pytest.fixture(autouse=True)
def few_timed_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_timing, "PATIENCE", 0.0)  # one class, then two, and one timed step of each


def command(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "benchmark.run", *words], cwd=folder, capture_output=True, text=True,
                          timeout=280, check=False, env=os.environ | {"COLUMNS": "80"})  # fmt: skip
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    return done.stdout


def test_an_estimate_has_the_steps_and_bytes_that_the_run_then_has(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = (*TINY, "methods=[dance,dm]", "val_fraction=0.1")
    before = estimate(planned(*words, "dry_run=true"), Store(tmp_path / "outputs"), CPU, lambda *call: None)
    assert not list(tmp_path.iterdir()), "an estimate writes nothing"
    assert all((row.todo == row.tasks and row.hours > 0) or row.cost.steps == 0 for row in before)
    assert [row.kind for row in before] == sorted((row.kind for row in before), key=KINDS.index)
    command(tmp_path, *words)
    records = [json.loads(path.read_text()) for path in sorted(tmp_path.glob("outputs/*/*/record.json"))]
    after = estimate(planned(*words, "dry_run=true"), Store(tmp_path / "outputs"), CPU, lambda *call: None)
    assert sum(row.tasks for row in after) == len(records) and all(row.todo == 0 == row.hours for row in after)
    for kind in KINDS:
        assert sorted(r["steps"] for r in records if r["kind"] == kind) == sorted(
            steps for row in before if row.kind == kind for steps in [row.cost.steps] * row.tasks
        )
    for path in tmp_path.glob("outputs/condense/*/synthetic.safetensors"):
        name = json.loads((path.parent / "task.json").read_text())["display"]["display_name"]
        (row,) = [row for row in before if row.kind == "condense" and row.description.startswith(f"{name},")]
        assert abs(path.stat().st_size - row.cost.disk) < 8000
    assert all(50e6 < row.cost.memory < 8e9 for row in before)


def test_table_1_is_estimated_without_its_datasets(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["fashionmnist", "cifar10", "cifar100", "tinyimagenet"]
    words = ("methods=[dance,dm]", f"datasets=[{','.join(names)}]", "ipcs=[50]", "preset=paper")
    built = planned(*words, "protocols=[native]", "dry_run=true", "architectures=[convnet3-w2]")
    assert [note for note in built.notes if "not decoded yet" in note] == [
        f"{name} is not decoded yet: planned from its card, as if nothing of it were done" for name in names
    ]
    rows = estimate(built, Store(tmp_path / "outputs"), CPU, lambda *call: None)
    tasks = {kind: sum(row.tasks for row in rows if row.kind == kind) for kind in ("prepare", "condense", "evaluate")}
    # 5 experts a dataset; dance, dance@f1, dm, dm@f2, random, random@f2 × 4 cells × 5 seeds; and whole
    assert tasks == {"prepare": 20, "condense": 120, "evaluate": 124}
    condense = [row for row in rows if row.kind == "condense"]
    assert {(row.dataset, row.ipc) for row in condense} == {(name, 50) for name in names}
    for row in condense:
        method = row.description.partition(",")[0].partition("@")[0]
        assert row.cost.steps == {"dance": 10_000, "dm": 20_000, "random": 0}[method]
        assert row.hours > 0 and row.cost.memory > 50e6 and not row.cost.note
    large = {row.dataset: row.cost for row in condense if row.description == "dance, convnet3-w2"}
    assert large["tinyimagenet"].step_seconds > 3 * large["cifar10"].step_seconds
    assert large["tinyimagenet"].disk == pytest.approx(10_000 * (3 * 64 * 64 * 4 + 8), abs=1e4)
    lines = summary.totals(rows, built, CPU, workers=1)
    # to download 30.9 + 170.5 + 169.0 + 248.1 MB; uint8 pixels 54.9 + 2 × 184.3 + 1,351.7 MB
    assert lines[-1].endswith("2.23 GiB for datasets that are not decoded yet")
    assert not list(tmp_path.iterdir())


def test_a_cell_that_a_method_does_not_support_has_a_note(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("methods=[dance]", "ipcs=[1]", "architectures=[convnet2-w4-bn]", "baselines=[]")
    rows = estimate(planned(*words, "dry_run=true"), Store(tmp_path / "outputs"), CPU, lambda *call: None)
    (condense,) = [row for row in rows if row.kind == "condense"]
    assert condense.cost.note.startswith("unsupported: DANCE interpolates") and condense.cost.seconds == 0


def test_a_network_that_cannot_train_on_one_image_is_probed_with_two(tmp_path: Path, monkeypatch) -> None:
    """At ipc 1 a class is one image, and on digits this network's last batch norm sees one pixel of each."""
    monkeypatch.chdir(tmp_path)
    words = ("methods=[dm]", "ipcs=[1]", "architectures=[resnet10-bn-w2]", "baselines=[]")
    rows = estimate(planned(*words, "dry_run=true"), Store(tmp_path / "outputs"), CPU, lambda *call: None)
    assert {row.kind for row in rows} == {"condense", "evaluate"}
    assert all(row.cost.seconds > 0 and not row.cost.note for row in rows)


# --- notes of the compiler --------------------------------------------------------------------------------------------


def test_what_probed_tasks_leave_uncompiled_is_noted_once(tmp_path: Path, monkeypatch, capsys) -> None:
    """Each probed task asks the compiler anew, as it will when it runs."""
    functions: list[str] = []

    def gives_up(self: Compiler, function, *given) -> None:
        functions.append(function.__name__)
        raise compilation._CannotCompile("it is too new", this_task_only=True)

    monkeypatch.setattr(Compiler, "_call_compiled", gives_up)
    built = planned("methods=[dm]", "ipcs=[1,10]", "architectures=[convnet2-w4]", "baselines=[]")
    show_estimate(built, Store(tmp_path), replace(CPU, compile=True), 1, Console(soft_wrap=True))
    notes = [line for line in capsys.readouterr().out.splitlines() if "uncompiled" in line]
    starts = [line.partition("-digits")[0] for line in notes]
    assert starts == 2 * ["note: probing condense dm"] + 2 * ["note: probing evaluate dm"]
    reasons = [line.partition("which is slower: ")[2] for line in notes]
    assert len(set(reasons)) == len(reasons) == len(set(functions))
    assert all(functions.count(name) == 2 for name in functions), "ipc 1 and ipc 10"
    COMPILER.begin_task(lambda text: None)


def test_notes_while_compiling_is_decided_name_that_task(monkeypatch) -> None:
    built = planned("methods=[dm]", "ipcs=[1,10]", "architectures=[convnet2-w4]", "baselines=[]")
    measured, (first, second) = prober.Prober(built, CPU), built.of_kind("condense")
    measured.task_cost(first)
    monkeypatch.setattr(prober, "compute_for", lambda *of: COMPILER.log("memory ran out") or CPU)
    measured.is_compiled(second)
    assert built.notes[-1] == f"probing condense {second['slug']}: memory ran out"


# --- memory that runs out ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no more"), RuntimeError("can't allocate memory: 8 bytes")])
def test_running_out_of_memory_is_an_answer(error: Exception, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(step_timing, "PATIENCE", 1e6)  # so that 10 classes follow 4, however slow this machine is now
    real = prober._FewClasses

    def too_large(split, classes: int, device):
        if classes > 4:
            raise error
        return real(split, classes, device)

    monkeypatch.setattr(prober, "_FewClasses", too_large)
    built = planned("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]")
    rows = estimate(built, Store(tmp_path / "outputs"), CPU, lambda *call: None)
    (condense,) = [row for row in rows if row.kind == "condense"]
    assert condense.cost.note == "out of memory with 10 of 10 classes" and condense.cost.step_seconds > 0


def shown(rows: list[EstimateRow]) -> list[list[str]]:
    """The printed cells of each row."""
    columns = [list(column.cells) for column in summary.table(rows).columns]
    return [[str(cell) for cell in row] for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no more"), RuntimeError("can't allocate memory: 8 bytes")])
@pytest.mark.parametrize(
    ("owner", "name", "kind", "note"),
    [
        (prober, "_FewClasses", "condense", "out of memory with 1 of 10 classes"),
        (prober, "compute_for", "condense", "out of memory"),
        (Compute, "training_loss", "evaluate", "out of memory"),
        (prober, "accuracy", "evaluate", "out of memory"),
    ],
)
def test_a_task_that_does_not_fit_in_memory_has_a_note_and_the_others_are_probed(
    owner: object, name: str, kind: str, note: str, error: Exception, tmp_path: Path, monkeypatch
) -> None:
    def none_left(*anything: object) -> None:
        raise error

    monkeypatch.setattr(owner, name, none_left)
    built = planned("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]")
    rows = estimate(built, Store(tmp_path / "outputs"), CPU, lambda *call: None)
    (failed,) = [row.cost for row in rows if row.kind == kind]
    (other,) = [row.cost for row in rows if row.kind != kind]
    assert failed.note == note and not failed.fits and all(map(math.isnan, (failed.seconds, failed.memory)))
    assert other.fits and other.seconds > 0 and not other.note
    (cells,) = [cells for cells in shown(rows) if cells[0] == kind]
    assert f"({note})" in cells[3] and cells[6:] == ["–"] * 5
    assert "nan" not in " ".join(summary.totals(rows, built, CPU, 1))


def test_other_errors_end_a_dry_run(tmp_path: Path, monkeypatch) -> None:
    def wrong(*anything: object) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr(Compute, "training_loss", wrong)
    built = planned("methods=[dm]", "ipcs=[1]", "architectures=[convnet2-w4]", "baselines=[]")
    with pytest.raises(RuntimeError, match="shapes cannot"):
        estimate(built, Store(tmp_path / "outputs"), CPU, lambda *call: None)


@pytest.mark.parametrize(
    ("measured", "at_once", "expected"),
    [
        ([(2, 1e6), (10, 5e6)], 10, 5e6),
        ([(2, 1e6), (4, 3e6)], 10, 3e6 + 6 * 1e6),
        ([(2, 1e6), (4, 3e6)], 6, 3e6 + 2 * 1e6 + 4 * 1e3),
        ([(2, 1e6), (4, 3e6)], 3, 3e6 + 6 * 1e3),
        ([(2, 1e6)], 5, 1e6 + 3 * 0.5e6 + 5 * 1e3),
    ],
)
def test_memory_grows_with_the_classes_that_are_forwarded_at_once(measured, at_once, expected) -> None:
    assert memory_at(measured, 10, at_once, 1e3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [([(2, 1.0)], 5.0),  # one size: in proportion
     ([(1, 1.0), (2, 2.0)], 10.0),
     ([(1, 3.0), (2, 3.1)], 3.9),  # three seconds that no class adds to, IDM's training of networks, say
     ([(1, 3.0), (2, 2.9)], 2.9),  # noise: no less than was seen
     ([(1, 0.1), (2, 3.0)], 15.0),  # a first size that was too fast: no more than in proportion
     ([(4, 1.0), (10, 2.0)], 2.0)],
)  # fmt: skip
def test_seconds_grow_with_the_classes_on_top_of_a_fixed_part(measured, expected) -> None:
    assert seconds_at(measured, 10) == pytest.approx(expected)


def test_a_few_small_classes_still_fill_a_mixed_batch() -> None:
    some = prober._FewClasses(make_images(2, 5, (3, 8, 8)), 2, CPU.device)
    images, labels = some.batch(256, torch.Generator().manual_seed(0))
    assert images.shape == (256, 3, 8, 8) and set(labels.tolist()) == {0, 1}


def test_sizes_grow_until_a_step_takes_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_timing, "PATIENCE", PATIENCE)
    assert next_size(2, 0.0001, 10) == 10 and next_size(2, 0.05, 100) == 10
    assert next_size(8, 0.2, 100) == 16 and next_size(8, 0.3, 100) == 0
    assert next_size(10, 0.0, 10) == 0 and next_size(1, 9.0, 10) == 2


def make_row(seconds: float, memory: float, kind: str = "condense", todo: int = 3) -> EstimateRow:
    return EstimateRow(kind, "cifar10", 10, "dm, convnet3", 4, todo, prober.TaskCost(100, seconds, 5.0, memory, 2**20))


def test_the_summary_adds_up_and_warns(monkeypatch) -> None:
    monkeypatch.setattr(summary, "total_memory", lambda compute: 8 * summary.GIB)
    rows = [make_row(36.0, 5 * summary.GIB), make_row(math.nan, math.nan), make_row(1.0, 1e9, "prepare", 0)]
    built = grid.Plan()
    built.outlines["cifar100"] = outline("cifar100", Path("nowhere"))
    lines = summary.totals(rows, built, CPU, workers=2)
    by_kind = "prepare 0.0 s, condense 3.0 h, evaluate 0.0 s"
    assert lines[0].startswith(f"device time of tasks that are not done: 3.0 h ({by_kind})")
    assert "2 run at once" in lines[0] and "5 GiB (condense cifar10 ipc 10, dm, convnet3)" in lines[1]
    share = "4 GiB for each of 2 workers"
    assert lines[2] == f"warning: more than this machine has ({share}): condense cifar10 ipc 10, dm, convnet3"
    # 169,001,437 bytes to download and 60,000 × 3 × 32 × 32 decoded
    assert lines[3] == "disk: 6 MiB in the store, 337 MiB for datasets that are not decoded yet"
    assert len(summary.totals(rows, built, CPU, workers=1)) == 3
