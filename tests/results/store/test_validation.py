"""The check of a record: each kind of fault is found by its own rule, which nothing else would have found."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from record_parts import changed
from results.store.validation import problem

CHANGED = "its content does not have its checksum: it was changed after it was written"


def set_value(record: dict[str, Any], keys: str, value: Any) -> None:
    *above, last = keys.split(".")
    for key in above:
        record = record[key]
    record[last] = value


@pytest.fixture
def record(make_condensed, make_evaluated) -> dict[str, Any]:
    record = copy.deepcopy(make_evaluated(make_condensed(), [0.5, 0.6]))
    return {**record, "spec": dict(record["spec"]), "resolved": dict(record["resolved"])}


def test_a_sound_record_has_no_problem(record: dict[str, Any]) -> None:
    assert problem(record) == ""


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        ("seconds", 2.0),
        ("steps", 11),
        ("display.display_name", "dance"),
        ("display.role", "baseline"),
        ("resolved.seed", 7),
        ("environment.device", "NVIDIA A100"),
        ("finished", "2026-01-02T00:00:00+00:00"),
        ("inputs", {"condense/x/synthetic.safetensors": "0" * 64}),
        ("note", "a key of nobody"),
    ],
)
def test_a_plausible_edit_is_found_by_the_checksum(record: dict[str, Any], keys: str, value: Any) -> None:
    set_value(record, keys, value)
    assert problem(record) == CHANGED
    assert problem(changed(record)) == ""


def test_an_accuracy_that_agrees_with_its_answers_is_found_by_the_checksum(record: dict[str, Any]) -> None:
    record["result"]["accuracies"][0] += 0.0001
    record["result"]["right_per_class"][0][0] += 1
    assert problem(record) == CHANGED and problem(changed(record)) == ""


@pytest.mark.parametrize(
    ("keys", "value", "reason"),
    [
        ("schema", 1, "its schema is 1"),
        ("kind", "distil", "its kind is 'distil'"),
        ("status", "failed", "its status 'failed'"),
        ("seconds", -5.0, "seconds is wrong: expected `float` >= 0.0"),
        ("steps", None, "steps is wrong: expected `int`, got `null`"),
        ("environment", [], "environment is wrong: expected `object`, got `array`"),
        ("environment.threads", "many", "environment.threads is wrong"),
        ("inputs", {"x": "not a hash"}, "inputs[...] is wrong"),
        ("artifacts", {"../../other": "0" * 64}, "a key of artifacts is wrong"),
        ("artifacts", {"/etc/passwd": "0" * 64}, "a key of artifacts is wrong"),
        ("result.accuracies", [7.0, 0.6], "result.accuracies[0] is wrong: expected `float` <= 1.0"),
        ("result.accuracies", "high", "result.accuracies is wrong: expected `array`, got `str`"),
        ("result.accuracies", [0.5], "result.accuracies has 1 values for 2 networks"),
        ("result.accuracies", [0.9, 0.6], "result.accuracies does not agree with result.right_per_class"),
        ("result.right_per_class", [[1000] * 10], "result.right_per_class is not of the networks"),
        ("result.right_per_class", [[1001] * 10] * 2, "result.right_per_class does not fit"),
        ("result.test_images", 9_999, "result.test_images_per_class does not add up"),
        ("result.validation_accuracies", [0.5, 0.6], "result.validation_right_per_class is not of the networks"),
        ("resolved.num_eval", 0, "resolved.num_eval is wrong: expected `int` >= 1"),
        ("display.card", "dm", "display.card is wrong: expected `object`, got `str`"),
        ("spec.seed", 7, "its specification does not have its identity"),
        ("identity", "0" * 64, "its specification does not have its identity"),
    ],
)
def test_what_no_sound_program_writes_is_found_whatever_its_checksum(
    record: dict[str, Any], keys: str, value: Any, reason: str
) -> None:
    set_value(record, keys, value)
    assert reason in problem(changed(record))


@pytest.mark.parametrize("key", ["checksum", "inputs", "result", "display", "spec"])
def test_a_key_that_is_missing_is_named(record: dict[str, Any], key: str) -> None:
    del record[key]
    assert problem(record) == f"it lacks {key}"


@pytest.mark.parametrize("folder", ["condense/dm-{}", "evaluate/dm-0123456789ab", "evaluate/{}"])
def test_a_record_belongs_to_the_folder_of_its_task(record: dict[str, Any], folder: str) -> None:
    prefix = record["identity"][:12]
    assert problem(record, Path("evaluate") / f"dm-{prefix}") == ""
    assert problem(record, Path(folder.format(prefix))).startswith("it is the record of another task, evaluate …-")
