"""What a method is given: real training images on the device, experts, networks, augmentation. No test image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmark import networks
from benchmark.augmentation import strategies as augment
from benchmark.augmentation.strategies import Strategy
from benchmark.compute.engine import Compute
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.networks.base import BlockNetwork
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from methods.base import Expert, Network, Settings, Transform


def expect_steps(
    compute: Compute, steps: int, settings: Settings, *, classes: int, ipc: int, image_shape: Sequence[int]
) -> None:
    """Decide whether so many condensing steps are worth compiling, unless it was said.

    steps: of a method that is built, as its settings alone do not say how many it takes. What they forward is known
    near enough: synthetic images as decoded, and real ones.
    """
    each = classes * (ipc * settings.factor**2 + settings.batch_real)
    compute.expect(steps * each, image_shape)


class RealImages:
    """methods.base.RealImages over uint8 images that stay on the device; indices are drawn on the CPU."""

    def __init__(self, split: Split, num_classes: int, device: torch.device) -> None:
        self.images, self.labels = split.images.to(device), split.labels.to(device)
        self.members = [torch.nonzero(split.labels == c).flatten() for c in range(num_classes)]
        self.counts: Sequence[int] = [len(members) for members in self.members]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.take(self.draw(n, generator))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Which images `sample` answers: indices (C, m)."""
        each = min(n, *self.counts)
        return torch.stack([m[torch.randperm(len(m), generator=generator)[:each]] for m in self.members])

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randperm(len(self.labels), generator=generator)[:n]
        return self.take(chosen), self.labels[chosen.to(self.labels.device, non_blocking=True)]

    def of_class(self, label: int) -> Tensor:
        return self.take(self.members[label])

    def take(self, index: Tensor) -> Tensor:
        """The images at indices (…), in pixels: (…, ch, H, W)."""
        return to_float(self.images[index.to(self.images.device, non_blocking=True)])


class RealBatch:
    """methods.base.ByClass: drawn real images, normalised and augmented when classes of them are asked for."""

    def __init__(self, real: RealImages, index: Tensor, normalize: Normalizer, augment: Transform) -> None:
        self.real, self.index, self.normalize, self.augment = real, index, normalize, augment
        self.shape = torch.Size((*index.shape, *real.images.shape[1:]))

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, classes: slice) -> Tensor:
        return self.augment.of(classes)(self.normalize(self.real.take(self.index[classes])))


class TrainedExpert:
    """methods.base.Expert: two sets of parameters and one scratch network, shared by all experts of a problem."""

    def __init__(self, scratch: BlockNetwork, initial: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> None:
        self.scratch, self.initial, self.trained = scratch, initial, trained

    @torch.no_grad()
    def interpolate(self, weight: float) -> Network:
        for name, parameter in self.scratch.named_parameters():
            torch.lerp(self.trained[name], self.initial[name], weight, out=parameter.data)
        for name, buffer in self.scratch.named_buffers():  # running statistics are not interpolated
            buffer.copy_(self.trained[name])
        return self.scratch


class ConcreteProblem:
    """methods.base.Problem, built by a condense task."""

    def __init__(
        self,
        real: RealImages,
        experts: Sequence[Expert],
        compute: Compute,
        normalizer: Normalizer,
        *,
        ipc: int,
        image_shape: tuple[int, int, int],
        architecture: str,
        flip: bool,
        seed: int,
        fingerprint: str,
    ) -> None:
        self.real, self.experts, self.compute, self.normalize = real, experts, compute, normalizer
        self.denormalize = normalizer.inverse
        self.ipc, self.num_classes, self.image_shape = ipc, len(real.counts), image_shape
        self.device, self.architecture, self.flip = compute.device, architecture, flip
        self.seed, self.fingerprint = seed, fingerprint
        self.mean_embedding, self.class_losses = compute.mean_embedding, compute.class_losses
        self.by_class, self.embed = compute.by_class, compute.embed
        self.embedding_and_losses, self.class_gradients = compute.embedding_and_losses, compute.class_gradients
        self.calibrate_batchnorm, self.training_gradients = compute.calibrate_batchnorm, compute.training_gradients

    def generator(self, role: str, index: int = 0) -> torch.Generator:
        # The method is no part of the seed: at one seed, all methods start from and see the same images.
        return seeding.generator(Role.CONDENSING, self.fingerprint, self.seed, str(role), index)

    def new_network(self, index: int) -> Network:
        draw = seeding.generator(Role.MATCHING_NETWORK, self.fingerprint, self.architecture, self.seed, index)
        network = networks.build(self.architecture, self.image_shape, self.num_classes, draw)
        return network.requires_grad_(False).to(self.device)

    def real_batch(self, n: int, generator: torch.Generator, augment: Transform) -> RealBatch:
        return RealBatch(self.real, self.real.draw(n, generator), self.normalize, augment)

    def augment(self, strategy: str, generator: torch.Generator) -> Transform:
        return augment.draw_per_group(self._strategy(strategy), self.num_classes, self.image_shape, generator)

    def augment_batch(self, strategy: str, images: Tensor, generator: torch.Generator) -> Tensor:
        return augment.augment_batch(images, self._strategy(strategy), generator)

    def _strategy(self, strategy: str) -> Strategy:
        parsed = augment.parse(strategy)
        return parsed if self.flip else parsed.without("flip")
