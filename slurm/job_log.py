"""What the output of a job tells about its end, where SLURM's states do not."""

from __future__ import annotations

import re
from pathlib import Path

# Of SLURM's two ways to enforce memory: cgroups (the kernel kills) and OverMemoryKill (SLURM kills).
_KILLED_FOR_MEMORY = re.compile(
    rb"^(slurmstepd|srun)[^:\n]*: error: .*(oom.kill|: out of memory$|exceeded .*memory limit)", re.I | re.M
)
_END_BYTES = 65_536


def killed_for_memory(log: Path) -> bool:
    """Whether a process of a job was killed as the job used more than its memory, by the end of the job's output.

    For SLURM such a job has FAILED: only its step is OUT_OF_MEMORY, and where there are no cgroups not even that.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _END_BYTES))
            return _KILLED_FOR_MEMORY.search(file.read()) is not None
    except OSError:
        return False
