"""Accuracy matrices from hand-made records: columns, rows, marks, notes and captions."""

from __future__ import annotations

import pandas as pd
import pytest
from table_parts import entries, mean

from results.aggregation.cells import cells
from results.aggregation.options import Options
from results.tables.accuracy import matrices
from results.tables.model import Entry

LEADER = [0.60, 0.61, 0.62, 0.61, 0.60]
LOWER = [0.50, 0.52, 0.51, 0.50, 0.51]
HUNDRED = {"num_classes": 100, "dataset_title": "CIFAR-100"}


def only(frame):
    (matrix,) = matrices(frame)
    return matrix


def shown(table):
    """Title → text of each entry, followed by its rank."""
    numbers = table.columns[1]  # all print percent
    return {
        name: [table.text(numbers, entry) + (f" {entry.rank}" if entry.rank else "") for entry in row]
        for name, row in entries(table).items()
    }


def datasets(table):
    """Title → the ipcs and ratios of its columns."""
    columns = {}
    for column in table.columns[1:]:
        title, ipc, ratio = column.heads
        columns.setdefault(title, []).append((ipc, ratio))
    return columns


def titles(table):
    """The names of the rows in each block, by the block's name."""
    return [(block.name, [row[0].value for row in block.rows]) for block in table.blocks]


def wholes(table):
    return [row for block in table.blocks if block.name == "" for row in block.rows]


def test_datasets_are_across_with_their_ipcs_and_computed_ratios(make_cells):
    ten = make_cells({"dm": LEADER}, condensed={"ipc": 50, "display": {"dataset_title": "CIFAR-10"}})
    more = [make_cells({"dm": LOWER}, condensed={"ipc": ipc, "display": HUNDRED}, dataset="cifar100",
                       evaluated={"display": HUNDRED}) for ipc in (50, 1)]  # fmt: skip
    own = {"num_classes": 7, "train_images": 1234}
    photos = make_cells({"dm": LOWER}, condensed={"display": own}, dataset="photos", evaluated={"display": own})
    matrix = only(pd.concat([ten, *more, photos]))
    # 50·10/50,000; 1·100/50,000 and 50·100/50,000 (printed 0.02 and 1 in Table 1 of DANCE); 10·7/1,234
    assert datasets(matrix) == {
        "cifar10": [("50", "1")],
        "CIFAR-100": [("1", "0.2"), ("50", "10")],
        "photos": [("10", "5.67")],
    }
    assert shown(matrix) == {"DM": ["60.8 ± 0.8", "50.8 ± 0.8", "50.8 ± 0.8", "50.8 ± 0.8"]}


def test_a_dataset_has_its_title_if_a_record_has_one(make_cells):
    old = make_cells({"dm": LEADER})
    assert list(datasets(only(old))) == ["cifar10"]
    new = make_cells({"dc": LEADER}, evaluated={"display": {"dataset_title": "CIFAR-10"}})
    assert list(datasets(only(pd.concat([old, new])))) == ["CIFAR-10"]
    mine = make_cells({"dc": LEADER}, dataset="mine", evaluated={"display": {"dataset_title": "CIFAR-10"}})
    assert list(datasets(only(pd.concat([new, mine])))) == ["CIFAR-10 (cifar10)", "CIFAR-10 (mine)"]


def test_methods_are_in_family_blocks_and_random_is_first(make_cells, make_evaluated):
    families = {"herding": ("coreset", 0), "dc": ("gradient matching", 2021), "dsa": ("gradient matching", 2020),
                "mtt": ("trajectory matching", 2022), "dm": ("distribution matching", 2023),
                "krr": ("kernel ridge", 2021), "abc": ("alphabet", 2021)}  # fmt: skip
    frames = []
    for name, (family, year) in reversed(families.items()):
        card = {"name": name, "title": name, "family": family, "year": year}
        frames.append(make_cells({name: LEADER}, condensed={"display": {"card": card}}))
    controls = make_cells({"random@f2": LEADER, "random": LEADER}, extra=[make_evaluated(None, [0.8])])
    matrix = only(pd.concat([*frames, controls]))
    assert titles(matrix) == [
        ("coreset", ["RANDOM", "RANDOM@f2", "herding"]),
        ("gradient matching", ["dsa", "dc"]),
        ("trajectory matching", ["mtt"]),
        ("distribution matching", ["dm"]),
        ("alphabet", ["abc"]),
        ("kernel ridge", ["krr"]),
        ("", ["WHOLE"]),
    ]


