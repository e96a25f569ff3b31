"""Every kind of table in every form, from hand-made records: what a person, a browser, TeX and pandas get to read."""

from __future__ import annotations

import io
import shutil
import subprocess
from html.parser import HTMLParser
from operator import itemgetter

import pandas as pd
import pytest
from rich.console import Console
from table_parts import heads

from results.aggregation.cells import cells
from results.aggregation.options import FORMATS, TABLES, Options
from results.errors import ResultsError
from results.formatting import percent, seconds
from results.rendering import html
from results.rendering.files import to_sheet, write_tables
from results.rendering.latex import ARTICLE, document
from results.rendering.text import least_width, render_rich, to_markdown
from results.tables.columns import COLUMNS
from results.tables.comparison import comparison_tables
from results.tables.model import Column, Entry, RowBlock, Table, build
from results.tables.registry import BUILDERS, tables

RANDOM = [0.30, 0.31, 0.29]
TITLES = {"cifar10": {"dataset_title": "CIFAR-10"}, "svhn": {"dataset_title": "SVHN", "published_as": "svhn"}}
VIEWS = {
    "dance": ("mid", True),
    "dance (alignment=random)": ("random", True),
    "dance (calibration=off)": ("mid", False),
}


@pytest.fixture
def records(make_expert, make_condensed, make_evaluated):
    """Two datasets and ipcs, protocols and networks: random, DM, DC that diverged once, DANCE with a view off."""
    experts = [make_expert(index, seconds=60.0, peak_memory_bytes=2**31) for index in range(2)]
    all_records = list(experts)

    def add(row, level, dataset, ipc, **resolved):
        for seed, gap in enumerate((0.0, 0.012, -0.007)):
            label = {"display": TITLES[dataset]}
            condensed = make_condensed(
                row, seed, ipc, dataset=dataset, resolved=resolved, peak_memory_bytes=2**30, **label
            )
            all_records.append(condensed)
            for protocol in ("dc", "dsa"):
                for network in ("convnet3", "resnet10-bn"):
                    shown = {"resolved": {"architecture": network}, **label}
                    scores = [level + gap, level + gap + 0.004]
                    all_records.append(make_evaluated(condensed, scores, dataset=dataset, protocol=protocol, **shown))

    used = {"experts": [expert["identity"] for expert in experts]}
    for dataset in TITLES:
        for ipc in (1, 10):
            add("random", 0.30, dataset, ipc)
            add("dm", 0.489 if ipc == 10 else 0.26, dataset, ipc)
            for row, (alignment, calibration) in VIEWS.items():
                settings = {"alignment": alignment, "calibration": calibration}
                add(row, 0.6 if calibration else 0.5, dataset, ipc, settings=settings, **used)
        all_records.append(make_evaluated(None, [0.84, 0.85], dataset=dataset, display=TITLES[dataset]))
    gone = {"status": "diverged", "message": "the loss is nan at <step> 7"}
    return [*all_records, make_condensed("dc", 0, 1, display=TITLES["cifar10"], **gone)]


@pytest.fixture
def frame(records):
    return cells(records)


def only(frame, kind, **options):
    """The first table of a kind."""
    return tables(frame, Options(tables=(kind,), **options))[0]


def test_every_kind_has_a_table_here(frame):
    assert BUILDERS.keys() == set(TABLES)
    assert [bool(tables(frame, Options(tables=(kind,)))) for kind in TABLES] == [True] * len(TABLES)
    some = tables(frame, Options(tables=("memory", "accuracy")))
    assert "Memory" in some[0].title and "Test accuracy" in some[-1].title


@pytest.mark.parametrize("kind", TABLES)
def test_every_caption_names_protocol_sample_commit_and_hardware(frame, kind):
    for table in tables(frame, Options(tables=(kind,))):
        text = " ".join(table.captions)
        for word in ("Protocol d", "Seeds × networks: ", "Code: commit 0123456789", "NVIDIA H100"):
            assert word in text, table.title
        assert len(table.captions) <= 3 and all(len(line) < 240 for line in table.captions), table.captions


