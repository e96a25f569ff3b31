"""What stands below a table, in sentences: the rules and circumstances behind its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from results.aggregation.grouping import condense_architecture, is_demonstration, is_native, is_random, is_whole
from results.aggregation.naming import title
from results.formatting import grouped, percent, short
from results.statistics.ranking import MIN_FRACTION, is_tested, no_rank_reason, significance_ranks
from results.statistics.significance import ALPHA, binomial_error
from results.types import Cell

_RULE = (
    "Accuracy: after the last epoch; the test split is scored once. ± is the sample deviation over condensation "
    "seeds of per-set means"
)


_ROUNDING = 1.05  # budgets this close are equal: a fraction of few iterations is rounded to whole ones
_NORMS = {"in": "instance norm", "bn": "batch norm", "ln": "layer norm", "gn": "group norm", "none": "no norm"}
_USUAL_NORMS = {"mlp": "none", "lenet": "none", "alexnet": "none", "densenet": "bn"}  # of names that give none


@dataclass(frozen=True)
class Columns:
    """The cells of each column, the whole set apart, how to name some of the columns in words, and the ranks' rule."""

    cells: Mapping[Any, Sequence[Cell]]
    words: Callable[[Set[Hashable]], list[str]]
    highlight: str = "significance"

    def where(self, holds: Callable[[Sequence[Cell]], bool]) -> str | None:
        """ " for …" with the columns of which `holds` is true; "" when it is true of all, None when of none."""
        found = {name for name, cells in self.cells.items() if holds(cells)}
        if not found:
            return None
        return "" if found == self.cells.keys() else f" for {'; '.join(self.words(found))}"


def captions(rows: Sequence[Cell], columns: Columns) -> list[str]:
    """Sentences for one comparison table's cells; its `columns` are the ipcs."""
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows), _protocol(rows), _rule(scored), _sample(scored), _test_set(scored)]
    lines += [*_competition(rows, columns, "at an ipc"), _timings(rows, "Evaluate s"), _commits(rows)]
    return [line for line in lines if line]


def matrix_captions(rows: Sequence[Cell], columns: Columns) -> list[str]:
    """Sentences for a matrix of several datasets, whose cells show accuracies, ranks and doubts and nothing else."""
    return _accuracies(rows, columns, [_networks(rows), _protocol(rows)])


def network_captions(rows: Sequence[Cell], columns: Columns) -> list[str]:
    """Sentences for a table of one dataset and protocol with evaluation networks across."""
    condensed, networks = condense_architecture(rows), dict.fromkeys(row["architecture"] for row in rows)
    norms: dict[str, list[str]] = {}
    for network in networks:
        norms.setdefault(norm_of(network), []).append(network)
    evaluated = ", ".join(f"{norm} ({', '.join(names)})" for norm, names in norms.items())
    about = f"Test accuracy (%) of each network trained on the same sets, condensed with {condensed}."
    about += f" Norms: condensed with {norm_of(condensed)}, evaluated with {evaluated}."
    return _accuracies(rows, columns, [about, _protocol(rows)])


def protocol_captions(rows: Sequence[Cell], columns: Columns) -> list[str]:
    """Sentences for a table of one dataset and pair of networks with protocols across."""
    used = {row["protocol"]: _protocol([row]) for row in rows if not is_native(row)}
    own = _protocol([row for row in rows if is_native(row)])
    return _accuracies(rows, columns, [_networks(rows), " ".join(filter(None, [*used.values(), own]))])


def took_captions(rows: Sequence[Cell]) -> list[str]:
    """Sentences for a table of what condensing took."""
    memory = any(row["condense_peak_bytes"] > 0 for row in rows if not is_na(row["condense_peak_bytes"]))
    experts = _uses_experts(rows)
    lines = [
        "Means over condensation seeds; the same sets stand in the tables of every protocol and evaluation network."
    ]
    lines += ["Experts: trained networks behind one set, a prepare task each." if experts else "", _divisor(rows)]
    lines += [_MEMORY if memory else "", _timings(rows, "Seconds and memory"), _commits(rows)]
    return [line for line in lines if line]