def test_the_whole_set_has_one_entry_for_each_dataset(make_cells, make_evaluated):
    frame = make_cells({"dm": LEADER}, condensed={"ipc": 1})
    more = make_cells({"dm": LEADER}, extra=[make_evaluated(None, [0.84, 0.85])])
    lonely = cells([make_evaluated(None, [0.9], dataset="svhn")])
    matrix = only(pd.concat([frame, more, lonely]))
    assert datasets(matrix) == {"cifar10": [("1", "0.02"), ("10", "0.2")], "svhn": [("all", "100")]}
    assert shown(matrix)["WHOLE"] == ["84.5 ± 0.7†", "90.0"]
    assert [entry.span for entry in wholes(matrix)[0]] == [1, 2, 0, 1]
    assert entries(matrix)["DM"][2] == Entry()


def test_a_note_gives_the_reason_for_a_missing_entry(make_cells, make_condensed):
    gone = [make_condensed("dc", status="diverged", message="the loss is nan"), make_condensed("dm", seed=9)]
    gone += [make_condensed("idm", status="unsupported", message="BatchNorm"), make_condensed("dc", ipc=1, seed=3)]
    frame = make_cells({"dm": LEADER}, extra=gone)
    one = make_cells({"random": LEADER}, condensed={"ipc": 1})
    (matrix,) = matrices(pd.concat([one, frame]), Options(explain_missing=True))
    assert shown(matrix) == {
        "RANDOM": ["60.8 ± 0.8", "– ¹"],
        "DC": ["– ¹", "– ²"],
        "DM": ["– ¹", "60.8 ± 0.8 ³"],
        "IDM": ["– ¹", "– ⁴"],
    }
    never = "not run: the store has no such task"
    assert matrix.notes == [never, "diverged: the loss is nan", "5 of 6 sets", "unsupported: BatchNorm"]


def test_reasons_are_optional_but_an_entry_of_fewer_sets_always_has_a_note(make_cells, make_condensed):
    gone = [make_condensed("dc", status="diverged", message="the loss is nan"), make_condensed("dm", seed=9)]
    matrix = only(make_cells({"dm": LEADER}, extra=gone))
    assert shown(matrix) == {"DC": ["–"], "DM": ["60.8 ± 0.8 ¹"]}
    assert matrix.notes == ["5 of 6 sets"]


def test_a_single_set_is_marked_and_a_single_network_has_no_deviation(make_cells, make_condensed, make_evaluated):
    condensed = make_condensed("dc")
    frame = make_cells({"dm": [0.5]}, extra=[condensed, make_evaluated(condensed, [0.4, 0.6])])
    assert shown(only(frame)) == {"DC": ["50.0 ± 14.1†"], "DM": ["50.0"]}


def test_ranks_are_those_of_their_column(make_cells):
    ten = make_cells({"random": LOWER, "dm": LEADER, "dc": LEADER[::-1]})
    one = make_cells({"random": LEADER, "dm": LOWER}, condensed={"ipc": 1})
    ranks = {name: [entry.rank for entry in row] for name, row in entries(only(pd.concat([ten, one]))).items()}
    assert ranks == {"RANDOM": ["best", "second"], "DM": ["", "best"], "DC": ["", "best"]}


def test_one_matrix_for_each_protocol_version_and_pair_of_networks(make_cells, make_evaluated):
    changes = [
        ({}, {}),
        ({}, {"protocol": "dc"}),
        ({}, {"resolved": {"protocol": {"name": "dsa", "version": 2}}}),
        ({}, {"resolved": {"architecture": "alexnet"}}),
        ({"resolved": {"architecture": "convnet3-bn"}}, {"display": {"condense_architecture": "convnet3-bn"}}),
    ]
    frames = [make_cells({"dm": LEADER}, condensed=condensed, evaluated=scored) for condensed, scored in changes]
    all_matrices = matrices(pd.concat([*frames, cells([make_evaluated(None, [0.8])])]))
    assert [matrix.label for matrix in all_matrices] == [
        "dsa-v1-convnet3-convnet3",
        "dc-v1-convnet3-convnet3",
        "dsa-v2-convnet3-convnet3",
        "dsa-v1-convnet3-alexnet",
        "dsa-v1-convnet3-bn-convnet3",
    ]
    assert [len(wholes(matrix)) for matrix in all_matrices] == [1, 0, 0, 0, 1]  # for every condensing network
    assert all_matrices[1].title == "Test accuracy (%), condensed with convnet3, evaluated with convnet3, protocol dc"


def test_native_recipes_share_a_matrix_without_an_order(make_cells):
    frames = [make_cells({name: means}, evaluated={"protocol": "native", "recipe": recipe})
              for name, means, recipe in (("dm", LEADER, "dsa"), ("dc", LOWER, "dc"))]  # fmt: skip
    matrix = only(pd.concat(frames))
    assert matrix.label == "native-convnet3-convnet3"
    assert {entry.rank for row in entries(matrix).values() for entry in row} == {""}
    assert "rows do not compare" in matrix.captions[0] and "marked" not in " ".join(matrix.captions)