# --- terminal and Markdown --------------------------------------------------------------------------------------------


def test_a_matrix_is_a_text_with_a_column_for_each_dataset_and_ipc(frame):
    table = only(frame, "accuracy", eval_architectures=("convnet3",), protocols=("dsa",))
    expected = [
        f"{title} ipc {ipc} (0.{'0' * (ipc < 10)}2\u00a0%)" for title in ("CIFAR-10", "SVHN") for ipc in (1, 10)
    ]
    assert heads(table) == ["Method", *expected]
    rows = {row[0]: row[1:] for row in table.texts()}
    assert rows["DM"][:2] == ["26.4 ± 1.0 n.s.", "49.3 ± 1.0"] and rows["DC"] == ["–"] * 4
    assert rows["WHOLE"] == ["84.5 ± 0.7†", "", "84.5 ± 0.7†", ""]
    assert [block.rows[0][0].value for block in table.blocks] == ["RANDOM", "DC", "DANCE", "WHOLE"]


def test_a_wide_matrix_goes_on_in_a_second_text_with_the_captions_below(make_cells):
    wide = pd.concat([make_cells({"dm": RANDOM}, dataset=name, condensed={"ipc": ipc})
                      for name in ("a", "b", "c") for ipc in (1, 2, 3)])  # fmt: skip
    table = only(wide, "accuracy")
    first, second = render_rich(table)
    assert len(first.columns) == 1 + 6 and len(second.columns) == 1 + 3
    text = to_markdown(table)
    assert text.count("| Method |") == 2 and text.count(table.captions[0]) == 1
    assert text.index("ipc 3") < text.index(table.captions[0])


def test_reasons_of_empty_cells_on_request(frame):
    resolved = only(frame, "accuracy", explain_missing=True)
    assert list(resolved.notes) == ["diverged: the loss is nan at <step> 7", "not run: the store has no such task"]
    assert "–<sup><a" in html.page([resolved], "t") and "&lt;step&gt;" in html.page([resolved], "t")
    assert not only(frame, "accuracy").notes


# --- HTML -------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The ids, links and tags of a page, and whether its elements are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.tags = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_beside_it(frame):
    text = html.page(tables(frame, Options(explain_missing=True)), "Tables")
    page = Page(text)
    assert not page.open and len(set(page.ids)) == len(page.ids)
    assert page.links and all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in page.tags} and "url(" not in text
    assert {given.get("lang") for tag, given in page.tags if tag == "html"} == {"en"}
    heads = [given["scope"] for tag, given in page.tags if tag == "th"]
    assert set(heads) == {"col", "colgroup", "row", "rowgroup"}


def test_deviations_are_subscripts_and_ranks_are_marked(frame):
    matrix = only(frame, "accuracy", eval_architectures=("convnet3",), protocols=("dsa",))
    text = html.page([matrix], "Tables")
    assert '<td class="best"><strong>60.4</strong><sub>±&#8239;1.0</sub></td>' in text
    assert "<td>26.4<sub>±&#8239;1.0</sub> <small>n.s.</small></td>" in text
    assert '<td colspan="2">84.5<sub>±&#8239;0.7</sub><sup>†</sup></td>' in text
    assert '<th scope="colgroup" colspan="2">CIFAR-10</th>' in text and '<th scope="row" class="words">DM</th>' in text
    assert '<tr class="block"><th scope="rowgroup" colspan="5">gradient matching</th></tr>' in text


def test_names_cannot_break_a_page(make_cells):
    name = '<script>alert("x")</script> & "y"'
    text = html.page([only(make_cells({f"dm ({name})": RANDOM}), "comparison")], name)
    assert "<script" not in text and not Page(text).open


# --- LaTeX ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("document_class", ["article", "[twocolumn]article"])
def test_every_kind_compiles(frame, tmp_path, kind, document_class):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not on the path")
    write_tables(frame, tmp_path, Options(tables=(kind,), formats=("latex",), explain_missing=True))
    article = tmp_path / "article.tex"
    assert article.read_text() == ARTICLE
    if document_class != "article":
        article.write_text(ARTICLE.replace("[a4paper]{article}", "[twocolumn]{article}"))
    for _ in range(2):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", article.name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
        log = done.stdout.decode(errors="replace")
        assert done.returncode == 0, log
    for word in ("undefined", "multiply", "Overfull", "too large"):
        assert word not in log or document_class != "article"


