"""ConvNets: sizes and shapes as published, names, first weights from one generator, and what each option computes."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark import networks
from benchmark.networks.base import initialize
from benchmark.utils.errors import BenchmarkError
from network_parts import CIFAR, make, seeded, some_images

# --- sizes: METHODS.md 3.1 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "classes", "embedding", "parameters"),
    [
        ("convnet3", (1, 28, 28), 10, 2048, 317_706),
        ("convnet3", (3, 32, 32), 10, 2048, 320_010),
        ("convnet3", (3, 32, 32), 100, 2048, 504_420),
        ("convnet1", (3, 32, 32), 10, 32768, None),
        ("convnet2", (3, 32, 32), 10, 8192, None),
        ("convnet4", (3, 32, 32), 10, 512, None),
        ("convnet3", (3, 64, 64), 200, 8192, 1_938_120),
        ("convnet4", (3, 64, 64), 200, 2048, 857_160),
        ("convnet5", (3, 128, 128), 10, 2048, 615_690),
        ("convnet6", (3, 224, 224), 100, 1152, 858_340),
        ("convnet3", (1, 8, 8), 10, 128, None),
    ],
)
def test_published_sizes(name, shape, classes, embedding, parameters):
    network = make(name, shape, classes)
    with torch.no_grad():
        images = some_images(1, shape)
        assert network.embed(images).shape == (1, embedding)
        assert network(images).shape == (1, classes)
    if parameters is not None:
        assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("shape", "side"), [((1, 28, 28), 16), ((3, 28, 28), 14), ((1, 32, 32), 16), ((1, 30, 30), 15)]
)
def test_only_grey_28_pixel_images_are_widened(shape, side):
    assert next(make("convnet1-w4", shape).block_outputs(some_images(1, shape))).shape == (1, 4, side, side)


def test_a_stage_for_each_block():
    assert [len([*make(f"convnet{depth}-w4").block_outputs(some_images(1))]) for depth in (1, 3, 5)] == [1, 3, 5]


# --- what a network computes ------------------------------------------------------------------------------------------


def by_hand(x: Tensor, convolution: nn.Conv2d, norm, activation, pooling) -> Tensor:
    """One block from its definition."""
    x = activation(norm(F.conv2d(x, convolution.weight, convolution.bias, padding=1)))
    return pooling(x)


def standardise(x: Tensor, dims: tuple[int, ...], weight: Tensor, bias: Tensor) -> Tensor:
    mean = x.mean(dims, keepdim=True)
    variance = (x - mean).square().mean(dims, keepdim=True)
    scaled = (x - mean) / (variance + 1e-5).sqrt()
    if weight.ndim == 1:
        weight, bias = weight[:, None, None], bias[:, None, None]
    return scaled * weight + bias


def by_groups(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    ones, zeros = torch.ones(1), torch.zeros(1)
    split = x.unflatten(1, (4, -1))
    done = standardise(split, (2, 3, 4), ones[:, None, None], zeros[:, None, None]).flatten(1, 2)
    return done * weight[:, None, None] + bias[:, None, None]


HAND_NORMS = {
    "in": lambda x, w, b: standardise(x, (2, 3), w, b),
    "bn": lambda x, w, b: standardise(x, (0, 2, 3), w, b),
    "ln": lambda x, w, b: standardise(x, (1, 2, 3), w, b),
    "gn": by_groups,
}
HAND_ACTIVATIONS = {
    "relu": lambda x: x.clamp(min=0),
    "leaky": lambda x: torch.where(x > 0, x, 0.01 * x),
    "swish": lambda x: x / (1 + torch.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
}
HAND_POOLINGS = {
    "avg": lambda x: x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean((3, 5)),
    "max": lambda x: x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).amax((3, 5)),
    "nopool": lambda x: x,
}


@pytest.mark.parametrize(
    ("norm", "activation", "pooling"),
    [(n, "relu", "avg") for n in (*HAND_NORMS, "none")]
    + [("in", a, "max") for a in HAND_ACTIVATIONS]
    + [("none", "relu", "nopool")],
)
def test_a_block_computes_its_definition(norm, activation, pooling):
    network = make(f"convnet2-w8-{norm}-{activation}-{pooling}", (3, 8, 8))
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):  # so that norm weights are not all 1 and 0
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(index)) * 0.5)
        x = some_images(5, (3, 8, 8))
        for block, stage in zip(network.blocks, network.block_outputs(x), strict=True):
            hand_norm = (lambda y: y) if norm == "none" else _with_weights(HAND_NORMS[norm], block[1])
            x = by_hand(x, block[0], hand_norm, HAND_ACTIVATIONS[activation], HAND_POOLINGS[pooling])
            torch.testing.assert_close(stage, x, rtol=1e-4, atol=1e-5)


def _with_weights(norm, layer):
    return lambda x: norm(x, layer.weight, layer.bias)


# --- first weights ----------------------------------------------------------------------------------------------------


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    make("convnet3-bn")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_fixes_the_weights():
    first, again, other = (make("convnet3-bn", seed=s).state_dict() for s in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["blocks.0.0.weight"], other["blocks.0.0.weight"])
    assert not torch.equal(first["classifier.bias"], other["classifier.bias"])


def test_weights_are_those_that_pytorch_would_draw():
    network, generator = make("convnet2-w16", seed=5), seeded(5)
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        layers = [nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Linear(16 * 64, 10)]
    ours = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for mine, theirs in zip(ours, layers, strict=True):
        assert torch.equal(mine.weight, theirs.weight) and torch.equal(mine.bias, theirs.bias)


def test_weights_are_uniform_within_their_bounds():
    network = make("convnet3", seed=1)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            bound = 1 / math.sqrt(fan_in)  # Kaiming-uniform: gain √(2 / (1 + 5)), times √3 / √fan_in
            for values in (layer.weight, layer.bias):
                assert values.abs().max() <= bound
                assert values.abs().max() > 0.7 * bound
            if layer.weight.numel() > 10_000:
                assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
                assert layer.weight.mean().abs().item() < 0.02 * bound
        elif isinstance(layer, nn.GroupNorm):
            assert (layer.weight == 1).all() and (layer.bias == 0).all() and layer.eps == 1e-5
            assert layer.num_groups == layer.num_channels


def test_batch_norm_starts_with_fresh_statistics():
    norm = make("convnet1-bn-w4").blocks[0][1]
    assert (norm.running_mean == 0).all() and (norm.running_var == 1).all() and norm.num_batches_tracked == 0
    assert (norm.weight == 1).all() and (norm.bias == 0).all()


def test_an_unknown_layer_is_not_left_uninitialised():
    with pytest.raises(TypeError, match="PReLU"):
        initialize(nn.Sequential(nn.PReLU()), seeded())


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("convnet3", "convnet3"),
        ("convnet3-in-w128-avg-relu", "convnet3"),
        ("convnet3-w64", "convnet3-w64"),
        ("convnet4-swish-max-w256-bn", "convnet4-bn-w256-max-swish"),
        ("convnet2-nopool-none", "convnet2-none-nopool"),
        ("convnet10-leaky-gn", "convnet10-gn-leaky"),
    ],
)
def test_one_spelling_for_each_network(name, canonical):
    assert networks.canonical(name) == canonical
    assert networks.canonical(canonical) == canonical


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("convnet", "convnet"),
        ("convent3", "Did you mean 'convnet3'"),
        ("convent4-bn", "Did you mean 'convnet4-bn'"),
        ("convnet0", "no architecture 'convnet0'"),
        ("convnet03", "no architecture 'convnet03'"),
        ("convmet5", "Did you mean 'convnet5'"),
        ("", "no architecture ''"),
        ("convnet3-", "no architecture 'convnet3-'"),
        ("convnet3-bm", "Did you mean 'convnet3-bn'"),
        ("convnet3-swosh-w64", "Did you mean 'convnet3-swish-w64'"),
        ("convnet3-w0", "no architecture 'convnet3-w0'"),
        ("convnet3-bn-in", "gives its norm twice"),
        ("convnet3-w64-w64", "gives its width twice"),
    ],
)
def test_a_wrong_name_is_explained(name, says):
    with pytest.raises(BenchmarkError, match=says) as caught:
        networks.canonical(name)
    assert "convnetDEPTH" in caught.value.next and "swish" in caught.value.next
    with pytest.raises(BenchmarkError, match=says):
        make(name)


def test_group_norm_needs_a_width_of_whole_groups():
    with pytest.raises(BenchmarkError, match="4 groups"):
        networks.canonical("convnet3-gn-w30")


@pytest.mark.parametrize(
    ("name", "shape", "largest"),
    [("convnet4", (1, 8, 8), 3), ("convnet6-max", CIFAR, 5), ("convnet6", (1, 28, 28), 5), ("convnet2", (3, 2, 64), 1)],
)
def test_too_deep_says_the_largest_depth(name, shape, largest):
    with pytest.raises(BenchmarkError, match=f"largest depth is {largest}"):
        make(name, shape)
    assert make(f"convnet{largest}-w4", shape)(some_images(1, shape)).shape == (1, 10)
    assert make(f"{name.replace('-max', '')}-w2-nopool", shape)(some_images(1, shape)).shape == (1, 10)


@pytest.mark.parametrize(
    ("side", "depth"),
    [(2, 1), (4, 2), (7, 2), (8, 3), (28, 3), (32, 3), (64, 3), (65, 4), (96, 5), (128, 5), (224, 6), (256, 6)],
)
def test_auto_takes_the_papers_depth(side, depth):
    assert networks.default_architecture((3, side, side)) == f"convnet{depth}"
    assert networks.default_architecture((3, side, 2 * side)) == f"convnet{depth}"


@pytest.mark.parametrize("side", [2, 5, 8, 30, 65, 100])
def test_auto_can_always_be_built(side):
    shape = (1, side, side)
    assert make(networks.default_architecture(shape), shape)(some_images(1, shape)).shape == (1, 10)


def test_images_of_one_pixel_are_refused():
    with pytest.raises(BenchmarkError, match="cannot be pooled"):
        make(networks.default_architecture((1, 1, 1)), (1, 1, 1))


@pytest.mark.parametrize(
    ("name", "pooled"), [("convnet3-w4", True), ("convnet2-w4-bn-max", True), ("convnet2-w4-nopool", False)]
)
def test_activations_before_pooling_are_those_of_the_layers_one_by_one(name: str, pooled: bool) -> None:
    """The last block's are after its pooling: they are the embedding."""
    network, x = make(name), some_images(2)
    expected, images = [], x
    for block in network.blocks:
        for layer in block:
            is_pooling = isinstance(layer, nn.AvgPool2d | nn.MaxPool2d)
            expected += [images] if is_pooling and block is not network.blocks[-1] else []
            images = layer(images)
        expected += [] if pooled and block is not network.blocks[-1] else [images]
    outputs = list(network.train().block_outputs(x, pre_pool=True))
    assert len(outputs) == len(network.blocks)
    for output, stage in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, stage)
    assert outputs[0].shape[-1] == x.shape[-1]  # not halved yet


@pytest.mark.parametrize(
    ("name", "pooled"),
    [("convnet3-w4", True), ("convnet2-w4-bn-max", True), ("convnet2-w4-nopool", False), ("resnet10-w4", False),
     ("mlp", False)],
)  # fmt: skip
def test_the_last_block_s_activations_come_too_if_a_pooling_ends_it(name: str, pooled: bool) -> None:
    network, x = make(name), some_images(2)
    outputs = list(network.train().block_outputs(x, pre_pool=True))
    *more, embedding = network.block_outputs(x, pre_pool=True, include_last=True)
    assert len(more) == len(network.blocks) - (not pooled)
    for output, same in zip([*outputs[:-1], outputs[-1]], [*more[: len(outputs) - 1], embedding], strict=True):
        assert torch.equal(output, same)
    if pooled:
        assert torch.equal(network.blocks[-1][-1](more[-1]), embedding)
