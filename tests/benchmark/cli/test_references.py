"""references.bib: an entry for each method, dataset and protocol of the tables, and that BibTeX reads them all."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmark.cli.references import bibliography
from benchmark.datasets.builtin import BUILTIN
from benchmark.training import protocols
from methods import registry
from results.rendering.latex import ARTICLE, document

CITED = sorted((registry.BUILT_IN | registry.UNCONDENSED).keys())
ENTRY = re.compile(r"^@(\w+)\{([a-z]+\d{4}[a-z0-9]*),\n((?:  .*\n)+)\}$", re.M)


def cells(methods: list[str], datasets: list[str], recipes: list[str]) -> pd.DataFrame:
    rows = max(len(methods), len(datasets), len(recipes))
    columns = {"method": methods, "dataset": datasets, "recipe": recipes}
    return pd.DataFrame({name: values + values[:1] * (rows - len(values)) for name, values in columns.items()})


EVERYTHING = bibliography(cells(CITED, [*BUILTIN], [*protocols.BUILT_IN]))


def test_every_entry_says_who_what_and_when() -> None:
    entries = {key: fields for _, key, fields in ENTRY.findall(EVERYTHING)}
    assert len(entries) == len(re.findall("^@", EVERYTHING, re.M)) == EVERYTHING.count("@") and EVERYTHING.isascii()
    for fields in entries.values():
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) = \{", fields, re.M))
        assert fields.count("{") == fields.count("}")
    assert "% Of dataset cifar10, dataset cifar100:\n@techreport{krizhevsky2009cifar," in EVERYTHING
    assert "% Of method dance, protocol dance:\n@inproceedings{zhang2024dance," in EVERYTHING
    assert EVERYTHING.endswith("% No entry is known for method random, method whole, protocol quick.\n")


@pytest.mark.parametrize("name", [name for name in CITED if registry.load(name).card.paper])
def test_an_entry_agrees_with_the_card_of_its_method(name: str) -> None:
    card, paper = registry.load(name).card, name.partition("_")[0]  # idc_i is of the paper of idc
    fields = registry.citation(name)
    assert f"{'doi' if '/' in card.paper else 'eprint'} = {{{card.paper}}}" in fields
    assert f"year = {{{card.year}}}" in fields
    assert f"({card.venue})}}" in fields and re.search(rf"\{{[a-z]+{card.year}{paper},", fields)


def test_only_what_the_tables_show_has_an_entry() -> None:
    text = bibliography(cells(["dm", "random", "gone"], ["imagenette@ilsvrc", "cats@home"], ["dm's", "idc@plain", ""]))
    assert re.findall(r"^@\w+\{(\w+),", text, re.M) == [
        "cazenavette2022mtt", "kim2022idc", "russakovsky2015imagenet", "zhao2023dm",
    ]  # fmt: skip
    assert "% No entry is known for method gone, method random, dataset cats, protocol dm's." in text
    assert text.count("@") == 4


def test_other_packages_bring_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "swift.yaml").touch()
    (tmp_path / "swift.bib").write_text("@misc{doe2030swift,\n  title = {Swift}}\n@misc{roe2031swifter, title = {S}}")
    monkeypatch.setitem(protocols.BUILT_IN, "swift", tmp_path / "swift.yaml")
    monkeypatch.setitem(BUILTIN, "stripes", replace(BUILTIN["digits"], citation="@misc{poe2029stripes, title = {P}}"))
    text = bibliography(cells(["dm"], ["stripes"], ["swift@steps"]))
    assert re.findall(r"^@\w+\{(\w+),", text, re.M) == [
        "doe2030swift", "poe2029stripes", "roe2031swifter", "zhao2023dm",
    ]  # fmt: skip


def test_an_article_cites_every_entry(tmp_path: Path) -> None:
    if not (shutil.which("pdflatex") and shutil.which("bibtex")):
        pytest.skip("pdflatex and bibtex are not on the path")
    cited = "".join(rf"\cite{{{key}}} " for _, key, _ in ENTRY.findall(EVERYTHING))
    below = cited + "\n\\bibliographystyle{plain}\n\\bibliography{references}\n\\end{document}"
    texts = {"references.bib": EVERYTHING, "tables.tex": document([])}
    texts["article.tex"] = ARTICLE.replace(r"\end{document}", below)
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "article"]
    for command in (latex, ["bibtex", "article"], latex, latex):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=120, check=False)
        log = done.stdout.decode(errors="replace")
        assert done.returncode == 0 and (command is latex or "warning" not in log.lower()), log
    assert "undefined" not in log and (tmp_path / "article.bbl").read_text().count(r"\bibitem") == EVERYTHING.count("@")
