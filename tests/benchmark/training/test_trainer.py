"""Training and protocols: schedules against numbers worked out by hand, and stopping in the middle."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.datasets import Constants
from benchmark.datasets.normalization import Normalizer
from benchmark.networks.base import BlockNetwork
from benchmark.planning.plan import Part
from benchmark.training import protocols
from benchmark.training.evaluation import Evaluation
from benchmark.training.experts import ExpertTrainings
from benchmark.training.trainer import Recipe, Training, accuracy
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tree, save_tree
from parts import CPU, make_images

NORMALIZE = Normalizer(Constants((0.4,), (0.2,)), CPU.device)


def protocol(name: str, **cell: object) -> protocols.Protocol:
    known = {"native": "dsa", "published_as": "cifar10", "resolution": 32, "num_classes": 10, "ipc": 10, "factor": 1}
    return protocols.get(name, **(known | cell))  # type: ignore[arg-type]


def rates(recipe: Recipe) -> list[float]:
    """The learning rate of every step."""
    return [
        recipe.lr * recipe.lr_gamma ** sum(step >= drop for drop in recipe.lr_milestones)
        for step in range(recipe.steps)
    ]


def test_dsa_takes_1001_passes_and_drops_after_pass_501() -> None:
    recipe = protocol("dsa").recipe(100, 100)  # 100 images: one step a pass
    lr = np.array(rates(recipe))
    assert len(lr) == 1001 and (lr[:502] == 0.01).all() and np.allclose(lr[502:], 0.001)
    assert (recipe.batch, recipe.momentum, recipe.weight_decay, recipe.cutmix) == (256, 0.9, 5e-4, 0.0)
    assert recipe.reset_optimizer and recipe.augment == "dsa:color_crop_cutout_flip_scale_rotate"
    assert protocol("dsa").recipe(400, 400).steps == 2002  # two batches a pass


def test_dc_takes_301_passes_without_augmentation() -> None:
    recipe = protocol("dc", published_as="svhn").recipe(100, 100)
    lr = np.array(rates(recipe))
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
    for found in (protocol("dc", **cell), protocol("native", native="dc", factor=2, **cell)):
        recipe = found.recipe(100, 100)
        lr = np.array(rates(recipe))
        assert len(lr) == 1001 and (lr[:502] == 0.01).all() and np.allclose(lr[502:], 0.001)
        assert recipe.augment == augmentation and recipe.reset_optimizer and recipe.batch == 256
    fixed = protocol("dc@steps", **cell)
    assert fixed.recipe(100, 400).steps == 1001 and fixed.augment == augmentation
    whole = protocol("dc", **cell).recipe_for_whole(6400, 60)
    assert whole.steps == 60 * 25 and whole.lr_milestones == (30 * 25,) and whole.augment == augmentation


def test_only_dc_looks_at_the_norm() -> None:
    for name in ("dsa", "idc", "dance", "quick"):
        assert protocol(name, architecture="convnet3-bn") == protocol(name)
        assert protocol("native", native=name, architecture="convnet3-bn") == protocol("native", native=name)
    for other in ("convnet3", "resnet10-bn", "densenet121-g12-bn", "vgg11-bn"):
        assert protocol("dc", architecture=other) == protocol("dc")


def test_what_dc_asked_of_other_cells_is_what_it_was() -> None:
    """Word for word: a changed request would orphan the results that are stored for it."""
    resolved = {"name": "dc", "version": 1, "epochs": 301, "batch": 256, "lr": 0.01, "lr_milestones": [152], "lr_gamma": 0.1,
             "reset_optimizer": True, "augment": "none", "cutmix": 0.0, "momentum": 0.9, "weight_decay": 0.0005,
             "steps_fixed": False}  # fmt: skip
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
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, lr_milestones=list(lr_milestones), lr_gamma=0.2)
    expected = []
    for _ in range(epochs):
        expected += [optimizer.param_groups[0]["lr"]] * 7
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(rates(recipe), expected)
    assert (recipe.batch, recipe.cutmix, recipe.reset_optimizer) == (64, 0.5, False)


@pytest.mark.parametrize(
    ("images", "classes", "epochs"),
    [(1, 10, 3000), (10, 10, 2000), (20, 10, 1500), (90, 10, 1000), (500, 10, 500), (600, 10, 300), (10, 100, 1300)],
)
def test_large_images_take_their_epochs_from_idcs_table(images: int, classes: int, epochs: int) -> None:
    assert protocols.large_epochs(images, classes) == epochs


def test_epochs_depend_on_the_stored_ipc_and_native_on_the_decoded() -> None:
    large = {"resolution": 128, "ipc": 10}
    assert protocol("dance", factor=3, **large).epochs == protocol("dance", factor=1, **large).epochs == 2000
    assert protocol("native", native="dance", factor=3, **large).epochs == 1000  # 90 decoded images a class
    assert protocol("native", native="dance").name == "native:dance"


def test_at_steps_takes_the_factor_one_count_with_its_drops() -> None:
    plain, fixed = protocol("dance"), protocol("dance@steps")
    assert plain.recipe(100, 400).steps == 10_500
    assert fixed.recipe(100, 400).steps == plain.recipe(100, 100).steps == 3000
    assert fixed.recipe(100, 400).lr_milestones == plain.recipe(100, 100).lr_milestones
    assert fixed.name == "dance@steps"


@pytest.mark.parametrize("name", ["dsa", "dance", "quick"])
def test_the_whole_set_takes_60_epochs_with_drops_in_proportion(name: str) -> None:
    recipe, short = protocol(name).recipe_for_whole(6400, 60), protocol(name).recipe(6400, 6400)
    assert recipe.steps == 60 * -(-6400 // recipe.batch)
    assert protocol(name).recipe_for_whole(6400, 30).steps == recipe.steps / 2
    assert [d / recipe.steps for d in recipe.lr_milestones] == pytest.approx(
        [d / short.steps for d in short.lr_milestones], abs=0.01
    )


def test_an_unknown_protocol_is_named_with_its_neighbour() -> None:
    with pytest.raises(BenchmarkError, match="Did you mean 'dance'"):
        protocol("dannce")


# --- the steps themselves ---------------------------------------------------------------------------------------------

PLAIN = Recipe(steps=9, batch=5, lr=0.05, momentum=0.9, weight_decay=5e-4, lr_milestones=(4,), lr_gamma=0.1, reset_optimizer=True,
               augment="none", cutmix=0.0)  # fmt: skip


def make_training(recipe: Recipe, index: int = 0) -> Training:
    split = make_images(3, 4, (1, 8, 8))  # 12 images: batches of 5, 5, 2
    network = networks.build("convnet2-w8", (1, 8, 8), 3, seeding.generator("net", index))
    return Training(
        network, split.images, split.labels, recipe, CPU, NORMALIZE,
        lambda role, at: seeding.generator(role, at, index),
    )  # fmt: skip


@pytest.mark.parametrize("reset", [True, False])
def test_steps_equal_a_plain_loop_with_the_optimiser_made_anew_at_the_drop(reset: bool) -> None:
    recipe = Recipe(**PLAIN.__dict__ | {"reset_optimizer": reset})
    training = make_training(recipe)
    published_as = make_training(recipe)
    network, images, labels = published_as.network, published_as.images.float() / 255, published_as.labels
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    done = 0
    for epoch in range(3):
        order = torch.randperm(12, generator=seeding.generator("order", epoch, 0))
        for batch in (order[:5], order[5:10], order[10:]):
            if done == 4 and reset:
                optimizer = torch.optim.SGD(network.parameters(), lr=0.005, momentum=0.9, weight_decay=5e-4)
            if done == 4:
                optimizer.param_groups[0]["lr"] = 0.005
            optimizer.zero_grad()
            loss = F.cross_entropy(network((images[batch] - 0.4) / 0.2), labels[batch])
            loss.backward()
            optimizer.step()
            assert training.step()["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
            done += 1
    for mine, theirs in zip(training.network.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


AUGMENTED = Recipe(**PLAIN.__dict__ | {"augment": "idc:color_crop_flip_scale_rotate", "cutmix": 0.5})


def expert() -> ExpertTrainings:
    return ExpertTrainings(lambda name: make_training(AUGMENTED), ["one"])


@pytest.mark.parametrize("at", [0, 3, 4, 5, 8])
def test_an_expert_stopped_anywhere_goes_on_to_the_same_bytes(at: int, tmp_path: object) -> None:
    whole = expert()
    for _ in range(whole.total_steps):
        whole.step()
    half = expert()
    for _ in range(at):
        half.step()
    path = tmp_path / "state.safetensors"  # type: ignore[operator]
    save_tree(path, half.state_dict())
    resumed = expert()
    resumed.load_state_dict(load_tree(path))
    for _ in range(at, resumed.total_steps):
        resumed.step()
    expected, got = whole.tensors("one"), resumed.tensors("one")
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)
    assert any(name.startswith("initial/") for name in expected)


def make_evaluation() -> Evaluation:
    test, withheld = make_images(3, 5, (1, 8, 8), seed=1), make_images(3, 2, (1, 8, 8), seed=2)
    return Evaluation(lambda index: make_training(AUGMENTED, index), 3, test, withheld, CPU, NORMALIZE)


@pytest.mark.parametrize("at", [4, 9, 10, 26])
def test_an_evaluation_stopped_anywhere_scores_the_same(at: int, tmp_path: object) -> None:
    whole, half, resumed = make_evaluation(), make_evaluation(), make_evaluation()
    for _ in range(whole.total_steps):
        whole.step()
    for _ in range(at):
        half.step()
    path = tmp_path / "state.safetensors"  # type: ignore[operator]
    save_tree(path, half.state_dict())
    resumed.load_state_dict(load_tree(path))
    for _ in range(at, resumed.total_steps):
        resumed.step()
    assert resumed.accuracies == whole.accuracies and resumed.validation_right == whole.validation_right
    assert len(whole.accuracies) == len(whole.validation_accuracies) == 3


def test_each_network_is_scored_once_after_its_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []
    done = 0
    work = make_evaluation()

    def spy(network: BlockNetwork, split: object, compute: Compute, normalize: Normalizer) -> list[int]:
        if split is work.test:
            scored.append(done + 1)
        return [1, 1, 1]

    monkeypatch.setattr("benchmark.training.evaluation.right_per_class", spy)
    while done < work.total_steps:
        work.step()
        done += 1
    assert scored == [9, 18, 27]


def test_accuracy_is_a_fraction_whatever_the_chunks() -> None:
    split = make_images(3, 5, (1, 8, 8))
    network = make_training(PLAIN).network
    with torch.no_grad():
        right = (network(NORMALIZE(split.images.float() / 255)).argmax(1) == split.labels).float().mean()
    assert accuracy(network, split, CPU, NORMALIZE) == pytest.approx(float(right))
    assert network.training
