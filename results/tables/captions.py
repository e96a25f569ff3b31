"""The captions below a table: sentences on how its numbers were measured and on what its marks mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from results.aggregation.grouping import condense_architecture, is_demonstration, is_native, is_random, is_whole
from results.aggregation.naming import title
from results.formatting import grouped, percent, short, value_range
from results.statistics.ranking import MIN_FRACTION, is_tested, mean_ranks, no_rank_reason, significance_ranks
from results.statistics.significance import ALPHA, binomial_error
from results.types import Cell

_BUDGET_TOLERANCE = 1.05  # budgets this close are equal: a fraction of few iterations is rounded to whole ones
_NORMS = {"in": "instance norm", "bn": "batch norm", "ln": "layer norm", "gn": "group norm", "none": "no norm"}
_DEFAULT_NORMS = {"mlp": "none", "lenet": "none", "alexnet": "none", "densenet": "bn"}  # if the name gives none

_RULE = (
    "Accuracy is measured on the test split once, after the last epoch. ± is the sample standard deviation of the set "
    "means over condensation seeds"
)
_BEST_ON_TEST = (
    "Best on test (optimistic): the highest mean accuracy of a set's stored snapshots on the test split, which thus "
    "chooses it. It is never ranked, and compares only with published numbers that were chosen so."
)
_PEAK_MEMORY = (
    "Peak: the most memory that any single task used, which is allocated memory on a GPU and the resident set of the "
    "process on a CPU."
)
_MARKS = (
    "Difference: measured − published, in points. Mark: within, if the difference is at most twice the larger of the "
    "two deviations, else above or below; not comparable, if anything else differs, which a note names."
)
_HIGHEST = (
    "Bold: highest, underlined: second highest mean {where}, because highlight=mean asks for it; baselines and single "
    "sets are included. The order is not tested and may be chance."
)


@dataclass(frozen=True)
class RankedColumns:
    """The columns in which rows are ranked.

    cells: the cells of each column, without the whole set. describe: names some of the columns in words. highlight: the
    option of this name.
    """

    cells: Mapping[Any, Sequence[Cell]]
    describe: Callable[[Set[Hashable]], list[str]]
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


# --- the captions of each table ---------------------------------------------------------------------------------------


def captions(rows: Sequence[Cell], columns: RankedColumns) -> list[str]:
    """Captions of a comparison table; its `columns` are the ipcs."""
    scored = _scored(rows)
    lines = [_demonstration(rows), _protocol(rows), _rule(scored), _sample(scored), _test_set(scored)]
    lines += [_best_on_test(scored)]
    return _present([*lines, *_competition(rows, columns, "at an ipc"), _timings(rows, "Evaluate s"), _commits(rows)])


def matrix_captions(rows: Sequence[Cell], columns: RankedColumns) -> list[str]:
    """Captions of a matrix of several datasets, whose entries are accuracies with ranks and remarks."""
    return _accuracies(rows, columns, [_networks(rows), _protocol(rows)])


def network_captions(rows: Sequence[Cell], columns: RankedColumns) -> list[str]:
    """Captions of a table of one dataset and protocol with evaluation networks across."""
    condensed = condense_architecture(rows)
    networks_by_norm: dict[str, list[str]] = {}
    for network in dict.fromkeys(row["architecture"] for row in rows):
        networks_by_norm.setdefault(norm_of(network), []).append(network)
    evaluated = ", ".join(f"{norm} ({', '.join(networks)})" for norm, networks in networks_by_norm.items())
    about = f"Test accuracy (%) of each network trained on the same sets, condensed with {condensed}."
    about += f" Norms: condensed with {norm_of(condensed)}, evaluated with {evaluated}."
    return _accuracies(rows, columns, [about, _protocol(rows)])


def protocol_captions(rows: Sequence[Cell], columns: RankedColumns) -> list[str]:
    """Captions of a table of one dataset and pair of networks with protocols across."""
    shared = {row["protocol"]: _protocol([row]) for row in rows if not is_native(row)}
    native = _protocol([row for row in rows if is_native(row)])
    return _accuracies(rows, columns, [_networks(rows), " ".join(_present([*shared.values(), native]))])


def condensing_captions(rows: Sequence[Cell]) -> list[str]:
    """Captions of a table of condensing costs."""
    memory = any(row["condense_peak_bytes"] > 0 for row in rows if not is_na(row["condense_peak_bytes"]))
    return _present([
        "Costs are means over condensation seeds; they do not depend on the protocol or the evaluation network.",
        "Experts: the number of trained networks that a set uses; each is one prepare task." * uses_experts(rows),
        _divisor(rows),
        _PEAK_MEMORY * memory,
        _timings(rows, "Seconds and memory"),
        _commits(rows),
    ])  # fmt: skip


def time_captions(rows: Sequence[Cell]) -> list[str]:
    """Captions of a table of seconds under one protocol."""
    return _present([
        *(_demonstration(rows), _protocol(rows), _sample(_scored(rows))),
        "Seconds are of one set, as means over seeds, without waiting for a CPU. Evaluate is of all its networks.",
        "Prepare, full: all experts that a set used, even if other sets used them too." * uses_experts(rows),
        *(_divisor(rows), _timings(rows, "Seconds"), _commits(rows)),
    ])  # fmt: skip


def memory_captions(rows: Sequence[Cell]) -> list[str]:
    """Captions of a table of peak memory under one protocol."""
    return _present([
        *(_demonstration(rows), _protocol(rows), _sample(_scored(rows))),
        "Experts: the number of trained networks that a set uses." * uses_experts(rows),
        *(_PEAK_MEMORY, _timings(rows, "Memory"), _commits(rows)),
    ])  # fmt: skip


def published_captions(rows: Sequence[Cell]) -> list[str]:
    """Captions of a table of measured and published accuracies under one protocol."""
    scored = _scored(rows)
    lines = [_demonstration(rows), _protocol(rows), _rule(scored), _samples(scored), _best_on_test(scored), _MARKS]
    return _present([*lines, _budgets(rows), _withheld(rows), _hardware(rows), _commits(rows)])


def with_circumstances(rows: Sequence[Cell], about: Sequence[str], columns: RankedColumns | None = None) -> list[str]:
    """`about` between captions on protocol, sample, budgets, hardware and commits. columns: those that are ranked."""
    terms = _competition(rows, columns, "at an ipc") if columns else [_budgets(rows), _withheld(rows)]
    lines = [_demonstration(rows), _protocol(rows), *about, _samples(_scored(rows)), *terms]
    return _present([*lines, _hardware(rows), _commits(rows)])


def _accuracies(rows: Sequence[Cell], columns: RankedColumns, about: Sequence[str]) -> list[str]:
    scored = _scored(rows)
    lines = [_demonstration(rows), *about, _rule(scored), _samples(scored), *_competition(rows, columns, "of a column")]
    return _present([*lines, _hardware(rows), _commits(rows)])


def _present(lines: Iterable[str]) -> list[str]:
    return [line for line in lines if line]


def _scored(rows: Sequence[Cell]) -> list[Cell]:
    return [row for row in rows if row["sets"]]


# --- facts about rows -------------------------------------------------------------------------------------------------


def norm_of(network: str) -> str:
    """The norm layer of a network, in words, from its canonical name ("convnet3-bn-w64") or its family's default."""
    family, *options = network.split("-")
    norm = next((option for option in options if option in _NORMS), None)
    return _NORMS[norm or next((default for name, default in _DEFAULT_NORMS.items() if family.startswith(name)), "in")]


