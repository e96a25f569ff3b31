"""Fair scores after DD-Ranking: where a set stands between random images and the whole set. Pure.

Two differences from DD-Ranking, which every table tells: nothing is chosen on the test split, and accuracies are those
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
    condense_architecture,
    counterpart,
    groups,
    ipc,
    is_native,
    is_whole,
    protocol_of,
    rows_of,
)
from results.aggregation.naming import names, title
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import difference, spread
from results.statistics.dd_ranking import augmentation_position, improvement, label_position, recovery, scaled
from results.statistics.ranking import marks
from results.tables.captions import Columns, is_na, with_circumstances
from results.tables.model import Table
from results.types import Cell

HEADS = ("IPC", "Method", "Accuracy %", "HLR", "IOR", "LRS %", "Plain %", "ARS %")
_LRS, _ARS = 5, 7  # places among them
_SUFFIX = "@plain"
# fmt: off
COLUMNS = (
    "dataset", "condense_architecture", "architecture", "protocol", "recipe", "version", "ipc", "display_name", "role", "method",
    "factor", "val_fraction", "sets", "whole", "random", "accuracy", "random_plain", "accuracy_plain", "hlr", "ior",
    "lrs", "lrs_sd", "lrs_sd_networks", "lrs_sets", "lrs_missing",
    "ars", "ars_sd", "ars_sd_networks", "ars_sets", "ars_missing", "cell_spec",
)
# fmt: on


# --- what a cell is compared with -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """One score of one cell; `missing` says why there is none, else it is "".

    positions: α or β by seed, fractions. sd: over sets; sd_networks: over the networks of the only set; nan if unknown.
    """

    positions: Mapping[str, float]
    value: float = math.nan
    sd: float = math.nan
    sd_networks: float = math.nan
    missing: str = ""


@dataclass(frozen=True)
class _Compared:
    """A cell under a protocol, the same one without augmentation, and what both are compared with, where it exists."""

    cell: Cell
    whole: Cell | None
    random: Cell | None
    plain: Cell | None
    random_plain: Cell | None

    def label_robust(self) -> Score:
        if not self.cell["sets"]:
            return _none(self._failed())
        if self.whole is None:
            return _none(f"no whole set under {self.cell['protocol']} among what is shown: baselines=[random,whole]")
        if self.random is None:
            return _none(self._no_random(self.cell))
        whole, random = self.whole["accuracy"], self.random["accuracy"]
        return _score([self.cell], lambda synthetic: label_position(whole, random, synthetic))

    def augmentation_robust(self) -> Score:
        protocol = self.cell["protocol"]
        if not self.cell["sets"]:
            return _none(self._failed())
        if is_plain(self.cell):
            return _none(f"{protocol} augments and mixes nothing: there are no two accuracies to compare")
        if self.plain is None or not self.plain["sets"]:
            return _none(
                f"not under {protocol}{_SUFFIX} among what is shown: a run with robustness_scores=true evaluates there"
            )
        if self.random is None or self.random_plain is None:
            return _none(self._no_random(self.plain if self.random else self.cell))
        random, without = self.random["accuracy"], self.random_plain["accuracy"]
        return _score([self.cell, self.plain], lambda *both: augmentation_position(random, without, *both))

    def _failed(self) -> str:
        return str(self.cell["message"] or self.cell["status"])

    def _no_random(self, cell: Cell) -> str:
        return f"no Random at ipc {ipc(cell)} under {cell['protocol']}: baselines=[random,whole] shows it"


def _none(reason: str) -> Score:
    return Score({}, missing=reason)


def _score(parts: Sequence[Cell], position: Callable[..., float]) -> Score:
    """Each set's position from its mean accuracy in every part, then their mean score; the anchors are held fixed."""
    seeds = [seed for seed in parts[0]["accuracies"] if all(seed in part["accuracies"] for part in parts)]
    if not seeds:
        return _none("no set was evaluated both with and without augmentation")
    sets = {seed: position(*(fmean(part["accuracies"][seed]) for part in parts)) for seed in seeds}
    values = [scaled(found) for found in sets.values()]
    only = [part["accuracies"][seeds[0]] for part in parts] if len(seeds) == 1 else []
    networks = [scaled(position(*each)) for each in zip(*only, strict=False)]
    return Score(
        sets,
        fmean(values),
        stdev(values) if len(values) > 1 else math.nan,
        stdev(networks) if len(networks) > 1 else math.nan,
    )


def _compared(cells: pd.DataFrame) -> Iterator[list[_Compared]]:
    """The cells of one table each, the whole set last; a plain protocol stands beside the one it comes from."""
    rows = [row for row in rows_of(cells) if row["protocol"] and not is_native(row)]
    found = {_place(group): _Known(group) for group in groups(rows, lambda row: (row["dataset"], *_evaluated(row)))}
    beside = {_plain(place) for place in found}
    for place, known in found.items():
        if place not in beside:
            ordered = sorted(known.group, key=lambda row: math.inf if is_whole(row) else row["ipc"])  # stable
            yield [known.compared(row, found.get(_plain(place))) for row in ordered]


