"""The reference results: what is shipped, how commands show and score it, and how a store is collected into it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
import torch

from benchmark import data, datasets
from benchmark.cli import main
from benchmark.condensation.synthetic_set import load_set
from benchmark.datasets.readers.torchvision_files import SYSTEM_FOLDERS
from benchmark.evaluate import evaluate
from benchmark.execution.runtime import Runtime
from benchmark.external_sets import collect as collecting
from benchmark.external_sets.collect import collect
from benchmark.external_sets.read import read_external_set
from benchmark.external_sets.score import score
from benchmark.report import report
from benchmark.run import run
from benchmark.tasks.execute import execute
from benchmark.training import protocols
from benchmark.utils.tensor_files import load_tensors
from helpers import CPU, planned
from methods import registry
from methods.whole import WholeSet
from results.aggregation import full_budget
from results.errors import ResultsError
from results.store import reference
from results.store.atomic_files import to_json
from results.store.identity import sealed
from results.store.store import Store

Command = Callable[..., tuple[int, str, str]]  # name and words of the command line to (status, stdout, stderr)
MOST_BYTES = 10_000_000


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    commands = {"evaluate": evaluate, "report": report, "run": run}

    def launch(name: str, *words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        with pytest.raises(SystemExit) as ended:
            if name == "data":
                data.main(words)
            main.launch(commands[name], name)
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return launch


# --- what is shipped --------------------------------------------------------------------------------------------------


def shipped_records() -> list[dict[str, Any]]:
    lines = [line for path in sorted(reference.FOLDER.glob("*.jsonl")) for line in reference.read_lines(path)]
    assert lines and not [line.error for line in lines if line.error]
    return [line.record for line in lines]


def shipped(kind: str) -> Iterator[dict[str, Any]]:
    return (record for record in shipped_records() if record["kind"] == kind)


def test_settings_are_those_published_for_the_cell_unless_the_row_says_otherwise() -> None:
    for record in shipped("condense"):
        resolved, display = record["resolved"], record["display"]
        factor = {"factor": display["factor"]} if "@f" in display["display_name"] else {}
        published = registry.resolve(resolved["method"], dataset=display["published_as"], ipc=resolved["ipc"],
                                     preset="paper", overrides=factor).config  # fmt: skip
        different = {name for name, value in resolved["settings"].items() if value != getattr(published, name)}
        named = set(display["overrides"].replace("=", " ").split())  # an ablation
        third_party = display["provenance"] == "third party"
        assert third_party or different <= named, (display["display_name"], different)


def test_iterations_and_epochs_are_complete() -> None:
    sets = {record["identity"]: record for record in shipped("condense")}
    for record in sets.values():
        iterations = record["resolved"]["settings"].get("iterations", 0)
        assert record["status"] == "ok" and record["display"]["iterations_fraction"] >= 1
        assert record["steps"] >= iterations, record["identity"]
    for record in shipped("evaluate"):
        resolved = record["resolved"]
        assert record["status"] == "ok" and record["display"]["iterations_fraction"] >= 1
        assert resolved["set"] in sets or resolved["set"] == WholeSet.card.name
        assert record["steps"] == resolved["num_eval"] * record["result"]["optimizer_steps"]
        assert record["result"]["optimizer_steps"] >= resolved["protocol"]["epochs"]
    assert full_budget.full_budget(shipped_records()) == (shipped_records(), [])


def test_sets_are_small_those_of_the_records_and_without_real_images() -> None:
    condensed = {record["identity"]: record for record in shipped("condense")}
    files = set()
    for name, entry in reference.sets().items():
        path, record = reference.set_file(name), condensed[entry["identity"]]
        assert entry["original"] == record["artifacts"]["synthetic.safetensors"]
        tensors, _ = load_tensors(path)
        selected = record["display"]["card"]["family"] == "coreset"
        assert (tensors.keys() == {"indices", "labels"}) == selected == (entry["pixels"] == "indices")
        if not selected:
            assert str(tensors["images"].dtype) == f"torch.{entry['pixels']}"
            assert entry["pixels"] == "float32" or entry["check"]["passed"]
        files.add(path)
    wanted = {record["identity"] for record in condensed.values() if record["resolved"]["seed"] == 0}
    assert {entry["identity"] for entry in reference.sets().values()} == wanted
    assert files == set((reference.FOLDER / reference.SETS).iterdir())
    assert sum(path.stat().st_size for path in [*files, *reference.FOLDER.glob("*.json*")]) < MOST_BYTES


@pytest.mark.skipif(not SYSTEM_FOLDERS["fashionmnist"].is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_a_network_trained_on_a_shipped_set_scores_within_its_error(tmp_path: Path) -> None:
    names = {entry["identity"]: name for name, entry in reference.sets().items() if "/fashionmnist/" in name}
    scored = [record for record in shipped("evaluate") if record["resolved"]["set"] in names]
    quickest = min(scored, key=lambda r: r["result"]["optimizer_steps"] * r["result"]["decoded_images"])
    path = reference.set_file(names[quickest["resolved"]["set"]])
    stored = read_external_set([path], datasets.load("fashionmnist", tmp_path)).own
    assert stored is not None
    protocol = quickest["resolved"]["protocol"]["name"].removeprefix("native:")
    (accuracy,) = score(stored.images, stored.labels, "fashionmnist", protocol, factor=stored.factor, num_eval=1,
                        threads=1, data_root=tmp_path)  # fmt: skip
    recorded = quickest["result"]["accuracies"]
    # Rounded pixels, fp32 and perhaps another processor: the network is a further one of the same sample. Networks on
    # one random subset of FashionMNIST differ by 0.2 points (standard deviation of four, ipc 1).
    spread = stdev(recorded) if len(recorded) > 1 else 0.002
    assert abs(accuracy - fmean(recorded)) < 4 * spread


# --- commands ---------------------------------------------------------------------------------------------------------


def test_the_report_needs_no_data_and_says_where_it_writes(command: Command, tmp_path: Path) -> None:
    status, text, err = command("report", "store=reference:", "tables=[accuracy]")
    assert (status, err) == (0, "")
    assert "DSA" in text and "70.5 ± 0.4†" in text and "no measure of what the methods cost" in text
    assert f"written: {Path('reference-report/tables.md')}" in text
    assert [path.name for path in tmp_path.iterdir()] == ["reference-report"]
    figures = {path.name for path in (tmp_path / "reference-report/figures").iterdir()}
    assert "sets-fashionmnist-convnet3-ipc1.png" in figures and (tmp_path / "reference-report/report.html").exists()


def test_the_list_names_cells_and_sets(command: Command) -> None:
    status, text, err = command("data", "reference")
    assert (status, err) == (0, "") and "set=reference:dsa/fashionmnist/1  float16" in text
    assert any(
        all(word in line for word in ("fashionmnist", "DSA", "native", "69.5 ± 0.4")) for line in text.splitlines()
    )


WRONG = {
    "set": ("evaluate", ["set=reference:dance/mnist/3"], ["no reference set 'dance/mnist/3'", "dsa/fashionmnist/1"]),
    "no set": ("evaluate", ["set=reference:"], ["known: "]),
    "dataset": ("evaluate", ["set=reference:dsa/fashionmnist/1", "dataset=digits"], ["its images are 1x28x28"]),
    "store": ("run", ["store=reference:"], ["nothing can be added to them", "store=PATH"]),
    "scores": ("evaluate", ["set=reference:dsa/fashionmnist/1", "store=reference:"], ["nothing can be added"]),
    "no store": ("data", ["reference", "collect=nowhere"], ["there is no store at nowhere"]),
    "names": ("data", ["reference", "dsa"], ["reference takes no name"]),
    "collect": ("data", ["list", "collect=out"], ["'collect=out' is no setting; known: data_root, cache"]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_in_one_message(case: str, command: Command, tmp_path: Path) -> None:
    name, words, said = WRONG[case]
    status, text, err = command(name, *words)
    assert status == 2 and "Traceback" not in err and err.count("error: ") == 1, text + err
    assert all(word in err for word in said), err
    assert not list(tmp_path.iterdir())


# --- collecting -------------------------------------------------------------------------------------------------------

WORDS = ("datasets=[digits]", "ipcs=[2]", "num_eval=1", "architectures=[convnet2-w4]", "protocols=[quick]",
         "baselines=[]")  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the shipped results, digits that count, and a protocol of few epochs."""
    get = protocols.get
    monkeypatch.setattr(protocols, "get", lambda *a, **k: replace(get(*a, **k), epochs=9, lr_milestones=(6,)))
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(full_budget, "is_demonstration", lambda row: False)
    return tmp_path / "shipped"


