"""Rows of the tables as a request names them: methods, with a factor of their own or not, and controls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.utils.errors import BenchmarkError
from methods import registry
from methods.whole import WholeSet

WHOLE = WholeSet.card


@dataclass(frozen=True)
class Row:
    """A row of the tables: a method, with a factor of its own or not; a control runs beside whatever was asked."""

    method: str
    factor: int | None = None
    control: bool = False
    unasked: bool = False  # a variant that a preset adds: left out, with a note, where it cannot be had

    @property
    def name(self) -> str:
        return self.method if self.factor is None else f"{self.method}@f{self.factor}"

    def overrides(self, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Settings from the command line; a control keeps to its own, whatever is asked of the method."""
        asked = {} if self.control else dict(given.get(self.method) or {})
        return asked | ({} if self.factor is None else {"factor": self.factor})


def parse_row(text: str, *, control: bool = False) -> Row:
    """`NAME` or `NAME@fN`. Raises MethodError for an unknown name, BenchmarkError for an unknown suffix."""
    name, at, suffix = text.partition("@")
    if name == WHOLE.name and not at:
        return Row(name, control=True)
    registry.get(name)
    if not at:
        return Row(name, control=control)
    if not re.fullmatch(r"f[1-9]\d*", suffix):
        raise BenchmarkError(f"'{text}' is no method", where="methods", next=f"{name}, or {name}@f2 for factor 2")
    return Row(name, int(suffix[1:]), control)
