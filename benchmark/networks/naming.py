"""Names of architectures: a head (resnet18), then options, each after a dash, in any order; one canonical spelling."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.utils.errors import BenchmarkError, unknown

if TYPE_CHECKING:
    from benchmark.networks.base import BlockNetwork, ImageShape


def word_option(*options: str, always_spelled: bool = False) -> Any:
    """An option that is one of a few words, the first by default. always_spelled: names include the default too."""
    return field(default=options[0], metadata={"words": options, "always_spelled": always_spelled})


def number_option(letter: str, default: int | None, *, always_spelled: bool = False) -> Any:
    """An option that is a letter and a whole number from 1 on; without a default the image size decides."""
    return field(default=default, metadata={"letter": letter, "always_spelled": always_spelled})


@dataclass(frozen=True)
class ArchitectureSpec(ABC):
    """A parsed name. A family's fields other than `head` are its options, in the order of the canonical spelling.

    Another package adds a family by an entry point `HEAD = "MODULE:CLASS"` in the group
    `condensation_benchmark.architectures`; HEAD has no dash. docs/extend/architecture.md
    has a complete one.

    What a result depends on besides the options must be in the name. `BlockNetwork`, `norm_layer` and `sequence` are of
    `benchmark.networks.base`. Initial weights are drawn there, for convolutions, linear layers and norms; a layer with
    other weights draws them itself in a method `initialize(generator)`.
    """

    head: str

    SHOWN: ClassVar[str] = ""  # the heads as the grammar shows them, if there are several

    @abstractmethod
    def build(self, image_shape: ImageShape, num_classes: int) -> BlockNetwork:
        """The network for images (ch, H, W). Raises BenchmarkError for images that it does not fit."""

    @property
    def name(self) -> str:
        """The canonical spelling: defaults omitted (unless always spelled), options in the order of the fields."""
        values = [(option, getattr(self, option.name)) for option in _options(type(self))]
        spelled = (_spell(o, v) for o, v in values if v != o.default or o.metadata["always_spelled"])
        return "-".join([self.head, *spelled])


Family = type[ArchitectureSpec]


def parse(name: str, family: Family) -> ArchitectureSpec:
    """The architecture of a name whose head is of this family. Raises BenchmarkError if there is none."""
    head, *texts = name.split("-")
    values: dict[str, str | int] = {}
    for index, text in enumerate(texts):
        option, value = _parse_option(text, family)
        if option is None or value is None:
            near = [[], *([_spell(o, v)] for o in _options(family) for v in _example_values(o))]
            candidates = ["-".join([head, *texts[:index], *n, *texts[index + 1 :]]) for n in near]
            known = [text for text in candidates if exists(text, family)]
            raise unknown_architecture(name, known, [grammar(head, family)])
        if option.name in values:
            where, next = name, explain([grammar(head, family)])
            raise BenchmarkError(f"'{name}' gives its {option.name} twice", where=where, next=next)
        values[option.name] = value
    return family(head, **values)


def exists(name: str, family: Family) -> bool:
    """Whether the options of a name whose head is of this family are its options, each given once."""
    _, *texts = name.split("-")
    names = [option.name for text in texts if (option := _parse_option(text, family)[0])]
    return len(names) == len(texts) == len(set(names))


def grammar(head: str, family: Family) -> str:
    """The names of a family, such as `vgg11[in|bn|none][w64]`."""
    options = [
        "|".join(o.metadata["words"]) if "words" in o.metadata else f"{o.metadata['letter']}{o.default or 'N'}"
        for o in _options(family)
    ]
    return (family.SHOWN or head) + "".join(f"[{text}]" for text in options)


def explain(grammars: Iterable[str]) -> str:
    """The names that exist, on one line."""
    shown = ", ".join(dict.fromkeys(grammars))
    return f"an architecture is {shown}; options in any order, each after a dash, the first of each its default"


def unknown_architecture(name: str, known: Iterable[str], grammars: Iterable[str]) -> BenchmarkError:
    """The error for a name; the nearest of the known ones is suggested, and the grammar says which others there are."""
    error = unknown("architecture", name, known, where=name)
    error.next = explain(grammars)  # says more than a list of a few of the many names
    return error


# --- one option -------------------------------------------------------------------------------------------------------


def _options(family: Family) -> tuple[Field[Any], ...]:
    return tuple(f for f in fields(family) if f.metadata)


def _parse_option(text: str, family: Family) -> tuple[Field[Any] | None, str | int | None]:
    """The option that a text sets and its value; None for both if it sets none."""
    for option in _options(family):
        if "words" in option.metadata:
            if text in option.metadata["words"]:
                return option, text
        elif match := re.fullmatch(option.metadata["letter"] + "([1-9][0-9]{0,4})", text):
            return option, int(match[1])
    return None, None


def _spell(option: Field[Any], value: str | int) -> str:
    return str(value) if "words" in option.metadata else f"{option.metadata['letter']}{value}"


def _example_values(option: Field[Any]) -> Sequence[str | int]:
    values: Sequence[str | int] = option.metadata.get("words", (12, 32, 64, 256))
    return values
