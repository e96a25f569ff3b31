"""Scoring sets made elsewhere: the plan, what is stored, equal sets with equal scores, and the command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from PIL import Image

from benchmark.cli.quantization import quantization_losses
from benchmark.condensation.synthetic_set import load_set, save_set
from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.estimation import summary
from benchmark.estimation.estimate import estimate
from benchmark.execution.runtime import Runtime
from benchmark.external_sets.convert import set_digest
from benchmark.planning import external_sets
from benchmark.planning.plan import inputs_of
from benchmark.tasks.execute import execute
from benchmark.utils.errors import BenchmarkError
from external_set_files import dc_file, digits, normalized, subset
from helpers import CPU, planned
from methods.base import SyntheticSet
from results.aggregation.cells import cells
from results.published.compare import compare, lookup, published_number
from results.store.store import Store
from results.tables.comparison import comparison_tables

TINY = ("dataset=digits", "num_eval=1", "eval_architectures=[convnet2-w4]")


def asked(*words: str) -> schema.EvaluateConfig:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return options.parse_as(schema.EvaluateConfig, compose("evaluate", overrides=[*TINY, *words]))


def build(*words: str) -> external_sets.ExternalPlan:
    return external_sets.build(asked(*words))


def done(found: external_sets.ExternalPlan, out: Path) -> list[dict[str, Any]]:
    """Every task done in this process; the records as a command shows them."""
    for task in found.plan.tasks:
        outcome = execute(task, Runtime(out, CPU))
        assert outcome.status == "done" and not outcome.message, outcome
    records = [(task, Store(out).record(task)) for task in found.plan.tasks]
    return [record | {"display": task["display"]} for task, record in records if record]


def accuracies(records: list[dict[str, Any]], row: str) -> dict[int, list[float]]:
    return {record["resolved"]["seed"]: record["result"]["accuracies"] for record in records
            if record["kind"] == "evaluate" and record["display"]["display_name"] == row}  # fmt: skip


# --- the plan ---------------------------------------------------------------------------------------------------------


def test_every_experiment_is_a_set_of_the_sample_beside_random_ones(tmp_path: Path) -> None:
    path = dc_file(tmp_path / "res.pt", [subset(seed) for seed in range(6)])
    found = build(f"set={path}")
    rows = {kind: [t["resolved"].get("seed") for t in found.plan.of_kind(kind)] for kind in ("import", "condense")}
    assert len(rows["import"]) == 6 and rows["condense"] == list(range(6))  # random: as many as there are sets
    evaluated = [task for task in found.plan.of_kind("evaluate") if task["display"]["display_name"] == "res"]
    assert [task["resolved"]["seed"] for task in evaluated] == list(range(6))
    for task in evaluated:
        assert task["resolved"]["imported"] is True and inputs_of(task) == {task["resolved"]["set"]}
        assert task["display"]["condense_architecture"] == "" and task["display"]["card"]["family"] == "released"
    others = [task for task in found.plan.of_kind("evaluate") if task not in evaluated]
    assert others and all("imported" not in task["resolved"] for task in others)
    assert {task["display"]["display_name"] for task in others} == {"random", "whole"}
    chosen = build(f"set={path}", "set_index=[4]", "baselines=[]").plan.of_kind("import")
    assert [task["identity"] for task in chosen] == [found.plan.of_kind("import")[4]["identity"]]


def test_mosaics_bring_mosaics_of_random_images(tmp_path: Path) -> None:
    torch.save([*subset()], tmp_path / "data.pt")
    found = build(f"set={tmp_path / 'data.pt'}", "factor=2", "baselines=[random]")
    assert {task["display"]["display_name"] for task in found.plan.of_kind("condense")} == {"random", "random@f2"}
    assert {t["resolved"]["factor"] for t in found.plan.of_kind("import")} == {2}
    assert "assumed" not in found.description[0]
    assert "factor 1 (assumed" in build(f"set={tmp_path / 'data.pt'}", "baselines=[]").description[0]


def test_the_controls_are_those_of_a_run(tmp_path: Path) -> None:
    from benchmark.planning import grid as plan

    torch.save([*subset()], tmp_path / "data.pt")
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        words = ["methods=[dm]", "ipcs=[2]", "num_eval=1", "eval_architectures=[convnet2-w4]"]
        run = plan.build(options.parse(compose("run", overrides=words)))
    mine = build(f"set={tmp_path / 'data.pt'}").plan.by_identity.keys()
    controls = {t["identity"] for t in run.tasks if t["display"].get("display_name") in ("random", "whole")}
    assert len(controls) == 11 and controls <= mine


def test_the_same_pixels_are_the_same_task_in_whatever_file(tmp_path: Path) -> None:
    images, labels = subset()
    torch.save([images, labels], tmp_path / "a.pt")
    torch.save({"data": [[images, labels]]}, tmp_path / "b.pt")
    torch.save([images * 255, labels], tmp_path / "c.pt")
    torch.save([images * 0.5, labels], tmp_path / "d.pt")
    found = [build(f"set={tmp_path / name}.pt", "baselines=[]").plan for name in "abcd"]
    assert found[0].of_kind("import")[0]["resolved"]["digest"] == set_digest(images, labels)
    marks = [plan.of_kind("import")[0]["identity"] for plan in found[:2]]
    assert marks[0] == marks[1] != found[3].of_kind("import")[0]["identity"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pixel_scale=furlongs"], "no pixel_scale 'furlongs'"),
        (["quantize=4bit"], "no quantize '4bit'"),
        (["mean=[0.5]"], "mean and std go together"),
        (["mean=[0.5,0.5]", "std=[1,1]"], "need 1 values"),
        (["mean=[0.5]", "std=[1]"], "but its pixels are raw"),
        (["mean=[nan]", "std=[1]"], "mean must be from -1000 to 1000, got nan"),
        (["mean=[1e300]", "std=[1]"], "mean must be from -1000 to 1000, got 1e+300"),
        (["mean=[0.5]", "std=[inf]"], "std must be from 0.001 to 1000, got inf"),
        (["mean=[0.5]", "std=[0]"], "std must be from 0.001 to 1000, got 0.0"),
        (["mean=[]", "std=[]"], "need 1 values"),
        (["factor=0"], "factor must be from 1 to 1,024"),
        (["factor=5"], "factor 5 does not fit digits: some small images in one of 8×8 would be empty"),
        (["factor=9"], "factor 9 does not fit digits"),
        (["factor=100"], "factor 100 does not fit digits"),
        (["factor=10000000000000000000000"], "factor must be from 1 to 1,024"),
        (["name=''"], "name must be a name"),
        ([f"set={'s' * 5000}"], "File name too long"),
        (["set='~nobody-of-this-name/set.pt'"], "is not a path"),
        (["set_index=[1]"], "the file holds 1 set"),
        (["name=random"], "'random' is the name of a baseline"),
        (["method=dsaa"], "Did you mean 'dsa'?"),
        (["protocols=[native]"], "which protocol is the set's own?"),
        (["num_eval=0"], "num_eval must be from 1 to 10,000"),
    ],
)
def test_requests_that_make_no_sense(words: list[str], said: str, tmp_path: Path) -> None:
    torch.save([*subset()], tmp_path / "data.pt")
    with pytest.raises(BenchmarkError) as caught:
        build(f"set={tmp_path / 'data.pt'}", *words)
    assert said in caught.value.what


def test_values_that_no_network_can_train_on_are_refused_before_anything_runs(tmp_path: Path) -> None:
    images, labels = subset()
    images[0, 0, 0, 0] = 1e38
    torch.save([images, labels], tmp_path / "data.pt")
    with pytest.raises(BenchmarkError, match=r"its pixels go from .* to 1e\+38, not 0 to 1"):
        build(f"set={tmp_path / 'data.pt'}", "pixel_scale=raw")


@pytest.mark.parametrize("factor", [3, 5, 100])
def test_a_factor_on_a_card_that_does_not_divide_the_images_names_the_set(factor: int, tmp_path: Path) -> None:
    images, labels = subset()
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, len(labels) // 10, factor=factor))
    with pytest.raises(BenchmarkError, match=f"factor {factor}, which does not divide images of 8×8") as caught:
        build(f"set={tmp_path / 'synthetic.safetensors'}")
    assert "synthetic.safetensors" in caught.value.where


def test_a_set_that_was_made_with_a_factor_that_needs_padding_is_evaluated_with_it(tmp_path: Path) -> None:
    images, labels = subset()
    card = {"resolved": {"settings": {"factor": 3}}}
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, len(labels) // 10, 3, card=card))
    build(f"set={tmp_path / 'synthetic.safetensors'}")


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_a_set_scores_the_same_in_every_form(tmp_path: Path) -> None:
    images, labels = subset(7, ipc=5)
    images = images + 0.05 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))  # not clamped
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, 5))
    dc_file(tmp_path / "res.pt", [(images, labels)])
    torch.save(normalized(images), tmp_path / "images.pt")
    torch.save(labels, tmp_path / "labels.pt")
    torch.save([images, labels], tmp_path / "raw.pt")
    sets = [tmp_path / "synthetic.safetensors", tmp_path / "res.pt",
            f"[{tmp_path}/images.pt,{tmp_path}/labels.pt]", tmp_path / "raw.pt"]  # fmt: skip
    found = []
    for place, path in enumerate(sets):
        out = tmp_path / str(place)
        records = done(build(f"set={path}", "baselines=[]", "name=given"), out)
        found.append(accuracies(records, "given")[0][0])
        (stored,) = out.glob("import/*/synthetic.safetensors")
        assert torch.allclose(load_set(stored).images, images, atol=1e-6)
    assert found[0] == found[3] and min(found) > 0.3  # of images that differ in last bits, training drifts apart


def test_a_whitened_set_is_stored_in_pixels_and_natively_scored_whitened(tmp_path: Path) -> None:
    images, labels = subset(7, ipc=2)
    real = digits().train.images.flatten(1).double() / 255
    values, vectors = torch.linalg.eigh(real.T.cov())
    matrix = vectors @ torch.diag((values + 0.1).rsqrt()) @ vectors.T
    white = ((images.flatten(1).double() - real.mean(0)) @ matrix).float().view_as(images)
    torch.save([white, labels], tmp_path / "white.pt")
    words = (f"set={tmp_path / 'white.pt'}", "pixel_scale=whitened", "baselines=[]")
    found = build(*words, "val_fraction=0.2")
    assert "note: it is of whitened images" in " ".join(found.description)
    done(found, tmp_path / "out")
    (path,) = (tmp_path / "out").glob("import/*/synthetic.safetensors")
    stored = load_set(path)
    assert torch.allclose(stored.images, images, atol=1e-5) and stored.training == {"space": "zca"}
    (own,) = build(f"set={path}", "method=mtt", "name=own", "baselines=[]").plan.of_kind("import")
    assert own["resolved"]["training"] == {"space": "zca"} and "whitening" not in own["resolved"]["dataset"]


def test_a_set_of_this_project_is_natively_scored_as_where_it_was_made(tmp_path: Path) -> None:
    mtt = "mtt@zca:true@iterations:1@experts:1@max_start_epoch:1@expert_epochs:1@syn_steps:1"
    made = planned(f"methods=[{mtt}]", "datasets=[digits]", "ipcs=[1]", "architectures=[convnet2-w4]", "num_eval=1",
                   "baselines=[]", "protocols=[native]")  # fmt: skip
    for task in made.tasks:
        assert execute(task, Runtime(tmp_path / "made", CPU)).status == "done"
    (there,) = made.of_kind("evaluate")
    (path,) = (tmp_path / "made").glob("condense/*/synthetic.safetensors")
    found = build(f"set={path}", "protocols=[native]", "baselines=[]", "name=again")
    (here,) = found.plan.of_kind("evaluate")
    assert {**here["resolved"], "set": 0, "imported": 0} == {**there["resolved"], "set": 0, "imported": 0}
    first = Store(tmp_path / "made").record(there)
    assert first and accuracies(done(found, tmp_path / "out"), "again")[0] == first["result"]["accuracies"]


def test_a_record_says_what_was_read_and_tables_show_it(tmp_path: Path) -> None:
    path = dc_file(tmp_path / "res_DSA.pt", [subset(seed) for seed in range(3)])
    out = tmp_path / "out"
    records = done(build(f"set={path}", "method=dsa", "baselines=[random]"), out)
    first = next(record for record in records if record["kind"] == "import")
    assert first["result"]["stored_images"] == 20 and first["result"]["source"]["pixel_scale"] == "normalized"
    assert first["result"]["source"]["files"][0]["name"] == "res_DSA.pt"
    frame = cells(records).set_index("display_name")
    assert frame.loc["res_DSA", "sets"] == 3 and frame.loc["res_DSA", "stored_images"] == 20
    assert frame.loc["res_DSA", "method"] == "dsa" and frame.loc["res_DSA", "family"] == "released"
    (table,) = comparison_tables(cells(records))
    rows = table.texts()
    assert [row[2] for row in rows] == ["res_DSA", "Random"]
    assert "n.s.: no better than random" in " ".join(table.captions) and "n.s." in rows[0][3]  # real digits, no better
    stored, problems = Store(out).records()
    assert len(stored) == len(records) and not problems


def test_a_set_whose_classes_differ_in_size_is_scored_with_its_counts(tmp_path: Path) -> None:
    images, labels = subset(ipc=11)
    kept = torch.cat([torch.nonzero(labels == c).flatten()[: 9 + c % 3] for c in range(10)])
    images, labels = images[kept], labels[kept]
    torch.save([images, labels], tmp_path / "set.pt")
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        (tmp_path / f"set/{label}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].mul(255).byte().numpy()).save(tmp_path / f"set/{label}/{number:02}.png")
    found = build(f"set={tmp_path / 'set.pt'}", "method=dm", "baselines=[random]", "val_fraction=0.1")
    assert "9 to 11 (about 10) images a class" in found.description[0]
    records = done(found, tmp_path / "out")
    (stored,) = (tmp_path / "out").glob("import/*/synthetic.safetensors")
    assert load_set(stored).ipc == 10 and torch.equal(load_set(stored).labels, labels)
    with Image.open(stored.with_name("preview.png")) as preview:
        assert np.asarray(preview)[:50, -52:].min() == 255 > np.asarray(preview)[50:100, -52:].min()  # 9, 10 images
    (table,) = comparison_tables(cells(records))
    assert [row[:3] for row in table.texts()] == [["10 (9–11)", "6.88", "set"], ["10", "6.95", "Random"]]
    cell = cells(records).set_index("display_name").loc["set"]
    entry = lookup("dm", "cifar10", 10)[0]
    assert "9–11 images a class" in compare(cell.to_dict(), entry).mismatches
    (first,) = found.plan.of_kind("import")
    for path in (tmp_path / "set", stored):
        (same,) = build(f"set={path}", "name=set", "baselines=[]").plan.of_kind("import")
        assert same["identity"] == first["identity"]


def test_only_a_method_that_is_named_brings_its_published_number(tmp_path: Path) -> None:
    path = dc_file(tmp_path / "dm.pt", [subset(0, ipc=1)])
    for words, published in (([], False), (["method=dm"], True)):
        found = build(f"set={path}", "baselines=[]", *words)
        (label,) = [task["display"] for task in found.plan.of_kind("evaluate")]
        cell = label | {"method": label["card"]["name"], "published_as": "cifar10", "ipc": label["ipc"]}
        cell |= {"architecture": "convnet3", "recipe": "dsa"}
        assert (published_number(cell) is not None) == published


def test_native_is_the_first_printed_protocol_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    config: Any = SimpleNamespace(method="random", protocols=["native"])
    dataset: Any = SimpleNamespace(published_as="cifar10")
    printed = sorted(lookup("random", "cifar10", 10), key=lambda entry: entry.protocol != "datm")
    assert [entry.protocol for entry in printed] == ["datm", "dc"]
    monkeypatch.setattr(external_sets.compare, "lookup", lambda *cell: printed)
    assert external_sets._native(config, dataset, 10) == "dc"


def test_a_dry_run_estimates_and_writes_nothing(tmp_path: Path) -> None:
    torch.save([*subset()], tmp_path / "data.pt")
    found = build(f"set={tmp_path / 'data.pt'}", "baselines=[]")
    rows = estimate(found.plan, Store(tmp_path / "out"), CPU, lambda *call: None)
    assert [row.kind for row in rows] == ["import", "evaluate"] and rows[1].cost.steps == 200
    assert "import" in summary.totals(rows, found.plan, CPU, 1)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["data.pt"]


def test_two_files_of_one_name_stay_two_rows(tmp_path: Path) -> None:
    out, records = tmp_path / "out", []
    for seed, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        torch.save([*subset(seed)], tmp_path / folder / "data.pt")
        records += done(build(f"set={tmp_path / folder / 'data.pt'}", "baselines=[]"), out)
    (table,) = comparison_tables(cells(records))
    names = [row[2] for row in table.texts()]
    assert len(names) == 2 and len(set(names)) == 2
    assert all(re.fullmatch(r"data \[source=\w{12}\]", name) for name in names)


def test_eight_bits_cost_what_is_said(tmp_path: Path) -> None:
    images, labels = subset()
    images = images * 1.4 - 0.2
    torch.save([images, labels], tmp_path / "data.pt")
    found = build(f"set={tmp_path / 'data.pt'}", "quantize=8bit", "baselines=[]", "pixel_scale=raw", "num_eval=2")
    out = tmp_path / "out"
    records = done(found, out)
    rows = {record["display"]["display_name"]: record for record in records if record["kind"] == "import"}
    (path,) = out.glob("import/data-8bit*/synthetic.safetensors")
    assert torch.equal(load_set(path).images, (images.clamp(0, 1) * 255).round() / 255)
    share = float(((images < 0) | (images > 1)).float().mean())
    assert rows["data (8bit)"]["result"]["clamped"] == pytest.approx(share)
    before, after = (accuracies(records, row)[0] for row in ("data", "data (8bit)"))
    points = 100 * (sum(after) - sum(before)) / 2
    (line,) = quantization_losses(found, str(out))
    assert f"{points:+.2f} points over 2 networks" in line and f"{100 * share:.2f} %" in line


def test_a_file_that_changes_after_planning_is_not_scored(tmp_path: Path) -> None:
    torch.save([*subset(0)], tmp_path / "data.pt")
    found = build(f"set={tmp_path / 'data.pt'}", "baselines=[]")
    torch.save([*subset(1)], tmp_path / "data.pt")
    outcome = execute(found.plan.of_kind("import")[0], Runtime(tmp_path / "out", CPU))
    assert outcome.status == "failed" and "has changed" in outcome.message
    assert not list((tmp_path / "out").glob("import/*/synthetic.safetensors"))


# --- the command ------------------------------------------------------------------------------------------------------


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "benchmark.evaluate", *words], cwd=folder, capture_output=True,
                          text=True, timeout=250, check=False)  # fmt: skip


def test_the_command_scores_our_own_set_without_being_told_its_dataset(tmp_path: Path) -> None:
    images, labels = subset()
    card = {"resolved": {"dataset": {"fingerprint": digits().fingerprint}}}
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, 2, card=card))
    words = ("set=synthetic.safetensors", "quantize=8bit", "num_eval=1", "eval_architectures=[convnet2-w4]",
             "baselines=[]", "workers=1", "threads=1", "name=mine", "store=store")  # fmt: skip
    first = call(tmp_path, *words)
    assert first.returncode == 0 and first.stderr == "", first.stdout + first.stderr
    assert "pixel scale: raw (implied by the format)" in first.stdout and "mine (8bit)" in first.stdout
    assert "8bit, protocol quick, convnet2-w4: +0.00 points over 1 network" in first.stdout
    assert {path.name for path in (tmp_path / "store").iterdir()} == {
        "import", "evaluate", "tables.md", "tables.csv", "tables.tex", "tables.html", "article.tex",
        "references.bib",
    }  # fmt: skip
    again = call(tmp_path, *words)
    assert again.returncode == 0 and again.stdout.count("was done before") == 4


def test_a_bad_file_ends_the_command_with_2_and_writes_nothing(tmp_path: Path) -> None:
    torch.save({"data": torch.nn.Linear(2, 2)}, tmp_path / "set.pt")
    bad = call(tmp_path, "set=set.pt", "dataset=digits")
    assert bad.returncode == 2 and bad.stdout == "" and "Traceback" not in bad.stderr
    assert bad.stderr.startswith("error: ") and len(bad.stderr.strip().splitlines()) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["set.pt"]


def test_a_set_that_does_not_name_its_dataset_needs_it_named(tmp_path: Path) -> None:
    torch.save([*subset()], tmp_path / "data.pt")
    request = asked(f"set={tmp_path / 'data.pt'}")
    request.dataset = None
    with pytest.raises(BenchmarkError, match="which dataset"):
        external_sets.build(request)
    images, labels = subset()
    card = {"resolved": {"dataset": {"fingerprint": "f" * 64}}}
    save_set(tmp_path / "synthetic.safetensors", SyntheticSet(images, labels, 2, card=card))
    task = {"resolved": {"dataset": {"fingerprint": "f" * 64}}, "requested": {"dataset": "digits"}}
    (tmp_path / "task.json").write_text(json.dumps(task))
    request.set = str(tmp_path / "synthetic.safetensors")
    assert any("other images" in line for line in external_sets.build(request).description)


def test_a_row_has_a_name_that_fits_a_table(tmp_path: Path) -> None:
    path = dc_file(tmp_path / "b\x1b[31mred.pt", [subset()])
    tasks = build(f"set='{path}'", "baselines=[]").plan.of_kind("import")
    assert [task["display"]["display_name"] for task in tasks] == [r"b\x1b[31mred"]
    with pytest.raises(BenchmarkError, match="has 300 characters; at most 100 fit"):
        build(f"set='{path}'", f"name={'x' * 300}")
