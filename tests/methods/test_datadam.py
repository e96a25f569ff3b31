"""DataDAM's step against the paper's formula, worked out image by image and channel by channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmark.condensation.problem import ConcreteProblem
from methods import registry
from methods.datadam import DataDAM, DataDAMConfig, attention_maps

Make = Callable[..., ConcreteProblem]


def test_an_attention_map_sums_powers_over_channels_and_has_norm_one() -> None:
    activations = torch.tensor([[[[1.0, -2.0]], [[3.0, 0.0]]]])  # (1, 2 channels, 1, 2)
    assert attention_maps(activations, 2)[0].tolist() == pytest.approx([10 / 116**0.5, 4 / 116**0.5])
    assert attention_maps(activations, 1)[0].tolist() == pytest.approx([4 / 20**0.5, 2 / 20**0.5])
    assert not attention_maps(torch.zeros(1, 2, 1, 2), 4).isnan().any()


def layers_by_hand(network: nn.Module, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """The outputs of all ReLUs but the last, before pooling, and the flattened last pooling."""
    relus, x = [], images
    for block in network.blocks:
        for layer in block:
            x = layer(x).clone()
            relus += [x] if isinstance(layer, nn.ReLU) else []
    return relus[:-1], x.flatten(1)


def by_hand(problem: ConcreteProblem, images: Tensor, config: DataDAMConfig, it: int) -> Tensor:
    """The loss with the real images of all classes in one batch and the synthetic ones in another."""
    network = problem.new_network(it)
    augment = problem.augment(config.augment, problem.generator("augmentation", it))
    real = problem.real.sample(config.batch_real, problem.generator("real batch", it))
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    seen_real, seen_synthetic = augment((real - mean) / std), augment(images)
    (real_relus, real_features), (relus, features) = (
        layers_by_hand(network, seen.flatten(0, 1)) for seen in (seen_real, seen_synthetic)
    )
    total = torch.zeros(())
    m, n = seen_real.shape[1], seen_synthetic.shape[1]
    for c in range(problem.num_classes):
        of_real, of_synthetic = slice(c * m, (c + 1) * m), slice(c * n, (c + 1) * n)
        for real_relu, relu in zip(real_relus, relus, strict=True):
            means = []
            for activations in (real_relu[of_real], relu[of_synthetic]):
                maps = []
                for image in activations:
                    attention = torch.stack([channel.abs() ** config.power for channel in image]).sum(0).flatten()
                    maps.append(attention / attention.norm())
                means.append(torch.stack(maps).mean(0))
            total = total + ((means[0] - means[1]) ** 2).sum()
        gap = real_features[of_real].mean(0) - features[of_synthetic].mean(0)
        total = total + config.task_balance * (gap**2).sum()
    return 100 * total


@pytest.mark.parametrize("architecture", ["convnet3-w8-bn", "convnet3-w8"])
@pytest.mark.parametrize("power", [4.0, 1.0])
def test_two_steps_are_sgd_on_the_formula(make_problem: Make, architecture: str, power: float) -> None:
    problem = make_problem(architecture=architecture)
    config = DataDAMConfig(iterations=2, batch_real=5, lr_img=0.05, power=power)
    method = DataDAM(problem, config)
    leaf = method.images.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.05, momentum=0.5)
    for it in range(2):
        loss = by_hand(problem, leaf, config, it)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert method.step()["matching"] == pytest.approx(loss.item(), rel=1e-3)
    torch.testing.assert_close(method.images, leaf.detach(), rtol=1e-3, atol=1e-4)


def test_its_networks_have_batch_norm_and_depth_by_resolution() -> None:
    networks = {side: DataDAM.card.network(side) for side in (28, 32, 64, 128, 224)}
    assert networks == {28: "convnet3-bn", 32: "convnet3-bn", 64: "convnet4-bn", 128: "convnet6-bn", 224: "convnet6-bn"}
    assert registry.get("dm").card.network(32) == "auto"


@pytest.mark.parametrize(("ipc", "lr"), [(1, 1.0), (50, 1.0), (51, 10.0)])
def test_the_step_on_the_images_depends_on_ipc(ipc: int, lr: float) -> None:
    resolved = registry.resolve("datadam", dataset="cifar10", ipc=ipc, preset="paper")
    assert resolved.config.lr_img == lr  # type: ignore[attr-defined]
    assert resolved.weakest_provenance == "third party"  # iterations and p: no mark beside a printed number
