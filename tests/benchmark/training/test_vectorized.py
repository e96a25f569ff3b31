"""Networks that learn together: each ends up as it does alone, and a stopped group goes on to the same bytes."""

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
from benchmark.datasets import Constants
from benchmark.datasets.normalization import Normalizer
from benchmark.execution.run_steps import as_begun, turn
from benchmark.training.evaluation import Evaluation
from benchmark.training.trainer import Recipe, Training
from benchmark.training.vectorized import PARALLEL_PIXELS, VectorizedTraining, expect_networks
from benchmark.utils import seeding
from benchmark.utils.tensor_files import load_tree, save_tree
from parts import CPU, make_images

SHAPE = (3, 16, 16)
RECIPE = Recipe(steps=7, batch=5, lr=0.02, momentum=0.9, weight_decay=5e-4, lr_milestones=(4,), lr_gamma=0.1, reset_optimizer=True,
                augment="none", cutmix=0.0)  # fmt: skip
MIXED = replace(RECIPE, augment="idc:color_crop_flip_scale_rotate_cutout", cutmix=0.5)
DSA = replace(RECIPE, augment="dsa:color_crop_cutout_flip_scale_rotate", reset_optimizer=False)


def learner(index: int, recipe: Recipe = MIXED, name: str = "convnet2-w8", compute: Compute = CPU) -> Training:
    """One of several networks that learn 12 images, of three classes, in batches of 5, 5 and 2."""
    split = make_images(3, 4, SHAPE)
    network = networks.build(name, SHAPE, 3, seeding.generator("network", index))
    normalize = Normalizer(Constants((0.4, 0.5, 0.3), (0.2, 0.3, 0.25)), compute.device)
    return Training(
        network, split.images, split.labels, recipe, compute, normalize,
        lambda role, at: seeding.generator(role, at, index),
    )  # fmt: skip


def evaluation(num_parallel: int, count: int = 5, name: str = "convnet2-w8") -> Evaluation:
    test, withheld = make_images(3, 20, SHAPE, seed=1), make_images(3, 2, SHAPE, seed=2)
    compute = replace(CPU, num_parallel=num_parallel)
    normalize = learner(0).normalize
    return Evaluation(lambda i: learner(i, MIXED, name, compute), count, test, withheld, compute, normalize)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("convnet2-w8", MIXED),  # instance norm, and a drop that forgets the momentum
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
def test_networks_learn_together_what_each_learns_alone(name: str, recipe: Recipe) -> None:
    num_parallel, alone = (
        VectorizedTraining([learner(i, recipe, name) for i in range(3)]),
        [learner(i, recipe, name) for i in (0, 1, 2)],
    )
    before = [parameter.clone() for parameter in num_parallel.networks[2].parameters()]
    for _ in range(5):  # a last partial batch and a drop among them; with more, roundings grow, as in resnet10
        losses = [training.step()["loss"] for training in alone]
        assert num_parallel.step()["loss"] == pytest.approx(sum(losses) / 3, rel=1e-4)
    for mine, training in zip(num_parallel.networks, alone, strict=True):
        for (key, weight), expected in zip(mine.named_parameters(), training.network.parameters(), strict=True):
            torch.testing.assert_close(
                weight, expected, rtol=1e-4, atol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
            )
    moved = [(a - b).abs().max() for a, b in zip(before, alone[2].network.parameters(), strict=True)]
    assert max(moved) > 1e-2, "the tolerance is far below what was learnt"


@pytest.mark.parametrize("strategy", [MIXED.augment, DSA.augment, "dc:crop_scale_rotate_noise", "none"])
def test_batches_augmented_in_one_go_are_those_of_each_generator(strategy: str) -> None:
    images = torch.randn(6, 5, *SHAPE, generator=seeding.generator("images"))
    parsed = strategies.parse(strategy)
    found = strategies.augment_batches(images, parsed, [seeding.generator("draw", i) for i in range(6)])
    for place, batch in enumerate(images):
        alone = strategies.augment_batch(batch, parsed, seeding.generator("draw", place))
        torch.testing.assert_close(found[place], alone, rtol=0, atol=1e-6)
    assert strategy == "none" or not torch.equal(found[0] - images[0], found[1] - images[1])


def test_batches_are_mixed_each_with_its_own_box_or_none() -> None:
    images, labels = torch.randn(4, 5, *SHAPE, generator=seeding.generator("images")), torch.arange(20).view(4, 5)
    boxes = [cutmix.draw_box(5, SHAPE[1:], seeding.generator("box", i)) for i in range(4)]
    boxes[1] = cutmix.no_box(5)
    mixed, others, kept = cutmix.cutmix_batches(images, labels, boxes)
    assert torch.equal(mixed[1], images[1]) and torch.equal(others[1], labels[1]) and kept[1] == 1.0
    for i in (0, 2, 3):
        alone = cutmix.cutmix(images[i], labels[i], seeding.generator("box", i))
        assert torch.equal(mixed[i], alone[0]) and torch.equal(others[i], alone[2]) and kept[i] == alone[3] < 1


def finished(work: Evaluation, steps: int | None = None) -> Evaluation:
    for _ in range(work.total_steps if steps is None else steps):
        work.step()
    return work


