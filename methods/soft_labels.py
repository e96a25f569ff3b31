"""Soft labels from a teacher (Qin, Deng and Alvarez-Melis, NeurIPS 2024, arXiv:2406.10485): the row `NAME@soft`.

A network that is trained on the real images labels the images of a set: what it gives each class takes the place of the
class. Random real images with such labels are the control of every method whose sets have soft labels. The teacher is
an early one, since one that fits the training images well gives labels that are hardly soft.

    φ ← a network trained on the real images for teacher_epochs epochs
    for each decoded image x of the set: its label is softmax(φ(x) / temperature)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from methods.base import Card, ExpertRecipe, Method, Settings, setting


@dataclass(frozen=True)
class SoftLabelsConfig(Settings):
    teacher_epochs: int = setting(44, "epochs of the teacher, after which it labels", "README, CIFAR-10 at ipc 10")
    teacher_lr: float = setting(5e-4, "plain SGD step of the teacher, constant", "README, CIFAR-10")
    teacher_batch: int = setting(256, "real images a step of the teacher", "MTT's buffers")
    teacher_augment: str = setting(
        "dsa:color_crop_cutout_flip_scale_rotate", "augmentation in training the teacher", "MTT's buffers"
    )
    temperature: float = setting(1.0, "by which the teacher's logits are divided", "paper: none")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("teacher_epochs", "teacher_batch"):
            self.require(name, least=1)
        for name in ("teacher_lr", "temperature"):
            self.require(name, above=0)

    @property
    def teacher(self) -> ExpertRecipe:
        """How the teacher is trained: as an expert of MTT."""
        return ExpertRecipe(
            count=1,
            epochs=self.teacher_epochs,
            batch=self.teacher_batch,
            lr=self.teacher_lr,
            momentum=0.0,
            weight_decay=0.0,
            lr_milestones=(),
            lr_gamma=1.0,
            augment=self.teacher_augment,
            cutmix=0.0,
        )

    @classmethod
    def tiny(cls) -> Self:
        return cls(teacher_epochs=1)


class SoftLabels(Method):
    """Not a set, but the labels of one: a row `NAME@soft` is the set of NAME with them."""

    card = Card("soft", "Soft labels", "labels", "2406.10485", "NeurIPS", 2024, labels="soft", native="soft")
    Config = SoftLabelsConfig
