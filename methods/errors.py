"""The error of this package: what is wrong, where, and what to do; and the error for a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import TypeVar

Error = TypeVar("Error", bound=Exception)


class MethodError(Exception):
    """A method cannot carry out a request.

    what: a sentence about the problem. where: the option, file or name at fault. next: what the user can do.
    """

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next


def unknown(kind: str, name: str, known: Iterable[str], make: Callable[..., Error], where: str = "") -> Error:
    """The error, of the class `make`, for a name that does not exist: it suggests the nearest and lists all."""
    names = sorted(known)
    what = f"no {kind} '{name}'.{did_you_mean(name, names)}"
    return make(what, where=where, next=f"known: {', '.join(names)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, with a space before it; "" if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
