"""Initial images of condensing: real images drawn at random, the first ones of each class, or noise."""

from __future__ import annotations

import torch
from torch import Tensor

from methods.base import Draw, Problem
from methods.errors import MethodError
from methods.multi_formation import mosaic

INITS = ("random", "first", "noise")
DOWNSAMPLING = ("nearest", "area")


def initial_images(problem: Problem, factor: int, init: str, downsample: str) -> Tensor:
    """(C, ipc, ch, H, W) pixels; with factor f, mosaics of f²·ipc images a class.

    `random`: a seeded draw, the same for every method at a seed. `first`: the first images of each class in dataset
    order, as in DANCE's public code [DANCE@3f6b8b6]. `noise`: N(0, 1)/4 + 0.5 clamped to [0, 1] [ibid.].
    Raises MethodError if a class has fewer images than are needed.
    """
    generator, needed = problem.generator(Draw.INITIAL_IMAGES), problem.ipc * factor**2
    if init == "noise":
        noise = torch.randn(problem.num_classes, problem.ipc, *problem.image_shape, generator=generator)
        return (noise / 4 + 0.5).clamp(0, 1).to(problem.device)
    require_images(problem, needed, f"ipc {problem.ipc} at factor {factor} starts from", "ipc and factor")
    if init == "first":
        real = torch.stack([problem.real.of_class(c)[:needed] for c in range(problem.num_classes)])
    else:
        real = problem.real.sample(needed, generator)
    return mosaic(real, factor, downsample)


def require_images(problem: Problem, needed: int, purpose: str, where: str) -> None:
    """Raise MethodError, which names the smallest class, if it has fewer than `needed` real images."""
    label, count = min(enumerate(problem.real.counts), key=lambda entry: entry[1])
    if needed > count:
        what = f"{purpose} {needed} real images of each class, but class {label} has {count}"
        raise MethodError(what, where=where, next=f"choose {where} for at most {count} images")


def normalized_noise(problem: Problem) -> Tensor:
    """(C, ipc, ch, H, W) of N(0, 1) in *normalized* units: the noise from which DC, DSA and DM start."""
    generator = problem.generator(Draw.INITIAL_IMAGES)
    noise = torch.randn(problem.num_classes, problem.ipc, *problem.image_shape, generator=generator)
    return noise.to(problem.device)


def labels_of(problem: Problem) -> Tensor:
    """(C·ipc,) labels of a set stored class by class."""
    return torch.arange(problem.num_classes, device=problem.device).repeat_interleave(problem.ipc)
