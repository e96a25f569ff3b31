"""Words as a shell hands them over: paths, lists and names mean what people mean by them, without quotes for Hydra."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_module

from benchmark import datasets
from benchmark.config import command_line, compose
from benchmark.config.schema import SCHEMAS
from benchmark.utils.errors import BenchmarkError
from results.formatting import hydra_quoted

# What people call folders; each but the last has signs that Hydra's grammar refuses or takes for something else.
NAMES = ("josé", "日本", "with space", "epoch=1,lr=2", "images_best (1)", "it's", "hash#1", "br[1]", "[all]", 
         "50%", "$x", "${oc.env:HOME}", "{a}", 'say "so"', "back\\slash\\", "null", "1e3", "choice(a,b)", "a:b",
         "a")  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def composition() -> Iterator[None]:
    compose.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        yield


def parsed(*words: str, command: str = "run") -> Any:
    composed = hydra_compose(command, command_line.for_hydra(command, SCHEMAS[command], words))
    return compose.parse_as(SCHEMAS[command], composed)


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_taken_as_it_is(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    Path(path).mkdir()
    run = parsed(f"datasets=[digits,{path},{tmp_path}/b]", f"store={path}", f"data_root={path}")
    assert run.datasets == ["digits", path, f"{tmp_path}/b"]
    assert run.store == run.data_root == path
    assert parsed(f"set={path}", f"dataset={path}", command="evaluate").paths == [Path(path)]


def test_a_path_can_be_relative_or_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("é,b=1", "(all)"):
        (tmp_path / name).mkdir()
        run = parsed(f"datasets={name},~/{name}", f"store=~/{name}")
        assert run.datasets == [name, f"~/{name}"] and run.store == str(tmp_path / name)


def test_any_text_in_quotes_for_hydra_stays_what_it_is() -> None:
    parts = [
        "\\",
        "'",
        '"',
        "${",
        "}",
        "a",
        "é",
        " ",
        "=",
        ",",
        "[",
        "(",
        ")",
        "{",
        "#",
        "~",
        "\n",
        "\udce9",
        "oc.env:HOME",
    ]
    draw = random.Random(0)
    texts = ["".join(draw.choices(parts, k=draw.randint(1, 8))) for _ in range(200)]
    assert parsed(f"set=[{','.join(map(hydra_quoted, texts))}]", "dataset=a", command="evaluate").set == texts


SLIPS = {
    "methods=dm": ["dm"], "methods=DM": ["dm"], "methods=[DM]": ["dm"], "methods=dance,dm": ["dance", "dm"],
    "methods=[dance, DM@f2]": ["dance", "dm@f2"], "methods=['dance',\"dm\"]": ["dance", "dm"], "--methods=dm": ["dm"],
    "ipcs=1": [1], "ipcs=1,10": [1, 10], "architectures=ConvNet3-W64": ["convnet3-w64"], "protocols=DSA": ["dsa"],
    "eval-architectures=MLP": ["mlp"], "methods=[dm@lr_img:0.5]": ["dm@lr_img:0.5"], "methods=[]": [],
    "datasets=[a,b]": ["a", "b"], "datasets=[(a,b)]": ["(a,b)"], "store=a,b": "a,b", "store=${oc.env:X}/y": "/x/y",
    "retry=null": None,
}  # fmt: skip


@pytest.mark.parametrize("word", SLIPS)
def test_a_slip_is_understood(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X", "/x")
    name = word.partition("=")[0].removeprefix("--").replace("-", "_")
    assert getattr(parsed(word), name) == SLIPS[word]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["methods=[dance,", "dm]", "ipcs=1"], "'methods=[dance, dm]' ipcs=1"),
        (["ipcs=1", "store=/my", "folder"], "ipcs=1 'store=/my folder'"),
        (["methods=[dm"], "'methods=[dm]'"),
        (["--store", "x", "--dry-run"], "store=x dry_run=true"),
    ],
)
def test_what_the_shell_has_split_is_answered_with_the_corrected_command(words: list[str], meant: str) -> None:
    with pytest.raises(BenchmarkError) as raised:
        parsed(*words)
    assert raised.value.next == f"python -m benchmark.run {meant}"


def test_a_sweep_stays_one() -> None:
    def words(*given: str) -> list[str]:
        return command_line.for_hydra("run", SCHEMAS["run"], ["-m", *given])[1:]

    assert words("methods=dance,dm", "datasets=[é],[b]") == ["methods=dance,dm", 'datasets=["é"],[b]']
    assert words("methods=choice(dm,dance)", "seeds=[0],[1]") == ["methods=choice(dm,dance)", "seeds=[0],[1]"]


def test_known_datasets_are_found_in_capitals_unless_a_folder_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert datasets.key_of("CIFAR10") == "cifar10" and datasets.key_of("ImageNette@ilsvrc") == "imagenette"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "CIFAR10").mkdir()
    assert datasets.key_of("CIFAR10") is None


def test_what_hydra_refuses_is_answered_with_the_corrected_command(tmp_path: Path) -> None:
    words = ["-m", "benchmark.run", "store=/é", "method.dm.augment=a=é"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
    meant = "python -m benchmark.run 'store=/é' 'method.dm.augment=\"a=é\"'"
    assert done.returncode == 2 and done.stderr.splitlines()[-1].endswith(meant), done.stderr
