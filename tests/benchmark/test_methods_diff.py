"""`python -m benchmark.methods diff`: stored condense tasks against the published settings of their cells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmark.methods import main
from methods import registry
from record_parts import make_record
from results.store.identity import identity

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Status, standard output and standard error of `diff PATH …`, wide enough not to wrap."""
    monkeypatch.setenv("COLUMNS", "400")

    def call(*paths: Path | str) -> tuple[int, str, str]:
        status = main(["diff", *map(str, paths)])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def make_task(
    method: str = "dance",
    dataset: str = "cifar10",
    ipc: int = 50,
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    without: str = "",
    **words: Any,
) -> dict[str, Any]:
    """A condense task as the planner writes it, with the published settings but for `settings`."""
    published = registry.resolve(method, dataset=words.get("published_as", dataset), ipc=ipc, preset="paper")
    stored = {key: value for key, value in asdict(published.config).items() if key != without} | (settings or {})
    card = registry.load(method).card
    resolved = {"kind": "condense", "method": method, "version": words.pop("version", card.version),
                "settings": stored, "ipc": ipc, "seed": seed, "architecture": "convnet3", "experts": [],
                "dataset": {"fingerprint": dataset}, "val_fraction": 0.0, "precision": "fp32"}  # fmt: skip
    display = {"dataset": dataset, "published_as": dataset, "display_name": method, "card": asdict(card), "ipc": ipc,
               "iterations_fraction": stored.get("iterations", 1) / (published.config.iterations or 1),
               "num_classes": 10, "train_images": 100, "overrides": "", "provenance": "code"}  # fmt: skip
    return {
        "kind": "condense",
        "identity": identity(resolved),
        "slug": f"{method}-{dataset}-ipc{ipc}-convnet3-seed{seed}",
        "spec": resolved,
        "resolved": resolved,
        "display": display | words,
        "requested": {},
    }


def store(folder: Path, task: dict[str, Any], status: str | None = "ok") -> Path:
    """The task in its folder of a store, with a record unless it is unfinished."""
    place = folder / task["kind"] / f"{task['slug']}-{task['identity'][:12]}"
    place.mkdir(parents=True)
    (place / "task.json").write_text(json.dumps(task))
    if status:
        sizes = {"stored_images": 10, "decoded_images": 10, "factor": 1, "bytes": 1000}
        record = make_record(task["kind"], task["resolved"], task["display"], sizes, status=status)
        (place / "record.json").write_text(json.dumps(record))
    return place


def table(page: str) -> list[list[str]]:
    """The rows of a page's tables: setting, stored, published, source."""
    cells = [[part for part in line.strip().split("  ") if part] for line in page.splitlines() if line.startswith("  ")]
    return [[part.strip() for part in row] for row in cells if len(row) == 4 and row[0] != "Setting"]


def test_a_task_run_as_published_differs_in_nothing(run: Run, tmp_path: Path) -> None:
    place = store(tmp_path, make_task())
    for path in (place, place / "task.json", tmp_path, tmp_path / "condense"):
        status, out, err = run(path)
        assert (status, err, table(out)) == (0, "", [])
        assert out.startswith("dance on cifar10 at ipc 50: as published\n") and place.name in out
        assert "10,000 of 10,000 iterations\n" in out and out.endswith(
            "0 of 1 condense tasks differ from what was published for their cells\n"
        )


def test_differences_are_listed_with_whose_the_published_value_is(run: Run, tmp_path: Path) -> None:
    store(tmp_path, make_task(settings={"iterations": 100, "lr_img_per_ipc": 0.02, "factor": 1, "calibration": False}))
    status, out, err = run(tmp_path)
    assert (status, err) == (1, "")
    whose = "code: Hansong-Zhang/DANCE@3f6b8b6, as it runs with --reproduce"
    assert table(out) == [
        ["iterations", "100", "10000", whose],
        ["lr_img_per_ipc", "0.02", "0.01", whose],
        ["factor", "1", "2", "code: Hansong-Zhang/DANCE@3f6b8b6, README command for CIFAR-10 at ipc 50: --factor 2"],
        ["calibration", "false", "true", whose],
    ]
    assert "  100 of 10,000 iterations, a fraction of 0.01\n" in out
    assert "1 of 1 condense tasks differ" in out


def test_settings_that_came_or_went_are_said(run: Run, tmp_path: Path) -> None:
    store(tmp_path, make_task(settings={"warmup": 5}, without="downsample"))
    status, out, _ = run(tmp_path)
    assert status == 1 and table(out) == [
        ["downsample", "–", "nearest", "version 1 of dance as stored has no such setting"],
        ["warmup", "5", "–", "dance no longer has this setting"],
    ]


def test_another_version_is_a_difference(run: Run, tmp_path: Path) -> None:
    store(tmp_path, make_task(method="dm", version=7))
    status, out, _ = run(tmp_path)
    assert status == 1 and table(out) == [] and ": as published" not in out
    assert "made by version 7 of dm; this is version 1, whose results differ" in out


