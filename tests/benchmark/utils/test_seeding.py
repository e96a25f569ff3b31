"""Seeds: some are pinned, as every stored set and expert depends on them, and roles are named in two places only."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark import networks
from benchmark.condensation.problem import ConcreteProblem
from benchmark.utils import seeding
from benchmark.utils.seeding import Role, derive_seed
from methods.base import Draw

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("role", "values", "seed"),
    [
        (Role.WITHHELD, ("0f",), 3798333768296640058),
        (Role.CONDENSING, ("0f", 0, Draw.REAL_BATCH, 7), 8362460212676060679),
        (Role.MATCHING_NETWORK, ("0f", "convnet3", 1, 2), 4517154113396753487),
        (Role.EXPERT, ("0f", "convnet3", 0, 4, "weights", 0), 6456556883426292219),
        (Role.EVALUATION, ("0f", "resnet10-bn", 3, 1, "order", 12), 1815175711929668399),
    ],
)
def test_seeds_never_move(role: Role, values: tuple[int | str, ...], seed: int) -> None:
    assert derive_seed(role, *values) == seed


def test_other_values_give_other_seeds() -> None:
    seeds = {derive_seed("role", *values) for values in ((1, 2), (12,), ("1", 2), (1, "2"), (2, 1), ())}
    assert len(seeds) == 6


def test_the_strings_of_roles_are_frozen() -> None:
    assert [str(role) for role in Role] == [
        "withheld images", "long tail", "condensing", "matching network", "expert", "evaluation", "scratch network",
        "images experts are scored on", "embedded real images", "embedded synthetic images", "embedding",
        "test-images", "probe",
    ]  # fmt: skip
    assert [str(draw) for draw in Draw] == [
        "initial images", "real batch", "augmentation", "augmentation of calibration", "encoder",
        "subset for alignment", "subset for calibration", "history", "queue of networks", "images for batch norm",
        "inner loop", "training of the network", "clustering", "trajectory", "order of experts", "images for accuracy",
    ]  # fmt: skip


def test_a_problem_draws_from_the_dataset_the_seed_the_role_and_the_index(
    make_problem: Callable[..., ConcreteProblem],
) -> None:
    problem = make_problem(seed=3)
    expected = seeding.generator(Role.CONDENSING, problem.fingerprint, 3, "real batch", 5).initial_seed()
    assert problem.generator(Draw.REAL_BATCH, 5).initial_seed() == expected
    draw = seeding.generator(Role.MATCHING_NETWORK, problem.fingerprint, problem.architecture, 3, 2)
    like = networks.build(problem.architecture, problem.image_shape, problem.num_classes, draw)
    for ours, theirs in zip(problem.new_network(2).parameters(), like.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize(("room", "roles"), [("benchmark", "Role"), ("methods", "Draw")])
def test_only_listed_roles_are_drawn_for(room: str, roles: str) -> None:
    passed_on = {"role"}  # a parameter that holds one of them
    calls = 0
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            called = ast.unparse(node.func)
            if called.split(".")[-1] in ("derive_seed", "generator") and "torch" not in called:
                role = ast.unparse(node.args[0])
                assert role.startswith(f"{roles}.") or role in passed_on, f"{path.relative_to(ROOT)}: {role}"
                calls += 1
    assert calls > 5
