"""Which methods there are, and which settings they were published with.

    python -m methods                            every method: paper, family, what it needs, where it has settings
    python -m methods dance                      who it is, and each setting: default, unit, source
    python -m methods dance cifar10 10           one cell of the tables: each value, and who says so
    python -m methods diff PATH …                a stored run against what was published: a store, or one condense task

    A cell takes more words: preset=quick, iterations_fraction=0.01, and SETTING=VALUE (or method.dance.SETTING=VALUE, as for a
    run) to see what an override does.

Exit status: 0 done, and diff found no difference; 1 diff found some; 2 the request was wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from methods.ask import answer
from methods.errors import MethodError
from methods.layout import rendered

WRONG_REQUEST, STOPPED = 2, 130


def main(words: Sequence[str]) -> int:
    """Answer one command line; returns the exit status."""
    if "--help" in words or "-h" in words:
        print(__doc__.strip())  # noqa: T201 -- a command speaks
        return 0
    try:
        found = answer(words)
    except MethodError as error:
        print(message(error), file=sys.stderr)  # noqa: T201
        return WRONG_REQUEST
    print(rendered(found.parts), end="", flush=True)  # noqa: T201
    for problem in found.errors:
        print(message(problem), file=sys.stderr)  # noqa: T201
    return WRONG_REQUEST if found.errors else int(found.differs)


def message(error: MethodError) -> str:
    """What is wrong, where it was said, what to do: up to three lines."""
    said = [("error: ", error.what), ("  where: ", error.where), ("  next:  ", error.next)]
    return "\n".join(name + " ".join(text.split()) for name, text in said if text)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = main(sys.argv[1:])
    except BrokenPipeError:  # whoever read us has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would complain
        status = 0
    except KeyboardInterrupt:
        status = STOPPED
    raise SystemExit(status)
