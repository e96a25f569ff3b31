"""Turning work to its end: timed, checkpointed, stoppable between any two steps, going on where it was."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from benchmark.checkpoint import load_tree, save_tree
from benchmark.clock import Stopwatch
from benchmark.compute import Compute
from benchmark.errors import BenchmarkError
from benchmark.works import Work

Progress = Callable[[int, int, dict[str, float]], None]  # steps done, steps in all, losses of the last one
CHECKPOINT = "checkpoint.safetensors"


class Diverged(Exception):
    """A loss is no longer a finite number."""


class Interrupted(Exception):
    """A signal asked the task to stop; its checkpoint is written."""


@dataclass
class StopFlag:
    """Raised by a signal, looked at between steps. If it `escalates`, a second one stops at once."""

    signal: int = 0
    turning: bool = False
    escalates: bool = True

    def handle(self, number: int, frame: FrameType | None) -> None:
        at_once = self.escalates and (self.signal or not self.turning)
        self.signal = number
        if at_once:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM while inside; only possible in a process's main thread."""
        before = {number: signal.signal(number, self.handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class Turned:
    """What turning took: charged seconds (checkpoints and progress are not) and the losses of the last step."""

    seconds: float
    losses: dict[str, float]


def turn(
    work: Work,
    folder: Path,
    compute: Compute,
    *,
    progress: Progress,
    stop: StopFlag,
    checkpoint_seconds: float,
    still_ours: Callable[[], bool],
    say: Callable[[str], None],
) -> Turned:
    """Do the steps that are left. Writes a checkpoint every `checkpoint_seconds` and when asked to stop.

    Raises Interrupted after a signal, Diverged at a loss that is not finite, BenchmarkError when a checkpoint cannot
    be read or the task was taken over by another process.
    """
    path = folder / CHECKPOINT
    done, seconds, losses = _restore(work, path, compute)
    if done:
        say(f"going on from step {done} of {work.total_steps}")
    watch, saved_at = Stopwatch(compute.device, seconds), time.monotonic()
    stop.turning = True
    try:
        while done < work.total_steps:
            with watch.running():
                losses = work.step()
            done += 1
            if not all(math.isfinite(loss) for loss in losses.values()):
                raise Diverged(f"at step {done} of {work.total_steps}: {losses}")
            progress(done, work.total_steps, losses)
            if stop.signal or time.monotonic() - saved_at >= checkpoint_seconds:
                if not still_ours():
                    raise BenchmarkError("another process has taken this task over", where=str(folder))
                save_tree(path, _state(work, compute, done, watch.seconds, losses))
                saved_at = time.monotonic()
            if stop.signal:
                raise Interrupted(f"after step {done} of {work.total_steps}")
    finally:
        stop.turning = False
    return Turned(watch.seconds, losses)


def _state(work: Work, compute: Compute, done: int, seconds: float, losses: dict[str, float]) -> dict[str, object]:
    return {
        "work": work.state_dict(),
        "done": done,
        "seconds": seconds,
        "losses": losses,
        "threads": compute.threads,
        "chunk": compute.chunk,
    }


def _restore(work: Work, path: Path, compute: Compute) -> tuple[int, float, dict[str, float]]:
    if not path.exists():
        return 0, 0.0, {}
    state = load_tree(path, compute.device)
    work.load_state_dict(state["work"])
    return int(state["done"]), float(state["seconds"]), dict(state["losses"])


def as_begun(folder: Path, compute: Compute) -> Compute:
    """`compute` with the threads and chunk of the folder's checkpoint: with others the last bits would differ."""
    if not (folder / CHECKPOINT).exists():
        return compute
    state = load_tree(folder / CHECKPOINT)
    return replace(compute, threads=int(state["threads"]), chunk=int(state["chunk"]))
