"""Datasets: list what is there, fetch and decode, examine files. Reference results: list them.

python -m benchmark.data list
python -m benchmark.data prepare tinyimagenet
python -m benchmark.data doctor path/to/folder data_root=data
python -m benchmark.data reference
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from benchmark import datasets
from benchmark.cli import main as cli
from benchmark.cli.console import Console
from benchmark.cli.progress import LoadingProgress, open_console, print_uncut
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.paths import expand_user
from results.errors import ResultsError
from results.store.store import Store

# Actions import the modules that read datasets: `--help` is printed without loading torch.

_USAGE = "python -m benchmark.data {list | prepare NAME… | doctor NAME… | reference} [data_root=PATH] [cache=PATH]"
_HELP = """\
list            the built-in datasets: counts, where their constants come from, whether they are there
prepare NAME…   fetch what is missing, unpack or repair it, decode it once
doctor NAME…    read every file anew; check counts, sizes, checksums and class order; say how to repair what is wrong
reference       the results of full-budget runs that come with the package; for maintainers, collect=STORE adds the
                finished cells of a store to them, in this checkout

NAME is a built-in dataset (imagenette or imagenette@ilsvrc) or the path of a folder. data_root is where downloads are
kept (default: data), cache where decoded images are (default: data_root/cache, or in ~/.cache if that cannot be
written).
Exit status: 0 success; 1 something is wrong with a dataset; 2 the request was wrong; 130 stopped by Ctrl-C, 143 by
SIGTERM."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run the command; exits with 0, with 1 if something is wrong with a dataset, with 2 for a wrong request."""
    cli.print_any_name()
    arguments = _parse(words)
    console = open_console()

    def run() -> int:
        try:
            if arguments.collect:
                return _collect(expand_user(arguments.collect), expand_user(arguments.data_root), console)
            cache = expand_user(arguments.cache, where="cache") if arguments.cache else None
            return _ACTIONS[arguments.action](arguments.names, expand_user(arguments.data_root), cache, console)
        except (BenchmarkError, ResultsError) as error:
            cli.print_error(error)
            return cli.WRONG_REQUEST

    cli.end_with(run)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmark.data",
        usage=_USAGE,
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=tuple(_ACTIONS), help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    settings = {"data_root": "data", "cache": ""} | ({"collect": ""} if arguments.action == "reference" else {})
    for word in list(arguments.names):
        name, equals, value = word.partition("=")
        if equals and name in settings:
            settings[name] = value
            arguments.names.remove(word)
        elif re.match(r"[\w-]+=", word) and not Path(word).exists():
            parser.error(f"'{word}' is no setting; known: {', '.join(settings)}")
    arguments.data_root, arguments.cache = settings["data_root"], settings["cache"]
    arguments.collect = settings.get("collect", "")
    action, takes_names = arguments.action, arguments.action in ("prepare", "doctor")
    if takes_names != bool(arguments.names):
        parser.error(f"{action} what? Name a dataset or a folder" if takes_names else f"{action} takes no name")
    return arguments


def _list(names: Sequence[str], root: Path, cache: Path | None, console: Console) -> int:
    from benchmark.cli.dataset_views import builtin_table

    table, problems = builtin_table(root, cache)
    print_uncut(console, table)
    hint = "Any folder of parquet, arrow or class folders is a dataset too: python -m benchmark.data doctor PATH"
    console.print("\n".join([*problems, hint]), highlight=False, markup=False)
    return cli.DONE


def _prepare(names: Sequence[str], root: Path, cache: Path | None, console: Console) -> int:
    from benchmark.cli.dataset_views import describe
    from benchmark.datasets.cache import cache_note

    for name in names:
        with LoadingProgress(console) as reading:
            dataset = datasets.prepare(name, root, reading, cache)
        console.print(describe(dataset, root), highlight=False, markup=False)
    if note := cache_note(root, cache):
        console.print(f"note: {note}", highlight=False, markup=False)
    return cli.DONE


def _doctor(names: Sequence[str], root: Path, cache: Path | None, console: Console) -> int:
    from benchmark.datasets import doctor

    status = cli.DONE
    for name in names:
        console.print(f"{name}:", highlight=False, markup=False)
        with LoadingProgress(console) as reading:
            for finding in doctor.examine(name, root, reading, cache):
                status = status if finding.ok else cli.SOME_FAILED
                lines = [f"  {'ok ' if finding.ok else 'bad'}  {finding.what}"]
                lines += [f"       next: {finding.next}"] if finding.next else []
                console.print("\n".join(lines), highlight=False, markup=False)
    return status


def _reference(names: Sequence[str], root: Path, cache: Path | None, console: Console) -> int:
    from benchmark.cli.reference_view import reference_table

    table, lines = reference_table()
    print_uncut(console, table)
    console.print("\n".join(lines), highlight=False, markup=False)
    return cli.DONE


def _collect(folder: Path, root: Path, console: Console) -> int:
    from benchmark.external_sets.collect import collect

    if not folder.is_dir():
        raise BenchmarkError(f"there is no store at {folder}", where=f"collect={folder}", next="collect=STORE")
    for line in collect(Store(folder), root):
        console.print(line, highlight=False, markup=False)
    return cli.DONE


_ACTIONS = {"list": _list, "prepare": _prepare, "doctor": _doctor, "reference": _reference}


if __name__ == "__main__":
    main()
