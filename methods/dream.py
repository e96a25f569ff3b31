"""DREAM: dataset distillation by representative matching (Liu et al., ICCV 2023, arXiv:2302.14416).

IDC with one change: the real images whose gradients are matched are not drawn at random but represent their class.

    every `interval` inner steps, for each class c:
        cluster the features φ_θ of all real images of c by k-means into batch_real clusters
        B_c ← the image nearest to each centroid        (the batch of the following steps)

The synthetic images start from such representatives as well, factor²·ipc of each class, in a network of random weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor

from methods.base import Card, Draw, Network, Problem, Transform, Tree, choice, setting
from methods.idc import IDC, IDCConfig
from methods.initialization import INITS, require_images
from methods.multi_formation import mosaic

LLOYD_STEPS = 100  # of k-means at most [fast_pytorch_kmeans, defaults]
TOLERANCE = 1e-4  # of the shift of the centroids [ibid.]; here relative to the variance of the features


@dataclass(frozen=True)
class DREAMConfig(IDCConfig):
    iterations: int = setting(250, "fresh networks, one after the other", "README: an eighth of IDC's 2,000")
    batch_real: int = setting(
        128, "representatives of a class, and real images a step of the network", "argument.py --batch_real"
    )
    interval: int = setting(10, "inner steps between clusterings", "argument.py --interval")
    init: str = choice("kmeans", ("kmeans", *INITS), "where the images start", "argument.py --f2_init")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("interval", least=1)

    def period(self) -> int:
        return min(self.interval, self.inner_loop)

    @classmethod
    def tiny(cls) -> Self:
        return cls(iterations=2, inner_loop=3, batch_real=4, batch_syn_max=3, train_images=6, factor=1, interval=2)


def representatives(features: Tensor, count: int, seed: int) -> Tensor:
    """The image nearest to each centroid of k-means: features (N, D), count ≤ N clusters, to indices (count,).

    Squared Euclidean distance, one start from `count` random images; an index can occur twice. Clusters that become
    empty take the image farthest from its centroid, where DREAM's code has a centroid of zeros.
    """
    from sklearn.cluster import KMeans  # takes a second to load
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    points = features.cpu().numpy()
    # Elkan's bounds skip most distances of Lloyd's steps, which end in the same clusters
    clustering = KMeans(
        count, init="random", n_init=1, max_iter=LLOYD_STEPS, tol=TOLERANCE, random_state=seed, algorithm="elkan"
    )
    with threadpool_limits(1), catch_warnings():  # several threads would add up their parts of a centroid in any order
        simplefilter("ignore", ConvergenceWarning)  # of equal images, which a class may have
        centroids = torch.from_numpy(clustering.fit(points).cluster_centers_).to(features)
    return torch.cdist(centroids, features).argmin(1).cpu()


def cluster(problem: Problem, network: Network, count: int, generator: torch.Generator, where: str) -> Tensor:
    """`representatives` of all classes: indices (C, count) into the images of each class.

    Features are those of pixels in [0, 1] that are not normalized, as in the public code. Raises MethodError, with the
    settings in `where`, if a class has fewer images.
    """
    require_images(problem, count, "k-means asks for", where)
    seeds = torch.randint(2**31, (problem.num_classes,), generator=generator).tolist()
    features = (problem.embed(network, problem.real.of_class(c)) for c in range(problem.num_classes))
    return torch.stack([representatives(of_class, count, seed) for of_class, seed in zip(features, seeds, strict=True)])


def of_classes(problem: Problem, selected: Tensor) -> Tensor:
    """The real images (C, k, ch, H, W) at indices (C, k) into each class."""
    return torch.stack([problem.real.of_class(c)[indices.to(problem.device)] for c, indices in enumerate(selected)])


class DREAM(IDC):
    card = Card("dream", "DREAM", "gradient matching", "2302.14416", "ICCV", 2023, native="idc")
    Config = DREAMConfig
    config: DREAMConfig

    def _initial_images(self, problem: Problem) -> Tensor:
        if self.config.init != "kmeans":
            return super()._initial_images(problem)
        count = problem.ipc * self.config.factor**2
        selected = cluster(problem, problem.new_network(0), count, problem.generator(Draw.CLUSTERING), "ipc and factor")
        return mosaic(of_classes(problem, selected), self.config.factor, self.config.downsample)

    def _real_batch(self, augment: Transform) -> Tensor:
        if self.done % self.config.inner_loop % self.config.interval == 0:
            generator = self.problem.generator(Draw.CLUSTERING, 1 + self.done)
            self.selected = cluster(self.problem, self.network, self.config.batch_real, generator, "batch_real")
            self.real = of_classes(self.problem, self.selected)
        return augment(self.problem.normalize(self.real))

    def state_dict(self) -> Tree:
        keeps = self.done % self.config.inner_loop % self.config.interval  # else the next step clusters
        return super().state_dict() | ({"selected": self.selected} if keeps else {})

    def load_state_dict(self, state: Tree) -> None:
        super().load_state_dict(state)
        if "selected" in state:
            self.selected = state["selected"].clone()
            self.real = of_classes(self.problem, self.selected)
