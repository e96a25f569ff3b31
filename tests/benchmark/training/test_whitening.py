"""ZCA whitening: its formula, what is fitted to which images, and which networks see whitened ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark import networks
from benchmark.condensation.contract import make_images
from benchmark.condensation.synthetic_set import load_set
from benchmark.datasets import Split
from benchmark.datasets.normalization import Whitener, check_whitening, fit_whitening
from benchmark.datasets.splits import hold_out
from benchmark.execution.runtime import Runtime, Task
from benchmark.planning.grid import Plan
from benchmark.planning.plan import inputs_of
from benchmark.tasks.execute import execute
from benchmark.training import protocols
from benchmark.training.evaluation import seed_values
from benchmark.training.trainer import accuracy, seeded_training
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.seeding import Role
from external_set_files import digits
from helpers import CPU, planned
from methods import registry
from results.aggregation.cells import cells
from results.store.store import Store

MTT = "mtt@zca:true@iterations:2@experts:1@max_start_epoch:1@expert_epochs:1@syn_steps:2"
WORDS = (
    f"methods=[{MTT}]",
    "datasets=[digits]",
    "ipcs=[1]",
    "architectures=[convnet2-w4]",
    "num_eval=1",
    "baselines=[]",
)


def whitened(images: torch.Tensor, train: Split) -> torch.Tensor:
    """Whitened as the covariance's inverse root says, by numpy in float64: pixels (N, ch, H, W) from 0 to 1."""
    real = train.images.flatten(1).double().numpy() / 255
    values, vectors = np.linalg.eigh(np.cov(real, rowvar=False) + 0.1 * np.eye(real.shape[1]))
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    return torch.from_numpy((images.flatten(1).double().numpy() - real.mean(0)) @ root).float().view_as(images)


def test_images_are_whitened_as_the_formula_says_and_back() -> None:
    train = make_images(4, 100, (3, 4, 4))
    pixels = make_images(4, 5, (3, 4, 4), seed=1).images.float() / 255
    whitener = Whitener(**fit_whitening(train))
    assert torch.allclose(whitener(pixels), whitened(pixels, train), atol=1e-5)
    assert torch.allclose(whitener.inverse(whitener(pixels)), pixels, atol=1e-5)
    batches = pixels.view(4, 5, 3, 4, 4)
    assert torch.equal(whitener(batches).flatten(0, 1), whitener(pixels)), "any leading dimensions"


def test_the_variances_left_are_those_of_the_regularized_inverse() -> None:
    train = make_images(4, 200, (1, 5, 5))
    fitted = fit_whitening(train)
    white = Whitener(**fitted)(train.images.float() / 255).flatten(1).double()
    assert torch.allclose(white.mean(0), torch.zeros(25, dtype=torch.float64), atol=1e-5)
    in_basis = fitted["vectors"].T.double() @ white.T.cov() @ fitted["vectors"].double()
    assert torch.allclose(in_basis, torch.diag(fitted["values"] / (fitted["values"] + 0.1)).double(), atol=1e-5)


def test_images_too_large_to_be_whitened_are_refused() -> None:
    check_whitening((3, 32, 32), "here")
    with pytest.raises(BenchmarkError, match="3x64x64"):
        check_whitening((3, 64, 64), "here")


def run(plan: Plan, out: Path) -> list[dict[str, Any]]:
    """All tasks of a plan done in this process: their records."""
    for task in plan.tasks:
        assert execute(task, Runtime(out, CPU)).status == "done"
    return [record for task in plan.tasks if (record := Store(out).record(task))]


def of_protocol(plan: Plan, name: str) -> Task:
    return next(task for task in plan.of_kind("evaluate") if task["display"]["protocol"] == name)


