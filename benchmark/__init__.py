"""The benchmark: datasets, networks, augmentation, training, the plan, running tasks, the commands."""

import os

# Idle OpenMP threads must sleep, not spin: spinning threads make a shared machine many times slower.
# Read once, when torch loads its thread pool, so it stands before any import of torch.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
