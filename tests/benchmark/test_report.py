"""`python -m benchmark.report` on stores of made-up records: its options, what it refuses, and stores with faults."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_module

from benchmark.cli import main
from benchmark.config import compose as options
from benchmark.config.compose import parse_as
from benchmark.config.report_options import ReportConfig
from benchmark.report import report
from many_records import many_records, write_store
from results.aggregation.options import TABLES, Options
from results.store.identity import sealed
from results.store.schema import SCHEMA

NO_PICTURES = ("figures=false", "page=false")
Report = Callable[..., tuple[int, str, str]]  # words of the command line to (status, stdout, stderr)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Random and two methods, two datasets, ipcs and protocols."""
    shape = {"datasets": ("cifar10", "svhn"), "ipcs": (1, 10), "networks": ("convnet3",), "protocols": ("dsa", "idc")}
    return write_store(tmp_path / "out", many_records(3, 2, **shape))


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")

    def launch(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["report.py", *words])
        with pytest.raises(SystemExit) as ended:
            main.launch(report, "report")
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return launch


def test_the_defaults_of_the_command_are_those_of_the_options() -> None:
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        asked = parse_as(ReportConfig, compose("report"))
    assert asked.options() == Options() and asked.store == ["outputs"]


def test_everything_is_printed_and_written_without_a_word_of_torch(out: Path, command: Report) -> None:
    status, text, err = command("store=out")
    assert (status, err) == (0, "")
    titles = ("Test accuracy (%)", "Wall-clock: cifar10", "Memory: svhn", "protocols across", "Measured and published")
    assert all(title in text for title in titles)
    files = {path.name for path in (out / "report").iterdir()}
    written = {"tables.md", "tables.tex", "article.tex", "references.bib", "tables.html", "tables.csv", "sheets"}
    assert files == written | {"figures", "report.html"}
    assert "note:" not in text and f"{Path('out/report/sheets')} (" in text


def test_options_choose_rows_columns_order_and_forms(out: Path, command: Report) -> None:
    words = ("tables=[accuracy]", "formats=[terminal,csv,sheets]", "methods=[m2,m1]", "order=listed", "datasets=[svhn]",
             "ipcs=[10]", "protocols=[idc]", "baselines=[]", "highlight=none", *NO_PICTURES)  # fmt: skip
    status, text, err = command("store=out", *words)
    assert (status, err) == (0, "")
    assert {path.name for path in (out / "report").iterdir()} == {"tables.csv", "sheets"}
    table = pd.read_csv(out / "report" / "sheets" / "accuracy-1.csv", comment="#")
    assert table["Method"].tolist() == ["M2", "M1"] and len(list((out / "report" / "sheets").iterdir())) == 1
    assert "CIFAR10" not in text and "RANDOM" not in text and "Bold" not in text and "*" not in text
    assert set(pd.read_csv(out / "report" / "tables.csv")["dataset"]) == {"svhn"}


def test_only_the_terminal_writes_nothing(out: Path, command: Report) -> None:
    status, text, _ = command("store=out", "formats=[terminal]", "tables=[time]", *NO_PICTURES)
    assert status == 0 and "Wall-clock" in text and "Test accuracy" not in text and not (out / "report").exists()


