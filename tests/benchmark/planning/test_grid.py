"""The plan of a run: identities, shared experts, rows and baselines, the order of tasks."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from record_parts import changed

from benchmark import datasets
from benchmark.augmentation import dc
from benchmark.augmentation.strategies import parse
from benchmark.compute.engine import Compute
from benchmark.condensation.synthetic_set import load_set
from benchmark.config import compose as options
from benchmark.datasets import Dataset
from benchmark.execution.runtime import Runtime, Task
from benchmark.planning import grid
from benchmark.planning.plan import inputs_of
from benchmark.tasks.execute import execute
from benchmark.utils.errors import BenchmarkError
from helpers import make_images
from methods.dm import DistributionMatching
from methods.errors import MethodError
from results.store.store import Store

ONE_CELL = ("ipcs=[1]", "architectures=[convnet2-w4]")


def build(*words: str, shares: grid.Shares | None = None) -> grid.Plan:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        composed = compose("run", overrides=[*ONE_CELL, *words])
    return grid.build(options.parse(composed), shares=shares)


def identities(planned: grid.Plan, kind: str) -> set[str]:
    return {task["identity"] for task in planned.of_kind(kind)}


def rows(planned: grid.Plan) -> list[tuple[str, int]]:
    """Row and seed of every condense task, in the order of the plan."""
    return [(task["display"]["display_name"], task["resolved"]["seed"]) for task in planned.of_kind("condense")]


def of_row(planned: grid.Plan, kind: str, row: str, seed: int = 0) -> Task:
    (found,) = (
        t for t in planned.of_kind(kind) if t["display"]["display_name"] == row and t["resolved"]["seed"] == seed
    )
    return found


@pytest.fixture
def use_dataset(monkeypatch: pytest.MonkeyPatch) -> Callable[[Dataset], None]:
    """Makes every entry of `datasets` this dataset."""

    def use(dataset: Dataset) -> None:
        monkeypatch.setattr(datasets, "load", lambda entry, root, progress=None: dataset)

    return use


# --- identity ---------------------------------------------------------------------------------------------------------

DM = ("methods=[dm]", "baselines=[]")


def test_1_and_1_0_ask_for_the_same_task() -> None:
    whole = build(*DM, "method.dm.lr_img=2", "val_fraction=0")
    assert whole.by_identity.keys() == build(*DM, "method.dm.lr_img=2.0", "val_fraction=0.0").by_identity.keys()
    assert whole.by_identity.keys() != build(*DM, "method.dm.lr_img=2.5").by_identity.keys()


@pytest.mark.parametrize(
    "word", ["threads=3", "compile=true", "workers=2", "device=cpu", "checkpoint_seconds=1", "store=elsewhere",
             "data_root=there", "retry=failed"],
)  # fmt: skip
def test_how_a_run_is_computed_moves_no_identity(word: str) -> None:
    assert build().by_identity.keys() == build(word).by_identity.keys()


@pytest.mark.parametrize(
    "word", ["seeds=[1]", "ipcs=[2]", "method.dm.lr_img=0.5", "method.dm.init=noise", "precision=tf32",
             "val_fraction=0.1", "architectures=[convnet2-w8]", "iterations_fraction=0.01"],
)  # fmt: skip
def test_what_can_change_a_set_changes_its_task_and_those_that_evaluate_it(word: str) -> None:
    plain, changed = build(*DM), build(*DM, word)
    for kind in ("condense", "evaluate"):
        assert len(identities(changed, kind)) == 1
        assert identities(plain, kind).isdisjoint(identities(changed, kind))


@pytest.mark.parametrize("word", ["protocols=[dsa]", "protocols=['quick@steps']", "num_eval=3",
                                  "eval_architectures=[convnet3-w4]"])  # fmt: skip
def test_how_a_set_is_scored_leaves_the_set_alone(word: str) -> None:
    plain, changed = build(*DM), build(*DM, word)
    assert identities(plain, "condense") == identities(changed, "condense")
    assert identities(plain, "evaluate").isdisjoint(identities(changed, "evaluate"))


def test_a_new_version_of_a_method_condenses_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = build("methods=[dm,dance]", "baselines=[]")
    raised = replace(DistributionMatching.card, version=DistributionMatching.card.version + 1)
    monkeypatch.setattr(DistributionMatching, "card", raised)
    again = build("methods=[dm,dance]", "baselines=[]")
    assert of_row(plain, "condense", "dm")["identity"] not in again.by_identity
    assert of_row(plain, "condense", "dance")["identity"] in again.by_identity


def test_other_images_are_other_tasks_whatever_the_name(use_dataset: Callable[[Dataset], None]) -> None:
    plain, digits = build(), datasets.load("digits", Path("data"))
    use_dataset(replace(digits, name="renamed", like="digits"))
    assert build().by_identity.keys() == plain.by_identity.keys()
    use_dataset(replace(digits, fingerprint="0" * 64))
    assert build().by_identity.keys().isdisjoint(plain.by_identity.keys())


# --- experts ----------------------------------------------------------------------------------------------------------


def test_experts_are_planned_once_for_all_ipcs_and_rows_with_the_same_recipe() -> None:
    planned = build("methods=[dance,dance@f2]", "ipcs=[1,2]", "seeds=[0,1]", "baselines=[]")
    assert len(planned.of_kind("prepare")) == 3 and len(planned.of_kind("condense")) == 8
    for task in planned.of_kind("condense"):
        assert set(task["resolved"]["experts"]) == identities(planned, "prepare")


@pytest.mark.parametrize(
    ("word", "shared"),
    [("alignment=expert", True), ("calibration=false", True), ("lr_img_per_ipc=0.5", True), ("experts=5", True),
     ("pretrain_epochs=11", False), ("pretrain_lr=0.02", False), ("pretrain_batch=65", False)],
)  # fmt: skip
def test_variants_share_experts_exactly_if_the_recipe_is_the_same(word: str, shared: bool) -> None:
    plain, variant = build("methods=[dance]"), build("methods=[dance]", f"method.dance.{word}")
    mine, theirs = identities(plain, "prepare"), identities(variant, "prepare")
    assert mine <= theirs if shared else mine.isdisjoint(theirs)
    assert of_row(plain, "condense", "dance")["identity"] not in variant.by_identity


def test_a_coreset_has_a_network_for_each_seed_and_herding_shares_it_with_k_center() -> None:
    planned = build("methods=[herding,kcenter]", "seeds=[0,3]", "baselines=[]", "ipcs=[1,2]")
    used = {
        (task["resolved"]["method"], task["resolved"]["seed"]): task["resolved"]["experts"]
        for task in planned.of_kind("condense")
    }
    assert len(planned.of_kind("prepare")) == 2 and {len(experts) for experts in used.values()} == {1}
    assert used["herding", 0] == used["kcenter", 0] != used["herding", 3] == used["kcenter", 3]
    assert {task["resolved"]["index"] for task in planned.of_kind("prepare")} == {0, 3}
    recipe = planned.of_kind("prepare")[0]["resolved"]["recipe"]
    assert "count" not in recipe and "per_seed" not in recipe  # the number of experts does not change one of them


def test_no_experts_are_planned_if_the_settings_need_none() -> None:
    words = ("methods=[dance]", "baselines=[]", "method.dance.alignment=random", "method.dance.calibration=false")
    planned = build(*words)
    assert not planned.of_kind("prepare") and planned.of_kind("condense")[0]["resolved"]["experts"] == []


# --- rows -------------------------------------------------------------------------------------------------------------


def test_random_has_five_subsets_at_least_and_every_seed_that_methods_have() -> None:
    assert [seed for row, seed in rows(build("seeds=[7]")) if row == "random"] == [7, 0, 1, 2, 3]
    assert [seed for row, seed in rows(build("seeds=[0,1,2,3,4,5]")) if row == "random"] == [0, 1, 2, 3, 4, 5]
    assert [seed for row, seed in rows(build("seeds=[7]")) if row == "dm"] == [7]


@pytest.mark.parametrize(
    ("words", "baselines"),
    [(["methods=[dm]"], {"random"}), (["methods=[dm@f2]"], {"random", "random@f2"}),
     (["methods=[dm,dm@f3]"], {"random", "random@f3"}),
     (["methods=[dm]", "method.dm.factor=2"], {"random", "random@f2"}),
     (["methods=[dm@f2]", "baselines=[]"], set()), (["methods=[dm@f2]", "baselines=[whole]"], set())],
)  # fmt: skip
def test_rows_with_a_factor_add_mosaics_of_random_images(words: list[str], baselines: set[str]) -> None:
    planned = build(*words)
    found = {
        task["display"]["display_name"] for task in planned.of_kind("condense") if task["display"]["role"] == "baseline"
    }
    assert found == baselines
    for row in baselines:
        assert of_row(planned, "condense", row)["display"]["factor"] == int(row.partition("@f")[2] or 1)


def test_a_baseline_that_is_requested_as_a_method_runs_once() -> None:
    planned = build("methods=[random,dm@f2]")
    assert {task["display"]["display_name"]: task["display"]["role"] for task in planned.of_kind("condense")} == {
        "random": "method", "dm@f2": "method", "random@f2": "baseline",
    }  # fmt: skip


def test_the_whole_set_is_scored_once_under_every_protocol() -> None:
    planned = build("protocols=[dsa,quick]", "ipcs=[1,2]", "seeds=[0,1]")
    whole = [task for task in planned.tasks if task["display"].get("display_name") == "whole"]
    assert sorted(task["resolved"]["protocol"]["name"] for task in whole) == ["dsa", "quick"]
    assert all(task["kind"] == "evaluate" and task["resolved"]["set"] == "whole" for task in whole)
    assert all(task["display"]["display_name"] != "whole" for task in build("baselines=[random]").of_kind("evaluate"))


def test_variants_join_only_the_requested_methods() -> None:
    words = ("variants=[dm@f2,dance@f2]", "baselines=[]")
    assert {row for row, _ in rows(build("methods=[dm]", *words))} == {"dm", "dm@f2"}
    assert {row for row, _ in rows(build("methods=[dance]", *words))} == {"dance", "dance@f2"}
    assert rows(build("methods=[dm,dm@f2]", *words)).count(("dm@f2", 0)) == 1
    assert of_row(build("methods=[dm]", *words), "condense", "dm@f2")["resolved"]["settings"]["factor"] == 2


def names_and_notes(planned: grid.Plan) -> tuple[set[str], list[str]]:
    return {row for row, _ in rows(planned)}, [note for note in planned.notes if re.search(r" is .*factor \d$", note)]


@pytest.mark.parametrize("words", [["methods=[dm@f2]"], ["methods=[dm]", "method.dm.factor=2"],
                                   ["methods=[dm@f2]", "method.dm.factor=2"]])  # fmt: skip
def test_a_factor_has_one_name_however_it_is_requested(words: list[str]) -> None:
    planned = build("baselines=[]", *words)
    assert planned.by_identity == build("baselines=[]", "methods=[dm@f2]").by_identity
    assert names_and_notes(planned) == ({"dm@f2"}, [])
    task = of_row(planned, "condense", "dm@f2")
    assert task["slug"].startswith("dm@f2-digits") and task["display"]["overrides"] == ""


def test_variants_of_one_method_are_rows_of_their_own() -> None:
    planned = build(
        "methods=[dance,dance@alignment:random,dance@f2@calibration:off,dm@lr_img:2@augment:dsa:color_crop]",
        "baselines=[]",
    )
    settings = {row: of_row(planned, "condense", row)["resolved"]["settings"] for row, _ in rows(planned)}
    assert list(settings) == [
        "dance", "dance (alignment=random)", "dance@f2 (calibration=False)", "dm (augment=dsa:color_crop, lr_img=2.0)",
    ]  # fmt: skip
    changed = {"alignment": "random"}
    assert settings["dance (alignment=random)"] == settings["dance"] | changed
    assert settings["dance@f2 (calibration=False)"] == settings["dance"] | {"calibration": False, "factor": 2}
    names = [task["slug"].partition("-digits")[0] for task in planned.of_kind("evaluate")]
    assert names == ["dance", "dance@alignment:random", "dance@f2@calibration:False",
                     "dm@augment:dsa:color_crop@lr_img:2.0"]  # fmt: skip


def test_variants_of_one_method_have_shares_of_their_own() -> None:
    cell = "digits", 1, "convnet2-w4"
    shares = {("dm", *cell): 0.01, ("dm (init=noise)", *cell): 0.02}
    planned = build("methods=[dm,dm@init:noise]", "baselines=[]", shares=shares)
    iterations = {
        row: of_row(planned, "condense", row)["resolved"]["settings"]["iterations"] for row, _ in rows(planned)
    }
    assert iterations == {"dm": 200, "dm (init=noise)": 400}


def test_what_is_ours_in_a_protocol_is_noted_and_goes_with_its_evaluations() -> None:
    words = ("methods=[dm]", "baselines=[]", "protocols=[dc]")
    ours = build(*words, "eval_architectures=[convnet2-bn-w4]")
    (task,) = ours.of_kind("evaluate")
    assert "the only network with this rule" in task["display"]["protocol_note"]
    assert f"protocol dc: {task['display']['protocol_note']}" in ours.notes
    (public,) = build(*words, "eval_architectures=[convnet3-bn]").of_kind("evaluate")
    assert "protocol_note" not in public["display"]


def test_a_variant_that_changes_nothing_is_the_row_itself_and_says_so() -> None:
    planned = build("methods=[dance,dance@alignment:mid]", "baselines=[]")
    assert rows(planned) == [("dance", 0)]
    assert "dance@alignment:mid on digits at ipc 1 is dance: its settings are the same" in planned.notes
    assert rows(build("methods=[dance@factor:2]", "baselines=[]")) == [("dance@f2", 0)]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("dance@aligment:mid", "no setting 'aligment'. Did you mean 'alignment'?"),
        ("dance@alignment", "'dance@alignment' is no method"),
        ("dance@alignment:", "'dance@alignment:' is no method"),
        ("dance@f1@f2", "'dance@f1@f2' sets factor twice"),
        ("dance@factor:0", "factor must be a whole number from 1, got 0"),
        ('"dance:alignment=mid"', "'dance:alignment=mid' is no method"),
        ("dance@alignment:middle", "alignment"),
        ("whole@epochs:3", "'whole' condenses nothing"),
    ],
)
def test_a_variant_that_makes_no_sense_is_refused(row: str, what: str) -> None:
    with pytest.raises((BenchmarkError, MethodError), match=re.escape(what)):
        build(f"methods=[{row}]")


def test_a_variant_and_an_option_for_its_method_must_agree() -> None:
    with pytest.raises(BenchmarkError) as refused:
        build("methods=[dance@alignment:mid]", "method.dance.alignment=off")
    assert (
        refused.value.what == "dance@alignment:mid and method.dance.alignment=off ask for different values of alignment"
    )
    assert rows(build("methods=[dance@calibration:false]", "method.dance.calibration=false", "baselines=[]"))


def test_other_overrides_are_printed_after_the_factor() -> None:
    planned = build("methods=[dm,dm@f3]", "baselines=[]", "method.dm.lr_img=2")
    assert names_and_notes(planned) == ({"dm (lr_img=2.0)", "dm@f3 (lr_img=2.0)"}, [])


def cifar10(*words: str) -> grid.Plan:
    """Planned from the card: DANCE's settings have factor 2 there, and 1 on digits."""
    return build("datasets=[cifar10]", "data_root=nowhere", "dry_run=true", *words)