# --- rows of one name -------------------------------------------------------------------------------------------------


def sets(make_condensed, make_evaluated, *requests, evaluate=True):
    """Records of DM for each (ipc, settings)."""
    condensed = [make_condensed(ipc=ipc, resolved={"settings": settings}) for ipc, settings in requests]
    return [*condensed, *(make_evaluated(one, [0.5]) for one in condensed if evaluate)]


def test_a_row_may_have_other_settings_at_every_ipc(make_condensed, make_evaluated):
    records = sets(make_condensed, make_evaluated, (1, {"lr": 1.0}), (10, {"lr": 2.0}))
    assert list(entries(only(cells(records)))) == ["DM"]


def test_rows_of_one_name_in_one_column_say_what_differs_in_all_columns(make_condensed, make_evaluated):
    requests = [(1, {"lr": 1.0, "n": 1}), (10, {"lr": 1.0, "n": 2}), (10, {"lr": 0.5, "n": 2})]
    rows = entries(only(cells(sets(make_condensed, make_evaluated, *requests))))
    assert {title: [mean(entry) for entry in row] for title, row in rows.items()} == {
        "DM [lr=0.5]": ["–", "50.0"],
        "DM [lr=1.0]": ["50.0", "50.0"],
    }


def test_no_cell_is_lost_however_many_settings_differ(make_condensed, make_evaluated):
    common = {"a": 1, "b": 1, "c": 1, "d": 1}
    requests = [(10, common), (10, dict.fromkeys(common, 2)), (10, {"a": 1, "b": 1, "c": 1, "d": 3})]
    rows = entries(only(cells(sets(make_condensed, make_evaluated, *requests))))
    assert list(rows) == ["DM [a=1, b=1, c=1, d=1]", "DM [a=1, b=1, c=1, d=3]", "DM [a=2, b=2, c=2, d=2]"]
    more = entries(only(cells(sets(make_condensed, make_evaluated, (10, {"lr": 1.0}), (10, {"lr": 1.0, "new": 5})))))
    assert sorted(more) == ["DM [new=5]", "DM [without new]"]  # of two versions of a method


def test_a_failed_row_is_distinguished_by_its_settings_alone(make_condensed, make_evaluated):
    good = sets(make_condensed, make_evaluated, (1, {"lr": 1.0}), (10, {"lr": 1.0}))
    bad = {"resolved": {"settings": {"lr": 9.0}}, "status": "diverged", "message": "nan"}
    rows = entries(only(cells([*good, make_condensed(ipc=1, **bad), make_condensed(ipc=10, **bad)])))
    assert {title: [mean(entry) for entry in row] for title, row in rows.items()} == {
        "DM [lr=1.0]": ["50.0", "50.0"],
        "DM [lr=9.0]": ["–", "–"],
    }


def test_sets_condensed_elsewhere_are_lines_of_their_own(make_condensed, make_evaluated):
    here = sets(make_condensed, make_evaluated, (1, {"lr": 1.0}), (10, {"lr": 1.0}))
    foreign = make_condensed(seed=7)
    records = [*here, make_evaluated(foreign, [0.4])]
    rows = entries(only(cells(records)))
    assert {title: [mean(entry) for entry in row] for title, row in rows.items()} == {
        "DM [condensed elsewhere]": ["–", "40.0"],
        "DM [condensed here]": ["50.0", "50.0"],
    }
    more = entries(only(cells([*records, make_evaluated(foreign, [0.4, 0.6])])))
    assert "DM [condensed elsewhere, evaluation.num_eval=2]" in more and len(more) == 3


# --- captions ---------------------------------------------------------------------------------------------------------


def caption(frame):
    return " ".join(only(frame).captions)


def test_captions_name_the_circumstances(make_cells, make_evaluated, make_condensed):
    slow = make_condensed("dc", environment={"device": "cpu EPYC", "threads": 2, "commit": "fedcba9876", "dirty": True})
    records = [slow, make_evaluated(slow, [0.4, 0.5]), make_evaluated(None, [0.8, 0.9])]
    more = make_cells({"dm": LOWER[:3]}, condensed={"ipc": 50})
    (terms, marks, origin) = only(
        pd.concat([make_cells({"dm": LEADER, "random": LOWER}, extra=records), more])
    ).captions
    assert terms == "Protocol dsa v1. Seeds × networks: 1 × 2, 3–5 × 1 for DM. All iterations."
    assert marks == "n.s.: no better than random. ±: over sets, †: over networks. Best and second best: tested."
    assert origin == (
        "NVIDIA H100, cpu EPYC × 2 threads, fp32; NVIDIA H100, fp32. Code: commits 0123456789, fedcba9876 (dirty)."
    )


