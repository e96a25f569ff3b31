"""Weights of experts that are kept on the way: those of a training that ends there, whatever happens meanwhile."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark import networks
from benchmark.augmentation import strategies
from benchmark.condensation.contract import make_images
from benchmark.condensation.problem import TrainedExpert
from benchmark.datasets import Constants
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.estimation.estimate import estimate
from benchmark.execution.run_steps import CHECKPOINT
from benchmark.execution.stop_signals import Interrupted
from benchmark.networks.base import BlockNetwork
from benchmark.tasks.execute import execute
from benchmark.training.experts import ExpertFile, ExpertTrainings, copy_weights, expert_recipe, kept_steps
from benchmark.training.trainer import Training
from benchmark.utils import seeding
from benchmark.utils.tensor_files import load_tensors, load_tree, save_tensors
from expert_parts import WORDS, runtime, stopping, train, train_together
from helpers import CPU, planned
from methods.base import ExpertRecipe
from methods.dance import DANCE
from results.store.store import Store

# MTT's experts: plain SGD at a constant rate, one DSA operation a batch with parameters for each image, no CutMix.
DSA = "dsa:color_crop_cutout_flip_scale_rotate"
MTT = ExpertRecipe(count=2, epochs=4, batch=256, lr=0.01, momentum=0.0, weight_decay=0.0, lr_milestones=(),
                   lr_gamma=1.0, augment=DSA, cutmix=0.0, keep=(1, 3))  # fmt: skip
OPTIONS = (*WORDS, "method.dance.experts=2", "method.dance.iterations=1")
STEPS = 4 * 6  # of 1,437 digits, 256 at a time


def tasks(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> list[dict[str, Any]]:
    """The tasks of DANCE on digits with experts of this recipe."""
    recipe = replace(MTT, **changes)
    monkeypatch.setattr(DANCE, "experts", classmethod(lambda cls, config: recipe))
    return planned(*OPTIONS).tasks


def file_of(task: dict[str, Any], out: Path) -> Path:
    return Store(out).folder(task) / "experts.safetensors"


def weights(path: Path) -> dict[int, dict[str, Tensor]]:
    file = ExpertFile(path, CPU.device)
    return {epoch: file.read(epoch) for epoch in file.epochs}


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("count", [1, 2])
def test_the_recipe_of_trajectory_matching_is_plain_descent_on_augmented_batches(count: int) -> None:
    images = make_images(3, 100, (1, 8, 8))  # batches of 256 and 44
    values, normalize = asdict(MTT), ChannelNormalizer(Constants((0.4,), (0.2,)), CPU.device)
    recipe, keep = expert_recipe(values, 300), kept_steps(values, 300)
    assert keep == {2: 1, 6: 3} and recipe.steps == 8

    def new_network(name: str) -> BlockNetwork:
        return networks.build("convnet2-w4", (1, 8, 8), 3, seeding.generator("weights", name))

    def new_training(name: str) -> Training:
        draw = partial(seeding.generator, name)
        return Training(new_network(name), images.images, images.labels, recipe, CPU, normalize, draw)

    names = ["one", "two"][:count]
    work = ExpertTrainings(new_training, names, keep)
    for _ in range(8):
        work.step()
    for name in names:
        network, draw, expected = new_network(name), partial(seeding.generator, name), dict[int, dict[str, Tensor]]()
        for step in range(8):
            order = torch.randperm(300, generator=draw("order", step // 2))
            batch = order[256:] if step % 2 else order[:256]
            pixels = (images.images[batch].float() / 255 - 0.4) / 0.2
            augmented = strategies.augment_batch(pixels, strategies.parse(DSA), draw("augment", step))
            loss = F.cross_entropy(network(augmented), images.labels[batch])
            gradients = torch.autograd.grad(loss, [*network.parameters()])
            with torch.no_grad():
                for weight, gradient in zip(network.parameters(), gradients, strict=True):
                    weight -= 0.01 * gradient
            expected[step + 1] = copy_weights(network)
        parts = {"initial": copy_weights(new_network(name)), "epoch1": expected[2], "epoch3": expected[6]}
        found = work.tensors(name)
        assert {key.partition("/")[0] for key in found} == {*parts, "trained"}
        for part, weights_of_part in (parts | {"trained": expected[8]}).items():
            for key, tensor in weights_of_part.items():
                torch.testing.assert_close(found[f"{part}/{key}"], tensor, rtol=1e-4, atol=1e-5)


def test_kept_weights_are_those_of_a_training_that_ends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tasks(monkeypatch)[0]
    assert execute(kept, runtime(tmp_path, 1)).new
    found = weights(file_of(kept, tmp_path))
    assert [*found] == [0, 1, 3, 4]
    for epochs in (1, 3, 4):  # the rate is constant, so that shorter trainings have the same steps
        shorter = tasks(monkeypatch, epochs=epochs, keep=())[0]
        assert execute(shorter, runtime(tmp_path, 1)).new and shorter["identity"] != kept["identity"]
        others = weights(file_of(shorter, tmp_path))
        assert [*others] == [0, epochs] and equal(others[0], found[0]) and equal(others[epochs], found[epochs])
    assert all(tensor.dtype == torch.float32 for part in found.values() for tensor in part.values())


@pytest.mark.parametrize("num_parallel", [1, 2])
@pytest.mark.parametrize("at", [3, 6, 20])
def test_a_training_that_was_stopped_keeps_the_same_bytes(
    at: int, num_parallel: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tasks(monkeypatch)[:2]
    train_together(first, [second], runtime(tmp_path / "whole", num_parallel))
    with pytest.raises(Interrupted, match=f"after step {at} of {STEPS}"):
        execute(first, stopping(tmp_path / "out", at, num_parallel), [second])
    state = load_tree(Store(tmp_path / "out").folder(first) / CHECKPOINT)["work"]["experts"]
    assert len(state) == num_parallel
    kept = [f"epoch{epoch}" for epoch in (1, 3) if 6 * epoch <= at]
    assert all([*expert["kept"]] == kept for expert in state.values())
    train_together(first, [second], runtime(tmp_path / "out", num_parallel))
    for task in (first, second)[:num_parallel]:
        mine, whole = (file_of(task, tmp_path / out) for out in ("out", "whole"))
        assert mine.read_bytes() == whole.read_bytes()


def test_experts_that_are_trained_together_keep_what_each_would_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experts = tuple(tasks(monkeypatch)[:2])
    for num_parallel in (1, 2):
        train(tmp_path / str(num_parallel), num_parallel, experts)
    for task in experts:
        alone, together = (weights(file_of(task, tmp_path / out)) for out in "12")
        for epoch in (0, 1, 3, 4):
            for name, tensor in alone[epoch].items():
                torch.testing.assert_close(together[epoch][name], tensor, rtol=1e-3, atol=1e-4)
    assert not equal(weights(file_of(experts[0], tmp_path / "2"))[3], weights(file_of(experts[1], tmp_path / "2"))[3])


def test_an_expert_without_the_weights_that_its_method_needs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    *experts, condense, _ = tasks(monkeypatch)
    train(tmp_path, 1, tuple(experts))
    path, store = file_of(experts[1], tmp_path), Store(tmp_path)
    tensors, card = load_tensors(path)
    short = {name: tensor for name, tensor in tensors.items() if not name.startswith("epoch3/")}
    digest = save_tensors(path, short, card)
    record = store.record(experts[1])
    assert record
    (path.parent / "record.json").unlink()
    store.commit(experts[1], record | {"artifacts": {path.name: digest}})
    outcome = execute(condense, runtime(tmp_path, 1))
    assert outcome.status == "failed" and str(path.parent) in outcome.message
    assert "an expert lacks its weights after epoch 3, which dance needs" in outcome.message
    assert "Traceback" not in (store.folder(condense) / "log.txt").read_text()


def test_an_estimate_has_the_bytes_of_kept_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, *_ = tasks(monkeypatch)
    plan = planned(*OPTIONS)
    row, *_ = estimate(plan, Store(tmp_path), CPU, lambda *call: None)
    execute(task, runtime(tmp_path, 1))
    assert row.kind == "prepare" and row.tasks == 2 and row.cost.steps == STEPS
    assert abs(row.cost.disk - sum(path.stat().st_size for path in Store(tmp_path).folder(task).iterdir())) < 8000


def test_weights_are_read_when_they_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of a hundred experts with the weights of fifty epochs does not fit in memory."""
    task = tasks(monkeypatch)[0]
    execute(task, runtime(tmp_path, 1))
    file, reads = ExpertFile(file_of(task, tmp_path), CPU.device), list[int]()
    scratch = networks.build("convnet2-w4", (1, 8, 8), 10, seeding.generator("scratch")).requires_grad_(False)
    expert = TrainedExpert(scratch, file.epochs, lambda epoch: (reads.append(epoch), file.read(epoch))[1])
    assert reads == []
    third = expert.weights(3)
    assert reads == [3] and [tuple(tensor.shape) for tensor in third] == [
        tuple(parameter.shape) for parameter in scratch.parameters()
    ]
    expert.weights(3)
    assert reads == [3, 3], "nothing is kept in memory"
    for _ in range(2):
        expert.interpolate(0.5)
    assert sorted(reads[2:]) == [0, 4], "the two that every step interpolates are"
