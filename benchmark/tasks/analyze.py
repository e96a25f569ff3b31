"""What an analyse task does, by the name of its analysis. None of them looks at the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmark.analyses import curve, discrepancy, embedding, expert, interpolation
from benchmark.condensation.problem import TrainedExpert
from benchmark.condensation.synthetic_set import load_set
from benchmark.datasets import Split
from benchmark.datasets.splits import sample_per_class, subsample
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import SnapshotSchedule
from benchmark.execution.runtime import Outcome
from benchmark.execution.work import IndependentSteps
from benchmark.training import protocols
from benchmark.training.evaluation import Trainings
from benchmark.training.protocols import WHOLE
from benchmark.training.trainer import Training, accuracy
from benchmark.utils import seeding
from benchmark.utils.schedules import logarithmically
from benchmark.utils.seeding import Role
from results.store.schema import Status

MOST_SCORED = 10_000  # real images, drawn once for all experts, where there are more: a score is then within 0.5 points


def analyze(job: Attempt) -> Outcome:
    """Do the task's analysis. Sets that diverged or are unsupported are left out while others are left."""
    resolved = job.resolved
    for identity in resolved["experts"]:
        if skip_reason := job.skip_reason("prepare", identity):
            return skip_reason
    made = [identity for identity in resolved["sets"] if identity != WHOLE]
    records = {identity: job.store.record({"kind": "condense", "identity": identity}) for identity in made}
    sets = [
        Condensed(job, name, record) for name, record in records.items() if record and record["status"] == Status.OK
    ]
    for identity, record in records.items():
        if record is None or not sets:
            skip_reason = job.skip_reason("condense", identity)
            assert skip_reason is not None
            return skip_reason
        if record["status"] != Status.OK:
            job.log(f"left out: condense {identity[:12]}, {record['status']}: {record['message']}")
    return _DO[resolved["analysis"]](job, sets)


@dataclass(frozen=True)
class Condensed:
    """A finished set, with the snapshots that were kept along its way."""

    job: Attempt
    identity: str
    record: Mapping[str, Any]

    @property
    def points(self) -> list[dict[str, Any]]:
        """step and seconds of each snapshot; without snapshots, of the finished set alone."""
        last = {"step": self.record["steps"], "seconds": self.record["seconds"]}
        return self.record["result"].get("snapshots") or [last]

    def decoded(self, step: int | None = None) -> tuple[Tensor, Tensor, int]:
        """Decoded images and labels of the finished set or of a snapshot, and how many images are stored."""
        kept = step is not None and "snapshots" in self.record["result"]
        name = f"snapshots/{step}.safetensors" if kept else "synthetic.safetensors"
        path: Path = self.job.artefact("condense", self.identity, name)
        stored = load_set(path, self.job.compute.device)
        return *stored.decode(), len(stored.labels)


# --- curve ------------------------------------------------------------------------------------------------------------


