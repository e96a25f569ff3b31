"""The whole training set: every real image, nothing condensed. The ceiling of every table."""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Card, Described, Settings, setting


@dataclass(frozen=True)
class WholeConfig(Settings):
    epochs: int = setting(60, "epochs on all training images", "ours: the papers' own recipe is unknown")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("epochs", least=1)


class WholeSet(Described):
    """Trained on with each protocol's batch, augmentation and mixing, its drops in proportion to the epochs."""

    card = Card("whole", "Whole set", "whole", "")
    Config = WholeConfig
