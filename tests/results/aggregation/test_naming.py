"""Names of rows and sets: each is told from the others by the settings in which they differ."""

from __future__ import annotations

import pytest

from results.aggregation.naming import distinguish, names


def rows(*specs, display_name="dm", **more):
    row = {"display_name": display_name, "method": "dm", "title": "DM", "ipc": 1, **more}
    return [{**row, "cell_spec": {"condensed": "here", **spec}} for spec in specs]


def test_a_row_has_the_methods_title_and_no_settings_while_its_name_is_its_own():
    alone = [*rows({"lr": 1.0}), *rows({"lr": 2.0}, ipc=10), *rows({"lr": 3.0}, display_name="dm@f2 (lr=3.0)")]
    assert names(alone) == ["DM", "DM", "DM@f2 (lr=3.0)"]


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (({"settings.lr": 1.0, "settings.n": 1}, {"settings.lr": 2.0, "settings.n": 1}), ["lr=1.0", "lr=2.0"]),
        (({"snapshots": 4}, {}), ["snapshots=4", "without snapshots"]),
        # A row that was never evaluated does not make the others name the settings of evaluations.
        (
            ({"settings.iterations": 4, "evaluation.num_eval": 1}, {"settings.iterations": 50}),
            ["iterations=4", "iterations=50"],
        ),
        # Evaluations are compared where there are any.
        (
            ({"lr": 1, "evaluation.num_eval": 1}, {"lr": 1, "evaluation.num_eval": 5}, {"lr": 2}),
            ["lr=1, evaluation.num_eval=1", "lr=1, evaluation.num_eval=5", "lr=2"],
        ),
        # Three settings are enough, but where the fourth is the only difference.
        (({"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 2, "b": 2, "c": 2, "d": 2}), ["a=1, b=1, c=1", "a=2, b=2, c=2"]),
        (
            ({"a": 1, "b": 1, "c": 1, "d": 1}, {"a": 2, "b": 2, "c": 2, "d": 2}, {"a": 1, "b": 1, "c": 1, "d": 3}),
            ["a=1, b=1, c=1, d=1", "a=2, b=2, c=2, d=2", "a=1, b=1, c=1, d=3"],
        ),
    ],
)
def test_rows_of_one_name_show_the_settings_in_which_they_differ(specs, expected):
    assert names(rows(*specs)) == [f"DM [{text}]" for text in expected]


def test_sets_condensed_here_and_elsewhere_are_not_compared_with_each_other():
    here, ours = {"condensed": "here", "lr": 1.0}, {"condensed": "here", "lr": 2.0}
    first, second = ({"condensed": "elsewhere", "source": name} for name in ("a.pt", "b.pt"))
    assert distinguish([here, first]) == ["condensed here", "condensed elsewhere"]
    assert distinguish([first, second]) == ["source=a.pt", "source=b.pt"]
    elsewhere = ["condensed elsewhere, source=a.pt", "condensed elsewhere, source=b.pt"]
    assert distinguish([here, ours, first, second]) == ["lr=1.0", "lr=2.0", *elsewhere]
