"""Run the cells of the DANCE paper's tables at full budgets, the cheapest missing ones first, some minutes at a time.

python -m benchmark.reference store=PATH
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from benchmark.cli import main
from benchmark.config.compose import parse_as
from benchmark.config.schema import ReferenceConfig
from benchmark.utils import stopping
from benchmark.utils.stopping import TIME_LIMIT, Stopped

CHECKPOINT_SHARE = 0.1  # of the minutes: what is left for the last step and its checkpoint


def reference(composed: Mapping[str, Any]) -> int:
    """Carry out one composed configuration; returns the exit status."""
    start = time.monotonic()
    config = parse_as(ReferenceConfig, composed)
    if config.dry_run:
        return _run(config, start)
    try:
        with stopping.time_limit(60 * config.minutes * (1 - CHECKPOINT_SHARE)):
            return _run(config, start)
    except Stopped as stopped:
        if stopped.number != TIME_LIMIT:
            raise
        text = f"\n{config.minutes:g} minutes are over; the same command continues from here (status {main.CONTINUE})"
        print(text)  # noqa: T201 -- a command speaks
        return main.CONTINUE


def _run(config: ReferenceConfig, start: float) -> int:
    from benchmark.cli.reference_cells import run_cells  # loads torch, which --help does without

    return run_cells(config, start)


if __name__ == "__main__":
    main.launch(reference, "reference")
