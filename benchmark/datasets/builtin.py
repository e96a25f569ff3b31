"""The datasets known by name, each with its card: shape, counts, classes, constants and whose they are, fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

from benchmark.datasets.base import Constants
from benchmark.datasets.imagenet_classes import SUBSETS, TINY
from benchmark.utils.errors import BenchmarkError, unknown


@dataclass(frozen=True)
class Counts:
    """Images of each class: as many as `most`, or anything from `least` to `most` where that is not known."""

    least: tuple[int, ...]
    most: tuple[int, ...]

    @property
    def total(self) -> int:
        """Images of all classes; the most there can be where the number is not known."""
        return sum(self.most)

    @property
    def exact(self) -> bool:
        return self.least == self.most

    def __str__(self) -> str:
        return f"{'' if self.exact else 'up to '}{self.total:,}"


def exactly(*counts: int) -> Counts:
    return Counts(counts, counts)


def each(count: int, classes: int) -> Counts:
    return exactly(*repeat(count, classes))


@dataclass(frozen=True)
class Known:
    """A card: what is known of a dataset before it is read.

    title: as papers print it. statistics: which family of methods has these constants in its public code (DC's: DC,
    DSA, DM, IDM, DataDAM; IDC's: IDC, DREAM, MTT, CAFE, DANCE). image_shape: (ch, H, W). classes: in the order of the
    labels. reader: a module with `find`, `fetch` and `examine` (see `named.Reader`). fingerprint: of the images that
    this project has seen (`base.fingerprint`), None where it has not. split: of which release, where there are several.
    download: what the published files take, in bytes; 0 where nothing can be downloaded.
    """

    title: str
    constants: Constants
    statistics: str
    image_shape: tuple[int, int, int]
    flip: bool
    train: Counts
    test: Counts
    classes: tuple[str, ...]
    reader: str
    source: str
    fingerprint: str | None = None
    split: str = ""
    download: int = 0
    embedded: bool = False  # comes with a library: there are no files to fetch, and nothing to cache
    lossy: bool = False  # JPEG: decoders may differ in last bits, so another fingerprint is told, not refused

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def decoded_bytes(self) -> int:
        """What both splits take as uint8, in memory and in the cache."""
        channels, height, width = self.image_shape
        return (self.train.total + self.test.total) * channels * height * width


# Constants from METHODS.md, section 2: VICO-UoE/DatasetCondensation@53f63a6, utils.py, and IDC@ceac95a, data.py.
_BOTH = "DC's and IDC's"
_GREY, _COLOUR = (1, 28, 28), (3, 32, 32)
_CIFAR10 = Constants((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
_IMAGENET = Constants((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_DIGITS = tuple("0123456789")
_VISION = "benchmark.datasets.readers.torchvision_files"

_FASHION = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
_TEN = "airplane automobile bird cat deer dog frog horse ship truck"
_HUNDRED = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""


def _subset(name: str) -> Known:
    """An ImageNet subset at 128 pixels. ILSVRC-2012 has 732 to 1,300 training images a class, and 50 for validation."""
    return Known(
        title=f"Image{name.removeprefix('image').capitalize()}",
        constants=_IMAGENET,
        statistics="ImageNet's",
        image_shape=(3, 128, 128),
        flip=True,
        train=Counts((732,) * 10, (1300,) * 10),
        test=each(50, 10),
        classes=SUBSETS[name],
        reader="benchmark.datasets.readers.imagenet",
        source="ILSVRC-2012, original training and validation split, short side to 128 pixels, centre crop",
        split="ilsvrc",
        lossy=True,
    )


# A plain dict: tests put small cards of their own into it.
KNOWN: dict[str, Known] = {
    "digits": Known(
        title="Digits",
        constants=Constants((0.3055,), (0.3762,)),
        statistics="ours",
        image_shape=(1, 8, 8),
        flip=False,
        train=exactly(142, 146, 142, 146, 145, 146, 145, 143, 139, 144),
        test=exactly(36, 36, 35, 37, 36, 36, 36, 36, 35, 36),
        classes=_DIGITS,
        reader="benchmark.datasets.readers.digits",
        source="scikit-learn load_digits, our split",
        fingerprint="bd386b0c4ee72d835119a584cbce171dca633f32246ac604927f537af9ac369f",
        embedded=True,
    ),
    "mnist": Known(
        title="MNIST",
        constants=Constants((0.1307,), (0.3081,)),
        statistics=_BOTH,
        image_shape=_GREY,
        flip=False,
        train=exactly(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        test=exactly(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
        classes=_DIGITS,
        reader=_VISION,
        source="LeCun and others, through torchvision",
        fingerprint="76fc5acf77a93e61f1be37fdc7084a01ab543910c88da83ebfb641f412bd1444",
        download=11_594_722,
    ),
    "fashionmnist": Known(
        title="FashionMNIST",
        constants=Constants((0.2861,), (0.3530,)),
        statistics=_BOTH,
        image_shape=_GREY,
        flip=True,
        train=each(6000, 10),
        test=each(1000, 10),
        classes=tuple(_FASHION.split(", ")),
        reader=_VISION,
        source="Zalando Research, through torchvision",
        fingerprint="632842538616f769ddb7065838776402b64bf97bc8dea5b7fd99b53ad96e8f8c",
        download=30_878_645,
    ),
    "svhn": Known(
        title="SVHN",
        constants=Constants((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
        statistics=_BOTH,
        image_shape=_COLOUR,
        flip=False,
        train=exactly(4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
        test=exactly(1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
        classes=_DIGITS,
        reader=_VISION,
        source="cropped digits, train without extra, through torchvision",
        download=246_316_178,
    ),
    "cifar10": Known(
        title="CIFAR-10",
        constants=_CIFAR10,
        statistics=_BOTH,
        image_shape=_COLOUR,
        flip=True,
        train=each(5000, 10),
        test=each(1000, 10),
        classes=tuple(_TEN.split()),
        reader=_VISION,
        source="Krizhevsky, through torchvision",
        download=170_498_071,
    ),
    "cifar100": Known(
        title="CIFAR-100",
        constants=Constants((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
        statistics="DC's; IDC's are CIFAR-10's",
        image_shape=_COLOUR,
        flip=True,
        train=each(500, 100),
        test=each(100, 100),
        classes=tuple(_HUNDRED.split()),
        reader=_VISION,
        source="Krizhevsky, fine labels, through torchvision",
        download=169_001_437,
    ),
    "tinyimagenet": Known(
        title="TinyImageNet",
        constants=_IMAGENET,
        statistics="ImageNet's",
        image_shape=(3, 64, 64),
        flip=True,
        train=each(500, 200),
        test=each(50, 200),
        classes=TINY,
        # Of a public copy of the unpacked files; decoded alike by libjpeg-turbo 2.1, 3.0 and 3.2.
        fingerprint="6deaeec2945e351a296a5915599ae486a83537331f958d06a2d19bf01dbf52b0",
        lossy=True,
        reader="benchmark.datasets.readers.tiny_imagenet",
        source="Stanford CS231N's tiny-imagenet-200; its validation split is scored, as its test labels are hidden",
        download=248_100_043,
    ),
    **{name: _subset(name) for name in SUBSETS},
}


def name_of(key: str) -> str:
    """How a known dataset is called in tables: with its split where there are several."""
    split = KNOWN[key].split
    return f"{key}@{split}" if split else key


def key_of(entry: str) -> str | None:
    """The key in KNOWN that an entry of `datasets` names, as `cifar10`, `imagenette` or `imagenette@ilsvrc`, or None.

    Raises BenchmarkError for a known name with a split that is not known.
    """
    name, at, split = entry.partition("@")
    if name not in KNOWN:
        return None
    if at and split != KNOWN[name].split:
        has = (
            f"only {name_of(name)}, the papers' split, is known" if KNOWN[name].split else f"{name} has one split only"
        )
        raise BenchmarkError(
            f"there is no split '{split}' of {name}: {has}",
            where=f"datasets, {entry}",
            next=f"use {name_of(name)}, or give the path of a folder with the other split (dataset.yaml: size: 128)",
        )
    return name


def constants_of(name: str) -> Constants:
    """The normalisation constants of a known dataset. Raises BenchmarkError for an unknown name."""
    if name not in KNOWN:
        raise unknown("dataset", name, KNOWN)
    return KNOWN[name].constants
