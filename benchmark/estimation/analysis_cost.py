"""What analyse tasks will take: their steps, and how many images each of them trains on and scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.analyses import discrepancy, embedding, interpolation
from benchmark.datasets import Outline
from benchmark.tasks.analyze import MOST_SCORED
from benchmark.training import protocols
from benchmark.training.protocols import WHOLE
from benchmark.training.trainer import Recipe
from benchmark.utils.schedules import evenly, logarithmically

Task = Mapping[str, Any]


@dataclass(frozen=True)
class Effort:
    """steps: that the task counts. trains: by what recipe and on how many images those steps train, if they do.

    scored: images forwarded without training, in all.
    """

    steps: int
    scored: int
    trains: tuple[Recipe, int] | None = None
    note: str = ""


def effort(task: Task, outline: Outline, kept: int, sets: Mapping[str, Task]) -> Effort:
    """Of an analyse task; kept: training images that are not withheld; sets: its condense tasks by identity."""
    resolved = task["resolved"]
    made = [sets[identity] for identity in resolved["sets"] if identity != WHOLE]
    return _OF[resolved["analysis"]](resolved, kept, sum(outline.train) - kept, outline.num_classes, made)


def _curve(resolved: Task, kept: int, withheld: int, classes: int, made: list[Task]) -> Effort:
    networks, protocol = resolved["num_eval"], protocols.from_asked(resolved["protocol"])
    if not made:
        recipe = protocol.recipe_for_whole(kept, resolved["whole"]["epochs"])
        points = len(logarithmically(recipe.steps, resolved["points"]))
        return Effort(networks * recipe.steps, networks * points * withheld, (recipe, kept))
    (one,) = made
    stored = one["resolved"]["ipc"] * classes
    recipe = protocol.recipe(stored, images := stored * one["display"]["factor"] ** 2)
    trained = networks * len(points_of(one))
    return Effort(trained * recipe.steps, trained * withheld, (recipe, images))


def _discrepancy(resolved: Task, kept: int, withheld: int, classes: int, made: list[Task]) -> Effort:
    recipe = protocols.from_asked(resolved["protocol"]).recipe_for_whole(kept, resolved["whole"]["epochs"])
    looks = len(logarithmically(recipe.steps, discrepancy.LOOKS))
    return Effort(recipe.steps, looks * (kept + sum(_images(one, classes) for one in made)), (recipe, kept))


def _interpolation(resolved: Task, kept: int, withheld: int, classes: int, made: list[Task]) -> Effort:
    steps = len(interpolation.LAMBDAS) * len(resolved["experts"])
    return Effort(steps, steps * min(withheld or kept, MOST_SCORED))


def _expert(resolved: Task, kept: int, withheld: int, classes: int, made: list[Task]) -> Effort:
    real = [min(count, MOST_SCORED) for count in (kept, withheld) if count]
    looks = [_images(one, classes) for one in made for _ in points_of(one)]
    return Effort(len(real) + len(looks), len(resolved["experts"]) * (sum(real) + sum(looks)))


def _embedding(resolved: Task, kept: int, withheld: int, classes: int, made: list[Task]) -> Effort:
    each = (embedding.of_a_class(most, classes) for most in [embedding.MOST_REAL] + len(made) * [embedding.MOST_SET])
    return Effort(1, classes * sum(each), note=f"{resolved['method']} not counted")


_OF = {
    "curve": _curve,
    "discrepancy": _discrepancy,
    "interpolation": _interpolation,
    "expert": _expert,
    "embedding": _embedding,
}


def points_of(condense: Task) -> list[int]:
    """The steps at which a condense task's set is looked at: its snapshots, else the last one."""
    resolved = condense["resolved"]
    total = resolved["settings"].get("iterations", 0)
    return evenly(total, resolved["snapshots"]) if resolved.get("snapshots") else [total]


def _images(condense: Task, classes: int) -> int:
    return int(condense["resolved"]["ipc"] * classes * condense["display"]["factor"] ** 2)
