"""The one error of this room: what is wrong, where it was said, what to do."""

from __future__ import annotations


class MethodError(Exception):
    """A method cannot do what was asked. `what` is a sentence, `where` the place it was said, `next` the cure."""

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next
