"""IDC's distances and steps against a plain computation: class by class, autograd and torch.optim."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.augmentation.cutmix import cutmix
from benchmark.condensation.problem import ConcreteProblem
from methods import registry
from methods.base import Settings
from methods.idc import IDC, IDCI, IDCConfig, IDCIConfig, gradient_distance
from methods.multi_formation import decode_classes

Make = Callable[..., ConcreteProblem]


def distance_by_hand(a: Tensor, b: Tensor, name: str) -> Tensor:
    """Of the gradients of one convolution (out, in, h, w)."""
    if name == "mse":
        return ((a - b) ** 2).sum()
    if name == "l1":
        return (a - b).abs().sum()
    rows = [(a[unit].reshape(-1), b[unit].reshape(-1)) for unit in range(len(a))]
    if name == "l1_mean":
        return torch.stack([(x - y).abs().mean() for x, y in rows]).sum()
    return torch.stack([1 - x @ y / (x.norm() * y.norm() + 1e-6) for x, y in rows]).sum()


@pytest.mark.parametrize("name", ["mse", "l1", "l1_mean", "cos"])
def test_distances_count_the_weights_of_convolutions_alone(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 3, 3, 3), (2, 4), (2, 4, 4, 3, 3), (2, 5, 64), (2, 5)]  # convolutions, biases, classifier
    real, synthetic = ([torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes] for _ in range(2))
    expected = [sum(distance_by_hand(real[i][c], synthetic[i][c], name) for i in (0, 2)) for c in range(2)]
    torch.testing.assert_close(gradient_distance(real, synthetic, name), torch.stack(expected))


def gradients(network: torch.nn.Module, images: Tensor, label: int, *, create_graph: bool = False) -> list[Tensor]:
    """Of the mean cross-entropy of one class's images, for the weights of convolutions."""
    loss = F.cross_entropy(network(images), torch.full((len(images),), label))
    weights = [weight for weight in network.parameters() if weight.ndim == 4]
    return list(torch.autograd.grad(loss, weights, create_graph=create_graph))


def test_steps_are_those_of_the_loops_written_out(make_problem: Make) -> None:
    """Two networks of three steps: class after class with one SGD, and the network trained on real images between."""
    problem = make_problem()
    config = IDCConfig(
        iterations=2, inner_loop=3, batch_real=5, train_images=12, lr_img_per_ipc=0.5, factor=2, init="random",
        batch_syn_max=100,
    )  # fmt: skip
    method = IDC(problem, config)
    leaf = method.images.clone().requires_grad_()
    optimizer = torch.optim.SGD([leaf], lr=0.5 * problem.ipc, momentum=0.5)
    for step in range(method.total_steps):
        if step % 3 == 0:
            leaf.data.clamp_(0, 1)
            network = problem.new_network(step // 3)
            network.requires_grad_(True)  # type: ignore[attr-defined]
            training = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        augment = problem.augment(config.augment, problem.generator("augmentation", step))
        real = augment(problem.normalize(problem.real.sample(5, problem.generator("real batch", step))))
        total = 0.0
        for c in range(problem.num_classes):
            seen = augment(problem.normalize(decode_classes(leaf, 2)))[c]
            target, own = gradients(network, real[c], c), gradients(network, seen, c, create_graph=True)
            loss = torch.stack([((a - b) ** 2).sum() for a, b in zip(target, own, strict=True)]).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        assert method.step()["matching"] == pytest.approx(total, rel=1e-4)
        torch.testing.assert_close(method.images, leaf.detach(), rtol=1e-4, atol=1e-5)
        if step % 3 < 2:
            generator = problem.generator("training of the network", step)
            images, labels = problem.real.batch(15, generator)  # three batches of five have at least twelve
            for k in range(3):
                batch, targets = images[5 * k : 5 * k + 5], labels[5 * k : 5 * k + 5]
                batch = problem.augment_batch("idc:color_crop", problem.normalize(batch), generator)
                if float(torch.rand((), generator=generator)) < 0.5:
                    mixed, a, b, share = cutmix(batch, targets, generator)
                    logits = network(mixed)
                    loss = share * F.cross_entropy(logits, a) + (1 - share) * F.cross_entropy(logits, b)
                else:
                    loss = F.cross_entropy(network(batch), targets)
                training.zero_grad()
                loss.backward()
                training.step()
            for mine, expected in zip(method.network.parameters(), network.parameters(), strict=True):
                torch.testing.assert_close(mine, expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_network_that_no_step_uses_again_is_not_trained(make_problem: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, calls = make_problem(), []
    method = IDC(problem, IDCConfig(iterations=1, inner_loop=3, batch_real=4, train_images=4, factor=1))
    monkeypatch.setattr(method, "_train", lambda: calls.append(method.done))
    for _ in range(3):
        method.step()
    assert calls == [0, 1]


def test_at_most_batch_syn_max_images_of_a_class_are_matched(make_problem: Make) -> None:
    few, every = (
        IDC(make_problem(), IDCConfig(iterations=1, batch_real=5, factor=2, batch_syn_max=limit)).step()["matching"]
        for limit in (3, 100)
    )
    assert few != every


def test_idc_i_is_idc_at_factor_1(make_problem: Make) -> None:
    sets = [
        method(make_problem(), config(iterations=1, inner_loop=2, batch_real=4, train_images=4, factor=1))
        for method, config in ((IDC, IDCConfig), (IDCI, IDCIConfig))
    ]
    for method in sets:
        method.step()
    assert torch.equal(sets[0].images, sets[1].images) and IDCIConfig().factor == 1


@pytest.mark.parametrize(
    ("dataset", "ipc", "lr"),
    [
        ("cifar10", 10, 5e-3),
        ("cifar100", 1, 5e-4),
        ("svhn", 50, 2.5e-2),
        ("mnist", 10, 1e-4),
        ("fashionmnist", 1, 7.66e-6),
    ],
)
def test_the_step_size_is_that_of_the_public_code(dataset: str, ipc: int, lr: float) -> None:
    """lr_img · ipc / 10 · (side / 32)², of MNIST (side / 28)²."""
    for name in ("idc", "idc_i", "dream"):
        config = registry.resolve(name, dataset=dataset, ipc=ipc, preset="paper").config
        assert isinstance(config, IDCConfig) and config.lr_img_per_ipc * ipc == pytest.approx(lr, rel=1e-3)


def test_a_fraction_leaves_at_least_the_steps_asked_for() -> None:
    config: Settings = IDCConfig().scaled(1e-6, floor=50)
    assert config.iterations == 1  # of a hundred steps
    config = IDCConfig(inner_loop=20).scaled(1e-6, floor=50)
    assert config.iterations == 3


def test_batch_norm_is_refused() -> None:
    config = IDCConfig()
    assert IDC.unsupported(config, depends_on_batch=True) and not IDC.unsupported(config, depends_on_batch=False)
