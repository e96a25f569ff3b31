"""Label- and augmentation-robust scores after DD-Ranking: where a set is between random images and the whole set.

Two differences from DD-Ranking, which the captions name: nothing is chosen on the test split, and accuracies are those
of the last epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from results.aggregation.grouping import (
    circumstances,
    comparison_key,
    condense_architecture,
    counterpart,
    groups,
    ipc,
    is_native,
    is_whole,
    rows_of,
)
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.statistics.dd_ranking import (
    augmentation_position,
    hard_label_recovery,
    improvement_over_random,
    label_position,
    scaled,
)
from results.statistics.ranking import ranks_and_remarks
from results.tables.captions import RankedColumns, captions, describe_ipcs
from results.tables.cell_table import cell_table, table_rows
from results.tables.columns import spread_entry
from results.tables.model import Entry, Table
from results.types import Cell

_PLAIN_SUFFIX = "@plain"
COLUMNS = (
    *("dataset", "condense_architecture", "architecture", "protocol", "recipe", "version", "ipc", "display_name"),
    *("role", "method", "factor", "val_fraction", "sets", "whole", "random", "accuracy", "random_plain"),
    *("accuracy_plain", "hlr", "ior", "lrs", "lrs_sd", "lrs_sd_networks", "lrs_sets", "lrs_missing"),
    *("ars", "ars_sd", "ars_sd_networks", "ars_sets", "ars_missing", "cell_spec"),
)


# --- scores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RobustnessScore:
    """One score of one cell; `missing` says why there is none, else it is "".

    positions: α or β of each seed, as fractions. value: the mean score in [0, 1]. sd: over sets. sd_networks: over the
    networks of the only set. Unknown values are nan.
    """

    positions: Mapping[str, float]
    value: float = math.nan
    sd: float = math.nan
    sd_networks: float = math.nan
    missing: str = ""


@dataclass(frozen=True)
class _ScoredCell:
    """A cell, its counterpart under the plain protocol, and the cells that both are compared with; None if absent."""

    cell: Cell
    whole: Cell | None
    random: Cell | None
    plain: Cell | None
    random_plain: Cell | None

    def label_robust(self) -> RobustnessScore:
        """LRS."""
        if not self.cell["sets"]:
            return _no_score(self._failure())
        if self.whole is None:
            return _no_score(f"no whole set under {self.cell['protocol']} is shown: baselines=[random,whole] shows it")
        if self.random is None:
            return _no_score(_no_random(self.cell))
        whole, random = self.whole["accuracy"], self.random["accuracy"]
        return _score([self.cell], lambda synthetic: label_position(whole, random, synthetic))

    def augmentation_robust(self) -> RobustnessScore:
        """ARS."""
        protocol = self.cell["protocol"]
        if not self.cell["sets"]:
            return _no_score(self._failure())
        if is_plain(self.cell):
            return _no_score(f"{protocol} neither augments nor mixes images: there are no two accuracies to compare")
        if self.plain is None or not self.plain["sets"]:
            plain = f"{protocol}{_PLAIN_SUFFIX}"
            return _no_score(f"no accuracy under {plain} is shown: a run with robustness_scores=true evaluates there")
        if self.random is None or self.random_plain is None:
            return _no_score(_no_random(self.plain if self.random else self.cell))
        random, random_plain = self.random["accuracy"], self.random_plain["accuracy"]
        return _score([self.cell, self.plain], lambda *both: augmentation_position(random, random_plain, *both))

    def hard_label_recovery(self) -> float:
        """Hard-label recovery as a fraction, or nan."""
        if not self.whole or not self.cell["sets"]:
            return math.nan
        return hard_label_recovery(self.whole["accuracy"], self.cell["accuracy"])

    def improvement_over_random(self) -> float:
        """Improvement over random as a fraction, or nan."""
        if not self.random or not self.cell["sets"]:
            return math.nan
        return improvement_over_random(self.cell["accuracy"], self.random["accuracy"])

    def _failure(self) -> str:
        return str(self.cell["message"] or self.cell["status"])


def _no_random(cell: Cell) -> str:
    return f"no Random at ipc {ipc(cell)} under {cell['protocol']} is shown: baselines=[random,whole] shows it"


def _no_score(reason: str) -> RobustnessScore:
    return RobustnessScore({}, missing=reason)


def _score(cells: Sequence[Cell], position: Callable[..., float]) -> RobustnessScore:
    """The mean score over the sets that all `cells` have; what they are compared with is held fixed.

    position: from a set's mean accuracy in each of the cells.
    """
    seeds = [seed for seed in cells[0]["accuracies"] if all(seed in cell["accuracies"] for cell in cells)]
    if not seeds:
        return _no_score("no set was evaluated both with and without augmentation")
    positions = {seed: position(*(fmean(cell["accuracies"][seed]) for cell in cells)) for seed in seeds}
    values = [scaled(value) for value in positions.values()]
    only_set = [cell["accuracies"][seeds[0]] for cell in cells] if len(seeds) == 1 else []
    networks = [scaled(position(*accuracies)) for accuracies in zip(*only_set, strict=False)]
    return RobustnessScore(
        positions,
        fmean(values),
        stdev(values) if len(values) > 1 else math.nan,
        stdev(networks) if len(networks) > 1 else math.nan,
    )


def is_plain(row: Cell) -> bool:
    """Whether networks were trained with neither augmentation nor mixing."""
    recipe = {name: row["cell_spec"].get(f"evaluation.protocol.{name}") for name in ("augment", "cutmix")}
    return str(row["protocol"]).endswith(_PLAIN_SUFFIX) or (recipe["augment"] == "none" and not recipe["cutmix"])


# --- what a cell is compared with -------------------------------------------------------------------------------------


def _scored_cells(cells: pd.DataFrame) -> Iterator[list[_ScoredCell]]:
    """The cells of each table, the whole set last. A plain protocol has no table if that without "@plain" has one."""
    rows = [row for row in rows_of(cells) if row["protocol"] and not is_native(row)]
    protocols = {_protocol_key(group): _ProtocolCells(group) for group in groups(rows, comparison_key)}
    plain_keys = {_plain_key(key) for key in protocols}
    for key, cells_of_protocol in protocols.items():
        if key not in plain_keys:
            rows = sorted(cells_of_protocol.rows, key=lambda row: math.inf if is_whole(row) else row["ipc"])  # stable
            yield [cells_of_protocol.scored(row, protocols.get(_plain_key(key))) for row in rows]


def _protocol_key(rows: Sequence[Cell]) -> tuple[Any, ...]:
    """(condensing network, dataset, evaluation network, protocol, recipe, version) of the rows of one table."""
    return condense_architecture(rows), *comparison_key(rows[0])


def _plain_key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    *before, protocol, recipe, version = key
    return *before, protocol + _PLAIN_SUFFIX, recipe + _PLAIN_SUFFIX, version


class _ProtocolCells:
    """The rows under one protocol, and those among them that others are compared with.

    random: plain random subsets with as many stored images, whatever a row's factor, as in DD-Ranking.
    """

    def __init__(self, rows: Sequence[Cell]) -> None:
        self.rows = rows
        wholes = [row for row in rows if is_whole(row)]
        self._wholes = [row for row in wholes if row["display_name"] == "whole"] or wholes
        self._randoms = [row for row in rows if row["display_name"] in ("random", "random@soft")]
        self._by_spec = {_spec_without_protocol(row): row for row in rows}

    def scored(self, row: Cell, plain_protocol: _ProtocolCells | None) -> _ScoredCell:
        """The row with what it is compared with under this protocol and the plain one."""
        plain = plain_protocol._by_spec.get(_spec_without_protocol(row)) if plain_protocol else None
        random_plain = plain_protocol.random(plain) if plain_protocol and plain else None
        return _ScoredCell(row, counterpart(self._wholes, row), self.random(row), plain, random_plain)

    def random(self, row: Cell) -> Cell | None:
        """The random subsets at the row's ipc, with such labels as it has."""
        same = [one for one in self._randoms if (ipc(one), one["labels"]) == (ipc(row), row["labels"])]
        return counterpart(same, row)


