"""Names of architectures: a head (resnet18), then options, each after a dash, in any order; one canonical spelling."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

from benchmark.networks.base import ImageShape, Network
from benchmark.utils.errors import BenchmarkError, unknown

_RULE = "; options in any order, each after a dash, the first of each its default"


def words(*options: str, kept: bool = False) -> Any:
    """An option that is one of a few words, the first by default. kept: the default too stands in the name."""
    return field(default=options[0], metadata={"words": options, "kept": kept})


def number(letter: str, default: int | None, *, kept: bool = False) -> Any:
    """An option that is a letter and a whole number from 1 on; without a default the network's size decides."""
    return field(default=default, metadata={"letter": letter, "kept": kept})


@dataclass(frozen=True)
class Spec(ABC):
    """A parsed name. A family's fields beside `head` are its options, in the order of the canonical spelling."""

    head: str

    HEADS: ClassVar[str]  # a regular expression for the heads of the family
    SHOWN: ClassVar[str]  # the heads, for people
    EXAMPLES: ClassVar[tuple[str, ...]]  # heads to suggest

    @abstractmethod
    def build(self, image_shape: ImageShape, num_classes: int) -> Network:
        """The network for images (ch, H, W). Raises BenchmarkError for images that it does not fit."""

    @property
    def name(self) -> str:
        """The canonical spelling: defaults dropped (unless kept), options in the order of the fields."""
        said = [(option, getattr(self, option.name)) for option in _options(type(self))]
        return "-".join([self.head, *(_spelt(o, v) for o, v in said if v != o.default or o.metadata["kept"])])


def grammar(families: Iterable[type[Spec]]) -> str:
    """What names there are, on one line."""
    return f"an architecture is {', '.join(_forms(family) for family in families)}{_RULE}"


def parse(name: str, families: Sequence[type[Spec]]) -> Spec:
    """What a name stands for. Raises BenchmarkError, with the nearest name and the grammar, if for nothing."""
    head, *given = name.split("-")
    family = next((f for f in families if re.fullmatch(f.HEADS, head)), None)
    if family is None:
        heads = [example for f in families for example in f.EXAMPLES]
        raise _no_architecture(name, ["-".join([h, *rest]) for h in heads for rest in (given, [])], families, families)
    values: dict[str, str | int] = {}
    for place, text in enumerate(given):
        option = next((o for o in _options(family) if _value(o, text) is not None), None)
        if option is None:
            near = [[], *([_spelt(o, v)] for o in _options(family) for v in _some_values(o))]
            tries = ["-".join([head, *given[:place], *n, *given[place + 1 :]]) for n in near]
            raise _no_architecture(name, tries, [family], families)
        if option.name in values:
            raise BenchmarkError(f"'{name}' gives its {option.name} twice", where=name, next=grammar([family]))
        values[option.name] = _value(option, text)  # type: ignore[assignment]  # not None, as just seen
    return family(head, **values)


# --- one option -------------------------------------------------------------------------------------------------------


def _options(family: type[Spec]) -> tuple[Field[Any], ...]:
    return tuple(f for f in fields(family) if f.metadata)


def _value(option: Field[Any], text: str) -> str | int | None:
    """The value that a text gives an option; None if it gives it none."""
    if "words" in option.metadata:
        return text if text in option.metadata["words"] else None
    found = re.fullmatch(option.metadata["letter"] + "([1-9][0-9]{0,4})", text)
    return int(found[1]) if found else None


def _spelt(option: Field[Any], value: str | int) -> str:
    return str(value) if "words" in option.metadata else f"{option.metadata['letter']}{value}"


def _some_values(option: Field[Any]) -> Sequence[str | int]:
    some: Sequence[str | int] = option.metadata.get("words", (12, 32, 64, 256))
    return some


def _forms(family: type[Spec]) -> str:
    shown = [
        "|".join(o.metadata["words"]) if "words" in o.metadata else f"{o.metadata['letter']}{o.default or 'N'}"
        for o in _options(family)
    ]
    return family.SHOWN + "".join(f"[{text}]" for text in shown)


def _no_architecture(
    name: str, tries: Iterable[str], told: Sequence[type[Spec]], families: Sequence[type[Spec]]
) -> BenchmarkError:
    """The error of a name; of the names that were tried only those that exist are suggested."""
    error = unknown("architecture", name, [text for text in tries if _exists(text, families)], where=name)
    error.next = grammar(told)  # says more than a list of a few of the many names
    return error


def _exists(name: str, families: Sequence[type[Spec]]) -> bool:
    head, *given = name.split("-")
    family = next((f for f in families if re.fullmatch(f.HEADS, head)), None)
    if family is None:
        return False
    taken = [o.name for text in given for o in _options(family) if _value(o, text) is not None]
    return len(taken) == len(given) == len(set(taken))
