"""`python -m benchmark.methods`: its pages, the words it takes, and its messages for wrong ones."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from benchmark.cli.method_tables import _table, render
from benchmark.methods import main
from methods import registry, search

Say = Callable[..., str]
PlugIn = Callable[..., Path]
GOOD = '''
from methods.base import Card, setting
from methods.coreset import RandomConfig, RandomSubset
class Mine(RandomSubset):
    """Mine: what this package adds.

    Not shown."""
    card = Card("mine", "Mine [not markup] :boom:", "coreset", "2601.00001", "ICML", 2026, labels="soft")
'''


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Say:
    """What a command line prints, when it goes well."""

    def run(*words: str, columns: int = 250) -> str:
        monkeypatch.setenv("COLUMNS", str(columns))
        status = main(words)
        out, err = capsys.readouterr()
        assert (status, err) == (0, ""), out + err
        return out

    return run


def call(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m benchmark.methods WORDS` as a process, in a folder that holds folders with our packages' names."""
    for room in ("methods", "results"):
        (folder / room).mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "benchmark.methods", *words],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=os.environ | {"COLUMNS": "250"} | more,
    )  # fmt: skip


def rows(page: str) -> dict[str, list[str]]:
    """Lines of a wide page's tables, by their first cell."""
    cells = [re.split(r"\s{2,}", line.strip()) for line in page.splitlines() if line.startswith("  ")]
    return {first: rest for first, *rest in cells if rest}


def as_typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- all methods ------------------------------------------------------------------------------------------------------


def test_without_words_every_method_is_listed(tmp_path: Path) -> None:
    done = call(tmp_path, COLUMNS="600")
    assert (done.returncode, done.stderr) == (0, "") and "\x1b" not in done.stdout
    who, needs = done.stdout.split("Prepared beforehand")
    assert (
        rows(who).items()
        >= {
            "Method": ["Title", "Family", "Paper", "Protocol", "Steps"],
            "dance": ["DANCE", "distribution matching", "2406.01063, IJCAI 2024", "dance", "10,000"],
            "dm": ["DM", "distribution matching", "2110.04181, WACV 2023", "dsa", "20,000"],
            "random": ["Random", "coreset", "–", "dc", "0"],
            "whole": ["Whole set", "whole", "–", "dsa", "–"],
        }.items()
    )
    assert rows(who).keys() == {"Method", *registry.locations()}
    assert rows(needs)["random"] == rows(needs)["whole"] == ["nothing", "any"]
    text = " ".join(needs.split())
    for words in ("5 experts, each 60 epochs on the real images", "weight decay 0.0005", "times 0.2 after 2/3 and 5/6",
                  "idc:color_crop", "mnist, svhn: 1, 10, 50;", "imageyellow: 1, 10; digits: any"):  # fmt: skip
        assert words in text
    assert not list(tmp_path.glob("*/*"))


def test_methods_of_other_packages_are_listed_and_a_broken_one_is_a_line(plug_in: PlugIn, say: Say) -> None:
    points = "mine = other_method:Mine\nbroken = other_broken:Broken\nold = other_method:Gone"
    folder = plug_in(
        points, GOOD, "paper: [{source: x, provenance: paper, ipcs: [3], datasets: [moons], settings: {}}]"
    )
    (folder / "other_broken.py").write_text("import a_module_that_is_not_there\n")
    page = say()
    assert rows(page)["dm"]
    mine = "mine Mine [not markup] :boom: coreset 2601.00001, ICML 2026 dsa 0"
    assert mine in [" ".join(line.split()) for line in page.splitlines()]
    assert "moons: 3" in page
    lines = [line for line in page.splitlines() if "does not import" in line]
    assert len(lines) == 2 and lines[0].startswith("method 'broken' does not import: ModuleNotFoundError: No module")
    assert "(other_method:Gone of other 1.0)" in lines[1]


def test_experts_with_a_constant_rate_and_kept_weights_are_described(plug_in: PlugIn, say: Say) -> None:
    recipe = "base.ExpertRecipe(2, 4, 256, 0.01, 0.0, 0.0, (), 1.0, 'none', 0.0, keep=(1, 3))"
    body = f"        from methods import base\n        return {recipe}\n"
    plug_in("mine = other_method:Mine", f"{GOOD}    @classmethod\n    def experts(cls, config):\n{body}")
    text = " ".join(say().split())
    assert "weight decay 0), constant, none, CutMix" in text and "weights of 2 epochs between kept" in text