@pytest.mark.parametrize(("num_parallel", "groups"), [(1, 5), (2, 3), (3, 2), (5, 1), (9, 1)])
def test_scores_do_not_depend_on_how_many_learn_at_once(num_parallel: int, groups: int) -> None:
    work, alone = evaluation(num_parallel), evaluation(1)
    assert work.total_steps == groups * RECIPE.steps and work.steps_each == RECIPE.steps
    finished(work), finished(alone)
    assert len(work.accuracies) == len(work.validation_accuracies) == 5 and len(set(alone.accuracies)) > 2
    assert work.accuracies == pytest.approx(alone.accuracies, abs=1 / 60 + 1e-9)  # one image on the edge, at most
    assert isinstance(work.training, VectorizedTraining) == (num_parallel not in (1, 2)), (
        "the last group of five pairs is a single one"
    )


@pytest.mark.parametrize("at", [0, 3, 7, 9, 14, 18, 21])
def test_a_group_stopped_anywhere_goes_on_to_the_same_bytes(at: int, tmp_path: Path) -> None:
    whole, half, resumed = finished(evaluation(2)), finished(evaluation(2), at), evaluation(2)
    path = tmp_path / "state.safetensors"
    save_tree(path, half.state_dict())
    resumed.load_state_dict(load_tree(path))
    finished(resumed, resumed.total_steps - at)
    assert resumed.accuracies == whole.accuracies and resumed.validation_right == whole.validation_right
    for mine, theirs in zip(resumed.training.networks, whole.training.networks, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def test_a_task_goes_on_with_as_many_at_once_as_it_began_with(tmp_path: Path) -> None:
    compute = replace(CPU, num_parallel=3, stepped_down=1)
    assert describe(compute)["num_parallel"] == 3 and describe(CPU)["num_parallel"] == 1

    class Stop:
        signal, turning = 0, False

    stop, work = Stop(), evaluation(3)

    def progress(done: int, total: int, losses: dict[str, float]) -> None:
        assert total == 14
        stop.signal = done == 4

    keywords = {"seconds": 0.0, "progress": progress, "stop": stop, "checkpoint_seconds": 60.0,
                "still_ours": lambda: True, "say": lambda text: None}  # fmt: skip
    with pytest.raises(Exception, match="after step 4 of 14"):
        turn(work, tmp_path, compute, **keywords)  # type: ignore[arg-type]
    again = as_begun(tmp_path, CPU, print)
    assert again.num_parallel == 3 and again.stepped_down == 1
    elsewhere = as_begun(tmp_path, Compute(torch.device("cuda"), "fp32", 1), print)
    assert elsewhere.num_parallel == 3, "the checkpoint holds three networks, wherever it is taken up"
    old = load_tree(tmp_path / "checkpoint.safetensors")
    del old["num_parallel"]
    save_tree(tmp_path / "checkpoint.safetensors", old)
    assert as_begun(tmp_path, Compute(torch.device("cuda"), "fp32", 1), print).num_parallel == 1


# --- how many at once -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "side", "resolved", "expected"),
    [(100, 32, 20, 20), (256, 32, 20, 7), (64, 224, 5, 1), (10, 32, 5, 5), (64, 64, 20, 7), (256, 224, 5, 1)],
)  # fmt: skip
def test_a_gpu_takes_as_many_as_their_batches_allow(batch: int, side: int, resolved: int, expected: int) -> None:
    """256 × 1,024 pixels: 8 would fit, and 20 networks are then 7, 7 and 6."""
    gpu = Compute(torch.device("cuda"), "fp32", 1)
    like = learner(0).network
    expect_networks(gpu, resolved, like, batch, (3, side, side))
    assert gpu.num_parallel == expected and (expected == 1 or expected * batch * side**2 <= PARALLEL_PIXELS)
    expect_networks(gpu, 100 * resolved, like, batch, (3, side, side))
    assert gpu.num_parallel == expected, "decided once in a task"


def test_a_cpu_and_batch_norm_take_one_network_after_the_other() -> None:
    assert CPU.num_parallel == 1
    work = evaluation(3, count=2, name="convnet2-bn-w4")
    assert work.compute.num_parallel == 1 and work.total_steps == 2 * RECIPE.steps
    with pytest.raises(ValueError, match="batch norm"):
        VectorizedTraining([learner(i, RECIPE, "convnet2-bn-w4") for i in range(2)])


def test_where_memory_runs_out_at_first_fewer_learn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(COMPILER, "say", said.append)
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
    assert said == ["memory ran out: from now on 2 networks at once"]


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
        VectorizedTraining([learner(i, recipe, "convnet1-w4", c) for i in range(2)]) for c in (compiled, CPU)
    )
    said: list[str] = []
    COMPILER.begin_task(said.append)
    for _ in range(3):
        assert fast.step()["loss"] == pytest.approx(plain.step()["loss"], rel=1e-4)
    assert not said, "the whole pass is compiled"
    for name, weight in fast.weights.items():
        torch.testing.assert_close(weight, plain.weights[name], rtol=1e-4, atol=1e-4)
