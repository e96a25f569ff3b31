"""Best on test: shown beside the last accuracy, marked optimistic everywhere, never ranked, compared with its like."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from table_parts import column, heads, ranks

from results.aggregation.cells import cells
from results.published.compare import compare, published_number
from results.rendering.files import to_csv
from results.rendering.html import page
from results.rendering.text import to_markdown
from results.tables.comparison import comparison_tables
from results.tables.published import published_tables

COLUMN = "Best on test % (optimistic)"
DANCE = {"protocol": "dance", "display": {"factor": 2}}
DANCE_EPOCHS = {"resolved": {"protocol": {"name": "dance", "version": 1, "epochs": 1500}}}


@pytest.fixture
def make_scored(make_condensed, make_evaluated, make_best_on_test):
    """Cells of three sets of DANCE on CIFAR-10 at ipc 50, with the accuracies of each set and of its snapshots."""

    def make(last=(0.75, 0.752, 0.754), best=(0.76, 0.762, 0.764), scored=3):
        records = []
        for seed, accuracy in enumerate(last):
            condensed = make_condensed("dance", seed, ipc=50)
            evaluated = make_evaluated(condensed, [accuracy], **DANCE, **DANCE_EPOCHS)
            records += [condensed, evaluated]
            if seed < scored:
                records.append(make_best_on_test(evaluated, [0.3], [best[seed]], [accuracy]))
            random = make_condensed("random", seed, ipc=50)
            records += [random, make_evaluated(random, [accuracy - 0.3], protocol="dance", **DANCE_EPOCHS)]
        return cells(records)

    return make


def test_it_stands_beside_the_last_accuracy_and_is_never_ranked(make_scored):
    (table,) = comparison_tables(make_scored())
    (plain,) = comparison_tables(make_scored(scored=0))
    assert [name for name in heads(table) if name not in heads(plain)] == [COLUMN]
    assert column(table, "Accuracy %") == {"RANDOM": "45.2 ± 0.2", "DANCE": "75.2 ± 0.2"}
    assert column(table, COLUMN) == {"RANDOM": "–", "DANCE": "76.2 ± 0.2"}
    assert ranks(table) == ranks(plain) and all(at != heads(table).index(COLUMN) for _, at in ranks(table))


def test_every_form_says_that_it_is_optimistic(make_scored):
    frame = make_scored()
    (table,) = comparison_tables(frame)
    assert COLUMN in to_markdown(table) and "optimistic" in page([table], "")
    read = pd.read_csv(io.StringIO(to_csv(frame))).set_index("method")
    assert read.optimistic_best_on_test["dance"] == pytest.approx(0.762)
    assert not [name for name in read.columns if "best" in name and "optimistic" not in name]


def test_it_is_compared_with_published_numbers_of_the_same_rule_only(make_scored):
    (row,) = make_scored().query("method == 'dance'").to_dict("records")
    found = compare(row, published_number(row))
    assert (found.rule, found.mark) == ("best_on_test", "within")
    assert found.difference == pytest.approx(0.762 - 0.761)
    (table,) = published_tables(make_scored())
    (shown,) = (row for row in table.texts() if row[2] == "DANCE")
    assert shown[3:7] == ["76.2 ± 0.2 (best on test, optimistic)", "76.1 ± 0.1", "+0.1", "within"]
    (table,) = comparison_tables(make_scored())
    assert "76.1 ± 0.1 (+0.1 within, best on test, optimistic)" in table.texts()[1]
    (row,) = make_scored(scored=0).query("method == 'dance'").to_dict("records")
    last = compare(row, published_number(row))
    assert (last.rule, last.mark) == ("last", None) and last.difference == pytest.approx(0.752 - 0.761)
    (random,) = make_scored().query("method == 'random'").to_dict("records")
    assert compare(random, published_number(random)).rule == "last"


def test_it_is_unknown_unless_every_set_was_scored_so(make_scored):
    frame = make_scored(scored=2).set_index("method")
    assert pd.isna(frame.optimistic_best_on_test["dance"]) and frame.accuracy["dance"] == pytest.approx(0.752)
