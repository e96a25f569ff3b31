"""Training: optimiser steps against a plain loop, and stopping in the middle."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.condensation.contract import make_images
from benchmark.datasets import Constants
from benchmark.datasets.normalization import ChannelNormalizer, Normalizer
from benchmark.networks.base import BlockNetwork
from benchmark.training.evaluation import Evaluation
from benchmark.training.experts import ExpertTrainings
from benchmark.training.trainer import Recipe, Training, accuracy
from benchmark.utils import seeding
from benchmark.utils.tensor_files import load_tree, save_tree
from helpers import CPU

NORMALIZE = ChannelNormalizer(Constants((0.4,), (0.2,)), CPU.device)
PLAIN = Recipe(steps=9, batch=5, lr=0.05, momentum=0.9, weight_decay=5e-4, lr_milestones=(4,), lr_gamma=0.1,
               reset_optimizer=True, augment="none", cutmix=0.0)  # fmt: skip


def make_training(recipe: Recipe, index: int = 0) -> Training:
    split = make_images(3, 4, (1, 8, 8))  # 12 images: batches of 5, 5, 2
    network = networks.build("convnet2-w8", (1, 8, 8), 3, seeding.generator("net", index))
    return Training(
        network, split.images, split.labels, recipe, CPU, NORMALIZE,
        lambda role, at: seeding.generator(role, at, index),
    )  # fmt: skip


@pytest.mark.parametrize("reset", [True, False])
def test_steps_equal_a_plain_loop_with_the_optimiser_reset_at_the_milestone(reset: bool) -> None:
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
def test_an_expert_stopped_anywhere_resumes_to_the_same_bytes(at: int, tmp_path: object) -> None:
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
