"""One attempt at a task: what all kinds of tasks share, from reading their inputs to committing their record."""

from __future__ import annotations

import re
import traceback
from bdb import BdbQuit
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmark import datasets, networks
from benchmark.compute.allocator import out_of_memory
from benchmark.compute.environment import PeakMemory, describe
from benchmark.condensation.problem import TrainedExpert
from benchmark.condensation.synthetic_set import learned_lr, save_preview, save_set
from benchmark.datasets import Constants, Dataset, Split
from benchmark.datasets.normalization import ZCA, ChannelNormalizer, Normalizer, Whitener
from benchmark.datasets.splits import hold_out, long_tail
from benchmark.execution.loss_history import tracked
from benchmark.execution.method_code import method_code
from benchmark.execution.plug_ins import plug_ins_of
from benchmark.execution.run_steps import Diverged, RunResult, SnapshotSchedule, run_steps
from benchmark.execution.runtime import Outcome, ProgressFile, Runtime, Task, record_message
from benchmark.execution.stop_signals import Interrupted
from benchmark.execution.work import Work
from benchmark.networks.base import BlockNetwork
from benchmark.training.evaluation import seed_values
from benchmark.training.experts import ExpertFile
from benchmark.training.protocols import from_resolved
from benchmark.training.trainer import Recipe, Training, seeded_training
from benchmark.utils import seeding
from benchmark.utils.errors import BenchmarkError
from benchmark.utils.schedules import evenly_spaced
from benchmark.utils.seeding import Role
from benchmark.utils.tensor_files import load_tensors, write_bytes
from methods.base import Condenser, SyntheticSet
from methods.errors import MethodError
from results.errors import ResultsError, UnwritableError
from results.store.artifacts import checked_artifact
from results.store.atomic_files import sync_folder, writing
from results.store.inputs import RECORD, input_key
from results.store.lock import TaskLock
from results.store.schema import NEEDS_RETRY, Status
from results.store.store import Store

TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{32}")  # of a file that is being written


