"""Compute: the same numbers whether classes go through all at once or a few at a time, and precision."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmark import networks
from benchmark.compute import engine
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import ConcreteProblem
from benchmark.utils import seeding
from helpers import CPU
from methods.base import Condenser
from methods.dance import DANCE, DANCEConfig
from methods.dm import DistributionMatching, DMConfig

Make = Callable[..., ConcreteProblem]
PIXELS = 8 * 8


def squares(images: Tensor, targets: Tensor) -> Tensor:
    """A loss of each class alone, (C, n, ch, H, W) and (C,) to (C,)."""
    return (images.square().mean((1, 2, 3, 4)) - targets).square()


class Plain(nn.Module):
    depends_on_batch = False


class Batched(nn.Module):
    depends_on_batch = True


@pytest.mark.parametrize(("at_once", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (4, [4, 1]), (5, [5]), (99, [5])])
def test_losses_and_gradients_do_not_depend_on_the_groups(at_once, sizes, monkeypatch) -> None:
    images = torch.randn(5, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets, upstream = torch.arange(5.0), torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0])
    leaf = images.clone().requires_grad_()
    expected = squares(leaf, targets)
    (wanted,) = torch.autograd.grad((expected * upstream).sum(), leaf)
    seen: list[int] = []

    def counted(part: Tensor, goal: Tensor) -> Tensor:
        seen.append(len(part))
        return squares(part, goal)

    monkeypatch.setattr(CPU, "graph", at_once * 3 * PIXELS)
    again = images.clone().requires_grad_()
    losses = CPU.losses_by_class(Plain(), counted, again * 1.0, targets)
    (gradient,) = torch.autograd.grad((losses * upstream).sum(), again)
    assert seen == sizes
    torch.testing.assert_close(losses, expected, rtol=0, atol=1e-15)
    torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-15)
    with torch.no_grad():
        torch.testing.assert_close(CPU.losses_by_class(Plain(), squares, images, targets), expected, rtol=0, atol=1e-15)


def test_a_network_that_depends_on_the_batch_sees_all_classes(monkeypatch) -> None:
    monkeypatch.setattr(CPU, "graph", 1)
    seen: list[int] = []
    images = torch.randn(5, 3, 2, 8, 8, requires_grad=True)
    CPU.losses_by_class(Batched(), lambda part: (seen.append(len(part)), squares(part, torch.zeros(5)))[1], images)
    assert seen == [5]


def test_second_derivatives_are_refused_not_wrong(monkeypatch) -> None:
    monkeypatch.setattr(CPU, "graph", 3 * PIXELS)
    images = torch.randn(2, 3, 2, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        CPU.losses_by_class(Plain(), squares, images, torch.zeros(2)).sum(), images, create_graph=True
    )
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        torch.autograd.grad(gradient.sum(), images)


@pytest.mark.parametrize(
    "make",
    [
        lambda problem: DistributionMatching(problem, DMConfig(iterations=2, batch_real=4)),
        lambda problem: DistributionMatching(problem, DMConfig(iterations=2, batch_real=4, factor=2)),
        lambda problem: DANCE(problem, DANCEConfig(iterations=2, batch_real=4, experts=2)),
    ],
    ids=["dm", "dm@f2", "dance"],
)
def test_a_method_learns_the_same_images_a_few_classes_at_a_time(
    make: Callable[[ConcreteProblem], Condenser], make_problem: Make, monkeypatch
) -> None:
    whole = make(make_problem(classes=5))
    losses = [whole.step() for _ in range(2)]
    forwarded: list[int] = []
    monkeypatch.setattr(CPU, "graph", 2 * 8 * PIXELS)  # two classes of eight decoded images
    few = make(make_problem(classes=5))
    real = engine.Compute._forward

    def spied(self, function, network, images, *, whole):
        forwarded.append(len(images)) if images.requires_grad else None
        return real(self, function, network, images, whole=whole)

    monkeypatch.setattr(engine.Compute, "_forward", spied)
    for expected in losses:
        assert few.step() == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(few.synthetic().images, whole.synthetic().images, rtol=1e-5, atol=1e-6)
    assert forwarded and max(forwarded) <= 16


@pytest.mark.parametrize("strategy", ["none", "dsa:color_crop_cutout_flip_scale_rotate", "idc:color_crop_cutout_flip"])
def test_a_real_batch_read_class_by_class_has_the_same_images(strategy: str, make_problem: Make) -> None:
    """Slices of it, of any classes, equal those of the whole batch drawn, normalised and augmented at once."""
    problem = make_problem(classes=5)
    for index in range(4):  # several draws: which classes share an operation differs
        augment = problem.augment(strategy, problem.generator("augmentation", index))
        whole = augment(problem.normalize(problem.real.sample(7, problem.generator("real batch", index))))
        batch = problem.real_batch(7, problem.generator("real batch", index), augment)
        assert len(batch) == 5 and list(batch.counts) == [7] * 5 and batch.image_shape == whole.shape[2:]
        for part in (slice(0, 1), slice(2, 3), slice(1, 4), slice(4, 9), slice(0, 5)):
            assert torch.equal(batch[part], whole[part])
        network = problem.new_network(index)
        expected = network.embed(whole.flatten(0, 1)).unflatten(0, (5, 7)).mean(1)
        torch.testing.assert_close(problem.mean_embedding(network, batch), expected, rtol=1e-4, atol=1e-5)


def test_only_as_many_real_images_are_decoded_at_once_as_are_forwarded(make_problem: Make, monkeypatch) -> None:
    problem = make_problem(classes=4)
    monkeypatch.setattr(CPU, "chunk", 2 * 6 * PIXELS)  # two classes of six images
    taken: list[int] = []
    take = problem.real.take
    monkeypatch.setattr(problem.real, "take", lambda index: (taken.append(index.numel()), take(index))[1])
    batch = problem.real_batch(
        6, problem.generator("real batch"), problem.augment("none", problem.generator("augmentation"))
    )
    problem.mean_embedding(problem.new_network(0), batch)
    assert taken == [12, 12]
    taken.clear()
    problem.class_gradients(problem.new_network(0), batch, torch.arange(4))
    assert taken == [6, 6, 6, 6]


def test_gradients_of_chunks_add_up_to_that_of_the_class(make_problem: Make, monkeypatch) -> None:
    problem = make_problem(classes=3)
    network = problem.new_network(0)
    images = torch.randn(3, 7, 3, 8, 8, generator=problem.generator("images"))
    monkeypatch.setattr(CPU, "chunk", 3 * PIXELS)  # 7 images as 3, 3 and 1
    gradients = problem.class_gradients(network, images, torch.arange(3))
    assert not any(weight.requires_grad for weight in network.parameters())
    with torch.no_grad():  # as if losses alone were needed
        again = problem.class_gradients(network, images, torch.arange(3))
    assert all(torch.equal(one, other) for one, other in zip(gradients, again, strict=True))
    network.requires_grad_(True)
    for c in range(3):
        loss = torch.nn.functional.cross_entropy(network(images[c]), torch.full((7,), c))
        for mine, theirs in zip(gradients, torch.autograd.grad(loss, list(network.parameters())), strict=True):
            torch.testing.assert_close(mine[c], theirs, rtol=1e-4, atol=1e-6)


def test_tasks_are_spread_over_all_gpus_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    spread, workers = engine.choose_compute("auto", "fp32", None, None)
    assert workers == 3 and [str(spread.for_worker(place).device) for place in range(4)] == [
        "cuda:0",
        "cuda:1",
        "cuda:2",
        "cuda:0",
    ]
    one, workers = engine.choose_compute("cuda:1", "fp32", None, None)
    assert workers == 1 and one.num_devices == 1 and str(one.for_worker(2).device) == "cuda:1"
    cpu, _ = engine.choose_compute("cpu", "fp32", 1, 2)
    assert cpu.num_devices == 1 and cpu.for_worker(1) == cpu


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["tf32", "fp32"])
def test_tf32_is_on_only_with_that_precision_whatever_was_before(first: str) -> None:
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    try:
        for precision in (first, "bf16", "tf32", "fp32", "tf32", "bf16"):
            Compute(torch.device("cpu"), precision, threads=2).activate()
            assert [flag.allow_tf32 for flag in flags] == [precision == "tf32"] * 2
            assert torch.get_num_threads() == 2
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value
        torch.set_num_threads(1)


def test_bf16_computes_coarsely_and_returns_float32() -> None:
    network = networks.build("convnet2-w8", (3, 8, 8), 4, seeding.generator("network"))
    images = torch.randn(5, 3, 8, 8, generator=seeding.generator("images"))
    exact, coarse = (Compute(torch.device("cpu"), p, 1).embed(network, images) for p in ("fp32", "bf16"))
    assert exact.dtype == coarse.dtype == torch.float32
    assert torch.equal(exact, network.embed(images))
    assert not torch.equal(exact, coarse) and torch.allclose(exact, coarse, rtol=0.1, atol=0.1)


def test_chunks_change_no_result_and_batches_of_batch_norm_are_never_split() -> None:
    images = torch.randn(10, 3, 8, 8, generator=seeding.generator("images"))
    small = Compute(torch.device("cpu"), "fp32", 1, chunk=3 * 8 * 8)
    for name in ("convnet2-w8", "convnet2-w8-bn"):
        network = networks.build(name, (3, 8, 8), 4, seeding.generator("network")).requires_grad_(False)
        torch.testing.assert_close(small.embed(network, images), network.embed(images), rtol=1e-4, atol=1e-5)
