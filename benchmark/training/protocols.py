"""Protocols: named, versioned recipes for training a network on a set, so that sets are compared on equal terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmark.training.trainer import Recipe, epochs_to_steps
from benchmark.utils.errors import unknown


@dataclass(frozen=True)
class Protocol:
    """A recipe in epochs, independent of the number of images.

    lr_milestones: epochs after which lr is multiplied by lr_gamma. steps_fixed: train for the optimizer steps of the
    factor-1 set, whatever the factor. source: where the values come from; it begins with "ours: " where no public code
    has this recipe for this network or number of classes.
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
        """The recipe for a set of `stored` images, which `decode` turns into `decoded` images."""
        num_images = stored if self.steps_fixed else decoded
        return self._recipe(lambda epochs: epochs_to_steps(num_images, self.batch, epochs))

    def recipe_for_whole(self, images: int, whole_epochs: int) -> Recipe:
        """The recipe for the whole training set: `whole_epochs` epochs, with lr_milestones scaled in proportion."""
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
            lr_milestones=tuple(steps(epoch) for epoch in self.lr_milestones),
            lr_gamma=self.lr_gamma,
            reset_optimizer=self.reset_optimizer,
            augment=self.augment,
            cutmix=self.cutmix,
        )

    def plain(self) -> Protocol:
        """The protocol without augmentation and mixing; itself if it has neither."""
        if self.augment == "none" and not self.cutmix:
            return self
        return replace(self, name=f"{self.name}@plain", augment="none", cutmix=0.0)


def from_resolved(values: Mapping[str, Any]) -> Protocol:
    """The protocol of a task from its `resolved` values, which lack its source."""
    return Protocol(**{**values, "lr_milestones": tuple(values["lr_milestones"]), "source": ""})


_DC_CODE = "VICO-UoE/DatasetCondensation@53f63a6, utils.py evaluate_synset"


def _dataset_condensation(name: str, epochs: int, strategy: str, source: str = _DC_CODE) -> Protocol:
    """DC's family: epochs + 1 passes; after pass epochs // 2 + 1 the lr is a tenth, and the optimizer is reset."""
    return Protocol(
        name=name,
        version=1,
        source=source,
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
    """Our own protocol for CPUs, tuned on random real images alone, scored on withheld training images.

    Candidates on digits and CIFAR-10: (epochs, lr) in {60, 100} × {0.02, 0.05} at ipc 10, and on digits
    {60, 100, 200} × {0.02, 0.05} at ipc 1.
    """
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
VARIANTS = ("steps", "plain", "steps@plain")  # suffixes: NAME@VARIANT
LARGE_RESOLUTION = 128  # pixels from which the epochs of IDC's family depend on the images per class


def large_epochs(images_per_class: int, num_classes: int) -> int:
    """IDC's epochs at 128 pixels and more; with 100 classes, two thirds, rounded down to hundreds [IDC@ceac95a].

    The public code knows 10 and 100 classes. Other numbers are ours: below 100 as with 10, above 100 as with 100.
    """
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
    """The protocol called `name` for one dataset, ipc and architecture. Raises BenchmarkError for an unknown name.

    `NAME@steps` trains for the optimizer steps of the factor-1 set; `NAME@plain` and `NAME@steps@plain` turn
    augmentation and mixing off. `native` is the protocol that the argument `native` names. architecture: canonical name
    of the network to be trained (`dc` has its own recipe for ConvNets with batch norm). Epochs depend on the dataset
    and the stored ipc, not on the factor, except that `native` counts decoded images, as its own code does.
    """
    base, at, variant = name.partition("@")
    if base not in NAMES or (at and variant not in VARIANTS):
        known = [*NAMES, *(f"{n}@{v}" for v in VARIANTS for n in NAMES)]
        raise unknown("protocol", name, known, where=f"protocols=[{name}]")
    if base == "native":
        ipc = None if ipc is None else ipc * factor**2
        protocol = _shared(native, published_as, resolution, num_classes, ipc, architecture)
        protocol = replace(protocol, name=f"native:{native}")
    else:
        protocol = _shared(base, published_as, resolution, num_classes, ipc, architecture)
    if "steps" in variant.split("@"):
        protocol = replace(protocol, name=f"{protocol.name}@steps", steps_fixed=True)
    return protocol.plain() if "plain" in variant.split("@") else protocol


def _dc(published_as: str, architecture: str) -> Protocol:
    """300 epochs without augmentation; 1,000 with one, for ConvNets with batch norm and, otherwise, on MNIST.

    The reference has the rule for one network with batch norm, its ConvNetBN (convnet3-bn) [utils.py get_daparam]. That
    every other ConvNet with batch norm follows it is ours; other families of networks do not.
    """
    family, *options = architecture.split("-")
    if family.startswith("convnet") and "bn" in options:
        ours = f"ours: {architecture} as its ConvNetBN (convnet3-bn), the only network with this rule in {_DC_CODE}"
        return _dataset_condensation("dc", 1000, "dc:crop_noise", _DC_CODE if architecture == "convnet3-bn" else ours)
    return (
        _dataset_condensation("dc", 1000, "dc:crop_scale_rotate")
        if published_as == "mnist"
        else _dataset_condensation("dc", 300, "none")
    )


def _shared(
    name: str, published_as: str, resolution: int, num_classes: int, ipc: int | None, architecture: str
) -> Protocol:
    """The shared protocol called `name`, without suffix."""
    if name == "quick":
        return _quick(ipc)
    if name == "dsa":
        return _dataset_condensation("dsa", 1000, "dsa:color_crop_cutout_flip_scale_rotate")
    if name == "dc":
        return _dc(published_as, architecture)
    epochs = {"idc": 1000, "dance": 1500}[name]
    source = {"idc": "snu-mllab/Efficient-Dataset-Condensation@ceac95a", "dance": "Hansong-Zhang/DANCE@3f6b8b6"}[name]
    source = f"{source}, train.py"
    if resolution >= LARGE_RESOLUTION and ipc is not None:
        epochs = large_epochs(ipc, num_classes)
        if num_classes not in (10, 100):
            source = f"ours: {epochs:,} epochs with {num_classes} classes, where {source}, knows 10 and 100 classes"
    return _idc(name, epochs, source)


def check_name(name: str) -> None:
    """Raise BenchmarkError for a name that `get` does not know."""
    get(name, native="dsa", published_as="", resolution=32, num_classes=10, ipc=1, factor=1)
