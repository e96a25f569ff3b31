"""Where the accuracies of one cell vary: between condensed sets (seeds), or between networks trained on one set.

One-way random effects: the accuracy of network j on set i is μ + s_i + e_ij, with s_i from the condensation seed and
e_ij from the network's own seed. All networks are scored on one test split, whose own sampling is in neither term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean

import pandas as pd
from scipy import special

from results.aggregation.grouping import circumstances, comparison_key, groups, is_whole, rows_of
from results.aggregation.options import DEFAULT, Options
from results.aggregation.selection import sorted_rows
from results.formatting import percent, whole_percent
from results.tables.captions import captions
from results.tables.cell_table import cell_table, table_rows
from results.tables.model import Entry, Table
from results.types import Cell

Interval = tuple[float, float]

LEVEL = 0.95  # of every interval
_UNKNOWN = (math.nan, math.nan)
_ROUNDING = 1e-12  # variances below it are rounding: accuracies differ by 1 / test images


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of accuracies (squared fractions) with their intervals; nan where they cannot be estimated.

    between: of sets. within: of networks on one set. share: between / (between + within).
    negative: the estimate of `between` was below 0 and is reported as 0.
    """

    between: float = math.nan
    between_interval: Interval = _UNKNOWN
    within: float = math.nan
    within_interval: Interval = _UNKNOWN
    share: float = math.nan
    share_interval: Interval = _UNKNOWN
    negative: bool = False


def estimate_components(sets: Sequence[Sequence[float]], level: float = LEVEL) -> VarianceComponents:
    """The variance components of k sets with n_i networks each; k and n_i are arbitrary.

    W: the pooled variance within sets, with N − k degrees of freedom; h: the harmonic mean of the n_i; B: h · variance
    of the set means, with k − 1. Then within = W and between = (B − W) / h, or 0. For equal n_i this is the usual
    analysis of variance; for unequal ones B, scaled, is close to χ² [Thomas, Hultquist 1978,
    doi:10.1214/aos/1176344202].

    Intervals have tails of (1 − level) / 2. within: by χ², exact. share: by F of B / W, exact for equal n_i [Searle
    1971]. between: the modified large-sample limits for a difference of two mean squares [Ting, Burdick, Graybill,
    Jeyaratnam, Lu 1990]. All assume normal effects. With a single set `between` is unknown, with one network on each
    set everything is.
    """
    groups = [list(values) for values in sets if values]
    k, total = len(groups), sum(map(len, groups))
    if total == k:
        return VarianceComponents()
    freedom, tail = (k - 1, total - k), (1 - level) / 2
    within = _without_rounding(math.fsum(_squares(values) for values in groups) / freedom[1])
    low, high = _chi2_quantiles(freedom[1], tail)
    within_interval = freedom[1] * within / high, freedom[1] * within / low
    if k < 2:
        return VarianceComponents(within=within, within_interval=within_interval)
    harmonic = k / sum(1 / len(values) for values in groups)
    mean_square = _without_rounding(harmonic * _squares([fmean(values) for values in groups]) / freedom[0])
    between = (mean_square - within) / harmonic
    share, share_interval = _share(mean_square, within, harmonic, freedom, tail)
    return VarianceComponents(
        max(0.0, between),
        _between_interval(mean_square, within, harmonic, freedom, tail),
        within,
        within_interval,
        share,
        share_interval,
        negative=between < 0,
    )


def _squares(values: Sequence[float]) -> float:
    mean = fmean(values)
    return math.fsum((value - mean) ** 2 for value in values)


def _without_rounding(variance: float) -> float:
    return variance if variance > _ROUNDING else 0.0


def _between_interval(b: float, w: float, h: float, freedom: tuple[int, int], tail: float) -> Interval:
    """Limits of (E[B] − E[W]) / h; limits below 0 are 0."""
    one, two = freedom
    upper = _f_quantile(one, two, tail)
    g1, h2 = 1 - one / _chi2_quantiles(one, tail)[1], two / _chi2_quantiles(two, tail)[0] - 1
    g12 = ((upper - 1) ** 2 - g1**2 * upper**2 - h2**2) / upper
    lower = 1 / _f_quantile(two, one, tail)
    h1, g2 = one / _chi2_quantiles(one, tail)[0] - 1, 1 - two / _chi2_quantiles(two, tail)[1]
    h12 = ((1 - lower) ** 2 - h1**2 * lower**2 - g2**2) / lower
    below = (g1 * b) ** 2 + (h2 * w) ** 2 + g12 * b * w
    above = (h1 * b) ** 2 + (g2 * w) ** 2 + h12 * b * w
    low, high = (b - w - math.sqrt(max(0.0, below))) / h, (b - w + math.sqrt(max(0.0, above))) / h
    return max(0.0, low), max(0.0, high)