def test_a_method_that_cannot_say_what_it_needs_harms_nobody_else(plug_in: PlugIn, say: Say) -> None:
    fails = "    @classmethod\n    def experts(cls, config):\n        raise KeyError('no')\n"
    plug_in("mine = other_method:Mine", GOOD + fails)
    page = say()
    assert "the experts of 'mine' are unknown: KeyError: 'no'" in page and rows(page)["dm"]


# --- one method -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(registry.locations()))
def test_a_method_page_has_every_setting(name: str, say: Say) -> None:
    page = say(name, columns=600)
    method = registry.load(name)
    assert page.startswith(f"{name}: {method.card.title}\n")
    page, _, tuned = page.partition("python -m benchmark.tune\n")
    space = search.space(name) if name in registry.names() else ()
    assert [dimension.setting in rows(tuned) for dimension in space] == [True] * len(space)
    listed = rows(page.split("command line\n")[1])
    for spec in fields(method.Config):
        default, meaning, source = listed[spec.name]
        assert default == as_typed(spec.default)
        assert meaning.startswith(spec.metadata["meaning"]) and source == spec.metadata["source"]
        for option in spec.metadata.get("options", ()):
            assert option in meaning.split("one of")[1]
    for block in registry.blocks(name, "quick"):
        assert block.source in page


def test_who_a_method_is(say: Say, plug_in: PlugIn) -> None:
    page = say("dance")
    assert "dual-view distribution alignment (Zhang, Li, Lin, Ge and others, IJCAI 2024" in page.splitlines()[1]
    known = rows(page)
    assert known["paper"] == ["2406.01063, IJCAI 2024"] and known["steps"] == ["10,000"] and known["version"] == ["1"]
    assert any(line.split()[:3] == ["cifar10", "50", "factor=2"] for line in page.splitlines())
    assert [line.split()[:3] for line in page.splitlines() if "preset=quick" in line] == [
        ["any", "(preset=quick)", "any"]
    ]
    plug_in("mine = other_method:Mine", GOOD)
    page = say("mine")
    assert page.splitlines()[1] == "Mine: what this package adds." and "Not shown" not in page
    assert "no settings file: every cell takes the defaults above" in page


# --- one cell ---------------------------------------------------------------------------------------------------------


def cell(page: str) -> dict[str, tuple[str, str, str]]:
    """Setting → (value, provenance, source), the numbers of sources replaced by what they stand for."""
    sources = dict(re.findall(r"^(\[\d+\]) (.*)$", page, re.M))
    found = {}
    for name, values in rows(page).items():
        if len(values) == 3 and name != "Setting":
            value, provenance, source = values
            found[name] = (value, provenance, re.sub(r"\[\d+\]$", lambda match: sources[match[0]], source))
    return found


@pytest.mark.parametrize(("name", "dataset"), [("dance", "cifar10"), ("dm", "imagenette"), ("random", "svhn")])
def test_a_cell_says_whose_every_value_is(name: str, dataset: str, say: Say) -> None:
    page = say(name, dataset, "10", columns=300)
    resolved = registry.resolve(name, dataset=dataset, ipc=10, preset="paper")
    known = cell(page)
    assert known.keys() == asdict(resolved.config).keys()
    for key, (value, provenance, source) in known.items():
        assert value == as_typed(getattr(resolved.config, key))
        assert (source, provenance) == (resolved.provenance[key].source, resolved.provenance[key].kind)
    assert page.startswith(f"{name} on {dataset} at ipc 10, preset paper\n") and "note:" not in page
    assert f"weakest provenance: {resolved.weakest_provenance} (" in page


def test_an_override_is_shown_beside_what_it_replaces(say: Say) -> None:
    words = ("dance", "cifar10", "10", "lr_img_per_ipc=2e-2", "method.dance.calibration=off", "momentum=0.5")
    page = say(*words)
    known = cell(page)
    was = "Hansong-Zhang/DANCE@3f6b8b6, as it runs with --reproduce"
    assert known["lr_img_per_ipc"] == ("0.02", "ours", f"command line, instead of 0.01 {was}")
    assert known["calibration"] == ("false", "ours", f"command line, instead of true {was}")
    assert known["momentum"] == ("0.5", "code", was) and "note: momentum=0.5 changes nothing" in page
    assert "weakest provenance: ours (lr_img_per_ipc, factor, init, calibration)" in page


