"""`python -m benchmark.tune` as a person runs it, and runs with the settings that it chose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli import main
from benchmark.tune import tune
from results.frame import load

TINY = ("methods=[dm,random]", "ipcs=[1]", "architectures=[convnet2-w4]", "workers=1", "threads=1", "seeds=[0,1]",
        "method.dm.iterations=2", "num_eval=1", "baselines=[]", "protocols=[quick]")  # fmt: skip


def call(folder: Path, command: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"benchmark.{command}", *words],
        cwd=folder, capture_output=True, text=True, timeout=250, check=False, env=os.environ | {"COLUMNS": "120"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which three settings of DM were tried."""
    folder = tmp_path_factory.mktemp("tuned")
    done = call(folder, "tune", *TINY, "trials=3")
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert (
        "plan: 3 condense (0 done), 3 analyze (0 done)" in done.stdout and "random has nothing to tune" in done.stdout
    )
    return folder


def records(folder: Path, pattern: str) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"outputs/{pattern}/record.json"))]


def test_trials_are_scored_on_withheld_images_and_never_on_test_images(tuned: Path) -> None:
    (path,) = tuned.glob("outputs/tuned/tuned/*.json")
    choice = json.loads(path.read_text())
    assert [len(trial["settings"]) for trial in choice["trials"]] == [0, 3, 3]
    scored = records(tuned, "analyze/validation-*")
    assert sorted(trial["accuracy"] for trial in choice["trials"]) == sorted(
        record["result"]["accuracies"][0]  # type: ignore[index]
        for record in scored
    )
    sets = [r for r in records(tuned, "condense/*") if r["resolved"]["val_fraction"] == 0.2]  # type: ignore[index]
    assert len(sets) == len(scored) == 3 and choice["seconds"] == pytest.approx(
        sum(record["seconds"] for record in [*sets, *scored])  # type: ignore[misc]
    )
    for record in scored:
        assert set(record["result"]) == {"accuracies", "images"}  # type: ignore[call-overload]
    evaluated = records(tuned, "evaluate/*")  # what is scored on test images was made of all training images
    assert evaluated and {record["resolved"]["val_fraction"] for record in evaluated} == {0.0}  # type: ignore[index]


def test_rows_of_both_settings_stand_side_by_side_with_the_cost_of_tuning(tuned: Path) -> None:
    frame = load(tuned / "outputs")
    assert set(frame["display_name"]) == {"dm (iterations=2)", "dm (iterations=2, tuned)", "random"}
    of_tuned = frame["display_name"] == "dm (iterations=2, tuned)"
    assert set(frame[of_tuned]["trials"]) == {3} and frame[~of_tuned]["trials"].isna().all()
    (path,) = tuned.glob("outputs/tuned/tuned/*.json")
    assert set(frame[of_tuned]["tuning_seconds"]) == {json.loads(path.read_text())["seconds"]}
    assert set(frame[of_tuned]["seed"]) == {0, 1}
    report = call(tuned, "report", "tables=[comparison,time]", "page=false")
    assert report.returncode == 0 and "Tuned: best of 3 settings on withheld images" in report.stdout, report.stderr
    assert (tuned / "outputs/report/figures/tuning-digits-convnet2-w4.pdf").exists()
    table = pd.read_csv(tuned / "outputs/report/tables.csv")
    assert "lr_img" not in "".join(table["display_name"])  # trials are no rows


def test_the_same_command_adds_nothing_and_another_number_of_trials_needs_a_name(tuned: Path) -> None:
    before = {path: path.read_bytes() for path in tuned.glob("outputs/*/*/*.json")}
    again = call(tuned, "tune", *TINY, "trials=3")
    assert again.returncode == 0 and "new" not in again.stdout
    assert {path: path.read_bytes() for path in tuned.glob("outputs/*/*/*.json")} == before
    more = call(tuned, "tune", *TINY, "trials=4")
    assert more.returncode == 2 and "they differ in: trials" in more.stderr and "name=OTHER" in more.stderr
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_run_takes_the_chosen_settings_by_name(tuned: Path) -> None:
    plan = call(tuned, "run", *TINY, "settings=tuned", "dry_run=true")
    assert plan.returncode == 0 and "4 evaluate (2 done)" not in plan.stdout, plan.stderr
    assert "7 condense (7 done), 7 evaluate (7 done)" in plan.stdout
    both = call(tuned, "run", *TINY, "settings=[default,tuned]", "dry_run=true")
    assert "(0 done)" not in both.stdout and both.returncode == 0
    for words, said in {
        ("settings=tunde",): "Did you mean 'tuned'?",
        ("settings=tuned", "method.dm.iterations=3"): "no settings 'tuned' were chosen for dm (iterations=3)",
        ("settings=tuned", "budget_seconds=5"): "budget_seconds changes",
    }.items():
        wrong = call(tuned, "run", *TINY, *words)
        assert wrong.returncode == 2 and said in wrong.stderr and wrong.stderr.startswith("error: "), wrong.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trials=1"], "trials must be from 2 to"),
        (["val_fraction=0"], "val_fraction must be in (0, 1)"),
        (["methods=[random,herding]"], "there is nothing to tune"),
        (["methods=[dm@soft]"], "labels of a teacher"),
        (["name=default"], "no name for settings"),
        (["snapshots=3"], "no option 'snapshots'"),
        (["method.dm.lr_img=1", "method.dm.momentum=0.1", "method.dm.batch_real=9"], "all settings that tuning varies"),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["tune.py", "methods=[dm]", "ipcs=[1]", *words])
    with pytest.raises(SystemExit) as ended:
        main.launch(tune, "tune")
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error and error.startswith("error: ") and len(error.splitlines()) <= 3
    assert not list(tmp_path.glob("outputs/*"))
