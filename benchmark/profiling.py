"""Where the time of a condensing step goes: a few steps measured part by part, and set against the device's floor.

On a GPU each border between parts waits for the device: steps so measured are somewhat longer than others. The step of
median length is then done again, uncompiled, from the state it began with, and its operations and bytes are counted
(`benchmark.floor`), likewise part by part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from benchmark import networks
from benchmark.compute.allocator import out_of_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import RealImages
from benchmark.datasets import Outline, Split
from benchmark.estimation.dummy_problem import compute_for, dummy_problem
from benchmark.floor import Counter
from benchmark.measured import PARTS, Parts, Used, measured_problem, watched
from benchmark.planning.plan import Task
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role
from benchmark.utils.timing import now
from methods import registry
from methods.base import Condenser, Tree

WARM = 2  # steps before any is measured: the first one compiles and fills caches, the second meets what was made
_NOISE = 2**22  # random bytes, repeated to be images: pages that were never written would be read from caches

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Profile:
    """The step of median length, part by part, without parts that did not occur; seconds of all measured steps.

    compiled: what was, in a sentence; told: what the compiler and the memory had to say.
    """

    parts: dict[str, Used]
    steps: tuple[float, ...]
    compiled: str
    told: tuple[str, ...]

    @property
    def whole(self) -> Used:
        total = Used()
        for used in self.parts.values():
            total = total.plus(used)
        return total


def profile(task: Task, outline: Outline, compute: Compute, steps: int, progress: Progress) -> Profile:
    """Some steps of a condense task, after WARM ones, on noise in the shape of its dataset.

    Raises BenchmarkError where the method has no step to profile, or fewer than are wanted, and where memory runs out.
    """
    told: list[str] = []
    COMPILER.begin_task(told.append)
    try:
        decided = compute_for(compute, task, outline)
        parts, seconds, compiled = _measure(task, outline, decided, steps, progress)
        return Profile(parts, seconds, _sentence(compute, decided, compiled), tuple(told))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise BenchmarkError(
            "memory ran out", where=task["slug"], next="a smaller ipc, or fewer real images"
        ) from error


def _measure(
    task: Task, outline: Outline, compute: Compute, steps: int, progress: Progress
) -> tuple[dict[str, Used], tuple[float, ...], set[str]]:
    """The median step part by part, seconds of all measured steps, and the names of what was compiled."""
    method = registry.get(task["resolved"]["method"])
    real = RealImages(noise(outline), outline.num_classes, compute.device)
    clocked = Parts(lambda: Used(seconds=now(compute.device)))
    work = _work(task, outline, real, compute, clocked)
    _require_steps(work, steps, task)
    measured: list[tuple[float, dict[str, Used], Tree]] = []
    with watched(method, clocked) as compiled:
        for step in range(WARM + steps):
            before = _copied(work.state_dict()) if step >= WARM else {}
            with clocked.step():
                work.step()
            if step >= WARM:
                measured.append((sum(used.seconds for used in clocked.used.values()), dict(clocked.used), before))
            progress(f"steps of {task['slug']}", step + 1, WARM + steps + 1)
    _, parts, before = sorted(measured, key=lambda one: one[0])[(steps - 1) // 2]
    counted = count(task, outline, real, compute, before)
    found = {name: replace(counted.get(name, Used()), seconds=parts[name].seconds) for name in PARTS if name in parts}
    return found, tuple(seconds for seconds, *_ in measured), compiled


def count(task: Task, outline: Outline, real: RealImages, compute: Compute, before: Tree) -> dict[str, Used]:
    """Operations and bytes of the step that begins in the state `before`, part by part, computed uncompiled."""
    counter = Counter()
    parts = Parts(lambda: Used(operations=counter.operations, moved=counter.moved))
    work = _work(task, outline, real, replace(compute, compile=False), parts)
    work.load_state_dict(before)
    with watched(type(work), parts), counter, parts.step():
        work.step()
    return parts.used


def noise(outline: Outline) -> Split:
    """Random images, as many of each class as the dataset has for training."""
    labels = torch.arange(outline.num_classes).repeat_interleave(torch.tensor(outline.train))
    shape = torch.Size((len(labels), *outline.image_shape))
    some = torch.randint(256, (min(_NOISE, shape.numel()),), dtype=torch.uint8, generator=seeding.generator(Role.PROBE))
    return Split(some.repeat(-(-shape.numel() // len(some)))[: shape.numel()].view(shape), labels)


def _work(task: Task, outline: Outline, real: RealImages, compute: Compute, parts: Parts) -> Condenser:
    method = registry.get(task["resolved"]["method"])
    problem = measured_problem(dummy_problem(task, outline, real, compute), parts)
    return method(problem, method.Config(**task["resolved"]["settings"]))


def require_supported(task: Task, outline: Outline) -> None:
    """Raise BenchmarkError where the method cannot condense with this network."""
    resolved = task["resolved"]
    method = registry.get(resolved["method"])
    network = networks.build(resolved["architecture"], outline.image_shape, outline.num_classes, torch.Generator())
    config = method.Config(**resolved["settings"])
    if reason := method.unsupported(config, depends_on_batch=network.depends_on_batch):
        raise BenchmarkError(f"{resolved['method']} with {resolved['architecture']}: {reason}", where="architectures")


def _require_steps(work: Condenser, steps: int, task: Task) -> None:
    name, total = task["resolved"]["method"], work.total_steps
    if total == 0:
        raise BenchmarkError(f"{name} selects images at once: there is no step to profile", where=f"methods=[{name}]")
    if total < WARM + steps:
        raise BenchmarkError(
            f"{name} takes {total} steps in all, and {steps} are to be measured after {WARM} that warm up",
            where=f"steps={steps}, {task['slug']}",
            next="a smaller number of steps, preset=paper, or more iterations",
        )


def _copied(tree: Tree) -> Tree:
    """Steps change tensors in place."""
    return {
        key: value.clone() if isinstance(value, Tensor) else _copied(value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }


_COMPILED = {
    "embed": "embeddings of real images",
    "logits": "logits of real images",
    "summed_entropy": "gradients of networks on real images",
    "entropy": "losses of networks in training",
    "mixed_entropy": "losses of networks in training",
    "class_losses": "losses of synthetic images with their gradient",
}


def _sentence(resolved: Compute, compute: Compute, compiled: set[str]) -> str:
    if compiled:
        named = dict.fromkeys(words for name, words in _COMPILED.items() if name in compiled)
        return f"compiled: {', '.join(named)}; all else runs as it is written"
    if compute.compile:
        return f"nothing is compiled: {COMPILER.broken or 'no pass of this step can be'}"
    if resolved.compile is None:
        return "nothing is compiled: a task of so few images does not repay it (compile=true compiles all the same)"
    return "nothing is compiled, as asked"
