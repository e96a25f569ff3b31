"""Augmentation strategies: which operations run, in which order, and who shares their parameters; and CutMix.

Three families (METHODS.md 6.2, 6.3, 6.5). `dsa:…` applies exactly one operation of its list. `idc:…` applies flip,
colour and cutout whenever they are listed, and one operation of the others. `dc:…` has operations of its own, one for
each image, and is for training networks only. All on normalised images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from benchmark.augmentation import dc
from benchmark.augmentation.operations import OPERATIONS
from benchmark.utils.errors import BenchmarkError, unknown

FAMILIES = {"dsa": tuple(OPERATIONS), "idc": tuple(OPERATIONS), "dc": tuple(dc.OPERATIONS)}
EXAMPLES = ("none", "dsa:color_crop_cutout_flip_scale_rotate", "idc:color_crop_cutout", "dc:crop_scale_rotate")
GRAMMAR = (
    f"a strategy is none, dsa:OP_OP_… or idc:OP_OP_…, each OP one of {', '.join(OPERATIONS)}; "
    f"or, for training networks, dc:OP_OP_… with {', '.join(dc.OPERATIONS)}"
)


@dataclass(frozen=True)
class Strategy:
    """A parsed strategy. Without operations it is the identity, spelt `none`, whatever its family."""

    family: str
    operations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.family}:{'_'.join(self.operations)}" if self.operations else "none"

    def without(self, operation: str) -> Strategy:
        """The same strategy with one operation taken off its list, if it is there (digits are never flipped)."""
        known = {**OPERATIONS, **dc.OPERATIONS}
        if operation not in known:
            raise unknown("augmentation", operation, known, where=str(self))
        return replace(self, operations=tuple(name for name in self.operations if name != operation))


def parse(strategy: str) -> Strategy:
    """The strategy a text stands for. Raises BenchmarkError for an unknown family or operation, or one given twice."""
    if strategy == "none":
        return Strategy("none", ())
    family, colon, listed = strategy.partition(":")
    if not colon or family not in FAMILIES:
        kind, name = ("augmentation family", family) if colon else ("augmentation strategy", strategy)
        error = unknown(kind, name, FAMILIES if colon else EXAMPLES, where=strategy)
        error.next = GRAMMAR
        raise error
    operations = tuple(listed.split("_")) if listed else ()
    for operation in operations:
        if operation not in FAMILIES[family]:
            raise unknown("augmentation", operation, FAMILIES[family], where=strategy)
    if not operations:
        raise BenchmarkError(f"'{strategy}' lists no operation", where=strategy, next=GRAMMAR)
    if len(set(operations)) < len(operations):
        raise BenchmarkError("a strategy lists an operation at most once", where=strategy, next=GRAMMAR)
    return Strategy(family, operations)


def parse_for_condensing(strategy: str) -> Strategy:
    """`parse` for a strategy that real and synthetic images are to share: raises BenchmarkError for `dc:…` besides."""
    parsed = parse(strategy)
    _check_shared(parsed)
    return parsed


def _check_shared(strategy: Strategy) -> None:
    if strategy.family == "dc":
        raise BenchmarkError(
            f"'{strategy}' is for training networks only: it draws for each image and has no gradient, "
            "and real and synthetic images could not share it",
            where=str(strategy),
            next="condense with none, dsa:… or idc:…",
        )


# --- what has been drawn ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One operation with the parameters (P, count) of the `count` groups that drew it."""

    operation: str
    parameters: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        return OPERATIONS[self.operation].act(images, *self.parameters.to(images.device, non_blocking=True))


@dataclass(frozen=True)
class Step:
    """One step of a transform. Each group takes one of the parts: `order` (G,) lists the groups part by part."""

    parts: tuple[Part, ...]
    order: Tensor

    def of(self, groups: range) -> Step:
        """The same step of only these groups, which then count from 0."""
        sizes = [part.parameters.shape[1] for part in self.parts]
        parts, order = [], []
        for part, members in zip(self.parts, self.order.split(sizes), strict=True):
            kept = (members >= groups.start) & (members < groups.stop)
            if kept.any():
                parts.append(Part(part.operation, part.parameters[:, kept]))
                order.append(members[kept] - groups.start)
        return Step(tuple(parts), torch.cat(order))

    def __call__(self, images: Tensor) -> Tensor:
        if len(self.parts) == 1:
            return self.parts[0](images)
        order = self.order.to(images.device, non_blocking=True)
        sizes = [part.parameters.shape[1] for part in self.parts]
        pieces = torch.split(images.index_select(0, order), sizes)
        done = torch.cat([part(piece) for part, piece in zip(self.parts, pieces, strict=True)])
        return done.index_select(0, order.argsort())


