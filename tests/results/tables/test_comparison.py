"""Tables from hand-made records, read as a whole; and the rules that single cells show."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console
from table_parts import column, ranks

from results.aggregation.cells import cells
from results.aggregation.options import AS_RUN, Options
from results.errors import ResultsError
from results.rendering.files import to_csv, write_tables
from results.rendering.text import lines_below, render_rich, to_markdown
from results.tables.comparison import comparison_tables

GOLDEN = """\
### cifar10, condensed with convnet3, evaluated with convnet3, protocol dsa

| IPC | Ratio % | Method | Accuracy % | Published | Decoded | Steps | Evaluate s |
| --: | --: | :-- | --: | :-- | --: | --: | --: |
| 10 | 0.2 | RANDOM | <ins>26.0 ± 0.8</ins> | 26.0 ± 1.2 ¹ ² | 100 | 1,000 | 50 |
| 10 | 0.2 | DC | diverged ³ | 44.9 ± 0.5 | – | – | – |
| 10 | 0.2 | DM | **48.9 ± 0.4** | 48.9 ± 0.6 (0.0 within) | 100 | 1,000 | 50 |
| all | 100 | WHOLE | 84.5 ± 0.7† | 84.8 ± 0.1 ⁴ | 100 | 1,000 | 500 |

