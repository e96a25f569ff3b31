"""How options are declared and checked: their numbers, their words in `--help`, and the base of every command."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from benchmark.utils.errors import BenchmarkError, unknown


@dataclass(frozen=True)
class Range:
    """The numbers that make sense for an option, from `least` to `most`. Neither nan nor an infinite number is one.

    open_below, open_above: whether the end itself is left out.
    """

    least: float
    most: float
    open_below: bool = False
    open_above: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.least if self.open_below else value >= self.least
        below = value < self.most if self.open_above else value <= self.most
        return math.isfinite(value) and above and below

    def __str__(self) -> str:
        ends = [f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in (self.least, self.most)]
        if self.open_below or self.open_above:
            return f"in {'(' if self.open_below else '['}{ends[0]}, {ends[1]}{')' if self.open_above else ']'}"
        return f"from {ends[0]} to {ends[1]}"


SEEDS = Range(0, 2**32 - 1)  # those of NumPy; a seed times a number of experts stays within 64 bits
SECONDS = Range(0.0, 1e9, open_below=True)
FRACTION = Range(0, 1, open_below=True)
IPCS = Range(1, 1_000_000)
FACTORS = Range(1, 1024)  # every tile must hold a pixel, which is checked where the images' size is known


def option(default: Any, meaning: str, numbers: Range | None = None) -> Any:
    """A field that the command line sets. Its meaning is what `--help` prints beside its default.

    numbers: those that it can be, or each of its values in a list.
    """
    metadata = {"meaning": meaning, "numbers": numbers}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def from_preset(meaning: str, numbers: Range | None = None) -> Any:
    """A field whose value each preset gives (conf/preset/NAME.yaml), unless the command line sets it."""
    return field(metadata={"meaning": meaning, "numbers": numbers})


@dataclass(kw_only=True)
class CommandConfig:
    """What a command is asked to do. `about`: what the command does, as `--help` begins."""

    about: ClassVar[str]

    def check(self) -> None:
        """Raise BenchmarkError for the first value that makes no sense, here a number out of range or an empty name."""
        for spec in fields(self):
            numbers: Range | None = spec.metadata.get("numbers")
            for value in _values(self, spec.name):
                if value == "" or isinstance(value, list | dict):
                    wanted = "a name" if value == "" else "one value"
                    raise BenchmarkError(
                        f"{spec.name} must be {wanted}, got {value!r}",
                        where=f"{spec.name}={value!r}",
                        next="see --help",
                    )
                if numbers is not None and value not in numbers:
                    raise BenchmarkError(f"{spec.name} must be {numbers}, got {value}", where=f"{spec.name}={value}")


# --- checks -----------------------------------------------------------------------------------------------------------


def _values(config: CommandConfig, name: str) -> Iterator[Any]:
    """The value of an option, or those of a list; nothing for null. Settings of methods are checked by the methods."""
    value = getattr(config, name)
    if isinstance(value, list):
        yield from value
    elif value is not None and not isinstance(value, dict):
        yield value


def require_some(config: CommandConfig, name: str) -> None:
    if not getattr(config, name):
        raise BenchmarkError(f"{name} is empty", where=f"{name}=[]", next=f"name at least one: {name}=[…]")


def require_distinct(config: CommandConfig, name: str) -> None:
    values = getattr(config, name)
    if len(set(values)) != len(values):
        raise BenchmarkError(f"{name} names something twice", where=f"{name}={values}")


def require_known(name: str, values: Sequence[str], known: Collection[str]) -> None:
    """Each value is one of the known ones; a list's name is in the plural."""
    for value in values:
        if value not in known:
            where = f"{name}=[{value}]" if name.endswith("s") else f"{name}={value}"
            raise unknown(name.removesuffix("s"), value, known, where=where)
