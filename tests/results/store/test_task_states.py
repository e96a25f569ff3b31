"""The states of tasks: every state a folder can be in, damaged files, and how many folders are listed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from record_parts import make_record
from results.store.lock import TaskLock
from results.store.schema import KINDS
from results.store.store import Store
from results.store.task_states import TaskState, task_states


def commit(store: Store, task, status: str = "ok", message: str = "") -> Path:
    sizes = {"stored_images": 10, "decoded_images": 10, "factor": 1, "bytes": 1000}
    record = make_record(task["kind"], task["resolved"], task["display"], sizes, status=status, message=message)
    assert store.commit(task, record)
    return store.folder(task)


def both(root: Path, task) -> TaskState:
    """The task's state, which must be the same whether the store is asked or the task is given."""
    of_store, given = task_states(root)[task["identity"]], task_states(root, [task])[task["identity"]]
    assert given.task is task
    for state in (of_store, given):
        assert state.task["identity"] == task["identity"] and state.task["kind"] == task["kind"]
    facts = [{**vars(state), "task": None} for state in (of_store, given)]
    assert facts[0] == facts[1]
    return given


def test_a_task_without_a_folder_is_new(tmp_path, make_task):
    task = make_task()
    assert task_states(tmp_path / "nowhere") == {}
    assert task_states(tmp_path, [task]) == {task["identity"]: TaskState(task, None, "new")}


@pytest.mark.parametrize(("status", "message"), [("ok", ""), ("diverged", "the loss is not finite")])
def test_a_record_makes_a_task_done_whatever_was_tried_before(tmp_path, make_task, status, message):
    store, task = Store(tmp_path), make_task(slug="dm cifar10/ipc=1")
    store.attempt(task, "failed", "a shape is wrong")
    folder = commit(store, task, status, message)
    state = both(tmp_path, task)
    assert (state.status, state.message, state.folder) == ("done", message, folder)
    known = task_states(tmp_path)[task["identity"]].task
    assert known | {"requested": {}} == {**task, "slug": "dm-cifar10-ipc=1", "requested": {}}  # as its folder is called


@pytest.mark.parametrize("status", ["failed", "out_of_memory", "timed_out", "interrupted"])
def test_the_last_attempt_says_how_far_an_unfinished_task_is(tmp_path, make_task, status):
    store, task = Store(tmp_path), make_task()
    for number in range(1, 11):  # the tenth comes after the ninth, not after the first
        store.attempt(task, "failed" if status != "failed" else "interrupted", f"try {number}")
    store.attempt(task, status, "the last")
    state = both(tmp_path, task)
    assert (state.status, state.message, state.owner) == (status, "the last", None)
    assert task_states(tmp_path)[task["identity"]].task == task


