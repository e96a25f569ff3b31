"""The captions below a table, three short lines at most: terms of the comparison, meaning of its marks, and origin.

What holds for every table is in docs/reading-tables.md. What matters most comes first, as a narrow terminal cuts lines.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from results.aggregation.grouping import (
    REFERENCE,
    condense_architecture,
    is_demonstration,
    is_native,
    norm_of,
)
from results.aggregation.naming import title
from results.formatting import grouped, short, value_range
from results.statistics.ranking import (
    NOT_SIGNIFICANT,
    NOT_TESTED,
    mean_ranks,
    no_rank_reason,
    significance_ranks,
    significance_remarks,
)
from results.types import Cell

_MAX_GROUPS = 2  # of rows with one value each that a caption names; more are a range
_BUDGET_TOLERANCE = 1.05  # budgets this close are equal: a fraction of few iterations is rounded to whole ones


@dataclass(frozen=True)
class RankedColumns:
    """The columns in which rows are ranked.

    cells: the cells of each column, without the whole set. describe: names some of the columns in words. highlight: the
    option of this name.
    """

    cells: Mapping[Any, Sequence[Cell]] = field(default_factory=dict)
    describe: Callable[[Set[Hashable]], list[str]] = lambda keys: []
    highlight: str = "significance"

    def where(self, condition: Callable[[Sequence[Cell]], bool]) -> str | None:
        """ " for …" with the columns that meet the condition; "" if all columns do, None if no column does."""
        columns = {key for key, cells in self.cells.items() if condition(cells)}
        if not columns:
            return None
        return "" if columns == self.cells.keys() else f" for {'; '.join(self.describe(columns))}"


def describe_ipcs(ipcs: Set[Hashable]) -> list[str]:
    """`RankedColumns.describe` for columns that are ipcs."""
    return [f"ipc {', '.join(sorted(map(str, ipcs), key=int))}"]


def captions(
    rows: Sequence[Cell],
    columns: RankedColumns | None = None,
    about: str = "",
    *,
    costs: bool = False,
    evaluated: bool = True,
) -> list[str]:
    """The captions of a table of these rows.

    columns: those in which rows are ranked. about: a sentence on this table's numbers. costs: whether it shows seconds
    or memory, which only compare on one device. evaluated: whether it depends on how sets were evaluated.
    """
    scored = [row for row in rows if row["sets"]] if evaluated else []
    terms = [_protocols(rows) if evaluated else "", _sample(scored), _budgets(rows), _equal_seconds(rows)]
    terms += [_trials(rows), _thirds(scored), _shared_settings(rows)]
    marks = [
        _remarks(columns) if columns else "",
        _deviations(scored),
        about,
        *([_unequal(columns), *_ranks(rows, columns)] if columns else []),
        "(reference): not ranked." if _has_references(rows) else "",
        _devices(rows) if costs else "",
    ]
    origin = [_hardware(rows, costs=costs), _code(rows), _withheld(rows)]
    return [line for parts in (terms, marks, origin) if (line := " ".join(filter(None, parts)))]


def _shared_settings(rows: Sequence[Cell]) -> str:
    """The settings that names leave out, as all variants share them."""
    shared = "; ".join(dict.fromkeys(filter(None, (row.get("shared") for row in rows))))
    return f"Settings of all variants of {shared}." if shared else ""


def network_norms(rows: Sequence[Cell]) -> str:
    """The norm layers of the condensing network and of those that were trained on its sets."""
    condensed = condense_architecture(rows)
    by_norm: dict[str, list[str]] = {}
    for network in dict.fromkeys(row["architecture"] for row in rows):
        by_norm.setdefault(norm_of(network), []).append(network)
    evaluated = ", ".join(f"{norm} ({', '.join(networks)})" for norm, networks in by_norm.items())
    return f"Condensed with {norm_of(condensed)}, evaluated with {evaluated}."


# --- facts about rows -------------------------------------------------------------------------------------------------


def iterates(row: Cell) -> bool:
    """Whether a row is a method with a budget of iterations; a coreset is selected in one go."""
    return bool(row["role"] == "method" and row["family"] != "coreset")


def main_device(rows: Sequence[Cell]) -> tuple[str, str] | None:
    """The (device, precision) whose seconds a table shows: the most common unmixed one; None if all rows agree.

    Seconds measured on different devices or precisions never share a table. Rows for which nothing ran do not count.
    """
    rows = _ran(rows)
    used = Counter((row["devices"], row["precisions"]) for row in rows)
    if len(used) < 2 and not any(row["mixed"] for row in rows):
        return None
    pure = Counter((row["devices"], row["precisions"]) for row in rows if not row["mixed"])
    return pure.most_common(1)[0][0] if pure else ("", "")


def _ran(rows: Sequence[Cell]) -> list[Cell]:
    return [row for row in rows if row["devices"]]


# --- terms ------------------------------------------------------------------------------------------------------------


def _protocols(rows: Sequence[Cell]) -> str:
    """Each protocol of the rows with its version; under `native` what each method uses."""
    notes = "; ".join(dict.fromkeys(row["protocol_note"] for row in rows if row["protocol_note"]))
    ours = f" (ours: {notes})" if notes else ""
    native = [row for row in rows if is_native(row) and row["sets"]]
    shared = dict.fromkeys(f"{row['recipe']} v{row['version']}" for row in rows if row["recipe"] and not is_native(row))
    texts = [f"Protocol {', '.join(shared)}{ours}."] if shared else []
    if native:
        used = ", ".join(sorted({f"{row['display_name']} {row['recipe']} v{row['version']}" for row in native}))
        texts.append(f"Protocol {native[0]['protocol']}: rows do not compare, as each method uses its own ({used}).")
    return " ".join(texts)


def _sample(scored: Sequence[Cell]) -> str:
    """The number of seeds and networks behind a method, or a baseline alone; rows that differ from most are named."""
    scored = [row for row in scored if row["role"] == "method"] or scored
    sets, networks = (_ranges(scored, name, grouped) for name in ("sets", "networks"))
    names = _names_by_text({name: f"{sets[name]} × {networks[name]}" for name in sets})
    if not names:
        return ""
    if len(names) > _MAX_GROUPS:
        of_all = (value_range([row[name] for row in scored], grouped) for name in ("sets", "networks"))
        return f"Seeds × networks: {' × '.join(of_all)}."
    common = max(names, key=lambda size: len(names[size]))
    others = [f"{size} for {_joined(of_size)}" for size, of_size in names.items() if size != common]
    return f"Seeds × networks: {', '.join([common, *others])}."


def _budgets(rows: Sequence[Cell]) -> str:
    """The share of the papers' iterations."""
    methods = [row for row in rows if iterates(row)]
    names = _names_by_text(_ranges(methods, "iterations_fraction", lambda fraction: short(100 * fraction)))
    if not names:
        return ""
    if len(names) > _MAX_GROUPS:
        return f"Iterations: {value_range([100 * row['iterations_fraction'] for row in methods])} %."
    if len(names) > 1:
        return f"Iterations: {', '.join(f'{share} % for {_joined(of_share)}' for share, of_share in names.items())}."
    share = next(iter(names))
    return "All iterations." if share == "100" else f"Iterations: {share} %."


