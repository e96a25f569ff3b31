"""The contract that every method keeps, for the tests of this project and of packages with a method of their own.

    @pytest.mark.parametrize("check", CHECKS)
    def test_contract(check):
        check("mymethod")

Each check raises AssertionError with a sentence. They run the method's `Config.tiny()` on a small problem.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark import networks
from benchmark.compute.engine import Compute
from benchmark.condensation.problem import ConcreteProblem, DeviceImages, TrainedExpert
from benchmark.condensation.synthetic_set import learned_lr
from benchmark.datasets import Constants, Split
from benchmark.datasets.normalization import ChannelNormalizer
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from benchmark.utils.tensor_files import load_tree, save_tree
from methods import registry
from methods.base import Condenser

FAMILIES = ("coreset", "gradient matching", "trajectory matching", "distribution matching")


def make_images(classes: int, each: int | Sequence[int], shape: tuple[int, int, int], seed: int = 0) -> Split:
    """Random uint8 images, each class around a colour of its own, in shuffled order. each: as `small_problem`."""
    draw = seeding.generator(Role.CONTRACT, seed)
    counts = torch.tensor([each] * classes if isinstance(each, int) else each)
    labels = torch.arange(classes).repeat_interleave(counts)[torch.randperm(int(counts.sum()), generator=draw)]
    base = torch.linspace(40, 200, classes)[labels].view(-1, 1, 1, 1)
    images = base + 40 * torch.randn(len(labels), *shape, generator=draw)
    return Split(images.clamp(0, 255).to(torch.uint8), labels)


def between(first: Mapping[str, Tensor], last: Mapping[str, Tensor], epochs: int = 4) -> tuple[Sequence[int], Any]:
    """Epochs and their weights, as TrainedExpert takes them: from the first weights on a line to the last."""
    kept = {
        epoch: {name: first[name] + (tensor - first[name]) * (epoch / epochs) for name, tensor in last.items()}
        for epoch in range(1, epochs)
    }
    return range(epochs + 1), ({0: first} | kept | {epochs: last}).__getitem__


def small_problem(
    classes: int = 4,
    each: int | Sequence[int] = 12,
    ipc: int = 2,
    shape: tuple[int, int, int] = (3, 8, 8),
    architecture: str = "convnet2-w8",
    experts: int = 2,
    seed: int = 0,
    compute: Compute | None = None,
) -> ConcreteProblem:
    """A problem with random images of shape (ch, H, W) and untrained experts.

    each: images of every class, or of each one. compute: None for the CPU.
    """
    compute = compute or Compute(torch.device("cpu"), "fp32", threads=1)
    scratch = networks.build(architecture, shape, classes, seeding.generator(Role.SCRATCH))
    scratch.requires_grad_(False)

    def weights(role: str, index: int) -> dict[str, Tensor]:
        network = networks.build(architecture, shape, classes, seeding.generator(role, index))
        return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    first = 100 * seed  # of another seed other experts, as where a method asks for its own for each
    pool = [
        TrainedExpert(scratch, *between(weights("initial", k), weights("trained", k)))
        for k in range(first, first + experts)
    ]
    constants = Constants((0.4, 0.5, 0.6)[: shape[0]], (0.2, 0.25, 0.3)[: shape[0]])
    return ConcreteProblem(
        DeviceImages(make_images(classes, each, shape), classes, compute.device),
        pool,
        compute,
        ChannelNormalizer(constants, compute.device),
        ipc=ipc,
        image_shape=shape,
        architecture=architecture,
        flip=True,
        seed=seed,
        fingerprint="test",
    )


# --- checks -----------------------------------------------------------------------------------------------------------


def card_and_settings_are_complete(name: str) -> None:
    method = registry.get(name)
    card, config = method.card, method.Config
    assert card.name == name, f"the card names {card.name!r}, the entry point {name!r}"
    assert card.title and card.version >= 1, "the card lacks a title or a version"
    assert card.family in FAMILIES, f"the card's family is {card.family!r}, not one of {FAMILIES}"
    frozen = is_dataclass(config) and config.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert frozen, "Config is no frozen dataclass"
    for spec in fields(config):
        said = spec.metadata.get("meaning") and spec.metadata.get("source")
        assert said, f"the setting {spec.name} has no meaning or no source"


def one_seed_gives_one_set_of_the_right_shape(name: str) -> None:
    before = torch.get_rng_state()
    first, second = (_finish(_begin(name, small_problem())).synthetic() for _ in range(2))
    assert torch.equal(before, torch.get_rng_state()), "a global random generator was touched"
    assert first.images.shape == (8, 3, 8, 8), f"for 4 classes at ipc 2 the images are {tuple(first.images.shape)}"
    assert first.images.dtype == torch.float32, f"the images are {first.images.dtype}"
    assert first.images.isfinite().all() and not first.images.requires_grad, "images must be finite, without a graph"
    assert first.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3], f"the labels are {first.labels.tolist()}"
    assert torch.equal(first.images, second.images), "equal seeds gave other images"
    learns = learned_lr(first.training) is not None
    assert learns == registry.get(name).card.learns_lr, "the card's learns_lr and the set's training do not agree"
    other = _finish(_begin(name, small_problem(seed=1))).synthetic()
    assert not torch.equal(first.images, other.images), "another seed gave the same images"


def a_checkpoint_at_any_step_gives_the_same_set(name: str) -> None:
    whole = _finish(_begin(name, small_problem()))
    stopped = _begin(name, small_problem())
    with tempfile.TemporaryDirectory() as folder:
        for done in range(whole.total_steps + 1):  # anywhere: what a method keeps may differ from step to step
            path = Path(folder) / f"{done}.safetensors"
            save_tree(path, stopped.state_dict())
            resumed = _begin(name, small_problem())
            resumed.load_state_dict(load_tree(path))
            _finish(resumed, done)
            same = torch.equal(whole.synthetic().images, resumed.synthetic().images)
            assert same, f"resumed after step {done}, the images are others"
            if done < whole.total_steps:
                stopped.step()


def state_is_plain_and_a_set_stays_as_it_is(name: str) -> None:
    method = _begin(name, small_problem())
    state, seen = method.state_dict(), set[int]()
    for value in _leaves(state):
        if isinstance(value, Tensor):
            assert value.data_ptr() not in seen, "two tensors of state_dict share their memory"
            seen.add(value.data_ptr())
        else:
            json.dumps(value)
    synthetic = _finish(method).synthetic()
    kept = synthetic.images.clone()
    if method.total_steps:
        method.step()
        assert torch.equal(kept, synthetic.images), "a step changed a set that was handed out before"


def a_factor_stores_ipc_images_and_decodes_more(name: str) -> None:
    if "factor" in {spec.name for spec in fields(registry.get(name).Config)}:
        synthetic = _finish(_begin(name, small_problem(), factor=2)).synthetic()
        images, labels = synthetic.decode()
        sizes = len(synthetic.images), len(images), len(labels)
        assert sizes == (8, 32, 32), f"at factor 2, stored images, decoded images and labels are {sizes}"


def grey_and_odd_sizes_work(name: str) -> None:
    for shape in ((1, 28, 28), (3, 12, 12)):
        images = _finish(_begin(name, small_problem(shape=shape))).synthetic().images
        assert images.shape == (8, *shape), f"images of {shape} became {tuple(images.shape)}"


CHECKS: tuple[Callable[[str], None], ...] = (
    card_and_settings_are_complete,
    one_seed_gives_one_set_of_the_right_shape,
    a_checkpoint_at_any_step_gives_the_same_set,
    state_is_plain_and_a_set_stays_as_it_is,
    a_factor_stores_ipc_images_and_decodes_more,
    grey_and_odd_sizes_work,
)


def _begin(name: str, problem: ConcreteProblem, **changes: Any) -> Condenser:
    method = registry.get(name)
    config = method.Config.tiny()
    return method(problem, type(config)(**{f.name: getattr(config, f.name) for f in fields(config)} | changes))


def _finish(method: Condenser, done: int = 0) -> Condenser:
    for _ in range(done, method.total_steps):
        losses = method.step()
        plain = losses and all(isinstance(value, float) for value in losses.values())
        assert plain, f"a step must return its losses as floats by name, not {losses}"
    return method


def _leaves(tree: Any) -> Iterator[Any]:
    for value in tree.values():
        yield from _leaves(value) if isinstance(value, dict) else [value]
