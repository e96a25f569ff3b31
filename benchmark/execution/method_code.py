"""Which code a method is: its distribution, version and commit, and a hash of its source. Never part of an identity."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points
from pathlib import Path
from typing import Any

from benchmark.compute.environment import commit_of
from methods import registry

OWN = "condensation-benchmark"
# The contract, the registry and their errors: where a change of these alters results, versions are raised.
CONTRACT = ("methods", "methods.base", "methods.errors", "methods.registry")


def method_code(name: str) -> dict[str, Any]:
    """Distribution, version, commit, whether it was changed since, and the SHA-256 of the code; nulls where unknown.

    The code is the syntax tree without docstrings of the method's module and of every module of its distribution that
    it imports, directly or not, except the contract.
    """
    module = registry.locations()[name].partition(":")[0]
    found = _distribution(name)
    packages = {module.partition(".")[0], *_packages(found)}
    modules = sorted(_reached(module, packages, {}).items())
    digest = hashlib.sha256("\n".join(f"{name} {text}" for name, text in modules).encode()).hexdigest()
    origin = _source(module)
    return {
        "distribution": found.metadata["Name"] if found else None,
        "version": found.version if found else None,
        **(commit_of(origin) if origin else {"commit": None, "dirty": None}),
        "sha256": digest,
    }


def _distribution(name: str) -> Distribution | None:
    if name in registry.BUILT_IN:
        try:
            return distribution(OWN)
        except PackageNotFoundError:  # a checkout that is run without being installed
            return None
    return next((point.dist for point in entry_points(group=registry.GROUP) if point.name == name), None)


def _packages(found: Distribution | None) -> set[str]:
    """The top-level packages and modules of a distribution, as far as it lists them."""
    return set(((found.read_text("top_level.txt") if found else None) or "").split())


def _reached(module: str, packages: set[str], texts: dict[str, str]) -> dict[str, str]:
    """The code of a module and of all that it imports from these packages, by their names."""
    path = _source(module)
    if path is None or module in texts or module in CONTRACT:
        return texts
    tree = ast.parse(path.read_bytes())
    texts[module] = syntax(tree)
    for name in _imports(tree, module, is_package=path.name == "__init__.py"):
        if name.partition(".")[0] in packages:
            _reached(name, packages, texts)
    return texts


def _imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """What a module imports, by absolute names; of `from a import b` both a and a.b, as b may be a module."""
    parents = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@lru_cache(maxsize=1024)
def _source(module: str) -> Path | None:
    """The file of a module, which is not executed; None where there is none, as of a built-in one."""
    held = sys.modules.get(module)
    if held is not None and getattr(held, "__file__", None):
        return Path(str(held.__file__))
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):  # a name of something in a module
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def syntax(node: Any) -> str:
    """A text of a syntax tree without docstrings, positions and empty fields: the same under every Python version."""
    if isinstance(node, ast.AST):
        parts = []
        for field, value in ast.iter_fields(node):
            if field == "body" and _documented(node):
                value = value[1:]
            if value not in (None, []) and field not in ("ctx", "kind", "type_comment"):
                parts.append(f"{field}={syntax(value)}")
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(map(syntax, node))}]"
    return repr(node)


def _documented(node: ast.AST) -> bool:
    holds = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return holds and ast.get_docstring(node, clean=False) is not None  # type: ignore[arg-type]
