"""The problem of a condense task with blank images and untrained experts, for probing and profiling its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import ConcreteProblem, DeviceImages, TrainedExpert, choose_compile
from benchmark.datasets import Constants, Outline, Split
from benchmark.datasets.normalization import ChannelNormalizer, Normalizer, Whitener
from benchmark.datasets.splits import training_counts
from benchmark.execution.runtime import Task
from benchmark.networks.base import BlockNetwork
from benchmark.training.experts import copy_weights
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from methods import registry
from methods.base import ExpertRecipe

_NOISE = 2**22  # random bytes, repeated until all images are filled


def compute_for(compute: Compute, task: Task, outline: Outline) -> Compute:
    """A copy of `compute` that is compiled where a condense task will be, by the same rule as the task itself."""
    resolved, compute = task["resolved"], replace(compute)
    if compute.compile is None:
        config = registry.get(resolved["method"]).Config(**resolved["settings"])
        counts = training_counts(outline, resolved["val_fraction"])
        sizes = {"counts": counts, "ipc": resolved["ipc"], "image_shape": outline.image_shape}
        choose_compile(compute, _total_steps(task, outline, compute), config, **sizes)
    return compute


def _total_steps(task: Task, outline: Outline, compute: Compute) -> int:
    """The number of steps of a condense task, from its method built on as few classes as possible."""
    resolved = task["resolved"]
    method = registry.get(resolved["method"])
    if isinstance(constant := getattr(method, "total_steps", None), int):  # the class has it: selection has no steps
        return constant
    config = method.Config(**resolved["settings"])
    network = networks.build(resolved["architecture"], outline.image_shape, 2, torch.Generator())
    if method.unsupported(config, depends_on_batch=network.depends_on_batch):
        return 0
    counts = training_counts(outline, resolved["val_fraction"])[: network.smallest_batch]
    real = DeviceImages(blank_split(outline, counts), len(counts), compute.device)
    return method(dummy_problem(task, outline, real, replace(compute)), config).total_steps


def blank_split(outline: Outline, counts: Sequence[int]) -> Split:
    """Blank images, counts[c] of class c. Times do not depend on pixels, and untouched zeros take no memory."""
    images = torch.zeros(sum(counts), *outline.image_shape, dtype=torch.uint8)
    return Split(images, torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)))


def noise_split(outline: Outline) -> Split:
    """Random images, as many of each class as the dataset has for training."""
    labels = torch.arange(outline.num_classes).repeat_interleave(torch.tensor(outline.train))
    shape = torch.Size((len(labels), *outline.image_shape))
    some = torch.randint(256, (min(_NOISE, shape.numel()),), dtype=torch.uint8, generator=seeding.generator(Role.PROBE))
    return Split(some.repeat(-(-shape.numel() // len(some)))[: shape.numel()].view(shape), labels)


def dummy_problem(task: Task, outline: Outline, real: DeviceImages, compute: Compute) -> ConcreteProblem:
    """A condense task's problem with the images `real` and untrained experts."""
    resolved, classes = task["resolved"], len(real.counts)
    network = networks.build(resolved["architecture"], outline.image_shape, classes, seeding.generator(Role.SCRATCH))
    scratch = network.to(compute.device).requires_grad_(False)
    recipe = registry.get(resolved["method"]).experts(registry.get(resolved["method"]).Config(**resolved["settings"]))
    return ConcreteProblem(
        real,
        [untrained_expert(scratch, recipe)] * len(resolved["experts"]) if recipe else [],
        compute,
        normalizer_of(resolved, outline, compute),
        ipc=resolved["ipc"],
        image_shape=outline.image_shape,
        architecture=resolved["architecture"],
        flip=resolved["dataset"]["flip"],
        seed=resolved["seed"],
        fingerprint="probe",
    )


def untrained_expert(scratch: BlockNetwork, recipe: ExpertRecipe) -> TrainedExpert:
    """An expert of this recipe with made-up weights: those of the network, which grow a little with the epochs.

    They differ from epoch to epoch because a method may divide by their distance.
    """
    weights, last = copy_weights(scratch), recipe.epochs

    def read(epoch: int) -> dict[str, Tensor]:
        return {name: tensor * (1 + epoch / last) for name, tensor in weights.items()}

    return TrainedExpert(scratch, (0, *recipe.keep, last), read)


def normalizer_of(resolved: Task, outline: Outline, compute: Compute) -> Normalizer:
    """The normalization of a task's dataset; one that whitens has made-up values, as it is fitted later."""
    data, size = resolved["dataset"], math.prod(outline.image_shape)
    if data.get("whitening"):
        return Whitener(*(part.to(compute.device) for part in (torch.zeros(size), torch.ones(size), torch.eye(size))))
    return ChannelNormalizer(Constants(tuple(data["mean"]), tuple(data["std"])), compute.device)