def is_na(value: Any) -> bool:
    """Whether the value is unknown: NA or nan."""
    return bool(pd.isna(value))


def uses_experts(rows: Sequence[Cell]) -> bool:
    """Whether any of the rows used experts."""
    return any(row["experts"] > 0 for row in rows if not is_na(row["experts"]))


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


# --- sentences --------------------------------------------------------------------------------------------------------


def _demonstration(rows: Sequence[Cell]) -> str:
    if not any(map(is_demonstration, rows)):
        return ""
    return "Demonstration on 8×8 digits: it shows that everything works and does not rank methods."


def _protocol(rows: Sequence[Cell]) -> str:
    if not rows:
        return ""
    first = rows[0]
    ours = "".join(f" Ours: {note}." for note in dict.fromkeys(row["protocol_note"] for row in rows) if note)
    if not is_native(first):
        return f"Protocol {first['recipe']}, version {first['version']}.{ours}" if first["recipe"] else ""
    used = sorted({f"{row['display_name']} {row['recipe']} v{row['version']}" for row in _scored(rows)})
    return (
        f"Protocol {first['protocol']}: each method uses its own ({', '.join(used)}), so rows are not comparable.{ours}"
    )


def _networks(rows: Sequence[Cell]) -> str:
    condensed, evaluated = condense_architecture(rows), rows[0]["architecture"]
    if not evaluated:
        return f"Sets condensed with {condensed}, not evaluated."
    return f"Test accuracy (%) of {evaluated}{f' trained on sets condensed with {condensed}' if condensed else ''}."


