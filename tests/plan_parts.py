"""Small plans of one cell, and the tasks of a row in them."""

from __future__ import annotations

from benchmark.execution.runtime import Task
from benchmark.planning import grid
from helpers import planned as planned_from

ONE_CELL = ("ipcs=[1]", "architectures=[convnet2-w4]")


def build(*words: str, shares: grid.Shares | None = None) -> grid.Plan:
    """The plan of one cell, unless the words ask for more."""
    return planned_from(*ONE_CELL, *words, shares=shares)


def rows(planned: grid.Plan) -> list[tuple[str, int]]:
    """Row and seed of every condense task, in the order of the plan."""
    return [(task["display"]["display_name"], task["resolved"]["seed"]) for task in planned.of_kind("condense")]


def of_row(planned: grid.Plan, kind: str, row: str, seed: int = 0) -> Task:
    (found,) = (
        t for t in planned.of_kind(kind) if t["display"]["display_name"] == row and t["resolved"]["seed"] == seed
    )
    return found