@pytest.mark.parametrize(
    ("words", "row", "notes"),
    [
        (["methods=[dance@f2]"], "dance", ["dance@f2 on cifar10 at ipc 1 is dance: its settings have factor 2"]),
        (["methods=[dance,dance@f2]"], "dance", ["dance@f2 on cifar10 at ipc 1 is dance: its settings have factor 2"]),
        (["methods=[dance@f1,dance]", "method.dance.factor=1"], "dance@f1",
         ["dance on cifar10 at ipc 1 is dance@f1: the command line sets factor 1"]),
        (["methods=[dance]", "method.dance.factor=1"], "dance@f1", []),
        (["methods=[dance]", "method.dance.factor=2"], "dance", []),
        (["methods=[dance]", "variants=[dance@f2]"], "dance", []),
    ],
)  # fmt: skip
def test_the_factor_of_the_preset_is_no_row_of_its_own(words: list[str], row: str, notes: list[str]) -> None:
    planned = cifar10("baselines=[]", *words)
    assert names_and_notes(planned) == ({row}, notes) and len(planned.of_kind("condense")) == 1
    plain = cifar10("baselines=[]", "methods=[dance]", f"method.dance.factor={2 if row == 'dance' else 1}")
    assert planned.by_identity.keys() == plain.by_identity.keys()


