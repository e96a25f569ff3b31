"""The fused block of compiled networks: its function and its derivative against the layers'."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.networks.fused_block import FusedBlock, NormReluPool
from benchmark.utils import seeding

CHANNELS = 6
INPUTS = ((4, CHANNELS, 8, 4), (CHANNELS,), (CHANNELS,))


def by_layers(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.avg_pool2d(torch.relu(F.group_norm(images, CHANNELS, weight, bias)), 2)


def drawn() -> list[Tensor]:
    draw = seeding.generator("fused")
    return [torch.randn(shape, generator=draw) for shape in INPUTS]


def test_is_the_layers_and_their_derivative() -> None:
    def with_gradients(block) -> list[Tensor]:
        leaves = [value.clone().requires_grad_() for value in drawn()]
        output = block(*leaves)
        return [output, *torch.autograd.grad(output.sin().sum(), leaves)]

    ours = with_gradients(lambda *inputs: NormReluPool.apply(*inputs, 1e-5))
    for found, wanted in zip(ours, with_gradients(by_layers), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_losses_of_images_are_differentiated_by_its_own_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of gradients, which torch.func takes, by the layers'."""
    size, derivative = (3, 8, 8), NormReluPool.backward

    def doubled(ctx, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        return derivative(ctx, 2 * pooled)

    monkeypatch.setattr(NormReluPool, "backward", doubled)
    network = networks.build("convnet1-w4", size, 4, seeding.generator("network")).requires_grad_(False)
    images = torch.randn((2, 5, *size), generator=seeding.generator("images"))
    labels = torch.arange(2)
    compiled = Compute(torch.device("cpu"), "fp32", 1, compile=True)
    plain = replace(compiled, compile=False)

    def gap(compute: Compute, images: Tensor) -> Tensor:
        return compute.mean_embedding(network, images).sin().sum(1)

    def of_gradients(compute: Compute, images: Tensor) -> Tensor:
        return sum(part.square().flatten(1).sum(1) for part in compute.class_gradients(network, images, labels))

    def gradient(losses, compute: Compute) -> Tensor:
        leaf = images.clone().requires_grad_()
        found = compute.losses_by_class(network, lambda images: losses(compute, images), leaf)
        return torch.autograd.grad(found.sum(), leaf)[0]

    for losses, factor in ((gap, 2), (of_gradients, 1)):
        torch._dynamo.reset()
        torch.testing.assert_close(gradient(losses, compiled), factor * gradient(losses, plain), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("convnet2-w4", (3, 18, 10)),
        ("convnet1-w4", (1, 28, 28)),
        ("convnet1-w4-leaky", (3, 8, 8)),
        ("convnet1-w4-max", (3, 9, 5)),
    ],
)
def test_compiled_networks_compute_the_same(name: str, size: tuple[int, int, int]) -> None:
    """Also where sides are odd after a pooling, which leaves their last pixels out."""
    torch._dynamo.reset()
    network = networks.build(name, size, 4, seeding.generator(name)).eval().requires_grad_(False)
    images = torch.randn((3, *size), generator=seeding.generator("images"))
    compiled = torch.compile(network.embed, fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(images), network.embed(images), rtol=1e-5, atol=1e-5)


def test_fuses_the_layers_it_can() -> None:
    """The default network, but for maps of odd sides: pooled, 18×10 is 9×5."""

    def kinds(name: str, size: tuple[int, int, int]) -> list[bool]:
        blocks = networks.build(name, size, 4, seeding.generator(name)).blocks
        return [isinstance(block, FusedBlock) for block in blocks]

    assert kinds("convnet3", (3, 32, 32)) == [True, True, True]
    assert kinds("convnet3", (3, 18, 10)) == [True, False, True]
    assert not any(kind for other in ("bn", "max", "leaky") for kind in kinds(f"convnet3-{other}", (3, 32, 32)))
