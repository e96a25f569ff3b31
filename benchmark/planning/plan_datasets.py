"""The datasets of a plan: read, and named so that no two of them share a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

from benchmark import datasets
from benchmark.config.shared_options import PlanConfig
from benchmark.datasets import Outline
from benchmark.datasets.base import Progress
from benchmark.planning.plan import Plan


def add_datasets(plan: Plan, config: PlanConfig, progress: Progress | None) -> dict[str, Outline]:
    """Add the outlines of a run's datasets to the plan, and return them by their entries in `datasets`.

    Datasets are downloaded and decoded if necessary; a dry run takes what is there, or the dataset's card. Raises
    BenchmarkError.
    """
    root, cache, outlines = Path(config.data_root), config.cache_path, dict[str, Outline]()
    for entry in config.datasets:
        if config.dry_run:
            outlines[entry] = datasets.outline(entry, root, progress, cache)
        else:
            outlines[entry] = datasets.load(entry, root, progress, cache).outline
    names = distinct_names(config.datasets, [outline.name for outline in outlines.values()])
    for (entry, outline), name in zip(list(outlines.items()), names, strict=True):
        if name != outline.name:
            outlines[entry] = replace(outline, name=name, title=name)
        if not outline.seen:
            plan.note(f"{name} is not decoded yet: planned from its card, as if nothing of it were done")
        plan.note(*filter(None, [outline.note]))
        if config.imbalance != 1:
            outlines[entry] = _long_tailed(outlines[entry], config.imbalance)
        plan.outlines[outlines[entry].name] = outlines[entry]
    _note_equal_images(plan, outlines)
    return outlines


def _long_tailed(outline: Outline, imbalance: float) -> Outline:
    """The dataset with a long tail, which is another dataset in tables: "cifar10-lt100", "CIFAR-10-LT (100)"."""
    name, title = f"{outline.name}-lt{imbalance:g}", f"{outline.title}-LT ({imbalance:g})"
    return replace(outline, name=name, title=title, imbalance=imbalance)


def distinct_names(entries: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names of datasets, where equal ones get as many folders of their path as tell them apart."""
    counts = Counter(names)
    folders = [Path(entry).expanduser().absolute().parent.parts for entry in entries]
    distinct = list(names)
    for index, name in enumerate(names):
        others = [folders[other] for other in range(len(names)) if other != index and names[other] == name]
        for depth in range(1, len(folders[index]) if counts[name] > 1 else 0):
            distinct[index] = "/".join([*folders[index][-depth:], name])
            if all(other[-depth:] != folders[index][-depth:] for other in others):
                break
    return distinct


def _note_equal_images(plan: Plan, outlines: Mapping[str, Outline]) -> None:
    for one, other in combinations(outlines.values(), 2):
        if one.seen and other.seen and one.fingerprint == other.fingerprint:
            plan.note(f"{one.name} and {other.name} hold the same images: tasks that are equal are done and shown once")