def test_notes_say_what_a_cell_is_compared_with(run: Run, tmp_path: Path) -> None:
    store(tmp_path, make_task(method="dm", ipc=70, dataset="mine", published_as="cifar10"))
    store(tmp_path, make_task(method="dm", dataset="imagenette@ilsvrc", published_as="imagenette", ipc=10))
    store(tmp_path, make_task(method="dm", dataset="moons", published_as=None), status=None)
    store(tmp_path, make_task(method="dm", dataset="svhn"), status="diverged")
    status, out, _ = run(tmp_path)
    assert status == 0
    assert "dm on mine, like cifar10, at ipc 70: as published" in out
    assert "note: dm: no published settings for cifar10 at ipc 70, those of ipc 50 are used" in out
    assert "dm on imagenette@ilsvrc at ipc 10: as published" in out
    assert "note: dm: no published settings for moons, the generic ones are used" in out
    assert "it has no record: it is not finished" in out and "its record says diverged" in out


def test_tasks_that_differ_alike_are_said_once(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = [store(tmp_path, make_task(seed=seed, settings={"factor": 1})) for seed in range(3)]
    places.append(store(tmp_path, make_task(method="random")))
    status, out, _ = run(".", places[0], places[1] / "task.json")  # each is compared once
    assert status == 1 and len(table(out)) == 1 and all(out.count(place.name) == 1 for place in places)
    assert "3 of 4 condense tasks differ" in out


def other(kind: str) -> dict[str, Any]:
    return {"kind": kind, "slug": kind, "resolved": {"kind": kind}, "display": {}, "identity": "0" * 64}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (json.dumps(other("prepare")), "this is no condense task: its kind is 'prepare'"),
        (json.dumps(other("evaluate")), "this is no condense task: its kind is 'evaluate'"),
        (json.dumps(other("analyze")), "this is no condense task: its kind is 'analyze'"),
        (json.dumps(other("horoscope")), "this is no condense task: its kind is 'horoscope'"),
        (json.dumps({"kind": "condense"}), "this is no condense task: it lacks resolved"),
        (json.dumps([1]), "other.json does not hold a JSON object"),
        ("not JSON", "other.json is not JSON"),
        (b"\xff\xfe\x00", "other.json is not JSON"),
        (
            json.dumps(make_task() | {"resolved": {"method": "dm", "ipc": 1, "version": 1}}),
            "it lacks resolved.",
        ),
        (
            json.dumps(make_task() | {"resolved": make_task()["resolved"] | {"ipc": 0}}),
            "resolved.ipc is wrong: expected `int` >= 1",
        ),
        (
            json.dumps(make_task() | {"resolved": make_task()["resolved"] | {"method": "dmm"}}),
            "no method 'dmm'. Did you mean",
        ),
    ],
)
def test_what_is_no_condense_task_is_said_and_the_others_are_compared(
    content: str | bytes, what: str, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "other.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    store(tmp_path / "good", make_task(method="random"))
    status, out, err = run(path, tmp_path / "good")
    lines = err.splitlines()
    assert status == 2 and "0 of 1 condense tasks differ" in out
    assert len(lines) == 3 and lines[0].startswith("error: ") and what in lines[0]
    assert lines[1] == f"  where: {path}" and lines[2].startswith("  next:  ")


def test_paths_without_a_task(run: Run, tmp_path: Path) -> None:
    (tmp_path / "store/condense").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for path, what in (
        (tmp_path / "nowhere", "there is nothing at this path"),
        (tmp_path / "empty", "there is no stored task here"),
        (tmp_path / "store", "the store holds no condense task yet"),
        (tmp_path / ("x" * 300), "this path cannot be read: File name too long"),
        ("~nobody-of-that-name/x", "this path cannot be read"),
    ):
        status, out, err = run(path)
        assert (status, out) == (2, "") and err.startswith(f"error: {what}") and len(err.splitlines()) == 3


def test_a_real_run_is_compared(tmp_path: Path) -> None:
    environment = os.environ | {"COLUMNS": "300"}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    words = ("methods=[dm]", "ipcs=[1]", "baselines=[]", "architectures=[convnet2-w4]", "num_eval=1", "workers=1",
             "threads=1", "method.dm.iterations=2", "method.dm.lr_img=2")  # fmt: skip
    done = call("benchmark.run", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    done = call("benchmark.methods", "diff", "outputs")
    assert (done.returncode, done.stderr) == (1, ""), done.stderr
    assert [row[:3] for row in table(done.stdout)] == [["iterations", "2", "20000"], ["lr_img", "2.0", "1.0"]]
    assert "dm (iterations=2, lr_img=2.0) on digits at ipc 1\n" in done.stdout and "record" not in done.stdout
    assert "2 of 20,000 iterations, a fraction of 0.0001" in done.stdout
    (scored,) = (tmp_path / "outputs/evaluate").iterdir()
    done = call("benchmark.methods", "diff", str(scored))
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("error: this is no condense task")
