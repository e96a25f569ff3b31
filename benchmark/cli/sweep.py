"""A `-m` sweep, which runs every combination of NAME=a,b: one comparison of all its jobs at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from results.types import Json

_records: dict[Path, dict[str, Json]] = {}  # by store and identity, of the jobs that have ended
_with_references: set[Path] = set()  # stores whose jobs asked for reference rows


def is_sweep() -> bool:
    """Whether the command line asks for a sweep."""
    return bool({"-m", "--multirun"} & set(sys.argv[1:]))


def keep(records: Iterable[Json], store: Path, *, references: bool) -> None:
    """Keep the records of a job for the table at the end; of equal tasks the first job's display names count.

    references: whether the job asked for the rows that come with the package.
    """
    _with_references.update([store] if references else [])
    of_store = _records.setdefault(store, {})
    for record in records:
        of_store.setdefault(str(record["identity"]), record)


def show() -> None:
    """Print the comparison of all jobs, and write it into each store that they used."""
    from benchmark.cli.progress import open_console
    from benchmark.cli.tables import show_tables  # loads pandas, which --help does without

    for store, records in _records.items():
        references = store in _with_references
        show_tables(list(records.values()), store, open_console(), references=references)
    _records.clear()
    _with_references.clear()
