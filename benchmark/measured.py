"""A problem whose verbs say when they begin and end, and what each part of a step used in between.

A method runs on it unchanged and answers the same. What a part used is what passed while it was the innermost one, so
the parts of a step, the rest among them, add up to it. Beside what `benchmark.floor` counts a part moves at least

    drawn images       their bytes in the dataset once, and once as float32
    augmentation       what goes in and what comes out, for each transform that does anything
    new networks       their weights once; an expert's interpolation reads two sets of weights besides
    optimiser          images, momentum and gradient read, images and momentum written; weights likewise
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmark.compute import forward
from benchmark.compute.compilation import COMPILER
from benchmark.condensation.problem import ConcreteProblem, RealBatch, RealImages
from benchmark.floor import size_of
from methods import momentum
from methods.base import ClassLosses, Condenser, Transform

DRAWING, AUGMENTATION, BUILDING = "drawing real images", "augmentation", "building networks"
REAL, TRAINING, SYNTHETIC = "real pass", "training networks", "synthetic pass"
OPTIMISER, REST = "optimizer", "the rest"
PARTS = (DRAWING, AUGMENTATION, BUILDING, REAL, TRAINING, SYNTHETIC, OPTIMISER, REST)
_PASSES = (REAL, TRAINING, SYNTHETIC)

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Used:
    """Seconds, operations and bytes: of a part, or of all up to a moment."""

    seconds: float = 0.0
    operations: float = 0.0
    moved: float = 0.0

    def plus(self, other: Used, sign: float = 1.0) -> Used:
        return Used(
            self.seconds + sign * other.seconds,
            self.operations + sign * other.operations,
            self.moved + sign * other.moved,
        )


class Parts:
    """What each part used, by `read`, while it was the innermost one; of the last `step`."""

    def __init__(self, read: Callable[[], Used]) -> None:
        self.read, self.used = read, dict[str, Used]()
        self._inside: list[str] = []
        self._last = Used()

    @contextmanager
    def step(self) -> Iterator[None]:
        """A whole step; what belongs to no part is the rest."""
        self.used.clear()
        with self.part(REST):
            yield

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A pass within a pass belongs to the outer one."""
        outer = self._inside[-1] if self._inside else REST
        self._charge()
        self._inside.append(outer if name in _PASSES and outer in _PASSES else name)
        try:
            yield
        finally:
            self._charge()
            self._inside.pop()

    def moved(self, count: float) -> None:
        """The part at hand moved so many bytes at least, beside what `read` counts."""
        self._add(Used(moved=count))

    def _charge(self) -> None:
        seen = self.read()
        if self._inside:
            self._add(seen.plus(self._last, -1.0))
        self._last = seen

    def _add(self, used: Used) -> None:
        self.used[self._inside[-1]] = self.used.get(self._inside[-1], Used()).plus(used)

    def around(
        self,
        function: Callable[..., Any],
        part: str | Callable[..., str],
        moves: Callable[..., float] = lambda *args, **named: 0.0,
    ) -> Callable[..., Any]:
        """The function as a part, or as the one that `part` answers for its arguments; moves(answer, *arguments)."""

        def measured(*args: Any, **named: Any) -> Any:
            if torch.compiler.is_compiling():  # becomes part of a graph, which is measured as a whole
                return function(*args, **named)
            with self.part(part if isinstance(part, str) else part(*args, **named)):
                answer = function(*args, **named)
                self.moved(moves(answer, *args, **named))
                return answer

        return measured


# --- what is measured -------------------------------------------------------------------------------------------------


def measured_problem(problem: ConcreteProblem, parts: Parts) -> ConcreteProblem:
    """The same problem, whose answers are the same; its verbs, images, experts and transforms tell `parts`."""
    verbs = {name: parts.around(getattr(problem, name), part) for name, part in _VERBS.items()}
    real = _measured_images(problem.real, parts)
    normalize = verbs["normalize"]

    def augment(strategy: str, generator: torch.Generator) -> Transform:
        with parts.part(AUGMENTATION):
            return _MeasuredTransform(problem.augment(strategy, generator), parts)

    def real_batch(n: int, generator: torch.Generator, augment: Transform) -> RealBatch:
        index: Tensor = real.draw(n, generator)
        return RealBatch(real, index, normalize, augment)  # type: ignore[arg-type]  # a Normaliser, measured

    return _with(
        problem,
        **verbs,
        augment=augment,
        augment_batch=parts.around(problem.augment_batch, AUGMENTATION, _moved_in_training),
        new_network=parts.around(problem.new_network, BUILDING, _written),
        real_batch=real_batch,
        real=real,
        experts=[
            _with(expert, interpolate=parts.around(expert.interpolate, BUILDING, _interpolated))
            for expert in problem.experts
        ],
    )


