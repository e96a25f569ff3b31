"""A dataset in place of those that a plan asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmark import datasets
from benchmark.datasets import Dataset


@pytest.fixture
def use_dataset(monkeypatch: pytest.MonkeyPatch) -> Callable[[Dataset], None]:
    """Makes every entry of `datasets` this dataset."""

    def use(dataset: Dataset) -> None:
        monkeypatch.setattr(datasets, "load", lambda entry, root, progress=None, cache=None: dataset)

    return use
