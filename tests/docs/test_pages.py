"""The pages of the documentation agree with the code, and their links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import fields
from pathlib import Path

import pytest

from benchmark import networks
from benchmark.training import protocols
from benchmark.training.protocols import Protocol
from benchmark.utils.errors import BenchmarkError
from doc_pages import PAGES, ROOT
from results.aggregation.options import TABLES
from slurm.cluster import Cluster


def first_column(page: str) -> list[str]:
    """The code in the first cells of a page's tables."""
    cells = re.findall(r"^\| ([^|]+) \|", (ROOT / page).read_text(), re.M)
    return [name for cell in cells for name in re.findall(r"`(.+?)`", cell)]


def test_generated_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_reference", ROOT / "docs/make_reference.py")
    assert spec and spec.loader
    make_reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_reference)
    for name, page in make_reference.PAGES.items():
        written = (ROOT / "docs" / name).read_text()
        assert written == page(), f"docs/{name} is out of date: python docs/make_reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page.read_text()):
        if target.startswith("http"):
            continue
        path = page.parent / target if target else page
        assert path.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}, anchor


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+\.md)", page.read_text())
    }
    assert {page for page in PAGES if page.parent != ROOT} - linked <= {
        ROOT / "docs/index.md",
        ROOT / "docs/changelog.md",
    }


def test_the_readme_is_a_front_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
    assert sum(path.stat().st_size for path in (ROOT / "docs/img").iterdir()) < 300_000


def protocol(name: str, ipc: int = 10) -> Protocol:
    return protocols.get(
        name,
        native="dsa",
        published_as="cifar10",
        resolution=32,
        num_classes=10,
        ipc=ipc,
        factor=1,
        architecture="convnet3",
    )


@pytest.mark.parametrize("name", [name for name in protocols.BUILT_IN if name != "quick"])
def test_the_table_of_protocols_has_their_values(name: str) -> None:
    text = (ROOT / "docs/protocols.md").read_text()
    (row,) = re.findall(rf"^\| `{name}` \| (.*) \|$", text, re.M)
    epochs, batch, lr, gamma, milestones, _, cutmix = row.split(" | ")
    listed = protocol(name)
    assert (epochs, batch, lr, gamma) == (f"{listed.epochs:,}", str(listed.batch), str(listed.lr), str(listed.lr_gamma))
    assert milestones == " and ".join(f"{epoch:,}" for epoch in listed.lr_milestones)
    assert (cutmix == "–") == (listed.cutmix == 0)
    assert (listed.momentum, listed.weight_decay) == (0.9, 0.0005)


def test_the_protocols_page_names_the_epochs_of_quick() -> None:
    epochs = [str(protocol("quick", ipc).epochs) for ipc in (9, 49, 50)]
    assert f"`quick` | {epochs[0]}, {epochs[1]} or {epochs[2]} |" in (ROOT / "docs/protocols.md").read_text()


def test_pages_list_every_key_and_table() -> None:
    assert {spec.name for spec in fields(Cluster)} <= set(first_column("docs/extend/cluster.md"))
    assert {spec.name for spec in fields(Cluster)} == set(first_column("docs/slurm.md"))
    headings = re.findall(r"^### (\w+)$", (ROOT / "docs/reading-tables.md").read_text(), re.M)
    assert set(headings) == {*TABLES, "condensing"}  # captions point to them


def test_names_of_architectures_are_known() -> None:
    text = (ROOT / "docs/architectures.md").read_text()
    names = set(re.findall(r"`((?:convnet|resnet|vgg|densenet|mlp|lenet|alexnet)[\w-]*)`", text)) - {"convnetN"}
    assert len(names) >= 12
    for name in names:
        networks.canonical(name)
    with pytest.raises(BenchmarkError):
        networks.canonical("convnet3-foo")


def test_the_readmes_result_on_real_images_is_that_of_the_shipped_results() -> None:
    """Each of its rows has the numbers of a row of the generated page."""
    section = (ROOT / "README.md").read_text().partition("## A result on real images")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", section, re.M)
    page = (ROOT / "docs/results/full-budgets.md").read_text()
    assert rows and all(f"| FashionMNIST | {' | '.join(row)} |" in page for row in rows)
