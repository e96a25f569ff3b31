"""The results that are shipped with the package, read as a store."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from many_records import many_records, write_store
from record_parts import changed
from results import frame
from results.errors import ResultsError
from results.store import reference
from results.store.read_all import read_all
from results.store.schema import SCHEMA

SHAPE: dict[str, Any] = {"datasets": ("svhn",), "ipcs": (1,), "networks": ("convnet3",), "protocols": ("dsa",)}


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return list(many_records(2, 2, **SHAPE))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]]) -> Path:
    """Made-up records in place of the shipped ones."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    (folder / "svhn.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setattr(reference, "FOLDER", folder)
    return folder


def test_a_line_is_a_record(folder: Path, records: list[dict[str, Any]]) -> None:
    stored = read_all("reference:")
    assert not stored.problems and len(stored.notes) == 1 and "no measure of what the methods cost" in stored.notes[0]
    assert [record["checksum"] for record in stored.records] == [record["checksum"] for record in records]
    assert all(record["environment"]["shared"] for record in stored.records)


def test_a_folder_called_reference_is_another_store(
    folder: Path, tmp_path: Path, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_store(tmp_path / "reference", list(many_records(1, 1, **SHAPE)))
    assert len(read_all("reference").records) < len(records)
    assert frame.load("reference")["display_name"].unique().tolist() == ["random"]
    assert frame.load("reference:")["display_name"].nunique() == 2


def test_lines_that_cannot_be_used_are_named_and_the_others_are_shown(
    folder: Path, records: list[dict[str, Any]]
) -> None:
    path = folder / "svhn.jsonl"
    lines = path.read_text().splitlines()
    older = json.dumps(changed(records[0], schema=SCHEMA - 1))
    altered = lines[1].replace('"seconds": ', '"seconds": 1')
    path.write_text("\n".join([older, altered, lines[2][:50], *lines[3:]]))
    stored = read_all("reference:")
    told = {str(error.where): error.what for error in stored.problems}
    assert f"its schema is {SCHEMA - 1}" in told[str(path / "line 1")]
    assert "changed after it was written" in told[str(path / "line 2")]
    assert "not JSON" in told[str(path / "line 3")]
    assert len(stored.records) == len(lines) - 3
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert len(frame.load("reference:"))
    assert len(warned) == 3


def test_sets_are_found_by_name_and_only_if_they_are_those_of_the_list(folder: Path) -> None:
    assert reference.sets() == {}
    (folder / "sets").mkdir()
    (folder / "sets/a.safetensors").write_bytes(b"set")
    sha256 = "69c6a68c1e6b5e6fc6f8a4e3c7a6a9a3f6b1f4f9c4d7ce5d1b8b0d1f4c2d8e11"
    entry = {"file": "a.safetensors", "identity": "0" * 64, "sha256": sha256, "original": "1" * 64, "pixels": "float16"}
    (folder / "sets.json").write_text(json.dumps({"dm/svhn/1": entry | {"check": {}}}))
    with pytest.raises(ResultsError, match="there is no reference set 'dm/svhn/10'") as unknown:
        reference.set_file("dm/svhn/10")
    assert unknown.value.next == "known: dm/svhn/1"
    with pytest.raises(ResultsError, match="its checksum is not the one"):
        reference.set_file("dm/svhn/1")
    (folder / "sets.json").write_text(json.dumps({"dm/svhn/1": entry}))
    with pytest.raises(ResultsError, match=r"sets\.json is damaged"):
        reference.sets()
