"""Hand-made records of analyses and sets on disk, for tests of figures, and the points that a figure shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from safetensors.numpy import save_file

from record_parts import changed, make_record, task_of
from results.store.atomic_files import write_json
from results.store.store import Store

Record = dict[str, Any]
FINAL = "synthetic.safetensors"


def analysis_record(
    name: str, result: Record, *, status: str = "ok", device: str = "NVIDIA H100", **resolved: Any
) -> Record:
    """A record of an analysis on cifar10; `resolved` replaces the usual values."""
    usual = {"kind": "analyze", "analysis": name, "version": 1, "sets": [], "experts": [], "architecture": "convnet3"}
    usual |= {"dataset": {"fingerprint": "cifar10"}, "precision": "fp32", "val_fraction": 0.1}
    resolved = usual | {"protocol": {"name": "dsa", "version": 1}} | resolved
    display = {"dataset": "cifar10", "num_classes": 10, "train_images": 50_000, "condense_architecture": "convnet3"}
    message = "" if status == "ok" else "the loss is not finite"
    facts = {"status": status, "message": message, "steps": 1, "environment": {"device": device}}
    return make_record("analyze", resolved, display, result, **facts)


def curve_record(
    set_identity: str, seconds: list[float], accuracies: list[list[float]], name: str = "curve", **more: Any
) -> Record:
    """The analysis "curve" or "training_curve" of a set, or "curve" of "whole", with a step for each of the seconds."""
    steps = enumerate(zip(seconds, accuracies, strict=True))
    points = [{"step": 10 * k, "seconds": s, "accuracies": a} for k, (s, a) in steps]
    return analysis_record(name, {"split": "validation", "points": points}, sets=[set_identity], **more)


def store_set(
    store: Store, record: Record, images: np.ndarray, labels: list[int], name: str = FINAL, losses: str = ""
) -> Path:
    """Store a set's record with files of its images (N, ch, H, W) and losses, as the benchmark writes them."""
    folder = store.begin(task_of(record, record["display"]["display_name"]))
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    card = {"ipc": record["resolved"]["ipc"], "factor": record["result"]["factor"], "training": {}, "made by": {}}
    tensors = {"images": images.astype(np.float32), "labels": np.asarray(labels, np.int64)}
    save_file(tensors, path, metadata={"card": json.dumps(card)})
    stored = store.record(record) or record
    artifacts = {**stored["artifacts"], name: sha256(path.read_bytes()).hexdigest()}
    if losses:
        (folder / "losses.csv").write_text(losses)
        artifacts["losses.csv"] = sha256(losses.encode()).hexdigest()
    write_json(folder / "record.json", changed(record, artifacts=artifacts))
    return path


def constant_images(values: Sequence[float], shape: tuple[int, int, int] = (1, 4, 4)) -> np.ndarray:
    """An image for each value, with this value in all pixels."""
    return np.stack([np.full(shape, value, np.float32) for value in values])


def drawn_points(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """The points of each labeled line of a panel."""
    lines = {str(line.get_label()): line for line in axes.get_lines() if not str(line.get_label()).startswith("_")}
    lines |= {str(container.get_label()): container[0] for container in axes.containers}  # points with error bars
    return {name: list(zip(*map(np.asarray, line.get_data()), strict=True)) for name, line in lines.items()}
