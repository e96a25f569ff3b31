"""Every command in README.md and docs/ is one that its program accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module

from benchmark import data, merge
from benchmark.cli import method_request
from benchmark.config import compose as options
from benchmark.config import schema
from benchmark.config.options import CommandConfig
from benchmark.config.shared_options import GridConfig
from benchmark.datasets.dataset_yaml import read_description
from benchmark.planning import grid
from doc_pages import PAGES, ROOT, blocks, commands
from methods import registry
from slurm import cluster

OURS = re.compile(r"python -m benchmark\.(\w+) ?(.*)")
COMMANDS = sorted({command for page in PAGES for command in commands(page)})
ADDED = {"mean"}  # the method that docs/extend/method.md adds


def test_pages_have_commands() -> None:
    assert sum(command.startswith("python -m benchmark.run") for command in COMMANDS) >= 15
    assert not [page for page in PAGES if re.search(r"^    python", page.read_text(), re.M)], "a block is not fenced"
    assert {match[1] for command in COMMANDS if (match := OURS.match(command))} == {
        *schema.SCHEMAS,
        "data",
        "merge",
        "methods",
    }


@pytest.mark.parametrize("command", [command for command in COMMANDS if OURS.match(command)])
def test_a_command_of_the_suite_is_accepted(command: str) -> None:
    match = OURS.match(command)
    assert match
    name, words = match[1], shlex.split(match[2])
    if name == "data":
        assert data._parse(words).action
    elif name == "merge":
        assert merge._parse(words).target
    elif name == "methods":
        assert not words or words[0] in ("diff", "new") or method_request.parse(words).method
    else:
        single = [word if "[" in word else word.split(",")[0] for word in words if word != "-m"]  # one job of a sweep
        options.register()
        with initialize_config_module("benchmark.conf", version_base="1.3"):
            composed = compose(name, overrides=single)
        asked: CommandConfig
        if name == "profile":
            asked = options.parse_profile(composed)
        else:
            asked = options.parse_as(schema.SCHEMAS[name], composed)
        if isinstance(asked, GridConfig):
            check_rows(asked)


def check_rows(asked: GridConfig) -> None:
    """The methods of a grid exist, and so do the settings that the command line gives them."""
    for row in [grid.parse_row(name) for name in asked.methods if name not in ADDED]:
        preset = getattr(asked, "preset", "quick")
        overrides = asked.method.get(row.method)
        registry.resolve(row.method, dataset="cifar10", ipc=10, preset=preset, overrides=overrides)


@pytest.mark.parametrize("command", [command for command in COMMANDS if not OURS.match(command)])
def test_any_other_command_is_a_known_one_on_files_that_are_there(command: str) -> None:
    program, *words = shlex.split(command)
    paths = [word for word in words if word.partition("/")[0] in ("tests", "docs", "slurm") and "=" not in word]
    assert all((ROOT / path).exists() for path in paths), command
    if program == "pip":
        extras = re.findall(r"\w+", "".join(re.findall(r"\[(.*?)\]", command)))
        assert words[:2] == ["install", "-e"] and all(f"\n{extra} = [" in PYPROJECT for extra in extras)
    else:
        assert program in ("pytest", "cp", "sphinx-build") or (program == "python" and words[0].startswith("docs/")), (
            command
        )


PYPROJECT = (ROOT / "pyproject.toml").read_text()


def test_yaml_files_of_the_pages_are_read(tmp_path: Path) -> None:
    (shown,) = blocks((ROOT / "docs/datasets.md").read_text(), "yaml")
    (tmp_path / "dataset.yaml").write_text(shown)
    description = read_description(tmp_path)
    assert {key: getattr(description, key) for key in yaml.safe_load(shown)} == yaml.safe_load(shown)
    (shown,) = blocks((ROOT / "docs/extend/cluster.md").read_text(), "yaml")
    (tmp_path / "mine.yaml").write_text(shown)
    assert cluster.load(str(tmp_path / "mine.yaml")).partition == "gpu"