def time_captions(rows: Sequence[Cell]) -> list[str]:
    """Sentences for a table of seconds under one protocol."""
    scored = [row for row in rows if row["sets"]]
    total = "Seconds of one set, means over condensation seeds; evaluate is of all its networks, total is the sum."
    full = "Prepare, full: all experts that a set used, even where others used them too."
    lines = [_demonstration(rows), _protocol(rows), _sample(scored), total]
    lines += [full if _uses_experts(rows) else "", _divisor(rows), _timings(rows, "Seconds"), _commits(rows)]
    return [line for line in lines if line]


def memory_captions(rows: Sequence[Cell]) -> list[str]:
    """Sentences for a table of peak memory under one protocol."""
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows), _protocol(rows), _sample(scored)]
    lines += ["Experts: trained networks behind one set." if _uses_experts(rows) else "", _MEMORY]
    return [line for line in [*lines, _timings(rows, "Memory"), _commits(rows)] if line]


def published_captions(rows: Sequence[Cell]) -> list[str]:
    """Sentences for a table of measured beside published accuracies under one protocol."""
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows), _protocol(rows), _rule(scored), _samples(scored), _MARKS]
    return [line for line in [*lines, _budgets(rows), _withheld(rows), _hardware(rows), _commits(rows)] if line]


_MARKS = (
    "Difference: measured − published, in points. Within: at most twice the larger of both deviations; above and below "
    "it; not comparable: what differs besides is in a note."
)


def _uses_experts(rows: Sequence[Cell]) -> bool:
    return any(row["experts"] > 0 for row in rows if not is_na(row["experts"]))


def with_circumstances(rows: Sequence[Cell], about: Sequence[str], columns: Columns | None = None) -> list[str]:
    """`about` with what rows stand on: protocol, sample, budgets, hardware, commits; `columns`: where they compete."""
    terms = _competition(rows, columns, "at an ipc") if columns else [_budgets(rows), _withheld(rows)]
    lines = [_demonstration(rows), _protocol(rows), *about, _samples([row for row in rows if row["sets"]]), *terms]
    return [line for line in [*lines, _hardware(rows), _commits(rows)] if line]


_MEMORY = (
    "Peak: the most memory that any one task had at once, allocated on a GPU, on a CPU the resident set of its process."
)


def norm_of(network: str) -> str:
    """The norm that a canonical name says ("convnet3-bn-w64") or leaves unsaid, in words."""
    head, *options = network.split("-")
    said = next((option for option in options if option in _NORMS), None)
    return _NORMS[said or next((norm for name, norm in _USUAL_NORMS.items() if head.startswith(name)), "in")]


def is_na(value: Any) -> bool:
    """Whether nothing is known: NA or nan."""
    return bool(pd.isna(value))


def _accuracies(rows: Sequence[Cell], columns: Columns, about: Sequence[str]) -> list[str]:
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows), *about, _rule(scored), _samples(scored), *_competition(rows, columns, "of a column")]
    return [line for line in [*lines, _hardware(rows), _commits(rows)] if line]


def _competition(rows: Sequence[Cell], columns: Columns, where: str) -> list[str]:
    """On which terms rows compete, and what the marks of `ranking.significance_ranks` and `ranking.doubts` mean."""
    ranked = columns.highlight != "none"
    marked = ranked and any(any(significance_ranks(cells)) for cells in columns.cells.values())
    order = _HIGHEST.format(where=where) if columns.highlight == "mean" else _order(rows, where)
    return [
        *(_budgets(rows), _unequal(columns), _withheld(rows), _significance(columns)),
        *(order if marked else "", _no_order(columns) if ranked else ""),
    ]


_HIGHEST = (
    "Bold: highest, underlined: second highest mean {where}, among rows with two or more sets, controls included; no "
    "test says that the order is more than chance."
)