def test_one_request_names_rows_by_the_settings_of_each_dataset() -> None:
    words = ("datasets=[digits,cifar10]", "data_root=data", "dry_run=true", "baselines=[]")
    planned = build("methods=[dance@f2]", *words)
    assert [task["display"]["display_name"] for task in planned.of_kind("condense")] == ["dance@f2", "dance"]
    planned = build("methods=[dance]", "variants=[dance@f1]", *words)
    named = [(task["display"]["dataset"], task["display"]["display_name"]) for task in planned.of_kind("condense")]
    assert named == [("digits", "dance"), ("cifar10", "dance"), ("cifar10", "dance@f1")]


@pytest.mark.parametrize(
    ("words", "row"),
    [(["methods=[dance@f2]", "method.dance.factor=3"], "dance@f2"),
     (["methods=[dm,dm@f2]", "method.dm.factor=3"], "dm@f2"),
     (["methods=[random@f2]", "method.random.factor=3"], "random@f2")],
)  # fmt: skip
def test_two_factors_of_one_row_are_refused(words: list[str], row: str) -> None:
    method = row.partition("@")[0]
    with pytest.raises(BenchmarkError) as refused:
        build(*words)
    assert refused.value.what == f"{row} and method.{method}.factor=3 ask for different factors of one row"
    assert refused.value.where == f"methods=[{row}] method.{method}.factor=3"
    assert f"methods=[{row},{method}@f3]" in refused.value.next


