"""Work that is turned a step at a time besides condensing: training experts and networks, scoring, looking at sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from methods.base import Tree


class Work(Protocol):
    """What the crank turns; `methods.base.Condenser` is one."""

    total_steps: int

    def step(self) -> dict[str, float]: ...
    def state_dict(self) -> Tree: ...
    def load_state_dict(self, state: Tree) -> None: ...


class IndependentSteps:
    """Pieces of work that do not need each other, one a step; `found` holds what each yielded, JSON values."""

    def __init__(self, pieces: Sequence[Callable[[], Any]]) -> None:
        self.pieces, self.total_steps = pieces, len(pieces)
        self.found: list[Any] = []

    def step(self) -> dict[str, float]:
        self.found.append(self.pieces[len(self.found)]())
        return {}

    def state_dict(self) -> Tree:
        return {"found": self.found}

    def load_state_dict(self, state: Tree) -> None:
        self.found = list(state["found"])


Progress = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, losses of the last one
