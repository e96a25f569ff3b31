"""Where the time of a condensation step goes, by phase, with torch.profiler.

Each method runs on noise in the shape of its dataset. After a warm-up the next steps run twice from the same state:
without the profiler, for the time of a step, and under it, for the share of each phase. A phase is a range marked by
`torch.profiler.record_function`. Its time excludes the phases inside it, so the phases add up to the step.

On a CPU the ranges hold the work itself. A GPU works on after a call returns, so under the profiler each recorded call
of the problem waits for the GPU before and after it. The optimizer and the method's own backward pass do not wait: what
the GPU still computes for them counts as `other`.
"""

from __future__ import annotations

import copy
import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, record_function

from benchmark import networks
from benchmark.compute.allocator import out_of_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory, device_name
from benchmark.condensation.problem import ConcreteProblem, DeviceImages
from benchmark.config.schema import ProfileConfig
from benchmark.datasets import Outline
from benchmark.datasets.base import Progress
from benchmark.estimation.dummy_problem import compute_for, dummy_problem, noise_split
from benchmark.execution.runtime import Task
from benchmark.planning import grid
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.timing import Stopwatch, now
from methods import registry
from methods.base import Condenser, Transform
from methods.momentum import OPTIMIZER_STEP
from results.formatting import size

WARMUP_STEPS = 2  # steps before any is timed: they compile and fill caches
STEP = "condensation step"
DRAW, AUGMENT, NETWORK, TRAIN = "draw real images", "augment", "new network", "train networks"
REAL, SYNTHETIC, OTHER = "real pass", "synthetic pass", "other"
PHASES = (DRAW, AUGMENT, NETWORK, TRAIN, REAL, SYNTHETIC, OPTIMIZER_STEP, OTHER)
BACKWARD = "autograd::engine::evaluate_function"  # how torch names each operation of a backward pass
PASSES = ("mean_embedding", "embed", "embedding_and_losses", "class_losses", "class_gradients", "losses_by_class")
# The phase of each method of a problem; "" for passes, whose phase their images decide.
PHASE_OF_METHOD = dict.fromkeys(PASSES, "") | {
    "augment": AUGMENT,
    "augment_batch": AUGMENT,
    "cutmix": AUGMENT,
    "new_network": NETWORK,
    "calibrate_batchnorm": REAL,
    "training_gradients": TRAIN,
}

Instance = TypeVar("Instance")


def profiled_tasks(config: ProfileConfig, progress: Progress) -> list[tuple[Task, Outline]]:
    """The condense tasks, each with its dataset. Raises BenchmarkError if one of them cannot be profiled."""
    for text in config.methods:
        name = grid.parse_row(text).method
        if getattr(registry.get(name), "total_steps", None) == 0:
            raise BenchmarkError(
                f"{name} selects images at once: there is no step to profile",
                where=f"methods=[{text}]",
                next="name methods that learn their images",
            )
    planned = grid.build(config.run_config(), progress)
    tasks = [(task, planned.outlines[task["display"]["dataset"]]) for task in planned.of_kind("condense")]
    for task, outline in tasks:
        name, architecture = task["resolved"]["method"], task["resolved"]["architecture"]
        method = registry.get(name)
        network = networks.build(architecture, outline.image_shape, outline.num_classes, torch.Generator())
        settings = method.Config(**task["resolved"]["settings"])
        if reason := method.unsupported(settings, depends_on_batch=network.depends_on_batch):
            raise BenchmarkError(f"{name} with {architecture}: {reason}", where="architectures")
    return tasks


def trace_files(trace: str | None, count: int) -> list[Path] | list[None]:
    """A file for each task, numbered if there are several. Raises BenchmarkError if one cannot be written."""
    if trace is None:
        return [None] * count
    path = Path(trace).expanduser()
    files = [path] if count == 1 else [path.parent / f"{n}-{path.name}" for n in range(1, count + 1)]
    for file in (path, *files):
        if file.is_dir() or not file.parent.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
            raise BenchmarkError(
                f"{file} is a folder, or no file can be written there",
                where=f"trace={trace}",
                next="name a file, in a folder that exists and that you may write to",
            )
    return files


@dataclass(frozen=True)
class Profile:
    """Of a step: mean seconds without the profiler; each phase's share and recorded calls; peak memory in bytes."""

    seconds: float
    phases: dict[str, tuple[float, float]]
    memory: int | None
    profiler: torch.profiler.profile


def profile_task(
    task: Task, outline: Outline, compute: Compute, steps: int, progress: Progress
) -> tuple[Profile, list[str]]:
    """The profile of a task, and lines to print below it. Raises BenchmarkError for too few steps or no memory left."""
    warnings: list[str] = []
    COMPILER.begin_task(warnings.append)
    resolved, recorder = task["resolved"], PhaseRecorder(compute.device)
    method = registry.get(resolved["method"])
    try:
        compute = compute_for(compute, task, outline)
        real = DeviceImages(noise_split(outline), outline.num_classes, compute.device)
        problem = recorder.problem(dummy_problem(task, outline, real, compute))
        short, times = method.Config(**resolved["settings"]).short_step()
        work, steps = method(problem, short), math.ceil(steps / short.period()) * short.period()
        if work.total_steps < WARMUP_STEPS + steps:
            raise BenchmarkError(
                f"{method.card.name} takes {work.total_steps} steps in all; {WARMUP_STEPS} warm up, {steps} are timed",
                where=f"steps={steps}, {task['slug']}",
                next="a smaller number of steps, preset=paper, or more iterations",
            )
        found = profile_steps(work, recorder, steps, partial(progress, f"steps of {task['slug']}"))
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise BenchmarkError("memory ran out", where=task["slug"], next="a smaller ipc, or fewer images") from error
    threads, compiled = f"{compute.threads} thread{'s' * (compute.threads != 1)}", "" if compute.compiled else "not "
    which = "steps" if times == 1 else f"short steps, {times:g} or more of which a step takes,"
    how = (
        f"mean of {steps} {which} on {device_name(compute.device)}, {threads}, {compute.precision}, {compiled}compiled"
    )
    return found, [how + (f"; peak memory {size(found.memory)}" if found.memory else ""), *warnings]


