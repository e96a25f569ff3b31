"""Names, neighbors, plug-ins from other packages, and the settings of the papers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from methods import plug_ins, registry
from methods.base import Condenser
from methods.errors import MethodError

SETTINGS = Path(registry.__file__).parent / "settings"


def test_an_unknown_method_is_named_with_its_neighbor() -> None:
    with pytest.raises(MethodError) as caught:
        registry.get("dancee")
    assert "Did you mean 'dance'?" in caught.value.what and "random" in caught.value.next


def test_the_whole_set_is_described_and_is_no_condenser() -> None:
    assert "whole" not in registry.names() and "whole" in registry.locations()
    whole = registry.load("whole")
    assert whole.card.name == whole.card.family == "whole" and not issubclass(whole, Condenser)
    assert registry.load("dm") is registry.get("dm")
    with pytest.raises(MethodError, match="'whole' condenses nothing"):
        registry.get("whole")
    with pytest.raises(MethodError, match="epochs must be at least 1") as caught:
        registry.resolve("whole", dataset="cifar10", ipc=None, preset="paper", overrides={"epochs": 0})
    assert caught.value.where == "method.whole.epochs"
    with pytest.raises(MethodError, match=r"no method 'wholee'. Did you mean 'whole'?"):
        registry.load("wholee")


def test_settings_are_looked_up_without_loading_torch() -> None:
    looked = "from methods import registry as r; r.resolve('whole', dataset='x', ipc=1, preset='paper'); r.datasets()"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {looked}; sys.exit('torch' in sys.modules)"], check=False
    )
    assert done.returncode == 0


PlugIn = Callable[..., Path]
GOOD = "from methods.coreset import RandomSubset\nclass Mine(RandomSubset):\n    pass\n"


def test_another_package_joins_by_entry_point(plug_in: PlugIn) -> None:
    settings = "paper: [{source: their paper, provenance: paper, settings: {factor: 2}}]"
    plug_in("mine = other_method:Mine", GOOD, settings)
    assert "mine" in registry.names() and registry.get("mine").__name__ == "Mine"
    resolved = registry.resolve("mine", dataset="cifar10", ipc=1, preset="paper")
    assert resolved.config.factor == 2 and resolved.provenance["factor"].source == "their paper"


def touch_later(path: Path) -> None:
    """As if it had changed a second later: quick tests change things within one tick of a file system's clock."""
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


def test_what_is_installed_changed_or_removed_meanwhile_is_noticed(plug_in: PlugIn) -> None:
    settings = "paper: [{source: x, provenance: paper, settings: {factor: 2}}]"
    folder = plug_in("mine = other_method:Mine", GOOD, settings)
    assert registry.resolve("mine", dataset="x", ipc=1, preset="paper").config.factor == 2
    path = folder / "settings" / "mine.yaml"
    path.write_text(settings.replace("2", "3"))
    touch_later(path)
    assert registry.resolve("mine", dataset="x", ipc=1, preset="paper").config.factor == 3
    meta = folder / "other-1.0.dist-info"
    meta.rename(folder / "removed")
    touch_later(folder)
    assert "mine" not in registry.names()
    (folder / "removed").rename(meta)
    touch_later(folder)
    assert "mine" in registry.names()


def test_another_search_for_entry_points_replaces_the_cached_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "theirs" not in registry.names()
    point = EntryPoint("theirs", "methods.dm:DistributionMatching", registry.PLUG_INS.full_name)
    monkeypatch.setattr(plug_ins, "entry_points", lambda group: [point])
    assert "theirs" in registry.names() and registry.get("theirs").card.name == "dm"


def test_equal_values_of_other_types_are_not_taken_for_each_other(plug_in: PlugIn) -> None:
    config = "@dataclass(frozen=True)\nclass Words(Settings):\n    word: str = 'a'\n"
    head = "from dataclasses import dataclass\nfrom methods.base import Settings\n"
    plug_in("mine = other_method:Mine", head + config + GOOD.replace("pass", "Config = Words"))
    for value in (1, 1.0, True, 1):
        found = registry.resolve("mine", dataset="x", ipc=1, preset="paper", overrides={"word": value})
        assert found.config.word == str(value)  # type: ignore[attr-defined]


