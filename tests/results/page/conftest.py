"""Stores of many records."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from page_store import grid_records, random_preview, write_task


@pytest.fixture(scope="session")
def stored(make_condensed: Any, make_evaluated: Any) -> Callable[[Path, int], Path]:
    """Fills a folder with a store of `count` records, with previews and logs; the last one is of the whole set."""

    def fill(root: Path, count: int) -> Path:
        for record in islice(grid_records(make_condensed, make_evaluated), count - 1):
            resolved = record["resolved"]
            picture = random_preview(resolved["seed"], resolved["ipc"]) if record["kind"] == "condense" else b""
            write_task(root, record, preview=picture, requested={"dataset": "cifar10", "data_root": "/there/data"})
        write_task(root, make_evaluated(None, [0.9], seconds=900.0))
        return root

    return fill