def profile_steps(
    work: Condenser, recorder: PhaseRecorder, steps: int, progress: Callable[[int, int], None]
) -> Profile:
    """Take WARMUP_STEPS steps, then the next ones twice: without the profiler and, from the same state, under it."""
    device, taken = recorder.device, itertools.count(1)
    peak = PeakMemory(device)

    def take(count: int) -> float:
        watch = Stopwatch(device)
        for _ in range(count):
            with record_function(STEP), watch.running():
                work.step()
            progress(next(taken), WARMUP_STEPS + 2 * steps)
        return watch.seconds / count

    take(WARMUP_STEPS)
    memory, state = peak.bytes(), copy.deepcopy(work.state_dict())  # steps change tensors in place
    seconds = take(steps)
    work.load_state_dict(state)
    recorder.on = True
    activities = {ProfilerActivity.CPU, getattr(ProfilerActivity, device.type.upper())}
    with torch.profiler.profile(activities=activities) as profiler:
        take(steps)
    on_cpu = [event for event in profiler.events() if event.device_type.name == "CPU"]
    ranges = [(event.time_range.start, event.time_range.end, event.name) for event in on_cpu]
    return Profile(seconds, phases(ranges, steps), memory, profiler)


def phases(ranges: Iterable[tuple[float, float, str]], steps: int) -> dict[str, tuple[float, float]]:
    """Each phase's share of the steps, without phases inside it, and its calls a step. A range: start, end, name."""
    times, calls = dict.fromkeys(PHASES, 0.0), Counter[str]()
    inside: list[tuple[float, str]] = []  # ends and phases of the ranges that surround the next one
    for start, end, name in sorted(ranges, key=lambda one: (one[0], -one[1])):
        while inside and inside[-1][0] <= start:
            inside.pop()
        outer = inside[-1][1] if inside else ""
        backward = name.startswith(BACKWARD)
        if backward and outer != OTHER:  # a part of the pass around it
            continue
        phase = SYNTHETIC if backward else OTHER if name == STEP else name
        if phase in PHASES:
            times[phase] += end - start
            if outer:
                times[outer] -= end - start
            calls[phase] += phase != outer and not backward
            inside.append((end, phase))
    return {phase: (times[phase] / sum(times.values()), calls[phase] / steps) for phase in PHASES if times[phase]}


class PhaseRecorder:
    """Makes calls appear as phases. While `on`, each of them waits for the GPU, so that its range holds its work."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.on = device, False

    def recorded(self, function: Callable[..., Any], phase: str = "") -> Callable[..., Any]:
        """The function, recorded as a phase: by default as the pass of images that need a gradient, or of real ones."""

        def recorded(*args: Any, **named: Any) -> Any:
            if torch.compiler.is_compiling() or not self.on:
                return function(*args, **named)
            learned = any(isinstance(one, Tensor) and one.requires_grad for one in (*args, *named.values()))
            now(self.device)
            with record_function(phase or (SYNTHETIC if learned else REAL)):
                answer = function(*args, **named)
                now(self.device)
            return answer

        return recorded

    def recorded_copy(self, plain: Instance, phases: Mapping[str, str]) -> Instance:
        """A shallow copy whose methods named in `phases` are recorded."""
        found = copy.copy(plain)
        for name, phase in phases.items():
            setattr(found, name, self.recorded(getattr(found, name), phase))
        return found

    def problem(self, plain: ConcreteProblem) -> ConcreteProblem:
        """A problem that answers the same; the calls of its methods, images, experts and transforms are recorded."""
        drawing = dict.fromkeys(("draw", "take", "sample", "batch", "of_class"), DRAW)
        found = self.recorded_copy(plain, PHASE_OF_METHOD)
        found.real = self.recorded_copy(plain.real, drawing)
        loading = dict.fromkeys(("interpolate", "weights"), NETWORK)
        found.experts = [self.recorded_copy(expert, loading) for expert in plain.experts]
        draw = found.augment
        vars(found)["augment"] = lambda *args, **named: RecordedTransform(draw(*args, **named), self)
        return found


@dataclass(frozen=True)
class RecordedTransform:
    """methods.base.Transform, recorded."""

    plain: Transform
    recorder: PhaseRecorder

    def __call__(self, images: Tensor) -> Any:
        return self.recorder.recorded(self.plain, AUGMENT)(images)

    def of(self, classes: slice) -> RecordedTransform:
        return RecordedTransform(self.recorder.recorded(self.plain.of, AUGMENT)(classes), self.recorder)
