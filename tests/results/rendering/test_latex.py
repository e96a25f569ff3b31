"""LaTeX from hand-made records, read as a whole; text that TeX would trip over; and that pdflatex takes it all."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from many_records import many_records
from results.aggregation.cells import cells
from results.aggregation.options import Options
from results.formatting import percent
from results.rendering.files import write_tables
from results.rendering.latex import ARTICLE, document, escape, to_latex
from results.tables.accuracy import matrices
from results.tables.across import network_tables
from results.tables.model import COVERED, Column, Entry, RowBlock, Table
from results.tables.registry import tables

GOLDEN = r"""% Needs \usepackage{booktabs} and nothing else:
%   \documentclass{article}
%   \usepackage{booktabs}
%   \begin{document}
%   \input{tables}
%   \end{document}

\begin{table*}[tbp]
\centering
\caption[{Test accuracy (\%), condensed with convnet3, evaluated with convnet3, protocol dsa}]{%
Test accuracy (\%), condensed with convnet3, evaluated with convnet3, protocol dsa.
Protocol dsa v1. Seeds~$\times$~networks: 5~$\times$~1, 1~$\times$~2 for DC. All iterations.}
\label{tab:dsa-v1-convnet3-convnet3}
\medskip
\footnotesize
\setlength{\tabcolsep}{2.5pt}
\makebox[\textwidth][c]{%  centered even if it is wider than the text
\begin{tabular}{lccc}
\toprule
Dataset & \multicolumn{2}{c}{CIFAR-10} & \multicolumn{1}{c}{CIFAR-100} \\
\cmidrule(lr){2-3}\cmidrule(lr){4-4}
IPC & 1 & 10 & 10 \\
Ratio \% & 0.02 & 0.2 & 2 \\
\midrule
RANDOM & $\underline{14.8}_{\pm 0.8}$ & $\underline{25.8}_{\pm 0.8}$ & $\underline{14.8}_{\pm 0.8}$ \\
\midrule
DC & $28.5_{\pm 0.7}{}^{\dagger}$ & --$^{(1)}$ & --$^{(2)}$ \\
\midrule
DM & \textbf{$\mathbf{25.8}_{\pm 0.8}$} & \textbf{$\mathbf{48.8}_{\pm 0.8}$} & \textbf{$\mathbf{25.8}_{\pm 0.8}$} \\
DM@f2 & --$^{(2)}$ & --$^{(2)}$ & \textbf{$\mathbf{26.0}_{\pm 0.7}$} \\
\midrule
WHOLE & \multicolumn{2}{c}{$84.5_{\pm 0.7}{}^{\dagger}$} & 56.0 \\
\bottomrule
\end{tabular}
}
\par\smallskip
\begin{minipage}{\textwidth}\raggedright
$\pm$: over sets, $\dagger$: over networks. Best and second best: tested.\par
NVIDIA H100, fp32. Code: commit 0123456789.\par
(1) diverged: the loss is nan at step 7\par
(2) not run: the store has no such task\par
\end{minipage}
\end{table*}
"""


def compile(folder, name, runs=2):
    """The log of pdflatex's last run, which made a PDF without any error."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", name]
    for _ in range(runs):
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
        log = done.stdout.decode(errors="replace")
        assert done.returncode == 0 and (folder / name).with_suffix(".pdf").exists(), log
    return log


@pytest.fixture
def make_pdf(tmp_path):
    """Compile text in a document that loads booktabs alone; returns the log. Any error of TeX's fails the test."""
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not on the path")

    def make(text, options="", runs=2):
        (tmp_path / "tables.tex").write_text(text, encoding="utf-8")
        lines = [rf"\documentclass[{options}]{{article}}", r"\usepackage{booktabs}", r"\begin{document}"]
        (tmp_path / "main.tex").write_text("\n".join([*lines, r"\listoftables", r"\input{tables}", r"\end{document}"]))
        return compile(tmp_path, "main.tex", runs)

    return make


