"""The error that this package raises for people to read."""

from __future__ import annotations


class ResultsError(Exception):
    """A result cannot be read, written or compared.

    what: a sentence. where: the file or option, "" if there is none. next: what to do about it.
    """

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next


class UnwritableError(ResultsError):
    """Nothing can be written to the store: its disk is full, over a quota, read-only or broken."""
