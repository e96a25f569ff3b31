"""Discrepancy: distance between the class means of synthetic and real images, along the training of a network.

After the DANCE paper (arXiv:2406.01063), Figure 3a. With φ a network's embedding in eval mode, no augmentation, at
step t of its training on the real images, S_c and R_c the decoded synthetic and the real images of class c:

    mean_distance(t)     = 1/C Σ_c ‖ mean φ_t(S_c) − mean φ_t(R_c) ‖²        DM's loss of a class (arXiv:2110.04181)
    relative_distance(t) = mean_distance(t) / (1/C Σ_c mean ‖ φ_t(R_c) − mean φ_t(R_c) ‖²)

The second has no unit: embeddings grow during training, and so does their spread within a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmark.analyses import base
from benchmark.analyses.base import AnalysisCost, CondensedSet, GroupAnalysis, SetGroup
from benchmark.compute.engine import Compute
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline, Split
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import SnapshotSchedule
from benchmark.execution.runtime import Outcome, Task
from benchmark.networks.base import BlockNetwork
from benchmark.training import protocols
from benchmark.utils.schedules import log_spaced
from methods import registry
from results.store.schema import WHOLE_SET, Status

NUM_POINTS = 12  # steps of the training at which distances are measured, besides the first


class DiscrepancyAnalysis(GroupAnalysis):
    """Distances of all sets of a group to the real images, in the embedding of one network.

    The network is the first that the whole set is evaluated with under the first protocol, with its training.
    """

    name = "discrepancy"
    version = 1
    figure = "distance of class means from the real ones' along the training of a network"

    def content(self, group: SetGroup, config: AnalyzeConfig) -> dict[str, Any]:
        whole = registry.resolve(
            WHOLE_SET,
            dataset=group.outline.published_as,
            ipc=None,
            preset=config.preset,
            overrides=config.method.get(WHOLE_SET),
        )
        protocol = protocols.get(
            config.protocols[0],
            native="dsa",
            published_as=group.outline.published_as,
            resolution=min(group.outline.image_shape[1:]),
            num_classes=group.outline.num_classes,
            ipc=None,
            factor=1,
            architecture=group.architecture,
        )
        return {"protocol": protocol, "whole": whole.config, "seed": group.seed}

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        num_classes = attempt.data().num_classes
        train, _ = attempt.splits()
        train = attempt.on_device(train)
        decoded = {condensed.identity: Split(*condensed.decode()[:2]) for condensed in sets}
        recipe = attempt.whole_recipe(len(train))
        training = attempt.evaluation_training(train.images, train.labels, recipe, 0)

        def measure(step: int, seconds: float) -> dict[str, Any]:
            def moments_of(split: Split) -> Moments:
                return moments(training.network, split, num_classes, attempt.compute, training.normalize)

            real = moments_of(train)
            return {"sets": {identity: distances(real, moments_of(split)) for identity, split in decoded.items()}}

        schedule = SnapshotSchedule(frozenset(log_spaced(training.total_steps, NUM_POINTS)), measure)
        run_result = attempt.run_steps(training, schedule=schedule)
        result = {
            "steps": [taken["step"] for taken in schedule.taken],
            "sets": {
                identity: {
                    key: [taken["sets"][identity][key] for taken in schedule.taken]
                    for key in ("mean_distance", "relative_distance")
                }
                for identity in decoded
            },
        }
        return attempt.commit(Status.OK, result, run_result, training.total_steps)

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        resolved = task["resolved"]
        protocol = protocols.from_resolved(resolved["protocol"])
        recipe = protocol.recipe_for_whole(num_train, resolved["whole"]["epochs"])
        embedded = num_train + sum(base.decoded_images(condense, outline.num_classes) for condense in sets)
        return AnalysisCost(recipe.steps, len(log_spaced(recipe.steps, NUM_POINTS)) * embedded, (recipe, num_train))

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        yield f"relative distance before and after {record['result']['steps'][-1]:,} steps"
        for name, distance in base.results_in_order(record, set_names):
            first, last = (distance["relative_distance"][index] for index in (0, -1))
            yield f"{name} " + " → ".join("–" if value is None else f"{value:.3g}" for value in (first, last))


@dataclass(frozen=True)
class Moments:
    """means: (C, D), float64, of each class's embeddings; spread: mean over classes of their mean squared distance."""

    means: Tensor
    spread: float


@torch.no_grad()
def moments(network: BlockNetwork, split: Split, num_classes: int, compute: Compute, normalize: Normalizer) -> Moments:
    """Moments of the embeddings of images (N, ch, H, W), uint8 or float32 pixels, at least one of every class."""
    training = network.training
    network.eval()
    sums: Tensor | None = None
    squares = torch.zeros(num_classes, dtype=torch.float64, device=compute.device)
    counts = torch.zeros(num_classes, dtype=torch.float64, device=compute.device)
    chunk = compute.images_at_once(split.images.shape)
    for images, labels in zip(split.images.split(chunk), split.labels.split(chunk), strict=True):
        labels = labels.to(compute.device)
        features = compute.embed(network, normalize(to_float(images.to(compute.device)))).double()
        sums = features.new_zeros(num_classes, features.shape[1]) if sums is None else sums
        sums.index_add_(0, labels, features)
        squares.index_add_(0, labels, features.square().sum(1))
        counts.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
    network.train(training)
    assert sums is not None
    means = sums / counts[:, None]
    spread = squares / counts - means.square().sum(1)
    return Moments(means, float(spread.clamp_min(0).mean()))


def distances(real: Moments, synthetic: Moments) -> dict[str, float | None]:
    """mean_distance and relative_distance as defined above; the latter is None if real images have no spread."""
    mean = float((synthetic.means - real.means).square().sum(1).mean())
    return {"mean_distance": mean, "relative_distance": mean / real.spread if real.spread > 0 else None}