def _rule(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    single = any(row["sets"] == 1 and row["networks"] > 1 for row in scored)
    return _RULE + (", with † over the networks of a single set." if single else ".")


def _best_on_test(scored: Sequence[Cell]) -> str:
    return _BEST_ON_TEST if any(not math.isnan(row["optimistic_best_on_test"]) for row in scored) else ""


def _sample(scored: Sequence[Cell]) -> str:
    """The number of seeds and networks behind a cell; rows that differ from most are named."""
    sizes: dict[str, list[str]] = {}
    for row in scored:
        sizes.setdefault(f"{row['sets']} × {row['networks']}", []).append(row["display_name"])
    return _seeds_and_networks(sizes)


def _samples(scored: Sequence[Cell]) -> str:
    """As `_sample`, but over several columns: from the fewest to the most."""
    sets, networks = (_ranges(scored, name, grouped) for name in ("sets", "networks"))
    return _seeds_and_networks(_names_by_text({name: f"{sets[name]} × {networks[name]}" for name in sets}))


def _seeds_and_networks(sizes: Mapping[str, Sequence[str]]) -> str:
    if not sizes:
        return ""
    common = max(sizes, key=lambda size: len(sizes[size]))
    others = [f"{size} for {_joined(names)}" for size, names in sizes.items() if size != common]
    return f"Seeds × networks: {', '.join([common, *others])}."


def _test_set(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    # Condensed sets first: the whole set may classify every image correctly, where the formula's error is 0.
    best = max([row for row in scored if not is_whole(row)] or scored, key=lambda row: float(row["accuracy"]))
    error = percent(binomial_error(best["accuracy"], best["test_images"]))
    images = f"The test split has {grouped(best['test_images'])} images"
    return f"{images}: the binomial standard error is {error} points at the best set's {percent(best['accuracy'])} %."


def _budgets(rows: Sequence[Cell]) -> str:
    methods = [row for row in rows if iterates(row)]
    if not methods:
        return ""
    if all(row["iterations_fraction"] == 1 for row in methods):
        return "Budget: every method ran all its iterations."
    names_by_share = _names_by_text(_ranges(methods, "iterations_fraction", lambda fraction: short(100 * fraction)))
    if len(names_by_share) == 1:
        return f"Reduced budget: every method ran {next(iter(names_by_share))} % of its iterations."
    shares = [f"{share} % for {_joined(names)}" for share, names in names_by_share.items()]
    return f"Reduced budget, as part of each method's iterations: {', '.join(shares)}."


def _equal_seconds(rows: Sequence[Cell]) -> str:
    """What rows were given with `budget_seconds`, and what they took."""
    given = [row for row in rows if not math.isnan(row["budget_seconds"])]
    if not given:
        return ""
    seconds = value_range([row["budget_seconds"] for row in given])
    spread = short(100 * max(row["budget_spread"] for row in given))
    text = f"Equal seconds: a set and its experts were given {seconds} s, which gives its iterations to ± {spread} %."
    taken = [row["prepare_seconds"] + row["condense_seconds"] for row in given if row["sets"]]
    return f"{text} Charged: {value_range(taken)} s." if taken else text


def _unequal(columns: RankedColumns) -> str:
    where = columns.where(_has_unequal_budgets)
    if where is None:
        return ""
    return f"Warning: unequal budgets{where}. The methods ran different fractions of their iterations."


def _has_unequal_budgets(cells: Sequence[Cell]) -> bool:
    fractions = [row["iterations_fraction"] for row in cells if row["sets"] and iterates(row)]
    return bool(fractions) and max(fractions) > _BUDGET_TOLERANCE * min(fractions)


def _withheld(rows: Sequence[Cell]) -> str:
    shares = sorted({row["val_fraction"] for row in rows})
    if not any(shares):
        return ""
    return f"Withheld for validation: {', '.join(short(100 * share) for share in shares)} % of the training images."


def _competition(rows: Sequence[Cell], columns: RankedColumns, where: str) -> list[str]:
    """The terms on which rows are compared, and the meaning of their marks (`statistics.ranking`)."""
    ranks = {"significance": significance_ranks, "mean": mean_ranks}.get(columns.highlight)
    marked = ranks is not None and any(any(ranks(cells)) for cells in columns.cells.values())
    order = _HIGHEST.format(where=where) if columns.highlight == "mean" else _order(rows, where)
    return [
        *(_budgets(rows), _equal_seconds(rows), _unequal(columns), _withheld(rows), _significance(columns)),
        *(order if marked else "", _no_order(columns) if ranks else ""),
    ]


def _significance(columns: RankedColumns) -> str:
    tested = [row for cells in columns.cells.values() for row in _tested(cells)]
    if not tested:
        return ""
    single = " A single set is compared with the spread of the baseline's sets."
    return (
        "n.s.: not significantly better than every random baseline (subsets, mosaics) at the same ipc (one-sided "
        f"t-test on set means, Holm-corrected over the methods there, α = {ALPHA:g}). n.t.: too few sets to test."
        f"{single if any(row['sets'] == 1 for row in tested) else ''}"
    )


def _tested(cells: Sequence[Cell]) -> list[Cell]:
    scored = [row for row in _scored(cells) if not is_native(row)]
    return [row for row in scored if is_tested(row)] if any(is_random(row["display_name"]) for row in scored) else []


def _order(rows: Sequence[Cell], where: str) -> str:
    """The rule of `ranking.significance_ranks`."""
    several_fractions = len({row["val_fraction"] for row in rows}) > 1
    return (
        f"Bold: best, underlined: second best {where}, among rows with at least two sets, baselines included. "
        "Rows that the best row does not significantly beat share its place (one-sided t-test on set means, paired "
        f"over shared seeds, Holm-corrected, α = {ALPHA:g}). Nothing is marked where all share "
        "it, and no row that is n.s."
        + (" Rows with different withheld fractions are ranked separately." if several_fractions else "")
    )


def _no_order(columns: RankedColumns) -> str:
    where = columns.where(lambda cells: no_rank_reason(cells) == "budget")
    if where is None:
        return ""
    verb = "Ranks nothing" if columns.highlight == "mean" else "Not ranked"
    too_few = f"a method ran less than {short(100 * MIN_FRACTION)} % of its iterations"
    raised = any(row["raised_to_floor"] for cells in columns.cells.values() for row in cells)
    return f"{verb}{where}: {too_few}{', or was raised to the least number of steps' if raised else ''}."


def _divisor(rows: Sequence[Cell]) -> str:
    divisors = list(dict.fromkeys(row["prepare_divisor"] for row in rows if row["prepare_divisor"]))
    if not divisors:
        return ""
    return (
        "Prepare, shared: the seconds of each expert divided by the number of condense tasks that use it "
        f"(here {', '.join(divisors)})."
    )


def _timings(rows: Sequence[Cell], what: str) -> str:
    main, rows = main_device(rows), _ran(rows)
    if main is None:
        return f"{what}: {_device(rows[0]['devices'], rows[0]['precisions'])}." if rows else ""
    others = dict.fromkeys((row["devices"], row["precisions"]) for row in rows)
    others.pop(main, None)
    shown = f"{what} shown for {_device(*main)} only" if any(main) else f"{what} not shown"
    return f"Warning: mixed devices or precisions. {shown}; ‡ ran on {'; '.join(_device(*other) for other in others)}."


def _hardware(rows: Sequence[Cell]) -> str:
    used = sorted({_device(row["devices"], row["precisions"]) for row in rows if row["devices"]})
    return f"Hardware: {'; '.join(used)}." if used else ""


def _device(devices: str, precisions: str) -> str:
    return f"{devices}, {precisions}" if precisions else devices


def _commits(rows: Sequence[Cell]) -> str:
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
