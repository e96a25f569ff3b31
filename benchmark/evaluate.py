"""Evaluating a synthetic set made anywhere: released files, pictures, or a set of this project.

python -m benchmark.evaluate set=res_DSA_CIFAR10_ConvNet_10ipc.pt dataset=cifar10 'protocols=[dsa]' method=dsa
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.cli import main, sweep
from benchmark.config.compose import parse_as
from benchmark.config.schema import EvaluateConfig


def evaluate(composed: Mapping[str, Any]) -> int:
    """Carry out one composed configuration; returns the exit status."""
    from benchmark.cli import workflow  # these load torch, which --help does without
    from benchmark.cli.progress import LoadingProgress, open_console
    from benchmark.cli.quantization import quantization_losses
    from benchmark.planning import external_sets

    config, console = parse_as(EvaluateConfig, composed), open_console()
    with LoadingProgress(console) as reading:
        external = external_sets.build(config, reading)
    console.print("\n".join(external.description), markup=False, highlight=False)
    status = workflow.run_here(external.plan, external.run, console, workflow.show_comparison)
    if not config.dry_run:
        for line in quantization_losses(external, config.store):
            console.print(line, markup=False, highlight=False)
    return status


if __name__ == "__main__":
    main.launch(evaluate, "evaluate", sweep.show)
