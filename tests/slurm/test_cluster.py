"""Profiles of clusters: what they ask of sbatch, and what is wrong with one, told before anything is queued."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm.cluster import Profile, load
from slurm.errors import SlurmError


def written(folder: Path, text: str) -> str:
    (path := folder / "mine.yaml").write_text(text)
    return str(path)


def refused(name: str) -> str:
    with pytest.raises(SlurmError) as caught:
        load(name)
    return " | ".join((caught.value.what, caught.value.where, caught.value.next))


def test_the_examples_load_and_name_every_key() -> None:
    example = load("example")
    assert (example.partition, example.gpus, example.minutes) == ("gpu", 1, 240) and example.extra == {"nice": 100}
    text = (Path(__file__).parents[2] / "slurm/clusters/example.yaml").read_text()
    assert all(f"{name}:" in text for name in Profile.__dataclass_fields__)
    assert load("cpu").parameters()["time"] == 120


def test_what_is_left_out_is_left_to_the_cluster(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")).parameters() == {
        "cpus_per_task": 1, "time": 60, "signal_delay_s": 90, "array_parallelism": 256,
    }  # fmt: skip
    found = load(written(tmp_path, "memory: 1.5\ngpus: 2\nqos: long")).parameters()
    assert (found["mem"], found["gpus_per_node"], found["qos"]) == ("1536MB", 2, "long")


@pytest.mark.parametrize(("text", "said"), [
    ("partitoin: gpu", "a profile has no 'partitoin' | PATH | did you mean 'partition'?"),
    ("nice: 3", "anything else of sbatch goes under extra"),
    ("cpus: many", "cpus must be int, got 'many' | PATH"),
    ("cpus: 0", "cpus must be at least 1, got 0"),
    ("minutes: 1", "at most half of the time limit of 1 minutes; got 90"),
    ("at_once: 4", "4 tasks at once have 1 cores between them | PATH | raise cpus"),
    ("at_once: 4\ncpus: 4", "4 tasks at once, of 1 in a job | PATH | raise pack"),
    ("extra: {job_name: mine, wait: true}", "extra cannot set job-name, wait"),
    ("gpus: -1", "gpus cannot be negative"),
    ("memory: 0", "memory is in GB and positive"),
    ("- gpu", "a profile is a list of KEY: VALUE"),
    ("a: [", "cannot read the profile"),
])  # fmt: skip
def test_faults_are_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    assert said.replace("PATH", path) in refused(path)


def test_an_unknown_profile_is_told_with_those_there_are(tmp_path: Path) -> None:
    assert "there is no profile 'exmaple' | cluster=exmaple | did you mean 'example'? known: cpu, example" in refused(
        "exmaple"
    )
    assert "cannot read the profile" in refused(str(tmp_path / "none.yaml"))