def test_presets_and_fractions(say: Say) -> None:
    page = say("dance", "cifar10", "50", "preset=quick", "iterations_fraction=0.01")
    known = cell(page)
    assert known["iterations"][:2] == ("100", "ours") and "fraction 0.01 of 10000: Hansong" in known["iterations"][2]
    assert known["experts"][:2] == ("3", "ours") and known["factor"][:2] == ("2", "code")
    assert "note: dance: 100 of the paper's 10,000 iterations" in page and "iterations_fraction=F" not in page
    assert "iterations_fraction=F shows by how much" in say("dance", "cifar10", "50", "preset=quick")


def test_notes_of_a_cell(say: Say, plug_in: PlugIn) -> None:
    page = say("dm", "cifar10", "70")
    assert "note: dm: no published settings for cifar10 at ipc 70, those of ipc 50 are used" in page
    assert cell(page)["lr_img"][1] == "ours"
    page = say("random", "cifra10", "1")
    assert "note: no settings name a dataset 'cifra10'. Did you mean 'cifar10'?" in page
    page = say("dm", "my-own-pictures", "1")
    assert "Did you mean" not in page and "note: dm: no published settings for my-own-pictures, the generic" in page
    assert "weakest provenance: ours (dataset)" in page
    plug_in(
        "mine = other_method:Mine", GOOD, "paper: [{source: x, provenance: paper, datasets: [cifar11], settings: {}}]"
    )
    assert "note:" not in say("mine", "cifar11", "1") and "Did you mean 'cifar10'" in say("dm", "cifar11", "1")
    assert say("dance", "imagenette@ilsvrc", "1") == say("dance", "imagenette", "1")


def test_the_whole_set_has_no_ipc(say: Say) -> None:
    page = say("whole", "cifar10")
    assert page.startswith("whole on cifar10, preset paper\n") and cell(page)["epochs"][:2] == ("60", "ours")
    assert cell(say("whole", "cifar10", "10")) == cell(page)
    assert cell(say("whole", "cifar10", "epochs=3"))["epochs"][0] == "3"


