"""Cells from hand-made records: who is averaged with whom, what costs what, what is missing."""

from __future__ import annotations

import pandas as pd
import pytest

from results.aggregation.cells import COLUMNS, cells
from results.store.validation import problem


def only(frame: pd.DataFrame) -> pd.Series:
    assert len(frame) == 1
    return frame.iloc[0]


def test_networks_are_averaged_first_and_sets_are_the_sample(make_condensed, make_evaluated):
    sets = [make_condensed(seed=0), make_condensed(seed=1)]
    same = {"resolved": {"num_eval": 2}}
    scores = [make_evaluated(sets[0], [0.4, 0.6], **same), make_evaluated(sets[1], [0.5, 0.5, 0.5, 0.9], **same)]
    cell = only(cells([*sets, *scores]))
    # means 0.5 and 0.6: their mean, not that of six networks (0.5667); sd = 0.1/√2
    assert cell["accuracy"] == pytest.approx(0.55) and cell["sd"] == pytest.approx(0.0707107, abs=1e-6)
    assert pd.isna(cell["sd_networks"]) and dict(cell["sample"]) == pytest.approx({"0": 0.5, "1": 0.6})


def test_unequal_network_counts_are_unequal_requests(make_condensed, make_evaluated):
    made = make_condensed()
    frame = cells([made, make_evaluated(made, [0.4, 0.6]), make_evaluated(made, [0.4, 0.6, 0.5])])
    assert list(frame["networks"]) == [2, 3] and list(frame["sets"]) == [1, 1]


def test_a_single_set_has_a_deviation_over_its_networks(make_condensed, make_evaluated):
    made = make_condensed()
    cell = only(cells([made, make_evaluated(made, [0.4, 0.6])]))
    assert pd.isna(cell["sd"]) and cell["sd_networks"] == pytest.approx(0.1414214, abs=1e-6)


def test_the_whole_set_is_one_set_under_every_seed(make_evaluated):
    frame = cells([make_evaluated(None, [0.8, 0.9], resolved={"seed": seed}) for seed in (0, 1)])
    cell = only(frame)
    assert (cell["sets"], cell["networks"], cell["expected"], cell["condense_seconds"]) == (1, 4, 1, 0.0)
    assert pd.isna(cell["ipc"])


def test_different_requests_never_share_a_cell(make_condensed, make_evaluated):
    changes = [{}, {"settings": {"lr": 2.0}}, {"precision": "bf16"}, {"version": 2}, {"ipc": 1}]
    sets = [make_condensed(resolved=change) for change in changes]
    frame = cells([*sets, *(make_evaluated(made, [0.5]) for made in sets)])
    assert list(frame["sets"]) == [1] * len(changes)
    assert list(frame["ipc"]) == [1, 10, 10, 10, 10]


def test_prepare_is_charged_in_full_and_shared_by_all_its_users(make_expert, make_condensed, make_evaluated):
    experts = [make_expert(0, seconds=60.0), make_expert(1, seconds=30.0)]
    both, first = [e["identity"] for e in experts], [experts[0]["identity"]]
    dm = [make_condensed("dm", seed, resolved={"experts": both}, seconds=10.0 + seed) for seed in (0, 1)]
    dc = make_condensed("dc", resolved={"experts": first})
    scores = [make_evaluated(made, [0.5, 0.6], seconds=4.0) for made in (*dm, dc)]
    frame = cells([*experts, *dm, dc, *scores]).set_index("display_name")
    # expert 0 has three users, expert 1 two: 60/3 + 30/2
    assert frame.loc["dm", ["prepare_seconds", "prepare_shared"]].tolist() == pytest.approx([90.0, 35.0])
    assert frame.loc["dc", ["prepare_seconds", "prepare_shared"]].tolist() == pytest.approx([60.0, 20.0])
    assert frame["prepare_divisor"].to_dict() == {"dm": "2–3", "dc": "3"}
    assert frame["condense_seconds"].to_dict() == {"dm": 10.5, "dc": 1.0}
    assert frame.loc["dm", "evaluate_seconds"] == 4.0
    lost = cells([experts[0], *dm, dc, *scores]).set_index("display_name")
    assert pd.isna(lost.loc["dm", "prepare_seconds"]) and lost.loc["dc", "prepare_seconds"] == 60.0


def test_memory_is_by_kind_and_experts_are_counted(make_expert, make_condensed, make_evaluated):
    experts = [make_expert(index, peak_memory_bytes=peak) for index, peak in enumerate((7, 9))]
    both = {"experts": [expert["identity"] for expert in experts]}
    sets = [make_condensed("dm", seed, resolved=both, peak_memory_bytes=peak) for seed, peak in enumerate((3, 5))]
    scores = [make_evaluated(made, [0.5], peak_memory_bytes=4) for made in sets]
    cell = only(cells([*experts, *sets, *scores]))
    names = ["experts", "prepare_peak_bytes", "condense_peak_bytes", "evaluate_peak_bytes"]
    assert cell[names].tolist() == [2, 9, 5, 4]
    assert only(cells([*sets, *scores]))["experts"] == 2  # known from what was asked
    plain = make_condensed("dc")
    assert only(cells([plain, make_evaluated(plain, [0.5])]))["experts"] == 0