- Protocol dsa v1. Seeds × networks: 5 × 5. All iterations.
- ±: over sets, †: over networks. Best and second best: tested.
- NVIDIA H100, fp32. Code: commit 0123456789. Explained in docs/reading-tables.md#comparison.
- ¹ from DANCE (IJCAI 2024), Table 1 (reprint); 31.0 in DATM (ICLR 2024), README figure at 97ae510, protocol datm
- ² protocol dsa, published dc
- ³ the loss is nan at step 7
- ⁴ protocol dsa, published unknown; published accuracy rule is unknown, ours last
"""


RANDOM = [0.26, 0.25, 0.27, 0.265, 0.255]
BETTER = [0.489, 0.483, 0.495, 0.49, 0.488]


def test_the_caption_says_what_of_the_protocol_is_ours(make_cells):
    frame = make_cells({"dm": RANDOM}, evaluated={"display": {"protocol_note": "1,300 epochs with 50 classes"}})
    (table,) = comparison_tables(frame)
    assert table.captions[0].startswith("Protocol dsa v1 (ours: 1,300 epochs with 50 classes).")


def test_golden(make_expert, make_condensed, make_evaluated):
    expert = make_expert(0, seconds=120.0)
    randoms = [make_condensed("random", seed, seconds=0.01) for seed in range(5)]
    sets = [make_condensed("dm", seed, seconds=3600.0, resolved={"experts": [expert["identity"]]}) for seed in range(5)]
    gone = make_condensed("dc", status="diverged", message="the loss is nan at step 7")
    means = dict(zip(map(id, [*randoms, *sets]), [*RANDOM, *BETTER], strict=True))
    scores = [make_evaluated(condensed, [means[id(condensed)]] * 5, seconds=50.0) for condensed in [*randoms, *sets]]
    whole = make_evaluated(None, [0.84, 0.85], seconds=500.0)
    frame = cells([expert, *randoms, *sets, gone, *scores, whole])
    (table,) = comparison_tables(frame, AS_RUN)
    assert to_markdown(table) == GOLDEN
    (table,) = comparison_tables(frame)
    assert column(table, "Accuracy %")["DC"] == "–" and "nan at step 7" not in to_markdown(table)


def test_a_method_no_better_than_random_is_marked(make_cells):
    (table,) = comparison_tables(
        make_cells({"random": RANDOM, "dm": [x + 0.002 * (-1) ** i for i, x in enumerate(RANDOM)]})
    )
    assert column(table, "Accuracy %")["DM"].endswith(" n.s.")
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm": BETTER}))
    assert column(table, "Accuracy %") == {"RANDOM": "26.0 ± 0.8", "DM": "48.9 ± 0.4"}


def test_better_than_random_means_than_either_control(make_cells):
    (table,) = comparison_tables(make_cells({"random": RANDOM, "random@f2": BETTER, "dm": BETTER}))
    assert column(table, "Accuracy %")["DM"].endswith(" n.s.")


def test_the_correction_counts_the_methods_at_an_ipc(make_cells):
    barely = [x + gap for x, gap in zip(RANDOM, (0.0, 0.01, 0.02, 0.005, 0.01), strict=True)]  # p = 0.027
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm": barely}))
    assert "n.s." not in column(table, "Accuracy %")["DM"]
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm": barely, "dc": RANDOM}))
    assert "n.s." in column(table, "Accuracy %")["DM"]


def test_too_few_sets_are_not_tested_rather_than_passed(make_cells):
    (table,) = comparison_tables(make_cells({"random": [0.2], "dm": [0.9]}))
    assert column(table, "Accuracy %")["DM"] == "90.0 n.t."


def test_native_compares_with_the_paper_only(make_cells):
    frame = make_cells({"random": RANDOM, "dm": RANDOM}, evaluated={"protocol": "native", "recipe": "dsa"})
    (table,) = comparison_tables(frame)
    assert "n.s." not in column(table, "Accuracy %")["DM"] and "n.s." not in " ".join(table.captions)
    assert column(table, "Published")["DM"] == "48.9 ± 0.6 (−22.9 below)"
    assert "rows do not compare" in table.captions[0]


def test_one_table_for_each_protocol_and_the_whole_set_in_each(make_cells, make_evaluated):
    extra = [make_evaluated(None, [0.8], protocol=name) for name in ("dsa", "dc")]
    frame = pd.concat([make_cells({"dm": BETTER}, evaluated={"protocol": name}) for name in ("dsa", "dc")])
    tables = comparison_tables(pd.concat([frame, cells(extra)]))
    assert [table.title.rpartition(" ")[2] for table in tables] == ["dsa", "dc"]
    assert [list(column(table, "IPC")) for table in tables] == [["DM", "WHOLE"]] * 2


def test_rows_of_one_name_say_what_differs(make_condensed, make_evaluated):
    sets = [make_condensed(), make_condensed(resolved={"settings": {"lr": 0.5}}), make_condensed(seed=7)]
    records = [*sets[:2], *(make_evaluated(condensed, [0.5]) for condensed in sets)]
    (table,) = comparison_tables(cells(records))
    assert set(column(table, "IPC")) == {"DM [lr=1.0]", "DM [lr=0.5]", "DM [condensed elsewhere]"}


def test_seconds_of_two_devices_do_not_share_a_table(make_cells, make_condensed, make_evaluated):
    slow = {"device": "cpu EPYC", "threads": 2}
    other = make_condensed("dm", environment=slow)
    frame = make_cells({"random": RANDOM, "dc": BETTER}, extra=[other, make_evaluated(other, [0.5], environment=slow)])
    (table,) = comparison_tables(frame)
    assert column(table, "Evaluate s") == {"RANDOM": "1.0", "DC": "1.0", "DM": "‡"}
    assert "Seconds and memory of NVIDIA H100, fp32; ‡ ran on cpu EPYC × 2 threads" in table.captions[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "digits"}, "Digits rank nothing."),
        ({"condensed": {"display": {"iterations_fraction": 0.01}}}, "Iterations: 1 %."),
        ({"evaluated": {"resolved": {"val_fraction": 0.1}}}, "Withheld: 10 %."),
    ],
)
def test_circumstances_are_below_the_table(make_cells, changes, said):
    (table,) = comparison_tables(make_cells({"dm": BETTER}, **changes))
    (usual,) = comparison_tables(make_cells({"dm": BETTER}))
    assert said in " ".join(table.captions) and said not in " ".join(usual.captions)


def test_missing_sets_show(make_cells, make_condensed):
    (table,) = comparison_tables(make_cells({"dm": [0.5, 0.6]}, extra=[make_condensed(seed=9)]))
    assert column(table, "Accuracy %")["DM"] == "55.0 ± 7.1 [2/3]"


def test_rich_shows_what_markdown_shows(make_cells, make_condensed):
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm": BETTER}, extra=[make_condensed(seed=9)]))
    console = Console(width=300, file=io.StringIO())
    console.print(*render_rich(table))
    shown = " ".join(console.file.getvalue().split())
    for text in (word for row in table.texts() for word in row):
        assert text in shown
    assert "[5/6]" in shown  # not taken for markup


def test_text_cannot_break_a_markdown_table(make_cells):
    frame = make_cells({"dm (a|b)": BETTER})
    (table,) = comparison_tables(frame)
    (line,) = [line for line in to_markdown(table).splitlines() if "DM (" in line]
    assert line.replace("\\|", "").count("|") == len(table.columns) + 1


def styles(table, width=300, **how):
    """What a terminal shows: (text, set in a style of its own) of each accuracy."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True)
    console.print(*render_rich(table, **how))
    return console.file.getvalue()


