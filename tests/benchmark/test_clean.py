"""`python -m benchmark.clean`: what there is by kind, and what deleting a kind leaves alone."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmark.clean import clean
from benchmark.cli import main
from record_parts import make_record, task_of
from results.store.lock import TaskLock
from results.store.schema import Status
from results.store.store import Store

CARD = {"name": "dm", "title": "DM", "family": "distribution matching"}
DISPLAY = {"dataset": "digits", "published_as": None, "num_classes": 10, "train_images": 1438, "card": CARD,
           "display_name": "dm", "overrides": "", "provenance": "code", "iterations_fraction": 1.0}  # fmt: skip
NETWORK = {"architecture": "convnet3", "dataset": {"fingerprint": "digits"}}


def expert(index: int, content: bytes) -> dict[str, Any]:
    resolved = {**NETWORK, "recipe": {}, "index": index, "expert_seed": 0}
    artifacts = {"experts.safetensors": hashlib.sha256(content).hexdigest()}
    return make_record("prepare", resolved, {"dataset": "digits"}, {}, artifacts=artifacts, seconds=3600.0)


def condensed(seed: int, experts: list[dict[str, Any]], names: tuple[str, ...] = ()) -> dict[str, Any]:
    resolved = {**NETWORK, "method": "dm", "version": 1, "settings": {}, "ipc": 1, "seed": seed}
    resolved["experts"] = [record["identity"] for record in experts]
    result = {"stored_images": 10, "decoded_images": 10, "factor": 1, "bytes": 1}
    artifacts = dict.fromkeys(names, hashlib.sha256(b"pixels").hexdigest())
    return make_record("condense", resolved, DISPLAY, result, artifacts=artifacts)


def put(root: Path, record: dict[str, Any], content: bytes = b"pixels") -> Path:
    store, task = Store(root), task_of(record, record["kind"])
    folder = store.begin(task)
    for name in record["artifacts"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    assert store.commit(task, record)
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with some of every kind, and caches beside it."""
    store = Store(tmp_path / "out")
    files = ("synthetic.safetensors", "snapshots/0.safetensors", "snapshots/5.safetensors")
    folder = put(store.root, condensed(0, [], files))
    (folder / "attempts").mkdir()
    (folder / "attempts" / "001.json").write_text('{"status": "interrupted", "message": "stopped"}')
    (folder / "checkpoint.safetensors").write_bytes(b"left")
    used, unused = expert(0, b"weights"), expert(1, b"weights")
    put(store.root, used, b"weights")
    put(store.root, unused, b"weights")
    stopped = task_of(condensed(1, [used]), "stopped")
    store.begin(stopped)
    (store.folder(stopped) / "checkpoint.safetensors").write_bytes(b"to be continued")
    store.attempt(stopped, Status.INTERRUPTED, "stopped")
    failed = task_of(condensed(2, []), "failed")
    store.begin(failed)
    (store.folder(failed) / "checkpoint.safetensors").write_bytes(b"of no use")
    store.attempt(failed, Status.FAILED, "an error")
    (tmp_path / "data/cache").mkdir(parents=True)
    (tmp_path / "data/cache/digits-v1.safetensors").write_bytes(b"images")
    (tmp_path / "kernels/ab").mkdir(parents=True)
    (tmp_path / "kernels/ab/kernel.so").write_bytes(b"code")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["clean.py", "store=out", *words])
        with pytest.raises(SystemExit) as ended:
            main.launch(clean, "clean")
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def names(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_without_delete_it_lists_every_kind_and_touches_nothing(root: Path, call: Call) -> None:
    before = names(root)
    status, out, _ = call()
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert status == 0 and "nothing was deleted" in out and names(root) == before
    counts = {kind: int(rows[kind][0]) for kind in (*KINDS, "(kept)")}
    assert list(counts.values()) == [2, 1, 2, 1, 1, 1, len(before) - 8]
    assert rows["experts"][1:5] == ["7", "B", "1.0", "h"]


KINDS = ("checkpoints", "experts", "snapshots", "attempts", "images", "kernels")
GONE = {
    "checkpoints": ["out/condense/condense-*/checkpoint.safetensors", "out/condense/failed-*/checkpoint.safetensors"],
    "experts": ["out/prepare/*/experts.safetensors"],
    "snapshots": ["out/condense/condense-*/snapshots/*"],
    "attempts": ["out/condense/condense-*/attempts/*"],
    "images": ["data/cache/*"],
    "kernels": ["kernels/*/*"],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_deleted_and_nothing_else(kind: str, root: Path, call: Call) -> None:
    before = names(root)
    status, out, _ = call(f"delete=[{kind}]")
    gone = before - names(root)
    assert status == 0 and f"deleted: {kind}, " in out and names(root) <= before
    assert gone and all(any(Path(name).match(pattern) for pattern in GONE[kind]) for name in gone), gone
    assert not [name for name in gone if name.endswith(("record.json", "task.json", "synthetic.safetensors"))]
    assert "0 B" in next(line for line in call()[1].splitlines() if line.strip().startswith(kind))
    assert not Store(root / "out").read().problems
    if kind == "experts":  # the other one is an input of a stopped task
        assert len(list(root.glob("out/prepare/*/experts.safetensors"))) == 1


def test_what_a_running_task_holds_is_left_and_caches_are_refused(root: Path, call: Call) -> None:
    (folder,) = root.glob("out/condense/failed-*")
    before = names(root)
    with TaskLock(folder):
        for kind in ("images", "kernels"):
            status, out, err = call(f"delete=[checkpoints,{kind}]")
            assert status == 2 and f"{kind} are in use: condense failed is at work" in err and not out
        assert names(root) - {f"{folder.relative_to(root)}/lock.json"} == before
        assert call("delete=[checkpoints]")[0] == 1 and (folder / "checkpoint.safetensors").exists()
    assert call("delete=[checkpoints]")[0] == 0 and not (folder / "checkpoint.safetensors").exists()
    (stopped,) = root.glob("out/condense/stopped-*")
    assert (stopped / "checkpoint.safetensors").read_bytes() == b"to be continued"


def test_a_wrong_request_is_one_line(root: Path, call: Call) -> None:
    before = names(root)
    for words, said in {
        ("delete=[expert]",): "no kind of files 'expert'. Did you mean 'experts'?",
        ("delete=[records]",): "no kind of files 'records'",
        ("store=missing",): "there is no store at missing",
    }.items():
        status, _, err = call(*words)
        assert status == 2 and said in err and err.startswith("error: ") and len(err.splitlines()) <= 3
    assert names(root) == before


def test_a_killed_clean_leaves_the_store_whole(tmp_path: Path) -> None:
    root = tmp_path / "out"
    for index in range(300):
        put(root, expert(index, b"weights"), b"weights")
    records = {path: path.read_bytes() for path in root.rglob("record.json")}
    words = [sys.executable, "-m", "benchmark.clean", f"store={root}", "delete=[experts]", f"data_root={tmp_path}"]
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "kernels")}
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, env=environment)
    while len(list(root.glob("prepare/*/experts.safetensors"))) > 290:
        assert process.poll() is None
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    left = len(list(root.glob("prepare/*/experts.safetensors")))
    contents = Store(root).read()
    assert 0 < left <= 290 and len(contents.records) == 300 and not contents.problems
    assert {path: path.read_bytes() for path in root.rglob("record.json")} == records
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
    assert not list(root.glob("prepare/*/experts.safetensors"))