def _place(group: Sequence[Cell]) -> tuple[Any, ...]:
    """(condensing network, dataset, evaluation network, protocol, recipe, version) of one table's cells."""
    return condense_architecture(group), group[0]["dataset"], *_evaluated(group[0])


def _plain(place: tuple[Any, ...]) -> tuple[Any, ...]:
    *before, protocol, recipe, version = place
    return *before, protocol + _SUFFIX, recipe + _SUFFIX, version


def _evaluated(row: Cell) -> tuple[Any, ...]:
    return row["architecture"], *protocol_of(row)


class _Known:
    """The cells under one protocol, and which of them others are compared with.

    randoms: plain random subsets of as many stored images, whatever a row's factor: those are DD-Ranking's.
    """

    def __init__(self, group: Sequence[Cell]) -> None:
        self.group = group
        wholes = [row for row in group if is_whole(row)]
        self.wholes = [row for row in wholes if row["display_name"] == "whole"] or wholes
        self.randoms: dict[str, list[Cell]] = {}
        for row in group:
            if row["display_name"] == "random":
                self.randoms.setdefault(ipc(row), []).append(row)
        self.requests = {_request(row): row for row in group}

    def compared(self, row: Cell, beside: _Known | None) -> _Compared:
        """A cell of this protocol with what it is compared with here and under the plain one."""
        plain = beside.requests.get(_request(row)) if beside else None
        random_plain = beside.random(plain) if beside and plain else None
        return _Compared(row, counterpart(self.wholes, row), self.random(row), plain, random_plain)

    def random(self, row: Cell) -> Cell | None:
        return counterpart(self.randoms.get(ipc(row), []), row)


def _request(row: Cell) -> tuple[str, ...]:
    """All that was asked of a cell except the protocol."""
    spec = {key: value for key, value in row["cell_spec"].items() if not key.startswith("evaluation.protocol.")}
    return row["display_name"], ipc(row), json.dumps(spec, sort_keys=True)


def is_plain(row: Cell) -> bool:
    """Whether networks were trained with neither augmentation nor mixing."""
    recipe = {name: row["cell_spec"].get(f"evaluation.protocol.{name}") for name in ("augment", "cutmix")}
    return str(row["protocol"]).endswith(_SUFFIX) or (recipe["augment"] == "none" and not recipe["cutmix"])


# --- frame and tables -------------------------------------------------------------------------------------------------


def scores(cells: pd.DataFrame) -> pd.DataFrame:
    """The scores of `aggregate.cells` under shared protocols, one row a cell except the whole set; COLUMNS.

    All as fractions. whole, random, random_plain: mean accuracies it is compared with; accuracy_plain: its own under
    the plain protocol. *_sd: over condensation seeds, the anchors held fixed; *_sd_networks: over the networks of the
    only set. *_sets: how many sets stand behind a score. *_missing: why there is none, else "".
    """
    found = [_frame_row(one) for table in _compared(cells) for one in table if not is_whole(one.cell)]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _frame_row(one: _Compared) -> dict[str, Any]:
    cell, lrs, ars = one.cell, one.label_robust(), one.augmentation_robust()
    anchors = {"whole": one.whole, "random": one.random, "random_plain": one.random_plain}
    return (
        {name: cell[name] for name in COLUMNS if name in cell}
        | {name: _accuracy(anchor) for name, anchor in anchors.items()}
        | {"accuracy_plain": _accuracy(one.plain), "hlr": _hlr(one), "ior": _ior(one)}
        | _flat("lrs", lrs)
        | _flat("ars", ars)
    )


def _flat(name: str, score: Score) -> dict[str, Any]:
    deviations = {f"{name}_sd": score.sd, f"{name}_sd_networks": score.sd_networks}
    return {name: score.value, **deviations, f"{name}_sets": len(score.positions), f"{name}_missing": score.missing}


def _accuracy(cell: Cell | None) -> float:
    return float(cell["accuracy"]) if cell else math.nan


def _hlr(one: _Compared) -> float:
    return recovery(one.whole["accuracy"], one.cell["accuracy"]) if one.whole and one.cell["sets"] else math.nan


def _ior(one: _Compared) -> float:
    return improvement(one.cell["accuracy"], one.random["accuracy"]) if one.random and one.cell["sets"] else math.nan