def test_a_method_that_whitens_is_trained_and_natively_scored_on_whitened_images(tmp_path: Path) -> None:
    plan = planned(*WORDS, "protocols=[native,quick]", "val_fraction=0.1")
    records = run(plan, tmp_path)
    (whiten,), (condense,) = plan.of_kind("whiten"), plan.of_kind("condense")
    native = of_protocol(plan, "native")
    for task in (*plan.of_kind("prepare"), condense, native):
        assert task["spec"]["dataset"]["whitening"] == whiten["identity"] and whiten["identity"] in inputs_of(task)
        assert "mean" not in task["spec"]["dataset"]
    assert "whitening" not in of_protocol(plan, "quick")["spec"]["dataset"], "a shared protocol treats all alike"

    # The accuracy is that of a network which is trained and scored on images whitened by hand.
    data, stored = digits(), load_set(Store(tmp_path).folder(condense) / "synthetic.safetensors")
    train, _ = hold_out(data.train, 0.1, data.fingerprint)
    assert stored.training["space"] == "zca" and whiten["resolved"]["val_fraction"] == 0.1
    resolved = native["resolved"]
    protocol = protocols.from_resolved(resolved["protocol"])
    assert protocol.lr_from_set
    recipe = replace(protocol.recipe(10, 10), lr=stored.training["lr"])
    training = seeded_training(
        Role.EVALUATION,
        seed_values(data.fingerprint, "convnet2-w4", 0, 0),
        lambda draws: networks.build("convnet2-w4", data.image_shape, 10, draws),
        whitened(stored.images, train), stored.labels, recipe, CPU, Unchanged(), flip=data.flip,
    )  # fmt: skip
    while training.done < training.recipe.steps:
        training.step()
    test = Split(whitened(data.test.images.float() / 255, train), data.test.labels)
    by_hand = accuracy(training.network, test, CPU, Unchanged())
    (record,) = (record for record in records if record["identity"] == native["identity"])
    assert record["result"]["accuracies"] == pytest.approx([by_hand], abs=0.01)
    assert set(cells(records).set_index("protocol")["constants"].items()) >= {("native", "zca")}


class Unchanged:
    """What networks see of images that are whitened already."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def inverse(self, images: torch.Tensor) -> torch.Tensor:
        return images


def test_costs_count_the_whitening(tmp_path: Path) -> None:
    records = run(planned(*WORDS, "protocols=[quick]"), tmp_path)
    seconds = {kind: sum(r["seconds"] for r in records if r["kind"] == kind) for kind in ("whiten", "prepare")}
    (row,) = cells(records).to_dict("records")
    assert seconds["whiten"] > 0 and row["prepare_seconds"] == pytest.approx(sum(seconds.values()))
    assert row["experts"] == 1


def test_without_its_whitening_a_task_is_blocked(tmp_path: Path) -> None:
    plan = planned(*WORDS, "protocols=[native]")
    expert = plan.of_kind("prepare")[0]
    outcome = execute(expert, Runtime(tmp_path, CPU))
    assert outcome.status == "blocked" and "an input has no record: whiten" in outcome.message


def test_one_whitening_serves_all_cells_of_a_dataset() -> None:
    plan = planned(*WORDS[:2], "ipcs=[1,2]", "architectures=[convnet2-w4,convnet3-w4]", "seeds=[0,1]", "num_eval=1")
    (identity,) = (task["identity"] for task in plan.of_kind("whiten"))
    needs_it = [identity in inputs_of(task) for task in plan.tasks]
    assert needs_it.index(True) > list(plan.by_identity).index(identity)


def test_the_cells_that_mtt_whitens_have_its_authors_settings() -> None:
    for dataset, ipc, zca in (
        *(("cifar10", ipc, ipc < 50) for ipc in (1, 10, 50)),
        *(("cifar100", ipc, ipc != 10) for ipc in (1, 10, 50)),
        ("tinyimagenet", 10, False),
    ):
        settings = registry.resolve(
            "mtt", dataset=dataset, ipc=ipc, preset="paper", iterations_fraction=1.0, overrides={}
        )
        assert settings.config.zca == zca and settings.weakest_provenance == "author", (dataset, ipc)
