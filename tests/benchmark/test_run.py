"""The commands as a person runs them: real processes in a folder of their own, from the request to the table."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hydra import compose, initialize_config_module
from PIL import Image

from benchmark import datasets
from benchmark.compute.engine import Compute
from benchmark.config import compose as options
from benchmark.datasets import Split
from benchmark.execution import attempt
from benchmark.execution.runtime import Runtime
from benchmark.planning import grid
from benchmark.tasks.execute import execute
from results.store.schema import SCHEMA

TINY = ("ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1", "workers=1", "threads=1")
DANCE = ("method.dance.iterations=2", "method.dance.experts=1", "method.dance.pretrain_epochs=1")
WHOLE_REQUEST = (*TINY, *DANCE, "method.dm.iterations=2")


def call(folder: Path, *words: str, command: str = "run") -> subprocess.CompletedProcess[str]:
    """`python -m benchmark.COMMAND WORDS` in `folder`, on a narrow terminal that is none."""
    return subprocess.run(
        [sys.executable, "-m", f"benchmark.{command}", *words],
        cwd=folder, capture_output=True, text=True, timeout=250, check=False, env=os.environ | {"COLUMNS": "80"},
    )  # fmt: skip


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.read_bytes())
            for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip


def table(text: str) -> dict[str, str]:
    """Row name → "ipc|accuracy" of a printed table."""
    found = {}
    for line in text.splitlines():
        if match := re.match(r"\s*(all|\d+)\s+[\d.]+\s\s+(\w.*?)\s\s+(\d.*?)\s\s+", line):
            found[match[2]] = f"{match[1]}|{match[3]}"
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder that holds empty `results` and `methods`, where the comparison was run; and what was printed."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "results").mkdir()
    (folder / "methods").mkdir()
    done = call(folder, *WHOLE_REQUEST)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    return folder, done.stdout


def test_a_run_ends_in_a_table_of_all_rows(finished: tuple[Path, str]) -> None:
    folder, text = finished
    rows = table(text)
    names = [next(row for row in rows if row.startswith(name)) for name in ("DANCE", "DM", "Random", "Whole")]
    assert len(rows) == 4 and rows[names[3]].startswith("all|")
    read = pd.read_csv(folder / "outputs/tables.csv").set_index("title")
    assert sorted(read.index) == ["DANCE", "DM", "Random", "Whole set"]
    for name, title in zip(names, ("DANCE", "DM", "Random", "Whole set"), strict=True):
        assert rows[name].split("|")[1].startswith(f"{100 * read.accuracy[title]:.1f}")
    assert read.sets["Random"] == 5
    markdown = (folder / "outputs/tables.md").read_text()
    assert all(rows[name].split("|")[1].split()[0] in markdown for name in names)


def test_every_task_leaves_what_it_made_and_what_happened(finished: tuple[Path, str]) -> None:
    out = finished[0] / "outputs"
    made = {"prepare": {"experts.safetensors"}, "condense": {"synthetic.safetensors", "preview.png"}, "evaluate": set()}
    tables = ["article.tex", "references.bib", *(f"tables.{form}" for form in ("csv", "html", "md", "tex"))]
    assert sorted(path.name for path in out.iterdir()) == sorted([*made, *tables])
    for kind, files in made.items():
        for folder in (out / kind).iterdir():
            task, record = (json.loads((folder / name).read_text()) for name in ("task.json", "record.json"))
            losses = {"losses.csv"} if kind == "condense" and record["steps"] else set()
            every = {"task.json", "record.json", "log.txt"}
            assert {path.name for path in folder.iterdir()} == files | losses | every
            assert record["status"] == "ok" and record["identity"] == task["identity"]
            assert folder.name.endswith(task["identity"][:12]) and "ok" in (folder / "log.txt").read_text()
            if kind == "evaluate":
                (accuracy,) = record["result"]["accuracies"]
                (right,) = record["result"]["right_per_class"]
                of = record["result"]["test_images_per_class"]
                assert 0 <= accuracy <= 1 and record["result"]["test_images"] == sum(of) == 359
                assert accuracy == sum(right) / 359 and all(0 <= r <= n for r, n in zip(right, of, strict=True))
            digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files | losses}
            assert record["artifacts"] == digests and record["schema"] == SCHEMA
            assert (record["code"] is not None) == (kind == "condense")
            assert record["environment"]["processor"] and record["environment"]["blas"]
            if kind == "condense":
                assert len(record["code"]["sha256"]) == 64
                picture = Image.open(folder / "preview.png")
                picture.load()
                assert picture.format == "PNG" and min(picture.size) >= 40
    assert [len(list((out / kind).iterdir())) for kind in made] == [1, 7, 8]


def test_the_same_command_again_adds_nothing(finished: tuple[Path, str]) -> None:
    folder, text = finished
    before = snapshot(folder / "outputs")
    again = call(folder, *WHOLE_REQUEST)
    assert again.returncode == 0 and again.stdout.count("was done before") == 16, again.stdout + again.stderr
    after = snapshot(folder / "outputs")
    assert {k: v for k, v in after.items() if "/" in k} == {k: v for k, v in before.items() if "/" in k}
    assert [content for _, content in after.values()] == [content for _, content in before.values()]
    assert table(again.stdout) == table(text)


def test_report_prints_the_same_numbers(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, text = finished
    done = call(tmp_path, f"store={folder / 'outputs'}", command="report")
    assert done.returncode == 0 and table(done.stdout) == table(text), done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_of_hydras_appears(finished: tuple[Path, str]) -> None:
    assert {path.name for path in finished[0].iterdir()} == {"results", "methods", "outputs"}
    for path in finished[0].rglob("*"):
        assert path.name not in (".hydra", "multirun", "multirun.yaml") and not path.name.endswith(".log")
        assert not re.fullmatch(r"\d{4}-\d\d-\d\d", path.name)
    assert not [*(finished[0] / "results").iterdir(), *(finished[0] / "methods").iterdir()]


def test_dry_run_and_help_write_nothing(tmp_path: Path) -> None:
    dry = call(tmp_path, *WHOLE_REQUEST, "dry_run=true")
    assert dry.returncode == 0 and "8 evaluate (0 done), 1 prepare (0 done), 7 condense (0 done)" in dry.stdout
    told = call(tmp_path, "--help")
    assert told.returncode == 0 and "method.NAME.SETTING" in told.stdout and "methods: [dance, dm]" in told.stdout
    composed = call(tmp_path, "--cfg", "job", "ipcs=[7]", "method.dm.iterations=3")
    assert composed.returncode == 0 and "ipcs:\n- 7\n" in composed.stdout and "iterations: 3" in composed.stdout
    assert dry.stderr == told.stderr == composed.stderr == ""
    assert not list(tmp_path.iterdir())


# --- sweeps -----------------------------------------------------------------------------------------------------------


def settings_done(out: Path) -> list[Any]:
    return [json.loads(path.read_text())["resolved"]["settings"] for path in sorted(out.glob("condense/*/record.json"))]


def test_a_sweep_runs_every_combination_and_shares_the_expert(tmp_path: Path) -> None:
    done = call(tmp_path, *TINY, *DANCE, "-m", "methods=[dance]", "baselines=[]", "method.dance.alignment=mid,off")
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert sorted(s["alignment"] for s in settings_done(tmp_path / "outputs")) == ["mid", "off"]
    assert len(list(tmp_path.glob("outputs/prepare/*"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["outputs"]


def test_a_sweep_ends_in_one_table_of_all_its_runs(tmp_path: Path) -> None:
    done = call(
        tmp_path,
        "-m",
        *TINY,
        "methods=[dm]",
        "baselines=[random]",
        "method.dm.iterations=2",
        "method.dm.init=random,noise",
    )
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert done.stdout.count("IPC") == 2  # one comparison and one table of the costs
    last = done.stdout.rpartition("] evaluate")[2]
    assert all(row in last for row in ("DM (iterations=2)", "DM (init=noise, iterations=2)", "Random"))
    lines = [line for line in done.stdout.splitlines() if re.match(r"\[\d+/\d+\] condense dm", line)]
    assert len(lines) == 2 and "dm@init:noise@iterations:2-digits" in lines[1] and "@init" not in lines[0]
    written = (tmp_path / "outputs/tables.md").read_text()
    assert "| DM (init=noise, iterations=2) |" in written and "| DM (iterations=2) |" in written


def test_a_shell_lets_variants_through(tmp_path: Path) -> None:
    """With quotes, and without them: then it finds that all is done."""
    for quote in ("'", ""):
        methods = f"{quote}methods=[dm,dm@lr_img:2,dm@f2@init:noise]{quote}"
        words = [*TINY, "baselines=[]", "method.dm.iterations=1", methods]
        command = f"{sys.executable} -m benchmark.run {' '.join(words)}"
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False
        )
        assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
        assert all(row in done.stdout for row in ("DM (iterations=1,", "lr_img=2.0)", "DM@f2 (init=noise,"))
        assert done.stdout.count("was done before") == (0 if quote else 6)
    found = [(s["lr_img"], s["init"], s["factor"]) for s in settings_done(tmp_path / "outputs")]
    assert sorted(found) == [(1.0, "noise", 2), (1.0, "random", 1), (2.0, "random", 1)]


@pytest.mark.parametrize("wrong", ["method.dm.init=nose,noise", "ipcs=[0],[1]"])
def test_a_wrong_job_of_a_sweep_stops_no_right_one(wrong: str, tmp_path: Path) -> None:
    words = [word for word in TINY if word.split("=")[0] != wrong.split("=")[0]]
    done = call(tmp_path, "-m", *words, "methods=[dm]", "baselines=[]", "method.dm.iterations=2", wrong)
    assert done.returncode == 2 and done.stderr.count("error:") == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(settings_done(tmp_path / "outputs")) == 1


# --- images of one's own ----------------------------------------------------------------------------------------------


def png(label: int, index: int) -> bytes:
    pixels = np.random.default_rng([label, index]).integers(0, 120, (8, 8, 3), dtype=np.uint8)
    pixels[:, :, label] += 120
    Image.fromarray(pixels).save(content := io.BytesIO(), "PNG")
    return content.getvalue()


def test_folders_of_images_and_of_parquet_files_run_end_to_end(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    for split, count in (("train", 6), ("test", 3)):
        images = [(label, png(label, index + 10 * (split == "test"))) for label in range(3) for index in range(count)]
        for place, (label, content) in enumerate(images):
            (folder := tmp_path / "pictures" / split / f"class{label}").mkdir(parents=True, exist_ok=True)
            (folder / f"{place}.png").write_bytes(content)
        columns = {
            "image": [{"bytes": content, "path": None} for _, content in images],
            "display": [c for c, _ in images],
        }
        pq.write_table(pa.table(columns), tmp_path / "tables" / f"{split}.parquet")
    words = ("methods=[dm]", "baselines=[whole]", "method.dm.iterations=2", "datasets=[./pictures,tables]")
    done = call(tmp_path, *TINY, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    read = pd.read_csv(tmp_path / "outputs/tables.csv")
    assert sorted(zip(read.dataset, read.title, strict=True)) == [
        (name, title) for name in ("pictures", "tables") for title in ("DM", "Whole set")
    ]
    assert (read.test_images == 9).all() and (read.train_images == 18).all() and (read.num_classes == 3).all()
    wholes = read[read.title == "Whole set"].accuracy
    assert wholes.nunique() == 1 and wholes.min() > 0.5, "the same pixels in another order are the same images"


# --- the test split ---------------------------------------------------------------------------------------------------


class Untouchable:
    """A test split that nobody may look at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the test split was read: {name}")

    def __len__(self) -> int:
        raise AssertionError("the test split was counted")


@pytest.mark.parametrize("validation", ["0", "0.1"])
def test_preparing_and_condensing_never_look_at_the_test_split(
    validation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        words = [*WHOLE_REQUEST, f"val_fraction={validation}", "methods=[dance,dm,dm@f2]"]
        planned = grid.build(options.parse(compose("run", overrides=words)))
    guarded = replace(datasets.load("digits", tmp_path), test=Untouchable())
    assert not isinstance(guarded.test, Split)
    monkeypatch.setattr(datasets, "load", lambda entry, root, progress=None, cache=None: guarded)
    attempt.load_dataset.cache_clear()
    runtime = Runtime(tmp_path, Compute(torch.device("cpu"), "fp32", threads=1))
    try:
        statuses = {task["slug"]: execute(task, runtime) for task in planned.tasks if task["kind"] != "evaluate"}
        assert {outcome.status for outcome in statuses.values()} == {"done"}, statuses
        scored = execute(
            next(t for t in planned.of_kind("evaluate") if t["display"]["display_name"] != "whole"), runtime
        )
        assert scored.status == "failed" and "the test split was read" in scored.message, "the guard guards nothing"
    finally:
        attempt.load_dataset.cache_clear()
