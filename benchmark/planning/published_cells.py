"""The cells of the DANCE paper's tables as one plan: the tasks of each cell, or why it cannot be planned."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmark import datasets
from benchmark.config.schema import ReferenceConfig, RunConfig
from benchmark.datasets.base import Progress
from benchmark.planning import grid
from benchmark.planning.plan import WHOLE_CARD, Plan
from benchmark.utils.errors import BenchmarkError, unknown
from methods import registry
from methods.errors import MethodError
from results.published import compare
from results.published.compare import BEST_ON_TEST, Published
from results.store import reference

SOURCE = "DANCE (IJCAI 2024)"


@dataclass(frozen=True)
class PublishedCell:
    """A printed number and what gives ours. dataset: the entry of `datasets` that it is planned for.

    tasks: identities, inputs first. reason: why there are none, else "". provenance: the weakest one of its settings
    (`registry.PROVENANCES`), "" if there are no tasks.
    """

    published: Published
    dataset: str
    tasks: tuple[str, ...] = ()
    reason: str = ""
    provenance: str = ""

    @property
    def name(self) -> str:
        ipc = "all images" if self.published.ipc is None else f"ipc {self.published.ipc}"
        return f"{self.published.method} on {self.dataset}, {ipc}"


def plan_cells(config: ReferenceConfig, progress: Progress | None = None) -> tuple[Plan, list[PublishedCell]]:
    """The tasks of all cells that the options name, and the cells, in the order of the tables.

    A cell that cannot be planned has the reason: a method that is not installed, a dataset that cannot be read, a
    request that `grid.build` refuses. Raises BenchmarkError for an option that names what no table has.
    """
    plan, cells = Plan(), list[PublishedCell]()
    printed = _printed(config.tables)
    entries = _entries(config, printed, progress)
    chosen = list(_chosen(config, printed, {published_as for published_as, _ in entries.values()}))
    for entry, (published_as, reason) in entries.items():
        for published in chosen:
            if published.dataset == published_as:
                cells.append(_plan_cell(config, plan, published, entry, reason))
    if not cells:
        raise BenchmarkError("no table has a cell of these options", where="tables, methods, datasets, ipcs")
    return plan, cells


def _printed(tables: Collection[int]) -> list[Published]:
    names = {f"Table {number}" for number in tables}
    return [published for published in compare.load() if published.source == SOURCE and published.table in names]


def _entries(
    config: ReferenceConfig, printed: Sequence[Published], progress: Progress | None
) -> dict[str, tuple[str, str]]:
    """Each dataset of the request with the one whose printed numbers it has, and why it cannot be read, else ""."""
    known = list(dict.fromkeys(published.dataset for published in printed))
    entries = {}
    for entry in config.datasets or known:
        reason, published_as = "", datasets.key_of(entry)
        try:
            root = Path(config.data_root)
            read = datasets.outline if config.dry_run else datasets.load
            published_as = read(entry, root, progress, config.cache_path).published_as
        except BenchmarkError as error:
            if published_as is None:
                raise
            reason = error.what
        if published_as not in known:
            raise unknown("dataset of these tables", entry, known, where=f"datasets=[{entry}]")
        entries[entry] = published_as, reason
    return entries


def _chosen(config: ReferenceConfig, printed: Sequence[Published], names: Collection[str]) -> Iterator[Published]:
    """The printed numbers of these datasets that the options name. Raises BenchmarkError for unknown names and ipcs."""
    methods = {published.method: None for published in printed}
    ipcs = {published.ipc: None for published in printed if published.ipc is not None}
    for method in config.methods:
        if method not in methods:
            raise unknown("method of these tables", method, methods, where=f"methods=[{method}]")
    for method in config.method:
        if method not in (config.methods or methods):
            raise unknown("method of this request", method, config.methods or methods, where=f"method.{method}")
    for ipc in config.ipcs:
        if ipc not in ipcs:
            raise BenchmarkError(
                f"no table has ipc {ipc}", where=f"ipcs=[{ipc}]", next=f"known: {', '.join(map(str, ipcs))}"
            )
    for published in printed:
        by_method = published.method in (config.methods or methods)
        by_ipc = published.ipc in config.ipcs or not config.ipcs
        if by_method and by_ipc and published.dataset in names:
            yield published


def _plan_cell(config: ReferenceConfig, plan: Plan, published: Published, entry: str, reason: str) -> PublishedCell:
    """Add the tasks of a cell to the plan. reason: why its dataset cannot be read, else ""."""
    if published.method not in {*registry.names(), WHOLE_CARD.name}:
        reason = f"no method {published.method} is installed"
    identities: dict[str, None] = {}
    try:
        for run in () if reason else _runs(config, published, entry):
            part = grid.build(run)
            for identity, task in part.by_identity.items():
                plan.by_identity.setdefault(identity, task)
            plan.outlines |= part.outlines
            plan.note(*part.notes)
            identities |= dict.fromkeys(part.by_identity)
    except (BenchmarkError, MethodError) as error:
        reason = error.what
    if reason:
        return PublishedCell(published, entry, reason=reason)
    display = next(plan.by_identity[i]["display"] for i in identities if plan.by_identity[i]["kind"] == "evaluate")
    return PublishedCell(published, entry, tuple(identities), provenance=display["provenance"])


def _runs(config: ReferenceConfig, published: Published, entry: str) -> Iterator[RunConfig]:
    """The runs whose tasks make up a cell. Where its number is the best on the test split, ours is scored so too."""
    known = published.architecture != "unknown" and config.architectures == ["auto"]
    shared = {
        "methods": [published.method],
        "datasets": [entry],
        "ipcs": [published.ipc or 1],
        "architectures": [published.architecture] if known else config.architectures,
        "method": {name: values for name, values in config.method.items() if name == published.method},
    }
    if published.method == "random":  # five subsets, which vary more than networks do
        yield config.run_config(**shared, num_eval=1)
    elif published.method == WHOLE_CARD.name:  # no paper says by which recipe
        yield config.run_config(
            **shared, protocols=[name for name in config.protocols if name != "native"] or ["dance"]
        )
    elif published.reported == BEST_ON_TEST and "native" in config.protocols:
        shared["snapshots"] = config.snapshots
        yield config.run_config(**shared, protocols=["native"], best_on_test=True)
        if others := [name for name in config.protocols if name != "native"]:
            yield config.run_config(**shared, protocols=others)
    else:
        yield config.run_config(**shared)


def leave_out_shipped(cells: Sequence[PublishedCell]) -> list[PublishedCell]:
    """The cells, where those whose records all come with the package have no tasks, but this reason."""
    shipped = {record["identity"] for record in reference.ReferenceStore().read().records.values()}
    reason = f"it comes with the package (store={reference.NAME})"
    return [
        replace(cell, tasks=(), reason=reason) if cell.tasks and shipped.issuperset(cell.tasks) else cell
        for cell in cells
    ]


def cheapest_first(
    plan: Plan, cells: Sequence[PublishedCell], seconds: Mapping[str, float], done: Collection[str]
) -> list[PublishedCell]:
    """The cells in the order of what their missing tasks take, each charged only those that no earlier one has.

    seconds: of tasks, by identity; cells with a task whose seconds are not known come last. The plan's tasks are put
    in the same order.
    """
    ordered: list[PublishedCell] = []
    covered, remaining = set(done), list(cells)
    while remaining:
        cell = min(remaining, key=lambda cell: remaining_seconds(cell, seconds, covered))  # the first of equal ones
        remaining.remove(cell)
        ordered.append(cell)
        covered |= set(cell.tasks)
    identities = dict.fromkeys(identity for cell in ordered for identity in cell.tasks)
    plan.by_identity = {identity: plan.by_identity[identity] for identity in identities}
    return ordered


def remaining_seconds(cell: PublishedCell, seconds: Mapping[str, float], done: Collection[str]) -> float:
    """What the tasks of a cell that are not done take; infinite if it is not known."""
    return sum(seconds.get(identity, float("inf")) for identity in cell.tasks if identity not in done)
