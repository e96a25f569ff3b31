"""The rows that a request asks for: methods with their settings, and the variants that a preset adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmark.config.shared_options import PlanConfig
from benchmark.planning import choices
from benchmark.planning.plan import WHOLE_CARD, Row, parse_row
from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.soft_labels import SoftLabels

NATIVE_NETWORK = "native"  # in `architectures`: the network of each method's own paper


def rows_by_architecture(
    architectures: Sequence[str], rows: Sequence[Row], side: int
) -> Iterator[tuple[str, list[Row]]]:
    """Each condensing network with its rows; `native` is that of each method's own paper for images of this side."""
    for architecture in architectures:
        if architecture != NATIVE_NETWORK:
            yield architecture, list(rows)
            continue
        by_network: dict[str, list[Row]] = {} if rows else {"auto": []}
        for row in rows:
            by_network.setdefault(registry.load(row.method).card.network(side), []).append(row)
        yield from by_network.items()


def requested_rows(config: PlanConfig) -> list[Row]:
    """The requested rows, then the variants of their methods that the preset adds."""
    rows = list(dict.fromkeys(parse_row(text) for text in config.methods))
    requested = {row.method for row in rows}
    for name, settings in config.method.items():
        registry.load(name)
        labels = {SoftLabels.card.name} if any(row.soft for row in rows) else set()
        if name not in requested and name not in labels | set(config.baselines) & {WHOLE_CARD.name}:
            raise BenchmarkError(
                f"settings for '{name}', which is not run", where=f"method.{name}", next=f"add it: methods=[…,{name}]"
            )
        for row in rows:
            if row.method == name:
                _refuse_conflicts(row, settings)
    variants = [replace(parse_row(text), variant=True) for text in config.variants]
    if config.settings != [choices.DEFAULT]:
        by_name = {name: "" if name == choices.DEFAULT else name for name in config.settings}
        rows = [replace(row, tuned=tuned) for row in rows for tuned in by_name.values()]
    return rows + [row for row in variants if row.method in requested]


def _refuse_conflicts(row: Row, options: Mapping[str, Any]) -> None:
    """Raise BenchmarkError if a row's own setting has another value among the options for all rows of its method."""
    for setting, value in row.overrides({}).items():
        if setting in options and str(options[setting]).lower() != str(value).lower():
            option = f"method.{row.method}.{setting}={options[setting]}"
            factor = setting == "factor"
            other = f"f{options[setting]}" if factor else f"{setting}:{options[setting]}"
            what = "different factors of one row" if factor else f"different values of {setting}"
            raise BenchmarkError(
                f"{row.name} and {option} ask for {what}",
                where=f"methods=[{row.name}] {option}",
                next=f"leave {option} away and name every row: methods=[{row.name},{row.method}@{other}]",
            )