def test_flat_tables_have_subscripts_ranks_and_their_notes(frame):
    text = document([only(frame, "comparison", eval_architectures=("convnet3",), protocols=("dsa",))])
    assert r"\textbf{$\mathbf{60.4}_{\pm 1.0}$}" in text and r"$26.4_{\pm 1.0}{}^{\circ}$" in text
    assert r"\caption[{cifar10, condensed with" in text and "\ncifar10, condensed with convnet3, evaluated" in text
    published = document([only(frame, "published", eval_architectures=("convnet3",), protocols=("dsa",))])
    assert "not comparable$^{(1)}$" in published and r"(1) " in published and text.isascii() and published.isascii()


def plain(title, blocks):
    columns = [Column("ipc", "IPC", str, names_row=True), Column("number", "Number", str)]
    return Table("t", title, columns, [RowBlock("", [list(map(Entry, row)) for row in rows]) for rows in blocks])


@pytest.mark.parametrize(("rows", "parts"), [([5], [5]), ([20, 20], [20, 20]), ([20, 10, 5], [30, 5]),
                                             ([40], [20, 20]), ([3, 70], [27, 24, 22])])  # fmt: skip
def test_long_tables_go_on_where_a_block_begins(rows, parts):
    table = plain("t", [[[str(block), "1"]] * size for block, size in enumerate(rows)])
    text = document([table])
    lengths = [part.count(r" & 1 \\") for part in text.split(r"\begin{table*}")[1:]]
    assert lengths == parts and text.count("Continues Table~\\ref{tab:t}.") == len(parts) - 1


def test_many_floats_make_room_for_themselves():
    many = [plain(f"t{number}", [[["1", "1"]]]) for number in range(60)]
    assert r"\extrafloats{60}" in document(many) and r"\extrafloats" not in document(many[:10])


# --- CSV --------------------------------------------------------------------------------------------------------------


def test_each_table_is_a_sheet_that_pandas_reads(frame, tmp_path):
    paths = write_tables(frame, tmp_path, Options(formats=("sheets",)))
    sheets = {path.name: pd.read_csv(path, comment="#") for path in paths if path.parent.name == "sheets"}
    assert len(sheets) == len(tables(frame))
    accuracy = sheets["accuracy-1.csv"].set_index("Method")
    column = "CIFAR-10 ipc 10 (0.2\u00a0%)"
    assert accuracy.loc["DM", [column, f"{column} ±"]].tolist() == [49.3, 1.0]
    assert pd.isna(accuracy.loc["DM", f"{column} remark"])
    assert pd.isna(accuracy.loc["DC", column]) and accuracy.loc["DC", "Block"] == "gradient matching"
    time = sheets["time-1.csv"]
    assert time["Prepare s (full)"].tolist()[:5] == [0, 120, 120, 120, 0]


def test_numbers_of_a_sheet_are_plain_and_their_marks_apart():
    columns = [
        Column("method", "Method", itemgetter(0), text=True, names_row=True),
        Column("a", "A", itemgetter(1), percent),
        Column("s", "S", itemgetter(2), seconds),
    ]
    rows = [
        ["2,000", Entry(0.489, 0.004, single=True, rank="best", words="n.s.", notes=("why",)), 1438.0],
        ["b", None, Entry(12.0, bound="≤")],
        ["c", -0.004, "never"],
    ]
    table = Table("t", "t", columns, [RowBlock("", build(columns, rows))])
    assert to_sheet(table) == [
        ["Method", "A", "A ±", "A remark", "S", "S remark"],
        ["2,000", "48.9", "0.4", "best one set (1) n.s.", "1438", ""],
        ["b", "", "", "", "12", "≤"],
        ["c", "-0.4", "", "", "never", ""],
    ]


# --- a column of one's own --------------------------------------------------------------------------------------------


