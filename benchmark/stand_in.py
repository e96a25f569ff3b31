"""What a condense task would be given, without its dataset and its experts: for probing and profiling its steps."""

from __future__ import annotations

from dataclasses import asdict, replace

from benchmark import networks, seeds
from benchmark.compute import Compute
from benchmark.datasets import Constants, Outline
from benchmark.planned import Task
from benchmark.problem import ConcreteProblem, Normaliser, RealImages, TrainedExpert, images_of_steps
from benchmark.works import copy_of
from methods import registry


def as_condensing(compute: Compute, task: Task, outline: Outline) -> Compute:
    """How a condense task will compute: compiled or not, by the rule."""
    asked, compute = task["asked"], replace(compute)
    config = registry.get(asked["method"]).Config(**asked["settings"])
    images = images_of_steps(asdict(config).get("iterations", 0), outline.num_classes, asked["ipc"], config)
    compute.expect(images, outline.image_shape)
    return compute


def stand_in(task: Task, outline: Outline, real: RealImages, compute: Compute) -> ConcreteProblem:
    """A condense task's problem with other images than its dataset's, and experts that nobody trained."""
    asked, classes = task["asked"], len(real.counts)
    network = networks.build(asked["architecture"], outline.image_shape, classes, seeds.generator("scratch"))
    scratch = network.to(compute.device).requires_grad_(False)
    weights = copy_of(scratch)
    return ConcreteProblem(
        real,
        [TrainedExpert(scratch, weights, weights) for _ in asked["experts"]],
        compute,
        normaliser_of(asked, compute),
        ipc=asked["ipc"],
        image_shape=outline.image_shape,
        architecture=asked["architecture"],
        flip=asked["dataset"]["flip"],
        seed=asked["seed"],
        fingerprint="probe",
    )


def normaliser_of(asked: Task, compute: Compute) -> Normaliser:
    """With the constants that a task asks for."""
    data = asked["dataset"]
    return Normaliser(Constants(tuple(data["mean"]), tuple(data["std"])), compute.device)
