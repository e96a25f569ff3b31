"""The rows of a plan: baselines, variants, factors and their names."""

from __future__ import annotations

import re

import pytest

from benchmark.planning import grid
from benchmark.utils.errors import BenchmarkError
from methods.errors import MethodError
from plan_parts import build, of_row, rows


def test_random_has_five_subsets_at_least_and_every_seed_that_methods_have() -> None:
    assert [seed for row, seed in rows(build("seeds=[7]")) if row == "random"] == [7, 0, 1, 2, 3]
    assert [seed for row, seed in rows(build("seeds=[0,1,2,3,4,5]")) if row == "random"] == [0, 1, 2, 3, 4, 5]
    assert [seed for row, seed in rows(build("seeds=[7]")) if row == "dm"] == [7]


@pytest.mark.parametrize(
    ("words", "baselines"),
    [(["methods=[dm]"], {"random"}), (["methods=[dm@f2]"], {"random", "random@f2"}),
     (["methods=[dm,dm@f3]"], {"random", "random@f3"}),
     (["methods=[dm]", "method.dm.factor=2"], {"random", "random@f2"}),
     (["methods=[dm@f2]", "baselines=[]"], set()), (["methods=[dm@f2]", "baselines=[whole]"], set())],
)  # fmt: skip
def test_rows_with_a_factor_add_mosaics_of_random_images(words: list[str], baselines: set[str]) -> None:
    planned = build(*words)
    found = {
        task["display"]["display_name"] for task in planned.of_kind("condense") if task["display"]["role"] == "baseline"
    }
    assert found == baselines
    for row in baselines:
        assert of_row(planned, "condense", row)["display"]["factor"] == int(row.partition("@f")[2] or 1)


def test_a_baseline_that_is_requested_as_a_method_runs_once() -> None:
    planned = build("methods=[random,dm@f2]")
    assert {task["display"]["display_name"]: task["display"]["role"] for task in planned.of_kind("condense")} == {
        "random": "method", "dm@f2": "method", "random@f2": "baseline",
    }  # fmt: skip


def test_the_whole_set_is_scored_once_under_every_protocol() -> None:
    planned = build("protocols=[dsa,quick]", "ipcs=[1,2]", "seeds=[0,1]")
    whole = [task for task in planned.tasks if task["display"].get("display_name") == "whole"]
    assert sorted(task["resolved"]["protocol"]["name"] for task in whole) == ["dsa", "quick"]
    assert all(task["kind"] == "evaluate" and task["resolved"]["set"] == "whole" for task in whole)
    assert all(task["display"]["display_name"] != "whole" for task in build("baselines=[random]").of_kind("evaluate"))


def test_variants_join_only_the_requested_methods() -> None:
    words = ("variants=[dm@f2,dance@f2]", "baselines=[]")
    assert {row for row, _ in rows(build("methods=[dm]", *words))} == {"dm", "dm@f2"}
    assert {row for row, _ in rows(build("methods=[dance]", *words))} == {"dance", "dance@f2"}
    assert rows(build("methods=[dm,dm@f2]", *words)).count(("dm@f2", 0)) == 1
    assert of_row(build("methods=[dm]", *words), "condense", "dm@f2")["resolved"]["settings"]["factor"] == 2


def names_and_notes(planned: grid.Plan) -> tuple[set[str], list[str]]:
    return {row for row, _ in rows(planned)}, [note for note in planned.notes if re.search(r" is .*factor \d$", note)]


@pytest.mark.parametrize("words", [["methods=[dm@f2]"], ["methods=[dm]", "method.dm.factor=2"],
                                   ["methods=[dm@f2]", "method.dm.factor=2"]])  # fmt: skip
def test_a_factor_has_one_name_however_it_is_requested(words: list[str]) -> None:
    planned = build("baselines=[]", *words)
    assert planned.by_identity == build("baselines=[]", "methods=[dm@f2]").by_identity
    assert names_and_notes(planned) == ({"dm@f2"}, [])
    task = of_row(planned, "condense", "dm@f2")
    assert task["slug"].startswith("dm@f2-digits") and task["display"]["overrides"] == ""


