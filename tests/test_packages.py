"""Which package may import which: benchmark imports the others; these import neither each other nor benchmark."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark.__main__ import COMMANDS

ROOT = Path(__file__).parents[1]
BANNED = {
    "methods": ("benchmark", "results", "slurm", "hydra"),
    "results": ("benchmark", "methods", "slurm", "torch", "torchvision", "hydra"),
    "slurm": ("benchmark", "methods", "results", "torch", "torchvision", "hydra"),
}
# Packages of benchmark, low to high: each imports those on lower layers only, and none beside it. Commands, which are
# modules at the top of benchmark, stand above all of them.
LAYERS = (
    ("utils",),
    ("augmentation", "compute", "config", "datasets", "networks"),
    ("condensation", "training"),
    ("external_sets", "execution"),
    ("analyses",),
    ("planning", "tasks"),
    ("runners",),
    ("estimation",),
    ("cli",),
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", BANNED)
def test_packages_keep_to_themselves(package: str) -> None:
    assert sources(package)
    for path in sources(package):
        for name in imports(path):
            assert name.split(".")[0] not in BANNED[package], f"{path.relative_to(ROOT)} imports {name}"


def test_benchmark_imports_downwards() -> None:
    height = {package: level for level, packages in enumerate(LAYERS) for package in packages}
    packages = {path.name for path in (ROOT / "benchmark").iterdir() if (path / "__init__.py").exists()}
    assert packages - {"conf"} == set(height), "give every package a layer in this test"
    for path in sources("benchmark"):
        place, *inside = path.relative_to(ROOT / "benchmark").parts
        if not inside or place == "conf":
            continue
        for name in imports(path):
            top, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if top == "benchmark" and other and other != place:
                below = height.get(other, len(LAYERS))  # a command
                assert below < height[place], f"{path.relative_to(ROOT)} imports {name}"


def test_only_commands_stand_at_the_top() -> None:
    modules = {path.stem for path in (ROOT / "benchmark").glob("*.py")} - {"__init__", "__main__"}
    assert modules == set(COMMANDS)


def test_only_commands_print_or_exit() -> None:
    for package in ("benchmark", "methods", "results", "slurm"):
        for path in sources(package):
            place = path.relative_to(ROOT)
            if place.parent.name in ("benchmark", "cli") or place.stem in ("local", "queued_tasks", "stopping"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in ("print", "exit", "quit", "sys.exit", "os._exit"), f"{path}: {called}"


def test_no_class_or_type_has_two_homes() -> None:
    homes: dict[str, list[str]] = {}
    for path in (path for package in ("benchmark", "methods", "results", "slurm") for path in sources(package)):
        tree = ast.parse(path.read_text())
        names = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        names += [name.id for node in tree.body if isinstance(node, ast.Assign) for name in node.targets
                  if isinstance(name, ast.Name) and re.match("_?[A-Z]+[a-z]", name.id)]  # fmt: skip
        for name in names:
            homes.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert not {name: paths for name, paths in homes.items() if len(paths) > 1}


def test_every_file_says_what_it_is_for() -> None:
    for package in ("benchmark", "methods", "results", "slurm", "tests"):
        for path in sources(package):
            lines = path.read_text().splitlines()
            if lines:
                assert lines[0].startswith(('"""', "# ")), f"{path.relative_to(ROOT)} does not say what it is for"
