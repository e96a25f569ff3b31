"""Gradients through unrolled training against those of one graph of all steps."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.compute.unrolled import UNROLLED_PIXELS, gradient_steps, unroll
from benchmark.networks.base import BlockNetwork
from benchmark.utils import seeding

CPU = Compute(torch.device("cpu"), "fp32", threads=1)


@pytest.fixture
def network() -> BlockNetwork:
    return networks.build("convnet2-w4", (3, 8, 8), 3, seeding.generator("x")).requires_grad_(False)


def batches(count: int, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """`count` overlapping batches of four of six images."""
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    indices = [torch.arange(first, first + 4) % 6 for first in range(count)]
    return [(images[of_batch], labels[of_batch]) for of_batch in indices]


def one_graph(network: BlockNetwork, steps: Sequence[tuple[Tensor, Tensor]], lr: Tensor) -> list[Tensor]:
    weights = {name: weight.detach().requires_grad_() for name, weight in network.named_parameters()}
    for x, y in steps:
        loss = F.cross_entropy(functional_call(network, weights, (x,)), y)
        gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
        weights = {name: w - lr * g for (name, w), g in zip(weights.items(), gradients, strict=True)}
    return list(weights.values())


@pytest.mark.parametrize("most_pixels", [0, 2**20])
@pytest.mark.parametrize("count", [1, 2, 5, 9, 10])
def test_weights_and_gradients_are_those_of_one_graph(
    network: BlockNetwork, count: int, most_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(UNROLLED_PIXELS, "cpu", most_pixels)
    start = [weight.clone() for weight in network.parameters()]
    values = []
    for train in (lambda steps, lr: CPU.train_on(network, start, steps, lr),
                  lambda steps, lr: one_graph(network, steps, lr)):  # fmt: skip
        images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
        lr = torch.tensor(0.1, requires_grad=True)
        end = train(batches(count, images * 1.5), lr)  # type: ignore[no-untyped-call]
        loss = sum((weight * (1 + index)).square().sum() for index, weight in enumerate(end))
        values.append([*end, *torch.autograd.grad(loss, (images, lr))])
    for mine, expected in zip(*values, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(*pair) for pair in zip(start, network.parameters(), strict=True)), "the network is unchanged"


def test_only_a_segment_of_the_steps_has_a_graph_at_once(network: BlockNetwork) -> None:
    """Of nine steps three at a time: the last three keep theirs, and the backward pass computes the others again."""
    calls: list[tuple[int, bool]] = []
    steps = gradient_steps(network, contextlib.nullcontext)

    def counted(weights, images, labels, lr, keep_graph):  # type: ignore[no-untyped-def]
        calls.append((len(images), keep_graph))
        return steps(weights, images, labels, lr, keep_graph)

    images = torch.randn(6, 3, 8, 8).requires_grad_()
    x, y = zip(*batches(9, images), strict=True)
    end = unroll(counted, list(network.parameters()), x, y, torch.tensor(0.1, requires_grad=True), most_pixels=0)
    assert calls == [(3, False), (3, False), (3, True)]
    torch.stack([weight.sum() for weight in end]).sum().backward()
    assert calls[3:] == [(3, True)] * 2 and images.grad is not None and images.grad.isfinite().all()


@pytest.mark.parametrize(("most_pixels", "lengths"), [(5 * 4 * 64, [5, 4]), (9 * 4 * 64, [9]), (10**6, [9])])
def test_steps_whose_graph_fits_are_computed_once(network: BlockNetwork, most_pixels: int, lengths: list[int]) -> None:
    """A batch has four images of 8×8 pixels."""
    calls: list[tuple[int, bool]] = []
    steps = gradient_steps(network, contextlib.nullcontext)

    def counted(weights, images, labels, lr, keep_graph):  # type: ignore[no-untyped-def]
        calls.append((len(images), keep_graph))
        return steps(weights, images, labels, lr, keep_graph)

    x, y = zip(*batches(9, torch.randn(6, 3, 8, 8).requires_grad_()), strict=True)
    start = list(network.parameters())
    unroll(counted, start, x, y, torch.tensor(0.1, requires_grad=True), most_pixels)
    assert calls == [*((length, False) for length in lengths[:-1]), (lengths[-1], True)]
    assert not any(weight.requires_grad for weight in start)
