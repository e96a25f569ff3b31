"""Reference rows beside those of a run: which match, what they are called, and what they never take part in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from many_records import many_records
from record_parts import changed
from results.aggregation.cells import cells
from results.aggregation.grouping import is_random, rows_of
from results.aggregation.options import Options
from results.aggregation.references import with_references
from results.statistics.ranking import ranks_and_remarks
from results.store import reference
from results.store.schema import SCHEMA
from results.tables.registry import tables_by_kind

Record = dict[str, Any]
SHAPE: dict[str, Any] = {"datasets": ("svhn",), "networks": ("convnet3",)}
Ship = Callable[[Sequence[Record]], None]


@pytest.fixture
def ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ship:
    monkeypatch.setattr(reference, "FOLDER", tmp_path)

    def write(records: Sequence[Record]) -> None:
        (tmp_path / "svhn.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    return write


def made(rows: int = 3, seeds: int = 3, *, ipcs: tuple[int, ...] = (1,), protocols: tuple[str, ...] = ("dsa",)):
    return list(many_records(rows, seeds, ipcs=ipcs, protocols=protocols, **SHAPE))


def references(found: pd.DataFrame) -> list[Any]:
    return [row for row in rows_of(found) if row["role"] == "reference"]


def test_rows_of_equal_cells_are_beside_the_own_ones_without_costs(ship: Ship) -> None:
    own = made(2, ipcs=(1, 10))
    ship(made(3, ipcs=(1,), protocols=("dsa", "idc")))
    before = cells(own)
    found, notes = with_references(before)
    assert not notes
    shown = references(found)
    assert [(row["display_name"], row["ipc"], row["protocol"]) for row in shown] == [
        (f"{name} (reference)", 1, "dsa") for name in ("random", "m1", "m2")
    ]
    assert all(pd.isna(row[name]) for row in shown for name in ("condense_seconds", "evaluate_seconds", "bytes"))
    assert not any(is_random(row["display_name"]) for row in shown)
    rest = found[found["role"] != "reference"].reset_index(drop=True)
    pd.testing.assert_frame_equal(rest, before)


def test_they_change_no_rank_and_no_test_and_are_said_not_to(ship: Ship) -> None:
    own = made()
    ship([changed(r, environment={"device": "other"}) for r in made(8, seeds=5)])
    plain, (with_them, _) = cells(own), with_references(cells(own))
    for highlight in ("significance", "mean"):
        options = Options(highlight=highlight)
        ranks = dict(zip(with_them["display_name"], ranks_and_remarks(rows_of(with_them), options), strict=True))
        alone = dict(zip(plain["display_name"], ranks_and_remarks(rows_of(plain), options), strict=True))
        assert {name: ranks[name] for name in alone} == alone and any(rank for rank, _ in alone.values())
        assert all(ranks[row["display_name"]] == ("", "") for row in references(with_them))
    made_tables = tables_by_kind(with_them)
    for kind in ("accuracy", "comparison"):
        text = "\n".join(line for table in made_tables[kind] for line in table.captions)
        assert "(reference): not ranked." in text
    without = tables_by_kind(plain)
    assert all(made_tables[kind] == without[kind] for kind in ("time", "memory", "variance", "break_even", "ablation"))


def test_unknown_costs_are_not_those_of_another_device(ship: Ship) -> None:
    def on_device(record: Record) -> Record:
        name = "GPU" if record["display"].get("display_name") == "m2" else "CPU"
        return changed(record, environment={**record["environment"], "device": name})

    ship(made())
    found, _ = with_references(cells([on_device(record) for record in made()]))
    (table,) = tables_by_kind(found, Options(tables=("comparison",)))["comparison"]
    marked = {" ".join(row): any("‡" in entry for entry in row) for row in table.texts()}
    assert [name for name, mark in marked.items() if mark and "(reference)" in name] == []
    assert any(marked.values())


def test_other_versions_and_damaged_lines_are_named_and_left_out(ship: Ship) -> None:
    def with_version(record: Record, place: str) -> Record:
        of_kind = record["kind"] == ("evaluate" if place == "protocol" else "condense")
        if not of_kind:
            return record
        resolved = dict(record["resolved"])
        if place == "protocol":
            resolved["protocol"] = {**resolved["protocol"], "version": 7}
        else:
            resolved["version"] = 7
        return changed(record, resolved=resolved)

    own = made(2)
    ship([with_version(record, "protocol") for record in made(2)])
    found, notes = with_references(cells(own))
    assert not references(found)
    assert notes == [f"{name} (reference) is left out: it is of version 7 of protocol dsa" for name in ("random", "m1")]
    ship([with_version(record, "method") for record in made(2)])
    found, notes = with_references(cells(own))
    assert not references(found) and len(notes) == 2 and "version 7 of its method, not 1" in notes[0]
    ship([changed(record, schema=SCHEMA + 1) for record in made(2)])
    found, notes = with_references(cells(own))
    assert not references(found) and notes and f"its schema is {SCHEMA + 1}" in notes[0]


def test_other_images_withheld_shares_and_ipcs_do_not_match(ship: Ship) -> None:
    own = made(2)

    def changed_dataset(record: Record, **values: Any) -> Record:
        dataset = {**record["resolved"]["dataset"], **values}
        return changed(record, resolved={**record["resolved"], "dataset": dataset})

    for others in (
        [changed_dataset(record, fingerprint="other") for record in made(2)],
        [changed_dataset(record, imbalance=100) for record in made(2)],
        [changed(record, resolved={**record["resolved"], "val_fraction": 0.1}) for record in made(2)],
        made(2, ipcs=(50,)),
        made(2, protocols=("idc",)),
    ):
        ship(others)
        found, notes = with_references(cells(own))
        assert not references(found) and not notes and len(found) == len(cells(own))
