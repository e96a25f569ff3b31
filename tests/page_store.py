"""Stores of hand-made records on disk, with previews and logs, and the pages of them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from record_parts import changed, task_of
from results.aggregation.cells import cells
from results.page import write_page
from results.store.identity import PREFIX
from results.store.store import Store

Record = dict[str, Any]

METHODS = ("random", "dm", "dc", "dsa", "idm", "dance")
DATASETS = ("cifar10", "cifar100", "svhn", "fashionmnist", "tinyimagenet", "mnist", "imagenette")
IPCS = (1, 2, 5, 10, 20, 50)
PROTOCOLS = ("dsa", "dance")


def preview_png(pixels: np.ndarray) -> bytes:
    """A PNG like those of save_preview, from (classes, columns, h, w, 3) bytes, with gaps of two white pixels."""
    classes, columns, height, width, _ = pixels.shape
    whole = np.full((2 + classes * (height + 2), 2 + columns * (width + 2), 3), 255, np.uint8)
    for row, column in product(range(classes), range(columns)):
        top, left = 2 + row * (height + 2), 2 + column * (width + 2)
        whole[top : top + height, left : left + width] = pixels[row, column]
    buffer = io.BytesIO()
    Image.fromarray(whole).save(buffer, "PNG")
    return buffer.getvalue()


def enlarged_images(seed: int, ipc: int, classes: int = 10) -> np.ndarray:
    """(classes, at most 10, 48, 48, 3) bytes: random gray images of 8 × 8 pixels, enlarged six times."""
    draw = np.random.default_rng(seed).integers(0, 256, (classes, min(10, ipc), 8, 8, 1), np.uint8)
    return draw.repeat(6, 2).repeat(6, 3).repeat(3, 4)


@lru_cache(maxsize=64)
def random_preview(seed: int, ipc: int) -> bytes:
    """A preview of random images."""
    return preview_png(enlarged_images(seed, ipc))


def write_task(
    root: Path, record: Record, *, log: str = "begun\nok\n", preview: bytes = b"", requested: Any = None
) -> Path:
    """A task's folder as a run leaves it. Empty arguments leave out the log, the preview or task.json."""
    folder = root / record["kind"] / f"task-{record['identity'][:PREFIX]}"
    folder.mkdir(parents=True)
    artifacts = {"preview.png": sha256(preview).hexdigest()} if preview else {}
    (folder / "record.json").write_text(json.dumps(changed(record, artifacts=artifacts)))
    if requested is not None:
        (folder / "task.json").write_text(json.dumps(task_of(record, "task") | {"requested": requested}))
    if log:
        (folder / "log.txt").write_text(log)
    if preview:
        (folder / "preview.png").write_bytes(preview)
    return folder


def write_report_page(root: Path) -> Path:
    """The page of a store, which must be readable as a whole."""
    records, problems = Store(root).records()
    assert not problems, problems
    folder = root / "report"
    folder.mkdir()
    return write_page(records, Store(root), cells(records), folder)


def grid_records(make_condensed: Any, make_evaluated: Any) -> Iterator[Record]:
    """Sets of all datasets, ipcs, methods and three seeds, each followed by its evaluations under two protocols."""
    draw = np.random.default_rng(0)
    for dataset, ipc, method, seed in product(DATASETS, IPCS, METHODS, range(3)):
        seconds = float(10 ** draw.uniform(0, 4))
        condensed = make_condensed(method, seed, ipc, dataset=dataset, seconds=seconds)
        condensed["result"]["losses"] = {"matching": 0.5}
        yield condensed
        accuracy = 0.2 + 0.05 * METHODS.index(method) + 0.02 * float(draw.normal())
        for protocol in PROTOCOLS:
            yield make_evaluated(condensed, [accuracy, accuracy + 0.01], dataset=dataset, protocol=protocol)