def test_two_blocks_that_borrow_from_one_ipc_say_so_once(plug_in: PlugIn) -> None:
    block = "source: x, provenance: paper, datasets: [moons]"
    blocks = [f"{{{block}, ipcs: [1], settings: {{{setting}}}}}" for setting in ("factor: 2", "downsample: area")]
    settings = f"paper: [{', '.join(blocks)}]"
    plug_in("mine = other_method:Mine", GOOD, settings)
    found = registry.resolve("mine", dataset="moons", ipc=5, preset="paper")
    assert found.notes == ("mine: no published settings for moons at ipc 5, those of ipc 1 are used",)
    assert found.config.factor == 2 and found.provenance["downsample"].kind == "ours"


def test_a_broken_plug_in_harms_nobody_else(plug_in: PlugIn) -> None:
    plug_in("mine = other_method:Mine", "import a_module_that_is_not_there\n")
    assert registry.get("dm").card.name == "dm"
    with pytest.raises(MethodError, match=r"'mine' does not import: ModuleNotFoundError"):
        registry.get("mine")


@pytest.mark.parametrize("name", ["dm", "whole"])
def test_no_plug_in_takes_a_name_of_ours(name: str, plug_in: PlugIn) -> None:
    plug_in(f"{name} = other_method:Mine", GOOD)
    with pytest.raises(MethodError, match=f"two methods are called '{name}'"):
        registry.names()


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("Mine = 3\n", "'mine' is not a methods.base.Condenser"),
        ("from methods.base import Condenser\nclass Mine(Condenser): pass\n", "'mine' has no card"),
        (
            "from dataclasses import dataclass\nfrom methods.coreset import RandomSubset\n"
            "@dataclass\nclass Plain: pass\nclass Mine(RandomSubset): Config = Plain\n",
            "'mine' has no Config that is a methods.base.Settings",
        ),
        ("raise ValueError('one\\ntwo')\n", r"'mine' does not import: ValueError: one two$"),
    ],
)
def test_a_plug_in_that_is_no_method_gets_an_error_of_one_line(source: str, what: str, plug_in: PlugIn) -> None:
    plug_in("mine = other_method:Mine", source)
    with pytest.raises(MethodError, match=what):
        registry.get("mine")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("paper: [{settings: {factor: 2}, source: x}]", "is malformed"),
        ("paper: [{settings: [factor], source: x, provenance: paper}]", "is malformed"),
        ("paper: [{settings: {factor: 2}, source: x, provenance: paper, datasets: cifar10}]", "is malformed"),
        ("paper: [nonsense]", "is malformed"),
        ("paper: [{settings: {factor: 2}, source: x, provenance: papers}]", "Did you mean 'paper'"),
        ("[1, 2]", "under the names of presets"),
        ("paper: [", "cannot be read"),
    ],
)
def test_settings_of_a_plug_in_that_are_no_settings_are_named(text: str, what: str, plug_in: PlugIn) -> None:
    plug_in("mine = other_method:Mine", GOOD, text)
    with pytest.raises(MethodError, match=what) as caught:
        registry.resolve("mine", dataset="cifar10", ipc=1, preset="paper")
    assert caught.value.where.endswith("settings/mine.yaml")


@pytest.mark.parametrize(
    ("overrides", "what", "where"),
    [
        ({"lr_imgg": 1}, "Did you mean 'lr_img'", "method.dm.lr_imgg"),
        ({"lr_img": "fast"}, "could not be converted to Float", "method.dm.lr_img"),
        ({"lr_img": -1}, "must be greater than 0", "method.dm.lr_img"),
        ({"momentum": 1.0}, "must be less than 1", "method.dm.momentum"),
        ({"iterations": 0}, "must be at least 1", "method.dm.iterations"),
        ({"init": "zeros"}, "one of random, first, noise", "method.dm.init"),
    ],
)
def test_a_wrong_setting_is_named_with_its_place(overrides: dict[str, object], what: str, where: str) -> None:
    with pytest.raises(MethodError) as caught:
        registry.resolve("dm", dataset="cifar10", ipc=1, preset="paper", overrides=overrides)
    assert what in caught.value.what and caught.value.where == where


