"""What identities are made of: nothing that is at its default, so that a field which comes later orphans no result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, make_dataclass
from typing import Any

import pytest

from benchmark.planning import grid
from benchmark.planning.plan import DEFAULTS, Part
from benchmark.training import protocols
from helpers import planned
from methods import base, registry
from methods.base import ExpertRecipe
from methods.dance import DANCE, DANCEConfig
from methods.dm import DistributionMatching, DMConfig
from results.store.identity import identity

WORDS = ("methods=[dance,dm]", "ipcs=[1]", "baselines=[random,whole]", "architectures=[convnet2-w4]")


def identities() -> list[str]:
    return [task["identity"] for task in planned(*WORDS).tasks]


def grown(cls: type, name: str, default: Any) -> type:
    """The same dataclass with one more field at its end."""
    more = field(default=default, metadata={"meaning": "later", "source": "later"})
    return make_dataclass(cls.__name__, [(name, type(default), more)], bases=(cls,), frozen=True)


def grow_settings(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    registry._TYPED.clear()
    monkeypatch.setattr(DistributionMatching, "Config", grown(DMConfig, "sharpness", value))
    monkeypatch.setattr(DANCE, "Config", grown(DANCEConfig, "sharpness", value))


def grow_recipe(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    larger = grown(ExpertRecipe, "sharpness", 0.5)
    experts = DANCE.experts
    monkeypatch.setattr(
        DANCE, "experts", classmethod(lambda cls, config: larger(**asdict(experts(config)), sharpness=value))
    )


def grow_protocol(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    larger, get = grown(protocols.Protocol, "sharpness", 0.5), protocols.get
    monkeypatch.setattr(protocols, "get", lambda *a, **k: larger(**asdict(get(*a, **k)), sharpness=value))


@pytest.mark.parametrize("grow", [grow_settings, grow_recipe, grow_protocol])
def test_a_new_field_at_its_default_moves_no_identity(
    grow: Callable[[pytest.MonkeyPatch, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities()
    grow(monkeypatch, 0.5)
    tasks = planned(*WORDS).tasks
    assert [task["identity"] for task in tasks] == before
    assert any("sharpness" in str(task["resolved"]) for task in tasks), "the task says all of its settings"
    assert not any("sharpness" in str(task["spec"]) for task in tasks)


@pytest.mark.parametrize("grow", [grow_recipe, grow_protocol])
def test_a_new_field_with_another_value_moves_them(
    grow: Callable[[pytest.MonkeyPatch, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities()
    grow(monkeypatch, 0.75)
    assert len(set(identities()) - set(before)) >= 2


def test_an_identity_is_the_hash_of_the_specification() -> None:
    for task in planned(*WORDS, "val_fraction=0.1").tasks:
        assert identity(task["spec"]) == task["identity"]
        assert task["spec"]["val_fraction"] == 0.1 and "precision" not in task["spec"]
        assert task["resolved"]["precision"] == "fp32"


def test_specifications_lack_only_what_is_at_its_default() -> None:
    for task in planned(*WORDS, "precision=bf16", "expert_seed=3").tasks:
        for key, value in task["resolved"].items():
            if key in ("settings", "recipe", "protocol", "whole"):
                assert task["spec"][key].items() <= value.items()
            elif key not in DEFAULTS or value != DEFAULTS[key]:
                assert task["spec"][key] == value


def test_a_part_tells_values_from_defaults() -> None:
    @dataclass(frozen=True)
    class Recipe:
        epochs: int
        lr_milestones: tuple[float, ...] = (0.5,)
        note: str = ""

    part = Part.of(Recipe(3, note="a source"), "note")
    assert part.values == {"epochs": 3, "lr_milestones": [0.5]} and part.specified == {"epochs": 3}
    assert Part.of(Recipe(3, (0.5, 0.7))).specified == {"epochs": 3, "lr_milestones": [0.5, 0.7]}


def test_every_method_can_be_made_from_its_specification() -> None:
    """Defaults of today fill what a specification leaves out."""
    for name in registry.names():
        config = registry.get(name).Config.tiny()
        assert registry.get(name).Config(**Part.of(config).specified) == config
    assert all(spec.default is not base.field for spec in fields(ExpertRecipe)) and grid.EXPERTS_VERSION >= 1
