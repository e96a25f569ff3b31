"""`python -m benchmark.merge`: what is missing is copied and checked, nothing is overwritten, a kill harms nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmark import merge as command
from benchmark.cli import main as cli
from benchmark.status import status
from record_parts import make_record, task_of
from results.store.atomic_files import to_json
from results.store.choices import Choice, TrialScore, write
from results.store.identity import identity
from results.store.lock import TaskLock
from results.store.merge import STAGING, merge
from results.store.store import Store

SET = "synthetic.safetensors"


def set_record(seed: int, content: bytes, **changes: Any) -> dict[str, Any]:
    resolved = {"method": "dm", "version": 1, "settings": {}, "ipc": 1, "seed": seed, "experts": []}
    resolved |= {"architecture": "convnet3", "dataset": {"fingerprint": "digits"}}
    card = {"name": "dm", "title": "DM", "family": "distribution matching"}
    display = {"dataset": "digits", "published_as": None, "num_classes": 10, "train_images": 1438, "card": card}
    display |= {"display_name": "dm", "overrides": "", "provenance": "code", "iterations_fraction": 1.0}
    result = {"stored_images": 10, "decoded_images": 10, "factor": 1, "bytes": len(content)}
    artifacts = {SET: hashlib.sha256(content).hexdigest()}
    return make_record("condense", resolved, display, result, artifacts=artifacts, **changes)


def put(root: Path, seed: int, content: bytes = b"pixels") -> Path:
    """A store with a set; returns the set's folder."""
    store, record = Store(root), set_record(seed, content)
    folder = store.begin(task_of(record, f"dm-seed{seed}"))
    (folder / SET).write_bytes(content)
    (folder / "log.txt").write_text("ok\n")
    assert store.commit(task_of(record, f"dm-seed{seed}"), record)
    return folder


