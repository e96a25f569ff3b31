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
    """A parsed name. A family's fields other than `head` are its options, in the order of the canonical spelling."""

    head: str

    HEADS: ClassVar[str]  # a regular expression for the heads of the family
    SHOWN: ClassVar[str]  # the heads as the grammar shows them
    EXAMPLES: ClassVar[tuple[str, ...]]  # heads to suggest

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


def grammar(families: Iterable[Family]) -> str:
    """The names that exist, on one line."""
    return (
        f"an architecture is {', '.join(_grammar_of(family) for family in families)}"
        "; options in any order, each after a dash, the first of each its default"
    )


def parse(name: str, families: Sequence[Family]) -> ArchitectureSpec:
    """The architecture of a name. Raises BenchmarkError, with the nearest name and the grammar, if there is none."""
    head, *texts = name.split("-")
    family = _family_of(head, families)
    if family is None:
        heads = [example for f in families for example in f.EXAMPLES]
        raise _unknown(name, ["-".join([h, *rest]) for h in heads for rest in (texts, [])], families, families)
    values: dict[str, str | int] = {}
    for index, text in enumerate(texts):
        option, value = _parse_option(text, family)
        if option is None or value is None:
            near = [[], *([_spell(o, v)] for o in _options(family) for v in _example_values(o))]
            candidates = ["-".join([head, *texts[:index], *n, *texts[index + 1 :]]) for n in near]
            raise _unknown(name, candidates, [family], families)
        if option.name in values:
            raise BenchmarkError(f"'{name}' gives its {option.name} twice", where=name, next=grammar([family]))
        values[option.name] = value
    return family(head, **values)


def _family_of(head: str, families: Sequence[Family]) -> Family | None:
    return next((family for family in families if re.fullmatch(family.HEADS, head)), None)


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


def _grammar_of(family: Family) -> str:
    options = [
        "|".join(o.metadata["words"]) if "words" in o.metadata else f"{o.metadata['letter']}{o.default or 'N'}"
        for o in _options(family)
    ]
    return family.SHOWN + "".join(f"[{text}]" for text in options)


def _unknown(
    name: str,
    candidates: Iterable[str],
    explained: Sequence[Family],
    families: Sequence[Family],
) -> BenchmarkError:
    """The error for a name; only those candidates that exist are suggested."""
    error = unknown("architecture", name, [text for text in candidates if _exists(text, families)], where=name)
    error.next = grammar(explained)  # says more than a list of a few of the many names
    return error


def _exists(name: str, families: Sequence[Family]) -> bool:
    head, *texts = name.split("-")
    family = _family_of(head, families)
    if family is None:
        return False
    names = [option.name for text in texts if (option := _parse_option(text, family)[0])]
    return len(names) == len(texts) == len(set(names))
