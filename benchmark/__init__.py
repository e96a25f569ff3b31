"""The benchmark: datasets, networks, augmentation, training, the plan, running tasks, the commands."""

import os
import sys

from benchmark.utils import stopping


def _is_command() -> bool:
    """Whether the process is one of our commands. Another program that imports this package handles its own signals."""
    first = next(iter(sys.argv), "")
    if first == "-m":  # Python is still looking for the module, whose name comes next on the command line
        module = sys.orig_argv[sys.orig_argv.index("-m") + 1] if "-m" in sys.orig_argv else ""
        return module.partition(".")[0] == "benchmark"
    return os.path.basename(first) == "condensation-benchmark"  # noqa: PTH119 -- pathlib is slow


if _is_command():
    stopping.install()  # nothing of ours runs earlier

# Idle OpenMP threads must sleep, not spin: spinning threads make a shared machine many times slower.
# Read once, when torch loads its thread pool, so it stands before any import of torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
