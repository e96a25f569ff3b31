"""The interface between the benchmark and a method: what a method receives, what it returns, what it declares.

Shapes: C classes, ipc synthetic images a class, m real images a class, images (ch, H, W). Images are float32 in
pixel units (0..1 nominal) unless a name or docstring says `normalized`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, cast

from methods.errors import MethodError as MethodError

if TYPE_CHECKING:  # for annotations only: settings can be looked up without loading torch
    import torch
    from torch import Tensor


class Draw(StrEnum):
    """The purposes for which the methods of this package draw random numbers: the roles of `Problem.generator`.

    Seeds are hashed from these strings, so they never change. A method of another package names roles of its own.
    """

    INITIAL_IMAGES = "initial images"
    REAL_BATCH = "real batch"  #: index: step on the images; the same for every method at one condensation seed
    AUGMENTATION = "augmentation"  #: index: step on the images
    CALIBRATION_AUGMENTATION = "augmentation of calibration"  #: DANCE; index: iteration
    ENCODER = "encoder"  #: DANCE, TGDD, DSDM: which expert, and its weights at which stage; index: iteration
    SUBSET_ALIGNMENT = "subset for alignment"  #: DANCE, if a class has more images than batch_syn_max; index: iteration
    SUBSET_CALIBRATION = "subset for calibration"  #: the same
    HISTORY = "history"  #: DSDM: subset and augmentation of the images for the moving average; index: iteration
    QUEUE = "queue of networks"  #: IDM; index: iteration
    NORM_IMAGES = "images for batch norm"  #: DC and DSA; index: outer step
    INNER_LOOP = "inner loop"  #: DC, DSA and CAFE; index: epoch
    NETWORK_TRAINING = "training of the network"  #: IDC and DREAM; index: step
    CLUSTERING = "clustering"  #: DREAM; index: step, and the initial images
    TRAJECTORY = "trajectory"  #: MTT: start epoch, order of the images and augmentation; index: iteration
    EXPERT_ORDER = "order of experts"  #: MTT; index: round of all experts
    ACCURACY = "images for accuracy"  #: CAFE; index: measurement


Tree = dict[str, Any]  # what a checkpoint can hold: tensors, JSON values, and dicts of them
ClassLosses: TypeAlias = "Callable[..., Tensor]"  # images (C, n, ch, H, W) and constants (C, …) to (C,)


# --- what a method receives -------------------------------------------------------------------------------------------


class Transform(Protocol):
    """A drawn augmentation of *normalized* images (C, n, ch, H, W), any n. Each class has parameters of its own."""

    def __call__(self, images: Tensor, /) -> Tensor:
        """Augment the images."""
        ...

    def of(self, classes: slice, /) -> Transform:
        """The same transform for a slice of the classes."""
        ...


class ImagesByClass(Protocol):
    """Real images of each class, which are loaded when a slice of the classes is read."""

    @property
    def counts(self) -> Sequence[int]:
        """Number of images of each class."""
        ...

    @property
    def image_shape(self) -> Sequence[int]:
        """(ch, H, W)."""
        ...

    def __len__(self) -> int:
        """C, the number of classes."""
        ...

    def __getitem__(self, classes: slice, /) -> Tensor:
        """(c, n, ch, H, W) of c classes with n images each (see `methods.class_groups`); else ValueError."""
        ...


class Network(Protocol):
    """A network as methods see it. Its parameters do not require gradients unless the method says so."""

    depends_on_batch: bool  #: has batch norm: its batches are never chunked or split by class

    def __call__(self, images: Tensor, /) -> Tensor:
        """Normalized images (N, ch, H, W) to logits (N, C)."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Normalized images (N, ch, H, W) to the flattened features before the classifier (N, D)."""
        ...

    def classify(self, features: Tensor) -> Tensor:
        """`embed`'s features (N, D) to logits (N, C): network(images) is classify(embed(images))."""
        ...

    def block_outputs(self, images: Tensor, *, pre_pool: bool = False, include_last: bool = False) -> Iterator[Tensor]:
        """Normalized images (N, ch, H, W) to the activations after each block, (N, …) each; the last is embed's.

        pre_pool: of all blocks but the last the activations before their pooling, (N, channels, h, w) in a ConvNet.
        include_last: if a pooling ends the last block, the activations before it come, too, ahead of embed's.
        They come one after the other, so that the caller can reduce each before the next one takes memory.
        """
        ...

    def parameters(self) -> Iterator[Tensor]:
        """The weights in a fixed order; a method that trains the network changes them in place."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """Weights and running statistics by name."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> Any:
        """Load the `state_dict` of a network of the same architecture."""
        ...

    def train(self, mode: bool = True) -> Any:
        """Let batch norm use each batch's statistics and update the running ones; with False, use the running ones."""
        ...


