"""Names, neighbours, plug-ins from other packages, and the settings of the papers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from methods import registry
from methods.base import MethodError

SETTINGS = Path(registry.__file__).parent / "settings"


def test_an_unknown_method_is_named_with_its_neighbour() -> None:
    with pytest.raises(MethodError) as caught:
        registry.get("dancee")
    assert "Did you mean 'dance'?" in caught.value.what and "random" in caught.value.next


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str, source: str) -> None:
    """Install a distribution of another author: metadata with entry points, and a module."""
    meta = folder / "other-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}\n")
    (folder / "other_method.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "other_method", raising=False)


GOOD = "from methods.coreset import RandomSubset\nclass Mine(RandomSubset):\n    pass\n"


def test_another_package_joins_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, "mine = other_method:Mine", GOOD)
    assert "mine" in registry.names() and registry.get("mine").__name__ == "Mine"
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "mine.yaml").write_text(
        "paper: [{source: their paper, provenance: paper, settings: {factor: 2}}]"
    )
    resolved = registry.resolve("mine", dataset="cifar10", ipc=1, preset="paper")
    assert resolved.config.factor == 2 and resolved.origins["factor"].source == "their paper"  # type: ignore[attr-defined]


def test_a_name_claimed_twice_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, "dm = other_method:Mine", GOOD)
    with pytest.raises(MethodError, match="two methods are called 'dm'"):
        registry.names()


def test_a_broken_plug_in_harms_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, "mine = other_method:Mine", "import a_module_that_is_not_there\n")
    assert registry.get("dm").card.name == "dm"
    with pytest.raises(MethodError, match=r"'mine' does not import: ModuleNotFoundError"):
        registry.get("mine")


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


def test_settings_stand_on_top_of_each_other() -> None:
    def resolve(ipc: int, preset: str = "paper", **more: object) -> registry.Resolved:
        return registry.resolve("dm", dataset="cifar10", ipc=ipc, preset=preset, **more)  # type: ignore[arg-type]

    assert resolve(10).config.lr_img == 1.0 and resolve(500).config.lr_img == 10.0  # type: ignore[attr-defined]
    assert resolve(10).notes == () and resolve(10).provenance == "code"
    near = resolve(70)  # nearest in log scale is 50 (70/50 < 100/70)
    assert near.config.lr_img == 1.0 and "those of ipc 50 are used" in near.notes[0]  # type: ignore[attr-defined]
    assert resolve(80).config.lr_img == 10.0  # type: ignore[attr-defined]
    quick = resolve(10, "quick", fraction=0.01, overrides={"batch_real": 8})
    assert quick.config.iterations == 200 and quick.config.batch_real == 8  # type: ignore[attr-defined]
    assert quick.fraction == 0.01 and quick.provenance == "ours"
    explicit = resolve(10, "quick", fraction=0.01, overrides={"iterations": 1000})
    assert explicit.config.iterations == 1000 and explicit.fraction == 0.05  # type: ignore[attr-defined]
    # 1 and 1.0 are the same request once typed.
    assert resolve(10, overrides={"lr_img": 1}).config == resolve(10, overrides={"lr_img": 1.0}).config


def test_settings_for_another_dataset_are_marked_ours() -> None:
    resolved = registry.resolve("dm", dataset="digits", ipc=1, preset="paper")
    assert resolved.provenance == "ours" and "no published settings for digits" in resolved.notes[0]


@pytest.mark.parametrize("path", sorted(SETTINGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_value_has_a_source_and_a_field(path: Path) -> None:
    known = registry.get(path.stem).Config.__dataclass_fields__
    for preset, blocks in OmegaConf.to_container(OmegaConf.load(path)).items():  # type: ignore[union-attr]
        assert preset in ("paper", "quick")
        for block in blocks:
            assert set(block) <= {"datasets", "ipcs", "source", "provenance", "settings"}
            assert block["source"] and block["provenance"] in registry.PROVENANCES
            assert block["settings"] and set(block["settings"]) <= set(known)


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "fashionmnist"])
@pytest.mark.parametrize("ipc", [1, 10, 50])
def test_papers_settings_of_the_tables_cells(dataset: str, ipc: int) -> None:
    dance = registry.resolve("dance", dataset=dataset, ipc=ipc, preset="paper")
    config = dance.config
    expected = {"iterations": 10_000, "momentum": 0.5, "batch_real": 128, "batch_syn_max": 200, "pretrain_epochs": 60,
                "pretrain_batch": 64, "pretrain_lr": 0.01, "lr_img_per_ipc": 0.01, "alignment": "mid",
                "calibration": True, "augment": "idc:color_crop_cutout", "factor": 2, "experts": 5}  # fmt: skip
    assert {name: getattr(config, name) for name in expected} == expected
    assert not any("no published settings" in note for note in dance.notes)
    assert (dance.origins["factor"].provenance == "code") == ((dataset, ipc) == ("cifar10", 50))
    dm = registry.resolve("dm", dataset=dataset, ipc=ipc, preset="paper").config
    expected = {"iterations": 20_000, "lr_img": 1.0, "momentum": 0.5, "batch_real": 256, "init": "random", "factor": 1,
                "augment": "dsa:color_crop_cutout_flip_scale_rotate"}  # fmt: skip
    assert {name: getattr(dm, name) for name in expected} == expected
