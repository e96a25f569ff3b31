"""The papers' networks beside ConvNet: sizes as published, what they compute, first weights."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import Tensor, nn

from benchmark.networks.base import FanOutConv2d
from network_parts import CIFAR, EVERY_OPTION, MNIST, NARROW, make, seeded, some_images

# --- sizes: METHODS.md 3.2 and 3.3, METHODS-2.md 8 --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "classes", "embedding", "parameters"),
    [
        ("mlp", CIFAR, 10, 128, 411_146),
        ("lenet", CIFAR, 10, 84, 62_006),
        ("alexnet", CIFAR, 10, 3072, 1_872_202),
        ("alexnet-bn", CIFAR, 10, 3072, 1_874_122),
        ("vgg11", CIFAR, 10, 512, 9_231_114),
        ("vgg11-bn", CIFAR, 10, 512, 9_231_114),
        ("resnet18", CIFAR, 10, 512, 11_173_962),
        ("resnet18-bn", CIFAR, 10, 512, 11_173_962),
        ("resnet18-bn-ap", CIFAR, 10, 8192, 11_250_762),
        ("resnet10-bn", CIFAR, 10, 256, 1_228_970),
        ("resnet10-ap", CIFAR, 10, 256, 1_228_970),
        ("resnet10-bn-w64", CIFAR, 10, 512, 4_903_242),  # SVHN's
        ("resnet10-ap", (3, 224, 224), 10, 512, 4_910_922),
        ("resnet10-ap", (3, 224, 224), 100, 512, 4_957_092),
        ("resnet18-bn", (3, 224, 224), 10, 512, 11_181_642),
        ("densenet121-g12-bn", CIFAR, 10, 384, 1_000_618),
        # 28×28 grey: the first kernels and the first layer of MLP see one channel, all else is as above
        ("mlp", MNIST, 10, 128, 411_146 - (3072 - 784) * 128),
        ("lenet", MNIST, 10, 84, 62_006 - 2 * 25 * 6),
        ("alexnet", MNIST, 10, 3072, 1_872_202 - 2 * 25 * 128),
        ("vgg11", MNIST, 10, 512, 9_231_114 - 2 * 9 * 64),
        ("resnet18", MNIST, 10, 512, 11_173_962 - 2 * 9 * 64),
        ("resnet18-bn-ap", MNIST, 10, 4608, 11_250_762 - 2 * 9 * 64 - (8192 - 4608) * 10),
        ("resnet10-bn", MNIST, 10, 512, 4_903_242 - 2 * 9 * 64),
        ("resnet10-bn", (3, 64, 64), 10, 512, 4_903_242),
        # 100 classes
        ("alexnet", CIFAR, 100, 3072, 1_872_202 + 90 * 3073),
        ("vgg11", CIFAR, 100, 512, 9_231_114 + 90 * 513),
        ("densenet121-g12-bn", CIFAR, 100, 384, 1_000_618 + 90 * 385),
    ],
)
def test_published_sizes(name, shape, classes, embedding, parameters):
    network = make(name, shape, classes)
    assert sum(p.numel() for p in network.parameters()) == parameters
    with torch.no_grad():
        features = network.eval().embed(some_images(1, shape))
        assert features.shape == (1, embedding)
        assert network.classify(features).shape == (1, classes)


@pytest.mark.parametrize(
    ("name", "side", "sides"),
    [
        ("resnet10-ap-w2", 224, [56, 56, 28, 14, 7, 1]),  # METHODS-2.md 8.1
        ("resnet10-w2", 224, [56, 56, 28, 14, 7, 1]),
        ("resnet10-ap-w2", 128, [64, 64, 32, 16, 8, 1]),
        ("resnet10-w2", 128, [64, 64, 32, 16, 8, 1]),
        ("resnet18-w2", 64, [64, 64, 32, 16, 8, 1]),
        ("resnet18-w2-ap", 64, [64, 64, 32, 16, 8, 1]),
        ("resnet18-w2-ap", 32, [32, 32, 16, 8, 4]),
        ("densenet121-g2-bn", 32, [32, 16, 8, 4, 4, 1]),
        ("vgg11-w2", 64, [32, 16, 8, 4, 1]),
        ("alexnet-w2", 64, [32, 16, 16, 16, 8]),
    ],
)
def test_stages_have_these_sides(name, side, sides):
    with torch.no_grad():
        block_outputs = [*make(name, (3, side, side)).block_outputs(some_images(2, (3, side, side)))]
    assert [tuple(stage.shape[2:]) for stage in block_outputs] == [(each, each) for each in sides]


# --- what a network computes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*EVERY_OPTION, *NARROW])
def test_stages_embedding_and_logits_agree(name):
    network, images = make(name), some_images(4)
    with torch.no_grad():
        embedded = network.embed(images)
        block_outputs = [*network.block_outputs(images)]
        assert torch.equal(block_outputs[-1].flatten(1), embedded) and all(len(stage) == 4 for stage in block_outputs)
        assert torch.equal(network(images), network.classify(embedded))
        expected = embedded @ network.classifier.weight.T + network.classifier.bias
        torch.testing.assert_close(network.classify(embedded), expected)
        kept = [stage.clone() for stage in network.block_outputs(images)]
        assert all(torch.equal(*pair) for pair in zip(block_outputs, kept, strict=True))  # no block overwrote its input


@pytest.mark.parametrize("name", [*EVERY_OPTION, *NARROW])
def test_depends_on_batch_tells_the_truth(name):
    network, images = make(name), some_images(4)
    with torch.no_grad():
        alone, beside = network(images[:2]), network(images)[:2]
    assert network.depends_on_batch == (not torch.allclose(alone, beside, rtol=1e-4, atol=1e-5))
    assert network.depends_on_batch == ("-bn" in name)


@pytest.mark.parametrize("name", [*EVERY_OPTION, *NARROW])
def test_gradients_can_be_differentiated_again(name):
    """Gradient matching needs it, and in-place activations could break it."""
    network, images = make(name), some_images(3).requires_grad_()
    loss = F.cross_entropy(network(images), torch.tensor([0, 1, 2]))
    gradients = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
    (second,) = torch.autograd.grad(sum(g.square().sum() for g in gradients), images)
    assert second.isfinite().all() and second.abs().sum() > 0


@torch.no_grad()
def redraw(network: nn.Module) -> None:
    """Draw every parameter anew, so that norm weights are not all 1 and biases not all 0."""
    for index, parameter in enumerate(network.parameters()):
        drawn = torch.randn(parameter.shape, generator=seeded(index))
        parameter.copy_(drawn / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.5 + 0.2 * drawn)


def torchvision_vgg() -> nn.Module:
    vgg = torchvision.models.vgg11_bn(num_classes=10)
    vgg.classifier = nn.Linear(512, 10)
    vgg.avgpool = nn.AdaptiveAvgPool2d(1)
    return vgg


def torchvision_densenet() -> nn.Module:
    dense = torchvision.models.DenseNet(12, (6, 12, 24, 16), 24, num_classes=10)
    dense.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    dense.features.norm0 = dense.features.relu0 = dense.features.pool0 = nn.Identity()
    return dense


def torchvision_small_resnet() -> nn.Module:
    resnet = torchvision.models.resnet18(num_classes=10)
    resnet.conv1, resnet.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return resnet


@pytest.mark.parametrize(
    ("name", "side", "published_as"),
    [
        ("resnet18-bn", 32, torchvision_small_resnet),
        ("resnet18-bn", 224, lambda: torchvision.models.resnet18(num_classes=10)),
        ("vgg11-bn", 32, torchvision_vgg),
        ("densenet121-g12-bn", 32, torchvision_densenet),
    ],
)
def test_torchvision_computes_the_same(name, side, published_as):
    network, images = make(name, (3, side, side)), some_images(2, (3, side, side))
    redraw(network)
    with torch.random.fork_rng(devices=[]):
        other = published_as().train()
    with torch.no_grad():
        for their, our in zip(other.parameters(), network.parameters(), strict=True):  # both list them in one order
            assert their.shape == our.shape
            their.copy_(our)
        torch.testing.assert_close(network(images), other(images), rtol=1e-3, atol=1e-3)


PADDINGS = {"mlp": (), "lenet": (0, 0), "alexnet": (2, 2, 1, 1, 1)}  # of the convolutions, for 32×32 images


@pytest.mark.parametrize(
    ("name", "shape"), [("mlp", CIFAR), ("lenet", CIFAR), ("lenet", MNIST), ("alexnet", CIFAR), ("alexnet", MNIST)]
)
def test_plain_networks_compute_their_definitions(name, shape):
    network, images = make(name, shape, seed=3), some_images(2, shape)
    redraw(network)
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    convolutions, linear = layers[: len(PADDINGS[name])], layers[len(PADDINGS[name]) :]
    x = F.pad(images, (2, 2, 2, 2)) if shape == MNIST and name != "mlp" else images
    for place, (layer, padding) in enumerate(zip(convolutions, PADDINGS[name], strict=True)):
        x = F.conv2d(x, layer.weight, layer.bias, padding=padding).clamp(min=0)
        x = F.max_pool2d(x, 2) if place not in (2, 3) else x
    x = x.flatten(1)
    for layer in linear[:-1]:
        x = F.linear(x, layer.weight, layer.bias).clamp(min=0)
    torch.testing.assert_close(network.embed(images), x)
    torch.testing.assert_close(network(images), F.linear(x, linear[-1].weight, linear[-1].bias))


@pytest.mark.parametrize(("name", "shape"), [("resnet10-bn-w4-ap", CIFAR), ("resnet18-w4-ap", (3, 33, 40))])
def test_average_poolings_stand_where_the_papers_put_them(name, shape):
    """Main branch: conv, norm, ReLU, pool, conv, norm; shortcut: 1×1 conv, pool, norm."""
    network, x = make(name, shape, seed=3), some_images(3, shape)
    redraw(network)
    weights = iter(list(network.parameters()))

    def conv(x: Tensor) -> Tensor:
        weight = next(weights)
        return F.conv2d(x, weight, padding=weight.shape[2] // 2)

    def norm(x: Tensor) -> Tensor:
        dims = (0, 2, 3) if "-bn" in name else (2, 3)
        scaled = (x - x.mean(dims, keepdim=True)) / (x.var(dims, unbiased=False, keepdim=True) + 1e-5).sqrt()
        return scaled * next(weights)[:, None, None] + next(weights)[:, None, None]

    with torch.no_grad():
        expected = F.relu(norm(conv(x)))
        for stage in range(4):
            for block in range(1 if "10" in name else 2):
                shrinks = stage > 0 and block == 0
                pool = (lambda x: F.avg_pool2d(x, 2)) if shrinks else (lambda x: x)
                main = norm(conv(pool(F.relu(norm(conv(expected))))))
                expected = F.relu(main + (norm(pool(conv(expected))) if shrinks else expected))
        torch.testing.assert_close(network.embed(x), expected.mean((2, 3)), rtol=1e-3, atol=1e-4)


# --- first weights ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NARROW)
def test_a_seed_fixes_the_weights_and_the_global_generator_is_left_alone(name):
    before = torch.get_rng_state()
    first, again, other = (make(name, seed=s) for s in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key])
    for layer, twin in zip(first.modules(), other.modules(), strict=True):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert not torch.equal(layer.weight, twin.weight)
        elif isinstance(layer, nn.BatchNorm2d):
            assert (layer.running_mean == 0).all() and (layer.running_var == 1).all() and layer.num_batches_tracked == 0
        if isinstance(layer, nn.BatchNorm2d | nn.GroupNorm):
            assert (layer.weight == 1).all() and (layer.bias == 0).all() and layer.eps == 1e-5


@pytest.mark.parametrize(
    ("name", "side", "normal"),
    [
        ("resnet10-bn", 32, True),
        ("resnet10-ap", 32, True),
        ("resnet18-bn", 64, True),
        ("resnet18", 32, False),
        ("resnet18-bn-ap", 32, False),
        ("vgg11", 32, False),
        ("densenet121-g12-bn", 32, False),
    ],
)
def test_convolutions_are_drawn_by_their_family(name, side, normal):
    convolutions = [layer for layer in make(name, (3, side, side)).modules() if isinstance(layer, nn.Conv2d)]
    assert all(isinstance(layer, FanOutConv2d) == normal for layer in convolutions)
    checked = 0
    for layer in convolutions:
        out, inputs, kernel, _ = layer.weight.shape
        if layer.weight.numel() > 4000:
            checked += 1
            deviation = math.sqrt(2 / (out * kernel**2)) if normal else 1 / math.sqrt(3 * inputs * kernel**2)
            assert layer.weight.std().item() == pytest.approx(deviation, rel=0.05)
            assert layer.weight.mean().abs().item() < 0.05 * deviation
            largest = layer.weight.abs().max().item() / deviation
            assert largest > 3 if normal else largest < math.sqrt(3) + 0.1  # a normal law has tails


def test_the_linear_layer_of_a_normally_drawn_network_keeps_pytorchs_law():
    head = make("resnet10-bn").classifier
    assert 0.9 / 16 < head.weight.abs().max() <= 1 / 16 and head.bias.abs().max() <= 1 / 16


@pytest.mark.parametrize("name", ["alexnet-bn-w8", "vgg11-bn-w4", "resnet10-bn-w4", "densenet121-g2-bn"])
def test_batch_statistics_travel_with_the_state(name):
    network, other = make(name, seed=1), make(name, seed=2)
    for seed in range(3):
        network(some_images(8, seed=seed))
    other.load_state_dict(network.state_dict())
    images = some_images(4, seed=7)
    with torch.no_grad():
        assert torch.equal(network.eval()(images), other.eval()(images))
        assert not torch.allclose(network(images), make(name, seed=1).eval()(images))