def _curve(job: Attempt, sets: list[Condensed]) -> Outcome:
    resolved = job.resolved
    kept, withheld = job.splits()
    protocol = protocols.from_asked(resolved["protocol"])
    if resolved["sets"] == [WHOLE]:
        images, labels = kept.images.to(job.compute.device), kept.labels.to(job.compute.device)
        recipe = protocol.recipe_for_whole(len(labels), resolved["whole"]["epochs"])
        return _curve_of_whole(job, partial(job.new_training, images, labels, recipe), withheld)
    (one,) = sets
    points, networks = one.points, resolved["num_eval"]

    def new_training(place: int) -> Training:
        images, labels, stored = one.decoded(points[place // networks]["step"])
        return job.new_training(images, labels, protocol.recipe(stored, len(labels)), place % networks)

    work = Trainings(new_training, networks * len(points))
    ends = range(work.steps_each, work.total_steps + 1, work.steps_each)
    schedule = SnapshotSchedule(
        frozenset(ends), lambda step, seconds: {"accuracy": _score(job, work.training, withheld)}
    )
    run_result = job.turn(work, schedule=schedule)
    found = curve.of_snapshots(points, [look["accuracy"] for look in schedule.taken], networks)
    return job.commit(Status.OK, {"split": "validation", "points": found}, run_result, work.total_steps)


def _curve_of_whole(job: Attempt, new_training: Callable[[int], Training], withheld: Split) -> Outcome:
    """Scores along the training of the networks that the row of the whole set has."""
    networks = job.resolved["num_eval"]
    work = Trainings(new_training, networks)
    steps = [step for step in logarithmically(work.steps_each, job.resolved["points"]) if step]

    def look(step: int, seconds: float) -> dict[str, Any]:
        if step == 0:
            return {"untrained": [_score(job, new_training(place), withheld) for place in range(networks)]}
        return {"accuracy": _score(job, work.training, withheld)}

    places = {place * work.steps_each + step for place in range(networks) for step in steps}
    schedule = SnapshotSchedule(frozenset({0} | places), look)
    run_result = job.turn(work, schedule=schedule)
    first, *others = schedule.taken
    found = curve.of_trainings(first["untrained"], others, work.steps_each)
    return job.commit(Status.OK, {"split": "validation", "points": found}, run_result, work.total_steps)


def _score(job: Attempt, training: Training, split: Split) -> float:
    return accuracy(training.network, split, job.compute, training.normalize)


# --- discrepancy ------------------------------------------------------------------------------------------------------


def _discrepancy(job: Attempt, sets: list[Condensed]) -> Outcome:
    resolved, classes = job.resolved, job.data().num_classes
    kept, _ = job.splits()
    images, labels = kept.images.to(job.compute.device), kept.labels.to(job.compute.device)
    recipe = protocols.from_asked(resolved["protocol"]).recipe_for_whole(len(labels), resolved["whole"]["epochs"])
    decoded = {one.identity: one.decoded()[:2] for one in sets}
    work = Trainings(partial(job.new_training, images, labels, recipe), 1)

    def look(step: int, seconds: float) -> dict[str, Any]:
        def moments(of: tuple[Tensor, Tensor]) -> discrepancy.Moments:
            return discrepancy.moments(work.training.network, *of, classes, job.compute, work.training.normalize)

        real = moments((images, labels))
        return {"sets": {name: discrepancy.distances(real, moments(of)) for name, of in decoded.items()}}

    schedule = SnapshotSchedule(frozenset(logarithmically(work.steps_each, discrepancy.LOOKS)), look)
    run_result = job.turn(work, schedule=schedule)
    found = {
        name: {
            key: [look["sets"][name][key] for look in schedule.taken] for key in ("mean_distance", "relative_distance")
        }
        for name in decoded
    }
    result = {"steps": [look["step"] for look in schedule.taken], "sets": found}
    return job.commit(Status.OK, result, run_result, work.total_steps)


# --- experts ----------------------------------------------------------------------------------------------------------


def _experts(job: Attempt) -> list[TrainedExpert]:
    scratch = job.network(seeding.generator(Role.SCRATCH)).requires_grad_(False)
    return [job.expert(identity, scratch) for identity in job.resolved["experts"]]


def _few(job: Attempt, split: Split) -> Split:
    return subsample(split, MOST_SCORED, seeding.generator(Role.SCORED_IMAGES, job.resolved["dataset"]["fingerprint"]))


def _interpolation(job: Attempt, sets: list[Condensed]) -> Outcome:
    kept, withheld = job.splits()
    split = _few(job, withheld if len(withheld) else kept)
    experts = _experts(job)
    work = IndependentSteps(interpolation.pieces(experts, split, job.compute, job.normalizer()))
    run_result = job.turn(work)
    result = {
        "lambdas": list(interpolation.LAMBDAS),
        "split": "validation" if len(withheld) else "train",
        "images": len(split),
        "accuracies": interpolation.table(work.found, len(experts)),
    }
    return job.commit(Status.OK, result, run_result, work.total_steps)


def _expert(job: Attempt, sets: list[Condensed]) -> Outcome:
    kept, withheld = job.splits()
    experts, normalize = _experts(job), job.normalizer()

    def scores(read: Callable[[], Split]) -> Callable[[], list[float]]:
        return lambda: expert.score_all(experts, read, job.compute, normalize)

    real = [_few(job, split) for split in (kept, withheld) if len(split)]
    points = [(one, point["step"]) for one in sets for point in one.points]
    pieces = [scores(lambda split=split: split) for split in real]  # type: ignore[misc]
    pieces += [scores(partial(_as_split, one, step)) for one, step in points]
    work = IndependentSteps(pieces)
    run_result = job.turn(work)
    means = [sum(found) / len(found) for found in work.found[: len(real)]]
    result: dict[str, Any] = {
        "real": {"train": means[0], "validation": means[1] if len(means) > 1 else None},
        "images": len(real[0]),
        "sets": {one.identity: {"steps": [], "accuracies": []} for one in sets},
    }
    for (one, step), found in zip(points, work.found[len(real) :], strict=True):
        result["sets"][one.identity]["steps"].append(step)
        result["sets"][one.identity]["accuracies"].append(found)
    return job.commit(Status.OK, result, run_result, work.total_steps)


def _as_split(one: Condensed, step: int) -> Split:
    images, labels, _ = one.decoded(step)
    return Split(images, labels)


def _embedding(job: Attempt, sets: list[Condensed]) -> Outcome:
    resolved, classes = job.resolved, job.data().num_classes
    values = resolved["dataset"]["fingerprint"], resolved["seed"]
    kept, _ = job.splits()
    (seer,) = _experts(job)
    seer.interpolate(0.0)

    def few(images: Tensor, labels: Tensor, most: int, role: Role) -> tuple[Tensor, list[int]]:
        each = embedding.of_a_class(most, classes)
        chosen = sample_per_class(labels.cpu(), each, seeding.generator(role, *values))
        return images[chosen.to(images.device)], labels.cpu()[chosen].tolist()

    def lay_out() -> dict[str, Any]:
        shown = {"real": few(kept.images, kept.labels, embedding.MOST_REAL, Role.EMBEDDED_REAL)}
        shown |= {one.identity: few(*one.decoded()[:2], embedding.MOST_SET, Role.EMBEDDED_SET) for one in sets}
        seen = {
            name: embedding.features(seer.scratch, images, job.compute, job.normalizer())
            for name, (images, _) in shown.items()
        }
        draw = seeding.derive_seed(Role.EMBEDDING, *values) % 2**32
        xy = embedding.project(seen.pop("real"), seen, resolved["method"], draw, job.compute.threads)
        return {name: {"xy": embedding.plain(xy[name]), "labels": labels} for name, (_, labels) in shown.items()}

    work = IndependentSteps([lay_out])
    run_result = job.turn(work)
    (found,) = work.found
    result = {"method": resolved["method"], "real": found.pop("real"), "sets": found}
    return job.commit(Status.OK, result, run_result, work.total_steps)


_DO: dict[str, Callable[[Attempt, list[Condensed]], Outcome]] = {
    "curve": _curve,
    "discrepancy": _discrepancy,
    "interpolation": _interpolation,
    "expert": _expert,
    "embedding": _embedding,
}
