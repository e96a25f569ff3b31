"""One condensation step of each method in the manner of the public code: class by class, eager, fp32; to compare with.

Images are held as normalised floats, a batch of one class is drawn, augmented and forwarded at a time, and autograd and
torch.optim do the rest. Augmentation and networks are ours: they are the same work on both sides. `seconds_of` times a
step in a process of its own, with nothing of ours in force.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.compute.environment import PeakMemory
from benchmark.condensation.problem import ConcreteProblem, DeviceImages
from benchmark.datasets import BUILTIN, Split
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.estimation.dummy_problem import untrained_expert
from benchmark.utils import seeding
from methods import registry
from methods.dc import layerwise
from methods.m3d import gaussian_kernel
from methods.multi_formation import decode_classes

CLASSES, EACH, SHAPE, NETWORK = 10, 5000, (3, 32, 32), "convnet3"
# Makes glibc keep freed memory for the next step, as ours does; the public code returns it to the system.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**28)}


@dataclass
class Plain:
    """The state of the public scripts: all training images, the synthetic images, and their optimiser."""

    problem: ConcreteProblem
    config: Any
    images: Tensor  # (C, ipc, ch, H, W)
    lr: float
    queue: list[Any] = field(default_factory=list)
    iteration: int = 0

    def __post_init__(self) -> None:
        real = self.problem.real
        self.all = self.problem.normalize(real.images.float() / 255)
        self.images = self.images.clone().requires_grad_()
        self.optimizer = torch.optim.SGD([self.images], lr=self.lr, momentum=self.config.momentum)
        self.draw = torch.Generator().manual_seed(0)
        self.step_size = torch.tensor(getattr(self.config, "lr_teacher", 0.01), requires_grad=True)  # of MTT

    def real(self, c: int) -> Tensor:
        """A batch of real images of a class, (n, ch, H, W)."""
        members = self.problem.real.members[c]
        return self.all[members[torch.randperm(len(members), generator=self.draw)[: self.config.batch_real]]]

    def augmented(self, c: int, transform: Any, images: Tensor) -> Tensor:
        return transform.of(slice(c, c + 1))(images[None])[0]

    def synthetic(self, c: int) -> Tensor:
        """The decoded images of a class."""
        return decode_classes(self.images[c : c + 1], self.config.factor)[0]


def dm(plain: Plain) -> None:
    problem, network = plain.problem, plain.problem.new_network(plain.iteration)
    loss = torch.zeros(())
    for c in range(problem.num_classes):
        transform = problem.augment(plain.config.augment, plain.draw)
        target = network.embed(plain.augmented(c, transform, plain.real(c))).detach().mean(0)
        mean = network.embed(plain.augmented(c, transform, plain.synthetic(c))).mean(0)
        loss = loss + (target - mean).square().sum()
    plain.optimizer.zero_grad()
    loss.backward()
    plain.optimizer.step()
    plain.iteration += 1


def datadam(plain: Plain) -> None:
    """All classes in one batch, because of batch norm; activations from hooks, as in the public code."""
    problem, config, network = plain.problem, plain.config, plain.problem.new_network(plain.iteration)
    transforms = [problem.augment(config.augment, plain.draw) for _ in range(problem.num_classes)]
    maps: list[Tensor] = []
    for layer in network.modules():  # type: ignore[attr-defined]
        if isinstance(layer, torch.nn.ReLU):
            layer.register_forward_hook(lambda _layer, _inputs, output: maps.append(output.clone()))

    def features(images: list[Tensor]) -> list[Tensor]:
        maps.clear()
        embeddings = network.embed(torch.cat(images))
        attention = [F.normalize((m.abs() ** config.power).sum(1).flatten(1)) for m in maps[:-1]]
        return [f.unflatten(0, (len(images), -1)).mean(1) for f in (*attention, embeddings)]

    real = [plain.augmented(c, transform, plain.real(c)) for c, transform in enumerate(transforms)]
    targets = [feature.detach() for feature in features(real)]
    means = features([plain.augmented(c, transform, plain.synthetic(c)) for c, transform in enumerate(transforms)])
    gaps = [(target - mean).square().sum() for target, mean in zip(targets, means, strict=True)]
    loss = 100 * (torch.stack(gaps[:-1]).sum() + config.task_balance * gaps[-1])
    plain.optimizer.zero_grad()
    loss.backward()
    plain.optimizer.step()
    plain.iteration += 1


def m3d(plain: Plain) -> None:
    """Real and synthetic images of a class in one batch, and the discrepancy of their features."""
    problem, config = plain.problem, plain.config
    network = problem.new_network(plain.iteration // config.network_interval)
    with torch.no_grad():
        plain.images.clamp_(0, 1)
    transform = problem.augment(config.augment, plain.draw)
    for c in range(problem.num_classes):
        real = plain.real(c)
        both = torch.cat([real, problem.normalize(plain.synthetic(c))])
        embeddings = network.embed(plain.augmented(c, transform, both))
        kernel = gaussian_kernel(embeddings[None])[0]
        m = len(real)
        loss = kernel[:m, :m].mean() - 2 * kernel[:m, m:].mean() + kernel[m:, m:].mean()
        plain.optimizer.zero_grad()
        loss.backward()
        plain.optimizer.step()
    plain.iteration += 1


def dance(plain: Plain) -> None:
    problem, config = plain.problem, plain.config
    with torch.no_grad():
        plain.images.clamp_(0, 1)
    weight = float(torch.rand((), generator=plain.draw))
    for view in ("alignment", "calibration"):
        network = problem.experts[0].interpolate(weight if view == "alignment" else 0.0)
        transform = problem.augment(config.augment, plain.draw)
        for c in range(problem.num_classes):
            augmented = plain.augmented(c, transform, problem.normalize(plain.synthetic(c)))
            if view == "alignment":
                target = network.embed(plain.augmented(c, transform, plain.real(c))).detach().mean(0)
                loss = (target - network.embed(augmented).mean(0)).square().sum()
            else:
                loss = F.cross_entropy(network(augmented), torch.full((len(augmented),), c))
            plain.optimizer.zero_grad()
            loss.backward()
            plain.optimizer.step()
    plain.iteration += 1


def idm(plain: Plain) -> None:
    problem, config = plain.problem, plain.config
    if not plain.queue:
        plain.queue = [problem.new_network(index) for index in range(4)]
    network, transform = plain.queue[0], problem.augment(config.augment, plain.draw)
    for c in range(problem.num_classes):
        target = network.embed(plain.augmented(c, transform, plain.real(c))).detach().mean(0)
        augmented = plain.augmented(c, transform, plain.synthetic(c))
        features = network.embed(augmented)
        loss = (target - features.mean(0)).square().sum()
        loss = loss + config.ce_weight * F.cross_entropy(network.classify(features), torch.full((len(augmented),), c))
        plain.optimizer.zero_grad()
        loss.backward()
        plain.optimizer.step()
    for trained in plain.queue[:2]:
        trained.requires_grad_(True)
        optimizer = torch.optim.SGD(trained.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        for _ in range(config.train_steps):
            indices = torch.randperm(len(plain.all), generator=plain.draw)[: config.batch_train]
            _train(trained, optimizer, plain.all[indices], problem.real.labels[indices])
        trained.requires_grad_(False)
    plain.iteration += 1


def dsa(plain: Plain) -> None:
    """An outer step, with the training of the network that follows it if the method has one."""
    problem, config = plain.problem, plain.config
    network = problem.new_network(plain.iteration).requires_grad_(True)
    weights = list(network.parameters())
    loss = torch.zeros(())
    for c in range(problem.num_classes):
        transform = problem.augment(config.augment, plain.draw)
        augmented = plain.augmented(c, transform, plain.real(c))
        cross_entropy = F.cross_entropy(network(augmented), torch.full((len(augmented),), c))
        target = [gradient.detach() for gradient in torch.autograd.grad(cross_entropy, weights)]
        augmented = plain.augmented(c, transform, plain.synthetic(c))
        cross_entropy = F.cross_entropy(network(augmented), torch.full((len(augmented),), c))
        gradients = torch.autograd.grad(cross_entropy, weights, create_graph=True)
        loss = loss + layerwise([g[None] for g in target], [g[None] for g in gradients]).sum()
    plain.optimizer.zero_grad()
    loss.backward()
    plain.optimizer.step()
    if config.outer_loop > 1:
        optimizer = torch.optim.SGD(weights, lr=config.lr_net)
        images, labels = plain.images.detach().flatten(0, 1), torch.arange(problem.num_classes)
        labels = labels.repeat_interleave(len(images) // len(labels))
        for _ in range(config.inner_loop):
            for indices in torch.randperm(len(images), generator=plain.draw).split(config.batch_train):
                augmented = problem.augment_batch(config.augment, images[indices], plain.draw)
                _train(network, optimizer, augmented, labels[indices])
    plain.iteration += 1


def dream(plain: Plain) -> None:
    """A step that clusters first, which is every tenth: k-means of a class after the other, then a step of IDC."""
    problem, count = plain.problem, plain.config.batch_real
    network = problem.new_network(plain.iteration)
    representatives = []
    for c in range(problem.num_classes):
        pixels = problem.real.images[problem.real.members[c]].float() / 255
        features = torch.cat([network.embed(batch) for batch in pixels.split(256)])
        nearest = torch.cdist(k_means(features, count, plain.draw), features).argmin(1)
        representatives.append(problem.normalize(pixels[nearest]))
    idc(plain, representatives.__getitem__)


def k_means(features: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Lloyd's steps from random images, (N, D) to centroids (count, D), until their shift is small, 100 at most."""
    centroids = features[torch.randperm(len(features), generator=draw)[:count]]
    for _ in range(100):
        nearest = torch.cdist(features, centroids).argmin(1)
        members = torch.bincount(nearest, minlength=count).clamp(min=1)
        moved = torch.zeros_like(centroids).index_add(0, nearest, features) / members[:, None]
        shift, centroids = (moved - centroids).square().sum(), moved
        if shift <= 1e-4:
            break
    return centroids