def test_adding_a_column_is_one_entry_that_every_format_shows(frame, tmp_path):
    """A column is declared once; terminal, Markdown, HTML, CSV and LaTeX show it without any other change."""
    bytes_each = Column(
        *("bytes_each", "Bytes an image", lambda row: row["bytes"] / row["stored_images"]),
        form=lambda value: f"{value:,.1f}",
        caption="bytes on disk of each stored image",
        tables=("comparison",),
    )
    chosen = frame[frame["display_name"] == "dm"]
    (table, *_) = comparison_tables(chosen, columns=[*COLUMNS, bytes_each])
    assert heads(table)[-1] == "Bytes an image" and [row[-1] for row in table.texts()] == ["100.0", "10.0"]
    console = Console(width=200, file=io.StringIO())
    console.print(*render_rich(table))
    assert "100.0" in console.file.getvalue() and "| 100.0 |" in to_markdown(table)
    text = html.page([table], "t")
    assert "<td>100.0</td>" in text and 'title="bytes on disk of each stored image"' in text
    assert r"& 100.0 \\" in document([table]) and r"\shortstack" in document([table])
    assert [row[-1] for row in to_sheet(table)] == ["Bytes an image", "100.0", "10.0"]


@pytest.mark.parametrize("width", [80, 50, 200])
def test_a_table_wider_than_the_terminal_has_parts_that_fit(frame, width: int) -> None:
    names = (
        "steps",
        "accuracy",
        "stored",
        "size",
        "prepare_full",
        "condense",
        "condense_peak",
        "evaluate",
        "total_full",
    )
    (table, *_) = tables(frame, Options(tables=("comparison",), columns=names))
    (whole,) = render_rich(table)
    parts = render_rich(table, width=width)
    assert (len(parts) > 1) == (least_width(whole) > width) and all(least_width(part) <= width for part in parts)
    named = [column.title for column in table.columns if column.names_row]
    heads_of = [[str(column.header).replace("\n", " ") for column in part.columns] for part in parts]
    assert all(heads[: len(named)] == named for heads in heads_of)
    assert [head for heads in heads_of for head in heads[len(named) :]] == [
        column.title for column in table.columns if not column.names_row
    ]


def test_columns_are_chosen_by_name_in_the_order_asked_for(frame):
    (table, *_) = tables(frame, Options(tables=("comparison",), columns=("steps", "accuracy")))
    assert heads(table) == ["IPC", "Ratio %", "Method", "Steps", "Accuracy %"]
    kinds = [table.kind for table in tables(frame, Options(columns=("steps",)))]
    assert set(kinds) == {
        "accuracy",
        "comparison",
        "networks",
        "protocols",
        "ablation",
    }  # others would have no column left
    with pytest.raises(ResultsError, match=r"there is no column 'step'\. Did you mean 'steps'\?") as caught:
        tables(frame, Options(columns=("step",)))
    assert caught.value.where == "columns=[step]" and "accuracy" in caught.value.next


# --- which files ------------------------------------------------------------------------------------------------------

FILES = {"markdown": {"tables.md"}, "latex": {"tables.tex", "article.tex"}, "html": {"tables.html"}, "terminal": set(),
         "csv": {"tables.csv"}, "sheets": {f"sheets/time-{number}.csv" for number in range(1, 9)}}  # fmt: skip


@pytest.mark.parametrize("form", FORMATS)
def test_only_the_forms_that_are_asked_for_are_written(frame, tmp_path, form):
    write_tables(frame, tmp_path, Options(formats=(form,), tables=("time",)))
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == FILES[form]


def test_sheets_of_an_earlier_report_go_and_what_a_person_put_there_stays(frame, tmp_path):
    write_tables(frame, tmp_path, Options(formats=("sheets",)))
    (tmp_path / "sheets" / "my-1.csv").write_text("mine")
    write_tables(frame, tmp_path, Options(formats=("sheets",), tables=("ablation",), protocols=("dsa",)))
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == [
        "ablation-1.csv",
        "ablation-2.csv",
        "my-1.csv",
    ]
