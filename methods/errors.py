"""The error of this package: what is wrong, where, and what to do."""

from __future__ import annotations


class MethodError(Exception):
    """A method cannot carry out a request.

    what: a sentence about the problem. where: the option, file or name at fault. next: what the user can do.
    """

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next
