"""Protocols: named, versioned recipes for training a network on a set, so that sets are compared on equal terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmark.training.trainer import Recipe, epochs_to_steps
from benchmark.utils.errors import unknown

WHOLE = "whole"  # stands for the whole training set where a synthetic set is named


@dataclass(frozen=True)
class Protocol:
    """A recipe in epochs, before it is known how many images there are to train on.

    drops: epochs after which lr is multiplied by gamma. steps_fixed: take the optimiser steps of the factor-1 set.
    """

    name: str
    version: int
    source: str
    epochs: int
    batch: int
    lr: float
    lr_milestones: tuple[int, ...]
    lr_gamma: float
    reset_optimizer: bool
    augment: str
    cutmix: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    steps_fixed: bool = False

    def recipe(self, stored: int, decoded: int) -> Recipe:
        """For a set of `stored` images that `decode` turns into `decoded`."""
        counted = stored if self.steps_fixed else decoded
        return self._recipe(lambda epochs: epochs_to_steps(counted, self.batch, epochs))

    def recipe_for_whole(self, images: int, whole_epochs: int) -> Recipe:
        """So many epochs with this protocol's batch, augmentation and mixing, and its drops in proportion."""
        scale = whole_epochs / self.epochs
        return self._recipe(
            lambda epochs: epochs_to_steps(images, self.batch, min(whole_epochs, round(epochs * scale)))
        )

    def _recipe(self, steps: Callable[[int], int]) -> Recipe:
        return Recipe(
            steps=steps(self.epochs),
            batch=self.batch,
            lr=self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            lr_milestones=tuple(steps(drop) for drop in self.lr_milestones),
            lr_gamma=self.lr_gamma,
            reset_optimizer=self.reset_optimizer,
            augment=self.augment,
            cutmix=self.cutmix,
        )

    def plain(self) -> Protocol:
        """The same recipe with augmentation and mixing off; itself where both are off anyway."""
        if self.augment == "none" and not self.cutmix:
            return self
        return replace(self, name=f"{self.name}@plain", augment="none", cutmix=0.0)


def from_asked(asked: Mapping[str, Any]) -> Protocol:
    """The protocol that a task asks for, as it was planned: all but its source."""
    return Protocol(**{**asked, "lr_milestones": tuple(asked["lr_milestones"]), "source": ""})