def idc(plain: Plain, real_batch: Callable[[int], Tensor] | None = None) -> None:
    """A class at a time, each with a step of its own, and the training of the network on real images."""
    problem, config = plain.problem, plain.config
    real_batch = real_batch or plain.real
    network = problem.new_network(plain.iteration).requires_grad_(True)
    convolutions = [weight for weight in network.parameters() if weight.ndim == 4]
    with torch.no_grad():
        plain.images.clamp_(0, 1)
    for c in range(problem.num_classes):
        transform, real = problem.augment(config.augment, plain.draw), real_batch(c)
        synthetic = problem.normalize(plain.synthetic(c)[: config.batch_syn_max])
        augmented = plain.augmented(c, transform, torch.cat([real, synthetic]))
        cross_entropy = F.cross_entropy(network(augmented[: len(real)]), torch.full((len(real),), c))
        target = [gradient.detach() for gradient in torch.autograd.grad(cross_entropy, convolutions)]
        cross_entropy = F.cross_entropy(network(augmented[len(real) :]), torch.full((len(synthetic),), c))
        gradients = torch.autograd.grad(cross_entropy, convolutions, create_graph=True)
        loss = torch.stack([(a - b).square().sum() for a, b in zip(target, gradients, strict=True)]).sum()
        plain.optimizer.zero_grad()
        loss.backward()
        plain.optimizer.step()
    optimizer = torch.optim.SGD(network.parameters(), lr=config.lr_net, momentum=0.9, weight_decay=5e-4)
    seen = 0
    while seen < config.train_images:
        indices = torch.randint(len(plain.all), (config.batch_real,), generator=plain.draw)
        images = problem.augment_batch(config.augment_net, plain.all[indices], plain.draw)
        images, labels, partners, share = problem.cutmix(
            images, problem.real.labels[indices], config.cutmix, plain.draw
        )
        logits = network(images)
        optimizer.zero_grad()
        (share * F.cross_entropy(logits, labels) + (1 - share) * F.cross_entropy(logits, partners)).backward()
        optimizer.step()
        seen += len(indices)
    plain.iteration += 1


