"""One attempt at a task: what every kind shares, from the data it reads to the record it leaves."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmark import datasets, networks
from benchmark.compute.allocator import out_of_memory
from benchmark.compute.environment import PeakMemory, describe
from benchmark.condensation.problem import TrainedExpert
from benchmark.condensation.synthetic_set import save_preview, save_set
from benchmark.datasets import Constants, Dataset, Split
from benchmark.datasets.normalization import Normalizer
from benchmark.datasets.splits import hold_out
from benchmark.execution.interruption import Interrupted
from benchmark.execution.method_code import method_code
from benchmark.execution.run_steps import Diverged, RunResult, SnapshotSchedule, turn
from benchmark.execution.runtime import Outcome, Pulse, Runtime, worded
from benchmark.execution.work import Work
from benchmark.networks.base import BlockNetwork
from benchmark.training.trainer import Recipe, Training
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.schedules import evenly
from benchmark.utils.seeding import Role
from benchmark.utils.tensor_files import load_tensors
from methods.base import Condenser, SyntheticSet
from methods.errors import MethodError
from results.errors import ResultsError
from results.store.atomic_files import writing
from results.store.lock import TaskLock
from results.store.schema import SCHEMA, Status
from results.store.store import Store

ASIDE = re.compile(r"\..+\.[0-9a-f]{32}")  # how files are called while they are written


class Attempt:
    """One attempt at a task, whatever its kind."""

    memory: PeakMemory

    def __init__(self, task: Mapping[str, Any], runtime: Runtime, store: Store, lock: TaskLock) -> None:
        self.task, self.runtime, self.store, self.lock = task, runtime, store, lock
        self.resolved, self.folder = task["resolved"], store.folder(task)
        self.compute = runtime.compute
        self.checksums: dict[str, str] = {}  # SHA-256 of what this task keeps, by its path in the folder
        self.alike: Sequence[Mapping[str, Any]] = ()  # tasks that may be done along with this one
        self.claim: Callable[[Mapping[str, Any]], Attempt | None] = lambda task: None  # an attempt at one that is free

    def training(
        self, role: Role, values: Sequence[int | str], images: torch.Tensor, labels: torch.Tensor, recipe: Recipe
    ) -> Training:
        """A fresh network about to learn; its weights and every draw come from the role and its values alone."""
        self.compute.expect(recipe.seen(len(labels)), images.shape)
        return Training(
            self.network(seeding.generator(role, *values, "weights", 0)),
            images,
            labels,
            recipe,
            self.compute,
            self.normalizer(),
            lambda draw, at: seeding.generator(role, *values, draw, at),
            flip=self.resolved["dataset"]["flip"],
        )

    def new_training(self, images: torch.Tensor, labels: torch.Tensor, recipe: Recipe, network: int) -> Training:
        """A network about to learn a set under the task's protocol.

        Neither method nor protocol is part of its seeds: every set and snapshot meets the same initial weights.
        """
        resolved = self.resolved
        values = resolved["dataset"]["fingerprint"], resolved["architecture"], resolved["seed"], network
        return self.training(Role.EVALUATION, values, images, labels, recipe)

    def turn(self, work: Work, seconds: float = 0.0, schedule: SnapshotSchedule | None = None) -> RunResult:
        pulse = Pulse(self.folder, self.runtime.progress)
        try:
            return turn(
                work,
                self.folder,
                self.compute,
                seconds=seconds,
                progress=pulse,
                stop=self.runtime.stop,
                checkpoint_seconds=self.runtime.checkpoint_seconds,
                still_ours=lambda: not self.lock.lost,
                say=self.log,
                schedule=schedule,
            )
        finally:
            pulse.end()

    def release(self) -> None:
        """Leave the task to whoever wants it; a lock that cannot be removed is told when its turn comes."""
        with suppress(ResultsError):
            self.lock.release()

    def clean_up(self) -> None:
        """Remove what a kill left half-written: hidden files that only the owner of the lock writes."""
        for path in [*self.folder.glob(".*"), *self.folder.glob("snapshots/.*")]:
            if ASIDE.fullmatch(path.name) and not path.name.startswith(".lock"):
                path.unlink(missing_ok=True)

    def data(self) -> Dataset:
        requested = self.task["requested"]
        data = load_once(requested["dataset"], requested["data_root"])
        if data.fingerprint != self.resolved["dataset"]["fingerprint"]:
            raise BenchmarkError(
                f"the images of {data.name} are not those that were planned for",
                where=requested["dataset"],
                next="run the same command again to plan with the images that are there now",
                passing=True,
            )
        return data

    def splits(self) -> tuple[Split, Split]:
        """The training images that tasks learn from, and those that are withheld."""
        data = self.data()
        return hold_out(data.train, self.resolved["val_fraction"], data.fingerprint)

    def normalizer(self) -> Normalizer:
        data = self.resolved["dataset"]
        return Normalizer(Constants(tuple(data["mean"]), tuple(data["std"])), self.compute.device)

    def network(self, generator: torch.Generator) -> BlockNetwork:
        data = self.data()
        built = networks.build(self.resolved["architecture"], data.image_shape, data.num_classes, generator)
        return built.to(self.compute.device)

    def expert(self, identity: str, scratch: BlockNetwork) -> TrainedExpert:
        path = self.artefact("prepare", identity, "experts.safetensors")
        tensors, _ = load_tensors(path, self.compute.device)
        both = {
            part: {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
            for part in ("initial", "trained")
        }
        return TrainedExpert(scratch, both["initial"], both["trained"])

    def artefact(self, kind: str, identity: str, name: str) -> Path:
        return self.store.folder({"kind": kind, "identity": identity}) / name

    def skip_reason(self, kind: str, identity: str) -> Outcome | None:
        """What keeps this task from being done when an input has not come to a good end."""
        record = self.store.record({"kind": kind, "identity": identity})
        if record is None:
            return Outcome(Status.BLOCKED, f"what it needs is not there: {kind} {identity[:12]}")
        if record["status"] != Status.OK:
            return self.commit(record["status"], {}, RunResult(0.0, {}), 0, record["message"])
        return None

    def snapshots(self, work: Condenser) -> SnapshotSchedule:
        """Marks at which the set as it stands is kept, if the task asks for `snapshots`: so many beside the first."""
        wanted = self.resolved.get("snapshots")
        if not wanted:
            return SnapshotSchedule()
        folder = self.folder / "snapshots"
        with writing(folder):
            folder.mkdir(exist_ok=True)

        def keep_snapshot(step: int, seconds: float) -> dict[str, Any]:
            return {"sha256": save_set(folder / f"{step}.safetensors", self._carded(work.synthetic()))}

        return SnapshotSchedule(frozenset(evenly(work.total_steps, wanted)), keep_snapshot)

    def _carded(self, synthetic: SyntheticSet) -> SyntheticSet:
        card = {"resolved": dict(self.resolved)}  # nothing that is not part of the identity: equal tasks, equal bytes
        return SyntheticSet(
            synthetic.images, synthetic.labels, synthetic.ipc, synthetic.factor, synthetic.training, card
        )

    def save_set(
        self, synthetic: SyntheticSet, run_result: RunResult, steps: int, facts: Mapping[str, Any] | None = None
    ) -> Outcome:
        synthetic = self._carded(synthetic)
        if not bool(synthetic.images.isfinite().all()):
            raise Diverged("the synthetic images are not finite", run_result, steps)
        self.checksums["synthetic.safetensors"] = save_set(self.folder / "synthetic.safetensors", synthetic)
        self.checksums["preview.png"] = save_preview(self.folder / "preview.png", synthetic)
        result = {
            "stored_images": len(synthetic.labels),
            "decoded_images": len(synthetic.labels) * synthetic.factor**2,
            "factor": synthetic.factor,
            "bytes": (self.folder / "synthetic.safetensors").stat().st_size,
            "losses": run_result.losses,
            **(facts or {}),
        }
        return self.commit(Status.OK, result, run_result, steps)

    def commit(
        self, status: str, result: dict[str, Any], run_result: RunResult, steps: int, message: str = ""
    ) -> Outcome:
        record = {
            "schema": SCHEMA,
            "kind": self.task["kind"],
            "identity": self.task["identity"],
            "status": status,
            "message": message,
            "spec": self.task["spec"],
            "resolved": self.resolved,
            "display": self.task["display"],
            "result": result,
            "artifacts": self.checksums,
            "code": method_code(self.resolved["method"]) if self.task["kind"] == "condense" else None,
            "seconds": run_result.seconds,
            "steps": steps,
            "peak_memory_bytes": self.memory.bytes(),
            "environment": describe(self.compute) | {"shared": self.runtime.shared},
            "finished": datetime.now(UTC).isoformat(),
        }
        self.log(f"{status} {message}".strip())
        return Outcome(Status.DONE, worded(record), new=self.store.commit(self.task, record))

    def guarded(self, do: Callable[[], Outcome]) -> Outcome:
        """do(), or what went wrong, noted as an attempt. Interrupted and KeyboardInterrupt pass through."""
        try:
            return do()
        except Interrupted:
            raise
        except (torch.OutOfMemoryError, MemoryError) as error:
            return self.failed(Status.OUT_OF_MEMORY, str(error).partition("\n")[0] or "out of memory")
        except BenchmarkError as error:
            return self.failed(Status.INTERRUPTED if error.passing else Status.FAILED, sentence(error))
        except MethodError as error:
            return self.failed(Status.FAILED, sentence(error))
        except ResultsError as error:
            return self.failed(Status.INTERRUPTED, sentence(error))
        except Exception as error:  # noqa: BLE001 -- one task's fault must not stop the others; the log has it whole
            self.log(traceback.format_exc())
            status = Status.OUT_OF_MEMORY if out_of_memory(error) else Status.FAILED  # a CPU's RuntimeError
            return self.failed(status, f"{type(error).__name__}: {error} (see {self.folder / 'log.txt'})")

    def failed(self, status: str, message: str) -> Outcome:
        """Note an attempt. `interrupted`, for what lies in the surroundings, goes on at the next run without more."""
        self.log(f"{status}: {message}")
        try:
            self.store.attempt(self.task, status, message)
        except ResultsError as error:
            message += f" (nor could the attempt be noted: {error.what})"
        return Outcome(Status.FAILED, message)

    def log(self, text: str) -> None:
        """Append a line; on a full disk the task's own errors say what is wrong."""
        with suppress(OSError), (self.folder / "log.txt").open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")


def sentence(error: BenchmarkError | MethodError | ResultsError) -> str:
    """An error in one line."""
    return " ".join(part for part in (error.what, error.where and f"({error.where})", error.next) if part)


@lru_cache(maxsize=1)
def load_once(entry: str, data_root: str) -> Dataset:
    """The dataset of a task; the last one stays in memory, as the next task mostly wants the same."""
    return datasets.load(entry, Path(data_root))
