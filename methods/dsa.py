"""DSA: differentiable siamese augmentation (Zhao and Bilen, ICML 2021, arXiv:2102.08259).

DC with one addition: before gradients are matched, the real and the synthetic batch of a class go through the same
random augmentation, one operation of a list with one set of parameters for all images of both. The network also trains
on augmented images, with parameters drawn for each image. Synthetic images start from real ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Card, Problem, choice, setting
from methods.dc import GradientConfig, GradientMatching
from methods.initialization import INITS


@dataclass(frozen=True)
class DSAConfig(GradientConfig):
    augment: str = setting("dsa:color_crop_cutout_flip_scale_rotate", "augmentation, matching and training", "README")
    init: str = choice("random", INITS, "where the images start; noise: N(0, 1), normalized", "README --init real")


class SiameseGradientMatching(GradientMatching):
    card = Card("dsa", "DSA", "gradient matching", "2102.08259", "ICML", 2021, native="dsa")
    Config = DSAConfig

    def __init__(self, problem: Problem, config: DSAConfig) -> None:
        super().__init__(problem, config)
        self.augment = config.augment
