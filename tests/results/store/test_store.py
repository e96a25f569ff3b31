"""The store: identities, folders, the commit point, attempts, damage."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from record_parts import make_record, task_of
from results.errors import ResultsError
from results.store.atomic_files import write_json
from results.store.identity import identity
from results.store.schema import SCHEMA
from results.store.store import Store


def done(task, **more):
    """The record of a condense task."""
    sizes = {"stored_images": 10, "decoded_images": 10, "factor": 1, "bytes": 1000}
    result = sizes | more.pop("result", {})
    return make_record("condense", task["resolved"], task["display"], result, **more)


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def test_identity_depends_on_values_and_types_but_not_on_order():
    assert identity({"a": 1, "b": [0.1]}) == identity({"b": [0.1], "a": 1})
    assert identity({"a": 1}) != identity({"a": 1.0})
    assert identity({"a": 0.1 + 0.2}) != identity({"a": 0.3})
    # sha256 of {"a":1}, as any other implementation would give it
    assert identity({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_a_specification_that_is_not_json_has_no_identity(value):
    with pytest.raises(ResultsError, match="cannot be identified"):
        identity({"a": value})


def test_begin_writes_the_task_once(tmp_path, make_task):
    store, task = Store(tmp_path), make_task(slug="dm cifar10/ipc=1")
    folder = store.begin(task)
    assert folder == tmp_path / "condense" / f"dm-cifar10-ipc=1-{task['identity'][:12]}"
    before = (folder / "task.json").stat().st_mtime_ns
    assert store.begin({**task, "slug": "another name"}) == folder  # found by identity, not by slug
    assert (folder / "task.json").stat().st_mtime_ns == before
    assert json.loads((folder / "task.json").read_text()) == task


def test_begin_refuses_another_specification_of_the_same_identity(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    store.begin(task)
    with pytest.raises(ResultsError, match="has another specification"):
        store.begin({**task, "spec": {**task["spec"], "seed": 1}})


def test_colliding_prefixes_are_an_error(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    store.begin(task)
    other = {**task, "identity": task["identity"][:12] + "0" * 52}
    for act in (store.begin, store.folder):
        with pytest.raises(ResultsError, match="share the first 12 digits"):
            act(other)
    store.commit(task, done(task))
    with pytest.raises(ResultsError, match="share the first 12 digits"):
        store.record(other)


def test_commit_never_overwrites_and_drops_checkpoints(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    folder = store.begin(task)
    (folder / "checkpoint.safetensors").write_bytes(b"x")
    (folder / "synthetic.safetensors").write_bytes(b"x")
    assert store.record(task) is None
    assert store.commit(task, done(task, seconds=1.0))
    assert not store.commit(task, done(task, seconds=2.0))
    assert store.record({"kind": task["kind"], "identity": task["identity"]})["seconds"] == 1.0
    assert sorted(path.name for path in folder.iterdir()) == ["record.json", "synthetic.safetensors", "task.json"]


def test_commit_takes_final_outcomes_of_this_task_only(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    with pytest.raises(ResultsError, match="status 'failed'"):
        store.commit(task, done(task) | {"status": "failed"})
    with pytest.raises(ResultsError, match="another task"):
        store.commit(task, done(make_task(seed=1)))
    assert store.record(task) is None


def test_not_finite_losses_do_not_keep_a_record_from_being_written(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    assert store.commit(task, done(task, result={"losses": {"match": None}}) | {"seconds": 2.0})
    lossy = done(task)
    lossy["result"]["losses"] = {"match": float("nan"), "other": float("inf")}
    other = make_task(seed=1)
    assert store.commit(other, {**lossy, **{key: other[key] for key in ("identity", "spec", "resolved")}})
    assert store.record(other)["result"]["losses"] == {"match": None, "other": None}


def commit_many(root, task, results):
    store = Store(root)
    results.put([store.commit(task, done(task, seconds=float(os.getpid()))) for _ in range(20)].count(True))


def test_of_racing_commits_exactly_one_wins(tmp_path, make_task):
    context, task = multiprocessing.get_context("fork"), make_task()
    results = context.Queue()
    workers = [context.Process(target=commit_many, args=(tmp_path, task, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert sum(results.get(timeout=20) for _ in workers) == 1
    for worker in workers:
        worker.join()
    assert not leftovers(tmp_path)


KILLED_WHILE_WRITING = """
import json, os, sys, time
from pathlib import Path
from results.store import atomic_files
from results.store.store import Store
def fsync(handle):
    os.write(1, b"writing\\n")
    time.sleep(60)
