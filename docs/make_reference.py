"""Write the pages that are generated from the code.

commands.md is made from `--help`, methods.md from the registry, columns.md from the declared columns,
results/full-budgets.md from the shipped results, and api/record.md from the schema's source.

python docs/make_reference.py

A test compares the pages with the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from benchmark.__main__ import COMMANDS
from benchmark.cli import method_tables
from benchmark.config.compose import options_of
from benchmark.config.schema import SCHEMAS
from methods import registry
from results.aggregation.cells import cells
from results.aggregation.options import Options
from results.rendering.text import to_markdown
from results.store import reference, schema
from results.store.read_all import read_all
from results.tables.columns import COLUMNS
from results.tables.registry import tables

DOCS = Path(__file__).parent

COMMANDS_INTRO = """\
# Commands and their options

<!-- written by docs/make_reference.py -->

A command is started as `python -m benchmark.COMMAND` or `condensation-benchmark COMMAND`. Its options have the form
`NAME=VALUE`, and `--help` prints them. Quote spaces and brackets for the shell: `'ipcs=[1,10]'`. A list can do without
brackets: `ipcs=10`, `ipcs=1,10`. Paths are taken as they are, with any letters and signs; a comma belongs to a path
if that exists, else it separates two. `-m` runs every combination of `NAME=a,b`. Options are composed by
[Hydra](https://hydra.cc): `--cfg job` prints the composed options, `--hydra-help` explains the rest.
"""

METHODS_INTRO = """\
# Methods

<!-- written by docs/make_reference.py -->

This page lists the methods of the suite with every setting and its source. The command `methods` prints the same, and
also what applies to one cell of a table:

```bash
python -m benchmark.methods                    # every method: paper, family, experts, where it has settings
python -m benchmark.methods dance              # each setting: default, unit, source
python -m benchmark.methods dance cifar10 10   # each value of one cell, with its source and provenance
python -m benchmark.methods diff outputs       # stored runs compared with the settings published for their cells
```

## How a setting gets its value

The default of a setting is in the method's file. Settings for a dataset and an ipc, as they were published, are in
`methods/settings/NAME.yaml` and replace the default. The option `method.NAME.SETTING=VALUE` replaces both. For an ipc
without published settings, those of the nearest ipc on a log scale are used, and a note says so.

Every published value has a source and a *provenance*: `paper`, `code` (the authors' public code), `author` (for example
an answer to a question), `third party`, or `ours` where nothing was published. A row with a setting of ours or of a
third party is never marked as agreeing or disagreeing with a published number. There are settings of DANCE, DM, random
subsets and the whole set for every cell of Tables 1 and 2 of the DANCE paper.

## Variants of a method in one run

`NAME@fN` in `methods` is the method with multi-formation factor N: a stored image holds N × N small images, which are
enlarged for training. `NAME@SETTING:VALUE` is the method with another setting. Several may be joined:
`dance@f1@calibration:off`. `NAME@soft` is the set of the method with [soft labels](protocols.md#soft-labels) of a
teacher; its settings are those of [`soft`](#soft-labels-soft). Each variant has a row of its own. If the variant is
what the method does anyway, the row is the method itself, and a note says so.

## All methods
"""

COLUMNS_INTRO = """\
# Columns of the tables

<!-- written by docs/make_reference.py -->

Every column of a table with a row for each cell, by the name with which the option `columns` of `report` chooses it:
`'columns=[accuracy,steps]'` shows these two after those that name the row, in tables that have them. A column that no
row needs is left out. `page` is the [report's page](figures-and-page.md). [Add a column](extend/table.md) says how to
declare another one.
"""

FULL_BUDGETS_INTRO = """\
# Full budgets

<!-- written by docs/make_reference.py -->

All cells that ran with the iterations of their papers and come with the package, the last one on {date}. Networks have
width 128. A set was scored with five networks; `random` is five subsets with one network each. The accuracy is that of
the last epoch. The runs shared their machine with other work, so their seconds are not shown. The same tables are made
by

```bash
python -m benchmark.report store=reference: 'tables=[published,accuracy]'
```

[Reference results](reference.md) says how to use the records and sets, and which cells are next. Rows under `native`
are scored as in their own papers and compare with the published numbers; under `dance` all rows share a protocol.
"""

RECORD_INTRO = """\
# The record schema

<!-- written by docs/make_reference.py -->

Every task writes a `task.json` and a `record.json` ([what is stored](../storage.md)). This page lists their keys, as
`results/store/schema.py` declares them. Every record is checked against these classes when it is read. An optional key
may be missing.

What all kinds of task have is in [StoredTask](#storedtask) and [Record](#record). Three keys of a record differ by the
kind of task. For `condense` they are [CondenseSpec](#condensespec) (key `resolved`; `spec` is the same without values
at their defaults), [CondenseDisplay](#condensedisplay) (`display`) and [CondenseResult](#condenseresult) (`result`);
likewise for the other kinds.

## Types

`Json` is an object of any JSON values. Other named types are
"""


def commands_page() -> str:
    """A section for each command, with a table of its options."""
    parts = [COMMANDS_INTRO]
    for name, about in COMMANDS.items():
        parts += [f"## {name}\n", f"{about}\n"]
        parts.append(_options(name) if name in SCHEMAS else _help_block(name))
    return "\n".join(parts)


def _options(name: str) -> str:
    """The tables of a command's options; presets have one of their own each."""
    tables = []
    for block in options_of(name).split("\n\n"):
        lines = block.splitlines()
        if block.startswith("preset="):
            title = lines.pop(0).strip()
            tables.append(f"`{title.split()[0]}`{' (the default)' if 'default' in title else ''} sets\n")
        tables.append(markdown_table(("Option", "Default", "Meaning"), map(_option_row, lines)))
    return "\n".join(tables)


def _option_row(line: str) -> tuple[str, str, str]:
    option, _, meaning = line.strip().partition(" # ")
    name, _, default = option.partition(": ")
    return f"`{name}`", f"`{default}`" if default else "", meaning


def _help_block(name: str) -> str:
    command = [sys.executable, "-m", f"benchmark.{name}", "--help"]
    text = subprocess.run(command, cwd=DOCS.parent, capture_output=True, text=True, check=True).stdout.strip()
    return f"```text\n{text}\n```\n"


def methods_page() -> str:
    """The overview of the built-in methods, and a section for each with its settings."""
    names = sorted({*registry.BUILT_IN, *registry.UNCONDENSED})
    overview = next(part for part in method_tables.overview() if isinstance(part, Table))
    parts = [METHODS_INTRO, _markdown(overview, names)]
    for name in names:
        title, description, facts, *rest = method_tables.method_page(name)
        assert isinstance(title, Text) and isinstance(description, Text) and isinstance(facts, Table)
        parts += [
            f"## {title.plain.partition(': ')[2]} (`{name}`)\n",
            f"{_code_in(description.plain)}\n",
            _facts(facts),
        ]
        for part in rest:
            if isinstance(part, Table):
                subjects = {"Setting": "Settings", "Datasets": "Published settings", "Tuned": "Search space"}
                subject = subjects[str(part.columns[0].header)]
                parts += [f"### {subject} of {name}\n", _markdown(part)]
            elif isinstance(part, Text):
                parts.append(f"{part.plain[0].upper()}{part.plain[1:]}.\n")
    return "\n".join(parts)


def _facts(table: Table) -> str:
    """A table of two columns as a list."""
    names, values = ([str(column.header), *map(str, column.cells)] for column in table.columns)
    return "".join(f"- {name}: {_code_in(value)}\n" for name, value in zip(names, values, strict=True))


def _markdown(table: Table, names: Sequence[str] = ()) -> str:
    """A table of the terminal in Markdown; with `names`, only the rows that begin with one of them."""
    columns = [[str(cell) for cell in column.cells] for column in table.columns]
    headers = [str(column.header) for column in table.columns]
    rows = [row for row in zip(*columns, strict=True) if not names or row[0] in names]
    return markdown_table(headers, (_cells(headers, row) for row in rows))


def _cells(headers: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    for header, cell in zip(headers, row, strict=True):
        if header == "Settings":
            yield ", ".join(f"`{pair}`" for pair in re.split(r", (?=\w+=)", cell))
        elif header in ("Setting", "Default", "Method"):
            yield f"`{cell}`"
        else:
            yield _code_in(cell)


def _code_in(text: str) -> str:
    """Text with names of options and settings as code, and with links to papers."""
    text = re.sub(r"--[\w-]+|[\w./:@-]*\w_\w[\w./:-]*\w", lambda found: f"`{found[0]}`", text)
    text = re.sub(r"(?:doi:)?\b(10\.\d{4}/[\d.]*\d)\b", r"[doi:\1](https://doi.org/\1)", text)
    return re.sub(r"(?:arXiv:)?\b(\d{4}\.\d{5})\b", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def record_page() -> str:
    """The named types of the schema, and a table of the keys of each of its classes."""
    source = inspect.getsource(schema)
    lines, parts, types = source.splitlines(), [], []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Annotated["):
            types.append(_named_type(node))
        elif isinstance(node, ast.ClassDef):
            parts.append(_class_section(node, lines))
    return "\n".join([RECORD_INTRO, markdown_table(("Name", "Type", "Values"), types), *parts])


def _named_type(node: ast.Assign) -> tuple[str, str, str]:
    """Name, type and range of an annotated type, from its declaration `NAME = Annotated[TYPE, Meta(ge=0)]`."""
    name = ast.unparse(node.targets[0])
    base, _, limits = ast.unparse(node.value).removeprefix("Annotated[").removesuffix(")]").partition(", Meta(")
    for word, sign in {"ge=": "≥ ", "gt=": "> ", "le=": "≤ ", "lt=": "< ", "pattern=": "matches "}.items():
        limits = limits.replace(word, sign)
    return f"`{name}`", f"`{base}`", f"`{limits.replace('1000000000000.0', '1e12')}`"


def _class_section(node: ast.ClassDef, lines: Sequence[str]) -> str:
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id not in ("TypedDict", "StrEnum")]
    text = " ".join((ast.get_docstring(node) or "").split())
    inherited = "".join(f"It also has the keys of [{base}](#{base.lower()}). " for base in bases)
    rows = [
        (f"`{name}`", type_, _code_in(lines[line - 1].partition("#: ")[2])) for name, type_, line in _keys(node.body)
    ]
    headers = ("Name", "Value", "Meaning") if any(isinstance(each, ast.Assign) for each in node.body) else _KEYS
    return "\n".join(
        [f"## {node.name}\n", *([f"{_code_in(text)} {inherited}".strip() + "\n"]), markdown_table(headers, rows)]
    )


_KEYS = ("Key", "Type", "Meaning")


def _keys(body: Iterable[ast.stmt]) -> Iterator[tuple[str, str, int]]:
    """Name, type or value, and line of each key of a class."""
    for node in body:
        if isinstance(node, ast.AnnAssign):
            type_ = ast.unparse(node.annotation)
            optional = type_.startswith("NotRequired[")
            type_ = type_.removeprefix("NotRequired[").removesuffix("]" * optional)
            yield ast.unparse(node.target), f"`{type_}`{', optional' * optional}", node.lineno
        elif isinstance(node, ast.Assign):
            yield ast.unparse(node.targets[0]), f"`{ast.unparse(node.value)}`", node.lineno


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(headers), [":--"] * len(headers), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def columns_page() -> str:
    """A row for each declared column."""
    rows = [(f"`{column.name}`", column.title, column.caption, ", ".join(column.tables)) for column in COLUMNS]
    return "\n".join([COLUMNS_INTRO, markdown_table(("Name", "Head", "What it shows", "Tables"), rows)])


def full_budgets_page() -> str:
    """The tables of measured and published accuracies, and of accuracies, of the shipped results."""
    records = read_all(reference.NAME).records
    date = max(record["finished"] for record in records)[:10]
    made = tables(cells(records), Options(tables=("published", "accuracy")))
    text = "\n".join(map(to_markdown, made)).replace("### ", "## ")
    return FULL_BUDGETS_INTRO.format(date=date) + "\n" + text


PAGES = {
    "commands.md": commands_page,
    "methods.md": methods_page,
    "columns.md": columns_page,
    "results/full-budgets.md": full_budgets_page,
    "api/record.md": record_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