def cafe(plain: Plain) -> None:
    """As many steps on the images as the settings allow, and epochs between them; accuracies with a graph, too."""
    problem, config = plain.problem, plain.config
    network: Any = problem.new_network(plain.iteration).requires_grad_(True)
    trained = torch.optim.SGD(network.parameters(), lr=config.lr_net)
    strategy, labels = config.augment or "none", torch.arange(problem.num_classes)

    def features(images: Tensor) -> list[Tensor]:
        """After every ReLU, and twice after the last pooling: (N, …) each."""
        *maps, embedding = network.block_outputs(images, pre_pool=True, include_last=True)
        return [*maps, embedding, embedding.flatten(1)]

    def measure() -> None:
        for c in range(problem.num_classes):
            members = problem.real.members[c]
            chosen = members[torch.randperm(len(members), generator=plain.draw)[: config.batch_accuracy]]
            (network(plain.all[chosen]).argmax(1) == c).float().mean().item()

    for step in range(config.max_image_steps):
        transforms = [problem.augment(strategy, plain.draw) for _ in labels]
        real = torch.cat([plain.augmented(c, transform, plain.real(c)) for c, transform in enumerate(transforms)])
        synthetic = [plain.augmented(c, transform, plain.synthetic(c)) for c, transform in enumerate(transforms)]
        of_real = features(real)
        both = [of_real, features(torch.cat(synthetic))]
        means = [[each.unflatten(0, (problem.num_classes, -1)).mean(1) for each in of] for of in both]
        gaps = [(a - b).square().sum() for a, b in zip(*means, strict=True)]
        logits = of_real[-1] @ means[1][-1].T
        entropies = F.cross_entropy(logits, labels.repeat_interleave(config.batch_real), reduction="sum")
        weights = [*[config.early_weight] * (len(gaps) - 3), 1.0, 1.0, 1.0]
        loss = sum(weight * gap for weight, gap in zip(weights, gaps, strict=True))
        plain.optimizer.zero_grad()
        (loss + config.discrimination_weight * entropies).backward()
        plain.optimizer.step()
        measure()
        if step == config.max_image_steps - 1:
            break
        images, of_images = plain.images.detach().flatten(0, 1), labels.repeat_interleave(problem.ipc)
        for _ in range(config.max_network_epochs):
            for indices in torch.randperm(len(images), generator=plain.draw).split(config.batch_train):
                augmented = problem.augment_batch(strategy, images[indices], plain.draw)
                _train(network, trained, augmented, of_images[indices])
            measure()
    plain.iteration += 1


