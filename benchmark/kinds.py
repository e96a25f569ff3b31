"""What a task of each kind does: train an expert, condense a set, take in one made elsewhere, evaluate a set."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from benchmark import datasets, networks, protocols, seeds
from benchmark.checkpoint import load_tensors, save_tensors
from benchmark.clock import Stopwatch
from benchmark.crank import Diverged, Turned, as_begun, turn
from benchmark.datasets import Constants, Dataset, Split
from benchmark.environment import PeakMemory, describe
from benchmark.errors import BenchmarkError
from benchmark.problem import ConcreteProblem, Normaliser, RealImages, TrainedExpert
from benchmark.protocols import WHOLE
from benchmark.pulse import Pulse
from benchmark.released.make import remake
from benchmark.runtime import Outcome, Runtime, worded
from benchmark.sets import load_set, save_preview, save_set
from benchmark.training import Recipe, Training, accuracy
from benchmark.works import Evaluation, ExpertTraining, Work
from methods import registry
from methods.base import SyntheticSet
from results.errors import ResultsError
from results.lock import TaskLock
from results.records import SCHEMA
from results.store import Store

ASIDE = re.compile(r"\..+\.[0-9a-f]{32}")  # how files are called while they are written


class Job:
    """One attempt at a task."""

    def __init__(self, task: Mapping[str, Any], runtime: Runtime, store: Store, lock: TaskLock) -> None:
        self.task, self.runtime, self.store, self.lock = task, runtime, store, lock
        self.asked, self.folder = task["asked"], store.folder(task)
        self.compute = runtime.compute

    def run(self) -> Outcome:
        kinds: dict[str, Callable[[], Outcome]] = {
            "prepare": self.prepare,
            "condense": self.condense,
            "import": self.take_in,
            "evaluate": self.evaluate,
        }
        self._sweep()
        self.compute = as_begun(self.folder, self.runtime.compute, self.log)
        job = os.environ.get("SLURM_JOB_ID")
        where = f"{socket.gethostname()}, SLURM job {job}" if job else socket.gethostname()
        self.log(f"begun on {self.compute.device}, {self.compute.threads} threads, {where}")
        self.compute.activate()
        self.memory = PeakMemory(self.compute.device)
        try:
            return kinds[self.task["kind"]]()
        except Diverged as error:
            return self.commit("diverged", {}, error.turned, error.steps, str(error))

    # --- the kinds ----------------------------------------------------------------------------------------------------

    def prepare(self) -> Outcome:
        """Train one expert on the real training images; keep its first and last weights."""
        asked, data = self.asked, self._data()
        kept, _ = datasets.hold_out(data.train, asked["validation"], data.fingerprint)
        images, labels = kept.images.to(self.compute.device), kept.labels.to(self.compute.device)
        recipe = expert_recipe(asked["recipe"], len(labels))
        roles = {
            "dataset": data.fingerprint,
            "architecture": asked["architecture"],
            "recipe": json.dumps(asked["recipe"], sort_keys=True),
            "index": asked["index"],
            "pool_seed": asked["pool_seed"],
        }
        training = self._training("expert", roles, images, labels, recipe)
        work = ExpertTraining(training)
        turned = self.turn(work)
        save_tensors(self.folder / "experts.safetensors", work.tensors(), {"expert": dict(asked)})
        fit = accuracy(training.network, Split(images, labels), self.compute, training.normalise)
        return self.commit("ok", {"train_accuracy": fit}, turned, work.total_steps)

    def condense(self) -> Outcome:
        """Let the method make its set."""
        asked, data = self.asked, self._data()
        method = registry.get(asked["method"])
        config = method.Config(**asked["settings"])
        scratch = self._network(seeds.generator("scratch")).requires_grad_(False)
        if reason := method.unsupported(config, depends_on_batch=scratch.depends_on_batch):
            return self.commit("unsupported", {}, Turned(0.0, {}), 0, reason)
        for expert in asked["experts"]:
            if blocked := self._blocked("prepare", expert):
                return blocked
        kept, _ = datasets.hold_out(data.train, asked["validation"], data.fingerprint)
        problem = ConcreteProblem(
            RealImages(kept, data.num_classes, self.compute.device),
            [self._expert(identity, scratch) for identity in asked["experts"]],
            self.compute,
            self._normaliser(),
            ipc=asked["ipc"],
            image_shape=data.image_shape,
            architecture=asked["architecture"],
            flip=asked["dataset"]["flip"],
            seed=asked["seed"],
            fingerprint=data.fingerprint,
        )
        watch = Stopwatch(self.compute.device)
        with watch.running():  # a selection method does all its work here
            work = method(problem, config)
        turned = self.turn(work, watch.seconds)
        return self._keep(work.synthetic(), turned, work.total_steps)

    def take_in(self) -> Outcome:
        """Keep a set that was made elsewhere as one of ours."""
        watch = Stopwatch(self.compute.device)
        with watch.running():
            synthetic, facts = remake(self.task["request"], self.asked, self._data())
        return self._keep(synthetic, Turned(watch.seconds, {}), 0, facts)

    def evaluate(self) -> Outcome:
        """Train fresh networks on a set, or on the whole training set, and score each once on the test split."""
        asked, data = self.asked, self._data()
        kept, withheld = datasets.hold_out(data.train, asked["validation"], data.fingerprint)
        protocol = protocols.Protocol(**asked["protocol"] | {"drops": tuple(asked["protocol"]["drops"]), "source": ""})
        if asked["set"] == WHOLE:
            images, labels = kept.images.to(self.compute.device), kept.labels.to(self.compute.device)
            recipe = protocol.recipe_for_whole(len(labels), asked["whole"]["epochs"])
        else:
            kind = "import" if asked.get("imported") else "condense"
            if blocked := self._blocked(kind, asked["set"]):
                return blocked
            stored = load_set(self._artefact(kind, asked["set"], "synthetic.safetensors"), self.compute.device)
            images, labels = stored.decode()
            recipe = protocol.recipe(len(stored.labels), len(labels))
        roles = {
            "dataset": data.fingerprint,
            "architecture": asked["architecture"],
            "protocol": f"{protocol.name}.{protocol.version}",
            "seed": asked["seed"],
        }

        def new_training(index: int) -> Training:
            # The method is no part of these seeds: every method's set meets the same initial weights.
            return self._training("evaluation", roles | {"network": index}, images, labels, recipe)

        work = Evaluation(new_training, asked["networks"], data.test, withheld, self.compute, self._normaliser())
        turned = self.turn(work)
        result = {
            "accuracies": work.accuracies,
            "validation_accuracies": work.validation,
            "optimiser_steps": work.steps_each,
            "test_images": len(data.test.labels),
            "decoded_images": len(labels),
        }
        return self.commit("ok", result, turned, work.total_steps)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _training(
        self, use: str, roles: Mapping[str, Any], images: torch.Tensor, labels: torch.Tensor, recipe: Recipe
    ) -> Training:
        """A fresh network about to learn; its weights and every draw come from `use` and `roles` alone."""
        return Training(
            self._network(seeds.generator(f"{use}-network", **roles)),
            images,
            labels,
            recipe,
            self.compute,
            self._normaliser(),
            lambda draw, at: seeds.generator(f"{use}-{draw}", **roles, at=at),
            flip=self.asked["dataset"]["flip"],
        )

    def turn(self, work: Work, seconds: float = 0.0) -> Turned:
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
            )
        finally:
            pulse.end()

    def _sweep(self) -> None:
        """Remove what a kill left half-written: hidden files that only the owner of the lock writes."""
        for path in self.folder.glob(".*"):
            if ASIDE.fullmatch(path.name) and not path.name.startswith(".lock"):
                path.unlink(missing_ok=True)

    def _data(self) -> Dataset:
        request = self.task["request"]
        data = load_once(request["dataset"], request["data_root"])
        if data.fingerprint != self.asked["dataset"]["fingerprint"]:
            raise BenchmarkError(
                f"the images of {data.name} are not those that were planned for",
                where=request["dataset"],
                next="run the same command again to plan with the images that are there now",
                passing=True,
            )
        return data

    def _normaliser(self) -> Normaliser:
        data = self.asked["dataset"]
        return Normaliser(Constants(tuple(data["mean"]), tuple(data["std"])), self.compute.device)

    def _network(self, generator: torch.Generator) -> networks.Network:
        data = self._data()
        built = networks.build(self.asked["architecture"], data.image_shape, data.num_classes, generator)
        return built.to(self.compute.device)

    def _expert(self, identity: str, scratch: networks.Network) -> TrainedExpert:
        path = self._artefact("prepare", identity, "experts.safetensors")
        tensors, _ = load_tensors(path, self.compute.device)
        both = {
            part: {name.removeprefix(f"{part}/"): t for name, t in tensors.items() if name.startswith(f"{part}/")}
            for part in ("initial", "trained")
        }
        return TrainedExpert(scratch, both["initial"], both["trained"])

    def _artefact(self, kind: str, identity: str, name: str) -> Path:
        return self.store.folder({"kind": kind, "identity": identity}) / name

    def _blocked(self, kind: str, identity: str) -> Outcome | None:
        """What keeps this task from being done when an input has not come to a good end."""
        record = self.store.record({"kind": kind, "identity": identity})
        if record is None:
            return Outcome("blocked", f"what it needs is not there: {kind} {identity[:12]}")
        if record["status"] != "ok":
            return self.commit(record["status"], {}, Turned(0.0, {}), 0, record["message"])
        return None

    def _keep(
        self, synthetic: SyntheticSet, turned: Turned, steps: int, facts: Mapping[str, Any] | None = None
    ) -> Outcome:
        card = {"asked": dict(self.asked)}  # nothing that is not part of the identity: equal tasks, equal bytes
        synthetic = SyntheticSet(
            synthetic.images, synthetic.labels, synthetic.ipc, synthetic.factor, synthetic.training, card
        )
        if not bool(synthetic.images.isfinite().all()):
            raise Diverged("the synthetic images are not finite", turned, steps)
        path = self.folder / "synthetic.safetensors"
        digest = save_set(path, synthetic)
        save_preview(self.folder / "preview.png", synthetic)
        result = {
            "stored_images": len(synthetic.labels),
            "decoded_images": len(synthetic.labels) * synthetic.factor**2,
            "factor": synthetic.factor,
            "bytes": path.stat().st_size,
            "sha256": digest,
            "losses": turned.losses,
            **(facts or {}),
        }
        return self.commit("ok", result, turned, steps)

    def commit(self, status: str, result: dict[str, Any], turned: Turned, steps: int, message: str = "") -> Outcome:
        record = {
            "schema": SCHEMA,
            "kind": self.task["kind"],
            "identity": self.task["identity"],
            "status": status,
            "message": message,
            "asked": self.asked,
            "label": self.task["label"],
            "result": result,
            "seconds": turned.seconds,
            "steps": steps,
            "peak_memory_bytes": self.memory.bytes(),
            "environment": describe(self.compute) | {"shared": self.runtime.shared},
            "finished": datetime.now(UTC).isoformat(),
        }
        self.log(f"{status} {message}".strip())
        return Outcome("done", worded(record), new=self.store.commit(self.task, record))

    def failed(self, status: str, message: str) -> Outcome:
        """Note an attempt. `interrupted`, for what lies in the surroundings, goes on at the next run without more."""
        self.log(f"{status}: {message}")
        try:
            self.store.attempt(self.task, status, message)
        except ResultsError as error:
            message += f" (nor could the attempt be noted: {error.what})"
        return Outcome("failed", message)

    def log(self, text: str) -> None:
        """Append a line; on a full disk the task's own errors say what is wrong."""
        with suppress(OSError), (self.folder / "log.txt").open("a") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} {text}\n")


@lru_cache(maxsize=1)
def load_once(entry: str, data_root: str) -> Dataset:
    """The dataset of a task; the last one stays in memory, as the next task mostly wants the same."""
    return datasets.load(entry, Path(data_root))


def expert_recipe(recipe: Mapping[str, Any], images: int) -> Recipe:
    """An expert's recipe in optimiser steps; lr falls after int(fraction · epochs) epochs."""
    each = -(-images // recipe["batch"])
    return Recipe(
        steps=recipe["epochs"] * each,
        batch=recipe["batch"],
        lr=recipe["lr"],
        momentum=recipe["momentum"],
        weight_decay=recipe["weight_decay"],
        drops=tuple(int(part * recipe["epochs"] + 1e-9) * each for part in recipe["milestones"]),
        gamma=recipe["gamma"],
        reset_at_drop=False,
        augment=recipe["augment"],
        cutmix=recipe["cutmix"],
    )