def _equal_seconds(rows: Sequence[Cell]) -> str:
    """What rows were given with `budget_seconds`, and what they took."""
    given = [row for row in rows if not math.isnan(row["budget_seconds"])]
    if not given:
        return ""
    spread = short(100 * max(row["budget_spread"] for row in given))
    text = f"Equal seconds: {value_range([row['budget_seconds'] for row in given])} s ± {spread} % a set"
    taken = [row["prepare_seconds"] + row["condense_seconds"] for row in given if row["sets"]]
    return f"{text}, of which it took {value_range(taken)} s." if taken else f"{text}."


def _trials(rows: Sequence[Cell]) -> str:
    """How many settings were tried for tuned rows, which are ranked apart."""
    tuned = [row["trials"] for row in rows if row["tuning"]]
    return f"Tuned: best of {value_range(tuned, grouped)} settings on withheld images, ranked apart." if tuned else ""


def _withheld(rows: Sequence[Cell]) -> str:
    shares = sorted({row["val_fraction"] for row in rows})
    return f"Withheld: {', '.join(short(100 * share) for share in shares)} %." if any(shares) else ""


def _thirds(scored: Sequence[Cell]) -> str:
    shown = any(not math.isnan(row["head_accuracy"]) for row in scored)
    return "Head, middle, tail: thirds of the classes by training images." if shown else ""