def mtt(plain: Plain) -> None:
    """The weights as one vector, and one graph of all steps of the student."""
    problem, config = plain.problem, plain.config
    module: Any = problem.new_network(0).requires_grad_(True)
    names, shapes = [name for name, _ in module.named_parameters()], [p.shape for p in module.parameters()]
    sizes = [shape.numel() for shape in shapes]

    def logits(flat: Tensor, images: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(flat.split(sizes), shapes, strict=True)]
        return functional_call(module, dict(zip(names, parts, strict=True)), (images,))

    epoch = int(torch.randint(config.max_start_epoch, (), generator=plain.draw))
    start, target = (
        torch.cat([weight.flatten() for weight in problem.experts[0].weights(at)])
        for at in (epoch, epoch + config.expert_epochs)
    )
    images = plain.images.flatten(0, 1)
    labels = torch.arange(problem.num_classes).repeat_interleave(problem.ipc)
    student, waiting = start.clone().requires_grad_(), list[Tensor]()
    for _ in range(config.syn_steps):
        if not waiting:
            waiting = list(torch.randperm(len(images), generator=plain.draw).split(config.batch_syn or len(images)))
        indices = waiting.pop()
        batch = problem.augment_batch(config.augment, images[indices], plain.draw)
        cross_entropy = F.cross_entropy(logits(student, batch), labels[indices])
        (gradient,) = torch.autograd.grad(cross_entropy, student, create_graph=True)
        student = student - plain.step_size * gradient
    loss = F.mse_loss(student, target, reduction="sum") / F.mse_loss(start, target, reduction="sum")
    plain.optimizer.zero_grad()
    loss.backward()
    plain.optimizer.step()
    plain.iteration += 1


