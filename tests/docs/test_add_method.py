"""The package that `benchmark.methods new` writes is that of docs/extend/method.md, installs, and passes its tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from benchmark import methods
from benchmark.cli.new_method import write
from benchmark.utils.errors import BenchmarkError
from doc_pages import ROOT, blocks

GUIDE = (ROOT / "docs/extend/method.md").read_text()


def test_the_guide_shows_what_is_written(tmp_path: Path) -> None:
    assert re.findall(r"^## (\d)\. ", GUIDE, re.M) == ["1", "2", "3", "4", "5"]
    folder = write("mean", tmp_path)
    (code,), (settings,), (points,) = (blocks(GUIDE, language) for language in ("python", "yaml", "toml"))
    assert (folder / "mean_method/__init__.py").read_text() == code
    assert (folder / "mean_method/settings/mean.yaml").read_text() == settings
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == tomllib.loads(points)["project"]["entry-points"]


def test_a_new_method_installs_passes_its_tests_and_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert methods.main(["new", "two_words"]) == 0
    assert "pip install -e two_words-method && pytest two_words-method" in capsys.readouterr().out
    installed = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", installed]
    subprocess.run([*pip, tmp_path / "two_words-method"], check=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "two_words-method"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and re.search(r"7 passed", done.stdout), done.stdout
    command = [sys.executable, "-m", "benchmark.run", "methods=[two_words]", "ipcs=[1]", "baselines=[]", "num_eval=1",
               "architectures=[convnet3-w8]", "method.two_words.iterations=3", "workers=1", "threads=1"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TwoWords" in done.stdout


@pytest.mark.parametrize(("name", "said"), [("Mean", "cannot be the name"), ("../x", "cannot be the name"),
                                            ("dm", "a method 'dm' already")])  # fmt: skip
def test_names_that_no_method_can_have(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=said):
        write(name, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_a_folder_that_is_there_is_kept(tmp_path: Path) -> None:
    write("mean", tmp_path)
    (tmp_path / "mean-method/pyproject.toml").write_text("mine")
    with pytest.raises(BenchmarkError, match="File exists"):
        write("mean", tmp_path)
    assert (tmp_path / "mean-method/pyproject.toml").read_text() == "mine"
