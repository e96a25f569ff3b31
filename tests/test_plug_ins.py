"""One distribution with the examples of docs/extend, one of each kind, in a small run; and wrong distributions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmark import analyses, datasets, networks
from benchmark.cli.kinds import kinds
from benchmark.config.report_options import ReportConfig
from benchmark.datasets import builtin
from benchmark.training import protocols
from benchmark.utils.errors import BenchmarkError
from doc_pages import ROOT, blocks
from methods.plug_ins import KINDS

POINTS = {
    "methods": "mine = other_method:Mine",
    "datasets": "stripes = other_method:CARD",
    "protocols": "swift = other_method",
    "architectures": "tinynet = other_method:TinyNetSpec",
    "analyses": "brightness = other_method:Brightness",
    "tables": "with_bytes = other_method:with_bytes",
}
PAGES = {name: (ROOT / f"docs/extend/{name}.md").read_text() for name in KINDS.values()}
(SWIFT,) = blocks(PAGES["protocol"], "yaml")
SOURCE = "\n".join(blocks(PAGES[name], "python")[0] for name in ("dataset", "architecture", "analysis", "table"))
SOURCE += """
from methods.coreset import RandomSubset

class Mine(RandomSubset):
    pass
"""
PlugIn = Callable[..., Path]
WORDS = ("methods=[mine]", "datasets=[stripes]", "architectures=[tinynet-w4]", "ipcs=[2]", "baselines=[]", "seeds=[0]",
         "protocols=[swift]", "num_eval=1", "workers=1", "threads=1")  # fmt: skip


@pytest.fixture
def other(plug_in: PlugIn) -> Path:
    return plug_in(POINTS, SOURCE, files={"swift.yaml": SWIFT})


def call(folder: Path, *words: str) -> str:
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder.parent, capture_output=True, text=True, timeout=200, check=False,
        env=os.environ | {"PYTHONPATH": path, "COLUMNS": "200"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_one_of_each_kind_in_a_run_an_analysis_and_a_report(other: Path) -> None:
    call(other, "benchmark.run", *WORDS)
    said = call(other, "benchmark.analyze", *WORDS, "analyses=[brightness]")
    assert "brightness, stripes, tinynet-w4, seed 0: mine at ipc 2 0." in said
    assert "  brightness: mean pixel of each set" in said
    out = other.parent / "outputs"
    records = [json.loads(path.read_text()) for path in out.glob("*/*/record.json")]
    plug_ins = {record["kind"]: record["environment"]["plug_ins"] for record in records}
    shared = ["dataset stripes of other 1.0", "architecture tinynet of other 1.0"]
    assert plug_ins == {
        "condense": shared,
        "evaluate": [*shared, "protocol swift of other 1.0"],
        "analyze": [*shared, "analysis brightness of other 1.0"],
    }
    (evaluated,) = (record for record in records if record["kind"] == "evaluate")
    assert evaluated["spec"]["protocol"] == {
        "name": "swift", "version": 3, "epochs": 4, "batch": 16, "lr": 0.05, "lr_milestones": [2, 5], "lr_gamma": 0.2,
        "reset_optimizer": False, "augment": "none", "cutmix": 0.0,
    }  # fmt: skip
    assert evaluated["display"]["protocol"] == "swift" and "plug_ins" not in str(evaluated["spec"])
    report = call(other, "benchmark.report", "tables=[with_bytes]")
    assert "stripes" in report and (out / "report/figures/brightness-stripes.pdf").exists()


def test_the_overview_names_them_and_their_package_without_importing_one(other: Path) -> None:
    for name in ("mine", "stripes", "swift", "tinynet", "brightness", "with_bytes"):
        assert f"; {name} (other 1.0)" in kinds(1000)
    assert "other_method" not in sys.modules
    assert "mine (other 1.0)" in " ".join(call(other, "benchmark").split())  # the list may break there


def values(architecture: str = "", dataset: str = "stripes", ipc: int | None = 2) -> protocols.Protocol:
    cell = {"published_as": dataset, "resolution": 8, "num_classes": 2, "ipc": ipc, "factor": 1}
    return protocols.get("swift", native="dc", architecture=architecture, **cell)  # type: ignore[arg-type]


def test_a_protocol_depends_on_its_cell_as_its_file_says(other: Path) -> None:
    assert [values(ipc=ipc).epochs for ipc in (1, 2, 9, 10, 500, None)] == [6, 4, 4, 2, 2, 6]
    assert values(dataset="mnist").source == "ours: 6 epochs, for no paper says how long"
    assert values(dataset="mnist").lr_milestones == (4, 5)
    assert values(dataset="mnist").epochs == 6 and values("tinynet-bn").batch == 8 and values("tinynet").batch == 16
    assert "other_method" not in sys.modules, "a protocol is data"


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("epochs: 6", "epoch: 6", r"no value of a protocol 'epoch'. Did you mean 'epochs'\?"),
        ("epochs: 6", "epochs: six", r"malformed"),
        ("batch: 16, ", "", r"malformed: .*batch"),
        ("lr: 0.05", "lr: -1", r"malformed: .*lr"),
        ("augment: none", "augment: dsa:colour", r"no augmentation 'colour'. Did you mean 'color'"),
        ("- datasets:", "- dataset:", r"malformed: .*dataset"),
        ("version: 3\n", "", r"malformed: .*version"),
        ("[2/3, 5]", "[2/0, 5]", r"malformed"),
        ("blocks:", "blocks: [", r"malformed"),
    ],
)
def test_a_file_that_is_no_protocol_is_named(old: str, new: str, what: str, plug_in: PlugIn) -> None:
    plug_in(POINTS, SOURCE, files={"swift.yaml": SWIFT.replace(old, new)})
    with pytest.raises(BenchmarkError, match=what):
        values(dataset="mnist")


USES: dict[str, tuple[str, Callable[[str], object]]] = {
    "datasets": ("stripes", builtin.card_of),
    "protocols": ("swift", protocols.check_name),
    "architectures": ("tinynet", networks.canonical),
    "analyses": ("brightness", analyses.get),
}


@pytest.mark.parametrize("group", USES)
def test_an_unknown_name_gets_the_nearest_of_a_plug_in(group: str, other: Path) -> None:
    name, use = USES[group]
    use(name)
    with pytest.raises(BenchmarkError, match=rf"Did you mean '{name}'\?"):
        use(f"{name[:-1]}x")


def test_an_unknown_table_gets_the_nearest_of_a_plug_in(other: Path) -> None:
    ReportConfig(tables=["with_bytes"]).check()
    with pytest.raises(BenchmarkError, match=r"no table 'with_byte'. Did you mean 'with_bytes'\?"):
        ReportConfig(tables=["with_byte"]).check()


@pytest.mark.parametrize("group", ["datasets", "architectures", "analyses"])
def test_a_plug_in_that_fails_is_named_and_the_others_go_on(group: str, plug_in: PlugIn) -> None:
    name, use = USES[group]
    plug_in({group: f"{name} = other_method:CARD\nbroken = other_method:Gone.x"}, "CARD = 3")
    with pytest.raises(BenchmarkError, match="'broken' does not import: AttributeError") as caught:
        use("broken")
    assert caught.value.where == "other_method:Gone.x of other 1.0"
    with pytest.raises(BenchmarkError, match=rf"'{name}' is not a benchmark\."):
        use(name)
    assert networks.canonical("convnet3-in") == "convnet3" and datasets.constants_of("mnist").std == (0.3081,)
    assert datasets.key_of("broken" if group == "datasets" else "digits") and analyses.get("expert").version == 1


def test_a_protocol_without_a_file_is_named(plug_in: PlugIn) -> None:
    plug_in({"protocols": "swift = other_method\ngone = no_such.module"}, "")
    for name, what in (
        ("swift", "has no file .*swift.yaml"),
        ("gone", "has no file: there is no module no_such.module"),
    ):
        with pytest.raises(BenchmarkError, match=f"protocol '{name}' {what}"):
            protocols.check_name(name)


@pytest.mark.parametrize("group", USES)
def test_one_name_of_two_packages_is_refused_with_both(group: str, plug_in: PlugIn) -> None:
    name, use = USES[group]
    plug_in({group: f"{name} = other_method:One"}, "")
    plug_in({group: f"{name} = third_method:Two"}, "", name="third")
    with pytest.raises(BenchmarkError, match=rf"two {group} are called '{name}'") as caught:
        use(name)
    assert "other 1.0" in caught.value.what and "third 1.0" in caught.value.what
    assert f"two {group} are called '{name}'" in kinds(1000)


@pytest.mark.parametrize(
    ("group", "name"),
    [("datasets", "mnist"), ("protocols", "native"), ("architectures", "mlp"), ("analyses", "curve")],
)
def test_no_plug_in_takes_a_name_of_ours(group: str, name: str, plug_in: PlugIn) -> None:
    plug_in({group: f"{name} = other_method:One"}, "")
    assert f"two {group} are called '{name}': of condensation-benchmark and of other 1.0" in kinds(1000)


@pytest.mark.parametrize("group", USES)
def test_a_plug_in_for_another_interface_is_one_line(group: str, plug_in: PlugIn, monkeypatch) -> None:
    monkeypatch.setattr("methods.plug_ins.version", lambda name: "0.2.3")
    name, use = USES[group]
    plug_in(POINTS, SOURCE, files={"swift.yaml": SWIFT}, requires="condensation_benchmark ~= 0.1.0")
    with pytest.raises(BenchmarkError, match=r"'\w+' is for condensation-benchmark~=0.1.0, this is 0.2.3$"):
        use(name)
    monkeypatch.setattr("methods.plug_ins.version", lambda name: "0.1.9")
    use(name)


def test_a_layer_with_weights_of_its_own_draws_them(plug_in: PlugIn) -> None:
    layer = """
class Bias(nn.Module):
    def __init__(self):
        super().__init__()
        self.values = nn.Parameter(__import__("torch").empty(4))

    def forward(self, x):
        return x + self.values[:, None, None]

    def initialize(self, generator):
        nn.init.normal_(self.values, generator=generator)


class TinyNetSpec(TinyNetSpec):
    def build(self, image_shape, num_classes):
        return BlockNetwork([nn.Sequential(nn.Conv2d(1, 4, 1), Bias(), nn.AdaptiveAvgPool2d(1))], 4, num_classes)
"""
    plug_in(POINTS, SOURCE + layer)
    first, second = (networks.build("tinynet", (1, 8, 8), 2, torch.Generator().manual_seed(k)) for k in (0, 1))
    assert not torch.equal(first.blocks[0][1].values, second.blocks[0][1].values)  # type: ignore[index]
    assert first.blocks[0][1].values.isfinite().all()  # type: ignore[index]
