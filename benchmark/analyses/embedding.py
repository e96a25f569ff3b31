"""Embedding: real and synthetic images in the embedding of one expert, projected to two dimensions.

The features before the expert's classifier, in eval mode, without augmentation, of a few images of each class. Either
t-SNE (van der Maaten and Hinton, JMLR 2008) of real and synthetic images together, on their first 50 principal
components as its authors do, with perplexity 30; or PCA, whose axes are those of the real images alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.analyses import base
from benchmark.analyses.base import AnalysisCost, CondensedSet, GroupAnalysis, SetGroup
from benchmark.compute.engine import Compute
from benchmark.config.schema import AnalyzeConfig
from benchmark.datasets import Outline
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.datasets.splits import sample_per_class
from benchmark.execution.attempt import Attempt
from benchmark.execution.runtime import Outcome, Task
from benchmark.execution.work import IndependentSteps
from benchmark.networks.base import BlockNetwork
from benchmark.utils import seeding
from benchmark.utils.errors import unknown
from benchmark.utils.seeding import Role
from results.store.schema import Status

LAYOUTS = ("tsne", "pca")
MAX_REAL, MAX_PER_SET, MAX_PER_CLASS = 1000, 500, 100  # images shown: real ones, those of each set, of a class
COMPONENTS, PERPLEXITY = 50, 30.0
_DIGITS = 6  # significant digits of a coordinate

Array = NDArray[np.float64]


class EmbeddingAnalysis(GroupAnalysis):
    """The images of all sets of one ipc, in the embedding of the group's first expert."""

    name = "embedding"
    version = 1
    figure = "real and synthetic images in two dimensions, by class"
    needs_experts = True
    by_ipc = True  # so that points do not depend on which other ipcs are condensed

    def check(self, config: AnalyzeConfig) -> None:
        """Raise BenchmarkError for an unknown layout."""
        if config.layout not in LAYOUTS:
            raise unknown("layout", config.layout, LAYOUTS, where=f"layout={config.layout}")

    def content(self, group: SetGroup, config: AnalyzeConfig) -> dict[str, Any]:
        content = group.expert_content()
        return content | {"experts": content["experts"][:1], "method": config.layout, "seed": group.seed}

    def run(self, attempt: Attempt, sets: Sequence[CondensedSet]) -> Outcome:
        (expert,) = attempt.experts()
        expert.interpolate(0.0)
        work = IndependentSteps([lambda: self._coordinates(attempt, sets, expert.scratch)])
        run_result = attempt.run_steps(work)
        (coordinates,) = work.results
        result = {"method": attempt.resolved["method"], "real": coordinates.pop("real"), "sets": coordinates}
        return attempt.commit(Status.OK, result, run_result, work.total_steps)

    def _coordinates(self, attempt: Attempt, sets: Sequence[CondensedSet], network: BlockNetwork) -> dict[str, Any]:
        """Coordinates and labels of the shown images: "real", and of the sets by their identities.

        The seeds of the draws hash the dataset's fingerprint and the condensation seed.
        """
        resolved, num_classes = attempt.resolved, attempt.data().num_classes
        values = resolved["dataset"]["fingerprint"], resolved["seed"]

        def draw(images: Tensor, labels: Tensor, most: int, role: Role) -> tuple[Tensor, list[int]]:
            count = num_per_class(most, num_classes)
            indices = sample_per_class(labels.cpu(), count, seeding.generator(role, *values))
            return images[indices.to(images.device)], labels.cpu()[indices].tolist()

        train, _ = attempt.splits()
        shown = {"real": draw(train.images, train.labels, MAX_REAL, Role.EMBEDDED_REAL)}
        for condensed in sets:
            images, labels, _ = condensed.decode()
            shown[condensed.identity] = draw(images, labels, MAX_PER_SET, Role.EMBEDDED_SET)
        embedded = {
            name: features(network, images, attempt.compute, attempt.normalizer())
            for name, (images, _) in shown.items()
        }
        seed = seeding.derive_seed(Role.EMBEDDING, *values) % 2**32
        xy = project(embedded.pop("real"), embedded, resolved["method"], seed, attempt.compute.threads)
        return {name: {"xy": rounded(xy[name]), "labels": labels} for name, (_, labels) in shown.items()}

    def cost(self, task: Task, outline: Outline, num_train: int, sets: Sequence[Task]) -> AnalysisCost:
        counts = [num_per_class(most, outline.num_classes) for most in [MAX_REAL] + len(sets) * [MAX_PER_SET]]
        return AnalysisCost(1, outline.num_classes * sum(counts), note=f"{task['resolved']['method']} not counted")

    def summary(self, record: Mapping[str, Any], set_names: Mapping[str, str]) -> Iterator[str]:
        result = record["result"]
        yield f"{result['method']} of {len(result['real']['xy']):,} real images"
        for name, points in base.results_in_order(record, set_names):
            yield f"{len(points['xy']):,} of {name}"


def num_per_class(most: int, num_classes: int) -> int:
    """How many images of each class are shown, if at most `most` are in all; at least one."""
    return max(1, min(MAX_PER_CLASS, most // num_classes))


def features(network: BlockNetwork, images: Tensor, compute: Compute, normalize: Normalizer) -> Array:
    """(N, ch, H, W) pixels, uint8 or float32, to embeddings (N, D) in eval mode."""
    training = network.training
    network.eval()
    chunks = [
        compute.embed(network, normalize(to_float(chunk.to(compute.device)))).cpu()
        for chunk in images.split(compute.images_at_once(images.shape))
    ]
    network.train(training)
    return torch.cat(chunks).double().numpy()


def project(real: Array, sets: Mapping[str, Array], layout: str, seed: int, threads: int) -> dict[str, Array]:
    """Features (N, D) of real images and of sets by name to coordinates (N, 2), under "real" and the names.

    Equal features, seed (in [0, 2³²)) and threads give equal coordinates.
    """
    from sklearn.decomposition import PCA  # both take a second to load
    from threadpoolctl import threadpool_limits

    parts = {"real": real, **sets}
    every = np.concatenate(list(parts.values()))
    with threadpool_limits(threads):
        axes = PCA(2, svd_solver="full")
        xy = axes.fit(real).transform(every) if layout == "pca" else _tsne(every, seed)
    ends = np.cumsum([len(part) for part in parts.values()])
    return dict(zip(parts, np.split(xy, ends[:-1]), strict=True))


def _tsne(points: Array, seed: int) -> Array:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    reduced = PCA(min(COMPONENTS, *points.shape), svd_solver="full").fit_transform(points)
    perplexity = min(PERPLEXITY, (len(reduced) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    xy: Array = tsne.fit_transform(reduced)
    return xy


def rounded(xy: Array) -> list[list[float]]:
    """Coordinates as JSON values, with as many digits as a figure needs."""
    return [[float(f"{value:.{_DIGITS}g}") for value in point] for point in xy]
