"""Stores of two clusters or two people, read as one: equal tasks once, different ones apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from figure_records import constant_images, store_set
from record_parts import ENVIRONMENT, changed, task_of
from results.aggregation.cells import cells
from results.errors import ResultsError
from results.frame import load
from results.page import write_page
from results.page.details import TaskFolders
from results.store.atomic_files import to_json
from results.store.read_all import read_all
from results.store.reference import open_store
from results.store.store import Store

A100 = {**ENVIRONMENT, "device": "NVIDIA A100", "commit": "fedcba9876543210"}


def put(root: Path, *records) -> Path:
    for record in records:
        assert Store(root).commit(task_of(record, record["kind"]), record)
    return root


def stored(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def make_set(make_condensed, make_evaluated, make_expert):
    """A set of a seed with its expert and its evaluation, whose accuracy and device are given."""

    def make(seed, accuracy, environment=ENVIRONMENT, expert_seconds=60.0):
        weights = "a" if environment is ENVIRONMENT else "b"
        expert = make_expert(0, seconds=expert_seconds, environment=environment, artifacts={"experts": 64 * weights})
        uses = {"experts": [expert["identity"]]}
        condensed = make_condensed(
            "dm", seed, resolved=uses, environment=environment, artifacts={"synthetic": 64 * weights}
        )
        return expert, condensed, make_evaluated(condensed, [accuracy], environment=environment)

    return make


def rows(*stores) -> dict[str, tuple[float, int]]:
    found = cells(read_all(stores).records)
    return {
        name: (round(a, 6), n)
        for name, a, n in zip(found["display_name"], found["accuracy"], found["sets"], strict=True)
    }


def test_seeds_of_two_stores_are_one_sample_and_equal_tasks_count_once(tmp_path, make_set):
    a = put(tmp_path / "a", *make_set(0, 0.4), *make_set(1, 0.5)[1:])
    b = put(tmp_path / "b", *make_set(1, 0.5), *make_set(2, 0.6)[1:])
    before = stored(tmp_path)
    assert rows(a, b) == {"dm": (0.5, 3)} and rows(b, a) == rows(a, b)
    assert "other results" not in str(read_all([a, b]).notes) and stored(tmp_path) == before
    frame = load([a, b])
    assert sorted(frame["seed"]) == [0, 1, 2] and set(frame["prepare_seconds"]) == {60.0}


def test_what_two_stores_have_differently_is_shown_apart_with_what_differs(tmp_path, make_set):
    a = put(tmp_path / "a", *make_set(0, 0.4), *make_set(1, 0.5)[1:])
    b = put(tmp_path / "b", *make_set(1, 0.7, A100, 30.0), *make_set(2, 0.6, A100)[1:])
    apart = "dm (in b: NVIDIA A100, commit fedcba9876)"
    assert rows(a, b) == {"dm": (0.5, 3), apart: (0.7, 1)}
    (note,) = [note for note in read_all([a, b]).notes if "other results" in note]
    assert note.startswith("2 sets and evaluations") and str(b) in note
    frame = load([a, b]).set_index(["display_name", "seed"])
    assert frame["prepare_seconds"].to_dict() == {("dm", 0): 60.0, ("dm", 1): 60.0, ("dm", 2): 30.0, (apart, 1): 30.0}


def test_an_evaluation_follows_its_set_even_where_its_own_numbers_agree(tmp_path, make_set):
    a, b = put(tmp_path / "a", *make_set(0, 0.4)), put(tmp_path / "b", *make_set(0, 0.4, A100))
    assert rows(a, b) == {"dm": (0.4, 1), "dm (in b: NVIDIA A100, commit fedcba9876)": (0.4, 1)}


def test_stores_that_differ_in_numbers_alone_are_told_apart_by_their_folders(tmp_path, make_evaluated):
    a, b = (put(tmp_path / name, make_evaluated(None, [accuracy])) for name, accuracy in (("a", 0.8), ("b", 0.9)))
    assert rows(a, b) == {"whole": (0.8, 1), "whole (in b)": (0.9, 1)}


def test_a_task_that_one_store_has_done_is_not_unfinished_in_another(tmp_path, make_set):
    expert, condensed, evaluated = make_set(0, 0.4)
    a = put(tmp_path / "a", expert, condensed, evaluated)
    b = put(tmp_path / "b", expert)
    Store(b).begin(task_of(condensed, "dm"))
    Store(b).begin(task_of(make_set(5, 0.4)[1], "dm"))
    found = read_all([b, a])
    assert [record["resolved"]["seed"] for record in found.unfinished] == [5] and not found.problems


def test_the_files_of_every_store_are_found(tmp_path, make_condensed, make_evaluated):
    roots = [tmp_path / "a", tmp_path / "b"]
    for root, level in zip(roots, (0.1, 0.9), strict=True):  # one task with other pixels
        store_set(Store(root), make_condensed("dm", ipc=1), constant_images([level, level]), [0, 1])
        record = make_evaluated(make_condensed("dm", ipc=1), [level])
        put(root, record)
    store = open_store(roots)
    records = read_all(store).records
    sets = [record for record in records if record["kind"] == "condense"]
    paths = [store.artifact(record, "synthetic.safetensors") for record in sets]
    assert [path.parents[2] for path in paths] == roots and paths[0].read_bytes() != paths[1].read_bytes()
    folders = TaskFolders(store)
    assert [folders.folder(record) for record in sets] == [path.parent for path in paths]
    assert folders.relative_path(sets[0]).startswith("condense/")
    assert folders.relative_path(sets[1]).startswith(str(roots[1]))
    assert write_page(records, store, cells(records), tmp_path).exists()


def test_a_list_with_a_folder_that_is_no_store_is_refused(tmp_path, make_set):
    a = put(tmp_path / "a", *make_set(0, 0.4))
    with pytest.raises(ResultsError, match=r"there is no store at .*missing"):
        read_all([a, tmp_path / "missing"])


def test_records_of_another_schema_are_named_and_the_rest_is_shown(tmp_path, make_set):
    a = put(tmp_path / "a", *make_set(0, 0.4))
    for record in make_set(1, 0.5):
        folder = tmp_path / "b" / record["kind"] / f"x-{record['identity'][:12]}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(to_json(changed(record, schema=2)))
    found = read_all([a, tmp_path / "b"])
    (problem,) = found.problems
    assert "its schema is 2, this version reads 3" in problem.what and len(found.records) == 3
