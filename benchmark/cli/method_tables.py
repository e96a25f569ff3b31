"""What `python -m benchmark.methods` shows: all methods, a method, a cell, stored tasks against published settings."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from benchmark.cli.console import Console
from benchmark.cli.method_request import COMMAND, MethodRequest
from benchmark.utils.errors import BenchmarkError, did_you_mean
from methods import registry, search
from methods.base import Condenser, Method
from methods.errors import MethodError
from results.errors import ResultsError
from results.formatting import grouped, short
from results.store.atomic_files import read_json
from results.store.schema import Status
from results.store.store import read_record, task_folders
from results.store.validation import problem_of_task

NONE = "–"

# --- all methods ------------------------------------------------------------------------------------------------------


def overview() -> list[RenderableType]:
    """Every method of this package and of others; a line for each that cannot be imported."""
    cards, needs, broken = [], [], []
    for name in sorted(registry.locations()):
        try:
            method = registry.load(name)
            card = method.card
            needs.append((name, _experts(name, method), _cells(registry.blocks(name, "paper"))))
            cards.append((name, card.title, card.family, _paper(method, brief=True), card.native, _steps(method)))
        except MethodError as error:
            broken.append(Text(f"{error.what} ({error.where})" if error.where else error.what))
    return [
        _table(("Method", "Title", "Family", "Paper", "Protocol", "Steps"), cards),
        _table(("Method", "Prepared beforehand", "Settings for (dataset: ipcs)"), needs),
        *broken,
        Text(f"{COMMAND} NAME: each setting; NAME DATASET IPC: each value of a cell, with its source"),
    ]


def _paper(method: type[Method], *, brief: bool = False) -> str:
    """Number, venue and year of the method's paper; brief: without a DOI, which is too long for a column."""
    card = method.card
    number = "" if brief and "/" in card.paper else card.paper
    return ", ".join(filter(None, [number, " ".join(filter(None, [card.venue, str(card.year or "")]))])) or NONE


def _steps(method: type[Method]) -> str:
    """The iterations of a full run with the method's defaults; 0 for a selection."""
    if not issubclass(method, Condenser):
        return NONE
    steps = getattr(method, "total_steps", method.Config().iterations)  # a selection has it as a class attribute
    return "?" if steps is None else grouped(steps)


def _experts(name: str, method: type[Method]) -> str:
    """The experts that must be trained before, such as `5 experts, each 60 epochs …`."""
    if not issubclass(method, Condenser):
        return "nothing"
    try:
        recipe = method.experts(method.Config())
    except Exception as error:
        raise MethodError(f"the experts of '{name}' are unknown: {type(error).__name__}: {error}") from error
    if recipe is None:
        return "nothing"
    milestones = " and ".join(str(Fraction(part).limit_denominator(100)) for part in recipe.lr_milestones)
    schedule = f"times {recipe.lr_gamma:g} after {milestones} of them" if milestones else "constant"
    kept = f", weights of {len(recipe.keep)} epochs between kept" if recipe.keep else ""
    return (
        f"{recipe.count} expert{'s, each' if recipe.count > 1 else ','} {recipe.epochs} epochs on the real images: "
        f"batch {recipe.batch}, SGD {recipe.lr:g} (momentum {recipe.momentum:g}, weight decay "
        f"{recipe.weight_decay:g}), {schedule}, {recipe.augment}, "
        f"CutMix with probability {recipe.cutmix:g}{kept}"
    )


def _cells(blocks: Sequence[registry.Block]) -> str:
    """The cells that settings name: `cifar10, cifar100: 1, 10, 50; digits: any`, or `any`."""
    datasets_with: dict[tuple[int, ...], list[str]] = {}  # by their ipcs
    for dataset in dict.fromkeys(dataset for block in blocks for dataset in block.datasets):
        ipcs = {ipc for block in blocks if dataset in block.datasets for ipc in block.ipcs}
        datasets_with.setdefault(tuple(sorted(ipcs)), []).append(dataset)
    parts = [f"{', '.join(datasets)}: {_listed(ipcs)}" for ipcs, datasets in datasets_with.items()]
    return "; ".join(parts) or ("any" if blocks else NONE)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values)) or "any"


