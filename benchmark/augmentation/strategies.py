"""Augmentation strategies: which operations are applied, in which order, and which images share their parameters.

Three families (METHODS.md 6.2, 6.3, 6.5). `dsa:…` applies exactly one operation of its list. `idc:…` applies flip,
color and cutout whenever they are listed, and one operation of the others. `dc:…` has operations of its own, one for
each image, and is for training networks only. All apply to normalized images.
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
    """A parsed strategy. Without operations it is the identity, spelled `none`, whatever its family."""

    family: str
    operations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.family}:{'_'.join(self.operations)}" if self.operations else "none"

    def without(self, operation: str) -> Strategy:
        """The same strategy without one operation, if its list has it (digits are never flipped)."""
        known = {**OPERATIONS, **dc.OPERATIONS}
        if operation not in known:
            raise unknown("augmentation", operation, known, where=str(self))
        return replace(self, operations=tuple(name for name in self.operations if name != operation))


def parse(strategy: str) -> Strategy:
    """The strategy of a text. Raises BenchmarkError for an unknown family or operation, or one listed twice."""
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
    """`parse` for a strategy that real and synthetic images share: raises BenchmarkError for `dc:…` too."""
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


# --- drawn transforms -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnOperation:
    """One operation with the parameters (P, count) of the `count` groups that drew it."""

    operation: str
    parameters: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        return OPERATIONS[self.operation].apply(images, *self.parameters.to(images.device, non_blocking=True))


@dataclass(frozen=True)
class TransformStep:
    """One step of a transform. Each group undergoes one operation: `order` (G,) lists the groups, by operation."""

    operations: tuple[DrawnOperation, ...]
    order: Tensor

    @property
    def groups_by_operation(self) -> tuple[Tensor, ...]:
        """`order`, divided among the operations."""
        groups: tuple[Tensor, ...] = self.order.split([drawn.parameters.shape[1] for drawn in self.operations])
        return groups

    def of(self, groups: range) -> TransformStep:
        """The same step for only these groups, which then count from 0."""
        operations, order = [], []
        for drawn, members in zip(self.operations, self.groups_by_operation, strict=True):
            inside = (members >= groups.start) & (members < groups.stop)
            if inside.any():
                operations.append(DrawnOperation(drawn.operation, drawn.parameters[:, inside]))
                order.append(members[inside] - groups.start)
        return TransformStep(tuple(operations), torch.cat(order))

    def __call__(self, images: Tensor) -> Tensor:
        if len(self.operations) == 1:
            return self.operations[0](images)
        order = self.order.to(images.device, non_blocking=True)
        sizes = [drawn.parameters.shape[1] for drawn in self.operations]
        grouped = torch.split(images.index_select(0, order), sizes)
        transformed = torch.cat([drawn(part) for drawn, part in zip(self.operations, grouped, strict=True)])
        return transformed.index_select(0, order.argsort())


@dataclass(frozen=True)
class GroupTransform:
    """A drawn transform for images (G, n, ch, H, W) of its G, H and W and any n; differentiable.

    Implements methods.base.Transform. Without steps it returns the images themselves; otherwise new ones.
    """

    groups: int
    size: tuple[int, int]
    steps: tuple[TransformStep, ...]

    def of(self, groups: slice) -> GroupTransform:
        """The same transform for only these consecutive groups, (g, n, ch, H, W)."""
        selected = range(*groups.indices(self.groups))
        return GroupTransform(len(selected), self.size, tuple(step.of(selected) for step in self.steps))

    def __call__(self, images: Tensor) -> Tensor:
        if images.ndim != 5 or images.shape[0] != self.groups or images.shape[-2:] != self.size:
            raise BenchmarkError(
                f"this transform was drawn for images ({self.groups}, n, ch, {self.size[0]}, {self.size[1]}), "
                f"not {tuple(images.shape)}",
                next="transforms are drawn per class: apply them to all classes at once, (C, n, ch, H, W)",
            )
        for step in self.steps:
            images = step(images)
        return images


# --- drawing ----------------------------------------------------------------------------------------------------------


def draw_per_group(
    strategy: Strategy, groups: int, image_shape: tuple[int, int, int], generator: Generator
) -> GroupTransform:
    """For condensing: each of the `groups` (classes) draws its operation and parameters; image_shape is (ch, H, W).

    Each group draws its own candidate (dsa) or geometric operation (idc). Applied to the real and to the synthetic
    batch, all images of a class undergo the same. Everything is drawn from the CPU generator. Raises BenchmarkError
    for `dc:…`.
    """
    _check_shared(strategy)
    return _draw(strategy, groups, image_shape[-2:], generator, one_candidate=False)


def augment_batch(images: Tensor, strategy: Strategy, generator: Generator) -> Tensor:
    """For training a network on images (N, ch, H, W): one candidate per mini-batch, parameters for each image.

    A `dc:…` strategy draws the candidate for each image, too. Everything is drawn from the CPU generator, on whatever
    device the images are; they are not written to.
    """
    return augment_batches(images[None], strategy, [generator])[0]


def augment_batches(images: Tensor, strategy: Strategy, generators: Sequence[Generator]) -> Tensor:
    """`augment_batch` of k mini-batches (k, N, ch, H, W) at once, each with its own generator."""
    if strategy.family == "dc" and strategy.operations:
        pairs = zip(images, generators, strict=True)
        return torch.stack([dc.augment_each(batch, strategy.operations, draw) for batch, draw in pairs])
    count, size = images.shape[1], images.shape[-2:]
    transform = _concatenate([_draw(strategy, count, size, draw, one_candidate=True) for draw in generators])
    return transform(images.flatten(0, 1)[:, None]).view(images.shape)


def _concatenate(transforms: Sequence[GroupTransform]) -> GroupTransform:
    """Transforms of one strategy and size as one, for the groups of the first, then of the second, and so on."""
    if len(transforms) == 1:
        return transforms[0]
    groups, steps = transforms[0].groups, []
    for same_step in zip(*(transform.steps for transform in transforms), strict=True):
        parameters: dict[str, list[Tensor]] = {}
        order: dict[str, list[Tensor]] = {}
        for index, step in enumerate(same_step):
            for drawn, members in zip(step.operations, step.groups_by_operation, strict=True):
                parameters.setdefault(drawn.operation, []).append(drawn.parameters)
                order.setdefault(drawn.operation, []).append(members + index * groups)
        operations = tuple(DrawnOperation(name, torch.cat(parts, 1)) for name, parts in parameters.items())
        steps.append(TransformStep(operations, torch.cat([members for parts in order.values() for members in parts])))
    return GroupTransform(len(transforms) * groups, transforms[0].size, tuple(steps))


def _draw(
    strategy: Strategy, groups: int, size: Sequence[int], generator: Generator, *, one_candidate: bool
) -> GroupTransform:
    """`one_candidate`: all groups undergo the same candidate, each with its own parameters."""
    height, width = size
    steps = []
    for candidates in _schedule(strategy):
        choice = torch.randint(len(candidates), (1 if one_candidate else groups,), generator=generator).expand(groups)
        counts = choice.bincount(minlength=len(candidates)).tolist()
        operations = tuple(
            DrawnOperation(name, OPERATIONS[name].draw(count, height, width, generator))
            for name, count in zip(candidates, counts, strict=True)
            if count
        )
        steps.append(TransformStep(operations, choice.argsort(stable=True)))
    return GroupTransform(groups, (height, width), tuple(steps))


def _schedule(strategy: Strategy) -> list[tuple[str, ...]]:
    """The steps in order, each a list of candidates of which one is applied."""
    listed = strategy.operations
    if strategy.family != "idc":
        return [listed] if listed else []
    first = [(name,) for name in ("flip", "color") if name in listed]
    geometric = tuple(name for name in listed if name not in ("flip", "color", "cutout"))
    return [*first, *([geometric] if geometric else []), *([("cutout",)] if "cutout" in listed else [])]
