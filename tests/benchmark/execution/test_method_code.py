"""The hash of a method's code: it follows what the method does, not how it is commented."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.execution.method_code import _source, method_code, syntax

HELPER = '"""Helps."""\n\n\ndef half(x):\n    """A half."""\n    return x / 2  # of it\n'
METHOD = '''"""A method."""
from methods.base import Condenser
from mine_parts.helper import half


class Mine(Condenser):
    """Mine."""

    def step(self):
        return {"loss": half(2.0)}
'''


@pytest.fixture
def package(plug_in: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plug-in of a module and a package, listed as its own; returns the folder."""
    folder = plug_in("mine = other_method:Mine", METHOD)
    (folder / "mine_parts").mkdir()
    (folder / "mine_parts" / "__init__.py").write_text("")
    (folder / "mine_parts" / "helper.py").write_text(HELPER)
    (folder / "other-1.0.dist-info" / "top_level.txt").write_text("other_method\nmine_parts\n")
    return folder


def digest() -> str:
    _source.cache_clear()
    return str(method_code("mine")["sha256"])


def test_it_follows_the_code_of_all_modules_and_nothing_else(package: Path) -> None:
    before = digest()
    for name, old, new in [
        ("other_method.py", '"""A method."""', '"""The best of methods."""'),
        ("mine_parts/helper.py", '    """A half."""\n', ""),
        ("mine_parts/helper.py", "  # of it", ""),
        ("mine_parts/helper.py", "return x / 2", "return (x / 2)"),
    ]:
        path = package / name
        path.write_text(path.read_text().replace(old, new))
        assert digest() == before, f"{name}: {old} is no code"
    helper = package / "mine_parts" / "helper.py"
    helper.write_text(helper.read_text().replace("x / 2", "x / 3"))
    after = digest()
    assert after != before
    (package / "other_method.py").write_text((package / "other_method.py").read_text().replace("2.0", "2.5"))
    assert digest() not in (before, after)


def test_it_names_the_distribution_and_the_commit(package: Path) -> None:
    _source.cache_clear()
    code = method_code("mine")
    assert (code["distribution"], code["version"], code["commit"]) == ("other", "1.0", None)


def test_built_in_methods_share_what_they_import(monkeypatch: pytest.MonkeyPatch) -> None:
    _source.cache_clear()
    codes = {name: method_code(name) for name in ("dm", "dance", "random", "herding")}
    assert codes["random"]["sha256"] == codes["herding"]["sha256"]  # one module
    assert len({code["sha256"] for code in codes.values()}) == 3
    assert codes["dm"]["distribution"] in ("condensation-benchmark", None)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert codes["dm"]["commit"] in (head.stdout.strip(), None)


def test_syntax_is_the_same_for_every_spelling() -> None:
    import ast

    texts = ["def f(a, *, b=1):\n    return a+b\n", "def f(a, *, b=0x1):\n    'what'\n    return (a + b)\n"]
    assert len({syntax(ast.parse(text)) for text in texts}) == 1
    assert syntax(ast.parse("a + b")) != syntax(ast.parse("a - b"))
