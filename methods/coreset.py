"""Selection instead of synthesis: real images, drawn at random or chosen by the features of a trained network.

`random` draws uniformly; at factor > 1 it shrinks the images into mosaics. `herding` [Welling, ICML 2009; as iCaRL uses
it] keeps the mean feature of the chosen images close to that of the class. `kcenter` [Sener and Savarese, ICLR 2018]
covers the class: every image is near a chosen one. Both select class by class on raw features with Euclidean distance,
as in DC's tables [VICO-UoE/DatasetCondensation, issues 15 and 21].
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from methods.base import (
    Card,
    Condenser,
    ExpertRecipe,
    MethodError,
    Problem,
    Settings,
    SyntheticSet,
    Tree,
    choice,
    setting,
)
from methods.initialization import DOWNSAMPLING, initial_images, labels_of, require_images


class Selection(Condenser):
    """A method that selects its images when it is built. images: (C, ipc, ch, H, W) pixels."""

    total_steps = 0
    problem: Problem
    images: Tensor
    factor = 1

    def step(self) -> dict[str, float]:
        raise MethodError("a selection has no steps")

    def synthetic(self) -> SyntheticSet:
        return SyntheticSet(self.images.flatten(0, 1), labels_of(self.problem), self.problem.ipc, self.factor)

    def state_dict(self) -> Tree:
        return {}

    def load_state_dict(self, state: Tree) -> None:
        """Nothing to load: the same seed selects the same images."""


# --- at random --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomConfig(Settings):
    factor: int = setting(
        1, "real images along each side of a stored one", "1: plain subsets; larger: a baseline of ours"
    )
    downsample: str = choice(
        "area", DOWNSAMPLING, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("factor", least=1)


class RandomSubset(Selection):
    """ipc real images of each class, uniformly without replacement: DM's initial images at the same seed."""

    card = Card("random", "Random", "coreset", "", native="dc")
    Config = RandomConfig

    def __init__(self, problem: Problem, config: RandomConfig) -> None:
        self.problem, self.factor = problem, config.factor
        self.images = initial_images(problem, config.factor, "random", config.downsample)


# --- by features ------------------------------------------------------------------------------------------------------


def herding(features: Tensor, count: int) -> list[int]:
    """Indices into features (N, D) of `count` ≤ N images, in the order of selection.

    The k-th brings the sum of the selected features closest to k times the mean of all: argmin over the remaining i of
    ‖ k·μ − Σ selected − φ_i ‖, ties to the lowest index. So the first is the image nearest to the mean.
    """
    mean, total = features.mean(0), torch.zeros_like(features[0])
    remaining = torch.ones(len(features), dtype=torch.bool, device=features.device)
    selected: list[int] = []
    for k in range(1, count + 1):
        distance = torch.linalg.vector_norm(k * mean - total - features, dim=1)
        best = int(distance.masked_fill(~remaining, torch.inf).argmin())
        selected.append(best)
        remaining[best] = False
        total = total + features[best]
    return selected


def k_center(features: Tensor, count: int) -> list[int]:
    """Indices into features (N, D) of `count` ≤ N images, in the order of selection: farthest-first traversal.

    The first is the image nearest to the mean, as in herding; each next one is farthest from its nearest selected
    image, ties to the lowest index that is not selected yet.
    """
    nearest = torch.linalg.vector_norm(features - features.mean(0), dim=1)
    selected = [int(nearest.argmin())]
    nearest = torch.linalg.vector_norm(features - features[selected[0]], dim=1)
    for _ in range(count - 1):
        nearest[selected[-1]] = -1.0  # never again, even if all remaining images are its duplicates
        selected.append(int(nearest.argmax()))
        distance = torch.linalg.vector_norm(features - features[selected[-1]], dim=1)
        nearest = torch.minimum(nearest, distance)
    return selected


@dataclass(frozen=True)
class FeatureConfig(Settings):
    """Training of the network whose features are compared; the papers do not say which network."""

    pretrain_epochs: int = setting(60, "epochs of the network on the real images", "ours: a ConvNet trained to its end")
    pretrain_batch: int = setting(256, "images a step of that network", "DC's recipe for networks, utils.py")
    pretrain_lr: float = setting(0.01, "SGD step, momentum 0.9, weight decay 5e-4; a tenth from half on", "DC's recipe")
    pretrain_augment: str = setting(
        "dsa:color_crop_cutout_flip_scale_rotate", "augmentation in training that network", "ours"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pretrain_epochs", "pretrain_batch"):
            self.require(name, least=1)
        self.require("pretrain_lr", above=0)

    @classmethod
    def tiny(cls) -> Self:
        return cls(pretrain_epochs=1)


class FeatureSelection(Selection):
    """Selects in each class by the embeddings of one network, which is trained on the training set for each seed."""

    Config = FeatureConfig

    @staticmethod
    @abstractmethod
    def select(features: Tensor, count: int) -> list[int]:
        """Indices into one class's features (N, D) of the images to select."""

    @classmethod
    def experts(cls, config: FeatureConfig) -> ExpertRecipe:
        return ExpertRecipe(
            count=1,
            epochs=config.pretrain_epochs,
            batch=config.pretrain_batch,
            lr=config.pretrain_lr,
            momentum=0.9,
            weight_decay=5e-4,
            lr_milestones=(0.5,),
            lr_gamma=0.1,
            augment=config.pretrain_augment,
            cutmix=0.0,
            per_seed=True,
        )

    def __init__(self, problem: Problem, config: FeatureConfig) -> None:
        self.problem = problem
        require_images(problem, problem.ipc, f"{self.card.title} selects", "ipc")
        network = problem.experts[0].interpolate(0.0)
        network.train(False)
        selected = []
        for label in range(problem.num_classes):
            images = problem.real.of_class(label)
            features = problem.embed(network, problem.normalize(images))
            selected.append(images[self.select(features, problem.ipc)])
        self.images = torch.stack(selected)


class Herding(FeatureSelection):
    card = Card("herding", "Herding", "coreset", "", native="dc")
    select = staticmethod(herding)


class KCenter(FeatureSelection):
    card = Card("kcenter", "K-Center", "coreset", "", native="dc")
    select = staticmethod(k_center)