def test_captions_say_what_equal_seconds_came_to(make_cells):
    def row(name, spread, seconds):
        display = {"budget": {"seconds": 60.0, "spread": spread}}
        return make_cells(
            {name: LEADER}, condensed={"display": display, "seconds": seconds}, evaluated={"display": display}
        )

    text = caption(pd.concat([row("dm", 0.02, 58.0), row("dc", 0.11, 71.0)]))
    assert "Equal seconds: 60 s ± 11 % a set, of which it took 58–71 s." in text
    assert "Equal seconds" not in caption(make_cells({"dm": LEADER}))


def test_captions_say_where_no_order_is_drawn(make_cells):
    def column(ipc, fraction, **more):
        return make_cells(
            {"dm": LEADER, "random": LOWER},
            condensed={"ipc": ipc, "display": {"iterations_fraction": fraction}},
            **more,
        )

    some = pd.concat([column(1, 0.01), column(10, 0.01), column(50, 1.0), column(1, 0.02, dataset="svhn")])
    text = caption(some)
    assert "Not ranked for cifar10 at ipc 1, 10; svhn at ipc 1: too few iterations." in text
    assert "Iterations: 1–100 %." in text and "second best" in text
    assert [entry.rank for entry in entries(only(some))["DM"]] == ["", "", "best", ""]
    text = caption(column(1, 0.01))
    assert "Not ranked: too few iterations." in text and "second best" not in text
    assert "differ" not in text
    assert "Not ranked" not in caption(column(1, 1.0)) and "All iterations." in caption(column(1, 1.0))


def test_budgets_that_differ_between_methods_are_named(make_cells):
    budgets = [("dm", 0.5, 1), ("dm", 1.0, 10), ("dc", 0.1, 1), ("idm", 0.1, 1)]
    frames = [make_cells({name: LEADER}, condensed={"display": {"iterations_fraction": fraction}, "ipc": ipc})
              for name, fraction, ipc in budgets]  # fmt: skip
    assert "Iterations: 50–100 % for DM, 10 % for DC, IDM." in caption(pd.concat(frames))
    assert "Budgets differ for cifar10 at ipc 1." in caption(pd.concat(frames))


def test_coresets_and_rounding_make_no_budget_unequal(make_cells):
    card = {"name": "herding", "title": "Herding", "family": "coreset", "year": 0}
    frames = [make_cells({"herding": LOWER}, condensed={"display": {"card": card}})]
    frames += [make_cells({name: LEADER}, condensed={"display": {"iterations_fraction": fraction}})
               for name, fraction in (("dm", 0.1), ("dc", 0.1004))]  # fmt: skip
    assert "differ" not in caption(pd.concat(frames))


def test_what_is_not_better_than_random_is_marked(make_cells):
    matrix = only(
        make_cells({"random": LOWER, "random@f2": LEADER, "dm": LEADER[::-1], "dc": [x + 0.1 for x in LEADER]})
    )
    assert {title: row[0].words for title, row in entries(matrix).items()} == {
        "RANDOM": "", "RANDOM@f2": "", "DM": "n.s.", "DC": ""}  # fmt: skip
    assert "n.s.: no better than random" in " ".join(matrix.captions)


def test_rows_with_different_withheld_fractions_are_ranked_separately(make_cells):
    def half(share, means):
        resolved = {"resolved": {"val_fraction": share}}
        return make_cells({"dm": means, "random": LOWER}, condensed=resolved, evaluated=resolved)

    both = pd.concat([half(0.0, LEADER), half(0.1, [value + 0.1 for value in LEADER])])
    assert "Withheld: 0, 10 %." in caption(both)
    ranks = {title: [entry.rank for entry in row] for title, row in entries(only(both)).items()}
    assert list(ranks.values()) == [["second"], ["second"], ["best"], ["best"]]
    assert "DM [val_fraction=0.1, evaluation.val_fraction=0.1]" in ranks


@pytest.mark.parametrize("dataset", ["digits", "cifar10"])
def test_digits_demonstrate_and_rank_nothing(make_cells, dataset):
    matrix = only(make_cells({"dm": LEADER, "random": LOWER}, dataset=dataset))
    assert ("Digits rank nothing." in matrix.captions[1]) == (dataset == "digits")
    assert (entries(matrix)["DM"][0].rank == "best") == (dataset == "cifar10")


def test_nothing_gives_no_matrix():
    assert matrices(cells([])) == []
