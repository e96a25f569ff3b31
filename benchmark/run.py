"""The main job: condense, evaluate, store, and print the comparison.

python -m benchmark.run 'methods=[dance,dm]'
"""

from __future__ import annotations

from omegaconf import DictConfig

from benchmark.cli import main
from benchmark.cli.workflow import carry_through, finish
from benchmark.config.compose import parse


def run(composed: DictConfig) -> int:
    """Carry out one composed configuration; returns the exit status."""
    return carry_through(parse(composed), finish)


if __name__ == "__main__":
    main.launch(run, "run")
