"""Scoring arrays from Python, with the numbers of `python -m benchmark.evaluate` and without a store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark import datasets, networks
from benchmark.compute.engine import Compute, choose_compute
from benchmark.condensation.synthetic_set import learned_lr, training_pairs
from benchmark.config.plain_protocols import is_native
from benchmark.datasets import Dataset
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.external_sets.validate import mean_ipc, validate_set
from benchmark.networks.base import BlockNetwork
from benchmark.training import protocols
from benchmark.training.evaluation import Evaluation, seed_values
from benchmark.training.trainer import Training, seeded_training
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role
from methods.base import SyntheticSet
from methods.multi_formation import fitting_factors

_MAX_PIXEL = 20.0  # larger ones are bytes; learned pixels are beyond 1, but never so far


def score(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    dataset: str,
    protocol: str,
    *,
    architecture: str = "auto",
    num_eval: int = 5,
    factor: int = 1,
    seed: int = 0,
    lr: float | None = None,
    data_root: Path | str = "data",
    device: str = "auto",
    precision: str = "fp32",
    threads: int | None = None,
    compile: bool | None = None,
) -> list[float]:
    """The test accuracies, from 0 to 1, of `num_eval` fresh networks, each trained on these images.

    images: (N, ch, H, W), pixels from 0 to 1, not normalized, some of each class. labels: N class numbers.
    factor: each image is a mosaic of factor × factor images (multi-formation). dataset: a name or the path of a folder.
    seed: the condensation seed; networks of one seed start from the same weights for every set of a dataset. lr: the
    initial learning rate in place of the protocol's, such as one that was learned with the images. The other options
    are those of `benchmark.run`, and so are the numbers for a set of this seed. threads: of the process, which keeps
    this number.

    Raises BenchmarkError for arrays that are no such set, and for names and options that make no sense.
    """
    data, where = datasets.load(dataset, Path(data_root)), "score(images, labels)"
    pixels = _tensor(images, "images", where)
    if not pixels.is_floating_point():
        raise BenchmarkError(f"pixels are {pixels.dtype}", where=where, next="convert them to float: images / 255")
    pixels, classes, soft = validate_set(pixels.float(), _tensor(labels, "labels", where), data, where=where)
    if (largest := float(pixels.max())) > _MAX_PIXEL:
        what = f"pixels go up to {largest:g}, and are to be from 0 to 1"
        raise BenchmarkError(what, where=where, next="divide them by 255, if they are bytes")
    if num_eval < 1:
        raise BenchmarkError(f"num_eval must be at least 1, got {num_eval}", where=where)
    if factor not in (fitting := fitting_factors(*data.image_shape[1:])):
        known = ", ".join(map(str, fitting))
        raise BenchmarkError(
            f"factor {factor} does not fit {data.name}", where=where, next=f"factors that fit: {known}"
        )
    if is_native(protocol):
        raise BenchmarkError(
            "arrays have no protocol of their own", where=f"protocol={protocol}", next=f"name one: {protocols.names()}"
        )
    compute, _ = choose_compute(device, precision, threads, 1, compile)
    compute.activate()
    network = networks.default_architecture(data.image_shape) if architecture == "auto" else architecture
    training = {} if lr is None else {"lr": lr}
    soft = None if soft is None else soft.repeat(factor**2, 1)
    synthetic = SyntheticSet(pixels, classes, mean_ipc(classes, data.num_classes), factor, training, soft=soft)
    return _accuracies(synthetic, data, protocol, networks.canonical(network), num_eval, seed, compute)


def _accuracies(
    synthetic: SyntheticSet, data: Dataset, protocol: str, architecture: str, num_eval: int, seed: int, compute: Compute
) -> list[float]:
    found = protocols.get(
        protocol,
        native="",
        published_as=data.published_as,
        resolution=min(data.image_shape[1:]),
        num_classes=data.num_classes,
        ipc=synthetic.ipc,
        factor=synthetic.factor,
        architecture=architecture,
    )
    pairs = training_pairs(synthetic, hard=found.hard_labels)
    images, labels = (tensor.to(compute.device) for tensor in pairs)
    recipe = found.recipe(len(synthetic.labels), len(labels))
    recipe = replace(recipe, lr=learned_lr(synthetic.training, "lr") or recipe.lr)
    compute.choose_compile(num_eval * recipe.samples_seen(len(labels)), images.shape)
    normalize = ChannelNormalizer(data.constants, compute.device)

    def new_network(generator: torch.Generator) -> BlockNetwork:
        return networks.build(architecture, data.image_shape, data.num_classes, generator).to(compute.device)

    def new_training(index: int) -> Training:
        values = seed_values(data.fingerprint, architecture, seed, index)
        return seeded_training(
            Role.EVALUATION, values, new_network, images, labels, recipe, compute, normalize, flip=data.flip
        )

    withheld = data.test.select(torch.arange(0))  # none
    work = Evaluation(new_training, num_eval, data.test, withheld, compute, normalize)
    while len(work.right) < num_eval:
        work.step()
    return work.accuracies


def _tensor(array: Tensor | np.ndarray, name: str, where: str) -> Tensor:
    """The array in main memory. numpy arrays are copied, since they may be reversed or read-only."""
    try:
        return (array if isinstance(array, Tensor) else torch.as_tensor(np.array(array, order="C"))).detach().cpu()
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"{name} cannot be read: {reason}", where=where, next="give arrays of numbers") from error
