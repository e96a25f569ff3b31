"""How an estimate is shown: a table of its rows, then device time, memory and disk of the whole plan."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence

import torch
from rich import box
from rich.table import Table

from benchmark import datasets
from benchmark.compute.engine import Compute
from benchmark.compute.environment import device_name
from benchmark.datasets import Outline
from benchmark.estimation.estimate import EstimateRow
from benchmark.planning.plan import Plan
from results.formatting import duration, size
from results.store.schema import KINDS

GIB = 2**30
_TEXT_COLUMNS = ("Task", "Dataset", "What")
_COLUMNS = (
    *("Task", "Dataset", "IPC", "What", "Tasks", "To do", "Steps", "s / step", "One task", "To do takes"),
    "Memory GiB",
)


def table(rows: Sequence[EstimateRow]) -> Table:
    """One row for each group of tasks with the same cost; the last columns show "–" for what is not known."""
    shown = Table(title="Estimate, from a few probed steps of each", box=box.SIMPLE_HEAD, title_justify="left",
                  padding=(0, 1, 0, 0))  # fmt: skip
    for name in _COLUMNS:
        shown.add_column(name, justify="left" if name in _TEXT_COLUMNS else "right", no_wrap=True)
    for row, next_row in zip(rows, [*rows[1:], None], strict=True):
        cost = row.cost
        shown.add_row(
            row.kind,
            row.dataset,
            "all" if row.ipc is None and row.kind == "evaluate" else "" if row.ipc is None else str(row.ipc),
            f"{row.description} ({cost.note})" if cost.note else row.description,
            f"{row.tasks:,}",
            f"{row.todo:,}",
            "–" if cost.steps is None else f"{cost.steps:,}",
            f"{cost.step_seconds:.3g}" if cost.steps and not math.isnan(cost.step_seconds) else "–",
            duration(cost.seconds),
            duration(row.hours * 3600),
            "–" if math.isnan(cost.memory) else f"{cost.memory / GIB:.2f}",
            end_section=next_row is not None and (next_row.kind, next_row.dataset) != (row.kind, row.dataset),
        )
    return shown


def totals(
    rows: Sequence[EstimateRow], plan: Plan, compute: Compute, workers: int, job_memory: float | None = None
) -> list[str]:
    """Device time by kind, the largest memory with a warning where it exceeds what there is, and disk; a line each.

    job_memory: bytes that the tasks of a job have together, where they are fewer than the machine's.
    """
    planned_kinds = {row.kind for row in rows}
    kinds = [kind for kind in KINDS if kind not in ("whiten", "import", "label", "analyze") or kind in planned_kinds]
    hours = {kind: _known_sum(row.hours for row in rows if row.kind == kind) for kind in kinds}
    by_kind = ", ".join(f"{kind} {duration(3600 * value)}" for kind, value in hours.items())
    device = f"{device_name(compute.device)}, {compute.threads} threads, {compute.precision}"
    total = duration(3600 * _known_sum(hours.values()))
    lines = [f"device time of tasks that are not done: {total} ({by_kind}), one task at a time on {device}"]
    if workers > 1:
        lines[-1] += f"; {workers} run at once, each slower than alone"
    if compute.compile is None:
        lines.append("long tasks will be compiled and take less than these probed steps; compile=true probes that, too")
    lines += _memory_lines(rows, compute, workers, job_memory)
    store_bytes = sum(row.todo * row.cost.disk for row in rows)
    data_bytes = sum(map(_dataset_bytes, plan.outlines.values()))
    lines.append(f"disk: {size(store_bytes)} in the store, {size(data_bytes)} for datasets that are not decoded yet")
    return lines


def _memory_lines(rows: Sequence[EstimateRow], compute: Compute, workers: int, job_memory: float | None) -> list[str]:
    known = [row for row in rows if row.cost.memory > 0]
    if not known:
        return []
    largest = max(known, key=lambda row: row.cost.memory)
    lines = [f"peak memory of a task: up to {size(largest.cost.memory)} ({_row_name(largest)})"]
    on_cpu = compute.device.type == "cpu"  # else there is one worker for each GPU
    whose, all_memory = ("a job", job_memory) if on_cpu and job_memory else ("this machine", total_memory(compute))
    per_task = all_memory / (workers if on_cpu else 1)
    if too_large := [row for row in known if row.cost.memory > per_task]:
        available = size(per_task) + (f" for each of {workers} workers" if workers > 1 else "")
        names = "; ".join(map(_row_name, too_large[:3]))
        more = f" and {len(too_large) - 3} more" if len(too_large) > 3 else ""
        lines.append(f"warning: more than {whose} has ({available}): {names}{more}")
    return lines


def _row_name(row: EstimateRow) -> str:
    ipc = "" if row.ipc is None else f" ipc {row.ipc}"
    return f"{row.kind} {row.dataset}{ipc}, {row.description}"


def total_memory(compute: Compute) -> float:
    """Bytes of memory that the device has in all."""
    if compute.device.type == "cuda":
        return float(torch.cuda.get_device_properties(compute.device).total_memory)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _known_sum(values: Iterable[float]) -> float:
    """The sum of values that are not nan."""
    return math.fsum(value for value in values if not math.isnan(value))


def _dataset_bytes(outline: Outline) -> int:
    """Bytes that downloading and decoding a dataset still takes on disk; 0 for one that is decoded or a folder."""
    key = datasets.key_of(outline.name)
    if outline.seen or key is None:
        return 0
    card = datasets.card_of(key)
    return card.download + card.decoded_bytes