@pytest.fixture
def small(make_cells, make_condensed, make_evaluated):
    """CIFAR-10 at 1 and 10 images per class, CIFAR-100 at 10: controls, one method that diverged, the whole sets."""
    titles = {"cifar10": {"dataset_title": "CIFAR-10"}, "cifar100": {"dataset_title": "CIFAR-100", "num_classes": 100}}

    def column(dataset, ipc, means, **more):
        label = {"display": titles[dataset]}
        return make_cells(means, condensed={"ipc": ipc, **label}, evaluated=label, dataset=dataset, **more)

    gone = make_condensed("dc", display=titles["cifar10"], status="diverged", message="the loss is nan at step 7")
    single = make_condensed("dc", ipc=1, display=titles["cifar10"])
    wholes = [make_evaluated(None, accuracies, dataset=dataset, display=titles[dataset])
              for dataset, accuracies in (("cifar10", [0.84, 0.85]), ("cifar100", [0.56]))]  # fmt: skip
    scored = make_evaluated(single, [0.28, 0.29], display=titles["cifar10"])
    random, dm = [0.14, 0.15, 0.16, 0.15, 0.14], [0.26, 0.25, 0.27, 0.26, 0.25]
    frames = [
        column("cifar10", 1, {"random": random, "dm": dm}, extra=[single, scored]),
        column("cifar10", 10, {"random": dm, "dm": [0.49, 0.48, 0.50, 0.49, 0.48]}, extra=[gone]),
        column("cifar100", 10, {"random": random, "dm": dm, "dm@f2": [0.26, 0.27, 0.26, 0.25, 0.26]}),
        cells(wholes),
    ]
    return pd.concat(frames)


REASONS = Options(explain_missing=True)


def test_golden(small):
    assert document(matrices(small, REASONS)) == GOLDEN


def test_the_golden_table_compiles(small, make_pdf):
    log = make_pdf(document(matrices(small, REASONS)))
    assert "Overfull" not in log and "undefined" not in log and "multiply" not in log


# --- form -------------------------------------------------------------------------------------------------------------


def matrix(*datasets, lines=(), whole=(), notes=(), title="", captions=()):
    """A block and the whole set; datasets as (title, ipcs)."""
    columns = [Column("method", "Method", str, text=True, names_row=True, heads=("Dataset", "IPC", "Ratio %"))]
    columns += [Column(name, name, str, percent, heads=(name, ipc, "1")) for name, ipcs in datasets for ipc in ipcs]
    blocks = [RowBlock("family", list(lines)), *([RowBlock("", list(whole))] if whole else [])]
    return Table("accuracy", title or "Title", columns, blocks, captions, "label", wide=True, notes=notes)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (Entry(0.489, 0.004), r"$48.9_{\pm 0.4}$"),
        (Entry(0.489, 0.004, rank="best"), r"\textbf{$\mathbf{48.9}_{\pm 0.4}$}"),
        (Entry(0.489, 0.004, rank="second"), r"$\underline{48.9}_{\pm 0.4}$"),
        (Entry(0.489, 0.004, single=True), r"$48.9_{\pm 0.4}{}^{\dagger}$"),
        (Entry(0.489, 0.004, single=True, notes=("how",)), r"$48.9_{\pm 0.4}{}^{\dagger,(2)}$"),
        (Entry(0.489, 0.004, rank="best", notes=("why",)), r"\textbf{$\mathbf{48.9}_{\pm 0.4}{}^{(1)}$}"),
        (Entry(0.489), "48.9"),
        (Entry(0.489, 0.004, words="[4/5]"), r"$48.9_{\pm 0.4}$ {[}4/5{]}"),
        (Entry(0.489, 0.004, words="n.s."), r"$48.9_{\pm 0.4}{}^{\circ}$"),
        (Entry(), "--"),
        (Entry(notes=("why",)), "--$^{(1)}$"),
    ],
)
def test_entries(entry, text):
    table = to_latex(matrix(("d", ("1",)), lines=[[Entry("m"), entry]], notes=["why", "how"]), "x")
    assert f"\nm & {text} \\\\\n" in table


def wide():
    """Fifteen columns; a note in the first, another in the last but one, a third for a whole set."""
    entries = [Entry(str(number), notes=() if number else ("why",)) for number in range(15)]
    entries[13] = Entry(notes=("how",))
    whole = [Entry("whole")]
    for number in range(5):
        whole += [Entry(f"w{number}", span=3, notes=("whole",) if number == 4 else ()), COVERED, COVERED]
    datasets = [(name, ("1", "10", "50")) for name in "abcde"]
    return matrix(
        *datasets,
        lines=[[Entry("m"), *entries]],
        whole=[whole],
        notes=["why", "how", "whole"],
        captions=["Rule."],
    )


