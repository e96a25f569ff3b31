"""What stands below a table, in sentences: the rules and circumstances behind its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from results.numbers import grouped, percent, short
from results.ranking import LEAST_FRACTION
from results.rows import is_demonstration, is_whole, title
from results.significance import ALPHA, binomial_error

Cell = Mapping[str, Any]

_RULE = (
    "Accuracy: after the last epoch; the test split is scored once. ± is the sample deviation over condensation "
    "seeds of per-set means"
)


def captions(rows: Sequence[Cell], *, tested: bool) -> list[str]:
    """Sentences for one comparison table's cells; `tested` when its methods met the random controls."""
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows), _protocol(rows), _rule(scored), _sample(scored), _test_set(scored)]
    lines += [_budget(rows), _withheld(rows), _significance(scored) if tested else "", _divisor(rows)]
    return [line for line in [*lines, _timings(rows), _commits(rows)] if line]


def matrix_captions(rows: Sequence[Cell], *, marked: bool, unordered: Sequence[str], all_unordered: bool) -> list[str]:
    """Sentences for a matrix of several datasets, whose cells show accuracies and ranks and nothing else.

    marked: something is bold or underlined. unordered: columns without an order for want of iterations, in words.
    """
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows), _networks(rows), _protocol(rows), _rule(scored)]
    lines += [_samples(scored), _budgets(rows), _withheld(rows)]
    lines += [_order(rows) if marked else "", _no_order(unordered, everywhere=all_unordered)]
    return [line for line in [*lines, _hardware(rows), _commits(rows)] if line]


def main_device(rows: Sequence[Cell]) -> tuple[str, str] | None:
    """The (device, precision) whose seconds a table shows: the commonest unmixed one; None when all rows agree.

    Seconds taken on different devices or precisions never share a table.
    """
    used = Counter((row["devices"], row["precisions"]) for row in rows)
    if len(used) < 2 and not any(row["mixed"] for row in rows):
        return None
    pure = Counter((row["devices"], row["precisions"]) for row in rows if not row["mixed"])
    return pure.most_common(1)[0][0] if pure else ("", "")


def _demonstration(rows: Sequence[Cell]) -> str:
    if not any(map(is_demonstration, rows)):
        return ""
    return "Demonstration on 8×8 digits: it shows that everything works and ranks no method."


def _protocol(rows: Sequence[Cell]) -> str:
    first = rows[0]
    if first["protocol"] != "native":
        return f"Protocol {first['recipe']}, version {first['version']}." if first["recipe"] else ""
    used = sorted({f"{row['row']} {row['recipe']} v{row['version']}" for row in rows if row["sets"]})
    return f"Protocol native, each method's own ({', '.join(used)}): rows are not comparable with each other."


def _rule(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    single = any(row["sets"] == 1 and row["networks"] > 1 for row in scored)
    return _RULE + ("; † over the networks of the only set." if single else ".")


def _sample(scored: Sequence[Cell]) -> str:
    """How many numbers stand behind a cell; where rows differ, which ones."""
    sizes: dict[str, list[str]] = {}
    for row in scored:
        sizes.setdefault(f"{row['sets']} × {row['networks']}", []).append(row["row"])
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


def _budget(rows: Sequence[Cell]) -> str:
    methods = [row for row in rows if row["kind_of_row"] == "method"]
    budgets: dict[float, list[str]] = {}
    for row in methods:
        budgets.setdefault(row["fraction"], []).append(row["row"])
    if all(fraction == 1 for fraction in budgets):
        return ""
    if len(budgets) == 1:
        return f"Reduced budget: {short(100 * methods[0]['fraction'])} % of the papers' iterations."
    each = [f"{short(100 * fraction)} % for {_names(budgets[fraction])}" for fraction in sorted(budgets)]
    return f"Reduced budget: of the papers' iterations {', '.join(each)}."


def _budgets(rows: Sequence[Cell]) -> str:
    """`_budget` over several columns: from the least to the most."""
    methods = [row for row in rows if row["kind_of_row"] == "method"]
    if all(row["fraction"] == 1 for row in methods):
        return ""
    each = _by_text(_ranges(methods, "fraction", lambda fraction: short(100 * fraction)))
    shares = [f"{share} % for {_names(names)}" for share, names in each.items()]
    if len(each) == 1:
        return f"Reduced budget: {next(iter(each))} % of the papers' iterations."
    return f"Reduced budget: of the papers' iterations {', '.join(shares)}."


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
    shares = sorted({row["validation"] for row in rows})
    if not any(shares):
        return ""
    return f"Withheld for validation: {', '.join(short(100 * share) for share in shares)} % of the training images."


def _significance(scored: Sequence[Cell]) -> str:
    few = any(row["sets"] == 1 for row in scored if row["kind_of_row"] == "method")
    single = " A single set is compared with the spread of the control's." if few else ""
    return (
        f"n.s.: not significantly better than the random controls at this ipc (one-sided t-test on set means, "
        f"Holm-corrected over the methods at this ipc, α = {ALPHA:g}); n.t.: too few sets to tell.{single}"
    )


def _order(rows: Sequence[Cell]) -> str:
    """The rule of `ranking.places`, for a reader."""
    apart = len({row["validation"] for row in rows}) > 1
    return (
        f"Bold: best, underlined: second best of a column, among rows with two or more sets, controls included; "
        f"rows that the leader does not significantly beat share its place (one-sided t-test on set means, paired over "
        f"shared seeds, Holm-corrected, α = {ALPHA:g})."
        + (" Rows with different fractions withheld are ranked apart." if apart else "")
    )


def _no_order(columns: Sequence[str], *, everywhere: bool) -> str:
    if not columns:
        return ""
    where = "" if everywhere else f" for {'; '.join(columns)}"
    least = short(100 * LEAST_FRACTION)
    return f"No order is drawn{where}: a method ran less than {least} % of its paper's iterations."


def _divisor(rows: Sequence[Cell]) -> str:
    shared = list(dict.fromkeys(row["prepare_divisor"] for row in rows if row["prepare_divisor"]))
    if not shared:
        return ""
    return f"Prepare, shared: each expert's seconds / the condense tasks that use it (here {', '.join(shared)})."


def _timings(rows: Sequence[Cell]) -> str:
    main = main_device(rows)
    if main is None:
        return f"Seconds: {_device(rows[0]['devices'], rows[0]['precisions'])}."
    others = dict.fromkeys((row["devices"], row["precisions"]) for row in rows)
    others.pop(main, None)
    shown = f"seconds are shown for {_device(*main)} only" if any(main) else "no seconds are shown"
    return f"Warning, mixed devices or precisions: {shown}; ‡ ran on {'; '.join(_device(*other) for other in others)}."


def _networks(rows: Sequence[Cell]) -> str:
    condensed = next((row["condensed_with"] for row in rows if row["condensed_with"]), "")
    evaluated = rows[0]["architecture"]
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