@dataclass(frozen=True)
class Transform:
    """A drawn transform, for any number of batches (G, n, ch, H, W) of one G, H and W and any n; differentiable.

    Without steps it answers the images themselves; otherwise new ones.
    """

    groups: int
    size: tuple[int, int]
    steps: tuple[Step, ...]

    def of(self, groups: slice) -> Transform:
        """The same transform for only these neighbouring groups, (g, n, ch, H, W)."""
        kept = range(*groups.indices(self.groups))
        return Transform(len(kept), self.size, tuple(step.of(kept) for step in self.steps))

    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 5 or images.shape[0] != self.groups or images.shape[-2:] != self.size:
            raise BenchmarkError(
                f"this transform was drawn for images ({self.groups}, n, ch, {self.size[0]}, {self.size[1]}), "
                f"and was given {tuple(images.shape)}",
                next="one draw per class: give it all classes at once, (C, n, ch, H, W)",
            )
        for step in self.steps:
            images = step(images)
        return images


# --- drawing it -------------------------------------------------------------------------------------------------------


def draw_per_group(
    strategy: Strategy, groups: int, image_shape: tuple[int, int, int], generator: Generator
) -> Transform:
    """For condensing: one draw a group, operation and parameters; `groups` are the classes, image_shape (ch, H, W).

    Each group draws its own candidate (dsa) or geometric operation (idc). Applied to the real and to the synthetic
    batch, all images of a class see the same. Randomness comes from the given CPU generator alone. Raises
    BenchmarkError for `dc:…`.
    """
    _check_shared(strategy)
    return _draw(strategy, groups, image_shape[-2:], generator, one_candidate=False)


def augment_batch(images: Tensor, strategy: Strategy, generator: Generator) -> Tensor:
    """For training a network on images (N, ch, H, W): one candidate a mini-batch, parameters for each image.

    A `dc:…` strategy draws the candidate, too, for each image. Randomness comes from the given CPU generator alone, on
    whatever device the images are; they are not written to.
    """
    return augment_batches(images[None], strategy, [generator])[0]


def augment_batches(images: Tensor, strategy: Strategy, generators: Sequence[Generator]) -> Tensor:
    """`augment_batch` of k mini-batches (k, N, ch, H, W), each with what its own generator draws, in one go."""
    if strategy.family == "dc" and strategy.operations:
        each = zip(images, generators, strict=True)
        return torch.stack([dc.augment_each(batch, strategy.operations, draw) for batch, draw in each])
    count, size = images.shape[1], images.shape[-2:]
    drawn = _side_by_side([_draw(strategy, count, size, draw, one_candidate=True) for draw in generators])
    return drawn(images.flatten(0, 1)[:, None]).view(images.shape)


def _side_by_side(drawn: Sequence[Transform]) -> Transform:
    """Equally large transforms of one strategy as one, for the groups of the first, then of the second, and so on."""
    if len(drawn) == 1:
        return drawn[0]
    groups, steps = drawn[0].groups, []
    for alike in zip(*(transform.steps for transform in drawn), strict=True):
        parameters: dict[str, list[Tensor]] = {}
        order: dict[str, list[Tensor]] = {}
        for place, step in enumerate(alike):
            members = step.order.split([part.parameters.shape[1] for part in step.parts])
            for part, taken in zip(step.parts, members, strict=True):
                parameters.setdefault(part.operation, []).append(part.parameters)
                order.setdefault(part.operation, []).append(taken + place * groups)
        parts = tuple(Part(operation, torch.cat(found, 1)) for operation, found in parameters.items())
        steps.append(Step(parts, torch.cat([taken for found in order.values() for taken in found])))
    return Transform(len(drawn) * groups, drawn[0].size, tuple(steps))


def _draw(
    strategy: Strategy, groups: int, size: Sequence[int], generator: Generator, *, one_candidate: bool
) -> Transform:
    """`one_candidate`: all groups take the same candidate, each with its own parameters."""
    height, width = size
    steps = []
    for candidates in _schedule(strategy):
        choice = torch.randint(len(candidates), (1 if one_candidate else groups,), generator=generator).expand(groups)
        counts = choice.bincount(minlength=len(candidates)).tolist()
        parts = tuple(
            Part(name, OPERATIONS[name].draw(count, height, width, generator))
            for name, count in zip(candidates, counts, strict=True)
            if count
        )
        steps.append(Step(parts, choice.argsort(stable=True)))
    return Transform(groups, (height, width), tuple(steps))


def _schedule(strategy: Strategy) -> list[tuple[str, ...]]:
    """The steps in order, each a list of candidates of which one runs."""
    listed = strategy.operations
    if strategy.family != "idc":
        return [listed] if listed else []
    drawn = tuple(name for name in listed if name not in ("flip", "color", "cutout"))
    before = [(name,) for name in ("flip", "color") if name in listed]
    return [*before, *([drawn] if drawn else []), *([("cutout",)] if "cutout" in listed else [])]


# --- mixing -----------------------------------------------------------------------------------------------------------


def _clipped(length: int, side: int, generator: Generator) -> tuple[int, int]:
    """First and behind-last place of a box around a drawn centre: centre ± length // 2 within the side."""
    centre = int(torch.randint(side, (), generator=generator))
    return max(centre - length // 2, 0), min(centre + length // 2, side)