def score_table(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """A table of scores for each dataset, condensing network, evaluation network and shared protocol.

    Only where a condensed set has a score. Ranks and n.s. are those of `ranking.marks` on the positions α and β, of
    which the scores are a rising function: for LRS they are those of the accuracy.
    """
    tables = []
    for found in _compared(cells):
        place = {id(row): at for at, row in enumerate(sorted_rows([one.cell for one in found], options))}
        compared = sorted(found, key=lambda one: place[id(one.cell)])
        scored = [(one.label_robust(), one.augmentation_robust()) for one in compared]
        if any(pair[0].positions or pair[1].positions for pair in scored):
            tables.append(_table(compared, scored, options))
    return tables


def _table(compared: Sequence[_Compared], scored: Sequence[tuple[Score, Score]], options: Options) -> Table:
    rows = [one.cell for one in compared]
    table = Table(", ".join([f"Scores: {rows[0]['dataset']}", *circumstances(rows)]), HEADS)
    columns = _columns(rows, scored)
    marked = {
        (row["place"], column): mark
        for (_, column), cells in columns.items()
        for row, mark in zip(cells, marks(cells, options), strict=True)
    }
    for place, (one, called, pair) in enumerate(zip(compared, names(rows), scored, strict=True)):
        texts = [ipc(one.cell), called, _percent(one.cell), _points(_hlr(one)), _points(_ior(one))]
        robust = []
        for column, score in zip((_LRS, _ARS), pair, strict=True):
            rank, doubt = marked.get((place, column), ("", ""))
            if rank:
                table.ranks[place, column] = rank
            robust.append("–" if is_whole(one.cell) else _score_text(score, one.cell, doubt, table))
        if is_whole(one.cell):
            texts[3:] = ["–", "–"]
        table.rows.append([*texts, robust[0], _percent(one.plain), robust[1]])
    table.captions = with_circumstances(rows, _about(compared), Columns(columns, _in_words, options.highlight))
    return table


def _columns(rows: Sequence[Cell], scored: Sequence[tuple[Score, Score]]) -> dict[tuple[str, int], list[Cell]]:
    """What competes: by ipc and column of the table, cells with positions in place of accuracies."""
    found: dict[tuple[str, int], list[Cell]] = {}
    for place, (row, pair) in enumerate(zip(rows, scored, strict=True)):
        if not is_whole(row):
            for column, score in zip((_LRS, _ARS), pair, strict=True):
                found.setdefault((ipc(row), column), []).append({**row, **_as_cell(score), "place": place})
    return found


def _as_cell(score: Score) -> dict[str, Any]:
    values = list(score.positions.values())
    deviation = stdev(values) if len(values) > 1 else math.nan
    mean = fmean(values) if values else math.nan
    return {"sample": score.positions, "sets": len(values), "accuracy": mean, "sd": deviation}


def _in_words(keys: Set[Hashable]) -> list[str]:
    return [f"ipc {', '.join(sorted({key[0] for key in keys if isinstance(key, tuple)}, key=int))}"]


def _points(fraction: float) -> str:
    return "–" if math.isnan(fraction) else difference(fraction)


def _percent(cell: Cell | None) -> str:
    return spread(cell["accuracy"], cell["sd"], cell["sd_networks"]) if cell and cell["sets"] else "–"


def _score_text(score: Score, cell: Cell, doubt: str, table: Table) -> str:
    if score.missing:
        return f"– ({table.notes.number(score.missing)})"
    sets = len(score.positions)
    gap = f"[{sets}/{cell['expected']}]" if sets < cell["expected"] else ""
    return " ".join(filter(None, [spread(score.value, score.sd, score.sd_networks), gap, doubt]))


def _about(compared: Sequence[_Compared]) -> list[str]:
    protocol = compared[0].cell["protocol"]
    whole = ", ".join(dict.fromkeys(title(one.whole) for one in compared if one.whole)) or "the whole set"
    factors: dict[int, list[str]] = {}
    for one in compared:
        if not is_na(one.cell["factor"]) and one.cell["factor"] > 1:
            factors.setdefault(int(one.cell["factor"]), []).append(title(one.cell))
    network = any(one.cell["sets"] == 1 for one in compared)
    lines = [
        f"HLR: accuracy of {whole} − the set's. IOR: the set's − the mean of Random at the same ipc. Both in points.",
        "LRS = (exp(α) − exp(−1)) / (exp(1) − exp(−1)) with α = (IOR − HLR) / 2 on fractions; ARS is the same of β, "
        f"the mean of IOR under {protocol} and under {protocol}{_SUFFIX} (column Plain: neither augmentation nor mixing"
        "). Both in percent: 26.9 where α or β is 0, as for a set that equals whole and random alike.",
        "Labels are hard: accuracies with hard labels and with a method's own, which DD-Ranking tells apart, are one.",
        "After DD-Ranking (arXiv:2505.13300), but at this protocol's lr and the last epoch: nothing is chosen on the "
        "test split. DD-Ranking takes the best epoch there, and the best of five lr; its numbers are not comparable.",
        "±: sample deviation over condensation seeds, the whole set and Random held at their means"
        + ("; † over the networks of the only set." if network else "."),
    ]
    for factor, rows in sorted(factors.items()):
        lines.append(
            f"Factor {factor} ({', '.join(dict.fromkeys(rows))}): an image stores {factor**2} small ones. Random is "
            "plain images of the same number whatever the factor, as in DD-Ranking; "
            f"Random@f{factor} has what mosaics gain without learning."
        )
    return lines
