"""SlurmError: what is wrong, where it was given, and what to do about it."""

from __future__ import annotations


class SlurmError(Exception):
    """An invalid cluster file, or a SLURM command that failed. `where` and `next` may be empty."""

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.next = what, where, next