class Expert(Protocol):
    """A network trained on the real training images, with the weights it started from and those of epochs between."""

    def interpolate(self, weight: float) -> Network:
        """θ = weight·θ_initial + (1 − weight)·θ_trained over all parameters: 0 is the expert, 1 its initialization.

        The network is shared, and the next call overwrites it.
        """
        ...

    def weights(self, epoch: int) -> list[Tensor]:
        """Fresh float32 copies of all parameters after an epoch, in the order of `Network.parameters`.

        Epoch 0 is the initialization, the last one the trained expert; of those between, only `ExpertRecipe.keep` are
        stored, and read from disk at each call. Raises MethodError for another epoch.
        """
        ...


class RealImages(Protocol):
    """The training images of a problem. No test image can be reached from here."""

    @property
    def counts(self) -> Sequence[int]:
        """Number of images of each class."""
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
    """Everything that a method can use. It holds no file, no clock, no configuration and no test image."""

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
        """The experts that `Condenser.experts` requests."""
        ...

    def normalize(self, images: Tensor) -> Tensor:
        """Pixels (..., ch, H, W) to the units networks train on: (x − mean) / std of each channel."""
        ...

    def denormalize(self, images: Tensor) -> Tensor:
        """The inverse of `normalize`."""
        ...

    def augment_batch(self, strategy: str, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment normalized images (N, ch, H, W) as for training a network: parameters are drawn for each image."""
        ...

    def augment(self, strategy: str, generator: torch.Generator) -> Transform:
        """Draw a transform of *normalized* images (C, n, ch, H, W), any n; operation and parameters differ by class.

        `strategy` is `dsa:op_op_…` (one op of the list a draw) or `idc:op_op_…` (color, one geometric op, cutout).
        Apply the same transform to the real and to the synthetic batch: both get the same operations and parameters.
        """
        ...

    def new_network(self, index: int) -> Network:
        """A freshly initialized, untrained network; the same index gives the same weights."""
        ...

    def generator(self, role: str, index: int = 0) -> torch.Generator:
        """A fresh CPU generator for one purpose (see `Draw`), so that no random state goes into a checkpoint."""
        ...

    def real_batch(self, n: int, generator: torch.Generator, augment: Transform) -> ImagesByClass:
        """min(n, N_c) images of each class c, normalized and augmented, computed only when a slice of classes is read.

        The draws are those of `real.sample`, but no class is cut to the smallest. Every read computes the images again,
        which saves memory, so use it for one pass of `mean_embedding` or `class_gradients`.
        """
        ...

    def mean_embedding(self, network: Network, images: Tensor | ImagesByClass) -> Tensor:
        """Mean embedding of each class: normalized (C, n, ch, H, W) to (C, D). No graph is kept for constant images."""
        ...

    def class_losses(self, network: Network, images: Tensor) -> Tensor:
        """Mean cross-entropy of each class's images against their own class: normalized (C, n, ch, H, W) to (C,)."""
        ...

    def embed(self, network: Network, images: Tensor) -> Tensor:
        """Normalized images (N, ch, H, W) to their embeddings (N, D). No graph is kept for constant images."""
        ...

    def block_features(
        self, network: Network, images: Tensor, reduce: Callable[[Tensor], Tensor], *, include_last: bool = False
    ) -> tuple[Tensor, ...]:
        """Normalized images (N, ch, H, W) to `reduce` of each block's activations but the last, then embeddings (N, D).

        reduce: float32 activations before pooling, (N, channels, h, w) in a ConvNet, to what is kept of them, (N, …).
        include_last: also of the last block's, if a pooling ends it. No graph is kept for constant images; these go
        through in chunks, each of which `reduce` may shorten, to a sum (1, …) for example. A network that depends on
        its batch sees all images at once.
        """
        ...

    def embedding_and_losses(self, network: Network, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`mean_embedding` and the mean cross-entropy against each class's label, (C,), from one forward pass."""
        ...

    def class_gradients(self, network: Network, images: Tensor | ImagesByClass, labels: Tensor) -> list[Tensor]:
        """Gradient of each class's mean cross-entropy: (C, n, ch, H, W), labels (C,) to `(C, *shape)` a parameter.

        Images are normalized. If they require gradients, the result can be differentiated. The network must not depend
        on the batch: see `calibrate_batchnorm`.
        """
        ...

    def calibrate_batchnorm(self, network: Network, images: Tensor) -> None:
        """Pass normalized images (N, ch, H, W) through batch norm once, then freeze its running statistics."""
        ...

    def cutmix(
        self, images: Tensor, labels: Tensor, probability: float, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, float]:
        """CutMix of a mini-batch (N, ch, H, W), labels (N,), with a probability: what `training_gradients` takes.

        Returns the images, their labels, the labels of the pasted boxes, and the share in [0, 1] that is not pasted.
        """
        ...

    def training_gradients(
        self,
        network: Network,
        images: Tensor,
        labels: Tensor,
        partner_labels: Tensor | None = None,
        label_weight: float = 1.0,
    ) -> tuple[list[Tensor], Tensor]:
        """Mean cross-entropy of a mini-batch, normalized (N, ch, H, W), (N,): its gradients, and the logits (N, C).

        With partner_labels (N,): label_weight · CE(labels) + (1 − label_weight) · CE(partner_labels).
        """
        ...

    def train_on(
        self, network: Network, weights: Sequence[Tensor], batches: Sequence[tuple[Tensor, Tensor]], lr: Tensor
    ) -> list[Tensor]:
        """The weights after a step of plain gradient descent on each batch, w ← w − lr·∇CE(f_w(x), y).

        weights: those to start from, in the order of `network.parameters()`, whose own values do not matter. batches:
        normalized images (n, ch, H, W) and labels (n,). lr: (). The result can be differentiated once in images and
        lr; memory grows with the square root of the number of batches.
        """
        ...

    def losses_by_class(self, network: Network, losses: ClassLosses, images: Tensor, *constants: Tensor) -> Tensor:
        """`losses(images, *constants)`, (C,), on a few classes at a time if memory requires it; differentiable once.

        images (C, n, ch, H, W) and constants (C, …): the c-th loss must depend on the c-th of each alone. `losses` may
        be compiled, so numbers that change from step to step must come in `constants`: others become constants of the
        compiled code.
        """
        ...


# --- what a method returns --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SyntheticSet:
    """A condensed set.

    images: float32 (N, ch, H, W) in pixels (0..1 nominal, not clamped), class by class; labels: int64 (N,).
    ipc: stored images a class; in a set made elsewhere, whose classes may differ in size, their rounded mean. factor:
    each stored image holds factor² tiles that `decode` turns into images.
    training: what training on the set takes besides the images, as JSON values. {"lr": 0.0123} is a learning rate that
    the method learned (see `Card.learns_lr`), a positive number. {"space": "zca"}, which the benchmark adds, says that
    the method saw whitened images (see `Condenser.whitens`); these images are pixels all the same.
    card: where the set comes from, as JSON values without clock, host or commit.
    soft: None, or a label of every decoded image in the order of `decode`: float32 logits (N·factor², C), whose softmax
    are probabilities of the classes. A set with them is trained on by soft cross-entropy.
    """

    images: Tensor
    labels: Tensor
    ipc: int
    factor: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    soft: Tensor | None = None

    def decode(self) -> tuple[Tensor, Tensor]:
        """The images a network is trained on, tile by tile: (N·factor², ch, H, W), and the class of each."""
        from methods.multi_formation import decode  # not at the top: it imports torch

        return decode(self.images, self.factor), self.labels.repeat(self.factor**2)


# --- what a method declares -------------------------------------------------------------------------------------------


def setting(default: Any, meaning: str, source: str) -> Any:
    """A dataclass field with its meaning (and unit) and the source of its default."""
    return field(default=default, metadata={"meaning": meaning, "source": source})


def choice(default: str, options: Sequence[str], meaning: str, source: str) -> Any:
    """A `setting` whose value is one of `options`."""
    return field(default=default, metadata={"meaning": meaning, "source": source, "options": tuple(options)})


LARGEST = 10**7  # of any setting: larger ones overflow float32 or the integers of a record, or never end


@dataclass(frozen=True)
class Settings:
    """Base of every method's frozen `Config`, the only place of its defaults.

    The class attributes below are what the benchmark needs to know of any method. A method that has the setting
    declares a field of that name; for the others the attribute is a constant that no option can change. They carry no
    annotation because dataclasses would make fields of them.
    """

    iterations = cast("int | None", None)  #: the full run; the options iterations_fraction and budget_seconds cut it
    factor = 1  #: multi-formation: a stored image holds factor × factor decoded ones
    init = "random"  #: where images start; anything but "noise" takes factor² · ipc real images of each class
    augment = cast("str | None", None)  #: the strategy for both batches in matching, if there is one
    batch_real = 0  #: real images a class and step, for estimates of memory and time

    def __post_init__(self) -> None:
        for spec in fields(self):
            options, value = spec.metadata.get("options"), getattr(self, spec.name)
            if isinstance(value, int | float) and not abs(value) <= LARGEST:  # nan is not, either
                raise MethodError(
                    f"{spec.name} must be a finite number of at most {LARGEST:,}, got {value}", where=spec.name
                )
            if options and value not in options:
                raise MethodError(f"{spec.name} must be one of {', '.join(options)}, got {value!r}", where=spec.name)

    def require(
        self,
        name: str,
        *,
        above: float | None = None,
        least: float | None = None,
        below: float | None = None,
        most: float | None = None,
    ) -> None:
        """Raise MethodError unless the named value is > `above`, ≥ `least`, < `below` and ≤ `most`."""
        value = getattr(self, name)
        if above is not None and not value > above:
            raise MethodError(f"{name} must be greater than {above:g}, got {value!r}", where=name)
        if least is not None and not value >= least:
            raise MethodError(f"{name} must be at least {least:g}, got {value!r}", where=name)
        if below is not None and not value < below:
            raise MethodError(f"{name} must be less than {below:g}, got {value!r}", where=name)
        if most is not None and not value <= most:
            raise MethodError(f"{name} must be at most {most:g}, got {value!r}", where=name)

    def scaled(self, fraction: float, floor: int = 1) -> Self:
        """The same settings with a fraction of the iterations; unchanged if the method has none.

        At least `floor` iterations are left, or all of them where there are fewer.
        """
        if self.iterations is None:
            return self
        changes: dict[str, Any] = {"iterations": max(min(floor, self.iterations), round(fraction * self.iterations))}
        return replace(self, **changes)

    def short_step(self) -> tuple[Self, float]:
        """Settings with a shorter step, and how many times as long a step of these takes at least; else (self, 1).

        For estimates and profiles, if the length of a step depends on the images.
        """
        return self, 1.0

    def period(self) -> int:
        """Steps after which their cost repeats: 10 if every tenth step does more than the others.

        Estimates and profiles measure whole periods.
        """
        return 1

    @classmethod
    def by_ipc(cls, ipc: int) -> Mapping[str, tuple[Any, str, str]]:
        """Settings that depend on ipc unless a settings file sets them: name to (value, source, provenance)."""
        return {}

    @classmethod
    def names(cls) -> list[str]:
        """The names of the settings, in the order of their declaration."""
        return [spec.name for spec in fields(cls)]

    @classmethod
    def tiny(cls) -> Self:
        """Settings for tests: every part of the method runs, in under two seconds on a CPU."""
        return cls()


@dataclass(frozen=True)
class ExpertRecipe:
    """How experts are trained on the real images, and how many a method needs."""

    count: int
    epochs: int
    batch: int
    lr: float
    momentum: float
    weight_decay: float
    lr_milestones: tuple[float, ...]  #: fractions of the epochs after which lr is multiplied by gamma
    lr_gamma: float
    augment: str  #: strategy, parameters drawn for each sample
    cutmix: float  #: probability for each batch
    per_seed: bool = False  #: train `count` experts for each condensation seed, instead of one pool for all seeds
    #: epochs after which the weights are stored, besides the initial (epoch 0) and the trained ones (the last epoch)
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        between = range(1, self.epochs)
        if list(self.keep) != sorted({*self.keep} & {*between}):
            kept = ", ".join(map(str, self.keep))
            raise MethodError(
                f"keep must list epochs between the first and the last of {self.epochs}, in order, got {kept}",
                where="ExpertRecipe.keep",
            )


@dataclass(frozen=True)
class Card:
    """A method's name, paper and protocol. `version` must be raised whenever a change alters its results."""

    name: str
    title: str
    family: str  #: coreset, gradient matching, trajectory matching, distribution matching, whole
    paper: str  #: arXiv id, the DOI of a paper that is not there, or "" for a baseline
    venue: str = ""
    year: int = 0
    version: int = 1
    labels: str = "hard"
    native: str = "dsa"  #: the protocol its own paper scores it with
    #: (pixels, network): that its own paper takes for images with sides of up to so many pixels; () for ConvNets of
    #: width 128 with instance norm, whose depth depends on the pixels
    networks: tuple[tuple[int, str], ...] = ()
    learns_lr: bool = False  #: its sets bring the learning rate of networks trained on them, which `native` takes

    def network(self, side: int) -> str:
        """The network of its own paper for images with this shorter side; "auto" for a ConvNet with instance norm."""
        fitting = (network for pixels, network in self.networks if side <= pixels)
        return next(fitting, self.networks[-1][1] if self.networks else "auto")


class Method:
    """A card and settings: what every row of the tables has, whether it condenses or not (the whole set)."""

    card: ClassVar[Card]
    Config: ClassVar[type[Settings]]


class Condenser(Method, ABC):
    """One run of a method on one problem. It has no loop: the benchmark calls `step`, measures time and checkpoints.

    A method that selects images has `total_steps` 0. Equal problems and settings give equal bytes, resumed or not.
    """

    total_steps: int

    @abstractmethod
    def __init__(self, problem: Problem, config: Any) -> None: ...

    @classmethod
    def experts(cls, config: Any) -> ExpertRecipe | None:
        """The experts that must be trained before, or None."""
        return None

    @classmethod
    def constants(cls, dataset: str) -> str:
        """The dataset whose mean and std normalize `dataset`: the same, unless the method's public code differs."""
        return dataset

    @classmethod
    def whitens(cls, config: Any) -> bool:
        """Whether networks see ZCA-whitened images in place of normalized ones, here and under the native protocol."""
        return False

    @classmethod
    def unsupported(cls, config: Any, *, depends_on_batch: bool) -> str | None:
        """Why the method cannot condense with such a network, as a sentence for the user, or None if it can."""
        return None

    @abstractmethod
    def step(self) -> dict[str, float]:
        """Do the smallest unit of work after which a run can resume, and return its losses by name."""

    @abstractmethod
    def synthetic(self) -> SyntheticSet:
        """The set in its present state."""

    @abstractmethod
    def state_dict(self) -> Tree:
        """Everything that a bit-exact resume needs: tensors and JSON values, no tensor aliasing another."""

    @abstractmethod
    def load_state_dict(self, state: Tree) -> None:
        """Resume from a `state_dict`."""
