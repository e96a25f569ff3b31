"""What there is of each kind that packages can add to, and which package added it, from their metadata alone."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from benchmark import analyses, networks
from benchmark.config.report_options import TABLE_PLUG_INS
from benchmark.datasets import builtin
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.errors import MethodError
from methods.plug_ins import PlugInGroup, package_of
from results.aggregation.options import TABLES

KINDS: tuple[tuple[PlugInGroup, Iterable[str]], ...] = (
    (registry.PLUG_INS, registry.BUILT_IN),
    (builtin.PLUG_INS, builtin.BUILTIN),
    (protocols.PLUG_INS, (*protocols.BUILT_IN, protocols.NATIVE)),
    (networks.PLUG_INS, dict.fromkeys("convnetN" if head[:7] == "convnet" else head for head in networks.BUILT_IN)),
    (analyses.PLUG_INS, analyses.BUILT_IN),
    (TABLE_PLUG_INS, TABLES),
)


def kinds(width: int = 100) -> str:
    """A paragraph for each kind: the names of this project, then those of other packages, or what is wrong there."""
    return "\n".join(
        textwrap.fill(
            f"{group.group:<14} {_names(group, built_in)}",
            width,
            initial_indent="  ",
            subsequent_indent=" " * 17,
            break_on_hyphens=False,
        )
        for group, built_in in KINDS
    )


def _names(group: PlugInGroup, built_in: Iterable[str]) -> str:
    try:
        added = [f"{name} ({package_of(point)})" for name, point in sorted(group.points().items())]
    except (BenchmarkError, MethodError) as error:
        added = [str(error)]
    return "; ".join([", ".join(built_in), *added])
