"""The check of records and tasks that were read from files: types, ranges, counts, identity and checksum."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from results.errors import ResultsError
from results.store.identity import CHECKSUM, PREFIX, checksum, identity
from results.store.schema import (
    ANALYSIS_RESULTS,
    ATTEMPTED,
    KINDS,
    PARTS,
    RECORDED,
    SCHEMA,
    AttemptFile,
    Record,
    RequestFile,
    Status,
    StepProgressFile,
    StoredTask,
)
from results.types import Json

_MISSING = re.compile(r"Object missing required field `(\w+)`(?: - at `\$\.?(.*)`)?")
_WRONG = re.compile(r"(.*?)(?: - at (`key` in )?`\$\.?(.*)`)?")


def problem(record: Json, folder: Path | None = None) -> str:
    """A sentence on why a record cannot be used, "" if it can. folder: where it was read, if its place is checked."""
    return (
        other_schema(record)
        or (_out_of_place(record, folder) if folder else "")
        or _wrong_shape(record)
        or _altered(record)
        or (_wrong_counts(record) if record["kind"] == "evaluate" and record["status"] == Status.OK else "")
    )


def problem_of_task(task: Json) -> str:
    """As `problem` for a task without a record: whether it has all that a table's cell needs."""
    if task.get("kind") not in KINDS:
        return f"its kind is {task.get('kind')!r}"
    return _wrong_parts(task, ("resolved", "display"))


def problem_of_stored_task(task: Json) -> str:
    """A sentence on why the content of a task.json cannot be used, "" if it can."""
    if task.get("kind") not in KINDS:
        return f"its kind is {task.get('kind')!r}"
    if reason := _mismatch(task, StoredTask, ""):
        return reason
    return "" if _identity_of(task["spec"]) == task["identity"] else "its specification does not have its identity"


def problem_of_attempt(attempt: Json) -> str:
    """A sentence on why the content of an attempt's file cannot be used, "" if it can."""
    reason = _mismatch(attempt, AttemptFile, "")
    return reason or ("" if attempt["status"] in ATTEMPTED else f"its status is {attempt['status']!r}")


def problem_of_request(request: Json) -> str:
    """A sentence on why the content of a queued run's request.json cannot be used, "" if it can."""
    reason = _mismatch(request, RequestFile, "")
    kinds = [] if reason else [task["kind"] for task in request["tasks"] if task["kind"] not in KINDS]
    return f"the kind of a task is {kinds[0]!r}" if kinds else reason


def is_progress(content: Json) -> bool:
    """Whether the content of a progress.json has the shape of one."""
    return not _mismatch(content, StepProgressFile, "")


def other_schema(record: Json) -> str:
    """A sentence naming the schema of a record that another version of this project wrote, else ""."""
    schema = record.get("schema")
    return "" if schema == SCHEMA else f"its schema is {schema!r}, this version reads {SCHEMA}"


def _out_of_place(record: Json, folder: Path) -> str:
    kind, prefix = record.get("kind"), str(record.get("identity"))[:PREFIX]
    if folder.parent.name == kind and folder.name.endswith(f"-{prefix}"):
        return ""
    return f"it is the record of another task, {kind} …-{prefix}"


def _wrong_shape(record: Json) -> str:
    if record.get("kind") not in KINDS or record.get("status") not in RECORDED:
        return f"its kind is {record.get('kind')!r} and its status {record.get('status')!r}"
    parts = ("resolved", "display", "result") if record["status"] == Status.OK else ("resolved", "display")
    return _mismatch(record, Record, "") or _wrong_parts(record, parts)


def _wrong_parts(record: Json, parts: tuple[str, ...]) -> str:
    """What is wrong with these parts of a record or task of a known kind."""
    for part in parts:
        shape: Any = PARTS[record["kind"]].get(part)
        if shape is None:
            shape = ANALYSIS_RESULTS.get(record["resolved"]["analysis"], Json)  # a plug-in's own has any shape
        if part not in record:
            return f"it lacks {part}"
        if reason := _mismatch(record[part], shape, part):
            return reason
    return ""


def _mismatch(value: Any, shape: Any, part: str) -> str:
    """Why a value does not have a shape of `schema`, "" if it does. part: its key in the record, "" for the record."""
    try:
        msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        if missing := _MISSING.fullmatch(str(error)):
            return f"it lacks {'.'.join(filter(None, (part, missing[2], missing[1])))}"
        wrong = _WRONG.fullmatch(str(error))
        what, of_key, where = wrong.groups() if wrong else (str(error), None, None)
        place = ("a key of " if of_key else "") + (".".join(filter(None, (part, where))) or "it")
        return f"{place} is wrong: {what[:1].lower()}{what[1:]}"
    return ""


def _altered(record: Json) -> str:
    """Whether a record was changed after it was written."""
    try:
        if checksum(record) != record[CHECKSUM]:
            return "its content does not have its checksum: it was changed after it was written"
    except ResultsError as error:
        return error.what
    return "" if _identity_of(record["spec"]) == record["identity"] else "its specification does not have its identity"


def _identity_of(spec: Json) -> str:
    try:
        return identity(spec)
    except ResultsError:
        return ""


def _wrong_counts(record: Json) -> str:
    """Whether the accuracies of an evaluation agree with its networks and with its right answers in each class."""
    result, num_eval = record["result"], record["resolved"]["num_eval"]
    splits = [("accuracies", "right_per_class", "test_images_per_class")]
    if result.get("validation_accuracies"):
        splits.append(("validation_accuracies", "validation_right_per_class", "validation_images_per_class"))
    if sum(result["test_images_per_class"]) != result["test_images"]:
        return "result.test_images_per_class does not add up to result.test_images"
    for accuracies, right, images in splits:
        if len(result[accuracies]) != num_eval:
            return f"result.{accuracies} has {len(result[accuracies])} values for {num_eval} networks"
        if reason := _wrong_answers(result, accuracies, right, images):
            return reason
    return ""


def _wrong_answers(result: Mapping[str, Any], accuracies: str, right: str, images: str) -> str:
    counts, answers = result.get(images, []), result.get(right, [])
    total = sum(counts)
    if len(answers) != len(result[accuracies]) or not total:
        return f"result.{right} is not of the networks of result.{accuracies}"
    for accuracy, of_network in zip(result[accuracies], answers, strict=True):
        if len(of_network) != len(counts) or any(a > b for a, b in zip(of_network, counts, strict=True)):
            return f"result.{right} does not fit result.{images}"
        if abs(sum(of_network) - accuracy * total) > 0.5:
            return f"result.{accuracies} does not agree with result.{right}"
    return ""
