"""Soft labels: a teacher's logits on a set's images, networks that train with them, and what is compared with what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from benchmark import datasets
from benchmark.condensation.synthetic_set import load_set, save_set, training_pairs
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.execution.runtime import Runtime
from benchmark.networks import build
from benchmark.planning.plan import Plan, parse_row
from benchmark.runners.job_groups import group_tasks
from benchmark.tasks.execute import execute
from benchmark.training import protocols
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tensors
from helpers import CPU, planned
from methods.base import SyntheticSet
from methods.errors import MethodError
from results.aggregation.cells import cells
from results.aggregation.grouping import is_random, rows_of
from results.store.read_all import read_all
from results.store.store import Store

TINY = ("ipcs=[2]", "seeds=[0,1]", "num_eval=1", "architectures=[convnet2-w4]", "method.soft.teacher_epochs=2",
        "protocols=[quick]", "baselines=[random]")  # fmt: skip


def run(plan: Plan, out: Path) -> Store:
    for task in plan.tasks:
        assert execute(task, Runtime(out, CPU)).status == "done", task["slug"]
    return Store(out)


def test_labels_are_the_logits_of_the_teacher_on_decoded_images(tmp_path: Path) -> None:
    plan = planned("methods=[random@f2@soft]", *TINY, "method.soft.temperature=2.0")
    store = run(plan, tmp_path)
    task = next(task for task in plan.of_kind("label") if task["display"]["display_name"].startswith("random@f2@soft"))
    stored = load_set(store.folder({"kind": "condense", "identity": task["resolved"]["set"]}) / "synthetic.safetensors")
    expert, _ = load_tensors(
        store.folder({"kind": "prepare", "identity": task["resolved"]["experts"][0]}) / "experts.safetensors",
        "cpu",
        "trained/",
    )
    data = datasets.load("digits", tmp_path)
    network = build("convnet2-w4", data.image_shape, 10, seeding.generator("any"))
    network.load_state_dict(expert)
    images = ChannelNormalizer(data.constants, torch.device("cpu"))(stored.decode()[0])
    soft = load_tensors(store.folder(task) / "labels.safetensors", "cpu")[0]["soft"]
    assert soft.shape == (2 * 10 * 4, 10)
    torch.testing.assert_close(soft, network(images).detach() / 2, rtol=1e-4, atol=1e-5)
    result = store.record(task)["result"]  # type: ignore[index]
    right = (
        network(ChannelNormalizer(data.constants, torch.device("cpu"))(data.test.images / 255)).argmax(1)
        == data.test.labels
    )
    assert result["teacher_accuracy"] == pytest.approx(float(right.float().mean()), abs=2e-3)
    assert result["label_bytes"] == 4 * soft.numel()
    assert result["teacher_bytes"] == 4 * sum(weight.numel() for weight in network.parameters())


def test_a_teacher_that_learned_nothing_labels_nothing(tmp_path: Path) -> None:
    plan = planned("methods=[random@soft]", *TINY, "method.soft.teacher_lr=1e-9")
    ends = {task["kind"]: execute(task, Runtime(tmp_path, CPU)) for task in plan.tasks if task["kind"] != "evaluate"}
    assert ends["label"].status == "failed" and not list(tmp_path.glob("label/*/labels.safetensors"))
    assert "of its training images right, hardly more than by chance" in ends["label"].message


def test_the_set_is_condensed_once_and_its_tables_tell_labels_apart(tmp_path: Path) -> None:
    plan = planned("methods=[random,random@soft]", *TINY)
    assert len(plan.of_kind("condense")) == 5 and len(plan.of_kind("prepare")) == 1 and len(plan.of_kind("label")) == 5
    run(plan, tmp_path)
    rows = {row["display_name"]: row for row in rows_of(cells(read_all(tmp_path).records))}
    assert set(rows) == {"random", "random@soft (teacher_epochs=2)"}
    hard, soft = rows.values()
    assert (hard["labels"], soft["labels"]) == ("hard", "soft") and hard["sets"] == soft["sets"] == 5
    assert soft["label_bytes"] == 4 * 20 * 10 and soft["teacher_accuracy"] > 0.1
    assert soft["prepare_seconds"] > 0 == hard["prepare_seconds"]
    assert soft["accuracies"] != hard["accuracies"]


def test_training_minimizes_the_cross_entropy_against_probabilities(tmp_path: Path) -> None:
    """One step of plain SGD on all images, by hand."""
    generator = torch.Generator().manual_seed(0)
    images, soft = torch.rand(4, 1, 8, 8, generator=generator), torch.randn(4, 3, generator=generator)
    synthetic = SyntheticSet(images, torch.tensor([0, 1, 2, 2]), 1, soft=soft)
    save_set(tmp_path / "set.safetensors", synthetic)
    loaded = load_set(tmp_path / "set.safetensors")
    assert loaded.soft is not None and torch.equal(loaded.soft, soft)
    _, labels = training_pairs(loaded)
    torch.testing.assert_close(labels.sum(1), torch.ones(4))
    assert torch.equal(training_pairs(loaded, hard=True)[1], synthetic.labels)
    network = build("convnet2-w4", (1, 8, 8), 3, seeding.generator("any"))
    gradients, _ = CPU.training_gradients(network, images, labels)
    network.requires_grad_(True)
    by_hand = -(labels * F.log_softmax(network(images), 1)).sum(1).mean()
    for mine, expected in zip(gradients, torch.autograd.grad(by_hand, list(network.parameters())), strict=True):
        torch.testing.assert_close(mine, expected)
    mixed, _ = CPU.training_gradients(network, images, labels, labels.flip(0), 0.25)
    network.requires_grad_(True)
    entropies = [-(each * F.log_softmax(network(images), 1)).sum(1).mean() for each in (labels, labels.flip(0))]
    expected = torch.autograd.grad(0.25 * entropies[0] + 0.75 * entropies[1], list(network.parameters()))
    for mine, by_hand in zip(mixed, expected, strict=True):
        torch.testing.assert_close(mine, by_hand)


def test_hard_scores_a_soft_set_with_its_classes() -> None:
    words = [*TINY[:-2], "protocols=[quick,quick@hard]", "baselines=[]"]
    hard, soft, both = (planned(f"methods=[{rows}]", *words[:4 if rows == "random" else 5], *words[5:])
                        for rows in ("random", "random@soft", "random,random@soft"))  # fmt: skip
    (found,) = {task["identity"] for task in soft.of_kind("evaluate") if "labels" not in task["spec"]} & {
        task["identity"] for task in hard.of_kind("evaluate") if task["resolved"]["seed"] == 1
    }
    assert soft.by_identity[found]["display"]["protocol"] == "quick@hard"
    assert "labels" not in soft.by_identity[found]["display"]
    assert len(both.of_kind("evaluate")) == 5 * 3


def test_a_soft_row_brings_its_control(tmp_path: Path) -> None:
    plan = planned("methods=[dm@f2@soft]", *TINY, "iterations_fraction=0.001")
    names = {
        task["display"]["display_name"].partition(" ")[0]: task["display"]["role"] for task in plan.of_kind("evaluate")
    }
    assert names == {
        "dm@f2@soft": "method", "random": "baseline", "random@f2": "baseline", "random@soft": "baseline",
        "random@f2@soft": "baseline",
    }  # fmt: skip
    assert {task["display"]["display_name"] for task in plan.of_kind("condense")} == {"dm@f2", "random", "random@f2"}
    assert len({task["resolved"]["experts"][0] for task in plan.of_kind("label")}) == 1
    kinds = [group.kind for group in group_tasks(plan.tasks, (), (), 1)]
    assert kinds.index("label") > kinds.index("condense") and kinds.index("evaluate", kinds.index("label")) > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("whole@soft", "'whole' condenses nothing"),
        ("soft", "'soft' condenses nothing"),
        ("dm@soft@soft", "soft labels twice"),
    ],
)
def test_what_cannot_be_combined_is_refused(text: str, message: str) -> None:
    with pytest.raises((MethodError, BenchmarkError), match=message):
        parse_row(text)


def test_settings_of_a_teacher_need_a_row_with_soft_labels() -> None:
    with pytest.raises(BenchmarkError, match="settings for 'soft', which is not run"):
        planned("methods=[dm]", *TINY)


def test_names_of_soft_rows() -> None:
    row = parse_row("dance@soft@f1@calibration:off")
    assert row.soft and row.factor == 1 and row.name == "dance@f1@soft@calibration:off" and parse_row(row.name) == row
    assert is_random("random@soft") and is_random("random@f2@soft") and not is_random("random@views")
    found: dict[str, Any] = protocols.get("dsa@hard", native="", published_as="cifar10", resolution=32, num_classes=10,
                                          ipc=1, factor=1).__dict__  # fmt: skip
    assert found["hard_labels"] and found["name"] == "dsa@hard"
