"""The benchmark: datasets, networks, augmentation, training, the plan, running tasks, the commands."""

import importlib.util
import os
import sys

_UNSUPPORTED = "this suite runs on Linux and macOS, not on Windows"
_INSTEAD = "install it in WSL, the Linux that comes with Windows: https://learn.microsoft.com/windows/wsl/install"


def _is_command() -> bool:
    """Whether the process is one of our commands. Another program that imports this package handles its own signals."""
    first = next(iter(sys.argv), "")
    if first == "-m":  # Python is still looking for the module, whose name comes next on the command line
        module = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv else ""
        return module.partition(".")[0] == "benchmark"
    name = os.path.basename(first)  # noqa: PTH119 -- pathlib is slow
    return name.removesuffix(".exe") == "condensation-benchmark"


def _refuse_windows() -> None:
    """Exit with one message, or raise ImportError in another program. Signals, links and limits are those of POSIX."""
    if not _is_command():
        raise ImportError(f"{_UNSUPPORTED}; {_INSTEAD}")
    print(f"error: {_UNSUPPORTED}\n  next:  {_INSTEAD}", file=sys.stderr)  # noqa: T201 -- a command speaks
    raise SystemExit(2)


def _refuse_namesakes() -> None:
    """Exit with one message where Python would import a module of the user in place of one of this project."""
    for name in ("methods", "results", "slurm"):
        spec = importlib.util.find_spec(name)
        origin = (spec and spec.origin) or ""
        if origin and not origin.startswith(f"{os.path.dirname(os.path.dirname(__file__))}{os.sep}"):  # noqa: PTH120
            print(  # noqa: T201 -- a command speaks
                f"error: Python imports a module of yours in place of '{name}' of this project\n  where: {origin}\n"
                "  next:  condensation-benchmark COMMAND … instead of python -m benchmark.COMMAND …, or another folder",
                file=sys.stderr,
            )
            raise SystemExit(2)


if sys.platform == "win32":
    _refuse_windows()
if _is_command():
    from benchmark.utils import stopping

    stopping.install()  # nothing of ours runs earlier
    _refuse_namesakes()

# Idle OpenMP threads must sleep, not spin: spinning threads make a shared machine many times slower.
# Read once, when torch loads its thread pool, so it stands before any import of torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
