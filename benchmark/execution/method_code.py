"""Which code computed a set: the distribution, version, commit and hash of a method. Never part of an identity."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from benchmark.compute.environment import commit_of
from methods import registry
from results.store.schema import OWN_PACKAGE

# Not hashed: a change of the contract, the registry or their errors that alters results raises versions.
CONTRACT = ("methods", "methods.base", "methods.errors", "methods.plug_ins", "methods.registry")


def method_code(name: str) -> dict[str, Any]:
    """A record's `code`: distribution, version, commit, whether the checkout has changes, and the code's SHA-256.

    Values that are not known are None. The hash is over the syntax trees, without docstrings, of the method's module
    and of every module of its distribution that it imports, directly or not, except the contract.
    """
    module = registry.locations()[name].partition(":")[0]
    package = _distribution(name)
    packages = {module.partition(".")[0], *_top_level(package)}
    modules = sorted(_imported_code(module, packages, {}).items())
    digest = hashlib.sha256("\n".join(f"{name} {text}" for name, text in modules).encode()).hexdigest()
    path = _source(module)
    return {
        "distribution": package.metadata["Name"] if package else None,
        "version": package.version if package else None,
        **(commit_of(path) if path else {"commit": None, "dirty": None}),
        "sha256": digest,
    }


def _distribution(name: str) -> Distribution | None:
    """The installed distribution that provides a method, None if there is none."""
    if name in registry.BUILT_IN:
        try:
            return distribution(OWN_PACKAGE)
        except PackageNotFoundError:  # a checkout that is not installed
            return None
    return registry.PLUG_INS.points()[name].dist


def _top_level(package: Distribution | None) -> set[str]:
    """The top-level packages and modules of a distribution, as far as it lists them."""
    return set(((package.read_text("top_level.txt") if package else None) or "").split())


def _imported_code(module: str, packages: set[str], texts: dict[str, str]) -> dict[str, str]:
    """`texts`, with the code of a module and of all modules of these packages that it imports added, by name."""
    path = _source(module)
    if path is None or module in texts or module in CONTRACT:
        return texts
    tree = ast.parse(path.read_bytes())
    texts[module] = syntax(tree)
    for name in _imports(tree, module, is_package=path.name == "__init__.py"):
        if name.partition(".")[0] in packages:
            _imported_code(name, packages, texts)
    return texts


def _imports(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """The absolute names that a module imports; `from a import b` gives a and a.b, because b may be a module."""
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
    """The file of a module, found without importing it; None for built-in modules and for names inside modules."""
    loaded = sys.modules.get(module)
    if loaded is not None and getattr(loaded, "__file__", None):
        return Path(str(loaded.__file__))
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, AttributeError, ValueError):  # a name inside a module
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def syntax(node: Any) -> str:
    """A syntax tree as text, without docstrings, positions and empty fields: equal under every Python version."""
    if isinstance(node, ast.AST):
        parts = []
        for field, value in ast.iter_fields(node):
            if field == "body" and _has_docstring(node):
                value = value[1:]
            if value not in (None, []) and field not in ("ctx", "kind", "type_comment"):
                parts.append(f"{field}={syntax(value)}")
        return f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, list):
        return f"[{', '.join(map(syntax, node))}]"
    return repr(node)


def _has_docstring(node: ast.AST) -> bool:
    can_have_one = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return can_have_one and ast.get_docstring(node, clean=False) is not None  # type: ignore[arg-type]