# --- marks ------------------------------------------------------------------------------------------------------------


def _deviations(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    single = any(row["sets"] == 1 and row["networks"] > 1 for row in scored)
    return "±: over sets" + (", †: over networks." if single else ".")


def _ranks(rows: Sequence[Cell], columns: RankedColumns) -> list[str]:
    """What the ranks of `statistics.ranking` mean here, and where there are none."""
    rule = {"significance": significance_ranks, "mean": mean_ranks}.get(columns.highlight)
    ranked = rule is not None and any(any(rule(cells)) for cells in columns.cells.values())
    tested = "highest means, not tested" if columns.highlight == "mean" else "tested"
    return [f"Best and second best: {tested}." if ranked else "", _unranked(rows, columns) if rule else ""]


def _has_references(rows: Sequence[Cell]) -> bool:
    return any(row["role"] == REFERENCE for row in rows)


def _remarks(columns: RankedColumns) -> str:
    """The meaning of the remarks that occur."""
    used = {remark for cells in columns.cells.values() for remark in significance_remarks(cells)}
    meanings = {NOT_SIGNIFICANT: "no better than random", NOT_TESTED: "too few sets to test"}
    texts = [f"{remark}: {meaning}" for remark, meaning in meanings.items() if remark in used]
    return f"{'; '.join(texts)}." if texts else ""


def _unequal(columns: RankedColumns) -> str:
    where = columns.where(_has_unequal_budgets)
    return "" if where is None else f"Budgets differ{where}."


def _has_unequal_budgets(cells: Sequence[Cell]) -> bool:
    fractions = [row["iterations_fraction"] for row in cells if row["sets"] and iterates(row)]
    return bool(fractions) and max(fractions) > _BUDGET_TOLERANCE * min(fractions)


def _unranked(rows: Sequence[Cell], columns: RankedColumns) -> str:
    if any(map(is_demonstration, rows)):
        return "Digits rank nothing."
    where = columns.where(lambda cells: no_rank_reason(cells) == "budget")
    if where is None:
        return ""
    verb = "Ranks nothing" if columns.highlight == "mean" else "Not ranked"
    return f"{verb}{where}: too few iterations."


# --- origin -----------------------------------------------------------------------------------------------------------


def _devices(rows: Sequence[Cell]) -> str:
    """What ‡ means."""
    main, rows = main_device(rows), _ran(rows)
    if main is None:
        return ""
    others = dict.fromkeys((row["devices"], row["precisions"]) for row in rows)
    others.pop(main, None)
    shown = f"of {_device(*main)}" if any(main) else "of no row"
    return f"Seconds and memory {shown}; ‡ ran on {'; '.join(_device(*other) for other in others)}."


def _hardware(rows: Sequence[Cell], *, costs: bool) -> str:
    if costs and main_device(rows) is not None:
        return ""  # `_devices` names them
    used = sorted({_device(row["devices"], row["precisions"]) for row in _ran(rows)})
    return f"{'; '.join(used)}." if used else ""


def _device(devices: str, precisions: str) -> str:
    return f"{devices}, {precisions}" if precisions else devices


def _code(rows: Sequence[Cell]) -> str:
    commits = sorted({commit for row in rows for commit in row["commits"].split(", ") if commit})
    names = _names_by_text({row["title"]: row["package"] for row in rows if row["package"]})
    code = [f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"] if commits else []
    code += [f"{_joined(of_package)} from {package}" for package, of_package in names.items()]
    return f"Code: {'; '.join(code)}." if code else ""


def _ranges(rows: Sequence[Cell], column: str, form: Callable[[float], str]) -> dict[str, str]:
    """A row's title → its smallest and largest value of a column: "5" or "3–5"."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(title(row), []).append(row[column])
    return {name: value_range(of_name, form) for name, of_name in values.items()}


def _names_by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for name, text in texts.items():
        names.setdefault(text, []).append(name)
    return names


def _joined(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
