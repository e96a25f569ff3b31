"""Copy what one store has and another lacks; nothing is overwritten.

python -m benchmark.merge FROM INTO
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmark.cli import main as cli
from benchmark.cli.progress import open_console
from benchmark.utils.paths import expand_user

_USAGE = "python -m benchmark.merge FROM INTO"
_HELP = """\
Copies the finished tasks of the store FROM, and the settings that tuning chose there, into the store INTO, which may be
new. Every file is checked against its record. Nothing is overwritten: a task that INTO has with other results, or an
input of it, stays where it is and is named. Interrupted at any moment, both stores are whole, and the same command
continues.

Exit status: 0 success; 1 something could not be copied; 2 the request was wrong; 130 stopped by Ctrl-C, 143 by
SIGTERM."""
_MOST_NAMED = 5


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command; exits with 0, with 1 if something could not be copied, with 2 for a wrong request."""
    cli.print_any_name()
    arguments = _parse(words)

    def run() -> int:
        try:
            return _merge(expand_user(arguments.source, where="FROM"), expand_user(arguments.target, where="INTO"))
        except cli.OURS as error:
            cli.print_error(error)
            return cli.WRONG_REQUEST

    cli.end_with(run)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmark.merge",
        usage=_USAGE,
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="FROM", help=argparse.SUPPRESS)
    parser.add_argument("target", metavar="INTO", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def _merge(source: Path, target: Path) -> int:
    from results.formatting import size  # these load pandas, which --help does without
    from results.store.merge import merge
    from results.store.store import Store

    console = open_console()

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    summary = merge(Store(source), Store(target))
    say(f"copied: {summary.copied:,} ({size(summary.size)}); there already: {summary.there:,}")
    if different := summary.different:
        say(f"with other results in {target}, and not copied: {len(different):,}")
        for name in different[:_MOST_NAMED]:
            say(f"  {name}")
        if len(different) > _MOST_NAMED:
            say(f"  … and {len(different) - _MOST_NAMED:,} more")
        stores = shlex.quote(f"store=[{target},{source}]")
        say(f"next: python -m benchmark.report {stores} shows both")
    for problem in summary.problems:
        cli.print_error(problem)
    return cli.SOME_FAILED if summary.problems else cli.DONE


if __name__ == "__main__":
    main()