WRONG = {
    "table": (["tables=[acuracy]"], ["no table 'acuracy'", "Did you mean 'accuracy'?", "memory"]),
    "no table": (["tables=[]"], ["tables is empty", "accuracy"]),
    "form": (["formats=[pdf]"], ["no format 'pdf'", "latex"]),
    "no form": (["formats=[]"], ["formats is empty"]),
    "baseline": (["baselines=[rnd]"], ["no baseline 'rnd'", "random"]),
    "order": (["order=best"], ["no order 'best'", "accuracy"]),
    "order of nothing": (["order=listed"], ["order=listed needs methods", "methods=[…]"]),
    "highlight": (["highlight=bold"], ["no highlight 'bold'", "significance"]),
    "twice": (["datasets=[svhn,svhn]"], ["datasets names something twice"]),
    "type": (["explain_missing=perhaps"], ["explain_missing must be"]),
    "ipcs": (["ipcs=[one]"], ["ipcs must be"]),
    "unknown ipc": (["ipcs=[7]"], ["7 among its ipcs", "known: 1, 10"]),
    "unknown method": (["methods=[m9]"], ["'m9' among its methods", "known: m1, m2, random"]),
    "unknown dataset": (["datasets=[svnh]"], ["Did you mean 'svhn'?"]),
    "nothing left": (["methods=[m1]", "baselines=[]", "architectures=[convnet3]", "ipcs=[1]", "datasets=[mnist]"],
                     ["'mnist' among its datasets"]),
    "setting": (["tabels=[time]"], ["there is no option 'tabels'", "Did you mean 'tables'?"]),
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_request_is_refused_before_anything_is_written(words: str, out: Path, command: Report) -> None:
    asked, said = WRONG[words]
    status, text, err = command("store=out", *asked)
    lines = err.strip().splitlines()
    assert status == 2 and lines[0].startswith("error: ") and len(lines) <= 3, text + err
    assert all(line.startswith(("  where: ", "  next:  ")) for line in lines[1:]), err
    assert all(word in err for word in said), err
    assert not (out / "report").exists()


# --- odd stores -------------------------------------------------------------------------------------------------------


def test_an_empty_store_is_told_in_a_line(tmp_path: Path, command: Report) -> None:
    (tmp_path / "out" / "condense").mkdir(parents=True)
    status, text, err = command("store=out")
    assert status == 2 and err.startswith("error: the store holds no finished task yet\n") and text == ""


def test_sets_that_nobody_has_evaluated_are_told(tmp_path: Path, command: Report) -> None:
    made = [record for record in many_records(2, 1, ("svhn",), (1,)) if record["kind"] != "evaluate"]
    write_store(tmp_path / "out", made)
    status, text, err = command("store=out")
    assert (status, err) == (0, "") and "no evaluation is finished yet" in text


def test_a_store_with_every_fault_shows_the_rest(out: Path, command: Report) -> None:
    folders = sorted((out / "evaluate").iterdir())
    (folders[0] / "record.json").write_text('{"schema": 1, "ki')
    for folder in folders[1:3]:
        record = json.loads((folder / "record.json").read_text())
        (folder / "record.json").write_text(json.dumps({**record, "schema": 7}))
    (folders[3] / "record.json").unlink()
    (folders[4] / "task.json").unlink()
    (folders[4] / "record.json").unlink()
    next(out.glob("condense/*/synthetic.safetensors")).unlink()
    status, text, err = command("store=out", "tables=[accuracy,time]", *NO_PICTURES)
    assert status == 1 and "Traceback" not in text + err
    notes = [line for line in text.splitlines() if line.startswith("note: ")]
    assert [note.partition(":")[2].split(",")[0][:24] for note in notes] == [
        " 2 tasks have no record ", " 1 of them cannot be pla", " 1 file is missing: the "]  # fmt: skip
    problems = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (
        len(problems) == 2 and f"2 times: a record cannot be used: its schema is 7, this version reads {SCHEMA}" in err
    )
    assert "Test accuracy (%)" in text and "Wall-clock: svhn" in text and (out / "report" / "tables.md").exists()


@pytest.mark.parametrize("kind", ["evaluate", "condense", "prepare"])
def test_a_cell_without_a_number_is_a_dash_in_every_form(kind: str, out: Path, command: Report) -> None:
    """Its sets diverged, or were condensed elsewhere, so that their accuracies or their seconds are unknown."""
    for path in out.glob(f"{kind}/*/record.json"):
        record = json.loads(path.read_text())
        if kind == "evaluate" and record["display"]["display_name"] == "m1":
            path.write_text(
                json.dumps(sealed(record | {"status": "diverged", "message": "loss too large", "result": {}}))
            )
        elif kind != "evaluate":
            path.unlink()
    status, text, err = command("store=out", "figures=false")
    assert status == 0, err
    written = [path for path in (out / "report").rglob("*") if path.suffix in (".md", ".tex", ".html", ".csv")]
    texts = {path.name: re.sub(r"<script.*?</script>", "", path.read_text(), flags=re.DOTALL) for path in written}
    assert len(texts) > 5
    for name, content in {"terminal": text, **texts}.items():
        assert "–" in content or name.endswith(".csv") or name.endswith(".tex"), name
        assert not re.search(r"\b(nan|inf|None|NA)\b", content), name


def test_records_of_several_versions_are_told_and_stand_apart(out: Path, command: Report) -> None:
    for path in out.glob("evaluate/m1-*/record.json"):
        record = json.loads(path.read_text())
        record["resolved"]["protocol"]["version"] = 2 if record["display"]["protocol"] == "dsa" else 1
        path.write_text(json.dumps(sealed(record)))
    status, text, _ = command("store=out", "tables=[accuracy]", "protocols=[dsa]", *NO_PICTURES)
    assert status == 0
    assert "note: records of several versions have rows of their own and are not compared: protocol dsa v1, v2" in text
    assert text.count("Protocol dsa v2.") == 1 and text.count("Protocol dsa v1.") == 1


def test_reasons_are_given_on_request(out: Path, command: Report) -> None:
    for path in out.glob("evaluate/m2-*/record.json"):
        record = json.loads(path.read_text())
        if record["display"]["ipc"] == 1:
            path.unlink()
    words = ("store=out", "tables=[accuracy]", "formats=[terminal]", *NO_PICTURES)
    usual, asked = command(*words)[1], command(*words, "explain_missing=true")[1]
    assert "begun: it has no record yet" not in usual and "begun: it has no record yet" in asked
    assert "– ¹" in asked and "– ¹" not in usual


def test_every_kind_of_table_is_documented(command: Report) -> None:
    _, text, _ = command("--help")
    assert all(table in text for table in TABLES) and "order: family" in text and "explain_missing: false" in text
