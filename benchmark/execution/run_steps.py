"""Run the steps of a task to the last one: timing, checkpoints, snapshots, interruption, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmark.compute.allocator import out_of_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.execution.loss_history import LossHistory
from benchmark.execution.stop_signals import Interrupted, StopFlag
from benchmark.execution.work import StepProgress, Work
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.tensor_files import load_tree, save_tree
from benchmark.utils.timing import Stopwatch

CHECKPOINT = "checkpoint.safetensors"


@dataclass
class RunResult:
    """What a run took: charged seconds (without checkpoints and progress); the losses of the last step, and of all."""

    seconds: float
    losses: dict[str, float]
    history: LossHistory = field(default_factory=LossHistory)


@dataclass
class SnapshotSchedule:
    """Steps after which a snapshot is taken, uncharged: a synthetic set is saved, or a network is scored.

    take: called with the steps done and the seconds charged so far; returns JSON values. taken: what it returned, each
    with its `step` and `seconds`; part of the checkpoint, so that a resumed task has all of them.
    """

    steps: frozenset[int] = frozenset()
    take: Callable[[int, float], dict[str, Any]] = lambda step, seconds: {}
    taken: list[dict[str, Any]] = field(default_factory=list)

    def take_if_due(self, step: int, seconds: float) -> None:
        """Take a snapshot if this step has one that is not taken yet."""
        if step in self.steps and all(snapshot["step"] != step for snapshot in self.taken):
            self.taken.append({"step": step, "seconds": seconds} | self.take(step, seconds))

    def next_step(self, done: int, total: int) -> int:
        """The next step with a snapshot, `total` if there is none before it."""
        return min((step for step in self.steps if step > done), default=total)


class Diverged(Exception):
    """A loss is not finite, after `steps` steps that took what `run_result` says."""

    def __init__(self, message: str, run_result: RunResult, steps: int) -> None:
        super().__init__(message)
        self.run_result, self.steps = run_result, steps


def run_steps(
    work: Work,
    folder: Path,
    compute: Compute,
    *,
    owner: Mapping[str, str],
    seconds: float,
    progress: StepProgress,
    stop: StopFlag,
    checkpoint_seconds: float,
    owns_task: Callable[[], bool],
    log: Callable[[str], None],
    schedule: SnapshotSchedule | None = None,
) -> RunResult:
    """Do all remaining steps of `work`, from the checkpoint in `folder` if there is one.

    A checkpoint is written every `checkpoint_seconds`, after each snapshot, and when a signal sets `stop`. owner: what
    the checkpoint belongs to (`Attempt.checkpoint_owner`). seconds: charged already, for making the work. Raises
    Interrupted after a signal, Diverged at a loss that is not finite, BenchmarkError if another process has taken the
    task over, and ResultsError if a checkpoint cannot be written.

    A signal may reach and kill the C++ compiler too. A step in which something could not be compiled while a signal
    arrived is therefore dropped with all steps since the last checkpoint: uncompiled, it would have other last bits.
    """
    path, schedule = folder / CHECKPOINT, schedule or SnapshotSchedule()
    done, seconds, losses, history = _restore(work, path, compute, seconds, schedule, log)
    watch, saved = Stopwatch(compute.device, seconds), done
    stop.running = True
    try:
        schedule.take_if_due(done, watch.seconds)
        while done < work.total_steps:
            first, start, until = done, time.monotonic(), schedule.next_step(done, work.total_steps)
            with watch.running():  # around many steps: reading the clock waits for the device
                while done < until and not stop.signal:
                    if done > first and time.monotonic() - start >= checkpoint_seconds:
                        break
                    num_uncompiled = len(COMPILER.uncompiled)
                    losses = work.step()
                    if stop.signal and len(COMPILER.uncompiled) > num_uncompiled:
                        raise Interrupted(f"after step {saved} of {work.total_steps}, while compiling", saved)
                    done += 1
                    history.add(done, losses)
                    progress(done, work.total_steps, losses)
                    if not _finite(losses):
                        break
            if not _finite(losses):
                run_result = RunResult(watch.seconds, losses, history)
                raise Diverged(f"at step {done} of {work.total_steps}: {losses}", run_result, done)
            if not owns_task():
                raise BenchmarkError("another process has taken this task over", where=str(folder), transient=True)
            schedule.take_if_due(done, watch.seconds)
            if done < work.total_steps or stop.signal:
                state = _state(work, compute, done, watch.seconds, losses, schedule)
                save_tree(path, {"owner": owner, **state, "history": history.state()})
                saved = done
            if stop.signal:
                raise Interrupted(f"after step {done} of {work.total_steps}", done)
    finally:
        stop.running = False
    return RunResult(watch.seconds, losses, history)


def _finite(losses: dict[str, float]) -> bool:
    return all(math.isfinite(loss) for loss in losses.values())


def _state(
    work: Work, compute: Compute, done: int, seconds: float, losses: dict[str, float], schedule: SnapshotSchedule
) -> dict[str, object]:
    return {
        "work": work.state_dict(),
        "done": done,
        "seconds": seconds,
        "losses": losses,
        "snapshots": schedule.taken,
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
    work: Work, path: Path, compute: Compute, seconds: float, schedule: SnapshotSchedule, log: Callable[[str], None]
) -> tuple[int, float, dict[str, float], LossHistory]:
    """Load the checkpoint into `work` and `schedule`; returns the steps done, seconds, losses and their history."""
    if not path.exists():
        return 0, seconds, {}, LossHistory()
    state = load_tree(path, compute.device)
    try:
        work.load_state_dict(state["work"])
    except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        path.unlink()
        raise BenchmarkError(
            f"the checkpoint does not fit the task and was removed: {error}",
            where=str(path),
            next="run the same command again: the task starts from its beginning",
            transient=True,
        ) from error
    schedule.taken = list(state["snapshots"])
    COMPILER.restore(state["uncompiled"])
    log(f"resuming from step {state['done']} of {work.total_steps}")
    return int(state["done"]), float(state["seconds"]), dict(state["losses"]), LossHistory.of(state["history"])


def compute_for_resume(
    folder: Path, compute: Compute, owner: Mapping[str, str], note: Callable[[str], None]
) -> Compute:
    """A copy of `compute` with the values of the folder's checkpoint, if any: others would change the last bits.

    On another type of device, only the number of parallel networks is taken over, as the checkpoint holds their
    weights. A checkpoint that is damaged or has another owner is removed, after which the task starts from its
    beginning.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return replace(compute)
    try:
        state = load_tree(path)  # all of it: a damaged tensor shows here, before anything is built
        reason = "" if state.get("owner") == owner else _other_owner(state.get("owner"), owner)
    except BenchmarkError as error:
        reason = error.what
    if reason:
        note(f"its checkpoint was dropped, the task starts from its beginning: {reason}")
        path.unlink()
        return replace(compute)
    names = ["num_parallel", "stepped_down"]
    if state["device"] == compute.device.type:
        names += ["threads", "chunk", "graph", "compile"]
    return replace(compute, **{name: state[name] for name in names})


def _other_owner(theirs: Any, ours: Mapping[str, str]) -> str:
    is_own = isinstance(theirs, Mapping) and theirs.get("task") == ours["task"]
    return "the method's code was changed since" if is_own else "it is that of another task"
