"""Embedding: real and synthetic images as one expert sees them, laid out in two dimensions.

The features before the expert's classifier, in eval mode, without augmentation, of a few images of each class. Either
t-SNE (van der Maaten and Hinton, JMLR 2008), of real and synthetic ones together, on their first 50 principal
components as its authors do, perplexity 30; or PCA, whose axes are those of the real ones alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.compute.engine import Compute
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.networks.base import BlockNetwork

METHODS = ("tsne", "pca")
MOST_REAL, MOST_SET, MOST_OF_A_CLASS = 1000, 500, 100  # images laid out: real ones, those of each set
COMPONENTS, PERPLEXITY = 50, 30.0
_DIGITS = 6  # of a coordinate

Array = NDArray[np.float64]


def of_a_class(most: int, classes: int) -> int:
    """How many images of each class are laid out, where `most` are in all; at least one."""
    return max(1, min(MOST_OF_A_CLASS, most // classes))


def features(network: BlockNetwork, images: Tensor, compute: Compute, normalize: Normalizer) -> Array:
    """(N, ch, H, W) pixels, uint8 or float32, to (N, D)."""
    training = network.training
    network.eval()
    found = [
        compute.embed(network, normalize(to_float(some.to(compute.device)))).cpu()
        for some in images.split(compute.at_once(images.shape))
    ]
    network.train(training)
    return torch.cat(found).double().numpy()


def project(real: Array, sets: Mapping[str, Array], method: str, seed: int, threads: int) -> dict[str, Array]:
    """Features (N, D) of real images and of each set to (N, 2): "real", and the sets by their names.

    Equal features, seed and threads give equal coordinates. Seed: in [0, 2³²).
    """
    from sklearn.decomposition import PCA  # both take a second to load
    from threadpoolctl import threadpool_limits

    parts = {"real": real, **sets}
    num_parallel = np.concatenate(list(parts.values()))
    with threadpool_limits(threads):
        axes = PCA(2, svd_solver="full")
        xy = axes.fit(real).transform(num_parallel) if method == "pca" else _tsne(num_parallel, seed)
    ends = np.cumsum([len(part) for part in parts.values()])
    return dict(zip(parts, np.split(xy, ends[:-1]), strict=True))


def _tsne(num_parallel: Array, seed: int) -> Array:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    kept = PCA(min(COMPONENTS, *num_parallel.shape), svd_solver="full").fit_transform(num_parallel)
    perplexity = min(PERPLEXITY, (len(kept) - 1) / 3)
    found: Array = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(kept)
    return found


def plain(xy: Array) -> list[list[float]]:
    """Coordinates as JSON values, in so many digits as a picture needs."""
    return [[float(f"{value:.{_DIGITS}g}") for value in point] for point in xy]
