"""Datasets: what is there, fetching and rebuilding it, and looking it over.

python -m benchmark.data list
python -m benchmark.data prepare tinyimagenet
python -m benchmark.data doctor path/to/folder data_root=data
"""

from __future__ import annotations

import argparse
import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmark import datasets
from benchmark.cli import main as cli
from benchmark.cli.progress import Reading, print_whole
from benchmark.datasets import doctor, registry
from benchmark.datasets.base import Dataset, expanded
from benchmark.datasets.builtin import KNOWN, name_of
from benchmark.utils.errors import BenchmarkError

_MIB = 2**20
_USAGE = "python -m benchmark.data {list | prepare NAME… | doctor NAME…} [data_root=PATH]"


def main(words: Sequence[str] | None = None) -> NoReturn:
    """The command; exits with 0, 1 when something is wrong with a dataset, 2 for a wrong request."""
    cli.print_anything()
    asked = _parse(words)
    console = Console(soft_wrap=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is half-written is deleted
    try:
        status = _ACTIONS[asked.action](asked.names, expanded(asked.data_root), console)
    except BenchmarkError as error:
        cli.print_error(error)
        status = cli.WRONG_REQUEST
    except KeyboardInterrupt:
        status = cli.STOPPED
    finally:
        signal.signal(signal.SIGTERM, before)
    raise SystemExit(status)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmark.data", usage=_USAGE, description=_HELP,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("action", choices=tuple(_ACTIONS), help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    asked = parser.parse_args(words)
    settings = [word for word in asked.names if word.startswith("data_root=")]
    asked.names = [word for word in asked.names if word not in settings]
    asked.data_root = settings[-1].partition("=")[2] if settings else "data"
    for word in asked.names:
        if re.match(r"[\w-]+=", word) and not Path(word).exists():
            parser.error(f"'{word}' is no setting: data_root=PATH is the only one")
    if (asked.action == "list") == bool(asked.names):
        parser.error("list takes no name" if asked.names else f"{asked.action} what? Name a dataset or a folder")
    return asked


def _list(names: Sequence[str], root: Path, console: Console) -> int:
    table = Table(title=f"Datasets known by name; data_root: {root}", box=box.SIMPLE_HEAD, title_justify="left")
    for column in ("Name", "Classes", "Train", "Test", "Image", "Statistics", "Here"):
        table.add_column(column, justify="right" if column in ("Classes", "Train", "Test") else "left", no_wrap=True)
    troubles: list[str] = []
    for key, card in KNOWN.items():
        shape = "×".join(map(str, card.image_shape))
        counts = (str(card.num_classes), str(card.train), str(card.test))
        here, trouble = _state(key, root)
        troubles += [f"{name_of(key)}: {trouble}"] if trouble else []
        table.add_row(name_of(key), *counts, shape, escape(card.statistics), escape(here))
    print_whole(console, table)
    for line in troubles:
        console.print(line, highlight=False, markup=False)
    console.print(
        "Any folder of parquet files or class folders is a dataset too: python -m benchmark.data doctor PATH",
        highlight=False, markup=False,
    )  # fmt: skip
    return cli.DONE


def _state(key: str, root: Path) -> tuple[str, str]:
    """Whether a known dataset is there, in a few words, and what is wrong with it, "" if nothing is."""
    card = KNOWN[key]
    if card.embedded:
        return "comes with a library", ""
    try:
        if registry.cached(key, root):
            return "decoded", ""
        source = registry.reader_of(key).find(key, root)
    except BenchmarkError as error:
        return "see below", error.what
    except (OSError, ValueError) as error:
        return "see below", f"cannot be read: {error}"
    if source is not None:
        return "not decoded yet", ""
    how = f"download {card.download / _MIB:,.0f} MiB" if card.download else "to be asked for at image-net.org"
    return f"no; {how}", ""


def _prepare(names: Sequence[str], root: Path, console: Console) -> int:
    for name in names:
        with Reading(console) as reading:
            found = datasets.prepare(name, root, reading)
        console.print(_described(found, root), highlight=False, markup=False)
    return cli.DONE


def _described(found: Dataset, root: Path) -> str:
    """A dataset's card, as it lies in memory."""
    shape = "×".join(map(str, found.image_shape))
    constants = "; ".join(f"{word} {' '.join(f'{value:.4f}' for value in values)}" for word, values in
                          (("mean", found.constants.mean), ("std", found.constants.std)))  # fmt: skip
    card = KNOWN.get(found.published_as)
    unsure = registry.doubt(found.published_as, root, len(found.train)) if card and found.like is None else ""
    whose = f" ({card.statistics})" if card else " (computed)"
    return "\n".join([
        f"{found.name}: ready",
        *([f"  {unsure}"] if unsure else []),
        f"  {len(found.train):,} training and {len(found.test):,} test images, {shape}, {found.num_classes} classes",
        f"  {constants}{whose}; mirrored: {'yes' if found.flip else 'no'}",
        f"  fingerprint {found.fingerprint}",
        f"  {found.source}",
    ])  # fmt: skip


def _doctor(names: Sequence[str], root: Path, console: Console) -> int:
    status = cli.DONE
    for name in names:
        console.print(f"{name}:", highlight=False, markup=False)
        with Reading(console) as reading:
            for finding in doctor.examine(name, root, reading):
                status = status if finding.ok else cli.SOME_FAILED
                lines = [f"  {'ok ' if finding.ok else 'bad'}  {finding.what}"]
                lines += [f"       next: {finding.next}"] if finding.next else []
                console.print("\n".join(lines), highlight=False, markup=False)
    return status


_ACTIONS = {"list": _list, "prepare": _prepare, "doctor": _doctor}
_HELP = """\
list            the datasets known by name: counts, whose constants normalise them, whether they are there
prepare NAME…   fetch what is missing, unpack or repair it, decode it once into data_root/cache
doctor NAME…    read every file anew; check counts, sizes, checksums and class order; say how to mend what is wrong

NAME is a known dataset (imagenette or imagenette@ilsvrc) or the path of a folder. data_root is where downloads and
decoded images live (default: data).
Exit status: 0 all is well; 1 something is wrong with a dataset; 2 the request was wrong."""


if __name__ == "__main__":
    main()
