"""How commands start and end: Hydra composes options, an error is printed as one message, the exit status is set."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from benchmark.config import command_line, compose
from benchmark.config.schema import SCHEMAS
from benchmark.utils import stopping
from benchmark.utils.errors import BenchmarkError, did_you_mean
from methods.errors import MethodError
from results.errors import ResultsError
from results.formatting import printable
from slurm.errors import SlurmError

# And 128 + the number of a signal that stopped the command. CONTINUE: its own time was up, and something is left to do.
DONE, SOME_FAILED, WRONG_REQUEST, CONTINUE = 0, 1, 2, 3
_OPTIONS = sorted({name for schema in SCHEMAS.values() for name in schema.__dataclass_fields__})
OURS = (BenchmarkError, MethodError, ResultsError, SlurmError)


def launch(
    command: Callable[[Mapping[str, Any]], int], name: str, at_end: Callable[[], None] = lambda: None
) -> NoReturn:
    """Compose configuration `name`, run the command (once, or for each job of a `-m` sweep), exit with a status.

    at_end: what is done after the last job, unless a signal has stopped them.

    0 done; 1 some tasks failed, and were named; 2 the request was wrong; 3 the time of `reference` was up, and the same
    command continues; 130 stopped by Ctrl-C, 143 by SIGTERM.
    `--help` and simple commands do without Hydra, which takes longer to load than they take to run.
    """
    print_any_name()
    words = sys.argv[1:]
    if {"-h", "--help"} & set(words):
        print(compose.help_of(name))  # noqa: T201 -- a command speaks
        raise SystemExit(DONE)
    if sys.stdout.isatty():
        print("loading …", end="\r", flush=True)  # noqa: T201 -- what comes first is written over it
    statuses: list[int] = []
    composing = True  # any error that Hydra raises until then is about the command line

    def guarded(composed: Mapping[str, Any]) -> None:
        nonlocal composing
        composing = False
        try:
            statuses.append(command(composed))
        except OURS as error:
            print_error(error)
            statuses.append(WRONG_REQUEST)
        composing = True

    def run() -> int:
        nonlocal composing
        try:
            if (options := compose.plain_options(name, words)) is not None:
                guarded(options)
            else:
                compose.with_hydra(name, words, guarded)
            composing = False
            at_end()
        except OURS as error:
            print_error(error)
            statuses.append(WRONG_REQUEST)
        except Exception as error:
            if not composing or stopping.was_received():
                raise
            print_error(_composition(error, name, words))
            statuses.append(WRONG_REQUEST)
        return max(statuses, default=DONE)

    end_with(run)


def end_with(run: Callable[[], int]) -> NoReturn:
    """Run a command and exit with the status that it returns, or with that of a signal that stopped it."""
    with stopping.handled():
        try:
            status = run()
        except KeyboardInterrupt as error:
            status = _stopped(error)
        except Exception as error:
            if not stopping.was_received():  # else it replaced Stopped
                raise
            status = _stopped(stopping.Stopped(stopping.was_received(), str(error)))
    raise SystemExit(status)


def _stopped(error: KeyboardInterrupt) -> int:
    print("\nstopped; the same command continues from here", file=sys.stderr)  # noqa: T201 -- a command speaks
    return stopping.exit_status(error)


def print_any_name() -> None:
    """Print file names that are no valid text, and letters that a terminal lacks, as \\udce9 or \\xd7."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_error(error: BaseException) -> None:
    """Print an error to stderr: what is wrong, where, what to do next."""
    print(message(error), file=sys.stderr)  # noqa: T201


def message(error: BaseException) -> str:
    """An error in up to three lines: what is wrong, where it was asked for, what to do next."""
    lines = [f"error: {getattr(error, 'what', str(error))}"]
    lines += [f"  {name + ':':<6} {text}" for name in ("where", "next") if (text := getattr(error, name, ""))]
    return "\n".join(printable(re.sub(r"\s*\n\s*", " ", line)) for line in lines)


def _composition(error: Exception, name: str, given: Sequence[str]) -> BenchmarkError:
    """Hydra's error about the command line as one of ours, with the nearest name for a misspelt one."""
    text = str(error)
    missing = re.search(r"Could not override '([^']+)'", text)
    if missing:
        elsewhere = missing[1] in _OPTIONS
        hint = " It belongs to another command." if elsewhere else did_you_mean(missing[1].split(".")[0], _OPTIONS)
        return BenchmarkError(f"there is no option '{missing[1]}'.{hint}", where="command line", next="see --help")
    preset = re.search(r"Could not find 'preset/([^']+)'", text)
    if preset:
        return BenchmarkError(f"no preset '{preset[1]}'.", where=f"preset={preset[1]}", next="known: paper, quick")
    if any(word.startswith("method=") for word in given):
        return BenchmarkError(
            "'method' holds settings of methods",
            where="method=…",
            next="methods=[NAME,…] names what to run; method.NAME.SETTING=VALUE sets something of it",
        )
    words = f"command line: {' '.join(given)}"
    corrected = command_line.quoted_command(name, SCHEMAS[name], given)
    return BenchmarkError(text.partition("\n")[0], where=words, next=f"see --help; with quotes: {corrected}")