def _pass_of(network: Any, images: Any, *rest: Any, **named: Any) -> str:
    return SYNTHETIC if isinstance(images, Tensor) and forward.needs_graph(images) else REAL


_VERBS: dict[str, str | Callable[..., str]] = {
    **dict.fromkeys(("mean_embedding", "embed", "embedding_and_losses", "class_losses", "class_gradients"), _pass_of),
    "by_class": SYNTHETIC,
    "calibrate_batchnorm": REAL,
    "training_gradients": TRAINING,
    "normalize": lambda images: SYNTHETIC if images.requires_grad else DRAWING,
}


# Bytes that a call moves at least: its answer, then its arguments.


def _written(network: Any, index: int) -> float:
    return size_of(network.state_dict().values())


def _interpolated(network: Any, weight: float) -> float:
    return 3 * size_of(network.state_dict().values())


def _moved_in_training(seen: Tensor, strategy: str, images: Tensor, generator: torch.Generator) -> float:
    return 0.0 if seen is images else size_of([images, seen])


def _transformed(seen: Tensor, images: Tensor) -> float:
    return 0.0 if seen is images else size_of([images, seen])


def _taken(images: Tensor, index: Tensor) -> float:
    return size_of([images]) + images.numel()


def _stepped(answer: None, images: Tensor, *args: Any, **named: Any) -> float:
    return 5 * size_of([images])


def _trained(answer: None, weights: list[Tensor], gradients: Any, momentum: Any = None, **named: float) -> float:
    return (3 if momentum is None else 5) * size_of(weights)


def _measured_images(real: RealImages, parts: Parts) -> RealImages:
    found = copy.copy(real)  # whose own methods see what is put into it
    verbs = {name: parts.around(getattr(found, name), DRAWING) for name in ("draw", "batch", "sample", "of_class")}
    take = parts.around(found.take, DRAWING, _taken)
    vars(found).update(verbs, take=take)
    return found


@dataclass(frozen=True)
class _MeasuredTransform:
    """A drawn transform whose use is augmentation."""

    plain: Transform
    parts: Parts

    def __call__(self, images: Tensor) -> Tensor:
        seen: Tensor = self.parts.around(self.plain, AUGMENTATION, _transformed)(images)
        return seen

    def of(self, classes: slice) -> _MeasuredTransform:
        return _MeasuredTransform(self.parts.around(self.plain.of, AUGMENTATION)(classes), self.parts)


def _with(thing: Thing, **instead: Any) -> Thing:
    """A shallow copy of an object with some attributes of its own."""
    found = copy.copy(thing)
    vars(found).update(instead)
    return found


@contextmanager
def watched(method: type[Condenser], parts: Parts) -> Iterator[set[str]]:
    """While inside, the optimiser's functions and gradients of images are parts; yields the names of what is compiled.

    Methods call them by name, not through the problem: they are replaced in the modules of the method's classes, and
    only in a process that profiles.
    """
    compiled: set[str] = set()
    compile_and_call, class_pass = COMPILER.call, momentum.class_pass

    def call(
        function: Callable[..., Any], *args: Any,
        inner: Callable[..., Any] | None = None, then: Callable[[Any], Any] | None = None,
    ) -> Any:  # fmt: skip
        answer = compile_and_call(function, *args, inner=inner, then=then)
        if COMPILER.compiles(inner or function):
            compiled.add(function.__name__)
        return answer

    def measured_pass(images: Tensor, momentum: Tensor, class_losses: ClassLosses, lr: float, mu: float) -> Tensor:
        with parts.part(OPTIMISER):
            return class_pass(images, momentum, parts.around(class_losses, SYNTHETIC), lr, mu)

    instead = {
        "class_pass": measured_pass,
        "joint_step": parts.around(momentum.joint_step, OPTIMISER, _stepped),
        "train_weights": parts.around(momentum.train_weights, OPTIMISER, _trained),
    }
    modules = {sys.modules[base.__module__] for base in method.__mro__} | {momentum}
    with ExitStack() as changes:
        for name, function in instead.items():
            plain = getattr(momentum, name)
            for module in modules:
                if getattr(module, name, None) is plain:
                    changes.enter_context(_replaced(module, name, function))
        changes.enter_context(_replaced(torch.autograd, "grad", parts.around(torch.autograd.grad, SYNTHETIC)))
        changes.enter_context(_replaced(COMPILER, "call", call))
        yield compiled


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    own = vars(owner).get(name)  # None: of its class, as a method is
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:
            delattr(owner, name)
        else:
            setattr(owner, name, own)
