"""The speed ratios of tests/benchmarks: each is measured once, in a process of its own, and stored as JSON."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmark.utils.errors import BenchmarkError
from results.store.atomic_files import writing

FOLDER = "benchmarks"  # in the store: a file of pytest-benchmark for each ratio
ROOT = Path(__file__).parents[2]
FILES = ("tests/benchmarks/test_steps.py", "tests/benchmarks/test_trainings.py")


def measure(store: Path, say: Callable[[str], None], files: Sequence[str] = FILES) -> None:
    """Measure the ratios that the store does not have, and `say` each; one that fails is named, and the others go on.

    files: test files with pytest-benchmark, relative to the checkout. Raises BenchmarkError where there are none.
    """
    cases = _cases(files)
    folder = store / FOLDER
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for index, case in enumerate(cases, start=1):
        path = folder / f"{re.sub(r'[^a-z0-9]+', '-', case.partition('::')[2].lower()).strip('-')}.json"
        if not path.exists():
            say(f"measuring {index} of {len(cases)}: {case}")
            say(_measure(case, path))


def _cases(files: Sequence[str]) -> list[str]:
    """The names of the test cases in these files, as pytest has them."""
    missing = [name for name in files if not (ROOT / name).exists()]
    done = None if missing else _pytest("--collect-only", "-q", *files)
    if done is None or done.returncode:
        reason = f"there is no {missing[0]}" if done is None else _last_line(done)
        raise BenchmarkError(
            f"the speed ratios cannot be measured: {reason}",
            where="benchmarks=true",
            next="run this in a checkout of the project, with the extra `test` installed",
        )
    return [line for line in done.stdout.splitlines() if "::" in line]


def _measure(case: str, path: Path) -> str:
    """Measure one ratio; returns a line about it."""
    part = path.with_suffix(".part")
    done = _pytest(case, "--benchmark-only", f"--benchmark-json={part.absolute()}", "-q")
    if done.returncode:
        part.unlink(missing_ok=True)
        return f"{case} was not measured: {_last_line(done)}"
    (measured,) = json.loads(part.read_text("utf-8"))["benchmarks"]
    part.replace(path)
    return f"{case}: ratio {measured['extra_info']['ratio']:.2f}"


def _pytest(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words]
    # A run of pytest around this one, with several workers, would turn measuring off.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout.strip() or done.stderr.strip() or f"status {done.returncode}").splitlines()[-1]