def main_device(rows: Sequence[Cell]) -> tuple[str, str] | None:
    """The (device, precision) whose seconds a table shows: the commonest unmixed one; None when all rows agree.

    Seconds taken on different devices or precisions never share a table. Rows of which nothing ran have no device.
    """
    rows = _ran(rows)
    used = Counter((row["devices"], row["precisions"]) for row in rows)
    if len(used) < 2 and not any(row["mixed"] for row in rows):
        return None
    pure = Counter((row["devices"], row["precisions"]) for row in rows if not row["mixed"])
    return pure.most_common(1)[0][0] if pure else ("", "")


def _ran(rows: Sequence[Cell]) -> list[Cell]:
    return [row for row in rows if row["devices"]]


def _demonstration(rows: Sequence[Cell]) -> str:
    if not any(map(is_demonstration, rows)):
        return ""
    return "Demonstration on 8×8 digits: it shows that everything works and ranks no method."


def _protocol(rows: Sequence[Cell]) -> str:
    if not rows:
        return ""
    first = rows[0]
    if not is_native(first):
        return f"Protocol {first['recipe']}, version {first['version']}." if first["recipe"] else ""
    used = sorted({f"{row['display_name']} {row['recipe']} v{row['version']}" for row in rows if row["sets"]})
    return (
        f"Protocol {first['protocol']}, each method's own ({', '.join(used)}): rows are not comparable with each other."
    )


