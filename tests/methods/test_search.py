"""Search spaces: what each method declares, and how trials are drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from methods import registry, search
from methods.errors import MethodError

PLUG_IN = """
from dataclasses import dataclass
from methods.base import Settings, setting
from methods.dm import DistributionMatching
@dataclass(frozen=True)
class MineConfig(Settings):
    iterations: int = setting(10, "steps", "ours")
    lr: float = setting(0.5, "a step", "ours")
    layers: int = setting(2, "layers", "ours")
class Mine(DistributionMatching):
    Config = MineConfig
"""


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_every_learned_method_declares_what_is_tuned_and_its_own_value_lies_inside(name: str) -> None:
    space = search.space(name)
    if registry.get(name).card.family == "coreset":
        assert registry.search_section(name)[0].read_text().count("search: {}") == 1 and space == ()
        return
    assert 3 <= len(space) <= 6 and all(dimension.source for dimension in space)
    for dataset in [*registry.datasets(name), "another"]:
        for ipc in (1, 10, 50):
            config = registry.resolve(name, dataset=dataset, ipc=ipc, preset="paper").config
            for dimension in space:
                assert dimension.contains(getattr(config, dimension.setting)), (dataset, ipc, dimension)
            for trial in range(5):  # each is a value that the method takes
                drawn = search.draw(name, config, 0, trial)
                registry.resolve(name, dataset=dataset, ipc=ipc, preset="paper", overrides=drawn)


def test_a_trial_depends_on_method_seed_and_number_alone() -> None:
    config = registry.resolve("dm", dataset="cifar10", ipc=10, preset="paper").config
    assert search.draw("dm", config, 0, 0) == {}
    first = search.draw("dm", config, 0, 1)
    assert first == {"lr_img": 0.31, "momentum": 0.401, "batch_real": 79}  # never changes
    assert first != search.draw("dm", config, 0, 2) and first != search.draw("dm", config, 1, 1)
    del first["momentum"]
    assert search.draw("dm", config, 0, 1, fixed={"momentum"}) == first
    larger = registry.resolve("dm", dataset="cifar10", ipc=10, preset="paper", overrides={"lr_img": 10}).config
    assert search.draw("dm", larger, 0, 1)["lr_img"] == pytest.approx(3.1)


def test_draws_fill_their_distributions() -> None:
    def values(kind: str, ends: tuple[object, ...], default: object) -> list[object]:
        dimension = search.Dimension("lr", kind, ends, "ours")
        return [dimension.value((k + 0.5) / 1000, default) for k in range(1000)]

    times = values("times", (0.1, 10), 2.0)
    assert min(times) == pytest.approx(0.2, rel=0.01) and max(times) == pytest.approx(20, rel=0.01)
    assert sum(value < 2.0 for value in times) in range(495, 505)  # its logarithm is uniform
    uniform = values("uniform", (0.0, 0.9), 0.5)
    assert sum(value < 0.45 for value in uniform) in range(495, 505)
    assert {*values("choice", ("a", "b", "c"), "a")} == {"a", "b", "c"}
    whole = values("times", (0.1, 2), 5)
    assert {type(value) for value in whole} == {int} and min(whole) == 1 and max(whole) == 10


def settings(entry: str) -> str:
    return "paper:\n  - {source: ours, provenance: ours, settings: {lr: 0.5}}\nsearch:\n  " + entry


def test_another_package_declares_its_space_alike(plug_in: Callable[..., Path]) -> None:
    entry = "lr: {times: [0.1, 10], source: ours}\n  layers: {choice: [1, 2, 3], source: ours}"
    plug_in("mine = other_method:Mine", PLUG_IN, settings(entry))
    assert [dimension.setting for dimension in search.space("mine")] == ["lr", "layers"]
    config = registry.resolve("mine", dataset="cifar10", ipc=1, preset="paper").config
    assert search.draw("mine", config, 0, 1)["layers"] in (1, 2, 3)


@pytest.mark.parametrize(
    ("entry", "word"),
    [
        ("lrr: {times: [0.1, 10], source: ours}", "no setting 'lrr'. Did you mean 'lr'?"),
        ("lr: {times: [0.1, 10]}", "needs one distribution and a source"),
        ("lr: {times: [0.1, 10], uniform: [0, 1], source: ours}", "needs one distribution"),
        ("lr: {times: [10, 0.1], source: ours}", "is no distribution"),
        ("lr: {loguniform: [0, 1], source: ours}", "is no distribution"),
        ("lr: {choice: [1], source: ours}", "is no distribution"),
        ("lr: 5", "needs one distribution"),
    ],
)
def test_a_wrong_space_is_refused(entry: str, word: str, plug_in: Callable[..., Path]) -> None:
    plug_in("mine = other_method:Mine", PLUG_IN, settings(entry))
    with pytest.raises(MethodError) as caught:
        search.space("mine")
    assert word in caught.value.what and "settings/mine.yaml, search" in caught.value.where
