"""The files of chosen settings: which trial is best, and that none is overwritten."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from results.errors import ResultsError
from results.store import choices
from results.store.choices import Choice, TrialScore

TUNED = {"method": "dm", "ipc": 1}


def choice(*accuracies: float | None, **changes: object) -> Choice:
    trials = tuple(TrialScore({"lr_img": float(k)} if k else {}, value) for k, value in enumerate(accuracies))
    made = Choice("tuned", "dm on digits at ipc 1, convnet3", TUNED, {"trials": len(trials)}, trials, 12.5)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_highest_accuracy_is_chosen_and_of_equals_the_first() -> None:
    assert choice(0.5, 0.7, 0.6).settings == {"lr_img": 1.0}
    assert choice(0.7, 0.5, 0.7).settings == {}
    assert choice(None, None, 0.1).chosen == 2
    with pytest.raises(ResultsError, match="no trial of dm on digits"):
        _ = choice(None, None).chosen


def test_a_choice_is_found_by_what_was_tuned_and_never_overwritten(tmp_path: Path) -> None:
    path = choices.write(tmp_path, choice(0.5, 0.7))
    content = path.read_bytes()
    assert choices.find(tmp_path, "tuned", TUNED) == choice(0.5, 0.7) and choices.names(tmp_path) == ["tuned"]
    assert choices.find(tmp_path, "tuned", {**TUNED, "ipc": 10}) is None
    assert choices.write(tmp_path, choice(0.5, 0.7)) == path
    with pytest.raises(ResultsError, match="differ in: trials") as caught:
        choices.write(tmp_path, choice(0.5, 0.7, 0.8))
    assert caught.value.next == "keep both: name=OTHER" and path.read_bytes() == content
    with pytest.raises(ResultsError, match="the records of its trials"):
        choices.write(tmp_path, choice(0.5, 0.9))
    assert choices.write(tmp_path, choice(0.5, 0.9, name="other")) != path and path.read_bytes() == content


@pytest.mark.parametrize("damage", ["accuracy", "half", "no trial"])
def test_a_damaged_choice_is_refused_with_its_cure(damage: str, tmp_path: Path) -> None:
    path = choices.write(tmp_path, choice(0.5, 0.7))
    content = json.loads(path.read_text())
    content["trials"][0]["accuracy"] = 0.9
    path.write_text({"accuracy": json.dumps(content), "half": path.read_text()[:40], "no trial": "{}"}[damage])
    with pytest.raises(ResultsError) as caught:
        choices.find(tmp_path, "tuned", TUNED)
    assert caught.value.where == str(path) and "benchmark.tune again" in caught.value.next
