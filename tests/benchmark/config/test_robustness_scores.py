"""`robustness_scores=true` and plain protocols: what is planned besides, and what stays as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from benchmark.config import compose as options
from benchmark.config import plain_protocols, schema
from benchmark.planning import external_sets, grid
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from external_set_files import dc_file, subset

CELL = {"native": "dsa", "published_as": "cifar10", "resolution": 32, "num_classes": 10, "ipc": 10, "factor": 2}


def build(*words: str) -> grid.Plan:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        composed = compose("run", overrides=["ipcs=[1]", "architectures=[convnet2-w4]", *words])
    return grid.build(options.parse(composed))


def evaluated(planned: grid.Plan) -> set[tuple[str, str, int]]:
    return {
        (task["display"]["display_name"], task["display"]["protocol"], task["resolved"]["seed"])
        for task in planned.of_kind("evaluate")
    }


# --- plain protocols --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["dsa", "idc", "dance", "quick", "dsa@steps", "quick@steps"])
def test_plain_is_the_same_recipe_without_augmentation_and_mixing(name: str) -> None:
    usual, plain = protocols.get(name, **CELL), protocols.get(f"{name}@plain", **CELL)
    assert plain == replace(usual, name=f"{name}@plain", augment="none", cutmix=0.0) and plain.version == usual.version
    steps = plain.recipe(100, 400)
    assert replace(steps, augment=usual.augment, cutmix=usual.cutmix) == usual.recipe(100, 400)


def test_what_augments_nothing_is_its_own_plain_variant() -> None:
    assert protocols.get("dc@plain", **CELL) == protocols.get("dc", **CELL)
    with_norm = CELL | {"architecture": "convnet3-bn"}  # there dc augments
    assert protocols.get("dc@plain", **with_norm).name == "dc@plain" != protocols.get("dc", **with_norm).name
    for words in ("protocols=[dc,dc@plain]", "protocols=[dc@plain]"):
        planned = build("methods=[dm]", words, "baselines=[]")
        assert [protocol for _, protocol, _ in evaluated(planned)] == ["dc"]


def test_native_may_be_plain_too() -> None:
    found = protocols.get("native@plain", **CELL)
    assert (found.name, found.augment, found.cutmix) == ("native:dsa@plain", "none", 0.0)


@pytest.mark.parametrize(
    "name", ["dsa@", "dsa@plane", "dsa@plain@steps", "dsa@plain@plain", "dsa@steps@steps", "@plain"]
)
def test_other_variants_are_unknown(name: str) -> None:
    with pytest.raises(BenchmarkError, match="no protocol") as caught:
        protocols.get(name, **CELL)
    assert "dsa@steps@plain" in caught.value.next


# --- robustness_scores=true -------------------------------------------------------------------------------------------

ROWS = ("methods=[dm,dance@f2]", "seeds=[0,1]", "protocols=[quick,dsa@steps,native]")


def test_every_set_is_evaluated_under_the_plain_variant_of_every_shared_protocol_besides() -> None:
    usual, scored = build(*ROWS), build(*ROWS, "robustness_scores=true")
    assert usual.by_identity.keys() < scored.by_identity.keys()  # what was stored before stands
    sets = {(row, seed) for row, protocol, seed in evaluated(usual) if row != "whole"}
    assert {row for row, _ in sets} == {"dm", "dance@f2", "random", "random@f2"} and len(sets) == 14
    assert evaluated(scored) - evaluated(usual) == {
        (row, protocol, seed) for row, seed in sets for protocol in ("quick@plain", "dsa@steps@plain")
    }
    assert {p for row, p, _ in evaluated(scored) if row == "whole"} == {"quick", "dsa@steps", "native"}


def test_plain_variants_that_were_asked_for_are_not_doubled() -> None:
    assert plain_protocols.add_plain_protocols(["dsa", "dsa@plain", "native"]) == ["dsa", "dsa@plain", "native"]
    assert plain_protocols.add_plain_protocols(["quick@plain", "idc"]) == ["quick@plain", "idc", "idc@plain"]
    asked = build("methods=[dm]", "protocols=[quick,quick@plain]", "robustness_scores=true")
    assert {p for row, p, _ in evaluated(asked) if row == "whole"} == {"quick", "quick@plain"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["baselines=[random]"], "scores need the baseline whole"),
        (["baselines=[]"], "scores need the baselines random and whole"),
        (["protocols=[native,native@plain]"], "a protocol that all sets share"),
    ],
)
def test_scores_of_which_none_could_come_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(BenchmarkError, match=said) as caught:
        build("methods=[dm]", "robustness_scores=true", *words)
    assert caught.value.where.startswith("robustness_scores=true") and caught.value.next


def test_a_set_made_elsewhere_is_scored_too(tmp_path: Path) -> None:
    path = dc_file(tmp_path / "dc.pt", [subset(0), subset(1)])
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        words = [
            f"set={path}",
            "dataset=digits",
            "pixel_scale=raw",
            "eval_architectures=[convnet2-w4]",
            "robustness_scores=true",
        ]
        composed = compose("evaluate", overrides=words)
    planned = external_sets.build(options.parse_as(schema.EvaluateConfig, composed)).plan
    found = evaluated(planned)
    assert {(p, seed) for row, p, seed in found if row == "dc"} == {
        (p, s) for p in ("quick", "quick@plain") for s in (0, 1)
    }
    assert {p for row, p, _ in found if row == "random"} == {"quick", "quick@plain"}
    assert {p for row, p, _ in found if row == "whole"} == {"quick"}
