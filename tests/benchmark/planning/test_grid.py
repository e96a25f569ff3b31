"""The plan of a run: identities, shared experts, protocols, the order of tasks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark import datasets
from benchmark.condensation.contract import make_images
from benchmark.datasets import Dataset
from benchmark.planning import grid
from benchmark.planning.plan import inputs_of
from benchmark.utils.errors import BenchmarkError
from methods.dm import DistributionMatching
from plan_parts import build, of_row, rows


def identities(planned: grid.Plan, kind: str) -> set[str]:
    return {task["identity"] for task in planned.of_kind(kind)}


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
             "val_fraction=0.1", "imbalance=2", "architectures=[convnet2-w8]", "iterations_fraction=0.01"],
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


# --- protocols and order ----------------------------------------------------------------------------------------------


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
    with pytest.raises(BenchmarkError, match="no augmentation 'colour'"):
        build("methods=[herding]", "method.herding.pretrain_augment='dsa:colour'")


# --- the network of each method's own paper ---------------------------------------------------------------------------


def test_native_is_the_network_of_each_methods_paper() -> None:
    """Methods of one network share its baselines; DataDAM, whose networks have batch norm, has its own."""
    planned = build("methods=[dm,datadam]", "architectures=[native]", "baselines=[random]", "protocols=[native]")
    networks = {}
    for task in planned.of_kind("condense"):
        networks.setdefault(task["resolved"]["architecture"], set()).add(task["display"]["display_name"])
    assert networks == {"convnet3": {"dm", "random"}, "convnet3-bn": {"datadam", "random"}}
    evaluated = {task["resolved"]["architecture"] for task in planned.of_kind("evaluate")}
    assert evaluated == set(networks)
    recipes = {task["resolved"]["protocol"]["name"] for task in planned.of_kind("evaluate")}
    assert {"native:dsa", "native:datadam"} <= recipes


def test_native_names_the_networks_that_a_user_could_have_named() -> None:
    native = build("methods=[datadam]", "architectures=[native]", "baselines=[]")
    assert (
        native.by_identity.keys()
        == build("methods=[datadam]", "architectures=[convnet3-bn]", "baselines=[]").by_identity.keys()
    )
    auto = build("methods=[]", "architectures=[native]", "baselines=[random]")
    assert (
        auto.by_identity.keys() == build("methods=[]", "architectures=[auto]", "baselines=[random]").by_identity.keys()
    )