# --- wrong words, narrow terminals, closed pipes ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what", "cure"),
    [
        (("dancee",), "no method 'dancee'. Did you mean 'dance'?", f"known: {', '.join(sorted(registry.locations()))}"),
        (("dan\ncee",), "no method 'dan cee'. Did you mean 'dance'?", "known"),
        (("wole", "cifar10"), "no method 'wole'. Did you mean 'whole'?", "known"),
        (("dance", "cifar10"), "a cell needs an ipc", "python -m benchmark.methods dance cifar10 10"),
        (("dance", "10"), "no dataset is named before 10", "NAME [DATASET IPC"),
        (("dance", "cifar10", "ten"), "ipc must be a whole number from 1, got 'ten'", ""),
        (("dance", "cifar10", "1.5"), "ipc must be a whole number from 1, got '1.5'", ""),
        (("dance", "cifar10", "0"), "ipc must be a whole number from 1, got '0'", ""),
        (("dance", "cifar10", "-1"), "ipc must be a whole number from 1, got '-1'", ""),
        (("dance", "cifar10", "٣"), "ipc must be a whole number from 1, got '٣'", ""),
        (("dance", "cifar10", "9" * 5000), "ipc must be a whole number from 1, got '999", ""),
        (("dm", "cifar10", "1", "2"), "'2' is one word too many", "NAME [DATASET IPC"),
        (("dm", "lr_img=1"), "a setting needs a cell", "python -m benchmark.methods dm cifar10 10 lr_img=1"),
        (("lr_img=1",), "no method is named", "NAME [DATASET IPC"),
        (("dm", "cifar10", "1", "lr_imgg=2"), "no setting 'lr_imgg'. Did you mean 'lr_img'?", "known: augment, "),
        (("dm", "cifar10", "1", "lr_img=fast"), "could not be converted to Float", "python -m benchmark.methods dm"),
        (("dm", "cifar10", "1", "lr_img=-1"), "lr_img must be greater than 0", "python -m benchmark.methods dm"),
        (
            ("dm", "cifar10", "1", "init=zeros"),
            "init must be one of random, first, noise",
            "python -m benchmark.methods dm",
        ),
        (("dm", "cifar10", "1", "lr_img="), "Incompatible value", "python -m benchmark.methods dm"),
        (("dm", "cifar10", "1", "lr_img=${x}"), "Interpolation key 'x' not found", "python -m benchmark.methods dm"),
        (("dm", "cifar10", "1", "augment=["), "the value is malformed", "quote"),
        (("dm", "cifar10", "1", "method.dance.experts=1"), "'method.dance.experts' is no setting of dm", "method.dm."),
        (("dm", "cifar10", "1", "method.dm=1"), "'method.dm' is no setting of dm", "method.dm.SETTING=VALUE"),
        (("dm", "cifar10", "1", "preset=fast"), "no preset 'fast'.", "known: paper, quick"),
        (
            ("dm", "cifar10", "1", "iterations_fraction=2"),
            "iterations_fraction must be a number in (0, 1], got '2'",
            "",
        ),
        (
            ("dm", "cifar10", "1", "iterations_fraction=nan"),
            "iterations_fraction must be a number in (0, 1], got 'nan'",
            "",
        ),
        (
            ("dm", "cifar10", "1", "iterations_fraction=half"),
            "iterations_fraction must be a number in (0, 1], got 'half'",
            "",
        ),
        (("diff",), "diff needs the path of a store", "python -m benchmark.methods diff outputs"),
    ],
)
def test_wrong_words_are_reported_in_three_lines(
    words: tuple[str, ...], what: str, cure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == "" and 1 <= len(lines) <= 3
    assert lines[0].startswith("error: ") and what in lines[0]
    assert all(line.startswith(("  where: ", "  next:  ")) for line in lines[1:])
    assert cure in err and (not cure or lines[-1].startswith("  next:  "))


def test_a_wrong_word_ends_a_process_without_traceback(tmp_path: Path) -> None:
    done = call(tmp_path, "dancee", "cifar10", "10")
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(
        r"error: no method 'dancee'. Did you mean 'dance'\?\n  next:  known: .*, whole.*\n", done.stderr
    )


def test_help_shows_the_five_ways(tmp_path: Path) -> None:
    done = call(tmp_path, "dance", "--help")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("\npython -m benchmark.methods") == 5


@pytest.mark.parametrize(
    "words", [(), ("dance",), ("dance", "imagenette", "10", "iterations_fraction=0.1"), ("dm", "digits", "3")]
)
def test_a_narrow_terminal_wraps_and_cuts_nothing(words: tuple[str, ...], say: Say) -> None:
    def letters(page: str) -> list[str]:
        return sorted(re.sub(r"[\s─]", "", page))

    wide = letters(say(*words, columns=600))
    for width in (1, 20, 60, 80, 100, 200):
        page = say(*words, columns=width)
        assert letters(page) == wide
        if width >= 80:
            assert max(map(len, page.splitlines())) <= width


def test_columns_share_a_line_and_keep_short_words_whole(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    page = say(columns=80)
    assert "  distribution  " in page and "  datadam  " in page and "  20,000" in page
    monkeypatch.setenv("COLUMNS", "60")
    table = _table(("One", "Two", "Three"), [("a b " * 30, "c d " * 30, "ef")])
    line = next(line for line in render([table]).splitlines() if "a b" in line and "c d" in line)
    first, second, third = re.split(r" {3,}", line.strip())
    assert (third, abs(len(first) - len(second)) <= 4) == ("ef", True) and len(first) > 15


def test_a_reader_that_stops_gets_no_error(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmark.methods", "whole"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stderr
    process.stdout.close()  # before it has written: as `| head -0`
    assert process.stderr.read() == b"" and process.wait(60) == 0
    process.stderr.close()


def test_a_terminal_of_another_alphabet_is_written_to(tmp_path: Path) -> None:
    done = call(tmp_path, "whole", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "") and "whole: Whole set" in done.stdout
