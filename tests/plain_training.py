"""Training a network and scoring it as the public code does, eager and in fp32; to compare with."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark import networks
from benchmark.augmentation import cutmix, strategies
from benchmark.compute.engine import Compute
from benchmark.datasets import BUILTIN, Split
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.training.trainer import Recipe, Training, accuracy
from benchmark.utils import seeding
from plain_loops import CLASSES, NETWORK, SHAPE, time_and_memory

SCORED = 2_000  # images, in a piece of scoring
Steps = tuple[Callable[[], object], Callable[[], object]]  # one optimiser step, one piece of scoring


def recipe(batch: int) -> Recipe:
    """The recipe of `dsa` on so many decoded images; of an expert if batch is 64."""
    expert = batch == 64
    strategy = "idc:color_crop" if expert else "dsa:color_crop_cutout_flip_scale_rotate"
    return Recipe(10**6, batch, 0.01, 0.9, 5e-4, (), 0.1, False, strategy, 0.5 if expert else 0.0)


def images(batch: int) -> tuple[Tensor, Tensor, Split]:
    """Random images to train on, their labels, and a split to score on."""
    draw = seeding.generator("images")
    train_images = torch.rand(batch, *SHAPE, generator=draw)
    scored = torch.randint(0, 256, (SCORED, *SHAPE), generator=draw, dtype=torch.uint8)
    return train_images, torch.arange(batch) % CLASSES, Split(scored, torch.arange(SCORED) % CLASSES)


def ours(batch: int, compute: Compute) -> Steps:
    train_images, labels, test = images(batch)
    normalizer = ChannelNormalizer(BUILTIN["cifar10"].constants, compute.device)
    network = networks.build(NETWORK, SHAPE, CLASSES, seeding.generator("network"))
    draw = lambda role, at: seeding.generator(role, at)  # noqa: E731
    training = Training(network, train_images, labels, recipe(batch), compute, normalizer, draw)
    return training.step, lambda: accuracy(network, test, compute, normalizer)


def plain(batch: int) -> Steps:
    """Augmentation and CutMix are ours: the same work on both sides."""
    train_images, labels, test = images(batch)
    values, normalizer = recipe(batch), ChannelNormalizer(BUILTIN["cifar10"].constants, torch.device("cpu"))
    strategy, draw = strategies.parse(values.augment), seeding.generator("draws")
    network = networks.build(NETWORK, SHAPE, CLASSES, seeding.generator("network"))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    train_images, scored = normalizer(train_images), normalizer(test.images.float() / 255)

    def step() -> None:
        indices = torch.randperm(batch, generator=draw)
        augmented, labels_a = strategies.augment_batch(train_images[indices], strategy, draw), labels[indices]
        if values.cutmix and float(torch.rand((), generator=draw)) < values.cutmix:
            augmented, labels_a, labels_b, weight = cutmix.cutmix(augmented, labels_a, draw)
            logits = network(augmented)
            loss = weight * F.cross_entropy(logits, labels_a) + (1 - weight) * F.cross_entropy(logits, labels_b)
        else:
            loss = F.cross_entropy(network(augmented), labels_a)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()

    @torch.no_grad()
    def score() -> int:
        pieces = zip(scored.split(256), test.labels.split(256), strict=True)
        return sum(int((network(some).argmax(1) == of).sum()) for some, of in pieces)

    return step, score


def plain_seconds(batch: int, threads: int, rounds: int) -> tuple[float, float]:
    """Median seconds of a step and of scoring an image, in a process of its own, with nothing of ours in force."""
    words = [sys.executable, __file__, str(batch), str(threads), str(rounds)]
    process = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    step, score = json.loads(process.stdout)
    return step, score


if __name__ == "__main__":
    size, cores, often = map(int, sys.argv[1:])
    torch.set_num_threads(cores)
    step, score = plain(size)
    print(json.dumps([time_and_memory(step, often)[0], time_and_memory(score, often)[0] / SCORED]))