def test_variants_of_one_method_are_rows_of_their_own() -> None:
    planned = build(
        "methods=[dance,dance@alignment:random,dance@f2@calibration:off,dm@lr_img:2@augment:dsa:color_crop]",
        "baselines=[]",
    )
    settings = {row: of_row(planned, "condense", row)["resolved"]["settings"] for row, _ in rows(planned)}
    assert list(settings) == [
        "dance", "dance (alignment=random)", "dance@f2 (calibration=False)", "dm (augment=dsa:color_crop, lr_img=2.0)",
    ]  # fmt: skip
    changed = {"alignment": "random"}
    assert settings["dance (alignment=random)"] == settings["dance"] | changed
    assert settings["dance@f2 (calibration=False)"] == settings["dance"] | {"calibration": False, "factor": 2}
    names = [task["slug"].partition("-digits")[0] for task in planned.of_kind("evaluate")]
    assert names == ["dance", "dance@alignment:random", "dance@f2@calibration:False",
                     "dm@augment:dsa:color_crop@lr_img:2.0"]  # fmt: skip


def test_variants_of_one_method_have_shares_of_their_own() -> None:
    cell = "digits", 1, "convnet2-w4"
    shares = {("dm", *cell): 0.01, ("dm (init=noise)", *cell): 0.02}
    planned = build("methods=[dm,dm@init:noise]", "baselines=[]", shares=shares)
    iterations = {
        row: of_row(planned, "condense", row)["resolved"]["settings"]["iterations"] for row, _ in rows(planned)
    }
    assert iterations == {"dm": 200, "dm (init=noise)": 400}


def test_what_is_ours_in_a_protocol_is_noted_and_goes_with_its_evaluations() -> None:
    words = ("methods=[dm]", "baselines=[]", "protocols=[dc]")
    ours = build(*words, "eval_architectures=[convnet2-bn-w4]")
    (task,) = ours.of_kind("evaluate")
    assert "the only network with this rule" in task["display"]["protocol_note"]
    assert f"protocol dc: {task['display']['protocol_note']}" in ours.notes
    (public,) = build(*words, "eval_architectures=[convnet3-bn]").of_kind("evaluate")
    assert "protocol_note" not in public["display"]


def test_a_variant_that_changes_nothing_is_the_row_itself_and_says_so() -> None:
    planned = build("methods=[dance,dance@alignment:mid]", "baselines=[]")
    assert rows(planned) == [("dance", 0)]
    assert "dance@alignment:mid on digits at ipc 1 is dance: its settings are the same" in planned.notes
    assert rows(build("methods=[dance@factor:2]", "baselines=[]")) == [("dance@f2", 0)]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("dance@aligment:mid", "no setting 'aligment'. Did you mean 'alignment'?"),
        ("dance@alignment", "'dance@alignment' is no method"),
        ("dance@alignment:", "'dance@alignment:' is no method"),
        ("dance@f1@f2", "'dance@f1@f2' sets factor twice"),
        ("dance@factor:0", "factor must be a whole number from 1, got 0"),
        ('"dance:alignment=mid"', "'dance:alignment=mid' is no method"),
        ("dance@alignment:middle", "alignment"),
        ("whole@epochs:3", "'whole' condenses nothing"),
    ],
)
def test_a_variant_that_makes_no_sense_is_refused(row: str, what: str) -> None:
    with pytest.raises((BenchmarkError, MethodError), match=re.escape(what)):
        build(f"methods=[{row}]")


def test_a_variant_and_an_option_for_its_method_must_agree() -> None:
    with pytest.raises(BenchmarkError) as refused:
        build("methods=[dance@alignment:mid]", "method.dance.alignment=off")
    assert (
        refused.value.what == "dance@alignment:mid and method.dance.alignment=off ask for different values of alignment"
    )
    assert rows(build("methods=[dance@calibration:false]", "method.dance.calibration=false", "baselines=[]"))


def test_other_overrides_are_printed_after_the_factor() -> None:
    planned = build("methods=[dm,dm@f3]", "baselines=[]", "method.dm.lr_img=2")
    assert names_and_notes(planned) == ({"dm (lr_img=2.0)", "dm@f3 (lr_img=2.0)"}, [])


def cifar10(*words: str) -> grid.Plan:
    """Planned from the card: DANCE's settings have factor 2 there, and 1 on digits."""
    return build("datasets=[cifar10]", "data_root=nowhere", "dry_run=true", *words)


