"""Vectorized training: each network ends as if trained alone, and a stopped group resumes to the same bytes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmark import networks
from benchmark.augmentation import cutmix, strategies
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.compute.environment import describe
from benchmark.condensation.contract import make_images
from benchmark.datasets import Constants
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.execution.run_steps import compute_for_resume, run_steps
from benchmark.training.evaluation import Evaluation
from benchmark.training.trainer import Recipe, Training
from benchmark.training.vectorized import PARALLEL_PIXELS, VectorizedTraining, choose_num_parallel
from benchmark.utils import seeding
from benchmark.utils.tensor_files import load_tree, save_tree
from helpers import CPU

SHAPE = (3, 16, 16)
RECIPE = Recipe(steps=7, batch=5, lr=0.02, momentum=0.9, weight_decay=5e-4, lr_milestones=(4,), lr_gamma=0.1,
                reset_optimizer=True, augment="none", cutmix=0.0)  # fmt: skip
MIXED = replace(RECIPE, augment="idc:color_crop_flip_scale_rotate_cutout", cutmix=0.5)
DSA = replace(RECIPE, augment="dsa:color_crop_cutout_flip_scale_rotate", reset_optimizer=False)


def make_training(index: int, recipe: Recipe = MIXED, name: str = "convnet2-w8", compute: Compute = CPU) -> Training:
    """Of one of several networks on 12 images of three classes, in batches of 5, 5 and 2."""
    split = make_images(3, 4, SHAPE)
    network = networks.build(name, SHAPE, 3, seeding.generator("network", index))
    normalize = ChannelNormalizer(Constants((0.4, 0.5, 0.3), (0.2, 0.3, 0.25)), compute.device)
    return Training(
        network, split.images, split.labels, recipe, compute, normalize,
        lambda role, at: seeding.generator(role, at, index),
    )  # fmt: skip


def evaluation(num_parallel: int, count: int = 5, name: str = "convnet2-w8") -> Evaluation:
    test, withheld = make_images(3, 20, SHAPE, seed=1), make_images(3, 2, SHAPE, seed=2)
    compute = replace(CPU, num_parallel=num_parallel)
    normalize = make_training(0).normalize
    return Evaluation(lambda i: make_training(i, MIXED, name, compute), count, test, withheld, compute, normalize)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("convnet2-w8", MIXED),  # instance norm, and a milestone that resets the momentum
        ("convnet2-w8", DSA),
        ("convnet2-none-w8", replace(DSA, augment="dc:crop_scale_rotate_noise")),
        ("convnet2-gn-w8-leaky-max", MIXED),
        ("convnet2-ln-w8-swish", replace(MIXED, momentum=0.0, cutmix=1.0)),
        ("convnet1-w8-nopool-sigmoid", replace(RECIPE, weight_decay=0.0)),
        ("resnet10-w4", DSA),
        ("mlp", MIXED),
        ("lenet", RECIPE),
    ],
)
def test_networks_trained_in_lockstep_equal_those_trained_alone(name: str, recipe: Recipe) -> None:
    vectorized, alone = (
        VectorizedTraining([make_training(i, recipe, name) for i in range(3)]),
        [make_training(i, recipe, name) for i in (0, 1, 2)],
    )
    before = [parameter.clone() for parameter in vectorized.networks[2].parameters()]
    for _ in range(5):  # a partial batch and a milestone among them; rounding errors grow with more, as in resnet10
        losses = [training.step()["loss"] for training in alone]
        assert vectorized.step()["loss"] == pytest.approx(sum(losses) / 3, rel=1e-4)
    for mine, training in zip(vectorized.networks, alone, strict=True):
        for (key, weight), expected in zip(mine.named_parameters(), training.network.parameters(), strict=True):
            torch.testing.assert_close(
                weight, expected, rtol=1e-4, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
            )
    moved = [(a - b).abs().max() for a, b in zip(before, alone[2].network.parameters(), strict=True)]
    assert max(moved) > 1e-2, "weights change by far more than the tolerance"


@pytest.mark.parametrize("strategy", [MIXED.augment, DSA.augment, "dc:crop_scale_rotate_noise", "none"])
def test_batches_augmented_together_equal_those_augmented_one_by_one(strategy: str) -> None:
    images = torch.randn(6, 5, *SHAPE, generator=seeding.generator("images"))
    parsed = strategies.parse(strategy)
    augmented = strategies.augment_batches(images, parsed, [seeding.generator("draw", i) for i in range(6)])
    for index, batch in enumerate(images):
        alone = strategies.augment_batch(batch, parsed, seeding.generator("draw", index))
        torch.testing.assert_close(augmented[index], alone, rtol=0, atol=1e-6)
    assert strategy == "none" or not torch.equal(augmented[0] - images[0], augmented[1] - images[1])


def test_batches_are_mixed_each_with_its_own_box_or_none() -> None:
    images, labels = torch.randn(4, 5, *SHAPE, generator=seeding.generator("images")), torch.arange(20).view(4, 5)
    boxes = [cutmix.draw_box(5, SHAPE[1:], seeding.generator("box", i)) for i in range(4)]
    boxes[1] = cutmix.no_box(5)
    mixed, partner_labels, weights = cutmix.cutmix_batches(images, labels, boxes)
    assert torch.equal(mixed[1], images[1]) and torch.equal(partner_labels[1], labels[1]) and weights[1] == 1.0
    for i in (0, 2, 3):
        alone = cutmix.cutmix(images[i], labels[i], seeding.generator("box", i))
        assert torch.equal(mixed[i], alone[0]) and torch.equal(partner_labels[i], alone[2])
        assert weights[i] == alone[3] < 1


def finished(work: Evaluation, steps: int | None = None) -> Evaluation:
    for _ in range(work.total_steps if steps is None else steps):
        work.step()
    return work


@pytest.mark.parametrize(("num_parallel", "groups"), [(1, 5), (2, 3), (3, 2), (5, 1), (9, 1)])
def test_scores_do_not_depend_on_how_many_train_at_once(num_parallel: int, groups: int) -> None:
    work, alone = evaluation(num_parallel), evaluation(1)
    assert work.total_steps == groups * RECIPE.steps and work.steps_per_network == RECIPE.steps
    finished(work), finished(alone)
    assert len(work.accuracies) == len(work.validation_accuracies) == 5 and len(set(alone.accuracies)) > 2
    assert work.accuracies == pytest.approx(alone.accuracies, abs=1 / 60 + 1e-9)  # one image on the edge, at most
    assert isinstance(work.training, VectorizedTraining) == (num_parallel not in (1, 2)), (
        "the last group of five pairs is a single one"
    )


@pytest.mark.parametrize("at", [0, 3, 7, 9, 14, 18, 21])
def test_a_group_stopped_anywhere_resumes_to_the_same_bytes(at: int, tmp_path: Path) -> None:
    whole, half, resumed = finished(evaluation(2)), finished(evaluation(2), at), evaluation(2)
    path = tmp_path / "state.safetensors"
    save_tree(path, half.state_dict())
    resumed.load_state_dict(load_tree(path))
    finished(resumed, resumed.total_steps - at)
    assert resumed.accuracies == whole.accuracies and resumed.validation_right == whole.validation_right
    for mine, theirs in zip(resumed.training.networks, whole.training.networks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_a_task_resumes_with_as_many_at_once_as_it_began_with(tmp_path: Path) -> None:
    compute = replace(CPU, num_parallel=3, stepped_down=1)
    assert describe(compute)["num_parallel"] == 3 and describe(CPU)["num_parallel"] == 1

    class Stop:
        signal, running = 0, False

    stop, work = Stop(), evaluation(3)

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        assert total == 14
        stop.signal = done == 4

    owner = {"task": "mine"}
    keywords = {"owner": owner, "seconds": 0.0, "progress": progress, "stop": stop, "checkpoint_seconds": 60.0,
                "owns_task": lambda: True, "log": lambda text: None}  # fmt: skip
    with pytest.raises(Exception, match="after step 4 of 14"):
        run_steps(work, tmp_path, compute, **keywords)  # type: ignore[arg-type]
    resumed = compute_for_resume(tmp_path, CPU, owner, print)
    assert resumed.num_parallel == 3 and resumed.stepped_down == 1
    elsewhere = compute_for_resume(tmp_path, Compute(torch.device("cuda"), "fp32", 1), owner, print)
    assert elsewhere.num_parallel == 3, "the checkpoint holds three networks, wherever it is resumed"


# --- how many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "side", "num_networks", "expected"),
    [(100, 32, 20, 20), (256, 32, 20, 7), (64, 224, 5, 1), (10, 32, 5, 5), (64, 64, 20, 7), (256, 224, 5, 1)],
)  # fmt: skip
def test_a_gpu_trains_as_many_at_once_as_batches_allow(batch: int, side: int, num_networks: int, expected: int) -> None:
    """256 × 1,024 pixels: 8 would fit, and 20 networks are then 7, 7 and 6."""
    gpu = Compute(torch.device("cuda"), "fp32", 1)
    example = make_training(0).network
    choose_num_parallel(gpu, num_networks, example, batch, (3, side, side))
    assert gpu.num_parallel == expected and (expected == 1 or expected * batch * side**2 <= PARALLEL_PIXELS)
    choose_num_parallel(gpu, 100 * num_networks, example, batch, (3, side, side))
    assert gpu.num_parallel == expected, "decided once in a task"


def test_a_cpu_and_networks_with_batch_norm_train_one_after_the_other() -> None:
    assert CPU.num_parallel == 1
    work = evaluation(3, count=2, name="convnet2-bn-w4")
    assert work.compute.num_parallel == 1 and work.total_steps == 2 * RECIPE.steps
    with pytest.raises(ValueError, match="batch norm"):
        VectorizedTraining([make_training(i, RECIPE, "convnet2-bn-w4") for i in range(2)])


def test_fewer_networks_train_at_once_if_memory_runs_out_in_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(COMPILER, "log", logged.append)
    real = Compute.parallel_gradients

    def limited(self, network, weights, images, *more):
        if len(images) > 2:
            raise torch.OutOfMemoryError("no more")
        return real(self, network, weights, images, *more)

    monkeypatch.setattr(Compute, "parallel_gradients", limited)
    work, fits = evaluation(5), finished(evaluation(2))
    assert work.total_steps == RECIPE.steps
    work.step()
    assert work.total_steps == 3 * RECIPE.steps and work.compute.num_parallel == 2 and work.compute.stepped_down == 1
    finished(work, work.total_steps - 1)
    assert work.accuracies == fits.accuracies
    assert logged == ["memory ran out: from now on 2 networks at once"]


def test_with_no_memory_for_one_network_the_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*anything: object) -> None:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(Compute, "parallel_gradients", none)
    monkeypatch.setattr(Compute, "training_loss", none)
    with pytest.raises(torch.OutOfMemoryError):
        evaluation(3).step()


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling needs g++")
def test_compiled_steps_equal_plain_ones() -> None:
    compiled = replace(CPU, compile=True)
    recipe = replace(MIXED, batch=6, steps=3)  # one shape
    fast, plain = (
        VectorizedTraining([make_training(i, recipe, "convnet1-w4", c) for i in range(2)]) for c in (compiled, CPU)
    )
    logged: list[str] = []
    COMPILER.begin_task(logged.append)
    for _ in range(3):
        assert fast.step()["loss"] == pytest.approx(plain.step()["loss"], rel=1e-4)
    assert not logged, "the whole pass is compiled"
    for name, weight in fast.weights.items():
        torch.testing.assert_close(weight, plain.weights[name], rtol=1e-4, atol=1e-4)
