"""Networks and images for tests of architectures."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark import networks
from benchmark.networks.base import BlockNetwork, ImageShape

CIFAR, MNIST, DIGITS = (3, 32, 32), (1, 28, 28), (1, 8, 8)
EVERY_OPTION = (  # of ConvNet
    "convnet3",
    "convnet2-bn-w16",
    "convnet2-ln-w8-max",
    "convnet3-gn-w8-leaky",
    "convnet2-none-w8-swish",
    "convnet1-w8-nopool-sigmoid",
    "convnet2-none-w8-nopool",
    "convnet2-none-w8-leaky-max",
)
NARROW = (  # every family of networks beside ConvNet in each norm, narrow
    "mlp",
    "lenet",
    "alexnet-w8",
    "alexnet-bn-w8",
    "alexnet-in-w8",
    "vgg11-w4",
    "vgg11-bn-w4",
    "vgg11-none-w4",
    "resnet10-w4",
    "resnet10-bn-w4",
    "resnet10-w4-ap",
    "resnet18-w4",
    "resnet18-bn-w4",
    "resnet18-bn-w4-ap",
    "densenet121-g2-bn",
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(name: str, shape: ImageShape = CIFAR, classes: int = 10, seed: int = 0) -> BlockNetwork:
    return networks.build(name, shape, classes, seeded(seed))


def some_images(count: int, shape: ImageShape = CIFAR, seed: int = 9) -> Tensor:
    return torch.randn(count, *shape, generator=seeded(seed))