def _spec_without_protocol(row: Cell) -> tuple[str, ...]:
    """The name, ipc and specification of a cell without the protocol."""
    spec = {key: value for key, value in row["cell_spec"].items() if not key.startswith("evaluation.protocol.")}
    return row["display_name"], ipc(row), json.dumps(spec, sort_keys=True)


# --- frame and tables -------------------------------------------------------------------------------------------------


def robustness_scores(cells: pd.DataFrame) -> pd.DataFrame:
    """The scores of `aggregation.cells` under shared protocols, one row for each but the whole set; COLUMNS.

    All values are fractions. whole, random, random_plain: the mean accuracies that a cell is compared with.
    accuracy_plain: its own under the plain protocol. *_sd: over condensation seeds. *_sd_networks: over the networks of
    the only set. *_sets: the number of sets behind a score. *_missing: why there is none, else "".
    """
    rows = [_frame_row(scored) for table in _scored_cells(cells) for scored in table if not is_whole(scored.cell)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _frame_row(scored: _ScoredCell) -> dict[str, Any]:
    references = {"whole": scored.whole, "random": scored.random, "random_plain": scored.random_plain}
    return (
        {name: scored.cell[name] for name in COLUMNS if name in scored.cell}
        | {name: _accuracy(cell) for name, cell in references.items()}
        | {
            "accuracy_plain": _accuracy(scored.plain),
            "hlr": scored.hard_label_recovery(),
            "ior": scored.improvement_over_random(),
        }
        | _score_columns("lrs", scored.label_robust())
        | _score_columns("ars", scored.augmentation_robust())
    )


def _score_columns(name: str, score: RobustnessScore) -> dict[str, Any]:
    deviations = {f"{name}_sd": score.sd, f"{name}_sd_networks": score.sd_networks}
    return {name: score.value, **deviations, f"{name}_sets": len(score.positions), f"{name}_missing": score.missing}


def _accuracy(cell: Cell | None) -> float:
    return float(cell["accuracy"]) if cell else math.nan


def robustness_score_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """A table of scores for each dataset, condensing network, evaluation network and shared protocol.

    Only where a condensed set has a score. Ranks and n.s. are those of `statistics.ranking` on the positions α and β,
    with which the scores rise: for LRS they are those of the accuracy.
    """
    tables = []
    for scored_cells in _scored_cells(cells):
        rows = sorted_rows([scored.cell for scored in scored_cells], options)
        order = {id(row): index for index, row in enumerate(rows)}
        ordered = sorted(scored_cells, key=lambda scored: order[id(scored.cell)])
        scores = [(scored.label_robust(), scored.augmentation_robust()) for scored in ordered]
        if any(score.positions for pair in scores for score in pair):
            tables.append(_table(ordered, scores, options))
    return tables


def _table(
    scored_cells: Sequence[_ScoredCell], scores: Sequence[tuple[RobustnessScore, RobustnessScore]], options: Options
) -> Table:
    cells = [scored.cell for scored in scored_cells]
    columns = _columns(cells, scores)
    marks = {
        (cell["index"], column): mark
        for (_, column), ranked in columns.items()
        for cell, mark in zip(ranked, ranks_and_remarks(ranked, options), strict=True)
    }
    rows = []
    for index, (row, scored, pair) in enumerate(zip(table_rows(cells, options), scored_cells, scores, strict=True)):
        entries: dict[str, Any] = {"hlr": None, "ior": None, "lrs": None, "ars": None, "plain": _plain(scored.plain)}
        if not is_whole(scored.cell):
            entries |= {"hlr": scored.hard_label_recovery(), "ior": scored.improvement_over_random()}
            entries |= {
                name: _entry(score, scored.cell, marks.get((index, name), ("", "")))
                for name, score in zip(("lrs", "ars"), pair, strict=True)
            }
        rows.append({**row, **entries})
    title = ", ".join([f"Robustness scores: {cells[0]['dataset']}", *circumstances(cells)])
    ranked_columns = RankedColumns(columns, _describe_columns, options.highlight)
    return cell_table("robustness_scores", title, rows, captions(cells, ranked_columns), options)


def _columns(
    rows: Sequence[Cell], scores: Sequence[tuple[RobustnessScore, RobustnessScore]]
) -> dict[tuple[str, str], list[Cell]]:
    """By ipc and column of the table, the cells to rank, with positions in place of accuracies."""
    columns: dict[tuple[str, str], list[Cell]] = {}
    for index, (row, pair) in enumerate(zip(rows, scores, strict=True)):
        if not is_whole(row):
            for column, score in zip(("lrs", "ars"), pair, strict=True):
                columns.setdefault((ipc(row), column), []).append({**row, **_as_cell(score), "index": index})
    return columns


def _as_cell(score: RobustnessScore) -> dict[str, Any]:
    positions = list(score.positions.values())
    deviation = stdev(positions) if len(positions) > 1 else math.nan
    mean = fmean(positions) if positions else math.nan
    return {"sample": score.positions, "sets": len(positions), "accuracy": mean, "sd": deviation}


def _describe_columns(keys: Set[Hashable]) -> list[str]:
    return describe_ipcs({key[0] for key in keys if isinstance(key, tuple)})


def _plain(cell: Cell | None) -> Entry:
    return spread_entry(cell["accuracy"], cell["sd"], cell["sd_networks"]) if cell and cell["sets"] else Entry()


def _entry(score: RobustnessScore, cell: Cell, rank_and_remark: tuple[str, str]) -> Entry:
    if score.missing:
        return Entry(notes=(score.missing,))
    (rank, remark), sets = rank_and_remark, len(score.positions)
    words = " ".join(filter(None, [f"[{sets}/{cell['expected']}]" if sets < cell["expected"] else "", remark]))
    return spread_entry(score.value, score.sd, score.sd_networks, rank=rank, words=words)
