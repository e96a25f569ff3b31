"""Methods, and the settings with which they were published.

python -m benchmark.methods                       every method: paper, family, experts, published settings
python -m benchmark.methods dance                 one method: each setting with its default, meaning and source
python -m benchmark.methods dance cifar10 10      one cell of the tables: each value with its provenance and source
python -m benchmark.methods new NAME              a package with a method of your own, to start from
python -m benchmark.methods diff outputs          stored condense tasks against the published settings of their cells

A cell takes options: preset=quick, iterations_fraction=0.01, and SETTING=VALUE (or method.dance.SETTING=VALUE, as for
a run). Exit status: 0 done, and diff found no difference; 1 diff found some; 2 the request was wrong.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import RenderableType

from benchmark.cli import main as cli
from benchmark.cli.method_request import parse
from benchmark.utils.errors import BenchmarkError


def main(words: Sequence[str]) -> int:
    """Carry out one command line; returns the exit status."""
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())  # noqa: T201 -- a command prints
        return cli.DONE
    try:
        if words and words[0] == "diff":
            return diff(words[1:])
        if words and words[0] == "new":
            return new(words[1:])
        show(page(words))
    except cli.OURS as error:
        cli.print_error(error)
        return cli.WRONG_REQUEST
    return cli.DONE


def page(words: Sequence[str]) -> list[RenderableType]:
    """All methods, one method, or one cell of it."""
    from benchmark.cli import method_tables  # loads pandas, which --help does without

    if not words:
        return method_tables.overview()
    request = parse(words)
    if request.dataset is None:
        return method_tables.method_page(request.method)
    return method_tables.cell_page(request)


def diff(paths: Sequence[str]) -> int:
    """Compare stored condense tasks with the published settings of their cells; returns the exit status."""
    if not paths:
        raise BenchmarkError("diff needs the path of a store", next="python -m benchmark.methods diff outputs")
    from benchmark.cli import method_tables

    compared = list(method_tables.compare([Path(path) for path in paths]))
    comparisons = [each for each in compared if isinstance(each, method_tables.Comparison)]
    show(method_tables.diff_page(comparisons))
    errors = [each for each in compared if isinstance(each, Exception)]
    for error in errors:
        cli.print_error(error)
    return cli.WRONG_REQUEST if errors else int(any(comparison.differs for comparison in comparisons))


def new(words: Sequence[str]) -> int:
    """Write a package with a method, and say how to go on; returns the exit status."""
    if len(words) != 1:
        raise BenchmarkError("new needs one name", where=" ".join(words), next="python -m benchmark.methods new NAME")
    from benchmark.cli import new_method

    folder = new_method.write(words[0], Path())
    print(f"written: {folder}; it works as it is:")  # noqa: T201
    print(f"  pip install -e {folder} && pytest {folder}")  # noqa: T201
    print(f"  python -m benchmark.run 'methods=[{words[0]},dm]'")  # noqa: T201
    return cli.DONE


def show(parts: Sequence[RenderableType]) -> None:
    from benchmark.cli.method_tables import render

    print(render(parts), end="", flush=True)  # noqa: T201


if __name__ == "__main__":
    cli.print_any_name()

    def run() -> int:
        try:
            return main(sys.argv[1:])
        except BrokenPipeError:  # as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or flushing at exit would fail again
            return cli.DONE

    cli.end_with(run)