def test_a_matrix_that_is_too_wide_goes_on_in_a_second_table():
    first, second = to_latex(wide(), "tab:x").split("\n\n")
    assert r"m & 0$^{(1)}$ & " + " & ".join(str(number) for number in range(1, 9)) + r" \\" in first
    assert r"m & 9 & 10 & 11 & 12 & --$^{(2)}$ & 14 \\" in second
    assert r"& \multicolumn{3}{c}{d} & \multicolumn{3}{c}{e} \\" in second
    assert r"\cmidrule(lr){2-4}\cmidrule(lr){5-7}" in second and "{8-10}" in first
    assert r"whole & \multicolumn{3}{c}{w3} & \multicolumn{3}{c}{w4$^{(3)}$} \\" in second
    assert r"\label{tab:x}" in first and "Rule." in first and r"Continues Table~\ref{tab:x}." in second
    assert r"\label{tab:x-2}" in second and "Rule." not in second
    assert "(1) why" in first and "how" not in first and "(2) how" in second and "why" not in second
    assert "(3) whole" in second and "(3)" not in first


@pytest.mark.parametrize(
    ("ipcs", "panels"),
    [([3] * 4, [4]), ([3] * 5, [3, 2]), ([2] * 7, [4, 3]), ([13, 1], [1, 1]), ([1] * 12, [12]), ([1] * 13, [7, 6])],
)
def test_tables_side_by_side_hold_at_most_twelve_columns_and_are_about_equal(ipcs, panels):
    datasets = [(f"d{place}", tuple("1" * size)) for place, size in enumerate(ipcs)]
    tables = to_latex(matrix(*datasets, lines=[[Entry("m"), *[Entry()] * sum(ipcs)]]), "x").split("\n\n")
    assert [table.count(r"\cmidrule") for table in tables] == panels


def test_every_table_of_a_document_has_a_label_of_its_own(make_cells):
    changes = [{"protocol": name} for name in ("dsa", "dsa@steps", "dsa-steps", "dc")]
    text = document(matrices(pd.concat([make_cells({"dm": [0.5, 0.6]}, evaluated=change) for change in changes])))
    assert re.findall(r"\\label{(.*)}", text) == [
        "tab:dsa-v1-convnet3-convnet3",
        "tab:dsa-steps-v1-convnet3-convnet3",
        "tab:dsa-steps-v1-convnet3-convnet3.2",
        "tab:dc-v1-convnet3-convnet3",
    ]


def test_no_matrix_leaves_a_comment_only():
    assert all(line.startswith("%") for line in document([]).splitlines() if line)


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("lr_img=1.0", r"lr\_img=1.0"),
        ("50% of $5 & #1", r"50\% of \$5 \& \#1"),
        (r"a\b{c}", r"a\textbackslash{}b\{c\}"),
        ("~x^2", r"\textasciitilde{}x\textasciicircum{}2"),
        ("a<b>c|d", r"a\textless{}b\textgreater{}c\textbar{}d"),
        ("[4/5]*", "{[}4/5{]}{*}"),
        ("48.9 ± 0.6†, 5 × 5 – α", r"48.9 $\pm$ 0.6$\dagger$, 5 $\times$ 5 -- $\alpha$"),
        ("Σ − λ ≥ µ", r"$\Sigma$ $-$ $\lambda$ $\geq$ $\mu$"),
        ("--x '' `` ,,", r"-{}-x '{}' {`}{}{`} ,{},"),  # no dash, no quotes
        ("\n a \t\u00a0 b ", "a b"),
        ("é Ü ñ ç å", r"\'{e} \"{U} \~{n} \c{c} \r{a}"),
        ("e\u0301", r"\'{e}"),
        ("straße Øre", r"stra\ss{}e \O{}re"),
        ("ęộ", "eo"),  # OT1 has no ogonek, and no two accents on one letter
        ("ﬁ ①", "fi 1"),
        ("½ ≮ 中", "{[}U+00BD{]} {[}U+226E{]} {[}U+4E2D{]}"),  # not 12, not <
        ("a\x00\u200b\ud800b", "ab"),
        ("plain (text) = 1.0, yes/no; it's", "plain (text) = 1.0, yes/no; it's"),
    ],
)
def test_text_is_set_as_it_reads(text, latex):
    assert escape(text) == latex


NASTY = r"""[*] DANCE_v2 {50%} & #1 $x$ ~^\ "quoted" <a|b> `--' \input{x} ±×–†α Σ é ß ½ 中文 🎉 """


