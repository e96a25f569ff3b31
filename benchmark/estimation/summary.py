"""How an estimate is shown: a table of like tasks, then device-hours, memory and disk in all."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence

import torch
from rich import box
from rich.table import Table

from benchmark.compute.engine import Compute
from benchmark.compute.environment import device_name
from benchmark.estimation.prober import EstimateRow, dataset_bytes
from benchmark.planning.grid import Plan
from results.store.schema import KINDS

GIB = 2**30
_COLUMNS = (
    *("Task", "Dataset", "IPC", "What", "Tasks", "To do", "Steps", "s / step", "One task", "To do takes"),
    "Memory GiB",
)
_WORDS = ("Task", "Dataset", "What")


def table(lines: Sequence[EstimateRow]) -> Table:
    """One row for each group of tasks that cost the same."""
    shown = Table(title="Estimate, from a few probed steps of each", box=box.SIMPLE_HEAD, title_justify="left",
                  padding=(0, 1, 0, 0))  # fmt: skip
    for name in _COLUMNS:
        shown.add_column(name, justify="left" if name in _WORDS else "right", no_wrap=True)
    for line, after in zip(lines, [*lines[1:], None], strict=True):
        probe = line.probe
        ipc = "all" if line.ipc is None and line.kind == "evaluate" else "" if line.ipc is None else str(line.ipc)
        what = f"{line.what} ({probe.note})" if probe.note else line.what
        speed = f"{probe.seconds:.3g}" if probe.steps and not math.isnan(probe.seconds) else "–"
        steps = "–" if probe.steps is None else f"{probe.steps:,}"
        memory = "–" if math.isnan(probe.memory) else f"{probe.memory / GIB:.2f}"
        shown.add_row(
            line.kind, line.dataset, ipc, what, f"{line.tasks:,}", f"{line.todo:,}", steps, speed,
            duration(probe.total), duration(line.hours * 3600), memory,
            end_section=after is not None and (after.kind, after.dataset) != (line.kind, line.dataset),
        )  # fmt: skip
    return shown


def summary(lines: Sequence[EstimateRow], planned: Plan, compute: Compute, workers: int) -> list[str]:
    """Device-hours by kind, the largest memory, and disk, in sentences."""
    resolved = {line.kind for line in lines}
    kinds = [kind for kind in KINDS if kind not in ("import", "analyze") or kind in resolved]
    hours = {kind: _sum(line.hours for line in lines if line.kind == kind) for kind in kinds}
    each = ", ".join(f"{kind} {duration(3600 * value)}" for kind, value in hours.items())
    where = f"{device_name(compute.device)}, {compute.threads} threads, {compute.precision}"
    total = duration(3600 * _sum(hours.values()))
    said = [f"device time for what is to do: {total} ({each}), one task at a time on {where}"]
    if workers > 1:
        said[-1] += f"; {workers} run at once, each slower than alone"
    if compute.compile is None:
        said.append("long tasks are compiled and take less than these probed steps say; compile=true probes that, too")
    said += _memory(lines, compute, workers)
    store = sum(line.todo * line.probe.disk for line in lines)
    data = sum(map(dataset_bytes, planned.outlines.values()))
    said.append(f"disk: {size(store)} in the store, {size(data)} for datasets that are not decoded yet")
    return said


def _memory(lines: Sequence[EstimateRow], compute: Compute, workers: int) -> list[str]:
    known = [line for line in lines if line.probe.memory > 0]
    if not known:
        return []
    most = max(known, key=lambda line: line.probe.memory)
    there = available(compute) / (workers if compute.device.type == "cpu" else 1)
    said = [f"peak memory of a task: up to {most.probe.memory / GIB:.2f} GiB ({_called(most)})"]
    if over := [line for line in known if line.probe.memory > there]:
        share = f"{there / GIB:.1f} GiB" + (f" for each of {workers} workers" if workers > 1 else "")
        named = "; ".join(map(_called, over[:3])) + (f" and {len(over) - 3} more" if len(over) > 3 else "")
        said.append(f"warning: more than this machine has ({share}): {named}")
    return said


def _called(line: EstimateRow) -> str:
    ipc = "" if line.ipc is None else f" ipc {line.ipc}"
    return f"{line.kind} {line.dataset}{ipc}, {line.what}"


def available(compute: Compute) -> float:
    """Bytes of memory that the device has in all."""
    if compute.device.type == "cuda":
        return float(torch.cuda.get_device_properties(compute.device).total_memory)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def duration(seconds: float) -> str:
    """ "–" when unknown, else "0.3 s", "45 s", "5.2 min", "3.4 h", "1,234 h"."""
    if math.isnan(seconds):
        return "–"
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            value = seconds / length
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def size(count: float) -> str:
    """Bytes in MiB or GiB."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.1f} MiB"


def _sum(values: Iterable[float]) -> float:
    """Of those that are known."""
    return math.fsum(value for value in values if not math.isnan(value))
