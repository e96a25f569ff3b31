"""Stores of many records."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from page_store import many, preview, put


@pytest.fixture(scope="session")
def stored(make_condensed: Any, make_evaluated: Any) -> Callable[[Path, int], Path]:
    """Fills a folder with a store of so many records, with previews and logs; the last one is the whole set's."""

    def fill(root: Path, count: int) -> Path:
        for record in islice(many(make_condensed, make_evaluated), count - 1):
            resolved = record["resolved"]
            picture = preview(resolved["seed"], resolved["ipc"]) if record["kind"] == "condense" else b""
            put(root, record, preview=picture, request={"dataset": "cifar10", "data_root": "/there/data"})
        put(root, make_evaluated(None, [0.9], seconds=900.0))
        return root

    return fill
