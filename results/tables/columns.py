"""The columns of all tables that have a row for each cell. Adding a column is one entry of COLUMNS.

A row is a cell (`aggregation.cells`) with what `rows.table_rows` and the table's own module add to it.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from results.aggregation.grouping import ipc_number, is_whole, ratio_percent
from results.aggregation.options import Options
from results.errors import ResultsError
from results.formatting import count, difference, images_per_class, percent, seconds, short, size, whole_percent
from results.published.compare import (
    BEST_ON_TEST,
    Published,
    accuracy_by_rule,
    compare,
    other_printed_numbers,
    published_number,
)
from results.statistics.ranking import NOT_SIGNIFICANT, NOT_TESTED
from results.tables.model import Column, Entry
from results.types import Cell

OTHER_DEVICE = "‡"  # in place of seconds and memory of another device than the table's
OPTIMISTIC = "best on test, optimistic"
NOT_COMPARABLE = "not comparable"
_TIPS = {NOT_SIGNIFICANT: "not significantly better than random", NOT_TESTED: "too few sets to test"}


def known(value: Any) -> float | None:
    """A number of a cell, None if it is NA or nan."""
    return None if pd.isna(value) else float(value)


def spread_entry(accuracy: float, sd: float, sd_networks: float = math.nan, **more: Any) -> Entry:
    """An accuracy with its deviation over sets, else with that over the networks of the only set."""
    single = math.isnan(sd) and not math.isnan(sd_networks)
    return Entry(known(accuracy), sd_networks if single else sd, single, **more)


def uses_experts(rows: Sequence[Cell]) -> bool:
    """Whether any of the rows used experts."""
    return any((known(row["experts"]) or 0) > 0 for row in rows)


def _of(name: str) -> Callable[[Cell], float | None]:
    return lambda row: known(row[name])


def _on_device(name: str) -> Callable[[Cell], Entry | float | None]:
    """What depends on the device: shown only if the row ran on that of the table."""
    return lambda row: Entry(OTHER_DEVICE) if row["other_device"] else known(row[name])


def _has(name: str) -> Callable[[Sequence[Cell]], bool]:
    return lambda rows: any(known(row[name]) is not None for row in rows)


def _has_soft_labels(rows: Sequence[Cell]) -> bool:
    return any(row["labels"] == "soft" for row in rows)


def _is_tuned(rows: Sequence[Cell]) -> bool:
    return any(row["tuning"] for row in rows)


# --- accuracies -------------------------------------------------------------------------------------------------------


def accuracy_entry(row: Cell) -> Entry:
    """The accuracy with its rank and remark, the number of sets if some are missing, and a note on why."""
    notes = (str(row["message"]),) if row["message"] else ()
    if not row["sets"]:
        return Entry(str(row["status"]), notes=notes) if row["explain_missing"] else Entry()
    missing = f"[{row['sets']}/{row['expected']}]" if row["missing"] else ""
    words = " ".join(filter(None, [missing, row["remark"]]))
    of_row = {"rank": row["rank"], "words": words, "notes": notes, "tip": _TIPS.get(row["remark"], "")}
    return spread_entry(row["accuracy"], row["sd"], row["sd_networks"], **of_row)


def _best_on_test(row: Cell) -> Entry:
    accuracy, deviations = accuracy_by_rule(row, BEST_ON_TEST)
    return spread_entry(accuracy, *deviations, tip="optimistic: the test split chose the snapshot")


def _measured(row: Cell) -> Entry:
    """The accuracy by the rule of the published number."""
    rule = compare(row, _published_of(row)).rule
    accuracy, deviations = accuracy_by_rule(row, rule)
    return spread_entry(accuracy, *deviations, words=f"({OPTIMISTIC})" if rule == BEST_ON_TEST else "")


# --- published numbers ------------------------------------------------------------------------------------------------


def _published_of(row: Cell) -> Published:
    entry = published_number(row)
    if entry is None:
        raise ValueError(f"no published number of {row['display_name']}")
    return entry


def published_entry(entry: Published, **more: Any) -> Entry:
    """A printed number with its printed deviation."""
    return Entry(entry.accuracy, math.nan if entry.std is None else entry.std, **more)


def _other_numbers(entry: Published) -> str:
    """All other printed numbers of a cell, each with its source and the network and protocol if they are others."""
    texts = []
    for other in other_printed_numbers(entry):
        spread = "" if other.std is None else f" ± {percent(other.std)}"
        network = f", network {other.architecture}" if other.architecture != entry.architecture else ""
        protocol = f", protocol {other.protocol}" if other.protocol != entry.protocol else ""
        texts.append(f"{percent(other.accuracy)}{spread} in {other.cited}{network}{protocol}")
    return "; ".join(texts)


def _published_beside(row: Cell) -> Entry | None:
    """The published number with its difference and mark, or with a note on what keeps them from comparing."""
    entry = published_number(row)
    if entry is None:
        return None
    others = _other_numbers(entry)
    notes = [f"from {entry.cited}; {others}"] if others else []
    if not row["sets"]:
        return published_entry(entry, notes=tuple(notes), tip=entry.cited)
    agreement = compare(row, entry)
    words = [f"{difference(agreement.difference)} {agreement.mark}"] if agreement.mark else []
    words += [OPTIMISTIC] if agreement.rule == BEST_ON_TEST else []
    notes += [] if agreement.mark else ["; ".join(agreement.mismatches)]
    tip = "; ".join([entry.cited, *agreement.mismatches])
    return published_entry(entry, words=f"({', '.join(words)})" * bool(words), notes=tuple(notes), tip=tip)


def _mark(row: Cell) -> Entry:
    agreement = compare(row, _published_of(row))
    if agreement.mark:
        return Entry(agreement.mark)
    return Entry(NOT_COMPARABLE, notes=("; ".join(agreement.mismatches),))


def _source(row: Cell) -> Entry:
    entry = _published_of(row)
    return Entry(entry.cited, notes=tuple(filter(None, [_other_numbers(entry)])))


# --- costs ------------------------------------------------------------------------------------------------------------


def _total(prepare: str) -> Callable[[Cell], Entry | float | None]:
    def total(row: Cell) -> Entry | float | None:
        if row["other_device"]:
            return Entry(OTHER_DEVICE)
        of_row = (prepare, "condense_seconds", "evaluate_seconds", "tuning_seconds")
        return known(sum(float(row[name]) for name in of_row))

    return total


def _tuning(row: Cell) -> Entry | float | None:
    return _on_device("tuning_seconds")(row) if row["tuning"] else None


def _ipc(row: Cell) -> Entry:
    return Entry(ipc_number(row), words=f"({row['class_sizes']})" if row["class_sizes"] else "")


def _ratio(row: Cell) -> float:
    stored = known(row["stored_images"]) if row["class_sizes"] else None
    return ratio_percent(row) if stored is None else 100 * stored / row["train_images"]


def _stored(row: Cell) -> float | None:
    return known(row["train_images"] if is_whole(row) else row["stored_images"])


def _networks(row: Cell) -> str:
    """The condensing and the evaluation network: "convnet3 → alexnet", or the only one."""
    return " → ".join(dict.fromkeys(filter(None, (row["condense_architecture"], row["architecture"]))))


# fmt: off
_RANKED, _EVERY = ("comparison", "page"), (
    "comparison", "networks", "protocols", "published", "time", "memory", "condensing", "robustness_scores", "variance",
    "break_even", "page",
)
METHOD = Column("method", "Method", lambda row: row["name"], text=True, names_row=True,
                caption="the method, with the settings in which rows of one name differ", tables=_EVERY)
PRINTED = Column("printed", "Published %", lambda row: published_entry(_published_of(row)), percent,
                 caption="the printed number whose network, protocol and factor fit best", tables=("published",))
ACCURACY = Column("accuracy", "Accuracy %", accuracy_entry, percent,
                  caption="accuracy on the test split after the last epoch, as the mean over sets; [4/5]: four of five "
                          "sets have one", tables=(*_RANKED, "robustness_scores"))
COLUMNS = (
    Column("dataset", "Dataset", lambda row: str(row["dataset_title"]), text=True, names_row=True,
           caption="the dataset", tables=("published", "page")),
    Column("ipc", "IPC", _ipc, images_per_class, names_row=True,
           caption="synthetic images per class; 10 (9–11): from 9 to 11, 10 on average; all: the whole training set",
           tables=_EVERY),
    Column("ratio", "Ratio %", _ratio, short, names_row=True,
           caption="stored images, in percent of the training images",
           tables=("comparison", "networks", "protocols", "page")),
    METHOD,
    Column("network", "Network", _networks, text=True,
           caption="the network that condensed the set → the one that was trained on it", tables=("page",)),
    Column("protocol", "Protocol", lambda row: str(row["protocol"] or "none"), text=True,
           caption="the recipe by which networks were trained on the set", tables=("page",)),

    ACCURACY,
    Column("withheld", "Withheld %", _of("validation_accuracy"), percent,
           caption="accuracy on the training images that val_fraction withholds", tables=("comparison",),
           shown=lambda rows: any(row["val_fraction"] for row in rows)),
    Column("head", "Head %", _of("head_accuracy"), percent,
           caption="mean accuracy of the third of the classes with most training images", tables=("comparison",),
           shown=_has("head_accuracy")),
    Column("middle", "Middle %", _of("middle_accuracy"), percent,
           caption="mean accuracy of the classes in neither of the other two thirds", tables=("comparison",),
           shown=_has("middle_accuracy")),
    Column("tail", "Tail %", _of("tail_accuracy"), percent,
           caption="mean accuracy of the third of the classes with fewest training images", tables=("comparison",),
           shown=_has("tail_accuracy")),
    Column("best_on_test", "Best on test % (optimistic)", _best_on_test, percent,
           caption="the highest mean accuracy of a set's stored snapshots on the test split, which thus chooses it; "
                   "never ranked", tables=_RANKED, shown=_has("optimistic_best_on_test")),
    Column("rank", "Rank", lambda row: " ".join(filter(None, [row["rank"], row["remark"]])), text=True,
           caption="best, second, and n.s. if not better than random", tables=("page",)),
    Column("measured", "Measured %", _measured, percent,
           caption="accuracy by the rule of the published number: last epoch, or best on test where it was scored",
           tables=("published",)),
    Column("published", "Published", _published_beside, percent, text=True,
           caption="the printed number whose network, protocol and factor fit best, with the difference (measured − "
                   "published, in points) if both were measured alike; else a note says what differs", tables=_RANKED,
           shown=lambda rows: any(published_number(row) is not None for row in rows)),
    PRINTED,
    Column("difference", "Difference", lambda row: compare(row, _published_of(row)).difference, difference,
           caption="measured − published, in points", tables=("published",)),
    Column("mark", "Mark", _mark, text=True,
           caption="within, if the difference is at most twice the larger of the two deviations, else above or below; "
                   "not comparable, if anything else differs, which a note names", tables=("published",)),
    Column("source", "Printed in", _source, text=True,
           caption="the paper and table of the published number; a note has what others print", tables=("published",)),

    Column("decoded", "Decoded", _of("decoded_images"), count,
           caption="images that a network trains on, after mosaics are cut up", tables=("comparison",)),
    Column("steps", "Steps", _of("optimizer_steps"), count,
           caption="optimizer steps of each network", tables=("comparison",)),
    Column("stored", "Stored", _stored, count, caption="stored images", tables=("memory", "condensing")),
    Column("size", "Size", _of("bytes"), size, caption="size of the stored set", tables=("memory", "condensing")),
    Column("labels", "Labels", lambda row: str(row["labels"]), text=True,
           caption="hard: networks train on the classes of images; soft: on the labels of a teacher",
           tables=("comparison", "condensing", "page"), shown=_has_soft_labels),
    Column("label_size", "Label size", _of("label_bytes"), size,
           caption="size of the soft labels as float32", tables=("condensing", "page"), shown=_has_soft_labels),
    Column("teacher", "Teacher %", _of("teacher_accuracy"), percent,
           caption="accuracy of the teacher on the test split", tables=("comparison", "condensing", "page"),
           shown=_has_soft_labels),
    Column("teacher_size", "Teacher size", _of("teacher_bytes"), size,
           caption="size of the teacher's weights as float32", tables=("condensing", "page"), shown=_has_soft_labels),
    Column("trials", "Trials", _of("trials"), count,
           caption="settings that were tried on withheld training images, the method's own among them; rows are ranked "
                   "among those of as many trials", tables=("comparison", "time", "condensing", "page"),
           shown=_is_tuned),
    Column("tuning", "Tuning s", _tuning, seconds,
           caption="seconds of all trials: their experts, sets and networks", tables=("time", "condensing", "page"),
           shown=_is_tuned),
    Column("experts", "Experts", _of("experts"), count,
           caption="trained networks that a set uses; each is one prepare task", tables=("memory", "condensing"),
           shown=uses_experts),
    Column("prepare_full", "Prepare s (full)", _on_device("prepare_seconds"), seconds,
           caption="seconds of all experts that a set used, even if other sets used them too",
           tables=("time", "condensing", "page"), shown=uses_experts),
    Column("prepare_shared", "Prepare s (shared)", _on_device("prepare_shared"), seconds,
           caption="the same with each expert's seconds divided by the number of stored sets that use it",
           tables=("time", "condensing"), shown=uses_experts),
    Column("prepare_peak", "Prepare peak", _on_device("prepare_peak_bytes"), size,
           caption="the most memory that training one expert used: allocated on a GPU, resident on a CPU",
           tables=("memory", "condensing"), shown=uses_experts),
    Column("condense", "Condense s", _on_device("condense_seconds"), seconds,
           caption="seconds of condensing one set", tables=("time", "condensing", "page")),
    Column("condense_peak", "Condense peak", _on_device("condense_peak_bytes"), size,
           caption="the most memory that condensing one set used", tables=("memory", "condensing")),
    Column("evaluate", "Evaluate s", _on_device("evaluate_seconds"), seconds,
           caption="seconds of training and scoring all networks of one set", tables=("comparison", "time", "page")),
    Column("evaluate_peak", "Evaluate peak", _on_device("evaluate_peak_bytes"), size,
           caption="the most memory that evaluating one set used", tables=("memory",)),
    Column("total_full", "Total s (full)", _total("prepare_seconds"), seconds,
           caption="preparing in full, condensing, evaluating, and all trials of tuning", tables=("time", "page")),
    Column("total_shared", "Total s (shared)", _total("prepare_shared"), seconds,
           caption="shared preparing, condensing, evaluating, and all trials of tuning", tables=("time",),
           shown=uses_experts),

    Column("hlr", "HLR", _of("hlr"), difference,
           caption="hard-label recovery: accuracy of the whole set − the set's, in points",
           tables=("robustness_scores",)),
    Column("ior", "IOR", _of("ior"), difference,
           caption="improvement over random: the set's accuracy − that of random images at the same ipc, in points",
           tables=("robustness_scores",)),
    Column("lrs", "LRS %", lambda row: row["lrs"], percent,
           caption="label-robust score: (exp(α) − exp(−1)) / (exp(1) − exp(−1)) with α = (IOR − HLR) / 2 on fractions",
           tables=("robustness_scores",)),
    Column("plain", "Plain %", lambda row: row["plain"], percent,
           caption="accuracy under the protocol with neither augmentation nor mixing", tables=("robustness_scores",)),
    Column("ars", "ARS %", lambda row: row["ars"], percent,
           caption="augmentation-robust score: as LRS, of the mean of IOR with and without augmentation",
           tables=("robustness_scores",)),

    Column("mean", "Mean %", lambda row: row["mean"], percent,
           caption="mean accuracy with its 95 % interval by Student's t over sets; for the whole set over networks",
           tables=("variance",)),
    Column("sample", "Sets × networks", lambda row: Entry(int(row["sets"]), words=f"× {row['networks']}"), count,
           caption="sets, and networks trained on each", tables=("variance", "page")),
    Column("between", "± sets", lambda row: row["between"], percent,
           caption="the deviation that is due to the condensation seed, with its 95 % interval", tables=("variance",)),
    Column("within", "± networks", lambda row: row["within"], percent,
           caption="the deviation that is due to an evaluation network's own seed, with its 95 % interval",
           tables=("variance",)),
    Column("share", "Share of sets %", lambda row: row["share"], whole_percent,
           caption="the sets' part of the sum of both variances, with its 95 % interval", tables=("variance",)),

    Column("to_reach", "To reach %", _of("to_reach"), percent,
           caption="the accuracy that training on the whole set has to reach", tables=("break_even",)),
    Column("set", "Set s", _of("set_seconds"), seconds,
           caption="seconds of preparing in full and condensing one set, and of all trials of tuning",
           tables=("break_even",)),
    Column("one_network", "One network s", _of("network_seconds"), seconds,
           caption="seconds of training and scoring one network on the set", tables=("break_even",)),
    Column("set_and_network", "Total s", _of("total_seconds"), seconds,
           caption="the set and one network", tables=("break_even",)),
    Column("whole", "Whole set s", lambda row: row["whole_entry"], seconds,
           caption="seconds of training one network on all images until it is as accurate", tables=("break_even",)),
    Column("whole_ratio", "Total / whole", lambda row: row["ratio_entry"], short,
           caption="seconds with the set over seconds with the whole set", tables=("break_even",)),
    Column("pays_after", "Pays after", lambda row: row["pays_after"], count,
           caption="the number of trained networks from which making the set saves time; never: a network takes as "
                   "long on the set as on the whole set", tables=("break_even",)),
)
# fmt: on


def columns_of(kind: str, rows: Sequence[Cell], options: Options, columns: Sequence[Column] = COLUMNS) -> list[Column]:
    """The columns of a table: those that name the row, then the others that its rows need, as `options` choose.

    columns: those to choose from; any that are not among COLUMNS are always shown. Raises ResultsError if
    `options.columns` has a name that no column has.
    """
    check_columns(options, columns)
    own = [column for column in columns if kind in column.tables and column.shown(rows)]
    if not options.columns:
        return own
    naming = [column for column in own if column.names_row]
    by_name = {column.name: column for column in own if not column.names_row}
    chosen = [by_name[name] for name in options.columns if name in by_name]
    return [*naming, *chosen, *(column for column in by_name.values() if column not in COLUMNS)]


def check_columns(options: Options, columns: Sequence[Column] = COLUMNS) -> None:
    """Raise ResultsError if `options.columns` has a name that no column has."""
    names = dict.fromkeys(column.name for column in columns)
    for name in options.columns:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            what = f"there is no column '{name}'.{hint}"
            raise ResultsError(what, where=f"columns=[{name}]", next=f"known: {', '.join(sorted(names))}")