# --- one method -------------------------------------------------------------------------------------------------------


def method_page(name: str) -> list[RenderableType]:
    """A method's paper and needs, each of its settings, and the blocks of its settings file."""
    method = registry.load(name)
    card = method.card
    description = inspect.getdoc(sys.modules[method.__module__]) or method.__doc__ or ""
    facts = (
        ("paper", _paper(method)),
        ("labels", card.labels),
        ("version", str(card.version)),
        ("protocol", f"{card.native}, with the set's learning rate" if card.learns_lr else card.native),
        ("prepared", _experts(name, method)),
        ("steps", _steps(method)),
    )
    title = f"method.{name}.SETTING=VALUE on a run's command line"
    return [
        Text(f"{name}: {card.title}", style="bold"),
        *([Text(" ".join(description.strip().split("\n\n")[0].split()))] if description else []),
        _table(("family", card.family), facts),
        _table(("Setting", "Default", "Meaning", "Source"), _settings(method), title),
        _blocks(name),
        *_search_space(name),
    ]


def _search_space(name: str) -> list[RenderableType]:
    """What tuning draws, nothing for a method without a search space."""
    rows = [(dimension.setting, dimension.text, dimension.source) for dimension in search.space(name)]
    return [_table(("Tuned", "Drawn", "Source"), rows, "python -m benchmark.tune")] if rows else []


def _settings(method: type[Method]) -> Iterable[tuple[str, str, str, str]]:
    defaults = method.Config()
    for spec in fields(defaults):
        options = spec.metadata.get("options")
        meaning = spec.metadata.get("meaning", NONE) + (f" (one of {', '.join(options)})" if options else "")
        yield spec.name, _value(getattr(defaults, spec.name)), meaning, spec.metadata.get("source", NONE)


def _blocks(name: str) -> RenderableType:
    """The published settings as the file has them, in the order in which they apply."""
    blocks, in_paper = registry.blocks(name, "quick"), len(registry.blocks(name, "paper"))
    if not blocks:
        return Text("no settings file: every cell takes the defaults above")
    rows = (
        (
            _listed(block.datasets) + (" (preset=quick)" if index >= in_paper else ""),
            _listed(block.ipcs),
            ", ".join(f"{key}={_value(value)}" for key, value in block.settings.items()),
            block.provenance,
            block.source,
        )
        for index, block in enumerate(blocks)
    )
    title = "published settings, later lines override earlier ones"
    return _table(("Datasets", "ipcs", "Settings", "Provenance", "Source"), rows, title)


# --- one cell ---------------------------------------------------------------------------------------------------------


def cell_page(request: MethodRequest) -> list[RenderableType]:
    """Each setting of a cell with its provenance, the published value that an override replaces, and notes."""
    published, resolved = request.resolve({}), request.resolve(request.overrides)
    citations: dict[str, str] = {}  # "[1]" and so on by source, since many values share one
    rows = []
    for key in resolved.config.names():
        source = published.provenance[key].source
        cited = citations.setdefault(source, f"[{len(citations) + 1}]")
        if key in resolved.changed:
            cited = f"command line, instead of {_value(getattr(published.config, key))} {cited}"
        rows.append((key, _value(getattr(resolved.config, key)), resolved.provenance[key].kind, cited))
    weakest = [key for key, origin in resolved.provenance.items() if origin.kind == resolved.weakest_provenance]
    unchanged = [f"{key}={_value(value)} changes nothing" for key, value in request.overrides.items()
                 if key not in resolved.changed]  # fmt: skip
    cell = f"{request.dataset}{'' if request.ipc is None else f' at ipc {request.ipc}'}"
    return [
        Text(f"{request.method} on {cell}, preset {request.preset}", style="bold"),
        _table(("Setting", "Value", "Provenance", "Source"), rows),
        *(Text(f"{number} {source}") for source, number in citations.items()),
        *(Text(f"note: {note}") for note in [*resolved.notes, *_hints(request), *unchanged]),
        Text(f"weakest provenance: {resolved.weakest_provenance} ({', '.join(weakest)})"),
    ]