task = json.loads(sys.argv[2])
store = Store(Path(sys.argv[1]))
store.begin(task)
atomic_files.os.fsync = fsync
store.commit(task, {"kind": task["kind"], "identity": task["identity"], "status": "ok", "long": "x" * 100_000})
"""


def test_kill_9_in_the_middle_of_a_commit_leaves_no_record(tmp_path, make_task):
    task = make_task()
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(tmp_path), json.dumps(task)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(signal.SIGKILL)
    store = Store(tmp_path)
    assert leftovers(tmp_path)  # it was killed with bytes on disk …
    assert store.record(task) is None and store.records() == ([], [])  # … and none of them is a record
    assert store.commit(task, done(task))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_cannot_be_written_says_so_and_keeps_nothing(tmp_path, make_task, monkeypatch, number):
    store, task = Store(tmp_path), make_task()
    folder = store.begin(task)

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("results.store.atomic_files.os.fsync", fail)
    with pytest.raises(ResultsError) as caught:
        store.commit(task, done(task))
    assert os.strerror(number) in caught.value.what and caught.value.where == str(folder / "record.json")
    assert caught.value.next
    with pytest.raises(ResultsError):
        write_json(folder / "task.json", {})
    assert [path.name for path in folder.iterdir()] == ["task.json"]
    assert json.loads((folder / "task.json").read_text()) == task


def test_a_store_under_a_file_is_an_error_not_a_traceback(tmp_path, make_task):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        Store(tmp_path / "file").begin(make_task())


def test_attempts_are_numbered_and_the_last_is_found(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    assert store.last_attempt(task) is None
    store.attempt(task, "failed", "a shape is wrong")
    (store.folder(task) / "attempts" / "002.json").write_text('{"status": "interrupted", "message": ""}')
    (store.folder(task) / "attempts" / "001 (copy).json").write_text("{")
    path = store.attempt(task, "out_of_memory", "80 GiB were not enough", chunk=16)
    assert path.name == "003.json"
    assert store.last_attempt(task)["message"] == "80 GiB were not enough" and store.last_attempt(task)["chunk"] == 16
    with pytest.raises(ResultsError, match="'ok'"):
        store.attempt(task, "ok", "")


def test_damaged_records_are_named_and_the_others_read(tmp_path, make_condensed):
    store, records = Store(tmp_path), [make_condensed(seed=seed) for seed in range(4)]
    for record in records:
        assert store.commit(task_of(record, "dm"), record)
    paths = [store.folder(record) / "record.json" for record in records]
    paths[0].write_text("{")
    paths[1].write_text(json.dumps({**records[1], "schema": 99}))
    paths[2].write_text(json.dumps({**records[2], "display": {}}))
    with pytest.raises(ResultsError, match="not JSON") as caught:
        store.record(records[0])
    assert caught.value.where == str(paths[0]) and "move the file away" in caught.value.next
    usable, problems = store.records()
    assert [record["identity"] for record in usable] == [records[3]["identity"]]
    assert {problem.where for problem in problems} == set(map(str, paths[:3]))
    assert any("schema is 99" in problem.what for problem in problems)
    assert any("it lacks display." in problem.what for problem in problems)


def test_a_record_of_another_schema_is_an_error_with_a_cure(tmp_path, make_task):
    store, task = Store(tmp_path), make_task()
    assert store.commit(task, done(task))
    write_json(store.folder(task) / "record.json", done(task) | {"schema": SCHEMA - 1})
    with pytest.raises(ResultsError, match=f"its schema is {SCHEMA - 1}, this version reads {SCHEMA}") as caught:
        store.record(task)
    assert caught.value.where == str(store.folder(task) / "record.json") and "store=PATH" in caught.value.next
    problems = [*store.records()[1]]
    assert list(store.recorded([task], problems.append)) == []
    assert [(problem.what, problem.next) for problem in problems] == [(caught.value.what, caught.value.next)] * 2


def test_records_of_many_tasks_are_those_of_each(tmp_path, make_task):
    store, tasks = Store(tmp_path), [make_task(slug=f"s{seed}", seed=seed) for seed in range(5)]
    assert list(store.recorded(tasks)) == []
    for task in tasks[:3]:
        store.commit(task, done(task, seconds=float(task["resolved"]["seed"])))
    store.begin(tasks[3])
    renamed = [{**task, "slug": "another name"} for task in tasks]  # found by identity, not by slug
    for resolved in (tasks, renamed):
        assert list(store.recorded(resolved)) == [(task, store.record(task)) for task in resolved[:3]]
    rival = {**tasks[0], "identity": tasks[0]["identity"][:12] + "0" * 52}
    (store.folder(tasks[1]) / "record.json").write_text("{")
    problems: list[ResultsError] = []
    assert [task for task, _ in store.recorded([rival, *tasks[1:]], problems.append)] == [tasks[2]]
    assert "share the first 12 digits" in problems[0].what and "not JSON" in problems[1].what


def test_an_address_must_be_one(tmp_path):
    with pytest.raises(ResultsError, match="no kind"):
        Store(tmp_path).record({"kind": "distil", "identity": "0" * 64})
    with pytest.raises(ResultsError, match="not the identity"):
        Store(tmp_path).record({"kind": "condense", "identity": "../*"})


# --- disks without hard links -----------------------------------------------------------------------------------------

NO_LINKS = """
#include <errno.h>
#include <stdlib.h>
static int fail(void) { errno = atoi(getenv("LINK_ERROR")); return -1; }
int link(const char *a, const char *b) { return fail(); }
int linkat(int a, const char *b, int c, const char *d, int e) { return fail(); }
"""
RACE = """
import sys, threading
from pathlib import Path
from results.store.atomic_files import create
path, won, barrier = Path(sys.argv[1]), [], threading.Barrier(8)
def claim(index):
    barrier.wait()
    if create(path, str(index) * 10000):
        won.append(index)
threads = [threading.Thread(target=claim, args=(index,)) for index in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
assert len(won) == 1 and path.read_text() == str(won[0]) * 10000, (won, path.read_text()[:9])
assert not create(path, "late") and [*path.parent.iterdir()] == [path]
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_has_one_writer_where_there_are_no_hard_links(error: int, tmp_path: Path) -> None:
    """vfat answers EPERM, Google Drive in Colab ENOSYS or EOPNOTSUPP."""
    (tmp_path / "nolink.c").write_text(NO_LINKS)
    library, store = tmp_path / "nolink.so", tmp_path / "store"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "nolink.c"], check=True)
    store.mkdir()
    env = os.environ | {"LD_PRELOAD": str(library), "LINK_ERROR": str(error)}
    subprocess.run([sys.executable, "-c", RACE, str(store / "record.json")], check=True, env=env)