def test_later_settings_override_earlier_ones() -> None:
    def resolve(ipc: int, preset: str = "paper", **more: object) -> registry.ResolvedSettings:
        return registry.resolve("dm", dataset="cifar10", ipc=ipc, preset=preset, **more)  # type: ignore[arg-type]

    assert resolve(10).config.lr_img == 1.0 and resolve(500).config.lr_img == 10.0  # type: ignore[attr-defined]
    assert resolve(10).notes == () and resolve(10).weakest_provenance == "code"
    near = resolve(70)  # nearest in log scale is 50 (70/50 < 100/70)
    assert near.config.lr_img == 1.0 and "those of ipc 50 are used" in near.notes[0]  # type: ignore[attr-defined]
    assert resolve(80).config.lr_img == 10.0  # type: ignore[attr-defined]
    quick = resolve(10, "quick", iterations_fraction=0.01, overrides={"batch_real": 8})
    assert quick.config.iterations == 200 and quick.config.batch_real == 8  # type: ignore[attr-defined]
    assert quick.iterations_fraction == 0.01 and quick.weakest_provenance == "ours"
    assert quick.provenance["iterations"].source.startswith("fraction 0.01 of 20000: VICO-UoE")
    assert resolve(10, iterations_fraction=0.01).provenance["iterations"].kind == "ours"  # no paper says 200
    least = resolve(10, iterations_fraction=0.001)  # 20 steps would show nothing
    assert least.config.iterations == 50 and least.iterations_fraction == 0.0025 and least.raised and not quick.raised
    assert least.notes == (
        "dm: 50 of the paper's 20,000 iterations, 0.0025 of them: fewer than 50 steps show nothing "
        "(0.001 was asked for)",
    )
    assert not resolve(10, iterations_fraction=0.001, overrides={"iterations": 20}).raised
    explicit = resolve(10, "quick", iterations_fraction=0.01, overrides={"iterations": 1000})
    assert explicit.config.iterations == 1000 and explicit.iterations_fraction == 0.05  # type: ignore[attr-defined]
    # 1 and 1.0 are the same request once typed.
    assert resolve(10, overrides={"lr_img": 1}).config == resolve(10, overrides={"lr_img": 1.0}).config


def test_settings_that_a_method_lacks_have_neutral_values() -> None:
    herding, dc, dm = (registry.get(name).Config() for name in ("herding", "dc", "dm"))
    assert (herding.iterations, herding.factor, herding.init, herding.augment) == (None, 1, "random", None)
    assert herding.batch_real == 0 and not {"factor", "init", "augment", "iterations"} & set(herding.names())
    assert dc.augment is None and "augment" not in dc.names() and (dc.iterations, dc.init) == (1000, "noise")
    assert dm.augment == "dsa:color_crop_cutout_flip_scale_rotate" and {"factor", "augment"} < set(dm.names())
    assert herding.scaled(0.1) is herding and dc.scaled(0.1).iterations == 100
    assert dc.scaled(0.01, 50).iterations == 50 and replace(dc, iterations=20).scaled(0.1, 50).iterations == 20


def test_settings_for_another_dataset_are_marked_ours() -> None:
    resolved = registry.resolve("dm", dataset="digits", ipc=1, preset="paper")
    assert resolved.weakest_provenance == "ours" and "no published settings for digits" in resolved.notes[0]


@pytest.mark.parametrize("path", sorted(SETTINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_value_has_a_source_and_a_field(path: Path) -> None:
    known = registry.load(path.stem).Config.__dataclass_fields__
    for preset, blocks in OmegaConf.to_container(OmegaConf.load(path)).items():  # type: ignore[union-attr]
        if preset == registry.SEARCH:  # tests/methods/test_search.py has it
            continue
        assert preset in ("paper", "quick")
        for block in blocks:
            assert set(block) <= {"datasets", "ipcs", "source", "provenance", "settings", "public"}
            assert set(block.get("public", {})) <= set(block["settings"])
            assert block["source"] and block["provenance"] in registry.PROVENANCES
            assert block["settings"] and set(block["settings"]) <= set(known)