def _hints(request: MethodRequest) -> Iterable[str]:
    known, dataset = registry.datasets(), str(request.dataset)
    hint = did_you_mean(dataset, known)
    if hint and dataset not in {*known, *registry.datasets(request.method)}:
        yield f"no settings name a dataset '{dataset}'.{hint}"
    if request.preset == "quick" and request.iterations_fraction == 1:
        yield "a run with preset=quick also cuts the iterations; iterations_fraction=F shows by how much"


# --- stored tasks against published settings --------------------------------------------------------------------------

_PATHS = "name a store (a folder with condense/ in it), a condense task's folder, or its task.json"


@dataclass(frozen=True)
class Comparison:
    """A stored condense task against the published settings of its cell.

    differences: setting, stored value, published value and its source, as text. differs: in these or in its version.
    """

    task: str
    cell: str
    differences: tuple[tuple[str, str, str, str], ...]
    remarks: tuple[str, ...]
    differs: bool


def compare(paths: Sequence[Path]) -> Iterator[Comparison | BenchmarkError | ResultsError]:
    """Compare every condense task under the paths, each once; an error instead if that is impossible."""
    tasks: dict[Path, None] = {}
    for path in paths:
        try:
            tasks |= dict.fromkeys(task.absolute() for task in _tasks(path))
        except (BenchmarkError, ResultsError) as error:
            yield error
    for task in tasks:
        try:
            yield _compare(task)
        except (BenchmarkError, ResultsError) as error:
            yield error


def diff_page(comparisons: Sequence[Comparison]) -> list[RenderableType]:
    """The differences, once for all tasks that have the same (such as the seeds of a cell), and their number."""
    tasks_of: dict[tuple[Any, ...], list[str]] = {}
    for each in comparisons:
        tasks_of.setdefault((each.cell, each.differs, each.differences, each.remarks), []).append(each.task)
    parts: list[RenderableType] = []
    for (cell, differs, differences, remarks), tasks in tasks_of.items():
        parts.append(Text(f"{cell}{'' if differs else ': as published'}", style="bold"))
        parts += [Text(f"  {task}") for task in tasks]
        if differences:
            parts.append(_table(("Setting", "Stored", "Published", "Source"), differences))
        parts += [Text(f"  {remark}") for remark in remarks]
    if comparisons:
        count = sum(comparison.differs for comparison in comparisons)
        total = f"{count} of {len(comparisons)} condense tasks"
        parts.append(Text(f"{total} differ from what was published for their cells"))
    return parts


def _tasks(path: Path) -> list[Path]:
    """The task.json files of the condense tasks at a path. Raises BenchmarkError if there are none."""
    try:
        path = path.expanduser()
        if path.is_file():
            return [path]
        if (path / "task.json").is_file():
            return [path / "task.json"]
        exists, store = path.exists(), path.parent if path.name == "condense" else path
        is_store = (store / "condense").is_dir()
    except (OSError, RuntimeError) as error:  # RuntimeError: ~NAME of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise BenchmarkError(f"this path cannot be read: {reason}", where=str(path), next=_PATHS) from error
    tasks = [folder / "task.json" for same in task_folders(store, ["condense"]).values() for folder in same]
    if not tasks:
        what = "the store holds no condense task yet" if is_store else "there is no stored task here"
        raise BenchmarkError(what if exists else "there is nothing at this path", where=str(path), next=_PATHS)
    return sorted(tasks)


def _condense_task(path: Path) -> dict[str, Any]:
    """The condense task of a task.json. Raises BenchmarkError or ResultsError for anything else."""
    task = read_json(path, _PATHS) or {}
    problem = f"its kind is {task.get('kind')!r}" if task.get("kind") != "condense" else problem_of_task(task)
    if problem:
        raise BenchmarkError(f"this is no condense task: {problem}", where=str(path), next=_PATHS)
    return task


