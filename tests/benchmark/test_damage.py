"""A finished store is damaged in every way: each command shows the right numbers or names the file, never others.

The commands run in this process, on copies of one store with two methods, an expert and snapshots.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.cli import main
from benchmark.evaluate import evaluate
from benchmark.report import report
from benchmark.run import run
from benchmark.status import status
from results.store.identity import sealed

WORDS = ("methods=[dm,dance]", "baselines=[]", "seeds=[0]", "ipcs=[1]", "architectures=[convnet2-w4]",
         "num_eval=1", "workers=1", "threads=1", "method.dance.iterations=2", "method.dance.experts=1",
         "method.dance.pretrain_epochs=1", "method.dm.iterations=2", "snapshots=1", "val_fraction=0.1")  # fmt: skip
READING = (*WORDS, "protocols=[quick@plain]")  # scores the stored sets and snapshots once more
COMMANDS = {"run": run, "report": report, "status": status, "evaluate": evaluate}
Command = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., int]]:
    patch = pytest.MonkeyPatch()

    def call(name: str, *words: str) -> int:
        patch.setattr(sys, "argv", [name, *words])
        with pytest.raises(SystemExit) as ended:
            main.launch(COMMANDS[name], name)
        return int(ended.value.code or 0)

    yield call
    patch.undo()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, launch: Callable[..., int]) -> Path:
    """A store in which all is done; no test changes it."""
    store = tmp_path_factory.mktemp("finished") / "store"
    assert launch("run", *WORDS, f"store={store}") == 0
    return store


@pytest.fixture
def store(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "store"))


@pytest.fixture
def command(store: Path, launch: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> Command:
    """Exit status and all that a command prints, which has no traceback."""

    def call(name: str, *words: str) -> tuple[int, str]:
        code = launch(name, *words, *([] if name == "evaluate" else [f"store={store}"]))
        printed = capsys.readouterr()
        text = printed.out + printed.err
        assert "Traceback" not in text, text
        return code, text

    return call


def numbers(text: str) -> dict[str, str]:
    """The accuracies of a printed table by the first words of their rows."""
    rows = re.findall(r"^\s+1\s+0\.695\s+(\w+).*?\s{2,}(\S.*?)\s{2,}", text, re.MULTILINE)
    return {name: accuracy.split()[0] for name, accuracy in rows}


def of_row(store: Path, kind: str, row: str, name: str = "record.json") -> Path:
    return sorted(store.glob(f"{kind}/{row}[-@]*/{name}"))[0]


def flip(path: Path, where: float = 0.7) -> None:
    """Change one bit, at this part of the file."""
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= 64
    path.write_bytes(content)


def edit(path: Path, seal: bool, **changes: Any) -> None:
    """Change keys of a record, given as a__b; `seal`: with the checksum that fits."""
    record = json.loads(path.read_text())
    for keys, value in changes.items():
        *above, last = keys.split("__")
        part = record
        for key in above:
            part = part[key]
        part[last] = value
    path.write_text(json.dumps(sealed(record) if seal else record))


# --- sets, experts, snapshots -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "row", "name", "where"),
    [
        ("condense", "dm", "synthetic.safetensors", 0.7),  # a pixel
        ("condense", "dm", "synthetic.safetensors", 0.999),  # a label
        ("condense", "dance", "synthetic.safetensors", 0.05),  # the card
        ("condense", "dm", "snapshots/2.safetensors", 0.7),
    ],
)
def test_a_changed_set_is_named_and_never_scored(
    store: Path, command: Command, kind: str, row: str, name: str, where: float
) -> None:
    path = of_row(store, kind, row, name)
    flip(path, where)
    code, text = command("run", *READING)
    assert code == 1 and str(path) in text and "its checksum is not the one in its record" in text
    assert "diverged" not in text and "the same command tries failed tasks again" in text and "retry=failed" not in text
    assert command("run", *WORDS)[0] == 0  # nothing of it reads the set


def test_a_set_is_scored_when_the_good_file_is_back(store: Path, command: Command) -> None:
    path = of_row(store, "condense", "dm", "synthetic.safetensors")
    sound = path.read_bytes()
    path.write_bytes(of_row(store, "condense", "dance", "synthetic.safetensors").read_bytes())
    assert command("run", *READING)[0] == 1
    path.write_bytes(sound)
    code, text = command("run", *READING)
    assert code == 0 and "DM" in numbers(text)


def test_a_missing_set_has_a_cure_that_works(store: Path, command: Command) -> None:
    path = of_row(store, "condense", "dm", "synthetic.safetensors")
    sound = path.read_bytes()
    path.unlink()
    code, text = command("run", *READING)
    assert code == 1 and "move its folder away and run the same command again" in text
    shutil.move(path.parent, store.parent / "aside")
    code, text = command("run", *READING)
    assert code == 0 and path.read_bytes() == sound


def test_a_changed_expert_is_named_and_no_set_is_made_with_it(store: Path, command: Command) -> None:
    path = of_row(store, "prepare", "digits", "experts.safetensors")
    flip(path)
    shutil.rmtree(of_row(store, "condense", "dance").parent)
    code, text = command("run", *WORDS)
    assert code == 1 and str(path) in text and "diverged" not in text


def test_evaluate_checks_a_set_that_has_its_record_beside_it(store: Path, command: Command, tmp_path: Path) -> None:
    path = of_row(store, "condense", "dm", "synthetic.safetensors")
    words = ("dataset=digits", "dry_run=true", "baselines=[]", f"store={tmp_path / 'other'}")
    assert command("evaluate", f"set={path}", *words)[0] == 0
    flip(path)
    code, text = command("evaluate", f"set={path}", *words)
    assert code == 2 and "is not the one that the record beside it describes" in text and str(path) in text


# --- records ----------------------------------------------------------------------------------------------------------

# Whether with a checksum that fits, and the values. All rules are in tests/results/store/test_validation.py.
EDITS: dict[str, tuple[bool, dict[str, Any]]] = {
    "plausible seconds": (False, {"seconds": 3.0}),
    "an accuracy of 7": (True, {"result__accuracies": [7.0]}),
    "accuracies null": (True, {"result__accuracies": None}),
    "an environment that is a list": (True, {"environment": []}),
    "another identity": (True, {"identity": "0" * 64}),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_record_costs_its_row_and_is_named(store: Path, command: Command, name: str) -> None:
    path = of_row(store, "evaluate", "dm")
    sound = numbers(command("report", "figures=false", "page=false")[1])
    seal, changes = EDITS[name]
    edit(path, seal, **changes)
    for words in (("report", "figures=false", "page=false"), ("run", *WORDS)):
        code, text = command(*words)
        assert code == 1 and "a record cannot be used" in text and str(path) in text
        shown = numbers(text)
        assert "DM" not in shown and {k: v for k, v in sound.items() if k != "DM"}.items() <= shown.items()
    assert str(path) in command("status")[1]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"schema": NaN}', "[" * 100_000])
def test_a_record_that_is_none_is_named(store: Path, command: Command, content: str) -> None:
    path = of_row(store, "evaluate", "dm")
    path.write_text(content)
    for words in (("report", "figures=false", "page=false"), ("status",)):
        assert str(path) in command(*words)[1]


def test_a_record_that_is_a_dangling_link_is_named(store: Path, command: Command) -> None:
    path = of_row(store, "evaluate", "dm")
    path.unlink()
    path.symlink_to("nowhere")
    for words in (("run", *WORDS), ("report", "figures=false", "page=false"), ("status",)):
        text = command(*words)[1]
        assert str(path) in text and "link to a file that is not there" in text


def test_a_record_in_the_folder_of_another_task_is_named(store: Path, command: Command) -> None:
    path = of_row(store, "evaluate", "dm")
    shutil.copy(of_row(store, "evaluate", "dance"), path)
    for words in (("run", *WORDS), ("report", "figures=false", "page=false"), ("status",)):
        assert "it is the record of another task" in (text := command(*words)[1]) and str(path) in text


def test_two_folders_of_one_task_with_different_numbers_are_both_named(store: Path, command: Command) -> None:
    path = of_row(store, "evaluate", "dm")
    copy = Path(shutil.copytree(path.parent, path.parent.with_name("a" + path.parent.name)))
    assert "DM" in numbers(command("run", *WORDS)[1])  # equal records are one
    record = json.loads(path.read_text())
    right = record["result"]["right_per_class"]
    right[0][0] += 1 if right[0][0] == 0 else -1
    accuracy = sum(right[0]) / record["result"]["test_images"]
    edit(copy / "record.json", True, result__right_per_class=right, result__accuracies=[accuracy])
    for words in (("run", *WORDS), ("report", "figures=false", "page=false"), ("status",)):
        text = command(*words)[1]
        assert "different records of one task" in text and path.parent.name in text and copy.name in text
        assert "DM" not in numbers(text)


def test_other_files_of_a_finished_task_do_not_matter(store: Path, command: Command) -> None:
    sound = numbers(command("report", "figures=false", "page=false")[1])
    folder = of_row(store, "evaluate", "dm").parent
    (folder / "task.json").write_text("{")
    (folder / "progress.json").write_text('{"done": "x", "total": [], "rate": "fast"}')
    (folder / "attempts").mkdir()
    (folder / "attempts" / "001 (copy).json").write_text("")
    code, text = command("run", *WORDS)
    assert code == 0 and numbers(text) == sound
    assert command("report", "figures=false", "page=false")[0] == 0 and command("status")[0] == 0


# --- inputs that were made again --------------------------------------------------------------------------------------


def test_a_set_that_is_made_again_is_scored_again(store: Path, command: Command) -> None:
    """As when its record was removed and it was made on another machine, with other last bits."""
    path = of_row(store, "condense", "dm")
    flip(path.parent / "synthetic.safetensors")
    digest = hashlib.sha256((path.parent / "synthetic.safetensors").read_bytes()).hexdigest()
    artifacts = json.loads(path.read_text())["artifacts"] | {"synthetic.safetensors": digest}
    edit(path, True, artifacts=artifacts)
    scored = of_row(store, "evaluate", "dm")
    before = scored.read_bytes()
    code, text = command("report", "figures=false", "page=false")
    assert code == 1 and str(scored) in text and "DM" not in numbers(text)
    code, text = command("run", *WORDS)
    assert code == 0 and "was made again with another content; the old record is in evaluate/" in text
    assert (scored.parent / "replaced/001/record.json").read_bytes() == before != scored.read_bytes()
    assert command("run", *WORDS)[1].count("done again") == 0
