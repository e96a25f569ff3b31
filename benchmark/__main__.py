"""`python -m benchmark`: a list of the commands, and `python -m benchmark COMMAND …` to run one."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from typing import NoReturn

from benchmark.config.schema import SCHEMAS
from benchmark.utils.errors import unknown

# The modules of this package that are commands, in the order in which people meet them.
COMMANDS = {name: config.about for name, config in SCHEMAS.items()} | {
    "merge": "Copy what one store has and another lacks; nothing is overwritten.",
    "data": "List, fetch and examine datasets.",
    "methods": "List and explain methods and their settings, and compare stored runs with what was published.",
}


def main() -> NoReturn:
    """Run the named command as `python -m benchmark.COMMAND` does; without one, list the commands. Exits."""
    name = next(iter(sys.argv[1:]), "--help")
    if name in ("--help", "-h", "help"):
        print(overview())  # noqa: T201 -- a command speaks
        raise SystemExit(0)
    if name not in COMMANDS:
        from benchmark.cli.main import WRONG_REQUEST, print_error

        print_error(unknown("command", name, COMMANDS, where="python -m benchmark"))
        raise SystemExit(WRONG_REQUEST)
    spec = importlib.util.find_spec(f"benchmark.{name}")
    assert spec is not None and spec.origin is not None
    sys.argv = [spec.origin, *sys.argv[2:]]
    runpy.run_module(f"benchmark.{name}", run_name="__main__", alter_sys=True)
    raise SystemExit(0)  # a command exits by itself


def overview() -> str:
    """The commands with a line each, then what there is of each kind."""
    from benchmark.cli.kinds import kinds

    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "Compare dataset-condensation methods.",
            "",
            "  python -m benchmark.COMMAND …    or    condensation-benchmark COMMAND …",
            "",
            *lines,
            "",
            "python -m benchmark.COMMAND --help prints its options.",
            "",
            "What there is (benchmark.methods and benchmark.data say more):",
            "",
            kinds(),
        ]
    )


if __name__ == "__main__":
    main()
