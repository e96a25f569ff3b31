"""Factories shared by the tests of all packages: small real problems, built with the same parts as real runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest
import torch

from benchmark.condensation.contract import small_problem
from benchmark.condensation.problem import ConcreteProblem
from expert_parts import train
from helpers import CPU


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: with several workers, the last file to end decides how long all tests take."""
    long = ("slurm/test_cluster_runs", "benchmark/compute/test_compilation", "benchmark/execution/test_kill",
            "benchmark/networks/test_fused_block", "slurm/test_analysis_runs", "slurm/test_loopback",
            "slurm/test_accounting")  # fmt: skip
    ranks = {f"tests/{name}.py": rank for rank, name in enumerate(long)}
    items.sort(key=lambda item: ranks.get(item.nodeid.partition("::")[0], len(long)))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of `expert_parts`' experts, who learnt one after the other."""
    out = tmp_path_factory.mktemp("alone")
    assert {outcome.status for outcome in train(out, 1).values()} == {"done"}
    return out


@pytest.fixture
def make_problem() -> Callable[..., ConcreteProblem]:
    return partial(small_problem, compute=CPU)


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Install a distribution: metadata with entry points, a module, and settings if any; returns its folder.

    points: of methods, or those of each group by its name. files: further files, by their names.
    """

    def install(
        points: str | Mapping[str, str],
        source: str,
        settings: str = "",
        *,
        files: Mapping[str, str] = MappingProxyType({}),
        name: str = "other",
        requires: str = "condensation-benchmark",
    ) -> Path:
        folder = tmp_path / name
        meta = folder / f"{name}-1.0.dist-info"
        meta.mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n"
        (meta / "METADATA").write_text(metadata)
        groups = {"methods": points} if isinstance(points, str) else points
        sections = [f"[condensation_benchmark.{group}]\n{lines}\n" for group, lines in groups.items()]
        (meta / "entry_points.txt").write_text("\n".join(sections))
        (folder / f"{name}_method.py").write_text(source)
        if settings:
            (folder / "settings").mkdir()
            (folder / "settings" / "mine.yaml").write_text(settings)
        for path, text in files.items():
            (folder / path).write_text(text)
        monkeypatch.syspath_prepend(str(folder))
        monkeypatch.delitem(sys.modules, f"{name}_method", raising=False)
        return folder

    return install
