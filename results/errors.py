"""What went wrong with what was measured, where, and what to do next: the one error this room raises for people."""

from __future__ import annotations


class ResultsError(Exception):
    """A result cannot be read, written or compared. `what` is a sentence, `where` the file, `next` the cure."""

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next
