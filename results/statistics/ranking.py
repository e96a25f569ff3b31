"""Who is best, and who is better than random, in one column: one dataset, ipc, protocol and pair of networks. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from results.aggregation.grouping import is_demonstration, is_native, is_random, is_whole
from results.aggregation.options import DEFAULT, Options
from results.statistics.significance import ALPHA, better_than, holm
from results.types import Cell

BEST, SECOND = "best", "second"
NOT_SIGNIFICANT, NOT_TESTED = "n.s.", "n.t."
LEAST_FRACTION = 0.05  # of a paper's iterations; below it numbers tell who starts fast, not who ends well
_DIGITS = 9  # decimals to which means (fractions) are told apart: far below one test image, above rounding


def marks(column: Sequence[Cell], options: Options = DEFAULT) -> list[tuple[str, str]]:
    """The rank and the doubt (`doubts`) of each row of one column; `options.highlight` says which rule ranks."""
    ranks = {"significance": places, "mean": highest, "none": _unranked}[options.highlight](column)
    return list(zip(ranks, doubts(column), strict=True))


def marked(columns: Iterable[Sequence[Cell]], options: Options = DEFAULT) -> dict[int, tuple[str, str]]:
    """`marks` of several columns, by the id of the row."""
    return {id(row): mark for column in columns for row, mark in zip(column, marks(column, options), strict=True)}


def _unranked(column: Sequence[Cell]) -> list[str]:
    return [""] * len(column)


def doubts(column: Sequence[Cell]) -> list[str]:
    """NOT_SIGNIFICANT, NOT_TESTED or "" for each row of one column of `aggregate.cells`.

    A method must be significantly better (`significance.better_than`, Holm-corrected over the methods of the column)
    than every random control there: plain subsets and mosaics of every factor. Controls with another fraction of the
    training images withheld are none of its own. Without any control in the column, and under `native`, where rows do
    not compare, nothing is marked.
    """
    found = [""] * len(column)
    controls = [row for row in column if row["sets"] and is_random(row["display_name"])]
    if not controls or any(map(is_native, column)):
        return found
    methods = [place for place, row in enumerate(column) if row["sets"] and is_tested(row)]
    p_values = holm([_against(column[place], controls) for place in methods])
    for place, p in zip(methods, p_values, strict=True):
        found[place] = NOT_TESTED if math.isnan(p) else "" if p < ALPHA else NOT_SIGNIFICANT
    return found


def is_tested(row: Cell) -> bool:
    """Whether a row is a method that must beat random; random itself need not, even where it was asked for."""
    return bool(row["role"] == "method" and not is_random(row["display_name"]))


def _against(row: Cell, controls: Sequence[Cell]) -> float:
    """The largest p-value against any control of the same training images: better than random means than each."""
    same = [control for control in controls if control["val_fraction"] == row["val_fraction"]]
    found = [better_than(row["sample"], control["sample"]) for control in same]
    return max((p for p in found if not math.isnan(p)), default=math.nan)


def places(column: Sequence[Cell]) -> list[str]:
    """BEST, SECOND or "" for each row of one column of `aggregate.cells`.

    Candidates are the rows with two or more scored sets, controls such as random included; the whole set and a row
    with a single set (its ± is over networks, marked †) are none. The highest mean leads. Every other candidate is
    compared with the leader by `significance.better_than`, one-sided: is the leader better? The p-values are
    Holm-corrected over these comparisons, and whoever is not beaten at ALPHA shares BEST with the leader. The same
    rule among those that were beaten gives SECOND. With fewer than two candidates nothing is marked, and nothing in a
    column that is `barred`. Rows with unequal fractions of the training images withheld are never compared: each
    fraction is ranked by itself.

    What the rule does where it is not obvious:
    - Seeds. The test is paired over shared seeds; with fewer than two of them it is Welch's, on all sets of both. What
      cannot be tested at all (nan) shares the place.
    - The leader is chosen on the data that then test it, so the level is not ALPHA: of two equal methods one is marked
      alone in 2·ALPHA of all cases, and of eight equal ones somebody is left out in about 18 % (5 seeds, simulated).
    - Sharing a place means "not told apart", not "as good": a row that varies much may share BEST although a row with
      a higher mean and little variation does not.
    - Equal means (to rounding): the row with the smaller deviation leads, then the first name, so that the order of
      rows never matters. A mean that equals the leader's is never beaten.
    - No variation of the differences: the means decide. A constant gap is a difference, no gap is none.
    """
    marks = [""] * len(column)
    if barred(column):
        return marks
    for ours in _comparable(column):
        best = _leaders([column[place] for place in ours])
        rest = [place for place, leads in zip(ours, best, strict=True) if not leads]
        second = _leaders([column[place] for place in rest])
        for place, leads in zip(ours, best, strict=True):
            marks[place] = BEST if leads else ""
        for place, leads in zip(rest, second, strict=True):
            marks[place] = SECOND if leads else ""
    return marks


def highest(column: Sequence[Cell]) -> list[str]:
    """BEST for the highest mean of a column and whoever equals it, SECOND for the next; "" for all others.

    Among the same candidates as `places`, and in no column that is `barred`: without a test, so that the order may be
    chance.
    """
    found = [""] * len(column)
    if barred(column):
        return found
    for ours in _comparable(column):
        means = sorted({_mean(column[place]) for place in ours}, reverse=True)
        for place in ours:
            found[place] = dict(zip(means, (BEST, SECOND), strict=False)).get(_mean(column[place]), "")
    return found


def _comparable(column: Sequence[Cell]) -> Iterator[list[int]]:
    """Places of two or more candidates with the same fraction of the training images withheld."""
    for share in dict.fromkeys(row["val_fraction"] for row in column):
        ours = [place for place, row in enumerate(column) if row["val_fraction"] == share and _is_candidate(row)]
        if len(ours) > 1:
            yield ours


def barred(column: Sequence[Cell]) -> str:
    """Why no order is drawn in a column whatever its numbers are, "" when it is.

    native: each method stands on a protocol of its own. demonstration: 8×8 digits. budget: a method among the
    candidates ran less than LEAST_FRACTION of its paper's iterations.
    """
    if any(map(is_native, column)):
        return "native"
    if any(map(is_demonstration, column)):
        return "demonstration"
    methods = [row for row in column if _is_candidate(row) and row["role"] == "method"]
    return "budget" if any(row["iterations_fraction"] < LEAST_FRACTION for row in methods) else ""


def _is_candidate(row: Cell) -> bool:
    return bool(row["sets"] >= 2) and not is_whole(row)


def _leaders(rows: Sequence[Cell]) -> list[bool]:
    """For each row: does it lead, or is it not beaten by the one that does?"""
    if not rows:
        return []
    first = min(range(len(rows)), key=lambda place: _order(rows[place]))
    others = [place for place in range(len(rows)) if place != first]
    p_values = holm([_beats(rows[first], rows[place]) for place in others])
    beaten = {place for place, p in zip(others, p_values, strict=True) if p < ALPHA}
    return [place not in beaten for place in range(len(rows))]


def _beats(leader: Cell, other: Cell) -> float:
    if _mean(leader) == _mean(other):
        return 1.0  # else a leader of the same mean could win on the seeds that they share
    return better_than(leader["sample"], other["sample"])


def _order(row: Cell) -> tuple[Any, ...]:
    return -_mean(row), round(row["sd"], _DIGITS), row["display_name"], json.dumps(row["cell_spec"], sort_keys=True)


def _mean(row: Cell) -> float:
    return round(float(row["accuracy"]), _DIGITS)
