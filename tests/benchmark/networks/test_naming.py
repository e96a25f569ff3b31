"""Names of the papers' networks beside ConvNet, the image sizes they fit, and batches of a single image."""

from __future__ import annotations

import math

import pytest
import torch

from benchmark import networks
from benchmark.datasets import Constants
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.training.trainer import Recipe, Training
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from helpers import CPU
from network_parts import DIGITS, NARROW, make, some_images

# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("alexnet-none-w128", "alexnet"),
        ("vgg11-w8-bn", "vgg11-bn-w8"),
        ("vgg11-in-w64", "vgg11"),
        ("resnet18-ap-bn", "resnet18-bn-ap"),
        ("resnet18-stride-in", "resnet18"),
        ("resnet10-ap-w16-in", "resnet10-w16-ap"),
        ("resnet18-w64", "resnet18-w64"),  # without a width the image size decides
        ("densenet121", "densenet121-g12-bn"),
        ("densenet121-bn-g24", "densenet121-g24-bn"),
    ],
)
def test_one_spelling_for_each_network(name, canonical):
    assert networks.canonical(name) == canonical
    assert networks.canonical(canonical) == canonical


def test_every_name_of_the_papers_tables_is_its_own_spelling():
    for name in (*NARROW, "alexnet", "alexnet-bn", "vgg11-bn", "resnet18-bn-ap", "resnet10-bn", "densenet121-g12-bn"):
        assert networks.canonical(name) == name


@pytest.mark.parametrize(
    ("name", "says", "then"),
    [
        ("lenett", "Did you mean 'lenet'?", ["convnetDEPTH", "lenet", "densenet121"]),
        ("vgg16-bn", "Did you mean 'vgg11-bn'?", ["vgg11[in|bn|none][w64]"]),
        ("resnet50", "Did you mean 'resnet10'?", ["resnet10|resnet18[in|bn][wN][stride|ap]"]),
        ("resnetap10", "Did you mean 'resnet10'?", ["stride|ap"]),
        ("resnet18-gn", "Did you mean 'resnet18-in'?", ["resnet10|resnet18"]),
        ("densenet121-in", "Did you mean 'densenet121-bn'?", ["densenet121[g12][bn]"]),
        ("densnet121-g12-bn", "Did you mean 'densenet121-g12-bn'?", ["densenet121[g12][bn]"]),
        ("lenet-bn", "Did you mean 'lenet'?", ["lenet"]),
        ("mlp-w64", "Did you mean 'mlp'?", ["mlp"]),
        ("resnet18-bn-in", "gives its norm twice", ["in|bn"]),
        ("alexnet-w0", "no architecture 'alexnet-w0'", ["none|bn|in"]),
        ("zzz", "no architecture 'zzz'", ["mlp, lenet, alexnet"]),
    ],
)
def test_a_wrong_name_is_explained(name, says, then):
    with pytest.raises(BenchmarkError) as caught:
        networks.canonical(name)
    assert says in caught.value.what and caught.value.where == name
    assert all(words in caught.value.next for words in then)


# --- image sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "least"),
    [
        ("lenet", DIGITS, 16),
        ("lenet", (3, 15, 40), 16),
        ("alexnet-bn", (3, 32, 7), 8),
        ("vgg11", DIGITS, 32),
        ("vgg11-bn", (3, 28, 28), 32),  # only grey ones are widened
        ("densenet121-g12-bn", (3, 7, 7), 8),
        ("resnet10-bn-ap", (3, 7, 7), 8),
        ("resnet18", DIGITS, 9),
        ("resnet10", DIGITS, 9),
        ("resnet18-ap", (3, 15, 15), 16),
    ],
)
def test_images_too_small_are_refused_with_a_cure(name, shape, least):
    with pytest.raises(BenchmarkError, match=f"{name} needs images of at least {least}×{least}") as caught:
        make(name, shape)
    assert caught.value.where == name and "auto" in caught.value.next
    fits = (shape[0], max(shape[1], least), max(shape[2], least))
    logits = make(name, fits)(some_images(2, fits))
    assert logits.shape == (2, 10)
    assert (logits[0] - logits[1]).abs().max() > 1e-6  # it still sees the image


@pytest.mark.parametrize("name", ["mlp", "alexnet", "alexnet-in", "alexnet-bn", "resnet10-bn", "resnet18-bn-ap"])
@pytest.mark.parametrize("shape", [DIGITS, (3, 96, 80)])
def test_what_fits_digits_and_odd_sizes(name, shape):
    network = make(name, shape)
    with torch.no_grad():
        logits, features = network(some_images(3, shape)), network.embed(some_images(1, shape).repeat(2, 1, 1, 1))
    assert logits.std(0).min() > 1e-6
    assert features.shape[1] == network.classifier.in_features


# --- batches of one image ---------------------------------------------------------------------------------------------


def batches_of(name: str, shape: tuple[int, int, int], count: int) -> list[list[int]]:
    """Which images each step of two epochs takes, batch 4; pixels name their image."""
    recipe = Recipe(2 * math.ceil(count / 4), 4, 0.01, 0.9, 0.0, (), 0.1, False, "none", 0.0)
    images = torch.arange(count).view(-1, 1, 1, 1).expand(-1, *shape) / 10 + some_images(count, shape) / 1000
    normalize = ChannelNormalizer(Constants((0.0,) * shape[0], (1.0,) * shape[0]), CPU.device)
    training = Training(
        make(name, shape), images, torch.arange(count) % 10, recipe, CPU, normalize,
        lambda role, index: seeding.generator(role, index),
    )  # fmt: skip
    seen: list[list[int]] = []
    training.network.register_forward_pre_hook(
        lambda module, given: seen.append([round(10 * image.mean().item()) for image in given[0]])
    )
    for _ in range(recipe.steps):
        training.step()
    return seen


@pytest.mark.parametrize(
    ("name", "shape", "count", "sizes"),
    [
        ("resnet10-bn-w2", DIGITS, 9, [4, 3, 2]),  # torch refuses a batch norm of one pixel of one image
        ("resnet10-bn-w2", DIGITS, 5, [3, 2]),
        ("densenet121-g1-bn", DIGITS, 9, [4, 3, 2]),
        ("resnet10-bn-w2", DIGITS, 10, [4, 4, 2]),
        ("resnet10-bn-w2", (1, 16, 16), 9, [4, 4, 1]),  # several pixels: one image has statistics, as in the papers
        ("convnet2-bn-w2", DIGITS, 9, [4, 4, 1]),
        ("mlp", DIGITS, 9, [4, 4, 1]),
    ],
)
def test_a_last_batch_of_one_image_gets_company_where_it_must(name, shape, count, sizes):
    seen = batches_of(name, shape, count)
    each = len(sizes)
    assert [len(batch) for batch in seen] == 2 * sizes
    for epoch in (seen[:each], seen[each:]):
        assert sorted(image for batch in epoch for image in batch) == list(range(count))


@pytest.mark.parametrize("name", [*NARROW, "resnet10-bn-w4-ap"])
@pytest.mark.parametrize("side", [8, 9, 15, 16, 17])
def test_the_smallest_batch_is_the_smallest_that_torch_takes(name, side):
    try:
        network = make(name, (3, side, side)).train()
    except BenchmarkError:
        return
    network(some_images(network.smallest_batch, (3, side, side)))
    if network.smallest_batch > 1:
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            network(some_images(1, (3, side, side)))