def test_owner_and_progress_of_a_task(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    folder = store.begin(task)
    assert both(tmp_path, task) == TaskState(task, folder, "begun")
    progress = {"done": 30, "total": 200, "rate": 1.5, "losses": {"match": 0.25}}
    with TaskLock(folder):
        (folder / "progress.json").write_text(json.dumps(progress))
        os.utime(folder / "lock.json", (1000.0, 1000.0))
        os.utime(folder / "progress.json", (2000.0, 2000.0))
        state = both(tmp_path, task)
        assert state.status == "begun" and state.owner["pid"] == os.getpid()
        assert state.progress == progress and state.modified == 2000.0
        os.utime(folder / "lock.json", (3000.0, 3000.0))
        assert both(tmp_path, task).modified == 3000.0
    assert both(tmp_path, task).owner is None


def test_a_damaged_lock_or_progress_file_is_ignored(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    folder = store.begin(task)
    (folder / "lock.json").write_text('{"pid": ')
    (folder / "progress.json").write_text("")
    state = both(tmp_path, task)
    assert (state.status, state.owner, state.progress) == ("begun", {}, None)


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("record.json", '{"status": "ok", "ident', "not JSON"),
        ("record.json", "[]", "not hold a JSON object"),
        ("record.json", '{"status": "ok"}', "its schema is None"),
        ("record.json", '{"status": "ok", "schema": 1}', "its schema is 1, this version reads"),
        ("task.json", "{", "not JSON"),
        ("task.json", "{}", "its kind is None"),
        ("task.json", '{"kind": "condense", "identity": "x"}', "identity is wrong"),
        ("attempts/002.json", "", "not JSON"),
        ("attempts/002.json", '{"status": "ok", "message": ""}', "status is 'ok'"),
        ("attempts/002.json", '{"status": 1, "message": ""}', "status is wrong"),
    ],
)
def test_a_damaged_file_is_named_and_spares_the_others(tmp_path, make_task, name, text, what):
    store, task, other = Store(tmp_path), make_task(), make_task(seed=1)
    store.attempt(task, "failed", "before")
    commit(store, other)
    folder = store.folder(task)
    (folder / name).write_text(text)
    of_store, given = task_states(tmp_path), task_states(tmp_path, [task, other])
    assert len(of_store) == len(given) == 2
    (state_of_folder,) = [state for state in of_store.values() if state.folder == folder]
    (state_of_task,) = [state for state in given.values() if state.folder == folder]
    for state in (state_of_folder, state_of_task):
        assert state.status == "unreadable" and what in state.message and str(folder) in state.message
    assert of_store[other["identity"]].status == given[other["identity"]].status == "done"


def test_a_folder_killed_in_begin_goes_by_its_name(tmp_path, make_task):
    store, task = Store(tmp_path), make_task(slug="dm")
    folder = store.begin(task)
    (folder / "task.json").unlink()
    (state,) = task_states(tmp_path).values()
    assert state.status == "begun" and state.folder == folder
    assert (state.task["kind"], state.task["slug"]) == ("condense", "dm")
    assert task["identity"].startswith(state.task["identity"])
    assert task_states(tmp_path, [task])[task["identity"]].status == "begun"


def test_other_files_and_folders_are_ignored(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    commit(store, task)
    (tmp_path / "condense" / "notes").mkdir()
    (tmp_path / "condense" / ".DS_Store").write_text("")
    (tmp_path / "evaluate").write_text("a file")
    (tmp_path / "cache" / "x-0123456789ab").mkdir(parents=True)
    assert list(task_states(tmp_path)) == [task["identity"]]
    (tmp_path / "condense" / "file-0123456789ab").write_text("")
    assert task_states(tmp_path)["0123456789ab"].status == "unreadable"


def test_of_two_folders_of_one_task_the_done_one_counts(tmp_path, make_task):
    store, task = Store(tmp_path), make_task(slug="m")
    folder = commit(store, task)
    begun = folder.with_name(folder.name.replace("m-", "a-"))
    begun.mkdir()
    shutil.copy(folder / "task.json", begun)
    assert both(tmp_path, task).folder == folder == store.find(task)


def test_the_folder_of_another_task_is_unreadable(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    store.begin(task)
    rival = {**task, "identity": task["identity"][:12] + "0" * 52}
    for act in (lambda: None, lambda: commit(store, task)):
        act()
        state = task_states(tmp_path, [rival])[rival["identity"]]
        assert state.status == "unreadable" and "share the first 12 digits" in state.message


def test_each_kind_is_listed_once_however_many_tasks_there_are(tmp_path, make_task, monkeypatch):
    store, tasks = Store(tmp_path), [make_task(seed=seed) for seed in range(6)]
    for task in tasks[:4]:
        commit(store, task)
    listed, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(Path(path)) or scandir(path))
    for look in (
        lambda: task_states(tmp_path, tasks),
        lambda: task_states(tmp_path),
        lambda: list(store.recorded(tasks)),
    ):
        listed.clear()
        look()
        assert sorted(path.name for path in listed) == sorted(KINDS)
