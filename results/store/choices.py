"""Settings that tuning chose: STORE/tuned/NAME/…json, one file for each method, dataset, ipc and network.

A choice is made from the records of its trials alone, so that it can be made again; it is never overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from results.errors import ResultsError
from results.store.atomic_files import create, read_json, to_json, writing
from results.store.identity import CHECKSUM, PREFIX, canonical, checksum, identity, sealed
from results.types import Json

FOLDER = "tuned"  # in a store
AGAIN = "move the file away and run the same python -m benchmark.tune again: it is made from the stored trials"


@dataclass(frozen=True)
class TrialScore:
    """One trial. settings: those drawn. accuracy: on withheld training images (a fraction), None without a set."""

    settings: Mapping[str, Any]
    accuracy: float | None


@dataclass(frozen=True)
class Choice:
    """The settings chosen for one method on one dataset, ipc and network.

    name: of the tuning. title: what it is of, in words. tuned: what was tuned, by which it is found: method with
    version and settings, ipc, architecture, dataset. procedure: how: trials, seed, space, withheld share, protocols.
    trials: the first is the method as it is. seconds: of all their tasks, each once. chosen: index of the best trial.
    """

    name: str
    title: str
    tuned: Mapping[str, Any]
    procedure: Mapping[str, Any]
    trials: Sequence[TrialScore]
    seconds: float

    @property
    def chosen(self) -> int:
        """The trial with the highest accuracy, the first of equals. Raises ResultsError if no trial has one."""
        scored = [(trial.accuracy, -index) for index, trial in enumerate(self.trials) if trial.accuracy is not None]
        if not scored:
            raise ResultsError(f"no trial of {self.title} has an accuracy", where=f"name={self.name}")
        return -max(scored)[1]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the best trial that replace the method's own; {} if these are the best."""
        return self.trials[self.chosen].settings

    @property
    def digest(self) -> str:
        """Of what was tuned and how, without numbers that depend on a machine: the same everywhere."""
        return identity({"tuned": self.tuned, "procedure": self.procedure})

    def display(self) -> dict[str, Any]:
        """What records of networks trained on its sets say of it (`schema.Tuning`)."""
        accuracies = [trial.accuracy for trial in self.trials]
        return {"name": self.name, "trials": len(accuracies), "seconds": self.seconds, "accuracies": accuracies}


def path_of(root: Path, name: str, title: str, tuned: Json) -> Path:
    """The file of a choice."""
    slug = re.sub(r"[^A-Za-z0-9._@=+-]+", "-", title).strip("-.")[:80]
    return root / FOLDER / name / f"{slug}-{identity(tuned)[:PREFIX]}.json"


def find(root: Path, name: str, tuned: Json) -> Choice | None:
    """The choice of this name for what is `tuned`, None without one. Raises ResultsError if it cannot be used."""
    files = sorted((root / FOLDER / name).glob(f"*-{identity(tuned)[:PREFIX]}.json"))
    return read(files[0]) if files else None


def names(root: Path) -> list[str]:
    """The names of the tunings of a store, sorted."""
    return sorted(path.name for path in (root / FOLDER).glob("*") if path.is_dir())


def write(root: Path, choice: Choice) -> Path:
    """Write a choice, unless it is there already. Raises ResultsError if there is another one of its name."""
    path = path_of(root, choice.name, choice.title, choice.tuned)
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    stored = find(root, choice.name, choice.tuned)
    if stored is None and create(path, to_json(sealed(asdict(choice)))):
        return path
    stored = stored or read(path)
    if canonical(asdict(stored)) != canonical(asdict(choice)):
        different = [key for key in choice.procedure if stored.procedure.get(key) != choice.procedure[key]]
        what = ", ".join(different) or "the records of its trials"
        raise ResultsError(
            f"there are other settings '{choice.name}' of {choice.title}; they differ in: {what}",
            where=str(path),
            next="keep both: name=OTHER",
        )
    return path


def read(path: Path) -> Choice:
    """The choice in a file. Raises ResultsError if it cannot be used."""
    content = read_json(path, AGAIN)
    try:
        if content is None or content.pop(CHECKSUM) != checksum(content):
            raise ValueError("its checksum is wrong")
        trials = tuple(TrialScore(**trial) for trial in content.pop("trials"))
        choice = Choice(**content, trials=trials)
        assert choice.settings is not None
    except (KeyError, TypeError, ValueError, ResultsError) as error:
        raise ResultsError(f"stored settings cannot be used: {error}", where=str(path), next=AGAIN) from error
    return choice
