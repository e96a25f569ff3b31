"""The papers' settings of every cell of both tables, written out from METHODS.md (9.4 to 13.5), not from the YAML."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from methods import registry

LOW = ("fashionmnist", "cifar10", "cifar100", "tinyimagenet", "mnist", "svhn")  # Table 1, and the digit sets
HIGH = ("imagenette", "imagewoof", "imagefruit", "imagemeow", "imagesquawk", "imageyellow")  # Table 2, 128 pixels
CELLS = [(d, i) for d in LOW for i in (1, 10, 50)] + [(d, i) for d in HIGH for i in (1, 10)]

DANCE = {
    "iterations": 10_000,
    "lr_img_per_ipc": 0.01,
    "momentum": 0.5,
    "batch_real": 128,
    "batch_syn_max": 200,
    "augment": "idc:color_crop_cutout",
    "factor": 2,
    "init": "random",
    "downsample": "nearest",
    "alignment": "mid",
    "calibration": True,
    "experts": 5,
    "pretrain_epochs": 60,
    "pretrain_batch": 64,
    "pretrain_lr": 0.01,
}
AT_128 = {"lr_img_per_ipc": 0.1, "pretrain_epochs": 80, "pretrain_batch": 128}
DM = {
    "iterations": 20_000,
    "lr_img": 1.0,
    "momentum": 0.5,
    "batch_real": 256,
    "augment": "dsa:color_crop_cutout_flip_scale_rotate",
    "init": "random",
    "factor": 1,
    "downsample": "area",
}


def resolved(name: str, dataset: str, ipc: int) -> registry.ResolvedSettings:
    """The cell, of which nothing is borrowed, and each value of which has a source and a provenance."""
    found = registry.resolve(name, dataset=dataset, ipc=ipc, preset="paper")
    assert found.notes == () and found.iterations_fraction == 1.0
    assert found.provenance.keys() == asdict(found.config).keys()
    for origin in found.provenance.values():
        assert len(origin.source) > 10 and origin.kind in registry.PROVENANCES
        assert (origin.kind == "ours") == origin.source.startswith("ours: ")
    return found


def ours(found: registry.ResolvedSettings) -> set[str]:
    return {name for name, origin in found.provenance.items() if origin.kind == "ours"}


def test_the_tables_have_thirty_cells() -> None:
    assert len(CELLS) == 6 * 3 + 6 * 2 and len(set(CELLS)) == len(CELLS)


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_dance(dataset: str, ipc: int) -> None:
    found = resolved("dance", dataset, ipc)
    assert asdict(found.config) == DANCE | (AT_128 if dataset in HIGH else {})
    # The code names the factor of one cell, and starts from the first images where we draw them.
    assert ours(found) == ({"init"} if (dataset, ipc) == ("cifar10", 50) else {"init", "factor"})
    assert {origin.kind for origin in found.provenance.values()} == {"code", "ours"}


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_dm(dataset: str, ipc: int) -> None:
    found = resolved("dm", dataset, ipc)
    assert asdict(found.config) == DM
    if dataset in ("cifar10", "cifar100"):  # whose lr_img the README names
        assert ours(found) == set()
    elif dataset in ("mnist", "svhn"):  # from whose strategy the dataset takes the flip
        assert ours(found) == {"lr_img", "augment"}
    elif dataset in HIGH:  # which DM's code does not read
        assert ours(found) == DM.keys() - {"downsample"}
    else:
        assert ours(found) == {"lr_img"}


TGDD = {
    **{name: DANCE[name] for name in DANCE.keys() - {"alignment", "calibration"}},
    "alpha": 1.0,
    "epoch_interval": 7,
    "init": "first",
}
DSDM = {
    "iterations": 10_000,
    "covariance_weight": 50.0,
    "history_weight": 0.2,
    "history_start": 0.2,
    "smoothing": 0.99,
    "momentum": 0.5,
    "batch_real": 256,
    "batch_syn_max": 256,
    "augment": "idc:color_crop_cutout",
    "factor": 2,
    "init": "first",
    "downsample": "nearest",
    "experts": 10,
    "pretrain_epochs": 20,
    "pretrain_batch": 256,
    "pretrain_lr": 0.01,
}


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_tgdd(dataset: str, ipc: int) -> None:
    found = resolved("tgdd", dataset, ipc)
    assert asdict(found.config) == TGDD | (AT_128 if dataset in HIGH else {})
    assert ours(found) == {"factor"}  # its code comes without commands, and defaults to 1
    alone = registry.resolve("tgdd", dataset=dataset, ipc=ipc, preset="paper", overrides={"factor": 1})
    assert alone.weakest_provenance == "code"


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_dsdm(dataset: str, ipc: int) -> None:
    """Its argument.py has lr_img of 0.1 · ipc / 10, times the squared side over 32 pixels, 28 on MNIST."""
    side = {"mnist": 32, "fashionmnist": 28, "tinyimagenet": 64}.get(dataset, 128 if dataset in HIGH else 32)
    found = resolved("dsdm", dataset, ipc)
    of_dataset = {"lr_img_per_ipc": pytest.approx(0.01 * (side / 32) ** 2)}
    without_cutout = {"augment": "idc:color_crop"} if dataset == "mnist" else {}
    assert asdict(found.config) == DSDM | of_dataset | without_cutout
    assert ours(found) == ({"lr_img_per_ipc"} if dataset in (*HIGH, "tinyimagenet") else set())


@pytest.mark.parametrize("ipc", [100, 200, 500, 1000, 1250])
def test_dms_large_sets(ipc: int) -> None:
    assert asdict(resolved("dm", "cifar10", ipc).config) == DM | {"lr_img": 10.0}


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_random_and_whole(dataset: str, ipc: int) -> None:
    found = resolved("random", dataset, ipc)
    assert asdict(found.config) == {"factor": 1, "downsample": "area"} and found.weakest_provenance == "code"
    whole = resolved("whole", dataset, ipc)
    assert asdict(whole.config) == {"epochs": 60} and whole.weakest_provenance == "ours"
    assert registry.resolve("whole", dataset=dataset, ipc=None, preset="quick") == whole


def test_the_first_images_of_dances_public_code_can_be_asked_for() -> None:
    usual = {"dataset": "cifar10", "ipc": 50, "preset": "paper"}
    found = registry.resolve("dance", **usual, overrides={"init": "first"})  # type: ignore[arg-type]
    assert found.changed == ("init",) and found.weakest_provenance == "code"
    noise = registry.resolve("dance", **usual, overrides={"init": "noise"})  # type: ignore[arg-type]
    assert noise.provenance["init"].kind == "ours"


def test_digits_store_whole_images() -> None:
    found = registry.resolve("dance", dataset="digits", ipc=10, preset="paper")
    assert asdict(found.config) == DANCE | {"factor": 1} and found.notes == ()


def test_an_ipc_that_is_not_listed_borrows_and_says_so() -> None:
    found = registry.resolve("dance", dataset="imagenette", ipc=50, preset="paper")
    assert asdict(found.config) == DANCE | AT_128
    assert found.notes == ("dance: no published settings for imagenette at ipc 50, those of ipc 10 are used",)
    assert found.provenance["lr_img_per_ipc"].kind == "code"  # a formula in ipc
    borrowed = registry.resolve("dm", dataset="cifar10", ipc=70, preset="paper").provenance["lr_img"]
    assert borrowed.kind == "ours" and borrowed.source.startswith("of ipc 50, the nearest: VICO")


def test_no_ipc_is_near_to_none() -> None:
    found = registry.resolve("dm", dataset="cifar10", ipc=None, preset="paper")
    assert found.notes == () and found.provenance["lr_img"].source.endswith("main_DM.py defaults and README command")


# --- DC, DSA, IDM and the coresets ------------------------------------------------------------------------------------

SIX = "dsa:color_crop_cutout_flip_scale_rotate"
DC = {
    "iterations": 1000,
    "lr_img": 0.1,
    "momentum": 0.5,
    "lr_net": 0.01,
    "batch_real": 256,
    "batch_train": 256,
    "distance": "layerwise",
    "factor": 1,
    "downsample": "area",
}
LOOPS = {1: (1, 1), 10: (10, 50), 50: (50, 10)}
IDM = {
    "iterations": 20_000,
    "lr_img": 0.2,
    "momentum": 0.5,
    "batch_train": 256,
    "queue": 100,
    "augment": SIX,
    "factor": 2,
    "init": "random",
    "downsample": "area",
}
# batch_real, ce_weight, generate_interval, train_steps, accuracy_window
TABLE = {
    ("cifar10", 1): (5000, 0.5, 5, 10, 100),
    ("cifar10", 10): (256, 0.5, 30, 10, 100),
    ("cifar10", 50): (256, 0.1, 30, 10, 500),
    ("cifar100", 1): (5000, 0.5, 5, 10, 100),
    ("cifar100", 10): (256, 0.1, 30, 50, 100),
    ("cifar100", 50): (256, 0.1, 30, 40, 500),
    ("tinyimagenet", 1): (256, 0.5, 30, 10, 100),
    ("tinyimagenet", 10): (256, 0.5, 30, 10, 500),
    ("tinyimagenet", 50): (256, 0.8, 30, 50, 1000),
}


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_dc_and_dsa(dataset: str, ipc: int) -> None:
    outer, inner = LOOPS[ipc]
    for name, beside in (("dc", {"init": "noise"}), ("dsa", {"init": "random", "augment": SIX})):
        found = resolved(name, dataset, ipc)
        assert asdict(found.config) == DC | beside | {"outer_loop": outer, "inner_loop": inner}
        assert ours(found) == ({"lr_img"} if dataset in (*HIGH, "tinyimagenet") else set())


# At 128 pixels: the settings for 100 classes of ImageNet, of which these depend on the ipc (queue, accuracy_window).
IDM_AT_128 = {"batch_real": 128, "batch_train": 128, "ce_weight": 3.0, "generate_interval": 50, "train_steps": 10}
IDM_AT_128_BY_IPC = {1: (50, 200), 10: (50, 1000), 50: (100, 500)}


@pytest.mark.parametrize("ipc", IDM_AT_128_BY_IPC)
@pytest.mark.parametrize("dataset", HIGH)
def test_idm_at_128_pixels_takes_the_nearest_published_cell(dataset: str, ipc: int) -> None:
    queue, window = IDM_AT_128_BY_IPC[ipc]
    found = resolved("idm", dataset, ipc)
    assert asdict(found.config) == IDM | IDM_AT_128 | {"queue": queue, "accuracy_window": window}
    assert ours(found) == {*IDM_AT_128, "queue", "accuracy_window"} - {"train_steps"}


@pytest.mark.parametrize(("dataset", "ipc"), [cell for cell in CELLS if cell[0] not in HIGH])
def test_idm(dataset: str, ipc: int) -> None:
    names = ("batch_real", "ce_weight", "generate_interval", "train_steps", "accuracy_window")
    published = (dataset, ipc) in TABLE
    values = TABLE[(dataset, ipc) if published else ("cifar10", ipc)]
    found = resolved("idm", dataset, ipc)
    assert asdict(found.config) == IDM | dict(zip(names, values, strict=True))
    if not published:
        assert {"ce_weight", "accuracy_window"} <= ours(found)
    else:
        assert ours(found) == ({"init"} if dataset == "tinyimagenet" else set())


def test_the_step_count_that_idms_author_corrected_says_so() -> None:
    assert resolved("idm", "cifar100", 50).provenance["train_steps"].kind == "author"


@pytest.mark.parametrize(("dataset", "ipc"), CELLS)
def test_coresets(dataset: str, ipc: int) -> None:
    herding, kcenter = (resolved(name, dataset, ipc) for name in ("herding", "kcenter"))
    assert herding.config == kcenter.config and herding.weakest_provenance == "ours"
    assert asdict(herding.config) == {
        "pretrain_epochs": 60,
        "pretrain_batch": 256,
        "pretrain_lr": 0.01,
        "pretrain_augment": SIX,
    }


def test_digits_are_no_mosaics_for_idm() -> None:
    assert registry.resolve("idm", dataset="digits", ipc=10, preset="paper").config.factor == 1


@pytest.mark.parametrize(("name", "step"), [("dc", 0.01), ("dsa", 0.001)])
def test_on_digits_gradients_are_steeper(name: str, step: float) -> None:
    found = registry.resolve(name, dataset="digits", ipc=10, preset="paper")
    assert found.config.lr_img == step and ours(found) == {"lr_img"} and found.notes == ()  # type: ignore[attr-defined]


def test_public_codes_normalize_cifar100_with_the_constants_of_cifar10() -> None:
    """utils.py of MTT and CAFE; the data loaders of IDC, on which DREAM, M3D, DANCE, DSDM and TGDD build."""
    owners = {name: registry.get(name).constants("cifar100") for name in registry.names()}
    assert {name for name, owner in owners.items() if owner == "cifar10"} == {
        *("cafe", "cafe_dsa", "dance", "dream", "dsdm", "idc", "idc_i", "m3d", "mtt", "tgdd")
    }
    assert set(owners.values()) == {"cifar10", "cifar100"}
    assert {registry.get(name).constants("svhn") for name in registry.names()} == {"svhn"}
