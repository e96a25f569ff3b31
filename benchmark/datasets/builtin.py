"""The cards of the datasets with names: those of this project, and those that other packages add."""

from __future__ import annotations

from pathlib import Path

from benchmark.datasets import citations
from benchmark.datasets.base import ClassCounts, Constants, DatasetCard, balanced, exactly
from benchmark.datasets.imagenet_classes import SUBSETS, TINY_IMAGENET
from benchmark.utils.errors import BenchmarkError, unknown
from methods.plug_ins import PlugInGroup

# Constants from METHODS.md, section 2: VICO-UoE/DatasetCondensation@53f63a6, utils.py, and IDC@ceac95a, data.py.
_DC_AND_IDC = "DC's and IDC's"
_MNIST_SHAPE, _CIFAR_SHAPE = (1, 28, 28), (3, 32, 32)
_CIFAR10_CONSTANTS = Constants((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_IMAGENET_CONSTANTS = Constants((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_DIGITS = tuple("0123456789")
_TORCHVISION = "benchmark.datasets.readers.torchvision_files"

_FASHION_CLASSES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""


def _imagenet_subset(name: str) -> DatasetCard:
    """An ImageNet subset at 128 pixels. ILSVRC-2012 has 732 to 1,300 training and 50 validation images per class."""
    return DatasetCard(
        title=f"Image{name.removeprefix('image').capitalize()}",
        constants=_IMAGENET_CONSTANTS,
        constants_source="ImageNet's",
        image_shape=(3, 128, 128),
        flip=True,
        train=ClassCounts((732,) * 10, (1300,) * 10),
        test=balanced(50, 10),
        classes=SUBSETS[name],
        reader="benchmark.datasets.readers.imagenet",
        source="ILSVRC-2012, original training and validation split, short side to 128 pixels, centre crop",
        citation=citations.IMAGENET_SUBSET,
        split="ilsvrc",
        lossy=True,
    )


# A plain dict: tests put small cards of their own into it.
BUILTIN: dict[str, DatasetCard] = {
    "digits": DatasetCard(
        title="Digits",
        constants=Constants((0.3055,), (0.3762,)),
        constants_source="ours",
        image_shape=(1, 8, 8),
        flip=False,
        train=exactly(142, 146, 142, 146, 145, 146, 145, 143, 139, 144),
        test=exactly(36, 36, 35, 37, 36, 36, 36, 36, 35, 36),
        classes=_DIGITS,
        reader="benchmark.datasets.readers.digits",
        source="scikit-learn load_digits, our split",
        citation=citations.DIGITS,
        fingerprint="bd386b0c4ee72d835119a584cbce171dca633f32246ac604927f537af9ac369f",
        embedded=True,
    ),
    "mnist": DatasetCard(
        title="MNIST",
        constants=Constants((0.1307,), (0.3081,)),
        constants_source=_DC_AND_IDC,
        image_shape=_MNIST_SHAPE,
        flip=False,
        train=exactly(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test=exactly(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        classes=_DIGITS,
        reader=_TORCHVISION,
        source="LeCun and others, through torchvision",
        citation=citations.MNIST,
        fingerprint="76fc5acf77a93e61f1be37fdc7084a01ab543910c88da83ebfb641f412bd1444",
        download=11_594_722,
    ),
    "fashionmnist": DatasetCard(
        title="FashionMNIST",
        constants=Constants((0.2861,), (0.3530,)),
        constants_source=_DC_AND_IDC,
        image_shape=_MNIST_SHAPE,
        flip=True,
        train=balanced(6000, 10),
        test=balanced(1000, 10),
        classes=tuple(_FASHION_CLASSES.split(", ")),
        reader=_TORCHVISION,
        source="Zalando Research, through torchvision",
        citation=citations.FASHION_MNIST,
        fingerprint="632842538616f769ddb7065838776402b64bf97bc8dea5b7fd99b53ad96e8f8c",
        download=30_878_645,
    ),
    "svhn": DatasetCard(
        title="SVHN",
        constants=Constants((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
        constants_source=_DC_AND_IDC,
        image_shape=_CIFAR_SHAPE,
        flip=False,
        train=exactly(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        test=exactly(1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
        classes=_DIGITS,
        reader=_TORCHVISION,
        source="cropped digits, train without extra, through torchvision",
        citation=citations.SVHN,
        download=246_316_178,
    ),
    "cifar10": DatasetCard(
        title="CIFAR-10",
        constants=_CIFAR10_CONSTANTS,
        constants_source=_DC_AND_IDC,
        image_shape=_CIFAR_SHAPE,
        flip=True,
        train=balanced(5000, 10),
        test=balanced(1000, 10),
        classes=tuple(_CIFAR10_CLASSES.split()),
        reader=_TORCHVISION,
        source="Krizhevsky, through torchvision",
        citation=citations.CIFAR,
        download=170_498_071,
    ),
    "cifar100": DatasetCard(
        title="CIFAR-100",
        constants=Constants((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
        constants_source="DC's; IDC's are CIFAR-10's",
        image_shape=_CIFAR_SHAPE,
        flip=True,
        train=balanced(500, 100),
        test=balanced(100, 100),
        classes=tuple(_CIFAR100_CLASSES.split()),
        reader=_TORCHVISION,
        source="Krizhevsky, fine labels, through torchvision",
        citation=citations.CIFAR,
        download=169_001_437,
    ),
    "tinyimagenet": DatasetCard(
        title="TinyImageNet",
        constants=_IMAGENET_CONSTANTS,
        constants_source="ImageNet's",
        image_shape=(3, 64, 64),
        flip=True,
        train=balanced(500, 200),
        test=balanced(50, 200),
        classes=TINY_IMAGENET,
        # Of a public copy of the unpacked files; decoded alike by libjpeg-turbo 2.1, 3.0 and 3.2.
        fingerprint="6deaeec2945e351a296a5915599ae486a83537331f958d06a2d19bf01dbf52b0",
        lossy=True,
        reader="benchmark.datasets.readers.tiny_imagenet",
        source="Stanford CS231N's tiny-imagenet-200; its validation split is scored, as its test labels are hidden",
        citation=citations.TINY_IMAGENET,
        download=248_100_043,
    ),
    **{name: _imagenet_subset(name) for name in SUBSETS},
}


PLUG_INS = PlugInGroup("datasets", BUILTIN, BenchmarkError)


def names() -> list[str]:
    """The keys of all datasets that have a name, those of this project first. Raises BenchmarkError as `PLUG_INS`."""
    return [*BUILTIN, *PLUG_INS.points()]


def card_of(key: str) -> DatasetCard:
    """The card of a dataset. Raises BenchmarkError for an unknown name, and for a plug-in that gives no card."""
    if key in BUILTIN:
        return BUILTIN[key]
    if key not in PLUG_INS.points():
        raise unknown("dataset", key, names())
    card = PLUG_INS.load(key)
    if not isinstance(card, DatasetCard):
        raise PLUG_INS.wrong(key, "is not a benchmark.datasets.base.DatasetCard")
    return card


def name_of(key: str) -> str:
    """The name of a dataset in tables: with its split where there are several."""
    split = card_of(key).split
    return f"{key}@{split}" if split else key


def key_of(entry: str) -> str | None:
    """The key of an entry such as `cifar10`, `CIFAR10`, `imagenette` or `imagenette@ilsvrc`, or None.

    Raises BenchmarkError for a known name with an unknown split.
    """
    name, at, split = entry.partition("@")
    if name not in names():
        if name.lower() not in BUILTIN or Path(entry).exists():
            return None
        name = name.lower()
    if at and split != (own := card_of(name).split):
        known = f"only {name_of(name)}, the papers' split, is known" if own else f"{name} has one split only"
        raise BenchmarkError(
            f"there is no split '{split}' of {name}: {known}",
            where=f"datasets, {entry}",
            next=f"use {name_of(name)}, or give the path of a folder with the other split (dataset.yaml: size: 128)",
        )
    return name


def constants_of(name: str) -> Constants:
    """The normalization constants of a dataset. Raises BenchmarkError for an unknown name."""
    return card_of(name).constants