def _vico(name: str, epochs: int, strategy: str) -> Protocol:
    """DC's family: epochs + 1 passes; after pass epochs // 2 + 1 the lr is a tenth and the optimiser is made anew."""
    return Protocol(
        name=name,
        version=1,
        source="VICO-UoE/DatasetCondensation@53f63a6, utils.py evaluate_synset",
        epochs=epochs + 1,
        batch=256,
        lr=0.01,
        lr_milestones=(epochs // 2 + 2,),
        lr_gamma=0.1,
        reset_optimizer=True,
        augment=strategy,
        cutmix=0.0,
    )


def _idc(name: str, epochs: int, source: str) -> Protocol:
    """IDC's family: MultiStepLR at two thirds and five sixths, CutMix on every second batch."""
    return Protocol(
        name=name,
        version=1,
        source=source,
        epochs=epochs,
        batch=64,
        lr=0.01,
        lr_milestones=(2 * epochs // 3, 5 * epochs // 6),
        lr_gamma=0.2,
        reset_optimizer=False,
        augment="idc:color_crop_flip_scale_rotate",
        cutmix=0.5,
    )


def _quick(ipc: int | None) -> Protocol:
    """Ours, for CPUs. Chosen on random real images alone, scored on withheld training images of digits and CIFAR-10:
    of (epochs, lr) in {60, 100} × {0.02, 0.05} at ipc 10, and {60, 100, 200} × {0.02, 0.05} at ipc 1 on digits."""
    epochs = 200 if ipc is None or ipc < 10 else 100 if ipc < 50 else 40
    return Protocol(
        name="quick",
        version=1,
        source="ours",
        epochs=epochs,
        batch=64,
        lr=0.02,
        lr_milestones=(2 * epochs // 3, 5 * epochs // 6),
        lr_gamma=0.2,
        reset_optimizer=False,
        augment="dsa:color_crop_cutout_flip_scale_rotate",
        cutmix=0.0,
    )


NAMES = ("dc", "dsa", "idc", "dance", "quick", "native")
VARIANTS = ("steps", "plain", "steps@plain")  # what may stand behind a name and an @, in this order
LARGE = 128  # pixels from which IDC's family takes its epochs from a table of images a class


def large_epochs(images_per_class: int, num_classes: int) -> int:
    """Epochs at 128 pixels and more, by the images of a class; a hundred classes take two thirds [IDC@ceac95a]."""
    table = ((1, 3000), (10, 2000), (50, 1500), (200, 1000), (500, 500))
    epochs = next((epochs for most, epochs in table if images_per_class <= most), 300)
    return epochs if num_classes < 100 else epochs * 2 // 3 // 100 * 100


def get(
    name: str,
    *,
    native: str,
    published_as: str,
    resolution: int,
    num_classes: int,
    ipc: int | None,
    factor: int,
    architecture: str = "",
) -> Protocol:
    """The protocol of that name for one cell. `NAME@steps` fixes the optimiser steps to the factor-1 count;
    `NAME@plain` and `NAME@steps@plain` turn augmentation and mixing off, which leaves one without either as it is.

    architecture: the network to be trained, by its canonical name (`dc` treats ConvNets with batch norm apart).

    Epochs depend on the dataset and the stored ipc, never on the factor; only `native`, which becomes the protocol
    `native` names, counts decoded images as its own code does. Raises BenchmarkError for an unknown name.
    """
    base, at, variant = name.partition("@")
    if base not in NAMES or (at and variant not in VARIANTS):
        known = [*NAMES, *(f"{n}@{v}" for v in VARIANTS for n in NAMES)]
        raise unknown("protocol", name, known, where=f"protocols=[{name}]")
    if base == "native":
        shared, ipc = native, None if ipc is None else ipc * factor**2
        found = _shared(shared, published_as, resolution, num_classes, ipc, architecture)
        found = replace(found, name=f"native:{shared}")
    else:
        found = _shared(base, published_as, resolution, num_classes, ipc, architecture)
    if "steps" in variant.split("@"):
        found = replace(found, name=f"{found.name}@steps", steps_fixed=True)
    return found.plain() if "plain" in variant.split("@") else found


def _dc(published_as: str, architecture: str) -> Protocol:
    """Without augmentation, 300 epochs; with one, 1,000: on MNIST, and for ConvNets with batch norm, which go first.

    Only for ConvNets: the reference names no other network with batch norm here [utils.py get_daparam].
    """
    family, *options = architecture.split("-")
    if family.startswith("convnet") and "bn" in options:
        return _vico("dc", 1000, "dc:crop_noise")
    return _vico("dc", 1000, "dc:crop_scale_rotate") if published_as == "mnist" else _vico("dc", 300, "none")


def _shared(
    name: str, published_as: str, resolution: int, num_classes: int, ipc: int | None, architecture: str
) -> Protocol:
    if name == "quick":
        return _quick(ipc)
    if name == "dsa":
        return _vico("dsa", 1000, "dsa:color_crop_cutout_flip_scale_rotate")
    if name == "dc":
        return _dc(published_as, architecture)
    epochs = {"idc": 1000, "dance": 1500}[name]
    if resolution >= LARGE and ipc is not None:
        epochs = large_epochs(ipc, num_classes)
    source = {"idc": "snu-mllab/Efficient-Dataset-Condensation@ceac95a", "dance": "Hansong-Zhang/DANCE@3f6b8b6"}[name]
    return _idc(name, epochs, f"{source}, train.py")


def check_name(name: str) -> None:
    """Raise BenchmarkError unless `get` knows the name."""
    get(name, native="dsa", published_as="", resolution=32, num_classes=10, ipc=1, factor=1)