def files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def call(*words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        command.main(words)
    return int(ended.value.code or 0), ""


def test_what_is_missing_is_copied_and_a_second_time_nothing(tmp_path, capsys):
    for seed in (0, 1):
        put(tmp_path / "a", seed)
    put(tmp_path / "b", 1)
    put(tmp_path / "b", 2)
    before_a, before_b = files(tmp_path / "a"), files(tmp_path / "b")
    assert call(str(tmp_path / "a"), str(tmp_path / "b"))[0] == 0
    assert capsys.readouterr().out.startswith("copied: 1 (")
    assert files(tmp_path / "a") == before_a and files(tmp_path / "b") == before_a | before_b
    assert call(str(tmp_path / "a"), str(tmp_path / "b"))[0] == 0
    assert capsys.readouterr().out == "copied: 0 (0 B); there already: 2\n"


def test_a_new_store_whose_first_copy_was_killed_is_still_new(tmp_path):
    put(tmp_path / "a", 0)
    (tmp_path / "b" / STAGING / "work" / "condense").mkdir(parents=True)
    assert merge(Store(tmp_path / "a"), Store(tmp_path / "b")).copied == 1
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_other_results_stay_where_they_are_and_are_named(tmp_path, capsys):
    put(tmp_path / "a", 0, b"others")
    put(tmp_path / "b", 0, b"mine")
    before = files(tmp_path / "b")
    assert call(str(tmp_path / "a"), str(tmp_path / "b"))[0] == 0
    out = capsys.readouterr().out
    assert "not copied: 1\n  condense/dm-seed0-" in out and "shows both" in out and files(tmp_path / "b") == before


def test_a_result_of_an_input_that_differs_is_not_copied(tmp_path):
    made = {root: put(root, 0, content) for root, content in ((tmp_path / "a", b"a"), (tmp_path / "b", b"b"))}
    condensed = Store(tmp_path / "a").read().records[made[tmp_path / "a"]]
    inputs = {f"condense/{condensed['identity']}/{SET}": condensed["artifacts"][SET]}
    resolved = {"kind": "label", "set": condensed["identity"], "experts": ["0" * 64], "temperature": 1.0}
    resolved |= {"architecture": "convnet3", "dataset": {"fingerprint": "digits"}}
    result = {"label_bytes": 1, "teacher_bytes": 1, "teacher_accuracy": 0.5}
    label = make_record("label", resolved, condensed["display"], result, inputs=inputs)
    assert Store(tmp_path / "a").commit(task_of(label, "label"), label)
    summary = merge(Store(tmp_path / "a"), Store(tmp_path / "b"))
    assert len(summary.different) == 2 and summary.copied == 0 and not list((tmp_path / "b").glob("label/*"))
    assert merge(Store(tmp_path / "a"), Store(tmp_path / "new")).copied == 2


def test_a_task_that_was_begun_gets_its_result_unless_it_is_at_work(tmp_path):
    put(tmp_path / "a", 0)
    store, record = Store(tmp_path / "b"), set_record(0, b"pixels")
    folder = store.begin(task_of(record, "other-name"))
    (folder / "checkpoint.safetensors").write_bytes(b"half")
    (folder / SET).write_bytes(b"half")
    with TaskLock(folder):
        (problem,) = merge(Store(tmp_path / "a"), store).problems
        assert "works on the task" in problem.what and store.record(record) is None
    assert merge(Store(tmp_path / "a"), store).copied == 1
    assert store.artifact(record, SET).read_bytes() == b"pixels" and store.find(record) == folder
    assert not list(folder.glob("checkpoint.*"))


def test_a_damaged_file_is_named_and_not_copied_and_a_removed_one_is_no_damage(tmp_path, capsys):
    (put(tmp_path / "a", 0) / SET).write_bytes(b"damaged")
    (put(tmp_path / "a", 1) / SET).unlink()
    put(tmp_path / "a", 2)
    assert call(str(tmp_path / "a"), str(tmp_path / "b"))[0] == 1
    said = capsys.readouterr()
    assert said.out.startswith("copied: 2 (") and "was changed or damaged" in said.err and "dm-seed0" in said.err
    assert {path.name.rpartition("-")[0] for path in (tmp_path / "b/condense").iterdir()} == {"dm-seed1", "dm-seed2"}


def test_choices_of_tuning_are_copied_and_never_replaced(tmp_path):
    def choice(accuracy: float) -> Choice:
        return Choice("tuned", "dm", {"ipc": 1}, {"trials": 2}, (TrialScore({}, 0.1), TrialScore({}, accuracy)), 1.0)

    put(tmp_path / "a", 0)
    path = write(tmp_path / "a", choice(0.5))
    assert merge(Store(tmp_path / "a"), Store(tmp_path / "b")).copied == 2
    copied = tmp_path / "b" / path.relative_to(tmp_path / "a")
    assert copied.read_bytes() == path.read_bytes()
    path.unlink()
    write(tmp_path / "a", choice(0.6))
    before = copied.read_bytes()
    assert merge(Store(tmp_path / "a"), Store(tmp_path / "b")).different == ["tuned/tuned: dm"]
    assert copied.read_bytes() == before


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("missing", "new", "there is no store at"),
        ("empty", "new", "there is no store at"),
        ("a", "a", "FROM and INTO are one store"),
        ("a", "other", "there is no store at"),
        ("a", "other/thesis.txt", "there is no store at"),
        ("other/thesis.txt", "new", "there is no store at"),
        ("old", "new", "1 records are of another schema: its schema is 2, this version reads 3"),
        ("a", "old", "of another schema"),
    ],
)
def test_a_wrong_request_is_one_line_and_copies_nothing(source, target, said, tmp_path, capsys):
    put(tmp_path / "a", 0)
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    old = set_record(1, b"pixels") | {"schema": 2}
    folder = tmp_path / "old" / "condense" / f"dm-{identity(old['spec'])[:12]}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(to_json(old))
    before = files(tmp_path)
    assert call(str(tmp_path / source), str(tmp_path / target))[0] == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and len(error.splitlines()) <= 3 and files(tmp_path) == before


def test_a_killed_merge_leaves_both_stores_whole_and_the_same_command_continues(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    for seed in range(30):
        put(source, seed, os.urandom(2_000_000))
    before = files(source)
    words = [sys.executable, "-m", "benchmark.merge", str(source), str(target)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while len(list(target.glob("condense/*"))) < 3:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = list(target.glob("condense/*"))
    assert 3 <= len(done) < 30 and list((target / STAGING).iterdir())
    contents = Store(target).read()
    assert len(contents.records) == len(done) and not contents.problems and not contents.unrecorded
    for folder in done:
        assert files(folder) == files(source / folder.relative_to(target))
    assert files(source) == before
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    assert files(target) == before


def test_the_status_of_two_stores_counts_each_task_once(tmp_path, monkeypatch, capsys):
    put(tmp_path / "a", 0)
    put(tmp_path / "b", 0)
    put(tmp_path / "b", 1)
    record = set_record(1, b"pixels")
    Store(tmp_path / "a").begin(task_of(record, "dm-seed1"))  # stopped here, done there
    monkeypatch.setattr(sys, "argv", ["status.py", f"store=[{tmp_path / 'a'},{tmp_path / 'b'}]"])
    with pytest.raises(SystemExit) as ended:
        cli.launch(status, "status")
    assert ended.value.code == 0 and capsys.readouterr().out.splitlines()[1].split() == ["condense", "2", *"––––––"]
