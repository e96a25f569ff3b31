"""What `python -m benchmark.data` prints: the table of built-in datasets, and the description of one dataset."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from benchmark.datasets import registry
from benchmark.datasets.base import Dataset
from benchmark.datasets.builtin import card_of, name_of, names
from benchmark.utils.errors import BenchmarkError
from results.formatting import size


def builtin_table(root: Path, cache: Path | None) -> tuple[Table, list[str]]:
    """The built-in datasets with their state under `root`, and a line for each whose files are wrong."""
    table = Table(title=f"Built-in datasets; data_root: {root}", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("Name", "Classes", "Train", "Test", "Image", "Constants", "State"):
        table.add_column(column, justify="right" if column in ("Classes", "Train", "Test") else "left", no_wrap=True)
    problems: list[str] = []
    for key in names():
        try:
            card = card_of(key)
        except BenchmarkError as error:
            problems.append(f"{key}: {error.what}")
            continue
        state, problem = _state(key, root, cache)
        problems += [f"{name_of(key)}: {problem}"] if problem else []
        counts = (str(card.num_classes), str(card.train), str(card.test))
        table.add_row(name_of(key), *counts, _shape(card.image_shape), escape(card.constants_source), escape(state))
    return table, problems


def _state(key: str, root: Path, cache: Path | None) -> tuple[str, str]:
    """Whether a built-in dataset is there, in a few words, and what is wrong with its files, "" if nothing is."""
    card = card_of(key)
    if card.embedded:
        return "comes with a library", ""
    try:
        if registry.is_cached(key, root, cache):
            return "decoded", ""
        files = registry.reader_of(key).find(key, root)
    except BenchmarkError as error:
        return "see below", error.what
    except (OSError, ValueError) as error:
        return "see below", f"cannot be read: {error}"
    if files is not None:
        return "not decoded yet", ""
    return f"no; {f'download {size(card.download)}' if card.download else 'request it at image-net.org'}", ""


def describe(dataset: Dataset, root: Path) -> str:
    """A dataset that is ready: its counts, constants, fingerprint and source."""
    card = card_of(dataset.published_as) if dataset.published_as in names() else None
    constants = "; ".join(
        f"{name} {' '.join(f'{value:.4f}' for value in values)}"
        for name, values in (("mean", dataset.constants.mean), ("std", dataset.constants.std))
    )
    builtin = card is not None and dataset.like is None
    completeness = registry.completeness(dataset.published_as, root, len(dataset.train)) if builtin else ""
    counts = f"{len(dataset.train):,} training and {len(dataset.test):,} test images"
    lines = [
        completeness,
        f"{counts}, {_shape(dataset.image_shape)}, {dataset.num_classes} classes",
        f"{constants} ({card.constants_source if card else 'computed'}); mirrored: {'yes' if dataset.flip else 'no'}",
        f"fingerprint {dataset.fingerprint}",
        dataset.source,
        dataset.note,
    ]
    return "\n".join([f"{dataset.name}: ready", *(f"  {line}" for line in lines if line)])


def _shape(image_shape: tuple[int, int, int]) -> str:
    return "×".join(map(str, image_shape))