def test_a_variant_of_the_preset_keeps_its_factor() -> None:
    planned = build("methods=[dm]", "variants=[dm@f2]", "method.dm.factor=3", "baselines=[]")
    assert names_and_notes(planned) == ({"dm@f3", "dm@f2"}, [])


@pytest.mark.parametrize("words", [["methods=[dm@f2]"], ["methods=[dm]", "method.dm.factor=2"]])
def test_a_share_of_the_iterations_is_that_of_the_name(words: list[str]) -> None:
    shares = {("dm@f2", "digits", 1, "convnet2-w4"): 0.5, ("dm", "digits", 1, "convnet2-w4"): 0.25}
    planned = build("baselines=[]", *words, shares=shares)
    assert of_row(planned, "condense", "dm@f2")["resolved"]["settings"]["iterations"] == 10_000


def test_random_mosaics_have_one_name_too() -> None:
    planned = build("methods=[random]", "method.random.factor=2")
    assert {task["display"]["display_name"]: task["display"]["role"] for task in planned.of_kind("condense")} == {
        "random@f2": "method", "random": "baseline",
    }  # fmt: skip
    assert planned.by_identity.keys() == build("methods=[random@f2]").by_identity.keys()
    assert names_and_notes(build("methods=[random@f1]")) == (
        {"random"}, ["random@f1 on digits at ipc 1 is random: its settings have factor 1"],
    )  # fmt: skip