def test_the_best_is_bold_in_a_terminal_and_signed_in_a_pipe(make_cells):
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm": BETTER}))
    assert "\x1b[1m48.9 ± 0.4" in styles(table) and "\x1b[4m26.0 ± 0.8" in styles(table)
    assert "*48.9 ± 0.4*" in styles(table, plain=True) and "_26.0 ± 0.8_" in styles(table, plain=True)
    assert any("Best and second best: tested." in line for line in lines_below(table))


@pytest.mark.parametrize("changes", [{"dataset": "digits"}, {"evaluated": {"protocol": "native"}},
                                     {"evaluated": {"protocol": "native@steps", "recipe": "native:dsa@steps"}},
                                     {"condensed": {"display": {"iterations_fraction": 0.01}}}])  # fmt: skip
def test_no_order_where_none_may_be_drawn(make_cells, changes):
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm": BETTER}, **changes))
    assert not ranks(table) and "**" not in to_markdown(table) and "second best" not in to_markdown(table)
    assert ("Not ranked: too few iterations." in to_markdown(table)) == ("condensed" in changes)


def test_a_single_set_is_never_bold(make_cells, make_condensed, make_evaluated):
    condensed = make_condensed("dc")
    frame = make_cells({"random": RANDOM, "dm": BETTER}, extra=[condensed, make_evaluated(condensed, [0.8, 0.9])])
    (table,) = comparison_tables(frame)
    names = list(column(table, "IPC"))
    assert [(names[row], rank) for (row, _), rank in ranks(table).items()] == [
        ("RANDOM", "second"),
        ("DM", "best"),
    ]


def test_ranks_are_within_an_ipc(make_cells):
    frames = [make_cells({"random": RANDOM, "dm": BETTER}, condensed={"ipc": ipc}) for ipc in (1, 10)]
    low = make_cells({"dc": [x - 0.3 for x in RANDOM]}, condensed={"ipc": 50})
    (table,) = comparison_tables(pd.concat([*frames, low]))
    assert sorted(ranks(table).values()) == ["best", "best", "second", "second"]


def test_a_narrow_terminal_breaks_words_and_loses_nothing(make_cells):
    (table,) = comparison_tables(make_cells({"random": RANDOM, "dm (alignment=random, calibration=off)": BETTER}))
    console = Console(width=74, file=io.StringIO())
    console.print(*render_rich(table))
    assert all(len(line) <= 74 for line in console.file.getvalue().splitlines())
    shown = "".join(console.file.getvalue().split())
    for text in ("48.9±0.4", "1,000", "calibration=off)", "(alignment=random,"):
        assert text in shown


def test_csv_has_raw_numbers(make_cells):
    back = pd.read_csv(io.StringIO(to_csv(make_cells({"random": RANDOM, "dm": BETTER}))))
    assert back["accuracy"].tolist() == pytest.approx([0.26, 0.489])
    assert back["stored_images"].tolist() == [100, 100] and back["sample"][1].startswith('{"0": 0.489,')


def test_tables_are_written_whole(make_cells, tmp_path):
    paths = write_tables(make_cells({"dm": BETTER}), tmp_path)
    names = ["tables.md", "tables.tex", "article.tex", "tables.html", "tables.csv"]
    sheets = [f"{kind}-1.csv" for kind in ("accuracy", "comparison", "published", "time", "memory")]
    assert [path.name for path in paths] == [*names, *sheets]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)
    latex = paths[1].read_text()
    assert paths[0].read_text().startswith("5 tables from 1 cell.")
    assert latex.count(r"\label{") - latex.count("Continues Table") == 5
    write_tables(cells([]), tmp_path)
    assert paths[0].read_text().startswith("0 tables") and r"\label{" not in paths[1].read_text()
    assert not list((tmp_path / "sheets").iterdir())
    with pytest.raises(ResultsError, match=r"tables\.md"):
        write_tables(cells([]), tmp_path / "nowhere", Options(formats=("markdown",)))
