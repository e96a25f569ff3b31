"""What a plan will take, before anything runs: seconds per step from a few probed steps, device-hours, memory, disk.

Every kind of task is built with its own parts on blank images, and steps are timed on the device that will be used.
Evaluation networks are trained in the groups in which they will learn, and a step is one of a whole group; of experts,
too, but there a group are several tasks, each of which is charged its share.
A condensing step is probed with one class first, then with two or as many as should take PATIENCE seconds, or all.
From there seconds and memory grow along the last two sizes (a step may also cost what no class adds to, as training a
network does), memory up to as many classes as are forwarded at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmark import analyses, datasets, networks
from benchmark.analyses.base import snapshot_steps
from benchmark.compute.allocator import out_of_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory
from benchmark.condensation.problem import DeviceImages
from benchmark.datasets import Outline
from benchmark.datasets.splits import kept_counts
from benchmark.estimation.dummy_problem import blank_split, compute_for, dummy_problem, normalizer_of
from benchmark.estimation.step_timing import MOST_STEPS, Growth, memory_at, next_size, seconds_at, seconds_of_a_step
from benchmark.planning.plan import Plan, Task, task_name
from benchmark.training import protocols
from benchmark.training.evaluation import Evaluation
from benchmark.training.experts import expert_recipe
from benchmark.training.trainer import Recipe, Training, accuracy
from benchmark.training.vectorized import choose_num_parallel
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from benchmark.utils.timing import Stopwatch
from methods import registry
from results.store.schema import KINDS
from results.store.store import Store

Progress = Callable[[str, int, int], None]

_COPIES = 4  # of its images that a class adds where it adds no graph: drawn, normalised, augmented, their gradient
_SCORING = Recipe(1, 64, 0.01, 0.9, 0.0, (), 1.0, False, "none", 0.0)  # where it is scored alone that is timed
_RECORD = 4096  # bytes of task.json, record.json and log.txt, about


@dataclass(frozen=True)
class TaskCost:
    """What a task takes. seconds: of a step, nan where there are none; fixed: seconds besides; memory: peak bytes.

    Where memory ran out at once, steps are None and seconds, fixed and memory nan, as nobody knows them.
    """

    steps: int | None
    seconds: float
    fixed: float
    memory: float
    disk: int
    note: str = ""

    @property
    def total(self) -> float:
        """Seconds of one whole task."""
        return self.fixed + (self.steps * self.seconds if self.steps else 0.0)

    @property
    def fits(self) -> bool:
        """Whether there was memory for some of it at least."""
        return self.steps is not None


@dataclass(frozen=True)
class TrainingCost:
    """How networks learn. seconds: of a step of those that learn together; scoring: seconds of one image and network.

    memory: peak bytes without the images that are learnt.
    """

    seconds: float
    scoring: float
    memory: float
    num_parallel: int


@dataclass(frozen=True)
class EstimateRow:
    """Tasks of one kind that cost the same: all seeds (or experts) of a cell. todo: those that are not done yet."""

    kind: str
    dataset: str
    ipc: int | None
    what: str
    tasks: int
    todo: int
    probe: TaskCost

    @property
    def hours(self) -> float:
        """Of the device, for what is left to do."""
        return self.todo * self.probe.total / 3600


def estimate(planned: Plan, store: Store, compute: Compute, progress: Progress) -> list[EstimateRow]:
    """One line for each group of like tasks, kind by kind, datasets in the order of the plan. Writes nothing.

    What is said while they are probed is noted in the plan.
    Steps are probed uncompiled unless compiling was asked for: compiling every shape of a large plan takes an hour.
    """
    compute = replace(compute, compile=bool(compute.compile))
    compute.activate()
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for task in planned.tasks:
        groups.setdefault(_group(task, planned.by_identity), []).append(task)
    done = {task["identity"] for task, _ in store.recorded(planned.tasks)}
    prober = Prober(planned, compute)
    lines = []
    for place, ((kind, dataset, ipc, what, _), tasks) in enumerate(groups.items(), start=1):
        todo = sum(task["identity"] not in done for task in tasks)
        at_once = math.ceil(todo / compute.num_devices)  # of experts, who are alike: every device has its share
        lines.append(EstimateRow(kind, dataset, ipc, what, len(tasks), todo, prober.probe(tasks[0], max(1, at_once))))
        progress("probing a few steps of each kind of task", place, len(groups))
    return sorted(lines, key=lambda line: KINDS.index(line.kind))  # stable


def _group(task: Task, sets: Mapping[str, Task]) -> tuple[Any, ...]:
    """(kind, dataset, ipc, what) for a person, then whatever else makes tasks cost differently."""
    resolved, display = task["resolved"], task["display"]
    network = resolved.get("architecture")
    what = {
        "prepare": f"experts, {network}",
        "condense": f"{display.get('display_name')}, {network}",
        "import": f"{display.get('display_name')}, made elsewhere",
        "evaluate": f"{display.get('display_name')}, {network}, {display.get('protocol')}",
        "analyze": ", ".join(filter(None, (_looks_at(task, sets), network, display.get("protocol")))),
    }[task["kind"]]
    return (
        task["kind"],
        display["dataset"],
        display.get("ipc"),
        what,
        str(resolved.get("recipe", display.get("condense_architecture"))),
    )


def _looks_at(task: Task, sets: Mapping[str, Task]) -> str:
    """The analysis, and for a curve, whose cost is its set's, of which row."""
    resolved = task["resolved"]
    one = sets.get(resolved["sets"][0]) if resolved.get("analysis") == "curve" else None
    return f"curve of {one['display']['display_name']}" if one else str(resolved.get("analysis"))


