"""The losses of a task's steps: kept for its folder, thinned where there are many, and shown in TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.execution.work import StepProgress

MOST_ROWS = 2000


@dataclass
class LossHistory:
    """Losses by name after the first step and every `stride`-th one from there; the stride doubles as rows get many."""

    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    stride: int = 1

    def add(self, step: int, losses: dict[str, float]) -> None:
        if losses and (step - 1) % self.stride == 0:
            self.rows.append((step, losses))
            if len(self.rows) > MOST_ROWS:
                self.stride *= 2
                self.rows = [row for row in self.rows if (row[0] - 1) % self.stride == 0]

    def state(self) -> dict[str, Any]:
        """JSON values, for a checkpoint."""
        return {"rows": [list(row) for row in self.rows], "stride": self.stride}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> LossHistory:
        return cls([(int(step), dict(losses)) for step, losses in state["rows"]], int(state["stride"]))

    def to_csv(self) -> str:
        """A row a step: `step`, then a column for each loss that any step has."""
        names = list(dict.fromkeys(name for _, losses in self.rows for name in losses))
        text = io.StringIO()
        table = csv.DictWriter(text, ["step", *names], lineterminator="\n")
        table.writeheader()
        table.writerows({"step": step, **losses} for step, losses in self.rows)
        return text.getvalue()


@contextmanager
def tracked(progress: StepProgress, tracker: str, folder: Path) -> Iterator[StepProgress]:
    """`progress`, which with the tracker tensorboard also logs losses as scalars in a folder of their own.

    A resumed task replaces what follows its checkpoint.
    """
    writer: Any = None

    def logged(done: int, total: int, losses: dict[str, float]) -> None:
        nonlocal writer
        progress(done, total, losses)
        if writer is None:
            from torch.utils.tensorboard import SummaryWriter  # an optional package, which loads for seconds

            writer = SummaryWriter(str(folder), purge_step=done)
        for name, loss in losses.items():
            writer.add_scalar(name, loss, done)

    try:
        yield logged if tracker == "tensorboard" else progress
    finally:
        if writer is not None:
            writer.close()