def _train(network: Any, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    optimizer.step()


def problem_at(ipc: int, compute: Compute, method: str = "") -> ConcreteProblem:
    """Random images of CIFAR-10's shape, untrained experts, and ConvNet-3 or the network of the method's own paper."""
    native = registry.get(method).card.network(SHAPE[1]) if method else "auto"
    architecture = NETWORK if native == "auto" else native
    draw = seeding.generator("images")
    labels = torch.arange(CLASSES).repeat_interleave(EACH)
    split = Split(torch.randint(0, 256, (len(labels), *SHAPE), generator=draw, dtype=torch.uint8), labels)
    recipe = registry.get(method).experts(settings_of(method, ipc)) if method else None
    scratch = networks.build(NETWORK, SHAPE, CLASSES, draw).requires_grad_(False)
    experts = [untrained_expert(scratch, recipe)] * recipe.count if recipe else []
    return ConcreteProblem(
        DeviceImages(split, CLASSES, compute.device), experts, compute,
        ChannelNormalizer(BUILTIN["cifar10"].constants, compute.device),
        ipc=ipc, image_shape=SHAPE, architecture=architecture, flip=True, seed=0, fingerprint="benchmark",
    )  # fmt: skip


def work_of(method: str, problem: ConcreteProblem) -> Any:
    """A method about to take its first step, with its published settings."""
    return registry.get(method)(problem, settings_of(method, problem.ipc))


def settings_of(method: str, ipc: int) -> Any:
    config = registry.resolve(method, dataset="cifar10", ipc=ipc, preset="paper").config
    # How long a network of CAFE's takes depends on accuracies: here two steps on the images, ten epochs between them.
    return replace(config, max_image_steps=2, max_network_epochs=10) if method == "cafe" else config


def time_and_memory(step: Callable[[], Any], rounds: int) -> tuple[float, int]:
    """Median seconds of `rounds` steps after a first one, and the bytes that they add to the process at most."""
    peak = PeakMemory(torch.device("cpu"))
    before = peak.bytes() or 0
    step()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), (peak.bytes() or 0) - before


def plain_step(method: str, ipc: int, threads: int, rounds: int, *, keep_memory: bool = False) -> tuple[float, int]:
    """Median seconds and added bytes of the plain step, in a process of its own, which may keep freed memory."""
    words = [sys.executable, __file__, method, str(ipc), str(threads), str(rounds)]
    where, env = Path(__file__).parents[1], os.environ | (KEEP_MEMORY if keep_memory else {})
    process = subprocess.run(words, capture_output=True, text=True, check=True, cwd=where, env=env)
    seconds, added = json.loads(process.stdout)
    return seconds, added


STEPS: dict[str, Callable[[Plain], None]] = {
    "dm": dm,
    "dance": dance,
    "idm": idm,
    "dsa": dsa,
    "idc": idc,
    "dream": dream,
    "datadam": datadam,
    "m3d": m3d,
    "cafe": cafe,
    "mtt": mtt,
}


if __name__ == "__main__":
    name, ipc, threads, rounds = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    problem = problem_at(ipc, Compute(torch.device("cpu"), "fp32", threads), name)
    work = work_of(name, problem)
    plain = Plain(problem, work.config, work.images, getattr(work, "lr", None) or work.config.lr_img)
    print(json.dumps(time_and_memory(lambda: STEPS[name](plain), rounds)))
