"""What went wrong, where it was said, what to do next: the one error the referee raises for people to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BenchmarkError(Exception):
    """A request that cannot be carried out. `what` is a sentence, `where` the place it was said, `next` the cure.

    `passing`: its cause lies in the surroundings (a full disk, say); once it is gone the same request goes on.
    """

    def __init__(self, what: str, *, where: str = "", next: str = "", passing: bool = False) -> None:
        super().__init__(what)
        self.what, self.where, self.next, self.passing = what, where, next, passing


def unknown(kind: str, name: str, known: Iterable[str], *, where: str = "") -> BenchmarkError:
    """The error for a name that does not exist: says so, suggests the nearest, lists the rest."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return BenchmarkError(f"no {kind} '{name}'.{hint}", where=where, next=f"known: {', '.join(names)}")
