"""Protocols: their schedules against numbers worked out by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmark.datasets.builtin import BUILTIN
from benchmark.planning.plan import Part
from benchmark.training import protocols
from benchmark.training.trainer import Recipe
from benchmark.utils.errors import BenchmarkError
from results.published import compare as published


def protocol(name: str, **cell: object) -> protocols.Protocol:
    known = {"native": "dsa", "published_as": "cifar10", "resolution": 32, "num_classes": 10, "ipc": 10, "factor": 1}
    return protocols.get(name, **(known | cell))  # type: ignore[arg-type]


def learning_rates(recipe: Recipe) -> list[float]:
    """The learning rate of every step."""
    return [
        recipe.lr * recipe.lr_gamma ** sum(step >= milestone for milestone in recipe.lr_milestones)
        for step in range(recipe.steps)
    ]


def test_dsa_takes_1001_passes_and_lowers_the_rate_after_pass_501() -> None:
    recipe = protocol("dsa").recipe(100, 100)  # 100 images: one step a pass
    lr = np.array(learning_rates(recipe))
    assert len(lr) == 1001 and (lr[:502] == 0.01).all() and np.allclose(lr[502:], 0.001)
    assert (recipe.batch, recipe.momentum, recipe.weight_decay, recipe.cutmix) == (256, 0.9, 5e-4, 0.0)
    assert recipe.reset_optimizer and recipe.augment == "dsa:color_crop_cutout_flip_scale_rotate"
    assert protocol("dsa").recipe(400, 400).steps == 2002  # two batches a pass


def test_dc_takes_301_passes_without_augmentation() -> None:
    recipe = protocol("dc", published_as="svhn").recipe(100, 100)
    lr = np.array(learning_rates(recipe))
    assert len(lr) == 301 and (lr[:152] == 0.01).all() and np.allclose(lr[152:], 0.001)
    assert recipe.augment == "none"
    assert protocol("native", native="dc", factor=2, published_as="svhn").recipe(100, 100) == recipe


@pytest.mark.parametrize(
    ("cell", "augmentation"),
    [({"published_as": "mnist"}, "dc:crop_scale_rotate"), ({"architecture": "convnet3-bn"}, "dc:crop_noise"),
     ({"published_as": "mnist", "architecture": "convnet3-bn"}, "dc:crop_noise")],
)  # fmt: skip
def test_dc_takes_1001_passes_with_its_own_augmentation_on_mnist_and_for_batch_norm(
    cell: dict[str, object], augmentation: str
) -> None:
    for variant in (protocol("dc", **cell), protocol("native", native="dc", factor=2, **cell)):
        recipe = variant.recipe(100, 100)
        lr = np.array(learning_rates(recipe))
        assert len(lr) == 1001 and (lr[:502] == 0.01).all() and np.allclose(lr[502:], 0.001)
        assert recipe.augment == augmentation and recipe.reset_optimizer and recipe.batch == 256
    fixed = protocol("dc@steps", **cell)
    assert fixed.recipe(100, 400).steps == 1001 and fixed.augment == augmentation
    whole = protocol("dc", **cell).recipe_for_whole(6400, 60)
    assert whole.steps == 60 * 25 and whole.lr_milestones == (30 * 25,) and whole.augment == augmentation


def test_cafe_trains_twice_as_long_as_dc_without_augmentation_and_else_alike() -> None:
    recipe = protocol("cafe").recipe(100, 100)
    lr = np.array(learning_rates(recipe))
    assert len(lr) == 601 and (lr[:302] == 0.01).all() and np.allclose(lr[302:], 0.001)
    assert recipe.augment == "none" and recipe.reset_optimizer and recipe.batch == 256
    assert protocol("native", native="cafe").recipe(100, 100) == recipe
    for cell in ({"published_as": "mnist"}, {"architecture": "convnet3-bn"}, {"architecture": "convnet4-bn"}):
        assert protocol("cafe", **cell).recipe(100, 100) == protocol("dc", **cell).recipe(100, 100)
    assert protocol("cafe", architecture="convnet4-bn").source.startswith("ours: convnet4-bn as its ConvNetBN")


@pytest.mark.parametrize("architecture", ["convnet4-bn", "convnet3-bn-w64"])
def test_batch_norm_that_the_public_code_of_dc_does_not_know_is_said_to_be_ours(architecture: str) -> None:
    ours, public = protocol("dc", architecture=architecture), protocol("dc", architecture="convnet3-bn")
    assert ours.source.startswith(f"ours: {architecture} as its ConvNetBN") and not public.source.startswith("ours")
    assert (ours.epochs, ours.augment) == (public.epochs, public.augment)


def test_only_dc_depends_on_the_norm() -> None:
    for name in ("dsa", "idc", "dance", "quick"):
        assert protocol(name, architecture="convnet3-bn") == protocol(name)
        assert protocol("native", native=name, architecture="convnet3-bn") == protocol("native", native=name)
    for other in ("convnet3", "resnet10-bn", "densenet121-g12-bn", "vgg11-bn"):
        assert protocol("dc", architecture=other) == protocol("dc")


def test_the_values_of_dc_for_other_cells_never_change() -> None:
    """To the byte, because a changed value would give stored results another identity."""
    resolved = {"name": "dc", "version": 1, "epochs": 301, "batch": 256, "lr": 0.01, "lr_milestones": [152],
                "lr_gamma": 0.1, "reset_optimizer": True, "augment": "none", "cutmix": 0.0, "momentum": 0.9,
                "weight_decay": 0.0005, "steps_fixed": False, "lr_from_set": False, "hard_labels": False}  # fmt: skip
    for published_as in ("digits", "cifar10", "fashionmnist", "svhn"):
        assert json.dumps(Part.of(protocol("dc", published_as=published_as), "source").values) == json.dumps(resolved)
        native = protocol("native", native="dc", published_as=published_as)
        assert Part.of(native, "source").values == resolved | {"name": "native:dc"}


@pytest.mark.parametrize(
    ("name", "epochs", "lr_milestones"), [("idc", 1000, (666, 833)), ("dance", 1500, (1000, 1250))]
)
def test_idc_and_dance_follow_multisteplr(name: str, epochs: int, lr_milestones: tuple[int, int]) -> None:
    recipe = protocol(name).recipe(100, 400)  # 400 decoded images: 7 batches of 64
    assert recipe.steps == 7 * epochs and recipe.lr_milestones == (7 * lr_milestones[0], 7 * lr_milestones[1])
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.01)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=list(lr_milestones), gamma=0.2)
    expected = []
    for _ in range(epochs):
        expected += [optimizer.param_groups[0]["lr"]] * 7
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(learning_rates(recipe), expected)
    assert (recipe.batch, recipe.cutmix, recipe.reset_optimizer) == (64, 0.5, False)


@pytest.mark.parametrize(
    ("images", "classes", "epochs"),
    [(1, 10, 3000), (10, 10, 2000), (20, 10, 1500), (90, 10, 1000), (500, 10, 500), (600, 10, 300), (10, 100, 1300)],
)
def test_large_images_take_their_epochs_from_idcs_table(images: int, classes: int, epochs: int) -> None:
    assert protocol("idc", resolution=128, num_classes=classes, ipc=images).epochs == epochs


@pytest.mark.parametrize("name", ["idc", "dance"])
def test_epochs_that_the_public_code_does_not_name_are_said_to_be_ours(name: str) -> None:
    sources = {classes: protocol(name, resolution=128, num_classes=classes).source for classes in (10, 20, 100, 200)}
    assert [sources[classes].startswith("ours: ") for classes in sources] == [False, True, False, True]
    assert "2,000 epochs with 20 classes" in sources[20]
    assert not protocol(name, resolution=32, num_classes=20).source.startswith("ours")


def test_epochs_depend_on_the_stored_ipc_and_native_on_the_decoded() -> None:
    large = {"resolution": 128, "ipc": 10}
    assert protocol("dance", factor=3, **large).epochs == protocol("dance", factor=1, **large).epochs == 2000
    assert protocol("native", native="dance", factor=3, **large).epochs == 1000  # 90 decoded images a class
    assert protocol("native", native="dance").name == "native:dance"


@pytest.mark.parametrize(
    ("dataset", "ipc", "factor", "name", "cutmix", "augment"),
    [
        ("mnist", 10, 2, "idc without CutMix", 0.0, "idc:color_crop_scale_rotate"),
        ("mnist", 10, 1, "idc", 0.5, "idc:color_crop_flip_scale_rotate"),
        ("svhn", 1, 1, "idc without CutMix", 0.0, "idc:color_crop_cutout_scale_rotate"),
        ("svhn", 1, 2, "idc", 0.5, "idc:color_crop_flip_scale_rotate"),
        ("svhn", 10, 1, "idc", 0.5, "idc:color_crop_flip_scale_rotate"),
    ],
)
def test_exceptions_of_idc_hold_for_its_own_sets_alone(
    dataset: str, ipc: int, factor: int, name: str, cutmix: float, augment: str
) -> None:
    cell = {"published_as": dataset, "ipc": ipc, "factor": factor}
    own = protocol("native", native="idc", **cell)
    assert (own.name, own.cutmix, own.augment) == (f"native:{name}", cutmix, augment)
    shared = protocol("idc", **cell)
    assert (shared.name, shared.cutmix) == ("idc", 0.5)
    assert "kim2022idc" in protocols.citation(name)


def test_idc_trains_its_densenet_for_400_epochs_from_50_stored_images_on() -> None:
    def epochs(name: str, ipc: int, factor: int) -> int:
        return protocol(name, native="idc", architecture="densenet-bn", ipc=ipc, factor=factor).epochs

    assert epochs("native", 50, 2) == 400
    assert epochs("native", 49, 2) == epochs("native", 50, 1) == epochs("idc", 50, 2) == 1000


def test_at_steps_takes_the_factor_one_count_with_its_milestones() -> None:
    plain, fixed = protocol("dance"), protocol("dance@steps")
    assert plain.recipe(100, 400).steps == 10_500
    assert fixed.recipe(100, 400).steps == plain.recipe(100, 100).steps == 3000
    assert fixed.recipe(100, 400).lr_milestones == plain.recipe(100, 100).lr_milestones
    assert fixed.name == "dance@steps"


@pytest.mark.parametrize("name", ["dsa", "dance", "quick"])
def test_the_whole_set_takes_60_epochs_with_milestones_in_proportion(name: str) -> None:
    recipe, short = protocol(name).recipe_for_whole(6400, 60), protocol(name).recipe(6400, 6400)
    assert recipe.steps == 60 * -(-6400 // recipe.batch)
    assert protocol(name).recipe_for_whole(6400, 30).steps == recipe.steps / 2
    assert [d / recipe.steps for d in recipe.lr_milestones] == pytest.approx(
        [d / short.steps for d in short.lr_milestones], abs=0.01
    )


def test_an_unknown_protocol_is_named_with_the_nearest_one() -> None:
    with pytest.raises(BenchmarkError, match="Did you mean 'dance'"):
        protocol("dannce")


def test_every_published_number_has_the_epochs_of_its_own_protocol_here() -> None:
    known = [e for e in published.load() if e.protocol in protocols.names() and e.dataset in BUILTIN]
    assert len(known) > 150
    for entry in known:
        card = BUILTIN[entry.dataset]
        own = protocol(
            "native",
            native=entry.protocol,
            published_as=entry.dataset,
            resolution=card.image_shape[1],
            num_classes=card.num_classes,
            ipc=entry.ipc,
            factor=entry.factor or 2,
        )
        assert own.epochs == entry.epochs