@pytest.mark.parametrize(
    ("words", "row", "notes"),
    [
        (["methods=[dance@f2]"], "dance", ["dance@f2 on cifar10 at ipc 1 is dance: its settings have factor 2"]),
        (["methods=[dance,dance@f2]"], "dance", ["dance@f2 on cifar10 at ipc 1 is dance: its settings have factor 2"]),
        (["methods=[dance@f1,dance]", "method.dance.factor=1"], "dance@f1",
         ["dance on cifar10 at ipc 1 is dance@f1: the command line sets factor 1"]),
        (["methods=[dance]", "method.dance.factor=1"], "dance@f1", []),
        (["methods=[dance]", "method.dance.factor=2"], "dance", []),
        (["methods=[dance]", "variants=[dance@f2]"], "dance", []),
    ],
)  # fmt: skip
def test_the_factor_of_the_preset_is_no_row_of_its_own(words: list[str], row: str, notes: list[str]) -> None:
    planned = cifar10("baselines=[]", *words)
    assert names_and_notes(planned) == ({row}, notes) and len(planned.of_kind("condense")) == 1
    plain = cifar10("baselines=[]", "methods=[dance]", f"method.dance.factor={2 if row == 'dance' else 1}")
    assert planned.by_identity.keys() == plain.by_identity.keys()


def test_one_request_names_rows_by_the_settings_of_each_dataset() -> None:
    words = ("datasets=[digits,cifar10]", "data_root=data", "dry_run=true", "baselines=[]")
    planned = build("methods=[dance@f2]", *words)
    assert [task["display"]["display_name"] for task in planned.of_kind("condense")] == ["dance@f2", "dance"]
    planned = build("methods=[dance]", "variants=[dance@f1]", *words)
    named = [(task["display"]["dataset"], task["display"]["display_name"]) for task in planned.of_kind("condense")]
    assert named == [("digits", "dance"), ("cifar10", "dance"), ("cifar10", "dance@f1")]


@pytest.mark.parametrize(
    ("words", "row"),
    [(["methods=[dance@f2]", "method.dance.factor=3"], "dance@f2"),
     (["methods=[dm,dm@f2]", "method.dm.factor=3"], "dm@f2"),
     (["methods=[random@f2]", "method.random.factor=3"], "random@f2")],
)  # fmt: skip
def test_two_factors_of_one_row_are_refused(words: list[str], row: str) -> None:
    method = row.partition("@")[0]
    with pytest.raises(BenchmarkError) as refused:
        build(*words)
    assert refused.value.what == f"{row} and method.{method}.factor=3 ask for different factors of one row"
    assert refused.value.where == f"methods=[{row}] method.{method}.factor=3"
    assert f"methods=[{row},{method}@f3]" in refused.value.next


def test_a_variant_of_the_preset_keeps_its_factor() -> None:
    planned = build("methods=[dm]", "variants=[dm@f2]", "method.dm.factor=3", "baselines=[]")
    assert names_and_notes(planned) == ({"dm@f3", "dm@f2"}, [])


@pytest.mark.parametrize("words", [["methods=[dm@f2]"], ["methods=[dm]", "method.dm.factor=2"]])
def test_a_share_of_the_iterations_is_that_of_the_name(words: list[str]) -> None:
    shares = {("dm@f2", "digits", 1, "convnet2-w4"): 0.5, ("dm", "digits", 1, "convnet2-w4"): 0.25}
    planned = build("baselines=[]", *words, shares=shares)
    assert of_row(planned, "condense", "dm@f2")["resolved"]["settings"]["iterations"] == 10_000


def test_random_mosaics_have_one_name_too() -> None:
    planned = build("methods=[random]", "method.random.factor=2")
    assert {task["display"]["display_name"]: task["display"]["role"] for task in planned.of_kind("condense")} == {
        "random@f2": "method", "random": "baseline",
    }  # fmt: skip
    assert planned.by_identity.keys() == build("methods=[random@f2]").by_identity.keys()
    assert names_and_notes(build("methods=[random@f1]")) == (
        {"random"}, ["random@f1 on digits at ipc 1 is random: its settings have factor 1"],
    )  # fmt: skip


@pytest.mark.parametrize("words", [["methods=[herding@f2]"], ["methods=[herding]", "variants=[herding@f2]"]])
def test_a_factor_of_a_method_without_one_is_refused(words: list[str]) -> None:
    with pytest.raises(BenchmarkError) as refused:
        build(*words)
    assert refused.value.what == "herding has no setting 'factor'" and "herding@f2" in refused.value.where


@pytest.mark.parametrize("setting", ["factor=2", "init=noise", "iterations=5", "augment=x", "batch_real=1"])
def test_a_setting_that_a_method_lacks_is_refused(setting: str) -> None:
    with pytest.raises(MethodError, match=f"no setting '{setting.partition('=')[0]}'"):
        build("methods=[herding]", f"method.herding.{setting}")
