"""The contract between the referee and a method: what a method is given, what it must answer, what it declares.

Shapes: C classes, ipc synthetic images a class, m real images a class, images (ch, H, W). Images are float32 in
pixel units (0..1 nominal) unless a name says `normalised`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias

from methods.errors import MethodError as MethodError

if TYPE_CHECKING:  # only said here, never called: settings can be looked up without loading torch
    import torch
    from torch import Tensor


class Draw(StrEnum):
    """What the methods of this package draw random numbers for, as `Problem.generator` is asked.

    Every seed contains one of these strings: they are never changed. A method of another package names its own.
    """

    INITIAL_IMAGES = "initial images"
    REAL_BATCH = "real batch"  # by the iteration; the same images for every method at one condensation seed
    AUGMENTATION = "augmentation"  # by the iteration
    CALIBRATION_AUGMENTATION = "augmentation of calibration"  # DANCE, by the iteration
    ENCODER = "encoder"  # DANCE: which expert and which mid encoder, by the iteration
    SUBSET_ALIGNMENT = "subset for alignment"  # DANCE, by the iteration; of more images than batch_syn_max
    SUBSET_CALIBRATION = "subset for calibration"  # the same
    QUEUE = "queue of networks"  # IDM, by the iteration
    NORM_IMAGES = "images for batch norm"  # DC and DSA, by the outer step
    INNER_LOOP = "inner loop"  # DC and DSA, by the epoch


Tree = dict[str, Any]  # tensors, JSON values, and dicts of them: what a checkpoint can hold
ClassLosses: TypeAlias = "Callable[..., Tensor]"  # images (C, n, ch, H, W) and constants (C, …) to (C,)


# --- what a method is given -------------------------------------------------------------------------------------------


class Transform(Protocol):
    """A drawn augmentation of *normalised* images (C, n, ch, H, W) of any n, with parameters of each class's own."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """The images as they are seen through it."""
        ...

    def of(self, classes: slice, /) -> Transform:
        """The same for some neighbouring classes alone."""
        ...


class ByClass(Protocol):
    """Images (C, n, ch, H, W): a tensor, or real images that are made when classes of them are asked for."""

    @property
    def shape(self) -> Sequence[int]:
        """(C, n, ch, H, W)."""
        ...

    def __len__(self) -> int:
        """C."""
        ...

    def __getitem__(self, classes: slice, /) -> Tensor:
        """Those of some neighbouring classes."""
        ...