class Attempt:
    """One attempt at a task of any kind, made while its lock is held.

    companions: prepare tasks whose experts may be trained together with this task's. claim: locks such a task and
    returns an attempt at it, or None if it cannot start now.
    """

    peak_memory: PeakMemory

    def __init__(self, task: Task, runtime: Runtime, store: Store, lock: TaskLock) -> None:
        self.task, self.runtime, self.store, self.lock = task, runtime, store, lock
        self.resolved, self.folder = task["resolved"], store.folder(task)
        self.compute = runtime.compute
        self.checksums: dict[str, str] = {}  # SHA-256 of the files that this task keeps, by their path in its folder
        self.inputs: dict[str, str] = {}  # SHA-256 of the files of other tasks that it used, as a record has them
        self.notes: list[str] = []  # for the user, at the end of the attempt
        self._normalizer: Normalizer | None = None
        self.companions: Sequence[Task] = ()
        self.claim: Callable[[Task], Attempt | None] = lambda task: None

    # --- inputs -------------------------------------------------------------------------------------------------------

    def data(self) -> Dataset:
        """The task's dataset. Raises BenchmarkError if its images are not those that the task was planned with."""
        requested = self.task["requested"]
        data = load_dataset(requested["dataset"], requested["data_root"], requested.get("cache"))
        if data.fingerprint != self.resolved["dataset"]["fingerprint"]:
            raise BenchmarkError(
                f"the images of {data.name} are not those that the task was planned with",
                where=requested["dataset"],
                next="run the same command again to plan with the images that are there now",
                transient=True,
            )
        return data

    def splits(self) -> tuple[Split, Split]:
        """The training images without the withheld ones, and the withheld ones: the validation split.

        A long tail is given to the former alone.
        """
        data, imbalance = self.data(), self.resolved["dataset"].get("imbalance", 1.0)
        train, validation = hold_out(data.train, self.resolved["val_fraction"], data.fingerprint)
        return long_tail(train, imbalance, data.fingerprint) if imbalance > 1 else train, validation

    def on_device(self, split: Split) -> Split:
        """The split in the device's memory."""
        return Split(split.images.to(self.compute.device), split.labels.to(self.compute.device))

    def normalizer(self) -> Normalizer:
        """What turns pixels into what the task's networks see. Raises BenchmarkError or ResultsError as `artifact`."""
        if self._normalizer is None:
            data, device = self.resolved["dataset"], self.compute.device
            if whitening := data.get("whitening"):
                fitted, _ = load_tensors(self.artifact("whiten", whitening, "whitening.safetensors"), device)
                self._normalizer = Whitener(**fitted)
            else:
                self._normalizer = ChannelNormalizer(Constants(tuple(data["mean"]), tuple(data["std"])), device)
        return self._normalizer

    def network(self, generator: torch.Generator) -> BlockNetwork:
        """A network of the task's architecture, initialized with the generator."""
        data = self.data()
        network = networks.build(self.resolved["architecture"], data.image_shape, data.num_classes, generator)
        return network.to(self.compute.device)

    def experts(self, scratch: BlockNetwork | None = None) -> list[TrainedExpert]:
        """The experts that the task asks for, which share a scratch network."""
        scratch = scratch or self.scratch_network()
        return [self.expert(identity, scratch) for identity in self.resolved["experts"]]

    def expert(self, identity: str, scratch: BlockNetwork) -> TrainedExpert:
        """The expert that a prepare task trained."""
        file = ExpertFile(self.artifact("prepare", identity, "experts.safetensors"), self.compute.device)
        return TrainedExpert(scratch, file.epochs, file.read)

    def scratch_network(self) -> BlockNetwork:
        """A network whose weights are overwritten by those of experts."""
        return self.network(seeding.generator(Role.SCRATCH)).requires_grad_(False)

    def artifact(self, kind: str, identity: str, name: str) -> Path:
        """The path of a file that another task made, which the record of this task will name with its checksum.

        Raises ResultsError if the file is missing or is not the one that the other task's record names.
        """
        record = self.store.record({"kind": kind, "identity": identity})
        folder = self.store.folder({"kind": kind, "identity": identity})
        if record is None:
            raise ResultsError("an input has no record", where=str(folder), next="run the same command again")
        path = checked_artifact(folder, record, name)
        self.inputs[input_key(kind, identity, name)] = record["artifacts"][name]
        return path

    def failed_input_outcome(self, kind: str, identity: str) -> Outcome | None:
        """None if the input task is ok. If it has no record, a blocked outcome; else its status becomes this task's."""
        record = self.store.record({"kind": kind, "identity": identity})
        if record is None:
            return Outcome(Status.BLOCKED, f"an input has no record: {kind} {identity[:12]}")
        if record["status"] != Status.OK:
            self.inputs[input_key(kind, identity, RECORD)] = record["checksum"]
            return self.commit(record["status"], {}, RunResult(0.0, {}), 0, record["message"])
        return None

    # --- training and running -----------------------------------------------------------------------------------------

    def training(
        self, role: Role, values: Sequence[int | str], images: Tensor, labels: Tensor, recipe: Recipe
    ) -> Training:
        """The training of a new network. The seeds of its weights and draws hash the role and these values."""
        self.compute.choose_compile(recipe.samples_seen(len(labels)), images.shape)
        flip = self.resolved["dataset"]["flip"]
        normalize = self.normalizer()
        return seeded_training(role, values, self.network, images, labels, recipe, self.compute, normalize, flip=flip)

    def evaluation_training(self, images: Tensor, labels: Tensor, recipe: Recipe, index: int) -> Training:
        """The training of the evaluation network of this index on a set."""
        resolved = self.resolved
        values = seed_values(resolved["dataset"]["fingerprint"], resolved["architecture"], resolved["seed"], index)
        return self.training(Role.EVALUATION, values, images, labels, recipe)

    def set_recipe(self, synthetic: SyntheticSet) -> Recipe:
        """The recipe of the task's protocol for a set.

        Raises Diverged if it takes the learning rate that the set brings, and that is no positive number.
        """
        protocol, stored = from_resolved(self.resolved["protocol"]), len(synthetic.labels)
        recipe = protocol.recipe(stored, stored * synthetic.factor**2)
        try:
            lr = learned_lr(synthetic.training) if protocol.lr_from_set else None
        except BenchmarkError as error:
            raise Diverged(error.what, RunResult(0.0, {}), 0) from error
        return recipe if lr is None else replace(recipe, lr=lr)

    def whole_recipe(self, num_images: int) -> Recipe:
        """The recipe of the task's protocol for the whole training set."""
        return from_resolved(self.resolved["protocol"]).recipe_for_whole(num_images, self.resolved["whole"]["epochs"])

    def run_steps(self, work: Work, seconds: float = 0.0, schedule: SnapshotSchedule | None = None) -> RunResult:
        """`run_steps.run_steps` in the task's folder, with its progress file. Raises what that raises."""
        folder = self.store.root / "tensorboard" / self.task["kind"] / self.folder.name
        with tracked(self.runtime.progress, self.runtime.tracker, folder) as shown:
            progress = ProgressFile(self.folder, shown)
            try:
                return run_steps(
                    work,
                    self.folder,
                    self.compute,
                    owner=self.checkpoint_owner(),
                    seconds=seconds,
                    progress=progress,
                    stop=self.runtime.stop,
                    checkpoint_seconds=self.runtime.checkpoint_seconds,
                    owns_task=lambda: not self.lock.lost,
                    log=self.log,
                    schedule=schedule,
                )
            finally:
                progress.remove()

    def checkpoint_owner(self) -> dict[str, str]:
        """What a checkpoint belongs to: the task, and of a condense task the hash of the method's code."""
        is_condense = self.task["kind"] == "condense"
        code = method_code(self.resolved["method"])["sha256"] if is_condense else ""
        return {"task": self.task["identity"], "code": code}

    # --- outputs ------------------------------------------------------------------------------------------------------

    def snapshot_schedule(self, work: Condenser) -> SnapshotSchedule:
        """Saves the set at `snapshots` evenly spaced steps besides the first, if the task asks for snapshots."""
        count = self.resolved.get("snapshots")
        if not count:
            return SnapshotSchedule()
        folder = self.folder / "snapshots"
        with writing(folder):
            folder.mkdir(exist_ok=True)
            sync_folder(self.folder)

        def save_snapshot(step: int, seconds: float) -> dict[str, Any]:
            return {"sha256": save_set(folder / f"{step}.safetensors", self._with_card(work.synthetic()))}

        return SnapshotSchedule(frozenset(evenly_spaced(work.total_steps, count)), save_snapshot)

    def _with_card(self, synthetic: SyntheticSet) -> SyntheticSet:
        """The set with its card, and with the space in which it was condensed if that is not the usual one."""
        card = {"resolved": dict(self.resolved)}  # no clock, host or commit: equal tasks give equal bytes
        training = dict(synthetic.training) | ({"space": ZCA} if self.resolved["dataset"].get("whitening") else {})
        return replace(synthetic, training=training, card=card)

    def save_set(self, synthetic: SyntheticSet, run_result: RunResult, steps: int, facts: Mapping[str, Any]) -> Outcome:
        """Save a set with its preview and commit the record. facts: more of its result, with "classes" by name.

        Raises Diverged if an image is not finite, and ResultsError if a file cannot be written.
        """
        synthetic = self._with_card(synthetic)
        if not bool(synthetic.images.isfinite().all()):
            raise Diverged("the synthetic images are not finite", run_result, steps)
        self.checksums["synthetic.safetensors"] = save_set(self.folder / "synthetic.safetensors", synthetic)
        self.checksums["preview.png"] = save_preview(self.folder / "preview.png", synthetic, facts["classes"])
        result = {
            "stored_images": len(synthetic.labels),
            "decoded_images": len(synthetic.labels) * synthetic.factor**2,
            "factor": synthetic.factor,
            "bytes": (self.folder / "synthetic.safetensors").stat().st_size,
            "losses": run_result.losses,
            **facts,
        }
        return self.commit(Status.OK, result, run_result, steps)

    def commit(
        self, status: str, result: dict[str, Any], run_result: RunResult, steps: int, message: str = ""
    ) -> Outcome:
        """Write the task's record, after which the task is done. Raises ResultsError if it cannot be written."""
        if self.task["kind"] == "condense" and run_result.history.rows:
            content = run_result.history.to_csv().encode()
            self.checksums["losses.csv"] = write_bytes(self.folder / "losses.csv", content)
        record = {
            "kind": self.task["kind"],
            "identity": self.task["identity"],
            "status": status,
            "message": message,
            "spec": self.task["spec"],
            "resolved": self.resolved,
            "display": self.task["display"],
            "result": result,
            "artifacts": self.checksums,
            "inputs": self.inputs,
            "code": method_code(self.resolved["method"]) if self.task["kind"] == "condense" else None,
            "seconds": run_result.seconds,
            "steps": steps,
            "peak_memory_bytes": self.peak_memory.bytes(),
            "environment": describe(self.compute) | {"shared": self.runtime.shared} | plug_ins_of(self.task),
            "finished": datetime.now(UTC).isoformat(),
        }
        self.log(f"{status} {message}".strip())
        return Outcome(Status.DONE, record_message(record), new=self.store.commit(self.task, record))

    # --- errors, lock and log -----------------------------------------------------------------------------------------

    def catch_errors(self, run: Callable[[], Outcome]) -> Outcome:
        """run(); an error is recorded as a failed attempt. Raises Interrupted and KeyboardInterrupt alone."""
        try:
            return run()
        except Interrupted:
            raise
        except BdbQuit as error:
            raise KeyboardInterrupt("left by the debugger") from error
        except (torch.OutOfMemoryError, MemoryError) as error:
            return self.record_failure(Status.OUT_OF_MEMORY, str(error).partition("\n")[0] or "out of memory")
        except BenchmarkError as error:
            return self.record_failure(Status.INTERRUPTED if error.transient else Status.FAILED, one_line(error))
        except MethodError as error:
            return self.record_failure(Status.FAILED, one_line(error))
        except UnwritableError:
            raise  # nor could the attempt be recorded
        except ResultsError as error:
            return self.record_failure(Status.INTERRUPTED, one_line(error))
        except Exception as error:  # noqa: BLE001 -- one task's error must not stop the others; the log has all of it
            self.log(traceback.format_exc())
            status = Status.OUT_OF_MEMORY if out_of_memory(error) else Status.FAILED  # on a CPU, it is a RuntimeError
            return self.record_failure(status, f"{type(error).__name__}: {error} (see {self.folder / 'log.txt'})")

    def record_failure(self, status: str, message: str) -> Outcome:
        """Record a failed attempt. With status `interrupted`, the next run retries the task without being asked to."""
        self.log(f"{status}: {message}")
        try:
            self.store.attempt(self.task, status, message)
        except ResultsError as error:
            message += f" (nor could the attempt be recorded: {error.what})"
        return Outcome(Status.FAILED, message, needs_retry=status in NEEDS_RETRY)

    def release(self) -> None:
        """Release the lock. If it cannot be removed, the task's next attempt reports the error."""
        with suppress(ResultsError):
            self.lock.release()

    def clean_up(self) -> None:
        """Remove temporary files that a killed process left; only the owner of the lock writes them."""
        for path in [*self.folder.glob(".*"), *self.folder.glob("snapshots/.*")]:
            if TEMPORARY_NAME.fullmatch(path.name) and not path.name.startswith(".lock"):
                path.unlink(missing_ok=True)

    def note(self, text: str) -> None:
        """Log a sentence that the user should read, too."""
        self.notes.append(text)
        self.log(text)

    def log(self, text: str) -> None:
        """Append a line to log.txt, or nothing if the disk is full: what must be written reports that."""
        with suppress(OSError), (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")


def one_line(error: BenchmarkError | MethodError | ResultsError) -> str:
    """The error's message with its place and its cure, in one line."""
    return " ".join(part for part in (error.what, error.where and f"({error.where})", error.next) if part)


@lru_cache(maxsize=1)
def load_dataset(entry: str, data_root: str, cache: str | None) -> Dataset:
    """A task's dataset; the last one stays in memory, because the next task mostly uses the same."""
    return datasets.load(entry, Path(data_root), cache=Path(cache) if cache else None)
