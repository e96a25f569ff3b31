"""MTT's step against the paper's formula, with one graph of all of the student's steps; its experts and step size."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from benchmark import networks
from benchmark.condensation.problem import ConcreteProblem
from benchmark.utils import seeding
from methods.mtt import MTTConfig, TrajectoryMatching, trajectory_loss

Make = Callable[..., ConcreteProblem]
SMALL = {"iterations": 4, "experts": 2, "expert_epochs": 2, "max_start_epoch": 2, "syn_steps": 5, "batch_syn": 3,
         "lr_img": 2.0, "lr_lr": 0.01, "lr_teacher": 0.05}  # fmt: skip


class Trajectory:
    """An expert: after each epoch the weights of another network."""

    def __init__(self, name: str) -> None:
        self.name = name

    def weights(self, epoch: int) -> list[Tensor]:
        network = networks.build("convnet2-w8", (3, 8, 8), 4, seeding.generator(f"{self.name}{epoch}"))
        return [weight.detach().clone() for weight in network.parameters()]


@pytest.fixture
def problem(make_problem: Make) -> ConcreteProblem:
    made = make_problem(architecture="convnet2-w8")
    made.experts = [Trajectory("a"), Trajectory("b")]  # type: ignore[list-item]
    return made


def test_the_loss_is_one_for_a_student_that_stays_and_zero_at_the_target() -> None:
    start, target = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])], [torch.tensor([0.0, 0.0]), torch.tensor([[1.0]])]
    assert float(trajectory_loss(start, start, target)) == 1 and float(trajectory_loss(target, start, target)) == 0
    student = [torch.tensor([1.0, 0.0]), torch.tensor([[1.0]])]
    assert float(trajectory_loss(student, start, target)) == pytest.approx(1 / 9)


def by_hand(
    problem: ConcreteProblem, images: Tensor, lr: Tensor, config: MTTConfig, it: int
) -> tuple[Tensor, tuple[int, int]]:
    """The loss of one iteration, and which expert and epoch it starts from."""
    generator = problem.generator("trajectory", it)
    order = torch.randperm(2, generator=problem.generator("order of experts", it // 2))
    k, epoch = int(order[it % 2]), int(torch.randint(2, (), generator=generator))
    start, target = problem.experts[k].weights(epoch), problem.experts[k].weights(epoch + 2)
    network = problem.new_network(0)
    names = [name for name, _ in network.named_parameters()]  # type: ignore[attr-defined]
    weights = [weight.requires_grad_() for weight in start]
    flat, labels = images.flatten(0, 1), torch.arange(4).repeat_interleave(2)
    chunks: list[Tensor] = []
    for _ in range(config.syn_steps):
        if not chunks:
            chunks = list(torch.randperm(8, generator=generator).split(3))  # of three, three and two images
        chosen = chunks.pop()
        seen = problem.augment_batch(config.augment, flat[chosen], generator)
        logits = functional_call(network, dict(zip(names, weights, strict=True)), (seen,))  # type: ignore[arg-type]
        gradients = torch.autograd.grad(F.cross_entropy(logits, labels[chosen]), weights, create_graph=True)
        weights = [weight - lr * gradient for weight, gradient in zip(weights, gradients, strict=True)]
    distance = sum(((w - t) ** 2).sum() for w, t in zip(weights, target, strict=True))
    reference = sum(((s.detach() - t) ** 2).sum() for s, t in zip(start, target, strict=True))
    return distance / reference, (k, epoch)  # type: ignore[return-value,operator]


def test_steps_are_sgd_on_the_images_and_on_the_step_size(problem: ConcreteProblem) -> None:
    config = MTTConfig(**SMALL)  # type: ignore[arg-type]
    method = TrajectoryMatching(problem, config)
    images, lr = method.images.clone().requires_grad_(), torch.tensor(0.05, requires_grad=True)
    optimizers = [torch.optim.SGD([images], lr=2.0, momentum=0.5), torch.optim.SGD([lr], lr=0.01, momentum=0.5)]
    seen = []
    for it in range(4):
        loss, drawn = by_hand(problem, images, lr, config, it)
        seen.append(drawn)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses = method.step()
        assert losses["trajectory"] == pytest.approx(loss.item(), rel=1e-4)
        assert losses["step size"] == pytest.approx(lr.item(), rel=1e-4)
    torch.testing.assert_close(method.images, images.detach(), rtol=1e-3, atol=1e-4)
    assert [k for k, _ in seen[:2]] != [seen[0][0]] * 2 and [k for k, _ in seen[2:]] != [seen[2][0]] * 2  # by turns
    assert method.synthetic().training == {"lr": pytest.approx(lr.item(), rel=1e-4)}


@pytest.mark.parametrize(
    ("max_start_epoch", "expert_epochs", "keep"),
    [(2, 2, (0, 1, 2, 3)), (1, 3, (0, 3)), (3, 1, (0, 1, 2, 3)), (2, 5, (0, 1, 5, 6))],
)
def test_experts_keep_the_epochs_that_a_student_starts_from_or_ends_at(
    max_start_epoch: int, expert_epochs: int, keep: tuple[int, ...]
) -> None:
    recipe = TrajectoryMatching.experts(MTTConfig(max_start_epoch=max_start_epoch, expert_epochs=expert_epochs))
    assert (0, *recipe.keep, recipe.epochs) == keep
    assert (recipe.momentum, recipe.weight_decay, recipe.lr_milestones, recipe.cutmix) == (0, 0, (), 0)


def test_a_larger_factor_trains_the_student_on_the_decoded_images(problem: ConcreteProblem) -> None:
    method = TrajectoryMatching(problem, MTTConfig(**(SMALL | {"factor": 2, "batch_syn": 0})))  # type: ignore[arg-type]
    ((images, labels),) = list(method._batches(method.images, torch.Generator()))[:1]
    assert images.shape == (32, 3, 8, 8) and labels.bincount().tolist() == [8] * 4
    assert method.step()["trajectory"] > 0


def test_batch_norm_is_refused() -> None:
    assert TrajectoryMatching.unsupported(MTTConfig(), depends_on_batch=True)
