"""The benchmark: datasets, networks, augmentation, training, the plan, running tasks, the commands."""

import os
import sys

from benchmark.utils import stopping

# Only a command has these as its first argument, `-m` while Python looks for its module: nothing of ours runs earlier.
if os.path.basename(next(iter(sys.argv), "")) in ("-m", "condensation-benchmark"):  # noqa: PTH119 -- pathlib is slow
    stopping.install()

# Idle OpenMP threads must sleep, not spin: spinning threads make a shared machine many times slower.
# Read once, when torch loads its thread pool, so it stands before any import of torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
