"""What a store and the caches take on the disk, by kind, and deleting kinds of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from benchmark.cli.console import Console
from benchmark.cli.progress import print_uncut
from benchmark.compute.compilation import kernel_cache
from benchmark.config.schema import CleanConfig
from benchmark.datasets.cache import cache_folder
from benchmark.runners.monitor import queued_inputs, read_status
from benchmark.utils.errors import BenchmarkError
from results.formatting import duration, grouped, size
from results.store import space
from results.store.schema import Status
from results.store.space import TaskFiles, total_size
from results.store.store import Store

_AGAIN = {  # what deleting a kind costs later
    space.CHECKPOINTS: "a failed task begins again at its first step",
    space.EXPERTS: "trained again for new sets",
    space.SNAPSHOTS: "condensed again for new curves",
    space.ATTEMPTS: "never made again; their messages are lost",
    "images": "decoded again from the downloaded files",
    "kernels": "compiled again, minutes for each long task",
}


@dataclass(frozen=True)
class _Usage:
    """One kind: its files, or task files. seconds: to make all of it again, None if unknown."""

    kind: str
    paths: Sequence[Path]
    of_tasks: Sequence[TaskFiles] = ()
    seconds: float | None = None


def show_and_delete(config: CleanConfig, console: Console) -> bool:
    """List what there is and delete the kinds of `config.delete`; returns whether all of it could be deleted.

    Raises BenchmarkError, before anything is deleted, for a store that is none, and for caches while a task of the
    store is at work.
    """
    root = Path(config.store)
    if not root.is_dir():
        raise BenchmarkError(f"there is no store at {root}", where=f"store={root}", next="store=PATH")
    running = [task.name for task in read_status(root).in_state(Status.RUNNING)]
    for kind in ("images", "kernels") if running else ():
        if kind in config.delete:
            raise BenchmarkError(
                f"{kind} are in use: {running[0]} is at work",
                where=f"delete=[{','.join(config.delete)}]",
                next="wait for it to finish; python -m benchmark.status shows it",
            )
    usages = _usages(root, config)
    print_uncut(console, _table(usages, root))
    complete = True
    for usage in usages:
        if usage.kind in config.delete:
            complete &= _delete(usage, lambda text: console.print(text, markup=False, highlight=False))
    if not config.delete:
        console.print("nothing was deleted; delete=[KIND,…] deletes", markup=False, highlight=False)
    return complete


def _usages(root: Path, config: CleanConfig) -> list[_Usage]:
    by_kind: dict[str, list[TaskFiles]] = {}
    for files in space.removable(Store(root), queued_inputs(root)):
        by_kind.setdefault(files.kind, []).append(files)
    usages = []
    for kind in space.KINDS:
        of_kind = by_kind.get(kind, [])
        paths = [path for files in of_kind for path in files.paths]
        seconds = sum(files.seconds for files in of_kind)
        usages.append(_Usage(kind, paths, of_kind, seconds if kind in (space.EXPERTS, space.SNAPSHOTS) else None))
    data_root = Path(config.data_root)
    folders = dict.fromkeys([data_root / "cache", cache_folder(data_root, config.cache_path)])
    images = [path for folder in folders for path in sorted(folder.glob("*.safetensors"))]
    return [*usages, _Usage("images", images), _Usage("kernels", _all_files(kernel_cache()))]


def _all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []


def _table(usages: Sequence[_Usage], root: Path) -> Table:
    table = Table("Kind", "Files", "Size", "Seconds to make again", "Afterwards", box=None)
    removable = {path for usage in usages for path in usage.paths}
    for usage in usages:
        seconds = "–" if usage.seconds is None else duration(usage.seconds)
        numbers = grouped(len(usage.paths)), size(total_size(usage.paths))
        table.add_row(usage.kind, *numbers, seconds, _AGAIN[usage.kind])
    kept = [path for path in _all_files(root) if path not in removable]
    numbers = grouped(len(kept)), size(total_size(kept))
    table.add_row("(kept)", *numbers, "–", "records, sets, logs, reports, and what unfinished tasks need")
    return table


def _delete(usage: _Usage, say: Callable[[str], None]) -> bool:
    """Delete a kind; returns whether nothing of it is left."""
    before = total_size(usage.paths)
    left = 0
    if usage.kind == "kernels":
        shutil.rmtree(kernel_cache(), ignore_errors=True)
        left = sum(path.exists() for path in usage.paths)
    elif usage.kind == "images":
        left = sum(not _unlink(path) for path in usage.paths)
    else:
        left = sum(len(files.paths) for files in usage.of_tasks if not space.delete(files))
    freed = before - (total_size(usage.paths) if left else 0)
    say(f"deleted: {usage.kind}, {size(freed)}" + (f"; {left:,} files are in use or of another user" if left else ""))
    return not left


def _unlink(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True
