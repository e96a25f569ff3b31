"""The whole training set: every real image, nothing condensed. It is the upper baseline of every table."""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Card, Method, Settings, setting


@dataclass(frozen=True)
class WholeConfig(Settings):
    epochs: int = setting(60, "epochs on all training images", "ours: the papers' own recipe is unknown")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("epochs", least=1)


class WholeSet(Method):
    """Networks train on it with each protocol's batch, augmentation and mixing.

    The protocol's lr_milestones are scaled to the number of epochs.
    """

    card = Card("whole", "Whole set", "whole", "")
    Config = WholeConfig