def _share(b: float, w: float, h: float, freedom: tuple[int, int], tail: float) -> tuple[float, Interval]:
    """between / (between + within) as θ / (1 + θ), θ = (F / q − 1) / h with q = 1 for the estimate, else a quantile."""
    if not w:
        return (1.0, (1.0, 1.0)) if b else (math.nan, _UNKNOWN)
    one, two = freedom
    ratios = [(b / w / q - 1) / h for q in (1.0, _f_quantile(one, two, tail), 1 / _f_quantile(two, one, tail))]
    estimate, low, high = (max(0.0, ratio) / (1 + max(0.0, ratio)) for ratio in ratios)
    return estimate, (low, high)


@lru_cache(maxsize=1024)
def _f_quantile(one: int, two: int, tail: float) -> float:
    return float(special.fdtri(one, two, 1 - tail))


@lru_cache(maxsize=1024)
def _chi2_quantiles(freedom: int, tail: float) -> Interval:
    return float(special.chdtri(freedom, 1 - tail)), float(special.chdtri(freedom, tail))


def mean_interval(means: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's interval for the mean over k sets, mean ± t · sd / √k; nan for one. It covers both components."""
    if len(means) < 2:
        return _UNKNOWN
    half = _t_quantile(len(means) - 1, level) * math.sqrt(_squares(means) / (len(means) - 1) / len(means))
    return fmean(means) - half, fmean(means) + half


@lru_cache(maxsize=1024)
def _t_quantile(freedom: int, level: float) -> float:
    return float(special.stdtrit(freedom, (1 + level) / 2))


# --- tables -----------------------------------------------------------------------------------------------------------


def _accuracies(row: Cell) -> list[list[float]]:
    return list(row["accuracies"].values())


def _accuracy_interval(row: Cell) -> Interval:
    """Within 0 and 1. There is only one whole set, so its interval is over networks."""
    over_networks = is_whole(row) and row["sets"] == 1
    low, high = mean_interval(_accuracies(row)[0] if over_networks else list(row["sample"].values()))
    return (low, high) if math.isnan(low) else (max(0.0, low), min(1.0, high))


def variance_tables(cells: pd.DataFrame, options: Options = DEFAULT) -> list[Table]:
    """A table for each dataset, pair of networks and protocol in which some cell's variance can be split."""
    scored = [{**row, "components": estimate_components(_accuracies(row))} for row in rows_of(cells) if row["sets"]]
    return [
        _table(sorted_rows(rows, options), options)
        for rows in groups(scored, comparison_key)
        if any(not math.isnan(row["components"].between) for row in rows)
    ]


def _table(cells: Sequence[Cell], options: Options) -> Table:
    rows = [
        {
            **row,
            "mean": _with_interval(row["accuracy"], _accuracy_interval(row), percent),
            "between": _deviation(row["components"].between, row["components"].between_interval, _reason(row)),
            "within": _deviation(row["components"].within, row["components"].within_interval),
            "share": _with_interval(row["components"].share, row["components"].share_interval, whole_percent),
        }
        for row in table_rows(cells)
    ]
    title = ", ".join([f"Variance: {cells[0]['dataset']}", *circumstances(cells)])
    return cell_table("variance", title, rows, captions(cells, about="In brackets: 95 % intervals."), options)


def _reason(row: Cell) -> str:
    """Why a row's variance is not split, or why its `between` is 0; else ""."""
    if row["components"].negative:
        return "the estimate is below 0: set means differ less than their networks alone would make them on average"
    if is_whole(row):
        return ""
    if row["sets"] < 2:
        return "a single set: how sets differ is unknown"
    if math.isnan(row["components"].within):
        return "one network for each set: the effects of sets and networks cannot be separated"
    return ""


def _deviation(variance: float, interval: Interval, note: str = "") -> Entry:
    """The root of a variance with its interval."""
    ends = math.sqrt(interval[0]), math.sqrt(interval[1])
    return _with_interval(math.sqrt(variance), ends, percent, note)


def _with_interval(value: float, interval: Interval, form: Callable[[float], str], note: str = "") -> Entry:
    unknown = math.isnan(value) or any(map(math.isnan, interval))
    words = "" if unknown else f"[{', '.join(map(form, interval))}]"
    return Entry(value, words=words, notes=(note,) if note else ())