@pytest.mark.parametrize("words", [["methods=[herding@f2]"], ["methods=[herding]", "variants=[herding@f2]"]])
def test_a_factor_of_a_method_without_one_is_refused(words: list[str]) -> None:
    with pytest.raises(BenchmarkError) as refused:
        build(*words)
    assert refused.value.what == "herding has no setting 'factor'" and "herding@f2" in refused.value.where


@pytest.mark.parametrize("setting", ["factor=2", "init=noise", "iterations=5", "augment=x", "batch_real=1"])
def test_a_setting_that_a_method_lacks_is_refused(setting: str) -> None:
    with pytest.raises(MethodError, match=f"no setting '{setting.partition('=')[0]}'"):
        build("methods=[herding]", f"method.herding.{setting}")


def test_paper_preset_compares_under_dsa_and_dance_and_scores_each_row_under_its_own() -> None:
    planned = build("preset=paper", "methods=[dm]", "baselines=[]")
    assert {row for row, _ in rows(planned)} == {"dm", "dm@f2"}
    asked = [task["resolved"] for task in planned.of_kind("evaluate")]
    found = {(a["protocol"]["name"], a["seed"], a["num_eval"]) for a in asked}
    assert found == {(protocol, seed, 5) for protocol in ("dsa", "dance", "native:dsa") for seed in range(5)}
    assert of_row(planned, "condense", "dm")["resolved"]["settings"]["iterations"] == 20_000


