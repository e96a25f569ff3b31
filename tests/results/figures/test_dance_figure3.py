"""Anytime curves, the three analyses of DANCE's Figure 3 and embeddings, from hand-made records."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

from figure_records import analysis_record, curve_record, drawn_points
from results.aggregation.row_styles import row_styles
from results.figures import anytime as curves
from results.figures import dance_figure3, embedding
from results.figures.mean_lines import StepValues, mean_line
from results.figures.sets import stored_sets
from results.figures.style import title_and_facts

PER_CENT = pytest.approx


def styles(records):
    return row_styles([condensed.name for condensed in stored_sets(records).values()], ["Whole set"])


def facts(figure):
    return " ".join(title_and_facts(figure)[1])


# --- lines ------------------------------------------------------------------------------------------------------------


def test_networks_of_a_set_are_averaged_before_the_deviation_over_sets():
    samples = [StepValues.of([0, 5], [[0.1, 0.3], [0.4]]), StepValues.of([0, 5, 7], [[0.4], [0.8, 0.8], [0.9]])]
    line = mean_line("dm", samples)
    assert line.x == (0.0, 5.0) and line.y == pytest.approx((0.3, 0.6))
    assert line.sd == pytest.approx((0.2 / math.sqrt(2), 0.4 / math.sqrt(2))) and (line.count, line.over) == (2, "sets")


def test_a_single_set_varies_over_its_networks_and_a_single_number_not_at_all():
    assert mean_line("dm", [StepValues.of([0], [[0.1, 0.3]])]).sd == pytest.approx((0.2 / math.sqrt(2),))
    assert math.isnan(mean_line("dm", [StepValues.of([0], [[0.1]])]).sd[0])


@pytest.mark.parametrize(
    ("steps", "values"), [([], []), ([0, 1], [[0.5]]), ([0], [[]]), ([0], [[math.nan]]), ([0], [["x"]])]
)
def test_what_is_no_line_is_refused(steps, values):
    with pytest.raises(ValueError):
        StepValues.of(steps, values)


# --- anytime curves ---------------------------------------------------------------------------------------------------


@pytest.fixture
def make_curves(make_expert, make_condensed):
    """DM and DANCE with two sets each, two points a curve, two networks; DANCE has an expert of 60 seconds."""

    def make(**more):
        expert = make_expert(0, seconds=60.0)
        records = [expert]
        for row, shift, experts in (("dm", 0.0, []), ("dance", 0.1, [expert["identity"]])):
            for seed in range(2):
                condensed = make_condensed(row, seed, resolved={"experts": experts})
                scores = [[0.2, 0.3], [0.5 + shift + 0.1 * seed, 0.6 + shift + 0.1 * seed]]
                records += [
                    condensed,
                    curve_record(condensed["identity"], [1.0, 9.0 + 2 * seed], scores, seed=seed, **more),
                ]
        return records

    return make


def test_a_curve_is_drawn_against_condensing_and_again_with_preparing(make_curves):
    records = [*make_curves(), curve_record("whole", [0.0, 50.0], [[0.1], [0.9]])]
    (anytime,), missing = curves.anytime_curves(records, stored_sets(records))
    assert not missing
    figure = curves.anytime_figure(anytime, styles(records))
    left, right = figure.axes
    assert drawn_points(left)["DM"] == [(1.0, PER_CENT(25)), (10.0, PER_CENT(60))]
    assert drawn_points(left)["DANCE"] == [(1.0, PER_CENT(25)), (10.0, PER_CENT(70))]
    assert drawn_points(right)["DM"] == drawn_points(left)["DM"]
    assert drawn_points(right)["DANCE"] == [(61.0, PER_CENT(25)), (70.0, PER_CENT(70))]
    assert drawn_points(left)["Whole set"] == [(0.0, PER_CENT(10)), (50.0, PER_CENT(90))]
    assert left.get_ylabel() == "Validation accuracy (%)" and "reparing" in right.get_xlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["DANCE", "DM", "Whole set"]
    for fact in ("protocol dsa v1", "seeds × networks 2 × 2", "NVIDIA H100", "± sd over 2 sets"):
        assert fact in facts(figure)


def test_the_band_is_the_deviation_over_sets(make_curves):
    records = make_curves()
    (anytime,), _ = curves.anytime_curves(records, stored_sets(records))
    axes = curves.anytime_figure(anytime, styles(records)).axes[0]
    edges = axes.collections[1].get_paths()[0].vertices
    spread = 100 * 0.1 / math.sqrt(2)
    assert sorted(set(np.round(edges[edges[:, 0] == 10.0, 1], 6))) == pytest.approx([60 - spread, 60 + spread])


def test_without_experts_there_is_one_panel(make_condensed):
    condensed = make_condensed("dm")
    records = [condensed, curve_record(condensed["identity"], [1.0, 2.0], [[0.2], [0.3]])]
    (anytime,), _ = curves.anytime_curves(records, stored_sets(records))
    figure = curves.anytime_figure(anytime, styles(records))
    assert len(figure.axes) == 1 and figure.axes[0].get_legend() is not None


@pytest.mark.parametrize("device", [None, "NVIDIA A100"])
def test_curves_of_other_hardware_or_without_their_experts_seconds_are_named(make_curves, make_condensed, device):
    records = make_curves()
    expert = records.pop(0)
    records += [expert | {"environment": {"device": device}}] if device else []
    other = make_condensed("dc", environment={"device": "NVIDIA A100"})
    records += [other, curve_record(other["identity"], [1.0, 2.0], [[0.2], [0.3]])]
    records.append(curve_record("whole", [0.0, 5.0], [[0.1], [0.9]], device="NVIDIA A100"))
    (anytime,), _ = curves.anytime_curves(records, stored_sets(records))
    assert [line.name for line in anytime.lines] == ["DANCE", "DM"] and anytime.whole is None
    assert any(fact.startswith("not shown, on other hardware") and fact.endswith("DC") for fact in anytime.facts)
    figure = curves.anytime_figure(anytime, styles(records))
    assert "seconds of preparing unknown, or of other hardware: DANCE" in facts(figure)


def test_each_protocol_ipc_and_network_has_its_own_curves(make_condensed):
    records = []
    for ipc in (1, 10):
        condensed = make_condensed("dm", ipc=ipc)
        records.append(condensed)
        for protocol in ("dc", "dsa"):
            for network in ("convnet3", "resnet10-bn"):
                resolved = {"protocol": {"name": protocol, "version": 1}, "architecture": network}
                records.append(curve_record(condensed["identity"], [1.0], [[0.5]], **resolved))
    figures, _ = curves.anytime_curves(records, stored_sets(records))
    assert len({(a.scenario.ipc, a.protocol, a.architecture) for a in figures}) == len(figures) == 8


def test_settings_that_differ_keep_two_rows_of_one_name_apart(make_condensed):
    sets = [make_condensed("dm", resolved={"settings": {"lr": lr}}) for lr in (1.0, 2.0)]
    records = [*sets, *(curve_record(condensed["identity"], [1.0, 2.0], [[0.2], [0.3]]) for condensed in sets)]
    (anytime,), _ = curves.anytime_curves(records, stored_sets(records))
    assert [line.name for line in anytime.lines] == ["DM [lr=1.0]", "DM [lr=2.0]"]


@pytest.mark.parametrize("harm", ["points", "seconds", "accuracies"])
def test_a_record_that_is_not_understood_costs_only_its_own_line(make_curves, harm):
    records = make_curves()
    bad = copy.deepcopy(
        next(r for r in records if r["kind"] == "analyze" and r["result"]["points"][1]["seconds"] == 11)
    )
    bad["identity"], bad["resolved"]["num_eval"] = "f" * 64, 7
    if harm == "points":
        bad["result"] = {}
    else:
        del bad["result"]["points"][0][harm]
    figures, (line,) = curves.anytime_curves([*records, bad], stored_sets(records))
    assert len(figures) == 1 and "ffffffffffff" in line and "not understood" in line


def test_a_line_names_unknown_sets_and_failed_analyses(make_curves):
    records = make_curves()
    lost, bad = curve_record("a" * 64, [1.0], [[0.5]]), curve_record("b" * 64, [1.0], [[0.5]], status="diverged")
    figures, missing = curves.anytime_curves([*records, lost, bad], stored_sets(records))
    assert len(figures) == 1 and len(missing) == 2
    assert any("no record of its set aaaaaaaaaaaa" in line for line in missing)
    assert any("diverged: the loss is not finite" in line for line in missing)


# --- DANCE's Figure 3 -------------------------------------------------------------------------------------------------


def test_discrepancies_are_averaged_over_sets_and_both_distances_drawn(make_condensed):
    sets = [make_condensed(row, seed) for row in ("dm", "dance") for seed in range(2)]
    steps = [0, 1, 10, 1000]
    by_set = {
        s["identity"]: {"mean_distance": [4.0 + k, 3.0, 2.0, 1.0], "relative_distance": [0.4, 0.3, 0.2, 0.1]}
        for k, s in enumerate(sets)
    }
    records = [*sets, analysis_record("discrepancy", {"steps": steps, "sets": by_set}, sets=list(by_set))]
    (discrepancy,), missing = dance_figure3.discrepancies(records, stored_sets(records))
    assert not missing
    figure = dance_figure3.discrepancy_figure(discrepancy, styles(records))
    absolute, relative = figure.axes
    assert drawn_points(absolute)["DM"] == [(0, 4.5), (1, 3.0), (10, 2.0), (1000, 1.0)]
    assert drawn_points(absolute)["DANCE"][0] == (0, 6.5)
    assert drawn_points(relative)["DM"] == [(x, PER_CENT(y)) for x, y in zip(steps, (0.4, 0.3, 0.2, 0.1), strict=True)]
    assert absolute.get_yscale() == "log" and absolute.get_xscale() == "symlog" and "step" in absolute.get_xlabel()
    assert "variance within classes" in relative.get_ylabel() and "convnet3" in facts(figure)


def test_seeds_of_several_analyses_share_a_figure_and_ipcs_do_not(make_condensed):
    records = []
    for seed in range(2):
        sets = [make_condensed("dm", seed, ipc) for ipc in (1, 10)]
        by_set = {s["identity"]: {"mean_distance": [1.0 + seed], "relative_distance": [None]} for s in sets}
        records += [*sets, analysis_record("discrepancy", {"steps": [0], "sets": by_set}, sets=list(by_set), seed=seed)]
    figures, _ = dance_figure3.discrepancies(records, stored_sets(records))
    assert [f.scenario.ipc for f in figures] == [1, 10]
    for discrepancy in figures:
        assert list(discrepancy.lines) == ["mean_distance"]
        (line,) = discrepancy.lines["mean_distance"]
        assert line.y == (1.5,) and (line.count, line.over) == (2, "sets")
        assert len(dance_figure3.discrepancy_figure(discrepancy, styles(records)).axes) == 1


@pytest.mark.parametrize("name", ["discrepancy", "expert"])
def test_a_set_of_two_analyses_counts_once(make_condensed, name):
    sets = [make_condensed(row) for row in ("dm", "dance")]
    result = {"steps": [0, 10], "mean_distance": [4.0, 1.0], "relative_distance": [0.4, 0.1]}
    result |= {"accuracies": [[0.9], [0.5]]}
    records = list(sets)
    for analyzed in (sets[:1], sets):  # as after methods=[dm], then methods=[dance,dm]
        by_set = {condensed["identity"]: result for condensed in analyzed}
        records.append(
            analysis_record(name, {"steps": [0, 10], "real": {"train": 0.9}, "sets": by_set}, sets=list(by_set))
        )
    make = {"discrepancy": dance_figure3.discrepancies, "expert": dance_figure3.expert_accuracies}[name]
    (data,), _ = make(records, stored_sets(records))
    lines = data.lines["mean_distance"] if name == "discrepancy" else data.lines
    assert {line.name: (line.count, line.over) for line in lines} == dict.fromkeys(
        ["DM", "DANCE"], (1, "networks of one set" if name == "discrepancy" else "experts of one set")
    )


def test_interpolation_goes_from_the_expert_to_its_initial_weights():
    result = {"lambdas": [0.0, 0.5, 1.0], "split": "train", "accuracies": [[0.8, 0.9], [0.4, 0.6], [0.1, 0.1]]}
    (interpolation,), missing = dance_figure3.interpolations([analysis_record("interpolation", result)])
    assert not missing
    figure = dance_figure3.interpolation_figure(interpolation)
    (axes,) = figure.axes
    assert drawn_points(axes)["experts"] == [(0.0, PER_CENT(85)), (0.5, PER_CENT(50)), (1.0, PER_CENT(10))]
    assert "0: the expert, 1: its initial weights" in axes.get_xlabel() and axes.get_ylabel() == "Train accuracy (%)"
    assert "± sd over 2 experts" in facts(figure)


def test_experts_on_condensed_images_and_on_real_ones(make_condensed):
    sets = [make_condensed("dm"), make_condensed("dance")]
    along = {
        sets[0]["identity"]: {"steps": [0, 10], "accuracies": [[0.9, 0.8], [0.5, 0.7]]},
        sets[1]["identity"]: {"steps": [20], "accuracies": [[1.0, 0.9]]},
    }
    result = {"real": {"train": 0.94, "validation": None}, "sets": along}
    records = [*sets, analysis_record("expert", result, sets=list(along))]
    (expert,), missing = dance_figure3.expert_accuracies(records, stored_sets(records))
    assert not missing
    figure = dance_figure3.expert_figure(expert, styles(records))
    (axes,) = figure.axes
    points = drawn_points(axes)
    assert points["DM"] == [(0, PER_CENT(85)), (10, PER_CENT(60))] and points["DANCE"] == [(20, PER_CENT(95))]
    assert [y for _, y in points["Real (train)"]] == [94, 94] and "Real (validation)" not in points
    assert "2 experts" in facts(figure)


# --- embedding --------------------------------------------------------------------------------------------------------


def cloud(classes, each, shift=0.0):
    labels = [c for c in range(classes) for _ in range(each)]
    return {"xy": [[float(c) + shift, k / 10] for k, c in enumerate(labels)], "labels": labels}


def test_an_embedding_has_a_panel_for_the_real_images_and_one_for_each_row(make_condensed):
    sets = [make_condensed("dm", seed) for seed in range(2)] + [make_condensed("dance")]
    shown = {condensed["identity"]: cloud(3, 2, shift=0.1 * k) for k, condensed in enumerate(sets)}
    result = {"method": "tsne", "real": cloud(3, 20), "sets": shown}
    records = [*sets, analysis_record("embedding", result, sets=list(shown), seed=0)]
    (panels,), missing = embedding.embeddings(records, stored_sets(records))
    assert not missing
    figure = embedding.embedding_figure(panels)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Real images", "DANCE", "DM"]
    real, dance, dm = figure.axes
    assert sum(len(dots.get_offsets()) for dots in real.collections) == 60
    assert [text.get_text() for text in real.texts] == ["0", "1", "2"]  # classes differ without color
    for axes, condensed in ((dm, sets[0]), (dance, sets[2])):
        discs = axes.collections[-1].get_offsets()
        assert discs[::2].tolist() == discs[1::2].tolist() == shown[condensed["identity"]]["xy"]
    assert "t-SNE" in facts(figure) and "60 real images" in facts(figure)
    assert dm.get_xlim() == real.get_xlim() and real.get_xlim()[1] < 4


@pytest.mark.parametrize("names", [["coat", "bag", "shirt"], ["0", "1", "2"], ["coat"]])
def test_a_legend_names_the_classes_of_an_embedding_unless_they_are_numbers(make_condensed, names):
    condensed = make_condensed("dm")
    condensed["result"]["classes"] = names
    result = {"method": "tsne", "real": cloud(3, 20), "sets": {condensed["identity"]: cloud(3, 2)}}
    records = [condensed, analysis_record("embedding", result, sets=[condensed["identity"]], seed=0)]
    (panels,), _ = embedding.embeddings(records, stored_sets(records))
    legends = [
        [text.get_text() for text in legend.get_texts()] for legend in embedding.embedding_figure(panels).legends
    ]
    assert legends == ([["0 coat", "1 bag", "2 shirt"]] if names[-1] == "shirt" else [])


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_layouts_of_a_seed_the_one_of_more_sets_is_shown(make_condensed, turned):
    sets = [make_condensed("dm"), make_condensed("dance")]
    records = []
    for analyzed in (sets[:1], sets):
        shown = {condensed["identity"]: cloud(3, 1) for condensed in analyzed}
        result = {"method": "pca", "real": cloud(3, 2), "sets": shown}
        records.append(analysis_record("embedding", result, sets=list(shown), seed=0))
    records = [*sets, *(reversed(records) if turned else records)]
    (panels,), _ = embedding.embeddings(records, stored_sets(records))
    assert set(panels.sets) == {"DM", "DANCE"}


def test_of_many_classes_the_first_ten_are_shown_and_one_layout_of_several_seeds(make_condensed):
    condensed = make_condensed("dm")
    result = {"method": "pca", "real": cloud(12, 2), "sets": {condensed["identity"]: cloud(12, 1)}}
    records = [
        condensed,
        *(analysis_record("embedding", result, sets=[condensed["identity"]], seed=seed) for seed in range(2)),
    ]
    (panels,), _ = embedding.embeddings(records, stored_sets(records))
    assert set(panels.real.labels) == set(panels.sets["DM"].labels) == set(range(10))
    assert "the first 10 of 12 classes" in panels.facts


@pytest.mark.parametrize("harm", [{"xy": [[0.0]]}, {"labels": [0]}, {"xy": None}, {"xy": [[0.0, None]] * 3}])
def test_a_line_names_a_damaged_embedding(make_condensed, harm):
    condensed = make_condensed("dm")
    result = {"method": "pca", "real": cloud(3, 2), "sets": {condensed["identity"]: cloud(3, 1) | harm}}
    records = [condensed, analysis_record("embedding", result, sets=[condensed["identity"]])]
    figures, (line,) = embedding.embeddings(records, stored_sets(records))
    assert not figures and "not understood" in line
