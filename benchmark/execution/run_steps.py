"""Turning work to its end: timed, checkpointed, stoppable between any two steps, going on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.execution.interruption import Interrupted, StopFlag
from benchmark.execution.work import Progress, Work
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tree, save_tree
from benchmark.utils.timing import Stopwatch

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class RunResult:
    """What turning took: charged seconds (checkpoints and progress are not) and the losses of the last step."""

    seconds: float
    losses: dict[str, float]


@dataclass
class SnapshotSchedule:
    """Steps after which the work is looked at, uncharged: a snapshot is kept, a network scored.

    look: given the steps done and the seconds charged so far, answers JSON values. taken: what it answered, each with
    its `step` and `seconds`; it is part of the checkpoint, so that a resumed task has all of them.
    """

    at: frozenset[int] = frozenset()
    look: Callable[[int, float], dict[str, Any]] = lambda step, seconds: {}
    taken: list[dict[str, Any]] = field(default_factory=list)

    def pass_by(self, step: int, seconds: float) -> None:
        """Look if there is a mark at this step, and it has not been looked at."""
        if step in self.at and all(one["step"] != step for one in self.taken):
            self.taken.append({"step": step, "seconds": seconds} | self.look(step, seconds))

    def after(self, step: int, last: int) -> int:
        """The next step with a mark, `last` where there is none before it."""
        return min((mark for mark in self.at if mark > step), default=last)


class Diverged(Exception):
    """A loss is no longer a finite number; `turned` says what it took to find out."""

    def __init__(self, message: str, run_result: RunResult, steps: int) -> None:
        super().__init__(message)
        self.run_result, self.steps = run_result, steps


def turn(
    work: Work,
    folder: Path,
    compute: Compute,
    *,
    seconds: float,
    progress: Progress,
    stop: StopFlag,
    checkpoint_seconds: float,
    still_ours: Callable[[], bool],
    say: Callable[[str], None],
    schedule: SnapshotSchedule | None = None,
) -> RunResult:
    """Do the steps that are left. Writes a checkpoint every `checkpoint_seconds`, at marks, and when asked to stop.

    `seconds` were spent on making the work. Raises Interrupted after a signal, Diverged at a loss that is not finite,
    BenchmarkError when the task was taken over by another process.
    """
    path, schedule = folder / CHECKPOINT, schedule or SnapshotSchedule()
    done, seconds, losses = _restore(work, path, compute, seconds, schedule, say)
    watch = Stopwatch(compute.device, seconds)
    stop.turning = True
    try:
        schedule.pass_by(done, watch.seconds)
        while done < work.total_steps:
            began, until = time.monotonic(), schedule.after(done, work.total_steps)
            with watch.running():  # around many steps: reading the clock waits for the device
                while done < until and not stop.signal and time.monotonic() - began < checkpoint_seconds:
                    losses = work.step()
                    done += 1
                    progress(done, work.total_steps, losses)
                    if not all(math.isfinite(loss) for loss in losses.values()):
                        break
            if not all(math.isfinite(loss) for loss in losses.values()):
                raise Diverged(
                    f"at step {done} of {work.total_steps}: {losses}", RunResult(watch.seconds, losses), done
                )
            if not still_ours():
                raise BenchmarkError("another process has taken this task over", where=str(folder), passing=True)
            schedule.pass_by(done, watch.seconds)
            if done < work.total_steps or stop.signal:
                save_tree(path, _state(work, compute, done, watch.seconds, losses, schedule))
            if stop.signal:
                raise Interrupted(f"after step {done} of {work.total_steps}", done)
    finally:
        stop.turning = False
    return RunResult(watch.seconds, losses)


def _state(
    work: Work, compute: Compute, done: int, seconds: float, losses: dict[str, float], schedule: SnapshotSchedule
) -> dict[str, object]:
    return {
        "work": work.state_dict(),
        "done": done,
        "seconds": seconds,
        "losses": losses,
        "schedule": schedule.taken,
        "threads": compute.threads,
        "chunk": compute.chunk,
        "graph": compute.graph,
        "compile": compute.compiled,
        "uncompiled": COMPILER.uncompiled,
        "num_parallel": compute.num_parallel,
        "stepped_down": compute.stepped_down,
        "device": compute.device.type,
    }


def _restore(
    work: Work, path: Path, compute: Compute, seconds: float, schedule: SnapshotSchedule, say: Callable[[str], None]
) -> tuple[int, float, dict[str, float]]:
    if not path.exists():
        return 0, seconds, {}
    state = load_tree(path, compute.device)
    work.load_state_dict(state["work"])
    schedule.taken = list(state.get("schedule", []))
    COMPILER.recall(state.get("uncompiled", []))
    say(f"going on from step {state['done']} of {work.total_steps}")
    return int(state["done"]), float(state["seconds"]), dict(state["losses"])


def as_begun(folder: Path, compute: Compute, say: Callable[[str], None]) -> Compute:
    """`compute`, copied for the task, with what the folder's checkpoint says of it: else the last bits would differ.

    A checkpoint that cannot be read is dropped: the task begins anew, which costs time and nothing else.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return replace(compute)
    try:
        state = load_tree(path)  # whole: a damaged tensor shows here, before anything is built
    except BenchmarkError as error:
        say(f"the checkpoint is dropped, the task begins anew: {error.what}")
        path.unlink()
        return replace(compute)
    num_parallel = state.get("num_parallel", 1)  # on any device: so many networks' weights are in the checkpoint
    begun = replace(compute, num_parallel=num_parallel, stepped_down=state.get("stepped_down", 0))
    if state["device"] != compute.device.type or "graph" not in state:  # of a version that counted otherwise
        return begun
    kept = {name: state[name] for name in ("threads", "chunk", "graph", "compile")}
    return replace(begun, **kept)