def test_paper_preset_also_scores_coresets_and_dc_as_their_papers_do() -> None:
    planned = build("preset=paper", "methods=[dance,dc,herding]")
    own: dict[str, set[str]] = {}
    for task in planned.of_kind("evaluate"):
        own.setdefault(task["display"]["display_name"], set()).add(task["resolved"]["protocol"]["name"])
    shared = {"dsa", "dance"}
    assert own.pop("dance") == own.pop("dance@f1", {*shared, "native:dance"}) == {*shared, "native:dance"}
    assert own.pop("whole") == {*shared, "native:dsa"}
    assert own and all(names == {*shared, "native:dc"} for names in own.values())


def test_every_task_comes_after_its_inputs_and_the_whole_set_first() -> None:
    planned = build("methods=[dance,dm@f2]", "ipcs=[2,1]", "seeds=[0,1]", "protocols=[quick,dsa]")
    seen = {"whole"}
    for task in planned.tasks:
        assert inputs_of(task) <= seen, f"{task['slug']} comes before its inputs"
        seen.add(task["identity"])
    assert [task["display"].get("display_name") == "whole" for task in planned.tasks][:3] == [True, True, False]


def test_native_is_each_methods_own_protocol_with_its_own_constants(use_dataset: Callable[[Dataset], None]) -> None:
    train = make_images(100, 1, (3, 32, 32))
    own = datasets.constants_of("cifar100")
    names = tuple(map(str, range(100)))
    use_dataset(Dataset("mine", "Mine", "cifar100", "cifar100", train, train, names, own, True, "f" * 64, "test"))
    planned = build("methods=[dance@f1,dm,random]", "protocols=[native,quick]", "baselines=[whole]")
    means = {(t["display"]["display_name"], t["resolved"]["protocol"]["name"]): tuple(t["resolved"]["dataset"]["mean"])
             for t in planned.of_kind("evaluate")}  # fmt: skip
    theirs = datasets.constants_of("cifar10").mean  # which DANCE's public code applies to CIFAR-100
    assert means == {
        ("dance@f1", "native:dance"): theirs, ("dm", "native:dsa"): own.mean, ("random", "native:dc"): own.mean,
        ("whole", "native:dsa"): own.mean,
        **{(row, "quick"): own.mean for row in ("dance@f1", "dm", "random", "whole")},
    }  # fmt: skip
    assert all(t["display"]["protocol"] == "native" for t in planned.of_kind("evaluate")
               if t["resolved"]["protocol"]["name"].startswith("native"))  # fmt: skip


def test_dc_augments_for_batch_norm_and_for_mnist_only(use_dataset: Callable[[Dataset], None]) -> None:
    def augmentations(planned: grid.Plan) -> dict[tuple[str, str], str]:
        return {(task["resolved"]["architecture"], task["display"]["protocol"]): task["resolved"]["protocol"]["augment"]
                for task in planned.of_kind("evaluate") if task["resolved"]["set"] != "whole"}  # fmt: skip

    words = ("methods=[random]", "protocols=[dc,native]", "eval_architectures=[convnet2-w4,convnet2-w4-bn]")
    norm = {("convnet2-bn-w4", name): "dc:crop_noise" for name in ("dc", "native")}
    plain = {("convnet2-w4", name): "none" for name in ("dc", "native")}
    assert augmentations(build(*words)) == norm | plain
    use_dataset(replace(datasets.load("digits", Path("data")), published_as="mnist", like="mnist"))
    assert augmentations(build(*words)) == norm | dict.fromkeys(plain, "dc:crop_scale_rotate")


