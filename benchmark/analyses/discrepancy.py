"""Discrepancy: how far the class means of synthetic images lie from those of real ones, as a network learns.

After the DANCE paper (arXiv:2406.01063), Figure 3a. With φ a network's embedding in eval mode, no augmentation, at
step t of its training on the real images, S_c and R_c the decoded synthetic and the real images of class c:

    mean_distance(t)     = 1/C Σ_c ‖ mean φ_t(S_c) − mean φ_t(R_c) ‖²        DM's loss of a class (arXiv:2110.04181)
    relative_distance(t) = mean_distance(t) / (1/C Σ_c mean ‖ φ_t(R_c) − mean φ_t(R_c) ‖²)

The second has no unit: embeddings grow along training, and their spread within a class with them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.compute.engine import Compute
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.networks.base import BlockNetwork

LOOKS = 12  # steps of the training at which distances are taken, beside the first


@dataclass(frozen=True)
class Moments:
    """means: (C, D), float64, of each class's embeddings; spread: mean over classes of their mean squared distance."""

    means: Tensor
    spread: float


@torch.no_grad()
def moments(
    network: BlockNetwork, images: Tensor, labels: Tensor, classes: int, compute: Compute, normalize: Normalizer
) -> Moments:
    """Of (N, ch, H, W) images, uint8 or float32 pixels, of every class at least one; a chunk is embedded at a time."""
    training = network.training
    network.eval()
    sums: Tensor | None = None
    squares = torch.zeros(classes, dtype=torch.float64, device=compute.device)
    counts = torch.zeros(classes, dtype=torch.float64, device=compute.device)
    at_once = compute.at_once(images.shape)
    for some, of in zip(images.split(at_once), labels.split(at_once), strict=True):
        of = of.to(compute.device)
        features = compute.embed(network, normalize(to_float(some.to(compute.device)))).double()
        sums = features.new_zeros(classes, features.shape[1]) if sums is None else sums
        sums.index_add_(0, of, features)
        squares.index_add_(0, of, features.square().sum(1))
        counts.index_add_(0, of, torch.ones_like(of, dtype=torch.float64))
    network.train(training)
    assert sums is not None
    means = sums / counts[:, None]
    spread = squares / counts - means.square().sum(1)
    return Moments(means, float(spread.clamp_min(0).mean()))


def distances(real: Moments, synthetic: Moments) -> dict[str, float | None]:
    """mean_distance and relative_distance, as above; the latter None where real images have no spread."""
    mean = float((synthetic.means - real.means).square().sum(1).mean())
    return {"mean_distance": mean, "relative_distance": mean / real.spread if real.spread > 0 else None}
