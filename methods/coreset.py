"""Selection instead of synthesis: random real images, plain or shrunk into mosaics. The baseline of every table."""

from __future__ import annotations

from dataclasses import dataclass

from methods.base import Card, Condenser, MethodError, Problem, Settings, SyntheticSet, Tree, choice, setting
from methods.initial import SHRINKS, initial_images, labels_of


@dataclass(frozen=True)
class RandomConfig(Settings):
    factor: int = setting(1, "real images along each side of a stored one", "plain subsets; more: a control of ours")
    shrink: str = choice("area", SHRINKS, "how real images are shrunk into a mosaic, factor > 1", "IDM, CVPR 2023")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("factor", least=1)


class RandomSubset(Condenser):
    """ipc real images of each class, uniformly without replacement: where DM starts at the same seed."""

    card = Card("random", "Random", "coreset", "", native="dc")
    Config = RandomConfig
    total_steps = 0

    def __init__(self, problem: Problem, config: RandomConfig) -> None:
        self.problem, self.config = problem, config
        self.images = initial_images(problem, config.factor, "random", config.shrink)

    def step(self) -> dict[str, float]:
        raise MethodError("a random subset has no steps")

    def synthetic(self) -> SyntheticSet:
        return SyntheticSet(self.images.flatten(0, 1), labels_of(self.problem), self.problem.ipc, self.config.factor)

    def state_dict(self) -> Tree:
        return {}

    def load_state_dict(self, state: Tree) -> None:
        """Nothing to go on from: the same seed draws the same images."""
