"""Classes of 3, 5 and 9 images, of which a step takes 6: each method's first step against its plain definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.condensation.problem import ConcreteProblem
from methods import class_groups, registry
from methods.base import Settings
from methods.cafe import CAFE, CAFEConfig
from methods.coreset import Herding, KCenter, RandomConfig, RandomSubset
from methods.dc import layerwise
from methods.dream import DREAM, DREAMConfig
from methods.dsdm import DSDM, DSDMConfig
from methods.errors import MethodError
from methods.idc import gradient_distance
from methods.m3d import squared_mmd

Make = Callable[..., ConcreteProblem]
COUNTS, DRAWN = (3, 5, 9), (3, 5, 6)
Loss = Callable[[Any, Settings, Sequence[Tensor], Sequence[Tensor]], list[Tensor]]


# --- losses of each class: real and synthetic images by class, as networks see them -----------------------------------


def embeddings(network: Any, images: Sequence[Tensor]) -> list[Tensor]:
    """All images as one batch, which batch norm needs, and split by class again."""
    return list(network.embed(torch.cat(list(images))).split([len(of_class) for of_class in images]))


def mean_gap(network: Any, config: Any, real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> list[Tensor]:
    pairs = zip(embeddings(network, real), embeddings(network, synthetic), strict=True)
    return [(r.mean(0) - s.mean(0)).square().sum() for r, s in pairs]


def attention_gap(network: Any, config: Any, real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> list[Tensor]:
    total = [100 * config.task_balance * gap for gap in mean_gap(network, config, real, synthetic)]
    of_blocks = [
        list(network.block_outputs(torch.cat(list(images)), pre_pool=True))[:-1] for images in (real, synthetic)
    ]
    for r_block, s_block in zip(*of_blocks, strict=True):
        r, s = (F.normalize(block.abs().pow(config.power).sum(1).flatten(1)) for block in (r_block, s_block))
        parts = zip(r.split([len(x) for x in real]), s.split([len(x) for x in synthetic]), strict=True)
        total = [sum_ + 100 * (a.mean(0) - b.mean(0)).square().sum() for sum_, (a, b) in zip(total, parts, strict=True)]
    return total


def discrepancy(network: Any, config: Any, real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> list[Tensor]:
    pairs = zip(real, synthetic, strict=True)
    return [squared_mmd(network.embed(r)[None], network.embed(s)[None], config.kernel)[0] for r, s in pairs]


def gradients(network: Any, images: Tensor, label: int, graph: bool) -> list[Tensor]:
    network.requires_grad_(True)
    loss = F.cross_entropy(network(images), torch.full((len(images),), label))
    return [g[None] for g in torch.autograd.grad(loss, list(network.parameters()), create_graph=graph)]


def gradient_gap(network: Any, config: Any, real: Sequence[Tensor], synthetic: Sequence[Tensor]) -> list[Tensor]:
    def gap(r: list[Tensor], s: list[Tensor]) -> Tensor:
        return layerwise(r, s)[0] if config.distance == "layerwise" else gradient_distance(r, s, config.distance)[0]

    pairs = enumerate(zip(real, synthetic, strict=True))
    return [gap(gradients(network, r, c, False), gradients(network, s, c, True)) for c, (r, s) in pairs]


# --- steps ------------------------------------------------------------------------------------------------------------


def drawn_by_hand(problem: ConcreteProblem, n: int) -> list[Tensor]:
    """Of each class its first n in a random order, normalized."""
    generator, images = problem.generator("real batch"), []
    for label in range(problem.num_classes):
        members = torch.nonzero(problem.real.labels == label).flatten()
        order = torch.randperm(len(members), generator=generator)
        images.append(problem.normalize(problem.real.images[members[order[:n]]].float() / 255))
    return images


@pytest.mark.parametrize(
    ("name", "loss", "architecture", "changes"),
    [
        ("dm", mean_gap, "convnet2-w8", {}),
        ("dm", mean_gap, "convnet2-w8-bn", {}),
        ("datadam", attention_gap, "convnet3-w8", {}),
        ("datadam", attention_gap, "convnet3-w8-bn", {}),
        ("m3d", discrepancy, "convnet2-w8", {}),
        ("dc", gradient_gap, "convnet2-w8", {"init": "random"}),
        ("dsa", gradient_gap, "convnet2-w8", {}),
        ("idc", gradient_gap, "convnet2-w8", {}),
        ("dance", mean_gap, "convnet2-w8", {"alignment": "random", "calibration": False}),
    ],
)
def test_a_step_takes_of_each_class_what_it_has(
    make_problem: Make, name: str, loss: Loss, architecture: str, changes: dict[str, Any]
) -> None:
    problem = make_problem(classes=3, each=COUNTS, architecture=architecture)
    method_class = registry.get(name)
    values = {"iterations": 1, "batch_real": 6, "factor": 1, **changes}
    config = method_class.Config(**values)
    method: Any = method_class(problem, config)
    augment = problem.augment(str(getattr(config, "augment", None) or "none"), problem.generator("augmentation"))
    leaf = method.images.clone().requires_grad_()
    in_pixels = name in ("m3d", "idc", "dance")
    seen = augment(problem.normalize(leaf) if in_pixels else leaf)
    real = [augment.of(slice(c, c + 1))(images[None])[0] for c, images in enumerate(drawn_by_hand(problem, 6))]
    assert tuple(len(images) for images in real) == DRAWN
    losses = torch.stack(loss(problem.new_network(0), config, real, list(seen)))
    (gradient,) = torch.autograd.grad(losses.sum(), leaf)

    (found,) = method.step().values()
    assert found == pytest.approx(float(losses.detach().sum()), rel=1e-3)
    lr = method.lr if in_pixels else config.lr_img  # type: ignore[attr-defined]
    for c in range(3):
        moves = sum(0.5**k for k in range(3 - c)) if in_pixels else 1.0  # a class's step, and those of its momentum
        expected = leaf[c].detach() - lr * moves * gradient[c]
        torch.testing.assert_close(method.images[c], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "name", [name for name in registry.names() if registry.get(name).experts(registry.get(name).Config.tiny()) is None]
)
def test_every_method_without_experts_runs_on_unequal_classes(make_problem: Make, name: str) -> None:
    method_class = registry.get(name)
    method = method_class(make_problem(classes=3, each=(5, 7, 9), ipc=1), method_class.Config.tiny())
    for _ in range(min(1, method.total_steps)):
        assert all(torch.tensor(loss).isfinite() for loss in method.step().values())
    assert bool(method.synthetic().images.isfinite().all())


def test_dsdm_takes_of_each_class_what_it_has(make_problem: Make) -> None:
    problem = make_problem(classes=3, each=COUNTS, experts=1)
    method = DSDM(problem, DSDMConfig(iterations=1, batch_real=6, factor=1, experts=1, pretrain_epochs=4))
    augment, network = (
        problem.augment(method.config.augment, problem.generator("augmentation")),
        problem.experts[0].interpolate(0.0),
    )
    real = [augment.of(slice(c, c + 1))(images[None])[0] for c, images in enumerate(drawn_by_hand(problem, 6))]
    seen = augment(problem.normalize(method.images.clamp(0, 1)))
    total = 0.0
    for r, s in zip(map(network.embed, real), map(network.embed, seen), strict=True):
        second = (torch.cov(r.T) - torch.cov(s.T)).square().sum() if len(s) > 1 else torch.cov(r.T).square().sum()
        total += float((r.mean(0) - s.mean(0)).square().sum() + method.config.covariance_weight / r.shape[1] * second)
    assert method.step()["matching"] == pytest.approx(total, rel=1e-3)


def test_cafe_takes_of_each_class_what_it_has(make_problem: Make) -> None:
    problem = make_problem(classes=3, each=COUNTS, architecture="convnet3-w8")
    method, network = CAFE(problem, CAFEConfig(batch_real=6)), problem.new_network(0)
    augment = problem.augment("none", problem.generator("augmentation"))
    found, embedded, labels = method._real_features(network, augment)
    real = drawn_by_hand(problem, 6)
    blocks = list(network.block_outputs(torch.cat(real), pre_pool=True, include_last=True))
    for means, block in zip(found, blocks, strict=True):
        expected = torch.stack([of_class.mean(0) for of_class in block.split(DRAWN)])
        torch.testing.assert_close(means.flatten(1), expected.flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(embedded, network.embed(torch.cat(real)), rtol=1e-4, atol=1e-5)
    assert labels.tolist() == [0] * 3 + [1] * 5 + [2] * 6


def test_idm_takes_of_each_class_what_it_has(make_problem: Make) -> None:
    problem = make_problem(classes=3, each=COUNTS)
    augment = problem.augment("none", problem.generator("augmentation"))
    batch, network = problem.real_batch(6, problem.generator("real batch"), augment), problem.new_network(0)
    expected = torch.stack([network.embed(images).mean(0) for images in drawn_by_hand(problem, 6)])
    torch.testing.assert_close(problem.mean_embedding(network, batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 4, 100])
def test_a_batch_has_the_draws_of_a_sample_and_no_class_is_cut_to_the_smallest(make_problem: Make, n: int) -> None:
    problem = make_problem(classes=3, each=COUNTS)
    batch = problem.real_batch(n, problem.generator("real batch"), problem.augment("none", problem.generator("a")))
    assert list(batch.counts) == [min(n, count) for count in COUNTS]
    sample = problem.normalize(problem.real.sample(n, problem.generator("real batch")))
    for c, images in enumerate(drawn_by_hand(problem, n)):
        torch.testing.assert_close(batch[c : c + 1][0], images)
        torch.testing.assert_close(sample[c], images[: sample.shape[1]])
    if n > 3:
        with pytest.raises(ValueError, match="these classes have 3 to"):
            batch[0:2]


def test_draws_of_equal_classes_are_those_of_earlier_versions(make_problem: Make) -> None:
    """Numbers of version 0.1.0, when all classes were drawn as one tensor: stored results depend on them."""
    real = make_problem(classes=3, each=12).real
    drawn = real.draw(4, torch.Generator().manual_seed(0))
    members = [torch.nonzero(real.labels == c).flatten().tolist() for c in range(3)]
    places = [[of_class.index(i) for i in some.tolist()] for of_class, some in zip(members, drawn, strict=True)]
    assert places == EARLIER


EARLIER = [[8, 0, 5, 9], [2, 3, 11, 4], [11, 4, 6, 8]]


def test_neighbors_of_one_count_go_together() -> None:
    groups = class_groups.of_one_count((4, 4, 4, 2, 4, 4))
    assert groups == [slice(0, 3), slice(3, 4), slice(4, 6)]
    assert class_groups.of_one_count((4, 4, 4, 9), 8) == [slice(0, 2), slice(2, 3), slice(3, 4)]
    assert class_groups.of_one_count((4, 4), 1) == [slice(0, 1), slice(1, 2)]
    means = class_groups.class_means(torch.tensor([[1.0], [3.0], [5.0], [7.0], [10.0]]), (2, 2, 1))
    assert means.tolist() == [[2.0], [6.0], [10.0]]


# --- too few images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        lambda problem: RandomSubset(problem, RandomConfig()),
        lambda problem: Herding(problem, Herding.Config()),
        lambda problem: KCenter(problem, KCenter.Config()),
        lambda problem: DREAM(problem, DREAMConfig(factor=1)),
        lambda problem: registry.get("dm")(problem, registry.get("dm").Config(init="first")),
    ],
    ids=["random", "herding", "kcenter", "dream", "dm"],
)
def test_a_class_with_too_few_images_is_named(make_problem: Make, start: Callable[[ConcreteProblem], Any]) -> None:
    problem = make_problem(classes=3, each=(9, 3, 5), ipc=4)
    with pytest.raises(MethodError, match=r"4 .*class 1 has 3$") as error:
        start(problem)
    assert "\n" not in str(error.value)
