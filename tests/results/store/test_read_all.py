"""Damaged and unfinished stores, as real files: each problem is named in one line, and the rest is read."""

from __future__ import annotations

import json

import pytest

from record_parts import changed, task_of
from results.aggregation.cells import cells
from results.aggregation.options import Options
from results.errors import ResultsError
from results.store.atomic_files import to_json
from results.store.read_all import read_all
from results.store.schema import SCHEMA
from results.store.store import Store
from results.tables.accuracy import matrices
from results.tables.comparison import comparison_tables


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def keep(store):
    """Commit records with the sets that they made; returns their folders."""

    def put(*records):
        folders = []
        for record in records:
            task = task_of(record, record["kind"])
            store.begin(task)
            assert store.commit(task, record)
            folders.append(store.folder(record))
            if record["kind"] == "condense":
                (folders[-1] / "synthetic.safetensors").touch()
        return folders

    return put


@pytest.fixture
def begin(store):
    return lambda record: store.begin(task_of(record, "open"))


def test_a_sound_store_has_neither_problems_nor_notes(store, keep, make_condensed, make_evaluated):
    made = make_condensed()
    keep(made, make_evaluated(made, [0.5]))
    found = read_all(store.root)
    assert [record["kind"] for record in found.records] == ["condense", "evaluate"]
    assert (found.problems, found.unfinished, found.notes) == ([], [], [])


@pytest.mark.parametrize("make", [lambda path: None, lambda path: (path / "condense").mkdir()])
def test_an_empty_store_has_nothing(tmp_path, make):
    make(tmp_path)
    found = read_all(tmp_path)
    assert (found.records, found.problems, found.unfinished, found.notes) == ([], [], [], [])


def test_records_with_the_same_damage_are_one_problem_and_the_rest_is_read(store, keep, make_condensed):
    records = [make_condensed(seed=seed) for seed in range(8)]
    paths = [folder / "record.json" for folder in keep(*records)]
    for path in paths[:5]:
        path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    paths[5].write_text('{"schema": 1, "ki')
    found = read_all(store.root)
    assert [record["identity"] for record in found.records] == sorted(
        (record["identity"] for record in records[6:]), key=lambda name: name[:12]
    )
    assert sorted(problem.what[:42] for problem in found.problems) == [
        "5 times: a record cannot be used: its sche", "record.json is not JSON: Unterminated stri"]  # fmt: skip
    (many,) = [problem for problem in found.problems if problem.what.startswith("5")]
    assert many.what == f"5 times: a record cannot be used: its schema is 99, this version reads {SCHEMA}"
    assert many.where.endswith("and 2 more") and sum(str(path) in many.where for path in paths[:5]) == 3
    assert "another store" in many.next


def test_unfinished_tasks_are_counted_and_have_cells_with_their_status(
    store, keep, begin, make_condensed, make_evaluated
):
    sets = [make_condensed("dm", seed) for seed in range(3)]
    keep(*sets, *(make_evaluated(made, [0.5]) for made in sets[:2]))
    failed = make_evaluated(sets[2], [0.5])
    begin(failed)
    store.attempt(failed, "out_of_memory", "80 GiB\nwere not enough")
    begin(make_condensed("dc"))
    found = read_all(store.root)
    (note,) = found.notes
    assert note == "2 tasks have no record (1 begun, 1 out of memory); python -m benchmark.status names them"
    frame = cells([*found.records, *found.unfinished]).set_index("display_name")
    assert frame.loc["dm", ["sets", "expected", "missing"]].tolist() == [2, 3, 1]
    assert frame.loc["dm", "message"] == "seed 2 out_of_memory: 80 GiB were not enough"
    assert frame.loc["dc", ["status", "message", "sets"]].tolist() == ["begun", "it has no record yet", 0]
    assert not frame["mixed"].any() and set(frame["devices"]) == {"NVIDIA H100", ""}
    (table,) = comparison_tables(frame.reset_index())
    assert "NVIDIA H100, fp32." in table.captions[2] and not any("‡" in text for text in table.captions)
    (matrix,) = matrices(frame.reset_index(), Options(explain_missing=True))
    assert matrix.notes == ["begun: it has no record yet", "2 of 3 sets: seed 2 out_of_memory: 80 GiB were not enough"]


def test_an_unfinished_set_shares_no_expert_yet(store, keep, begin, make_expert, make_condensed, make_evaluated):
    expert = make_expert(0, seconds=60.0)
    used = {"experts": [expert["identity"]]}
    done = make_condensed("dance", 0, resolved=used)
    keep(expert, done, make_evaluated(done, [0.5]))
    begin(make_condensed("dance", 1, resolved=used))
    found = read_all(store.root)
    (cell,) = cells([*found.records, *found.unfinished]).to_dict("records")
    assert (cell["prepare_shared"], cell["prepare_divisor"], cell["expected"]) == (60.0, "1", 2)


