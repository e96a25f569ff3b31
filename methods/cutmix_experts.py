"""The experts that DANCE, TGDD and DSDM share with IDC's code: SGD with weight decay, CutMix on every second batch."""

from __future__ import annotations

from typing import Protocol

from methods.base import ExpertRecipe


class ExpertSettings(Protocol):
    """The settings of a method that trains such experts."""

    @property
    def experts(self) -> int: ...

    @property
    def pretrain_epochs(self) -> int: ...

    @property
    def pretrain_batch(self) -> int: ...

    @property
    def pretrain_lr(self) -> float: ...


def cutmix_experts(
    config: ExpertSettings,
    lr_milestones: tuple[float, ...] = (2 / 3, 5 / 6),
    lr_gamma: float = 0.2,
    keep: tuple[int, ...] = (),
) -> ExpertRecipe:
    """Momentum 0.9, weight decay 5e-4, CutMix with probability 0.5. The other arguments are those of `ExpertRecipe`."""
    return ExpertRecipe(
        count=config.experts,
        epochs=config.pretrain_epochs,
        batch=config.pretrain_batch,
        lr=config.pretrain_lr,
        momentum=0.9,
        weight_decay=5e-4,
        lr_milestones=lr_milestones,
        lr_gamma=lr_gamma,
        augment="idc:color_crop",  # cutout gives way to CutMix; no flip
        cutmix=0.5,
        keep=keep,
    )
