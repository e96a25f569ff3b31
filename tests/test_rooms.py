"""The rooms' arrows: benchmark may import methods and results; those import neither each other nor benchmark."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BANNED = {
    "methods": ("benchmark", "results", "slurm", "hydra"),
    "results": ("benchmark", "methods", "slurm", "torch", "torchvision", "hydra"),
    "slurm": ("benchmark", "methods", "results", "torch", "torchvision", "hydra"),
}
LAYERS = (  # inside benchmark, low to high: a module may import its own layer and those below
    ("errors", "seeds", "clock", "compiled", "memory", "passes"),
    ("datasets", "networks", "augment_ops", "augment_dc", "augment", "checkpoint"),
    ("compute", "sets", "environment", "floor"),
    ("released",),
    ("problem",),
    ("training",),
    ("ensemble",),
    ("works", "protocols", "analyses"),
    ("crank",),
    ("runtime", "pulse"),
    ("job",),
    ("analysing", "experts"),
    ("kinds",),
    ("tasks",),
    ("config", "scoring"),
    ("rows", "planned"),
    ("plan_analyses",),
    ("plan",),
    ("probe_analyses", "probe_steps", "stand_in", "measured"),
    ("local", "estimate", "given"),
    ("crowd", "queued", "watch"),
    ("launch",),
    ("budget",),
    ("forecast", "profiling"),
    ("progress", "cli", "data", "report", "status", "cancel", "drill", "run", "evaluate", "analyse", "profile"),
)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", BANNED)
def test_rooms_keep_to_themselves(room: str) -> None:
    assert sources(room)
    for path in sources(room):
        for name in imports(path):
            assert name.split(".")[0] not in BANNED[room], f"{path.relative_to(ROOT)} imports {name}"


def test_benchmark_imports_downwards() -> None:
    height = {module: level for level, modules in enumerate(LAYERS) for module in modules}
    for path in sources("benchmark"):
        place = path.relative_to(ROOT / "benchmark").parts[0].removesuffix(".py")
        if place in ("__init__", "conf"):
            continue
        assert place in height, f"benchmark/{place} has no layer yet: give it one in this test"
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "benchmark" and len(parts) > 1 and parts[1] != "__init__":
                below = height.get(parts[1])
                assert below is None or below <= height[place], f"{path.relative_to(ROOT)} imports {name}"


def test_only_commands_print_or_exit() -> None:
    allowed = {"run", "report", "data", "cli", "progress", "local", "queued", "__main__"}
    for room in ("benchmark", "methods", "results", "slurm"):
        for path in sources(room):
            if path.stem in allowed:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func)
                    assert called not in ("print", "exit", "quit", "sys.exit", "os._exit"), f"{path}: {called}"


def test_every_package_is_listed_for_installation() -> None:
    listed = set(re.findall(r'^    "([a-z_.]+)",$', (ROOT / "pyproject.toml").read_text(), re.M))
    for room in ("benchmark", "methods", "results", "slurm"):
        for path in (ROOT / room).rglob("__init__.py"):
            assert ".".join(path.parent.relative_to(ROOT).parts) in listed


def test_files_stay_short() -> None:
    for room in ("benchmark", "methods", "results", "slurm", "tests"):
        for path in sources(room):
            lines = path.read_text().splitlines()
            assert len(lines) <= 400, f"{path.relative_to(ROOT)} has {len(lines)} lines"
            if lines:
                assert lines[0].startswith(('"""', "# ")), f"{path.relative_to(ROOT)} does not say what it is for"
