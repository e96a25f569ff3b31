"""What a task of each kind does: train an expert, condense a set, take in one made elsewhere, evaluate, analyse."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from benchmark.compute.compilation import COMPILER
from benchmark.compute.environment import PeakMemory
from benchmark.condensation.problem import ConcreteProblem, RealImages, expect_steps
from benchmark.condensation.synthetic_set import load_set
from benchmark.execution.attempt import Attempt
from benchmark.execution.run_steps import Diverged, Turned, as_begun
from benchmark.execution.runtime import Outcome
from benchmark.execution.work import Evaluation
from benchmark.external_sets.convert import remake
from benchmark.tasks.analyze import analyse
from benchmark.tasks.prepare import prepare
from benchmark.training import protocols
from benchmark.training.protocols import WHOLE
from benchmark.training.trainer import Training
from benchmark.utils import seeding
from benchmark.utils.seeding import Role
from benchmark.utils.timing import Stopwatch
from methods import registry


class Job(Attempt):
    """One attempt at a task."""

    def run(self) -> Outcome:
        kinds: dict[str, Callable[[], Outcome]] = {
            "prepare": lambda: prepare(self),
            "condense": self.condense,
            "import": self.take_in,
            "evaluate": self.evaluate,
            "analyse": lambda: analyse(self),
        }
        self.sweep()
        self.compute = as_begun(self.folder, self.runtime.compute, self.log)
        job = os.environ.get("SLURM_JOB_ID")
        where = f"{socket.gethostname()}, SLURM job {job}" if job else socket.gethostname()
        self.log(f"begun on {self.compute.device}, {self.compute.threads} threads, {where}")
        self.compute.activate()
        COMPILER.begin_task(self.log)
        self.memory = PeakMemory(self.compute.device)
        try:
            return kinds[self.task["kind"]]()
        except Diverged as error:
            return self.commit("diverged", {}, error.turned, error.steps, str(error))

    # --- the kinds ----------------------------------------------------------------------------------------------------

    def condense(self) -> Outcome:
        """Let the method make its set."""
        asked, data = self.asked, self.data()
        method = registry.get(asked["method"])
        config = method.Config(**asked["settings"])
        scratch = self.network(seeding.generator(Role.SCRATCH)).requires_grad_(False)
        if reason := method.unsupported(config, depends_on_batch=scratch.depends_on_batch):
            return self.commit("unsupported", {}, Turned(0.0, {}), 0, reason)
        for expert in asked["experts"]:
            if blocked := self.blocked("prepare", expert):
                return blocked
        kept, _ = self.splits()
        problem = ConcreteProblem(
            RealImages(kept, data.num_classes, self.compute.device),
            [self.expert(identity, scratch) for identity in asked["experts"]],
            self.compute,
            self.normaliser(),
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
        cell = {"classes": data.num_classes, "ipc": asked["ipc"], "image_shape": data.image_shape}
        expect_steps(self.compute, work.total_steps, config, **cell)
        marks = self.snapshots(work)
        turned = self.turn(work, watch.seconds, marks)
        self.checksums |= {f"snapshots/{look['step']}.safetensors": look["sha256"] for look in marks.taken}
        facts = {"snapshots": [{key: look[key] for key in ("step", "seconds")} for look in marks.taken]}
        return self.keep(work.synthetic(), turned, work.total_steps, facts if marks.at else {})

    def take_in(self) -> Outcome:
        """Keep a set that was made elsewhere as one of ours."""
        watch = Stopwatch(self.compute.device)
        with watch.running():
            synthetic, facts = remake(self.task["request"], self.asked, self.data())
        return self.keep(synthetic, Turned(watch.seconds, {}), 0, facts)

    def evaluate(self) -> Outcome:
        """Train fresh networks on a set, or on the whole training set, and score each once on the test split."""
        asked, data = self.asked, self.data()
        kept, withheld = self.splits()
        protocol = protocols.from_asked(asked["protocol"])
        if asked["set"] == WHOLE:
            images, labels = kept.images.to(self.compute.device), kept.labels.to(self.compute.device)
            recipe = protocol.recipe_for_whole(len(labels), asked["whole"]["epochs"])
        else:
            kind = "import" if asked.get("imported") else "condense"
            if blocked := self.blocked(kind, asked["set"]):
                return blocked
            stored = load_set(self.artefact(kind, asked["set"], "synthetic.safetensors"), self.compute.device)
            images, labels = stored.decode()
            recipe = protocol.recipe(len(stored.labels), len(labels))
        self.compute.expect(asked["networks"] * recipe.seen(len(labels)), images.shape)

        def new_training(index: int) -> Training:
            return self.learner(images, labels, recipe, index)

        work = Evaluation(new_training, asked["networks"], data.test, withheld, self.compute, self.normaliser())
        turned = self.turn(work)
        result = {
            "accuracies": work.accuracies,
            "right_per_class": work.right,
            "validation_accuracies": work.validation_accuracies,
            "validation_right_per_class": work.validation_right,
            "optimiser_steps": work.steps_each,
            "test_images": len(data.test.labels),
            "test_images_per_class": list(data.test.counts(data.num_classes)),
            "validation_images_per_class": list(withheld.counts(data.num_classes)) if len(withheld) else [],
            "decoded_images": len(labels),
        }
        return self.commit("ok", result, turned, work.total_steps)
