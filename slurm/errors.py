"""The one error of this room: what is wrong, where it was said, what to do."""

from __future__ import annotations


class SlurmError(Exception):
    """A profile that makes no sense, or a cluster that refuses. `where` and `next` may be empty."""

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next
