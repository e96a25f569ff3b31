"""The error that commands show to a person: what is wrong, where it comes from, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable

from methods import errors
from methods.errors import did_you_mean as did_you_mean


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
    return errors.unknown(kind, name, known, BenchmarkError, where)