def ran(out: Path, *words: str) -> Store:
    for task in planned(*WORDS, *words).tasks:
        outcome = execute(task, Runtime(out, CPU))
        assert outcome.status == "done" and not outcome.message, outcome
    return Store(out)


def edited(store: Store, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    for path in store.root.glob("*/*/record.json"):
        record = json.loads(path.read_text())
        path.write_text(to_json(sealed({**record, **change(record)})))


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_real_images_are_kept_as_indices_and_drawn_again(folder: Path, tmp_path: Path, command: Command) -> None:
    store = ran(tmp_path / "out", "methods=[random,random@f2]")
    lines = list(collect(store, tmp_path))
    assert lines == ["written: set random/digits/2 as indices", "written: set random@f2/digits/2 as indices",
                     "written: digits.jsonl, 20 records"]  # fmt: skip
    digits = datasets.load("digits", tmp_path)
    for name in ("random", "random@f2"):
        entry = reference.sets()[f"{name}/digits/2"]
        original = load_set(
            store.artifact({"kind": "condense", "identity": entry["identity"]}, "synthetic.safetensors")
        )
        again = read_external_set([reference.set_file(f"{name}/digits/2")], digits).own
        assert again is not None and (again.ipc, again.factor) == (original.ipc, original.factor)
        assert torch.equal(again.images, original.images) and torch.equal(again.labels, original.labels)
    before = contents(folder)
    assert list(collect(store, tmp_path)) == ["unchanged: set random/digits/2", "unchanged: set random@f2/digits/2",
                                             "unchanged: digits.jsonl, 20 records"]  # fmt: skip
    assert contents(folder) == before
    status, text, err = command("evaluate", "set=reference:random@f2/digits/2", "dataset=digits", "num_eval=1",
                                "baselines=[reference]", "protocols=[quick]",
                                "eval_architectures=[convnet2-w4]")  # fmt: skip
    assert (status, err) == (0, "") and "factor 2" in text and "reference:random@f2/digits/2" in text
    assert "Random (reference)" in text and "Random@f2 (reference)" in text and "not ranked" in text
    status, text, _ = command("report", "baselines=[random]", "figures=false", "page=false", "tables=[accuracy]")
    assert status == 0 and "Random (reference)" not in text
    status, text, _ = command("report", "baselines=[reference]", "figures=false", "page=false", "tables=[accuracy]")
    assert status == 0 and "Random (reference)" in text


def test_learned_sets_are_rounded_where_a_network_scores_as_those_stored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ran(tmp_path / "out", "methods=[dm]", "method.dm.iterations=1", "num_eval=5")
    assert [line for line in collect(store, tmp_path) if "% of the iterations" in line] and not folder.exists()
    edited(store, lambda record: {"display": record["display"] | {"iterations_fraction": 1.0, "display_name": "dm"}})
    list(collect(store, tmp_path))
    entry = reference.sets()["dm/digits/2"]
    assert entry["pixels"] == "float16" and entry["check"]["passed"] and len(entry["check"]["accuracies"]) == 5
    original = load_set(store.artifact({"kind": "condense", "identity": entry["identity"]}, "synthetic.safetensors"))
    rounded = load_set(reference.set_file("dm/digits/2"))
    assert torch.equal(rounded.images, original.images.half().float()) and rounded.images.dtype == torch.float32
    (folder / "sets.json").unlink()
    monkeypatch.setattr(collecting, "score", lambda *args, **options: [0.0])
    list(collect(store, tmp_path))
    entry = reference.sets()["dm/digits/2"]
    assert entry["pixels"] == "float32" and entry["sha256"] == entry["original"]


def test_incomplete_cells_are_named_and_a_different_record_is_never_replaced(folder: Path, tmp_path: Path) -> None:
    store = ran(tmp_path / "out", "methods=[random]")
    list(collect(store, tmp_path))
    index, before = folder / "sets.json", contents(folder)
    entry, text = reference.sets()["random/digits/2"], index.read_text()
    index.write_text(text.replace(entry["identity"], "0" * 64))
    assert [line for line in collect(store, tmp_path) if line.startswith("left out: set random/digits/2 of random-")]
    index.write_text(text)
    edited(store, lambda record: {"result": record["result"] | {"decoded_images": 21}})
    with pytest.raises(ResultsError, match="different records of one task"):
        list(collect(store, tmp_path))
    assert contents(folder) == before
    for path in list((tmp_path / "out/evaluate").glob("*seed3*/record.json")):
        path.unlink()
    (line,) = [line for line in collect(store, tmp_path) if line.startswith("left out")]
    assert line == "left out: random, digits, ipc 2, protocol quick: 4 of its sets have a record and an accuracy"
