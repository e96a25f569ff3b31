"""Choose settings of methods on withheld training images, then run them on all images beside the methods' own.

python -m benchmark.tune 'methods=[dm,dance]' trials=20
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.cli import main, sweep
from benchmark.config.compose import parse_as
from benchmark.config.schema import TuneConfig


def tune(composed: Mapping[str, Any]) -> int:
    """Carry out one composed configuration; returns the exit status."""
    from benchmark.cli.tuning import choose_and_run  # these load torch, which --help does without
    from benchmark.cli.workflow import plan_and_run
    from benchmark.planning import tuning

    return plan_and_run(parse_as(TuneConfig, composed), choose_and_run, build=tuning.build)


if __name__ == "__main__":
    main.launch(tune, "tune", sweep.show)
