"""What stands below a comparison table: the rules and circumstances behind its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from results.numbers import grouped, percent, short
from results.significance import binomial_error

Cell = Mapping[str, Any]

_RULE = (
    "Accuracy: after the last epoch; the test split is scored once. ± is the sample deviation over condensation "
    "seeds of per-set means"
)


def captions(rows: Sequence[Cell], *, alpha: float, tested: bool) -> list[str]:
    """Sentences for one table's cells; `tested` when its methods were compared with the random controls."""
    scored = [row for row in rows if row["sets"]]
    lines = [_demonstration(rows[0]), _protocol(rows), _rule(scored), _sample(scored), _test_set(scored)]
    lines += [_budget(rows), _withheld(rows), _significance(scored, alpha) if tested else "", _divisor(rows)]
    return [line for line in [*lines, _timings(rows), _commits(rows)] if line]


def main_device(rows: Sequence[Cell]) -> tuple[str, str] | None:
    """The (device, precision) whose seconds a table shows: the commonest unmixed one; None when all rows agree.

    Seconds taken on different devices or precisions never share a table.
    """
    used = Counter((row["devices"], row["precisions"]) for row in rows)
    if len(used) < 2 and not any(row["mixed"] for row in rows):
        return None
    pure = Counter((row["devices"], row["precisions"]) for row in rows if not row["mixed"])
    return pure.most_common(1)[0][0] if pure else ("", "")


def _demonstration(row: Cell) -> str:
    return (
        "Demonstration on 8×8 digits: it shows that everything works and ranks no method."
        if row["dataset"] == "digits"
        else ""
    )


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
    if not sizes:
        return ""
    common = max(sizes, key=lambda size: len(sizes[size]))
    others = [f"{size} for {_names(names)}" for size, names in sizes.items() if size != common]
    return f"Seeds × networks: {', '.join([common, *others])}."


def _test_set(scored: Sequence[Cell]) -> str:
    if not scored:
        return ""
    # The whole set is a ceiling; where it classifies everything right, the formula's error would be 0.
    best = max([row for row in scored if row["row"] != "whole"] or scored, key=lambda row: float(row["accuracy"]))
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


def _withheld(rows: Sequence[Cell]) -> str:
    shares = sorted({row["validation"] for row in rows})
    if not any(shares):
        return ""
    return f"Withheld for validation: {', '.join(short(100 * share) for share in shares)} % of the training images."


def _significance(scored: Sequence[Cell], alpha: float) -> str:
    few = any(row["sets"] == 1 for row in scored if row["kind_of_row"] == "method")
    single = " A single set is compared with the spread of the control's." if few else ""
    return (
        f"n.s.: not significantly better than the random controls at this ipc (one-sided t-test on set means, "
        f"Holm-corrected over the methods at this ipc, α = {alpha:g}); n.t.: too few sets to tell.{single}"
    )


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


def _device(devices: str, precisions: str) -> str:
    return f"{devices}, {precisions}" if precisions else devices


def _commits(rows: Sequence[Cell]) -> str:
    commits = sorted({commit for row in rows for commit in row["commits"].split(", ") if commit})
    return f"Code: commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}." if commits else ""


def _names(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))
