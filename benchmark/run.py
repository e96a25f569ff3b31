"""The main command: condense, evaluate, store, and print the comparison.

python -m benchmark.run 'methods=[dance,dm]'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.cli import main, sweep
from benchmark.config.compose import parse


def run(composed: Mapping[str, Any]) -> int:
    """Carry out one composed configuration; returns the exit status."""
    from benchmark.cli.workflow import plan_and_run, show_comparison  # loads torch, which --help does without

    return plan_and_run(parse(composed), show_comparison)


if __name__ == "__main__":
    main.launch(run, "run", sweep.show)