def test_a_folder_without_a_task_or_with_half_of_one_is_named(store, keep, begin, make_condensed):
    bare, half, empty = (begin(make_condensed(seed=seed)) for seed in range(3))
    (bare / "task.json").unlink()
    (half / "task.json").write_text('{"spec": {')
    task = json.loads((empty / "task.json").read_text())
    (empty / "task.json").write_text(to_json({**task, "display": {}}))
    keep(make_condensed(seed=9))
    found = read_all(store.root)
    assert len(found.records) == 1 and not found.unfinished
    assert found.notes[0].startswith("2 tasks have no record (2 begun)")
    assert "cannot be placed" in found.notes[1] and all(str(path) in found.notes[1] for path in (bare, empty))
    (problem,) = found.problems
    assert (
        problem.what.startswith("task.json is not JSON") and problem.where == str(half / "task.json") and problem.next
    )


def test_a_lost_set_or_expert_costs_no_number(store, keep, make_expert, make_condensed, make_evaluated):
    made = make_condensed()
    expert, folder, _ = keep(make_expert(0), made, make_evaluated(made, [0.5]))
    (folder / "synthetic.safetensors").unlink()
    found = read_all(store.root)
    (note,) = found.notes
    assert note.startswith("2 files are missing: the numbers are shown")
    assert str(folder / "synthetic.safetensors") in note and str(expert / "experts.safetensors") in note
    assert not found.problems and cells(found.records)["accuracy"].tolist() == [0.5]


def test_a_set_that_diverged_has_no_file_to_lose(store, keep, make_condensed):
    (folder,) = keep(make_condensed(status="diverged", message="nan"))
    (folder / "synthetic.safetensors").unlink()
    assert read_all(store.root).notes == []


def test_several_versions_are_named(store, keep, make_condensed, make_evaluated):
    old, new = make_condensed(seed=0), make_condensed(seed=1, resolved={"version": 2})
    second = {"resolved": {"protocol": {"name": "dsa", "version": 2}}}
    later = {"environment": {"device": "NVIDIA H100", "torch": "3.0"}}
    keep(old, new, make_evaluated(old, [0.5]), make_evaluated(new, [0.5], **second, **later))
    found = read_all(store.root)
    assert (
        "records of several versions have rows of their own and are not compared: dm v1, v2; protocol dsa v1, v2"
        in found.notes
    )
    assert "records of several versions of torch are compared: 2.9, 3.0" in found.notes
    assert len(matrices(cells(found.records))) == 2


def test_other_files_and_folders_are_ignored(store, keep, make_condensed):
    keep(make_condensed())
    (store.root / "condense" / "notes.txt").write_text("mine")
    (store.root / "condense" / "scratch").mkdir()
    (store.root / "report").mkdir()
    (store.root / "tables.md").write_text("")
    assert read_all(store.root).notes == [] and len(read_all(store.root).records) == 1


def test_a_store_that_cannot_be_listed_is_an_error(store, keep, make_condensed, monkeypatch):
    keep(make_condensed())

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("results.store.store.os.scandir", refuse)
    with pytest.raises(ResultsError, match="cannot list a folder: Permission denied"):
        read_all(store.root)


def test_thousands_of_files_are_read_in_their_order(tmp_path):
    from results.store.atomic_files import read_many

    paths = [tmp_path / f"{number:04}" for number in range(3000)]
    for path in paths[::2]:
        path.write_text(path.name)
    found = list(read_many(paths))
    assert [held.decode() for held in found[::2]] == [path.name for path in paths[::2]]
    assert all(isinstance(held, FileNotFoundError) for held in found[1::2]) and list(read_many([])) == []


@pytest.mark.parametrize(
    ("parents", "names"),
    [(("easy", "hard"), {"easy/data", "hard/data"}), (("", ""), {"data [00aaaa]", "data [11bbbb]"})],
)
def test_different_images_of_one_name_are_shown_apart(store, make_condensed, make_evaluated, parents, names):
    for parent, fingerprint in zip(parents, ("00aaaabb", "11bbbbcc"), strict=True):
        made = make_condensed(dataset="data", resolved={"dataset": {"fingerprint": fingerprint}})
        scored = make_evaluated(made, [0.5], dataset="data", resolved={"dataset": {"fingerprint": fingerprint}})
        for record in (made, scored):
            shown = record["display"] | ({"dataset_parent": parent} if parent else {})
            store.commit(task_of(record, "dm"), changed(record, display=shown))
    stored = read_all(store.root)
    assert {record["display"]["dataset"] for record in stored.records} == names
    assert any("different images are called data" in note for note in stored.notes)