def _compare(path: Path) -> Comparison:
    """Compare the condense task of a task.json. Raises BenchmarkError or ResultsError if that is impossible."""
    task = _condense_task(path)
    resolved, display = task["resolved"], task["display"]
    method, stored, dataset = resolved["method"], resolved["settings"], display["dataset"]
    known = display["published_as"] or dataset
    try:
        published = registry.resolve(method, dataset=known, ipc=resolved["ipc"], preset="paper")
        version = registry.load(method).card.version
    except MethodError as error:
        raise BenchmarkError(error.what, where=str(path), next=error.next) from error
    differences = tuple(_differences(method, resolved["version"], stored, published))
    remarks, other_version = [], resolved["version"] != version
    if other_version:
        now = f"this is version {version}, whose results differ"
        remarks.append(f"made by version {resolved['version']} of {method}; {now}")
    full, run = published.config.iterations, stored.get("iterations")
    if full and isinstance(run, int):
        part = "" if run == full else f", a fraction of {short(display['iterations_fraction'])}"
        remarks.append(f"{grouped(run)} of {grouped(full)} iterations{part}")
    remarks += _remark_on_record(path.parent)
    like = "" if known == str(dataset).partition("@")[0] or known == dataset else f", like {known},"
    return Comparison(
        task=path.parent.name,
        cell=f"{display['display_name']} on {dataset}{like} at ipc {resolved['ipc']}",
        differences=differences,
        remarks=(*remarks, *(f"note: {note}" for note in published.notes)),
        differs=bool(differences) or other_version,
    )


def _remark_on_record(folder: Path) -> list[str]:
    """A remark if the task's record is not one of a finished set."""
    try:
        record = read_record(folder)
    except ResultsError as error:
        return [error.what]
    if record is None:
        return ["it has no record: it is not finished"]
    return [] if record["status"] == Status.OK else [f"its record says {record['status']}"]


def _differences(
    method: str, version: int, stored: Mapping[str, Any], published: registry.ResolvedSettings
) -> Iterable[tuple[str, str, str, str]]:
    """In the order of the method's settings, then settings that the method no longer has."""
    values = json.loads(json.dumps(asdict(published.config), default=str))  # as a task stores them: lists for tuples
    for key, value in values.items():
        origin = published.provenance[key]
        if key not in stored:
            yield key, NONE, _value(value), f"version {version} of {method} as stored has no such setting"
        elif stored[key] != value:
            yield key, _value(stored[key]), _value(value), f"{origin.kind}: {origin.source}"
    for key in sorted(stored.keys() - values.keys()):
        yield key, _value(stored[key]), NONE, f"{method} no longer has this setting"


# --- layout -----------------------------------------------------------------------------------------------------------

_WORD_WIDTHS = (24, 20, 16, 12, 8)  # characters that a column keeps for its longest word, tried in this order


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> Table:
    """Cells are plain text, since the [brackets] of a source are no markup of rich."""
    table = Table(box=box.SIMPLE, title=Text(title, style="italic") if title else None, title_justify="left")
    for header in headers:
        table.add_column(Text(header), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _value(value: Any) -> str:
    """A setting's value as the command line takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def render(parts: Sequence[RenderableType]) -> str:
    """The parts as text for standard output: colored on a terminal only, wrapped to its width, never cut off."""
    console = Console(markup=False, highlight=False)
    for part in parts:
        if isinstance(part, Table):
            console.width = max(console.width, _fit(part, console.width))
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().split("\n"))


def _fit(table: Table, width: int) -> int:
    """Set the columns' widths; returns the table's, at most `width` unless short words would have to be broken.

    rich itself narrows the widest columns first, until short words break.
    """
    texts = [[str(column.header), *map(str, column.cells)] for column in table.columns]
    full = [max(map(cell_len, column)) for column in texts]
    longest = [max(cell_len(word) for text in column for word in text.split() or [""]) for column in texts]
    borders = 3 * len(texts) + 1
    for limit in _WORD_WIDTHS:
        widths = [min(limit, word) for word in longest]
        if sum(widths) + borders <= width:
            break
    spare = width - borders - sum(widths)
    order = sorted(range(len(widths)), key=lambda index: full[index] - widths[index])
    for position, index in enumerate(order):  # columns that need little get all of it, the others equal parts
        more = max(0, min(full[index] - widths[index], spare // (len(order) - position)))
        widths[index], spare = widths[index] + more, spare - more
        table.columns[index].width = widths[index]
    return sum(widths) + borders