def test_condensing_with_an_augmentation_for_training_is_refused_before_anything_runs() -> None:
    with pytest.raises(BenchmarkError, match="training networks only"):
        build("methods=[dm]", "method.dm.augment='dc:crop_noise'")


# --- what seeds mean, through real tasks ------------------------------------------------------------------------------


def runtime(out: Path) -> Runtime:
    return Runtime(out, Compute(torch.device("cpu"), "fp32", threads=1))


def done(task: Task, out: Path) -> dict[str, Any]:
    assert execute(task, runtime(out)).status == "done"
    record = Store(out).record(task)
    assert record and record["status"] == "ok"
    return record


def test_equal_sets_get_equal_accuracies_whatever_method_made_them(tmp_path: Path) -> None:
    planned = build("methods=[dm]", "baselines=[random]", "method.dm.iterations=1", "num_eval=2")
    sets, accuracies = [], []
    for row in ("random", "dm (iterations=1)"):
        done(condensed := of_row(planned, "condense", row), tmp_path)
        sets.append(Store(tmp_path).folder(condensed) / "synthetic.safetensors")
    assert sets[0].read_bytes() != sets[1].read_bytes()
    sets[1].write_bytes(sets[0].read_bytes())
    record = json.loads((path := sets[1].with_name("record.json")).read_text())
    digest = hashlib.sha256(sets[0].read_bytes()).hexdigest()
    path.write_text(json.dumps(changed(record, artifacts=record["artifacts"] | {sets[1].name: digest})))
    for row in ("random", "dm (iterations=1)"):
        accuracies.append(done(of_row(planned, "evaluate", row), tmp_path)["result"]["right_per_class"])
    assert accuracies[0] == accuracies[1] and accuracies[0][0] != accuracies[0][1]


@pytest.mark.parametrize(
    ("architecture", "like", "augmentation"),
    [("convnet2-w4-bn", "digits", "dc:crop_noise"), ("convnet2-w4", "mnist", "dc:crop_scale_rotate")],
)
def test_dc_scores_with_its_own_augmentation(
    architecture: str, like: str, augmentation: str, tmp_path: Path, use_dataset: Callable[[Dataset], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A whole evaluation: 1,001 steps of a tiny network, every batch augmented."""
    use_dataset(replace(datasets.load("digits", Path("data")), published_as=like))
    planned = build("methods=[random]", "baselines=[]", "protocols=[dc]", f"eval_architectures=[{architecture}]",
                    "num_eval=1")  # fmt: skip
    done(of_row(planned, "condense", "random"), tmp_path)
    asked: list[tuple[str, ...]] = []
    real = dc.augment_each
    monkeypatch.setattr(dc, "augment_each", lambda x, names, g: asked.append(tuple(names)) or real(x, names, g))
    result = done(of_row(planned, "evaluate", "random"), tmp_path)["result"]
    assert asked == [parse(augmentation).operations] * 1001
    assert len(result["accuracies"]) == 1 and 0.3 < result["accuracies"][0] < 0.95  # chance is 0.1


def test_random_at_a_seed_holds_the_images_that_dm_starts_from(tmp_path: Path) -> None:
    words = ("methods=[dm]", "baselines=[random]", "method.dm.iterations=1", "method.dm.lr_img=1e-20", "seeds=[0,3]")
    planned = build(*words)
    row = next(row for row, _ in rows(planned) if row.startswith("dm"))
    images = {}
    for name, seed in ((row, 3), ("random", 3), ("random", 0)):
        done(task := of_row(planned, "condense", name, seed), tmp_path)
        images[name, seed] = load_set(Store(tmp_path).folder(task) / "synthetic.safetensors").images
    torch.testing.assert_close(images[row, 3], images["random", 3], rtol=0, atol=1e-6)
    assert not torch.allclose(images["random", 0], images["random", 3])
