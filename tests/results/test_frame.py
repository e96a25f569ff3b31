"""The tidy frame of a store, one row per network, and the documentation's example of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from record_parts import task_of, validation_scores
from results.errors import ResultsError
from results.frame import COLUMNS, frame, load
from results.store.store import Store

PAGE = (Path(__file__).parents[2] / "docs/dataframe.md").read_text()


@pytest.fixture
def records(make_expert, make_condensed, make_evaluated):
    expert = make_expert(0, seconds=60.0)
    used = {"experts": [expert["identity"]], "settings": {"lr": 2.0, "alignment": "mid"}}
    sets = [make_condensed("dance", seed, resolved=used, seconds=10.0 + seed) for seed in (0, 1)]
    scores = [make_evaluated(made, [0.4, 0.5], seconds=7.0) for made in sets]
    scores[0]["result"] |= validation_scores([0.6, 0.7])
    lost = make_evaluated(sets[0], [0.1], protocol="dc", status="diverged", message="nan")
    foreign = make_condensed("dm", 5)
    return [expert, *sets, *scores, lost, make_evaluated(foreign, [0.3]), make_evaluated(None, [0.8, 0.9, 0.85])]


@pytest.fixture
def outputs(records, tmp_path):
    store = Store(tmp_path / "outputs")
    for record in records:
        assert store.commit(task_of(record, record["kind"]), record)
    return store.root


def test_a_row_for_each_network_with_all_that_belongs_to_it(records):
    found = frame(records)
    assert list(found.columns) == list(COLUMNS) and len(found) == 2 + 2 + 1 + 3
    dance = found[found["display_name"] == "dance"]
    assert dance[["seed", "network", "accuracy"]].values.tolist() == [
        [0, 0, 0.4],
        [0, 1, 0.5],
        [1, 0, 0.4],
        [1, 1, 0.5],
    ]
    assert dance["validation_accuracy"].tolist()[:2] == [0.6, 0.7] and dance["validation_accuracy"].isna().sum() == 2
    seconds = ["prepare_seconds", "prepare_shared", "condense_seconds", "evaluate_seconds"]
    assert dance[seconds].values.tolist() == [[60.0, 30.0, 10.0, 7.0]] * 2 + [[60.0, 30.0, 11.0, 7.0]] * 2
    assert json.loads(dance["settings"].iloc[0]) == {"lr": 2.0, "alignment": "mid"}
    assert json.loads(dance["resolved"].iloc[0])["evaluation.num_eval"] == 2
    assert dance["ipc"].tolist() == [10] * 4 and set(dance["protocol"]) == {"dsa"}


def test_the_whole_set_costs_nothing_to_condense_and_a_foreign_one_an_unknown_time(records):
    found = frame(records)
    whole, foreign = found[found["set"] == "whole"], found[found["display_name"] == "dm"]
    assert (
        whole["ipc"].isna().all()
        and set(whole["condense_seconds"]) == {0.0}
        and set(whole["condense_architecture"]) == {""}
    )
    assert foreign["condense_seconds"].isna().all() and foreign["seed"].tolist() == [5]


def test_nothing_gives_an_empty_frame_with_its_types():
    empty = frame([])
    assert list(empty.columns) == list(COLUMNS) and empty.empty and empty["accuracy"].dtype == "float64"


def test_a_damaged_record_is_warned_of_and_the_rest_loaded(outputs):
    (path,) = (outputs.glob("evaluate/*/record.json"),)
    victim = sorted(path)[0]
    victim.write_text("{")
    with pytest.warns(UserWarning, match="record.json is not JSON"):
        found = load(outputs)
    assert 0 < len(found) < 9
    with pytest.raises(ResultsError, match="there is no store"):
        load(outputs / "nowhere")


def test_the_example_of_the_documentation_runs(outputs, monkeypatch):
    monkeypatch.chdir(outputs.parent)
    code = re.search(r"```python\n(from results\.frame import load\n.*?)```", PAGE, re.S)
    assert code, "the page shows no frame"
    names: dict[str, object] = {}
    exec(code[1], names)
    assert isinstance(names["runs"], pd.DataFrame) and len(names["runs"]) == 8
    means = names["means"]
    assert isinstance(means, pd.Series) and means.loc["cifar10", 10, "dance", 0] == pytest.approx(0.45)