class Prober:
    """Builds the work of tasks and times it; training steps that are the same are timed once.

    What the compiler and the memory have to say meanwhile is noted in the plan.
    """

    def __init__(self, planned: Plan, compute: Compute) -> None:
        self.planned, self.compute = planned, compute
        self.base = float(PeakMemory(compute.device).bytes() or 0)  # of this process, before anything is probed
        self.learnt: dict[Any, TrainingCost] = {}

    def probe(self, task: Task, experts: int = 1) -> TaskCost:
        """What the task takes; one that trains an expert, where so many like it are to be trained on this device."""
        COMPILER.begin_task(partial(self._hear, task))
        outline = self.planned.outlines[task["display"]["dataset"]]
        kept = kept_counts(outline.train, task["resolved"].get("val_fraction", 0.0))
        kinds: dict[str, Callable[[Task, Outline, Sequence[int]], TaskCost]] = {
            "prepare": partial(self._prepare, experts),
            "condense": self._condense,
            "import": self._import,
            "evaluate": self._evaluate,
            "analyze": self._analyse,
        }
        try:
            return kinds[task["kind"]](task, outline, kept)
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
        return _without_memory("out of memory")

    def _hear(self, task: Task, text: str) -> None:
        """Note it once, whichever tasks it is said of, also when a plan is probed again."""
        if not any(note.endswith(text) for note in self.planned.notes):
            self.planned.note(f"probing {task_name(task)}: {text}")

    def compiles(self, task: Task) -> bool:
        """Whether a task that trains an expert or condenses is compiled, as it was said or by the rule.

        Where the rule asks for a method's steps, memory may run out as it is built: torch's errors pass through.
        """
        COMPILER.begin_task(partial(self._hear, task))
        outline = self.planned.outlines[task["display"]["dataset"]]
        if task["kind"] == "condense":
            return bool(compute_for(self.compute, task, outline).compile)
        resolved, compute = task["resolved"], replace(self.compute)
        images = sum(kept_counts(outline.train, resolved["val_fraction"]))
        compute.choose_compile(expert_recipe(resolved["recipe"], images).samples_seen(images), outline.image_shape)
        return bool(compute.compile)

    # --- the kinds --------------------------------------------------------------------------------------------------

    def _prepare(self, experts: int, task: Task, outline: Outline, kept: Sequence[int]) -> TaskCost:
        images = sum(kept)
        recipe = expert_recipe(task["resolved"]["recipe"], images)
        learnt, parameters = self._train(task, outline, recipe, images, experts), _parameters(task, outline)
        peak, share = (
            self._peak(outline, learnt.memory, images * math.prod(outline.image_shape)),
            1 / learnt.num_parallel,
        )
        return TaskCost(recipe.steps, learnt.seconds * share, learnt.scoring * images, peak, 8 * parameters + _RECORD)

    def _import(self, task: Task, outline: Outline, kept: Sequence[int]) -> TaskCost:
        """Reading a file that was read for the plan already: no time to speak of."""
        stored = 4 * task["resolved"]["ipc"] * outline.num_classes * math.prod(outline.image_shape)
        return TaskCost(0, math.nan, 0.0, self._peak(outline, 0.0, 2 * stored), stored + _RECORD)

    def _evaluate(self, task: Task, outline: Outline, kept: Sequence[int]) -> TaskCost:
        resolved = task["resolved"]
        protocol = protocols.from_resolved(resolved["protocol"])
        if resolved["set"] == protocols.WHOLE:
            images, recipe = sum(kept), protocol.recipe_for_whole(sum(kept), resolved["whole"]["epochs"])
        else:
            stored = task["display"]["ipc"] * outline.num_classes
            images = stored * task["display"]["factor"] ** 2
            recipe = protocol.recipe(stored, images)
        learnt = self._train(task, outline, recipe, images, resolved["num_eval"])
        groups = math.ceil(resolved["num_eval"] / learnt.num_parallel)
        scored = resolved["num_eval"] * (sum(outline.test) + sum(outline.train) - sum(kept))
        data = images * math.prod(outline.image_shape) * (1 if resolved["set"] == protocols.WHOLE else 4)
        peak = self._peak(outline, learnt.memory, data)
        return TaskCost(groups * recipe.steps, learnt.seconds, learnt.scoring * scored, peak, _RECORD)

    def _analyse(self, task: Task, outline: Outline, kept: Sequence[int]) -> TaskCost:
        resolved = task["resolved"]
        sets = [self.planned.by_identity[identity] for identity in resolved["sets"] if identity != protocols.WHOLE]
        cost = analyses.get(resolved["analysis"]).cost(task, outline, sum(kept), sets)
        recipe, images = cost.training or (_SCORING, sum(kept))
        learnt = self._train(task, outline, recipe, images)
        peak, scoring = self._peak(outline, learnt.memory, images * math.prod(outline.image_shape)), learnt.scoring
        if cost.training is None:
            return TaskCost(cost.steps, cost.scored * scoring / cost.steps, 0.0, peak, _RECORD, cost.note)
        return TaskCost(cost.steps, learnt.seconds, scoring * cost.scored, peak, _RECORD, cost.note)

    def _condense(self, task: Task, outline: Outline, kept: Sequence[int]) -> TaskCost:
        resolved = task["resolved"]
        method = registry.get(resolved["method"])
        config = method.Config(**resolved["settings"])
        network = networks.build(resolved["architecture"], outline.image_shape, 2, torch.Generator())
        depends = network.depends_on_batch
        if reason := method.unsupported(config, depends_on_batch=depends):
            return TaskCost(0, math.nan, 0.0, 0.0, _RECORD, f"unsupported: {reason}")
        sets = 1 + (len(snapshot_steps(task)) if resolved.get("snapshots") else 0)
        disk = sets * _set_bytes(resolved["ipc"] * outline.num_classes, outline) + _RECORD
        measured, note = [], ""
        compute, each = compute_for(self.compute, task, outline), resolved["ipc"] * task["display"]["factor"] ** 2
        at_once = outline.num_classes if depends else compute.classes_at_once(each, outline.image_shape[1:])
        # at ipc 1 a class is one image; whole groups where each size of them would be compiled
        classes = min(at_once if compute.compiled else network.smallest_batch, outline.num_classes)
        while classes:
            try:
                measured.append((classes, *self._condense_with(classes, task, outline, kept, compute)))
            except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                note = f"out of memory with {classes} of {outline.num_classes} classes"
                break
            if not compute.compiled:
                classes = next_size(classes, measured[-1][2], outline.num_classes)
            else:
                classes = 2 * classes if len(measured) == 1 and 2 * classes <= outline.num_classes else 0
        if not measured:
            return _without_memory(note)
        size, steps, _, fixed, _ = measured[-1]
        scale = outline.num_classes / size
        memory = memory_at(
            [(row[0], row[4]) for row in measured],
            outline.num_classes,
            at_once,
            _COPIES * 4 * math.prod(outline.image_shape) * (each + config.batch_real),
        )
        step = seconds_at([(row[0], row[2]) for row in measured], outline.num_classes)
        return TaskCost(steps, step, fixed * scale, self._peak(outline, memory, 0), disk, note)

    def _peak(self, outline: Outline, grown: float, on_device: int) -> float:
        """Peak bytes of a task: what the process has anyway, what a few steps added, and the images."""
        images = (sum(outline.train) + sum(outline.test)) * math.prod(outline.image_shape)
        return self.base + grown + (on_device if self.compute.device.type == "cuda" else max(images, on_device))

    # --- building and timing ------------------------------------------------------------------------------------------

    def _condense_with(
        self, classes: int, task: Task, outline: Outline, kept: Sequence[int], compute: Compute
    ) -> tuple[int, float, float, float]:
        """Steps, seconds of a step, seconds of making the method, and peak bytes, with only so many classes."""
        resolved = task["resolved"]
        split = blank_split(outline, kept[:classes])
        memory = Growth(compute)
        problem = dummy_problem(task, outline, _FewClasses(split, classes, compute.device), compute)
        watch = Stopwatch(compute.device)
        with watch.running():
            method = registry.get(resolved["method"])
            work = method(problem, method.Config(**resolved["settings"]))
        seconds = seconds_of_a_step(work, compute) if work.total_steps else 0.0
        return work.total_steps, seconds, watch.seconds, memory.bytes()

    def _train(self, task: Task, outline: Outline, recipe: Recipe, images: int, learners: int = 1) -> TrainingCost:
        """So many networks learning so many images, as many of them together as the task will have."""
        resolved, shape = task["resolved"], outline.image_shape
        compute = replace(self.compute)
        compute.choose_compile(recipe.samples_seen(images) * (1 if task["kind"] == "prepare" else learners), shape)
        like = networks.build(resolved["architecture"], shape, outline.num_classes, torch.Generator())
        choose_num_parallel(compute, learners, like, min(recipe.batch, images), shape)
        num_parallel = min(compute.num_parallel, learners)
        batch = math.ceil(images / math.ceil(images / recipe.batch))  # the last batch of an epoch is smaller
        key = (shape, outline.num_classes, resolved["architecture"], batch, recipe.augment, recipe.cutmix,
               compute.compile, num_parallel)  # fmt: skip
        if key not in self.learnt:
            few = replace(
                recipe, steps=MOST_STEPS + 2, batch=batch, lr_milestones=()
            )  # more than are timed: none is scored
            self.learnt[key] = self._train_with(few, resolved, outline, compute, num_parallel)
        return self.learnt[key]

    def _train_with(
        self, recipe: Recipe, resolved: Task, outline: Outline, compute: Compute, num_parallel: int
    ) -> TrainingCost:
        """The same of one group of networks, of fewer where memory runs out for all of it, as in the task itself."""
        memory = Growth(compute)
        count = recipe.batch * MOST_STEPS
        images = torch.rand(count, *outline.image_shape, generator=seeding.generator(Role.PROBE)).to(compute.device)
        labels = (torch.arange(count) % outline.num_classes).to(compute.device)
        normalizer = normalizer_of(resolved, compute)

        def new_training(place: int) -> Training:
            network = networks.build(
                resolved["architecture"], outline.image_shape, outline.num_classes, seeding.generator(Role.PROBE, place)
            )
            return Training(
                network.to(compute.device), images, labels, recipe, compute, normalizer,
                lambda draw, at: seeding.generator(Role.PROBE, place, draw, at),
            )  # fmt: skip

        scored = blank_split(outline, (min(compute.images_at_once(outline.image_shape), sum(outline.test)),))
        work = Evaluation(new_training, num_parallel, scored, scored, compute, normalizer)
        seconds = seconds_of_a_step(work, compute)
        watch, network = Stopwatch(compute.device), work.training.networks[0]
        accuracy(network, scored, compute, normalizer)  # the first time compiles
        with watch.running():
            accuracy(network, scored, compute, normalizer)
        return TrainingCost(
            seconds, watch.seconds / len(scored), memory.bytes(), min(compute.num_parallel, num_parallel)
        )


class _FewClasses(DeviceImages):
    """Some classes of a dataset, whose mixed batches are as large as those of all classes: drawn with repetition."""

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self.labels), (n,), generator=generator)
        return self.take(chosen), self.labels[chosen.to(self.labels.device)]


def _without_memory(note: str) -> TaskCost:
    """Of a task for which there is none: it will leave its log and nothing else."""
    return TaskCost(None, math.nan, math.nan, math.nan, _RECORD, note)


def _parameters(task: Task, outline: Outline) -> int:
    network = networks.build(
        task["resolved"]["architecture"], outline.image_shape, outline.num_classes, torch.Generator()
    )
    return sum(parameter.numel() for parameter in network.parameters())


def _set_bytes(images: int, outline: Outline) -> int:
    """synthetic.safetensors, float32, with labels."""
    return images * (math.prod(outline.image_shape) * 4 + 8)


def dataset_bytes(outline: Outline) -> int:
    """What fetching and decoding a known dataset will still take on disk; 0 for one that is decoded."""
    key = datasets.key_of(outline.name)
    if outline.seen or key is None:
        return 0
    card = datasets.BUILTIN[key]
    return card.download + card.decoded_bytes
