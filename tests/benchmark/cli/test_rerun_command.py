"""The command that the page prints for a run: it plans the very tasks that stand behind the row."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module

from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.planning import external_sets, grid
from external_set_files import dc_file, subset
from results.aggregation.cells import cells
from results.aggregation.grouping import rows_of
from results.page.cell_records import CellRecords, records_of_cells
from results.page.rerun_command import RerunCommand, rerun_command
from results.store.schema import SCHEMA

Task = dict[str, Any]
TINY = ("ipcs=[2]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]")


def composed(name: str, words: Iterable[str]) -> Any:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return compose(name, overrides=list(words))


def planned(words: Iterable[str]) -> list[Task]:
    return grid.build(options.parse(composed("run", words))).tasks


def planned_for_a_set(words: Iterable[str]) -> list[Task]:
    return external_sets.build(options.parse_as(schema.EvaluateConfig, composed("evaluate", words))).plan.tasks


def recorded(task: Task) -> Task:
    """A record as if the task had been done."""
    made = {"stored_images": 1, "decoded_images": 1, "factor": 1, "bytes": 1}
    results = {
        "prepare": {}, "condense": made,
        "import": made | {"source": {"set_index": task["requested"].get("source", {}).get("set_index")}},
        "evaluate": {"accuracies": [0.5], "optimizer_steps": 1, "test_images": 1, "decoded_images": 1,
                     "right_per_class": [[1]], "test_images_per_class": [2]},
    }  # fmt: skip
    facts = {
        "schema": SCHEMA,
        "artifacts": {},
        "code": None,
        "status": "ok",
        "message": "",
        "seconds": 1.0,
        "steps": 1,
        "peak_memory_bytes": None,
    }
    resolved = json.loads(json.dumps(task["resolved"]))  # as it comes back from a file
    head = {key: task[key] for key in ("kind", "identity", "spec", "display")}
    return {**head, "resolved": resolved, "result": results[task["kind"]], "environment": {}, "finished": "", **facts}


def commands(tasks: list[Task]) -> list[tuple[CellRecords, RerunCommand]]:
    """What stands behind each cell of the table that these tasks end in, and its command."""
    records = [recorded(task) for task in tasks]
    requests = {task["identity"]: task["requested"] for task in tasks}
    found = records_of_cells(records, rows_of(cells(records)))
    return [(one, rerun_command(one, requests[[*one.sets, *one.evaluations][0]["identity"]])) for one in found]


def identities(stands: CellRecords) -> set[str]:
    return {record["identity"] for record in [*stands.evaluations, *stands.sets, *stands.experts]}


def words(said: RerunCommand, name: str) -> list[str]:
    python, dash, module, *rest = shlex.split(said.text)
    assert (python, dash, module) == ("python", "-m", f"benchmark.{name}")
    return rest


@pytest.mark.parametrize(
    "resolved",
    [
        ("methods=[dance,dm@f2,dc,dsa,idm]", "preset=paper"),
        (
            "methods=[dm]",
            "seeds=[3,1]",
            "iterations_fraction=0.01",
            "val_fraction=0.2",
            "imbalance=2.5",
            "precision=bf16",
            "protocols=[native,dc@steps]",
        ),
        (
            "methods=[dance]",
            "expert_seed=4",
            "eval_architectures=[convnet2-w4-bn,mlp]",
            "num_eval=3",
            "method.dance.experts=2",
        ),
        ("methods=[herding,kcenter]", "seeds=[0,1]", "baselines=[random,whole]", "method.whole.epochs=7"),
        ("methods=[dm]", 'method.dm.augment="dsa:color_crop"', "method.dm.lr_img=3", "method.dm.init=noise"),
    ],
)
def test_a_rows_command_plans_the_tasks_of_that_row_and_no_others(resolved: tuple[str, ...]) -> None:
    found = commands(planned((*TINY, *resolved)))
    assert found
    for stands, said in found:
        again = planned(words(said, "run"))
        assert {task["identity"] for task in again} == identities(stands), said.text
        assert said.notes == ()


def test_the_command_names_a_dataset_by_its_path_and_where_data_lie(tmp_path: Path) -> None:
    (task,) = planned((*TINY, "methods=[dm]"))[:1]
    task["requested"] = {"dataset": "/my data/it's=one", "data_root": "/big/disk"}
    ((_, said), *_) = commands([task, *planned((*TINY, "methods=[dm]"))[1:]])
    assert {'datasets=["/my data/it\'s=one"]', "data_root=/big/disk"} <= {
        word.replace('data_root="/big/disk"', "data_root=/big/disk") for word in words(said, "run")
    }


def test_what_a_command_cannot_say_is_told() -> None:
    tasks = planned((*TINY, "methods=[random]", "seeds=[0,1]"))
    some = [task for task in tasks if task["resolved"]["seed"] < 2]
    ((_, said),) = commands(some)
    assert "at least 5 random subsets" in " ".join(said.notes)
    some[-1]["resolved"] |= {"colour": "blue"}
    assert any("colour" in note for _, said in commands(some) for note in said.notes)
    assert rerun_command(CellRecords(), {}).text == ""


def test_a_set_made_elsewhere_is_scored_again_as_it_was(tmp_path: Path) -> None:
    path = dc_file(tmp_path / "res, 1.pt", [subset(seed) for seed in range(3)])
    resolved = (f'set="{path}"', "dataset=digits", "num_eval=1", "eval_architectures=[convnet2-w4]", "baselines=[]")
    ((stands, said),) = commands(planned_for_a_set((*resolved, "name=theirs", "set_index=[2,0]", "protocols=[dc]")))
    again = planned_for_a_set(words(said, "evaluate"))
    assert {task["identity"] for task in again} == identities(stands), said.text
    torch.save([*subset()], tmp_path / "data.pt")
    resolved = (f"set={tmp_path}/data.pt", "dataset=digits", "factor=2", "num_eval=1", "baselines=[]", "quantize=8bit")
    found = commands(planned_for_a_set(resolved))
    both = set().union(*(identities(stands) for stands, _ in found))
    assert len(found) == 2
    for stands, said in found:
        again = {task["identity"] for task in planned_for_a_set(words(said, "evaluate"))}
        assert identities(stands) <= again <= both


def test_the_printed_command_run_for_real_finds_everything_done(tmp_path: Path) -> None:
    def call(text: list[str]) -> str:
        done = subprocess.run(
            text, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False, env=os.environ
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    here = [sys.executable, "-m", "benchmark.run"]
    tiny = ("ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "baselines=[]", "threads=1", "workers=1")
    dance = ("method.dance.experts=1", "method.dance.pretrain_epochs=1", "method.dance.iterations=2")
    call([*here, "methods=[dance]", *tiny, *dance])
    tasks = [json.loads(path.read_text()) for path in sorted((tmp_path / "outputs").glob("*/*/task.json"))]
    ((stands, said),) = commands(tasks)
    before = {path.parent: path.read_bytes() for path in (tmp_path / "outputs").glob("*/*/record.json")}
    printed = call([*here, *words(said, "run")])
    assert printed.count("was done before") == len(identities(stands)) == len(before) == 3
    assert {path.parent: path.read_bytes() for path in (tmp_path / "outputs").glob("*/*/record.json")} == before
