"""The problem that a method is given: real training images, experts, networks, augmentation; no test image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from benchmark import networks
from benchmark.augmentation import strategies as augment
from benchmark.augmentation.cutmix import cutmix
from benchmark.augmentation.strategies import Strategy
from benchmark.compute.engine import Compute
from benchmark.datasets import Split
from benchmark.datasets.normalization import Normalizer, to_float
from benchmark.networks.base import BlockNetwork
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from methods.base import Expert, MethodError, Network, Settings, Transform

MOST_SIZES = 8  # of real batches in a compiled task: each is compiled anew, which takes a minute


def choose_compile(
    compute: Compute, steps: int, settings: Settings, *, counts: Sequence[int], ipc: int, image_shape: Sequence[int]
) -> None:
    """Decide whether to compile a condense task, if it is still open.

    steps: `total_steps` of the method's instance, which its settings alone do not determine. A step is assumed to
    forward the decoded synthetic images and the real batches of all classes once. counts: real images of each class.
    """
    batches = [min(settings.batch_real, count) for count in counts]
    images = steps * (len(counts) * ipc * settings.factor**2 + sum(batches))
    compute.choose_compile(images if len(set(batches)) <= MOST_SIZES else 0, image_shape)


class DeviceImages:
    """methods.base.RealImages: uint8 images in the device's memory, whose indices are drawn on the CPU."""

    def __init__(self, split: Split, num_classes: int, device: torch.device) -> None:
        self.images, self.labels = split.images.to(device), split.labels.to(device)
        self.members = [torch.nonzero(split.labels == c).flatten() for c in range(num_classes)]
        self.counts: Sequence[int] = [len(members) for members in self.members]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.take(torch.stack(self.draw(min(n, *self.counts), generator)))

    def draw(self, n: int, generator: torch.Generator) -> list[Tensor]:
        """Indices of min(n, N_c) images of each class c, uniform without replacement."""
        return [m[torch.randperm(len(m), generator=generator)[:n]] for m in self.members]

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        indices = torch.randperm(len(self.labels), generator=generator)[:n]
        return self.take(indices), self.labels[indices.to(self.labels.device, non_blocking=True)]

    def of_class(self, label: int) -> Tensor:
        return self.take(self.members[label])

    def take(self, indices: Tensor) -> Tensor:
        """The images at indices (…) as float32 pixels (…, ch, H, W) in [0, 1]."""
        return to_float(self.images[indices.to(self.images.device, non_blocking=True)])


class RealBatch:
    """methods.base.ImagesByClass: images at indices of each class, normalized and augmented whenever they are read."""

    def __init__(
        self, real: DeviceImages, indices: Sequence[Tensor], normalize: Normalizer, augment: Transform
    ) -> None:
        self.real, self.indices, self.normalize, self.augment = real, indices, normalize, augment
        self.counts: Sequence[int] = [len(of_class) for of_class in indices]
        self.image_shape: Sequence[int] = real.images.shape[1:]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, classes: slice) -> Tensor:
        if len(counts := set(self.counts[classes])) > 1:
            raise ValueError(f"these classes have {min(counts)} to {max(counts)} images: read those with one count")
        return self.augment.of(classes)(self.normalize(self.real.take(torch.stack(list(self.indices[classes])))))


class TrainedExpert:
    """methods.base.Expert: its weights, read when they are needed, and a scratch network that all experts share.

    epochs: those whose weights can be read, in order: 0, the initialization, first, and the last one trained.
    read: the parameters and running statistics after one of these epochs, by name.
    """

    def __init__(
        self, scratch: BlockNetwork, epochs: Sequence[int], read: Callable[[int], Mapping[str, Tensor]]
    ) -> None:
        self.scratch, self.epochs, self.read = scratch, epochs, read

    @cached_property
    def initial(self) -> Mapping[str, Tensor]:
        """The weights that training started from; they stay in memory."""
        return self.read(self.epochs[0])

    @cached_property
    def trained(self) -> Mapping[str, Tensor]:
        """The trained weights; they stay in memory."""
        return self.read(self.epochs[-1])

    @torch.no_grad()
    def interpolate(self, weight: float) -> Network:
        for name, parameter in self.scratch.named_parameters():
            torch.lerp(self.trained[name], self.initial[name], weight, out=parameter.data)
        for name, buffer in self.scratch.named_buffers():  # running statistics are not interpolated
            buffer.copy_(self.trained[name])
        return self.scratch

    def weights(self, epoch: int) -> list[Tensor]:
        if epoch not in self.epochs:
            kept = ", ".join(map(str, self.epochs))
            raise MethodError(f"the experts have no weights after epoch {epoch}; they have those after {kept}")
        tensors = self.read(epoch)  # not kept: a pool of a hundred experts would fill the memory
        parameters = self.scratch.named_parameters()
        return [tensors[name].to(like.device, torch.float32, copy=True) for name, like in parameters]


class ConcreteProblem:
    """methods.base.Problem, as a condense task builds it."""

    def __init__(
        self,
        real: DeviceImages,
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
        self.losses_by_class, self.embed = compute.losses_by_class, compute.embed
        self.block_features, self.train_on = compute.block_features, compute.train_on
        self.embedding_and_losses, self.class_gradients = compute.embedding_and_losses, compute.class_gradients
        self.calibrate_batchnorm, self.training_gradients = compute.calibrate_batchnorm, compute.training_gradients

    def generator(self, role: str, index: int = 0) -> torch.Generator:
        # The seed does not hash the method: with one seed, all methods start from and see the same images.
        return seeding.generator(Role.CONDENSING, self.fingerprint, self.seed, str(role), index)

    def new_network(self, index: int) -> Network:
        generator = seeding.generator(Role.MATCHING_NETWORK, self.fingerprint, self.architecture, self.seed, index)
        network = networks.build(self.architecture, self.image_shape, self.num_classes, generator)
        return network.requires_grad_(False).to(self.device)

    def real_batch(self, n: int, generator: torch.Generator, augment: Transform) -> RealBatch:
        return RealBatch(self.real, self.real.draw(n, generator), self.normalize, augment)

    def augment(self, strategy: str, generator: torch.Generator) -> Transform:
        return augment.draw_per_group(self._strategy(strategy), self.num_classes, self.image_shape, generator)

    def augment_batch(self, strategy: str, images: Tensor, generator: torch.Generator) -> Tensor:
        return augment.augment_batch(images, self._strategy(strategy), generator)

    def cutmix(
        self, images: Tensor, labels: Tensor, probability: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        if float(torch.rand((), generator=generator)) < probability:
            return cutmix(images, labels, generator)
        return images, labels, labels, 1.0

    def _strategy(self, strategy: str) -> Strategy:
        parsed = augment.parse(strategy)
        return parsed if self.flip else parsed.without("flip")