@pytest.mark.parametrize("options", ["", "twocolumn,a4paper"])
def test_nasty_names_compile(make_pdf, options):
    entries = [Entry(0.489, 0.004, True, rank="best", notes=(NASTY,)), Entry(notes=(NASTY,)), Entry(0.01, words=NASTY)]
    lines = [[Entry(name), *entries] for name in (NASTY, "[1pt] x", "* y", "long_name=" * 20)]
    whole = [[Entry(NASTY), replace(entries[0], span=2), COVERED, entries[1]]]
    nasty = matrix((NASTY, ("1", "10")), ("d", ("1",)), lines=lines, whole=whole, title=NASTY, captions=[NASTY, NASTY])
    assert "undefined" not in make_pdf(document([nasty, wide()]), options)


def test_every_character_compiles(make_pdf):
    every = " ".join(map(chr, [*range(0x20, 0x3000), 0xD7FF, 0xFB01, 0xFFFF, 0x1D400, 0x10FFFF]))
    text = escape(every)
    assert text.isascii() and text.isprintable()
    make_pdf(text, runs=1)


def test_what_a_report_writes_compiles(small, tmp_path, make_pdf):
    paths = write_tables(small, tmp_path, Options(formats=("latex",)))
    assert [path.name for path in paths] == ["tables.tex", "article.tex"]
    assert paths[0].read_text() == document(tables(small)) and paths[1].read_text() == ARTICLE
    make_pdf(paths[0].read_text())
    (tmp_path / "figures").mkdir()
    figure = Figure(figsize=(1, 1))
    figure.savefig(tmp_path / "figures" / "some.v0.1.pdf")
    (tmp_path / "figures" / "captions.tex").write_text(r"\includegraphics{figures/some.v0.1.pdf}")
    log = compile(tmp_path, "article.tex")
    assert "undefined" not in log and "multiply" not in log and "<./figures/some.v0.1.pdf>" in log.replace("\n", "")


def test_tables_fit_a_text_of_five_and_a_half_inches(tmp_path, make_pdf):
    records = list(many_records(4, 2, ["cifar10", "cifar100"], [1, 10, 50], protocols=["dsa", "dance"]))
    write_tables(cells(records), tmp_path, Options(formats=("latex",)), records)
    tables_text = (tmp_path / "tables.tex").read_text()
    open_boxes = tables_text.replace(r"\makebox[\textwidth][c]{%  centered even if it is wider than the text", "{%")
    assert open_boxes != tables_text
    (tmp_path / "tables.tex").write_text(open_boxes)  # so that TeX reports what is wider than the text
    assert "Overfull" not in compile(tmp_path, "article.tex")


def test_captions_have_the_signs_in_two_lines_and_the_rest_is_below_the_table():
    for first, below in (("A short term.", False), ("A long term " * 20, True)):
        text = to_latex(matrix(("d", ("1",)), lines=[[Entry("m"), Entry()]], captions=[first, "n.s.: why."]), "x")
        caption, table = text.split(r"\label{x}")
        assert r"Title." in caption and r"$\circ$: why." in caption
        assert (first.split(".")[0].strip() in table) == below


def test_forms_of_an_earlier_report_are_removed(small, tmp_path):
    write_tables(small, tmp_path, Options(formats=("latex", "markdown", "html", "csv", "sheets")))
    (tmp_path / "mine.tex").write_text("")
    write_tables(small, tmp_path, Options(formats=("markdown",)))
    assert {path.name for path in tmp_path.iterdir()} == {"tables.md", "mine.tex", "sheets"}
    assert not list((tmp_path / "sheets").iterdir())


@pytest.mark.parametrize(("networks", "panels"), [(3, [3]), (8, [4, 4]), (9, [5, 4]), (17, [5, 5, 5, 2])])
def test_crossings_compile_in_panels_that_fit(make_cells, make_pdf, networks, panels):
    names = ["convnet3", *(f"densenet121-g{number}-bn" for number in range(networks - 1))]
    means = {"random": [0.2, 0.21, 0.22], "dm": [0.3, 0.32, 0.31], "dc": [0.21, 0.2, 0.22]}
    crossed = pd.concat([
        make_cells(means, condensed={"ipc": ipc}, evaluated={"resolved": {"architecture": name}})
        for name in names for ipc in (1, 10)
    ])  # fmt: skip
    (across,) = network_tables(crossed)
    text = document([across])
    assert [len(columns) for columns in re.findall(r"\\begin{tabular}{rrl(r+)}", text)] == panels
    assert r"^{\circ}" in text
    assert r"\shortstack{densenet121\\-g0-bn}" in text
    assert "undefined" not in make_pdf(text)