def test_the_recipe_of_native_is_the_methods_own_protocol(make_condensed, make_evaluated):
    made = make_condensed()
    assert only(cells([made, make_evaluated(made, [0.5], protocol="native", recipe="native:dsa")]))["recipe"] == "dsa"


def test_a_set_condensed_elsewhere_is_scored_without_its_costs(make_condensed, make_evaluated):
    made = make_condensed("dance (alignment=random)")
    cell = only(cells([make_evaluated(made, [0.5])]))
    assert cell["accuracy"] == 0.5 and (cell["sets"], cell["missing"]) == (1, 0)
    assert pd.isna(cell["condense_seconds"]) and pd.isna(cell["prepare_seconds"]) and pd.isna(cell["stored_images"])
    assert cell["overrides"] == "alignment=random" and cell["decoded_images"] == 100


def test_missing_sets_are_counted_and_their_reason_kept(make_condensed, make_evaluated):
    sets = [make_condensed(seed=seed) for seed in range(3)]
    gone = make_condensed(seed=3, status="diverged", message="the loss is nan at step 7")
    cell = only(cells([*sets, gone, make_evaluated(sets[0], [0.5]), make_evaluated(sets[1], [0.6])]))
    assert (cell["status"], cell["sets"], cell["expected"], cell["missing"]) == ("ok", 2, 4, 2)
    assert cell["message"] == "seed 3 diverged: the loss is nan at step 7"


def test_a_cell_without_a_set_is_in_every_table_of_its_network(make_condensed, make_evaluated):
    random, batch_norm = make_condensed("random"), {"status": "unsupported", "message": "BatchNorm is not supported"}
    records = [random, make_condensed("dc", **batch_norm)]
    lonely = cells(records)
    assert lonely[["status", "protocol"]].values.tolist() == [["unsupported", ""]]
    scores = [make_evaluated(random, [0.3], protocol=name) for name in ("dc", "dsa")]
    frame = cells([*records, *scores]).set_index(["protocol", "display_name"])
    assert list(frame.index) == [("dc", "random"), ("dc", "dc"), ("dsa", "random"), ("dsa", "dc")]
    bad = frame.loc[("dsa", "dc")]
    assert (bad["status"], bad["message"], bad["sets"]) == ("unsupported", "BatchNorm is not supported", 0)
    assert pd.isna(bad["accuracy"]) and bad["family"] == "gradient matching"


def test_an_evaluation_that_diverged_has_no_number(make_condensed, make_evaluated):
    made = make_condensed()
    cell = only(cells([made, make_evaluated(made, [0.1], status="diverged", message="nan in epoch 3")]))
    assert (cell["status"], cell["message"], cell["sets"]) == ("diverged", "nan in epoch 3", 0)
    assert pd.isna(cell["accuracy"])


def test_mixed_devices_are_seen(make_condensed, make_evaluated):
    cpu = {"device": "cpu EPYC", "threads": 1, "commit": "fedcba98765", "dirty": True}
    sets = [make_condensed(seed=0), make_condensed(seed=1, environment=cpu)]
    cell = only(cells([*sets, *(make_evaluated(made, [0.5]) for made in sets)]))
    assert cell["mixed"] and cell["devices"] == "NVIDIA H100, cpu EPYC × 1 thread"
    assert cell["commits"] == "0123456789, fedcba9876 (dirty)"
    assert not only(cells([sets[0], make_evaluated(sets[0], [0.5])]))["mixed"]


def test_validation_accuracies_are_averaged_like_the_others(make_condensed, make_evaluated):
    made = make_condensed()
    score = make_evaluated(made, [0.5, 0.6])
    score["result"]["validation_accuracies"] = [0.7, 0.8]
    assert only(cells([made, score]))["validation_accuracy"] == pytest.approx(0.75)


def test_a_dataset_without_a_title_is_called_by_its_name(make_expert, make_condensed, make_evaluated):
    titled = {"display": {"dataset_title": "CIFAR-10"}}
    made, failed = make_condensed("dm", **titled), make_condensed("dc", ipc=1, status="diverged", **titled)
    records = [make_expert(0), made, failed, make_evaluated(made, [0.5], **titled), make_evaluated(None, [0.8])]
    records.append(make_condensed("idm", ipc=1, status="diverged"))
    assert [problem(record) for record in records] == [""] * 6  # none needs a title
    frame = cells(records).set_index("display_name")
    expected = {"dm": "CIFAR-10", "dc": "CIFAR-10", "whole": "cifar10", "idm": "cifar10"}
    assert frame["dataset_title"].to_dict() == expected


def test_nothing_gives_an_empty_frame_with_its_columns():
    assert list(cells([]).columns) == list(COLUMNS) and len(cells([])) == 0


def test_the_order_of_records_does_not_matter(make_condensed, make_evaluated):
    sets = [make_condensed(row, seed) for row in ("random", "dm") for seed in (0, 1)]
    records = [*sets, *(make_evaluated(made, [0.1 * place]) for place, made in enumerate(sets))]
    pd.testing.assert_frame_equal(cells(records), cells(records[::-1]))
