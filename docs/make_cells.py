"""Write docs/results/cells.md: every cell of the DANCE paper's tables with its published and measured number and cost.

python docs/make_cells.py STORE [MINUTES]

A few steps of each kind of task are probed on this machine, with random images where a dataset is not there, and kept
in STORE, so that a second call goes on: small images and sets first, at most MINUTES. Run it while the machine has
nothing else to do.
"""

from __future__ import annotations

import argparse
import datetime
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from make_reference import markdown_table

from benchmark import networks
from benchmark.cli.progress import LoadingProgress, open_console
from benchmark.compute.engine import Compute, choose_compute
from benchmark.compute.environment import device_name
from benchmark.config.schema import ReferenceConfig
from benchmark.estimation import stored_seconds
from benchmark.execution.runtime import Task
from benchmark.planning.plan import Plan
from benchmark.planning.published_cells import PublishedCell, plan_cells
from benchmark.utils import seeding
from results.aggregation.cells import cells as aggregated
from results.formatting import duration, percent
from results.store import reference
from results.store.read_all import read_all
from results.tables.columns import PRINTED, published_entry
from results.tables.model import number_text

PAGE = Path(__file__).parent / "results/cells.md"
GPU_RATE = 10e12  # operations a second of an A100 that trains ConvNet-3, by the seconds in NCFM's Table 3
FORWARD = 0.101e9  # operations of ConvNet-3 for an image of CIFAR-10; a training step has three times as many
BATCH = 256
HEADERS = ("Table", "Dataset", "IPC", "Method", "Published %", "Measured %", "Settings", "Here", "A100, predicted")

INTRO = """\
# Cells of the DANCE paper

<!-- written by docs/make_cells.py -->

Every number that Tables 1 and 2 of the DANCE paper print, with what the suite takes to measure it: one set, condensed
with all iterations, and five networks under each of the protocols `native` and `dance` (`random`: five subsets, one
network each; `whole`: `dance` alone). A cell is charged with its experts, also where other cells share them.

- **Measured**: the shipped result under `native` ([full budgets](full-budgets.md)); – where there is none yet.
- **Settings**: the weakest provenance of the cell's settings. Those marked `ours` have a value that neither paper nor
  code names; [methods](../methods.md) says which. {ours} of {count} cells.
- **Here**: predicted from a few steps that are not compiled: {device}, {threads} threads, {precision}, on {date}.
  Long tasks are compiled when they run and take less.
- **A100, predicted**: the same work at {gpu:.0f} TFLOP/s, where training a ConvNet-3 reaches {here:.2f} TFLOP/s here.
  Nothing was run on a GPU. Sets of one image a class keep a GPU waiting, so there the number is a lower bound.

```bash
python -m benchmark.reference dry_run=true

python -m benchmark.reference store=PATH data_root=data 'methods=[dm]' 'datasets=[fashionmnist]' minutes=60
```

The first command prints such a list for your machine, the second measures cells of it. – in the last columns: not
probed yet ({known} of {count} cells are).
"""


def training_rate(compute: Compute) -> float:
    """Operations a second of a training step of ConvNet-3 on 256 images of CIFAR-10's shape: the median of ten."""
    network = networks.build("convnet3", (3, 32, 32), 10, seeding.generator("rate")).requires_grad_(False)
    images, labels = torch.randn(BATCH, 3, 32, 32), torch.zeros(BATCH, dtype=torch.int64)
    seconds = []
    for _ in range(12):
        start = time.perf_counter()
        compute.training_gradients(network, images, labels)
        seconds.append(time.perf_counter() - start)
    return 3 * FORWARD * BATCH / statistics.median(seconds[2:])


def measured() -> dict[tuple[str, str, int | None], str]:
    """The accuracies of the shipped results under `native`, by method, dataset and ipc."""
    found = aggregated(read_all(reference.NAME).records)
    native = found[(found["protocol"] == "native") & (found["method"] == found["display_name"])]
    return {
        (row["method"], row["published_as"], row["ipc"]): f"{percent(row['accuracy'])} ± {percent(_spread(row))}"
        for _, row in native.iterrows()
    }


def _spread(row: Mapping[Any, Any]) -> float:
    return row["sd_networks"] if math.isnan(row["sd"]) else row["sd"]


def _size(task: Task, plan: Plan) -> tuple[int, int]:
    """Values of an image, and images of a class; experts, which several sets need, come before these."""
    outline = plan.outlines[task["display"]["dataset"]]
    return math.prod(outline.image_shape), task["display"].get("ipc") or 0


def rows(
    cells: Sequence[PublishedCell], seconds: Mapping[str, float | None], speedup: float
) -> Iterator[Sequence[str]]:
    """A row of HEADERS for each cell."""
    accuracies = measured()
    for cell in cells:
        published = cell.published
        known = seconds.keys() >= set(cell.tasks)
        of_tasks = [seconds.get(identity) for identity in cell.tasks]
        here = math.fsum(value for value in of_tasks if value is not None)
        fits = None not in of_tasks
        yield (
            published.table.removeprefix("Table "),
            cell.dataset,
            "all" if published.ipc is None else f"{published.ipc}",
            published.title,
            number_text(PRINTED, published_entry(published)),
            accuracies.get((published.method, published.dataset, published.ipc), "–"),
            cell.provenance,
            ("–" if not known else "more memory") if not fits else duration(here),
            duration(here / speedup) if fits else "–",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("minutes", type=float, nargs="?", default=math.inf)
    arguments = parser.parse_args()
    config = ReferenceConfig(dry_run=True, store=str(arguments.store))
    compute, _ = choose_compute("cpu", config.precision, None, 1)
    compute.activate()
    rate = training_rate(compute)
    with LoadingProgress(open_console()) as progress:
        plan, cells = plan_cells(config, progress)
        small_first = sorted(plan.tasks, key=lambda task: _size(task, plan))
        identities = [task["identity"] for task in small_first]
        until = time.monotonic() + 60 * arguments.minutes
        found = stored_seconds.task_seconds(
            plan, identities, compute, arguments.store, progress, until=until, write=True
        )
    facts = {
        "ours": sum(cell.provenance == "ours" for cell in cells),
        "count": len(cells),
        "device": device_name(compute.device),
        "threads": compute.threads,
        "precision": compute.precision,
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        "gpu": GPU_RATE / 1e12,
        "here": rate / 1e12,
        "known": sum(found.keys() >= set(cell.tasks) for cell in cells),
    }
    table = markdown_table(HEADERS, rows(cells, found, GPU_RATE / rate))
    PAGE.write_text(f"{INTRO.format(**facts)}\n{table}")


if __name__ == "__main__":
    main()
