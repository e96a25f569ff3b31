"""Ranks and tests against random in one column of a table: one dataset, ipc, protocol and pair of networks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from results.aggregation.grouping import REFERENCE, is_demonstration, is_native, is_random, is_whole
from results.aggregation.options import DEFAULT, Options
from results.statistics.significance import ALPHA, holm, one_sided_p_value
from results.types import Cell

BEST, SECOND = "best", "second"
NOT_SIGNIFICANT, NOT_TESTED = "n.s.", "n.t."
MIN_FRACTION = 0.05  # of the full iterations; fewer show which method starts fast, not which ends well
_DIGITS = 9  # decimals of means (fractions) that are compared: far finer than one test image, coarser than rounding


def ranks_and_remarks(column: Sequence[Cell], options: Options = DEFAULT) -> list[tuple[str, str]]:
    """The rank and the significance remark of each row of one column; `options.highlight` chooses the rule of ranks."""
    rule = {"significance": significance_ranks, "mean": mean_ranks}.get(options.highlight)
    return list(zip(rule(column) if rule else [""] * len(column), significance_remarks(column), strict=True))


def ranks_and_remarks_by_row(
    columns: Iterable[Sequence[Cell]], options: Options = DEFAULT
) -> dict[int, tuple[str, str]]:
    """`ranks_and_remarks` of several columns by the id of the row."""
    return {
        id(row): rank_and_remark
        for column in columns
        for row, rank_and_remark in zip(column, ranks_and_remarks(column, options), strict=True)
    }


def significance_remarks(column: Sequence[Cell]) -> list[str]:
    """NOT_SIGNIFICANT, NOT_TESTED or "" for each row of one column of `cells.cells`.

    A method must be significantly better (`significance.one_sided_p_value`, Holm-corrected over the column's methods)
    than every random baseline there: plain subsets and mosaics of every factor. It is compared only with baselines of
    the same fraction of withheld training images, whose labels are hard or soft as its own are. Nothing is marked in a
    column without such a baseline, nor under `native`, where rows do not compare.
    """
    remarks = [""] * len(column)
    baselines = [row for row in column if row["sets"] and is_random(row["display_name"])]
    if not baselines or any(map(is_native, column)):
        return remarks
    methods = [index for index, row in enumerate(column) if row["sets"] and is_tested(row)]
    p_values = holm([_largest_p_value(column[index], baselines) for index in methods])
    for index, p in zip(methods, p_values, strict=True):
        remarks[index] = NOT_TESTED if math.isnan(p) else "" if p < ALPHA else NOT_SIGNIFICANT
    return remarks


def is_tested(row: Cell) -> bool:
    """Whether a row is a method that must be better than random; random itself need not, even if it is a method."""
    return bool(row["role"] == "method" and not is_random(row["display_name"]))


def _largest_p_value(row: Cell, baselines: Sequence[Cell]) -> float:
    """The largest p-value against a baseline of the same images and labels, nan if none can be tested."""
    same = [baseline for baseline in baselines if _trained_on(baseline) == _trained_on(row)]
    p_values = [one_sided_p_value(row["sample"], baseline["sample"]) for baseline in same]
    return max((p for p in p_values if not math.isnan(p)), default=math.nan)


def significance_ranks(column: Sequence[Cell]) -> list[str]:
    """BEST, SECOND or "" for each row of one column of `cells.cells`.

    Candidates are the rows with two or more scored sets, baselines such as random included, but neither the whole set
    nor reference rows; the ± of a single set is over networks. The row with the highest mean leads. Each other
    candidate is compared with it by `significance.one_sided_p_value`: is the leader better? The p-values are
    Holm-corrected over these comparisons, and rows that are not beaten at ALPHA are BEST as well. The same rule among
    the beaten rows gives SECOND. There are no ranks with fewer than two candidates, with candidates that all share the
    first place, nor in a column with a `no_rank_reason`. Rows with different fractions of withheld training images are
    ranked apart; so are those with hard and with soft labels, and tuned rows of each number of trials.
    `_proven` says what rows that are not better than random (`significance_remarks`) do to the ranks.

    What the rule does in special cases:
    - The test is paired over shared seeds; with fewer than two of them it is Welch's, on all sets of both. Rows that
      cannot be tested (nan) have the rank of the leader.
    - The leader is chosen on the data that then test it, so the level is not ALPHA: of two equal methods one is marked
      alone in 2·ALPHA of all cases, and of eight equal ones some are left out in about 18 % (5 seeds, simulated).
    - Equal ranks mean that the rows cannot be told apart, not that they are equally good: a row that varies much may
      be BEST although a row with a higher mean and little variation is not.
    - Of equal means (to rounding) the row with the smaller deviation leads, then the first name, so that the order of
      rows does not matter. A mean that equals the leader's is never beaten.
    - If differences do not vary, the means decide: a constant difference is significant, no difference is not.
    """
    ranks = [""] * len(column)
    if no_rank_reason(column):
        return ranks
    remarks = significance_remarks(column)
    for candidates in _comparable(column, _is_candidate):
        best, beaten = _split(column, candidates)
        if beaten:
            places = dict.fromkeys(best, BEST) | dict.fromkeys(_split(column, beaten)[0], SECOND)
            for index, rank in _proven(places, column, remarks).items():
                ranks[index] = rank
    return ranks


def _split(column: Sequence[Cell], candidates: Sequence[int]) -> tuple[list[int], list[int]]:
    """The candidates that lead and those that they beat."""
    leads = _leaders([column[index] for index in candidates])
    pairs = list(zip(candidates, leads, strict=True))
    return [index for index, leads in pairs if leads], [index for index, leads in pairs if not leads]


def _proven(places: Mapping[int, str], column: Sequence[Cell], remarks: Sequence[str]) -> dict[int, str]:
    """The places without those of rows that are not significantly better than random.

    A random baseline that shares such a row's place has none either: alone it would seem to be better than that row.
    If nobody is left in the first place, the column has no ranks.
    """
    unproven = {rank for index, rank in places.items() if remarks[index] == NOT_SIGNIFICANT}
    kept = {
        index: rank
        for index, rank in places.items()
        if remarks[index] != NOT_SIGNIFICANT and not (rank in unproven and is_random(column[index]["display_name"]))
    }
    return kept if BEST in kept.values() else {}


def mean_ranks(column: Sequence[Cell]) -> list[str]:
    """BEST for the rows of the highest mean of a column, SECOND for those of the next; "" for all others.

    The candidates are all scored rows but the whole set and reference rows, whatever their `no_rank_reason` and
    remarks: this rule is only used where it was asked for. Nothing is tested, so the order may be due to chance. There
    are no ranks where all means are equal.
    """
    ranks = [""] * len(column)
    for candidates in _comparable(column, lambda row: bool(row["sets"]) and _may_be_ranked(row)):
        means = sorted({_mean(column[index]) for index in candidates}, reverse=True)
        places = dict(zip(means, (BEST, SECOND), strict=False)) if len(means) > 1 else {}
        for index in candidates:
            ranks[index] = places.get(_mean(column[index]), "")
    return ranks


def _comparable(column: Sequence[Cell], is_candidate: Callable[[Cell], bool]) -> Iterator[list[int]]:
    """Indices of two or more candidates of the same images, labels and number of trials."""
    for kind in dict.fromkeys(map(_ranked_with, column)):
        same = [index for index, row in enumerate(column) if _ranked_with(row) == kind and is_candidate(row)]
        if len(same) > 1:
            yield same


def _trained_on(row: Cell) -> tuple[float, str]:
    """What rows must share to be compared: the fraction of withheld training images, and hard or soft labels."""
    return row["val_fraction"], row["labels"]


def _ranked_with(row: Cell) -> tuple[Any, ...]:
    """What rows must share to be ranked together: also the trials behind their settings, "" without tuning."""
    return *_trained_on(row), "" if pd.isna(row["trials"]) else int(row["trials"])


def no_rank_reason(column: Sequence[Cell]) -> str:
    """Why `significance_ranks` gives a column no ranks whatever its numbers are, "" if it may have some.

    native: each method is scored with its own protocol. demonstration: 8×8 digits. budget: a method among the
    candidates ran less than MIN_FRACTION of its iterations, or more than its fraction to reach a least number of steps.
    """
    if any(map(is_native, column)):
        return "native"
    if any(map(is_demonstration, column)):
        return "demonstration"
    methods = [row for row in column if _is_candidate(row) and row["role"] == "method"]
    too_few = any(row["iterations_fraction"] < MIN_FRACTION or row["raised_to_floor"] for row in methods)
    return "budget" if too_few else ""


def _is_candidate(row: Cell) -> bool:
    return bool(row["sets"] >= 2) and _may_be_ranked(row)


def _may_be_ranked(row: Cell) -> bool:
    """Whether a row is neither the whole set nor one that comes with the package."""
    return not is_whole(row) and row["role"] != REFERENCE


def _leaders(rows: Sequence[Cell]) -> list[bool]:
    """For each row, whether it has the highest mean or is not beaten by the row that has it."""
    if not rows:
        return []
    first = min(range(len(rows)), key=lambda index: _order(rows[index]))
    others = [index for index in range(len(rows)) if index != first]
    p_values = holm([_p_value_of_leader(rows[first], rows[index]) for index in others])
    beaten = {index for index, p in zip(others, p_values, strict=True) if p < ALPHA}
    return [index not in beaten for index in range(len(rows))]


def _p_value_of_leader(leader: Cell, other: Cell) -> float:
    """The p-value for "the leader's sets score higher than the other's"."""
    if _mean(leader) == _mean(other):
        return 1.0  # else a leader of the same mean could win on the seeds that they share
    return one_sided_p_value(leader["sample"], other["sample"])


def _order(row: Cell) -> tuple[Any, ...]:
    return -_mean(row), round(row["sd"], _DIGITS), row["display_name"], json.dumps(row["cell_spec"], sort_keys=True)


def _mean(row: Cell) -> float:
    return round(float(row["accuracy"]), _DIGITS)
