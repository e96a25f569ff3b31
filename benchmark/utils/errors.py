"""The error that commands show to a person: what is wrong, where it comes from, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchmarkError(Exception):
    """A request that cannot be carried out.

    what: one sentence. where: the option, file or folder at fault. next: what to do about it. transient: whether the
    cause lies outside the request (a full disk, say), so that the same request can succeed once it is gone.
    """

    def __init__(self, what: str, *, where: str = "", next: str = "", transient: bool = False) -> None:
        super().__init__(what)
        self.what, self.where, self.next, self.transient = what, where, next, transient


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> BenchmarkError:
    """The error for a name that does not exist: it suggests the nearest known name and lists all of them."""
    names = sorted(known)
    return BenchmarkError(
        f"no {kind} '{name}'.{did_you_mean(name, names)}", where=where, next=f"known: {', '.join(names)}"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, with a space before it; "" if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""