def _rule(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    single = any(row["sets"] == 1 and row["networks"] > 1 for row in scored)
    return _RULE + ("; † over the networks of the only set." if single else ".")


def _sample(scored: Sequence[Cell]) -> str:
    """How many numbers stand behind a cell; where rows differ, which ones."""
    sizes: dict[str, list[str]] = {}
    for row in scored:
        sizes.setdefault(f"{row['sets']} × {row['networks']}", []).append(row["display_name"])
    return _seeds_and_networks(sizes)


def _samples(scored: Sequence[Cell]) -> str:
    """The same over several columns: from the fewest to the most."""
    sets, networks = (_ranges(scored, name, grouped) for name in ("sets", "networks"))
    return _seeds_and_networks(_by_text({name: f"{sets[name]} × {networks[name]}" for name in sets}))


def _seeds_and_networks(sizes: Mapping[str, Sequence[str]]) -> str:
    if not sizes:
        return ""
    common = max(sizes, key=lambda size: len(sizes[size]))
    others = [f"{size} for {_names(names)}" for size, names in sizes.items() if size != common]
    return f"Seeds × networks: {', '.join([common, *others])}."


def _test_set(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    # The whole set is a ceiling; where it classifies everything right, the formula's error would be 0.
    best = max([row for row in scored if not is_whole(row)] or scored, key=lambda row: float(row["accuracy"]))
    error = binomial_error(best["accuracy"], best["test_images"])
    images = f"{grouped(best['test_images'])} test images"
    return f"{images}: a binomial error of {percent(error)} points at the best set's {percent(best['accuracy'])} %."


def _budgets(rows: Sequence[Cell]) -> str:
    methods = [row for row in rows if _iterates(row)]
    if not methods:
        return ""
    if all(row["iterations_fraction"] == 1 for row in methods):
        return "Budget: all of the papers' iterations, for every method."
    each = _by_text(_ranges(methods, "iterations_fraction", lambda fraction: short(100 * fraction)))
    if len(each) == 1:
        return f"Reduced budget: {next(iter(each))} % of the papers' iterations."
    shares = [f"{share} % for {_names(names)}" for share, names in each.items()]
    return f"Reduced budget: of the papers' iterations {', '.join(shares)}."


def _unequal(columns: Columns) -> str:
    where = columns.where(_is_unequal)
    return (
        ""
        if where is None
        else f"Warning, unequal budgets{where}: the methods ran unequal fractions of their papers' iterations."
    )


def _is_unequal(cells: Sequence[Cell]) -> bool:
    fractions = [row["iterations_fraction"] for row in cells if row["sets"] and _iterates(row)]
    return bool(fractions) and max(fractions) > _ROUNDING * min(fractions)


def _iterates(row: Cell) -> bool:
    """Whether a row is a method with a budget: a coreset is chosen in one go."""
    return bool(row["role"] == "method" and row["family"] != "coreset")


def _ranges(rows: Sequence[Cell], column: str, form: Callable[[float], str]) -> dict[str, str]:
    """A row's title → the least and the largest of its values, "5" or "3–5"."""
    values: dict[str, list[float]] = {}
    for row in rows:
        values.setdefault(title(row), []).append(row[column])
    return {name: "–".join(dict.fromkeys(form(end) for end in (min(all_), max(all_)))) for name, all_ in values.items()}


def _by_text(texts: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in texts.items():
        found.setdefault(text, []).append(name)
    return found


def _withheld(rows: Sequence[Cell]) -> str:
    shares = sorted({row["val_fraction"] for row in rows})
    if not any(shares):
        return ""
    return f"Withheld for validation: {', '.join(short(100 * share) for share in shares)} % of the training images."


def _significance(columns: Columns) -> str:
    tested = [row for cells in columns.cells.values() for row in _tested(cells)]
    if not tested:
        return ""
    single = (
        " A single set is compared with the spread of the control's." if any(r["sets"] == 1 for r in tested) else ""
    )
    return (
        "n.s.: not significantly better than each of the random controls (subsets, mosaics) at the same ipc (one-sided "
        f"t-test on set means, Holm-corrected over the methods there, α = {ALPHA:g}); n.t.: too few sets to tell."
        f"{single}"
    )


def _tested(cells: Sequence[Cell]) -> list[Cell]:
    scored = [row for row in cells if row["sets"] and not is_native(row)]
    return [row for row in scored if is_tested(row)] if any(is_random(row["display_name"]) for row in scored) else []


def _order(rows: Sequence[Cell], where: str) -> str:
    """The rule of `ranking.significance_ranks`, for a reader."""
    apart = len({row["val_fraction"] for row in rows}) > 1
    return (
        f"Bold: best, underlined: second best {where}, among rows with two or more sets, controls included; "
        f"rows that the leader does not significantly beat share its place (one-sided t-test on set means, paired over "
        f"shared seeds, Holm-corrected, α = {ALPHA:g})."
        + (" Rows with different fractions withheld are ranked apart." if apart else "")
    )


def _no_order(columns: Columns) -> str:
    where = columns.where(lambda cells: no_rank_reason(cells) == "budget")
    least = short(100 * MIN_FRACTION)
    return (
        ""
        if where is None
        else f"No order is drawn{where}: a method ran less than {least} % of its paper's iterations."
    )


def _divisor(rows: Sequence[Cell]) -> str:
    shared = list(dict.fromkeys(row["prepare_divisor"] for row in rows if row["prepare_divisor"]))
    if not shared:
        return ""
    return f"Prepare, shared: each expert's seconds / the condense tasks that use it (here {', '.join(shared)})."


def _timings(rows: Sequence[Cell], what: str) -> str:
    main, rows = main_device(rows), _ran(rows)
    if main is None:
        return f"{what}: {_device(rows[0]['devices'], rows[0]['precisions'])}." if rows else ""
    others = dict.fromkeys((row["devices"], row["precisions"]) for row in rows)
    others.pop(main, None)
    shown = f"{what} shown for {_device(*main)} only" if any(main) else f"{what} not shown"
    return f"Warning, mixed devices or precisions: {shown}; ‡ ran on {'; '.join(_device(*other) for other in others)}."


def _networks(rows: Sequence[Cell]) -> str:
    condensed, evaluated = condense_architecture(rows), rows[0]["architecture"]
    if not evaluated:
        return f"Sets condensed with {condensed}, not evaluated."
    return f"Test accuracy (%) of {evaluated}{f' trained on sets condensed with {condensed}' if condensed else ''}."


def _hardware(rows: Sequence[Cell]) -> str:
    used = sorted({_device(row["devices"], row["precisions"]) for row in rows if row["devices"]})
    return f"Hardware: {'; '.join(used)}." if used else ""


def _device(devices: str, precisions: str) -> str:
    return f"{devices}, {precisions}" if precisions else devices


def _commits(rows: Sequence[Cell]) -> str:
    commits = sorted({commit for row in rows for commit in row["commits"].split(", ") if commit})
    return f"Code: commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}." if commits else ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
