"""The interface of work that a task does step by step, and its simplest form: steps that depend on no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from methods.base import Tree

StepProgress = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, losses of the last step


class Work(Protocol):
    """What `run_steps` runs; a `methods.base.Condenser` is one."""

    total_steps: int

    def step(self) -> dict[str, float]: ...
    def state_dict(self) -> Tree: ...
    def load_state_dict(self, state: Tree) -> None: ...


class IndependentSteps:
    """Calls one function per step; none depends on another. `results` holds what they returned, JSON values."""

    def __init__(self, functions: Sequence[Callable[[], Any]]) -> None:
        self.functions, self.total_steps = functions, len(functions)
        self.results: list[Any] = []

    def step(self) -> dict[str, float]:
        self.results.append(self.functions[len(self.results)]())
        return {}

    def state_dict(self) -> Tree:
        return {"results": self.results}

    def load_state_dict(self, state: Tree) -> None:
        self.results = list(state["results"])
