"""What SLURM's versions write into the output of a job that was killed for its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm.job_log import killed_for_memory


@pytest.mark.parametrize("line", [
    "slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=4.0. Some of your processes may have been killed by",
    "slurmstepd: error: Detected 1 oom_kill event in StepId=4.0. Some of the step tasks have been OOM Killed.",
    "slurmstepd: error: Exceeded job memory limit",
    "slurmstepd-n1: error: StepId=4.0 exceeded memory limit (200835072 > 104857600), being killed",
    "srun: error: n1: task 0: Out Of Memory",
])  # fmt: skip
def test_the_output_of_a_job_tells_that_it_was_killed_for_its_memory(tmp_path: Path, line: str) -> None:
    log = tmp_path / "log"
    log.write_text(f"1 tasks, 1 at a time on cpu\n{line}\nsrun: error: n1: task 0: Killed\n")
    assert killed_for_memory(log)
    log.write_text("RuntimeError: CUDA error: out of memory\nsrun: error: n1: task 0: Killed\n")
    assert not killed_for_memory(log) and not killed_for_memory(tmp_path / "none")