class Network(Protocol):
    """A network as methods see it; its parameters need no gradient unless the method asks for one."""

    depends_on_batch: bool  # BatchNorm: such a network's batches are never chunked or split by class

    def __call__(self, images: Tensor, /) -> Tensor:
        """Normalised images (N, ch, H, W) to logits (N, C)."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Normalised images (N, ch, H, W) to the flattened features before the classifier (N, D)."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """`embed`'s features (N, D) to logits (N, C): network(images) is classify(embed(images))."""
        ...

    def block_outputs(self, images: Tensor) -> list[Tensor]:
        """Normalised images (N, ch, H, W) to the activations after each block: (N, …) each, the last embed's."""
        ...

    def parameters(self) -> Iterator[Tensor]:
        """The weights, to be changed in place by a method that trains the network; in a fixed order."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Weights and running statistics by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> Any:
        """Take over `state_dict`'s answer, of a network of the same architecture."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Batch norm on a batch's own statistics (and keeping count of them), or with False on the running ones."""
        ...


class Expert(Protocol):
    """A network trained on the real training images, with the weights it started from."""

    def interpolate(self, weight: float) -> Network:
        """θ = weight·θ_initial + (1 − weight)·θ_trained over all parameters: 0 is the expert, 1 its initialisation.

        The network is shared and overwritten by the next call: use it before asking again.
        """
        ...


class RealImages(Protocol):
    """The training images of a problem; no test image can be reached from here."""

    @property
    def counts(self) -> Sequence[int]:
        """Images of each class."""
        ...

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(C, m, ch, H, W), m = min(n, smallest class), uniform without replacement within each class."""
        ...

    def batch(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(n, ch, H, W) and (n,) labels, uniform without replacement over the whole training set."""
        ...

    def of_class(self, label: int) -> Tensor:
        """(N_c, ch, H, W): all images of one class in dataset order."""
        ...


class Problem(Protocol):
    """All that a method is given. It holds no file, no clock, no configuration and no test image."""

    ipc: int
    num_classes: int
    image_shape: tuple[int, int, int]
    device: torch.device

    @property
    def real(self) -> RealImages:
        """The real training images."""
        ...

    @property
    def experts(self) -> Sequence[Expert]:
        """As many as the method asked for."""
        ...

    def normalize(self, images: Tensor) -> Tensor:
        """Pixels (..., ch, H, W) to the units networks see: (x − mean) / std of each channel."""
        ...

    def denormalize(self, images: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        ...

    def augment_batch(self, strategy: str, images: Tensor, generator: torch.Generator) -> Tensor:
        """Normalised images (N, ch, H, W) as a network in training sees them: parameters drawn for each image."""
        ...

    def augment(self, strategy: str, generator: torch.Generator) -> Transform:
        """One drawn transform, one draw a class, for *normalised* images (C, n, ch, H, W) of any n.

        `strategy` is `dsa:op_op_…` (one op of the list a draw) or `idc:op_op_…` (colour, one geometric op, cutout);
        applied to the real and to the synthetic batch, both see the same operations and parameters.
        """
        ...

    def new_network(self, index: int) -> Network:
        """A freshly initialised, untrained network; the same index gives the same weights."""
        ...

    def generator(self, role: str, index: int = 0) -> torch.Generator:
        """A fresh CPU generator for one use (see `Draw`): nothing random need be kept in a checkpoint."""
        ...

    def real_batch(self, n: int, generator: torch.Generator, augment: Transform) -> ByClass:
        """augment(normalise(real.sample(n, generator))), made when classes of it are looked at: that saves memory.

        Every look makes them anew: for one pass of `mean_embedding` or `class_gradients`.
        """
        ...

    def mean_embedding(self, network: Network, images: ByClass) -> Tensor:
        """Mean embedding of each class: normalised (C, n, ch, H, W) to (C, D). No graph is kept for constant images."""
        ...

    def class_losses(self, network: Network, images: Tensor) -> Tensor:
        """Mean cross-entropy of each class's images against their own class: normalised (C, n, ch, H, W) to (C,)."""
        ...

    def embed(self, network: Network, images: Tensor) -> Tensor:
        """Normalised images (N, ch, H, W) to their embeddings (N, D). No graph is kept for constant images."""
        ...

    def embedding_and_losses(self, network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`mean_embedding` and the mean cross-entropy against each class's label, (C,), from one forward pass."""
        ...

    def class_gradients(self, network: Network, images: ByClass, labels: Tensor) -> list[Tensor]:
        """Gradient of each class's mean cross-entropy: (C, n, ch, H, W) and labels (C,) to (C, *shape) a parameter.

        Normalised images; where they require a gradient, so can be differentiated what is answered. The network must
        not depend on the batch: see `settle_norms`.
        """
        ...

    def calibrate_batchnorm(self, network: Network, images: Tensor) -> None:
        """Let batch norm see normalised images (N, ch, H, W) once, then use its running statistics as constants."""
        ...

    def training_gradients(self, network: Network, images: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Mean cross-entropy of a mini-batch, normalised (N, ch, H, W), (N,): its gradients, and the logits (N, C)."""
        ...

    def by_class(self, network: Network, losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
        """losses(images, *constants) to (C,), a few classes at a time where memory demands it; differentiable once.

        images (C, n, ch, H, W) and constants (C, …): the c-th loss must depend on the c-th of each alone. `losses` may
        be compiled: numbers that differ from step to step come in `constants`; those it finds elsewhere are built in.
        """
        ...


# --- what a method answers --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SyntheticSet:
    """What condensing yields.

    images: float32 (N, ch, H, W) in pixels (0..1 nominal, not clamped), class by class; labels: int64 (N,).
    ipc: stored images a class. factor: each stored image holds factor² tiles that `decode` turns into images.
    training: what evaluation must use beside the images (a learned step size, say), JSON values.
    card: where the set comes from, JSON values without clock, host or commit.
    """

    images: Tensor
    labels: Tensor
    ipc: int
    factor: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)

    def decode(self) -> tuple[Tensor, Tensor]:
        """The images a network is trained on: (N·factor², ch, H, W) and their labels, tile by tile."""
        from methods.multi_formation import decode  # loads torch, which whoever holds images has loaded

        images = decode(self.images, self.factor)
        return images, self.labels.repeat(self.factor**2)


# --- what a method declares -------------------------------------------------------------------------------------------


def setting(default: Any, meaning: str, source: str) -> Any:
    """A dataclass field that knows its unit and where its default comes from."""
    return field(default=default, metadata={"meaning": meaning, "source": source})


def choice(default: str, options: Sequence[str], meaning: str, source: str) -> Any:
    """A `setting` that takes one of a few words."""
    return field(default=default, metadata={"meaning": meaning, "source": source, "options": tuple(options)})


@dataclass(frozen=True)
class Settings:
    """Base of every method's frozen `Config`: the one home of its defaults."""

    def __post_init__(self) -> None:
        for spec in fields(self):
            options, value = spec.metadata.get("options"), getattr(self, spec.name)
            if isinstance(value, float) and not math.isfinite(value):
                raise MethodError(f"{spec.name} must be a finite number, got {value}", where=spec.name)
            if options and value not in options:
                raise MethodError(f"{spec.name} must be one of {', '.join(options)}, got {value!r}", where=spec.name)

    def require(
        self, name: str, *, above: float | None = None, least: float | None = None, below: float | None = None
    ) -> None:
        """Raise MethodError unless the named number is greater than `above`, at least `least` and less than `below`."""
        value = getattr(self, name)
        if above is not None and not value > above:
            raise MethodError(f"{name} must be greater than {above:g}, got {value!r}", where=name)
        if least is not None and not value >= least:
            raise MethodError(f"{name} must be at least {least:g}, got {value!r}", where=name)
        if below is not None and not value < below:
            raise MethodError(f"{name} must be less than {below:g}, got {value!r}", where=name)

    def scaled(self, fraction: float) -> Self:
        """The same settings with the paper's number of iterations cut to a fraction (at least one is left)."""
        published = asdict(self).get("iterations")
        if published is None:
            return self
        changes: dict[str, Any] = {"iterations": max(1, round(fraction * published))}
        return replace(self, **changes)

    @classmethod
    def by_ipc(cls, ipc: int) -> Mapping[str, tuple[Any, str, str]]:
        """Settings that follow from ipc unless a settings file says otherwise: name to value, source, provenance."""
        return {}

    @classmethod
    def tiny(cls) -> Self:
        """Settings for tests: everything the method does, in under two seconds on a CPU."""
        return cls()


@dataclass(frozen=True)
class ExpertRecipe:
    """How experts are trained on the real images, and how many are wanted."""

    count: int
    epochs: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    lr_milestones: tuple[float, ...]  # fractions of the epochs after which lr is multiplied by gamma
    lr_gamma: float
    augment: str  # strategy, parameters drawn for each sample
    cutmix: float  # probability for each batch
    per_seed: bool = False  # experts of its own for each condensation seed, instead of one pool for all


@dataclass(frozen=True)
class Card:
    """Who a method is. `version` is raised whenever a change alters its results."""

    name: str
    title: str
    family: str  # coreset, gradient matching, trajectory matching, distribution matching, whole
    paper: str  # arXiv id, or "" for a control
    venue: str = ""
    year: int = 0
    version: int = 1
    labels: str = "hard"
    native: str = "dsa"  # the protocol its own paper scores it with


class Described:
    """A row of the tables that says who it is and which settings it takes, whether it condenses or not."""

    card: ClassVar[Card]
    Config: ClassVar[type[Settings]]


class Condenser(Described, ABC):
    """One method at work on one problem. It owns no loop: the referee turns the crank, times it and checkpoints.

    A selection method has `total_steps` 0. Equal problems and settings give equal bytes, resumed or not.
    """

    total_steps: int

    @abstractmethod
    def __init__(self, problem: Problem, config: Any) -> None: ...

    @classmethod
    def experts(cls, config: Any) -> ExpertRecipe | None:
        """The experts it needs prepared, or None."""
        return None

    @classmethod
    def constants(cls, dataset: str) -> str:
        """The dataset whose mean and std it condenses with on `dataset`: its own, unless its code says otherwise."""
        return dataset

    @classmethod
    def unsupported(cls, config: Any, *, depends_on_batch: bool) -> str | None:
        """A sentence for the person when this architecture cannot be condensed with, or None."""
        return None

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Do the smallest resumable unit and return its named losses."""

    @abstractmethod
    def synthetic(self) -> SyntheticSet:
        """The set as it stands."""

    @abstractmethod
    def state_dict(self) -> Tree:
        """All that a bit-exact resume needs: tensors and JSON values, no tensor aliasing another."""

    @abstractmethod
    def load_state_dict(self, state: Tree) -> None:
        """Go on from `state_dict`'s answer."""
