"""The fused block of compiled networks: its function and two orders of its derivative against the layers'."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import grad

from benchmark import networks, seeds
from benchmark.networks.fused import FusedBlock, NormReluPool

CHANNELS = 6
INPUTS = ((4, CHANNELS, 8, 4), (CHANNELS,), (CHANNELS,))


def by_layers(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.avg_pool2d(torch.relu(F.group_norm(images, CHANNELS, weight, bias)), 2)


def fused(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return NormReluPool.apply(images, weight, bias, 1e-5)[0]


def drawn() -> list[Tensor]:
    draw = seeds.generator("fused")
    return [torch.randn(shape, generator=draw) for shape in INPUTS]


def two_orders(block, inputs: list[Tensor]) -> list[Tensor]:
    """The output, the gradients of a function of it, and those of a function of all of these."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    output = block(*leaves)
    first = torch.autograd.grad(output.sin().sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(value.square().sum() for value in first), leaves)
    return [output, *first, *second]


def test_is_the_layers_and_their_first_two_derivatives() -> None:
    for theirs, ours in zip(two_orders(by_layers, drawn()), two_orders(fused, drawn()), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("within", [1, 2])
def test_gradients_of_compiled_networks_and_of_their_gradients(within: int) -> None:
    """Within one transform of torch.func the function is used; within two, the layers are."""
    size = (3, 16, 16)
    network = networks.build("convnet2-w8", size, 4, seeds.generator("network")).requires_grad_(False)
    images = torch.randn((5, *size), generator=seeds.generator("images"))

    def once(images: Tensor) -> Tensor:
        return network.embed(images).sin().sum()

    def twice(images: Tensor) -> Tensor:
        return grad(once)(images).square().sum()

    torch._dynamo.reset()
    wanted = grad(once if within == 1 else twice)
    found = torch.compile(wanted, fullgraph=True, dynamic=False)(images)
    torch.testing.assert_close(found, wanted(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["convnet3-w8", "convnet2-w8-max", "convnet2-w8-leaky", "convnet1-w8-bn"])
@pytest.mark.parametrize("size", [(3, 16, 16), (3, 18, 10), (1, 28, 28)])
def test_compiled_networks_compute_the_same(name: str, size: tuple[int, int, int]) -> None:
    """Also where sides are odd after a pooling, which leaves their last pixels out."""
    torch._dynamo.reset()
    network = networks.build(name, size, 4, seeds.generator(name)).eval().requires_grad_(False)
    images = torch.randn((3, *size), generator=seeds.generator("images"))
    compiled = torch.compile(network.embed, fullgraph=True, dynamic=False)
    torch.testing.assert_close(compiled(images), network.embed(images), rtol=1e-5, atol=1e-5)


def test_fuses_the_layers_it_can() -> None:
    """The default network, but for maps of odd sides: pooled, 18×10 is 9×5."""

    def kinds(name: str, size: tuple[int, int, int]) -> list[bool]:
        blocks = networks.build(name, size, 4, seeds.generator(name)).blocks
        return [isinstance(block, FusedBlock) for block in blocks]

    assert kinds("convnet3", (3, 32, 32)) == [True, True, True]
    assert kinds("convnet3", (3, 18, 10)) == [True, False, True]
    assert not any(kinds("convnet3-bn", (3, 32, 32)) + kinds("convnet3-max", (3, 32, 32)))
