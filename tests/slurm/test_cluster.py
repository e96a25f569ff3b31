"""Cluster files: what they request from sbatch, and errors that are reported before anything is queued."""

from __future__ import annotations

from pathlib import Path

import pytest

from slurm.cluster import Cluster, load
from slurm.errors import SlurmError


def written(folder: Path, text: str) -> str:
    (path := folder / "mine.yaml").write_text(text)
    return str(path)


def error_of(name: str) -> str:
    with pytest.raises(SlurmError) as caught:
        load(name)
    return " | ".join((caught.value.what, caught.value.where, caught.value.next))


def test_the_examples_load_and_name_every_key() -> None:
    example = load("example")
    assert (example.partition, example.gpus, example.timeout_min) == ("gpu", 1, 240)
    assert example.extra == {"nice": 100}
    text = (Path(__file__).parents[2] / "slurm/clusters/example.yaml").read_text()
    assert all(f"{name}:" in text for name in Cluster.__dataclass_fields__)
    assert load("cpu").submitit_parameters()["time"] == 120


def test_keys_that_are_left_out_are_left_to_the_cluster(tmp_path: Path) -> None:
    assert load(written(tmp_path, "")).submitit_parameters() == {
        "cpus_per_task": 1, "time": 60, "signal_delay_s": 90, "array_parallelism": 256,
    }  # fmt: skip
    parameters = load(written(tmp_path, "memory: 1.5\ngpus: 2\nqos: long")).submitit_parameters()
    assert (parameters["mem"], parameters["gpus_per_node"], parameters["qos"]) == ("1536MB", 2, "long")


@pytest.mark.parametrize(("text", "message"), [
    ("partitoin: gpu", "a cluster file has no key 'partitoin' | PATH | did you mean 'partition'?"),
    ("task_per_job: 2", "did you mean 'tasks_per_job'? known: partition, "),
    ("nice: 3", "any other option of sbatch goes under extra"),
    ("cpus: many", "cpus must be a whole number from 1 to 65,535, got 'many' | PATH"),
    ("cpus: 0", "cpus must be a whole number from 1 to 65,535, got 0"),
    ("cpus: 1000000000000000000000", "cpus must be a whole number from 1 to 65,535"),
    ("max_array_size: 0", "max_array_size must be a whole number from 1 to 4,000,001, got 0"),
    ("timeout_min: 0", "timeout_min must be a whole number from 1 to 525,600 minutes, got 0"),
    ("timeout_min: 1", "signal_seconds must be at most half of the time limit of 1 minutes; got 90"),
    ("signal_seconds: 70000\ntimeout_min: 500000",
     "signal_seconds must be a whole number from 1 to 65,535 seconds, got 70000"),
    ("concurrent_tasks: 4", "concurrent_tasks=4 is more than cpus=1 | PATH | raise cpus"),
    ("concurrent_tasks: 4\ncpus: 4", "concurrent_tasks=4 is more than tasks_per_job=1 | PATH | raise tasks_per_job"),
    ("extra: {job_name: mine, wait: true}", "extra cannot set job-name, wait"),
    ("gpus: -1", "gpus must be a whole number from 0 to 1,024, got -1"),
    *((f"memory: {value}", "memory must be a number from 0.1 to 1,000,000 GB")
      for value in ("0", ".nan", ".inf", "0.0001", -1)),
    ("partition: ''", "partition must be one line of text"),
    ('qos: "long\\nshort"', "qos must be one line of text or a number, got 'long\\nshort'"),
    ("extra: {nice: [1, 2]}", "extra.nice must be one line of text or a number, got [1, 2]"),
    *((f"extra: {value}", "extra must be options of sbatch with their values, such as {nice: 100}, got ")
      for value in ("list", "[a]", "null")),
    *((f"setup: {value}", "setup must be a list of shell commands, such as [module load cuda], got ")
      for value in ("module load x", "{a: 1}", "[[a]]", "[null]")),
    ("memory: 4GB", "memory must be a number from 0.1 to 1,000,000 GB, got '4GB'"),
    *((f"timeout_min: {value}", "timeout_min must be a whole number from 1 to 525,600 minutes, got ")
      for value in ("2h", "1:30", "1:30:00", ".nan", ".inf", "1.5", "null")),
    ("partition: [a, b]", "partition must be one line of text, got ['a', 'b']"),
    ("- gpu", "it must hold keys and values, got list"),
    ("a: [", "cannot read the cluster file"),
])  # fmt: skip
def test_errors_name_the_fault(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    assert message.replace("PATH", path) in error_of(path)


@pytest.mark.parametrize(
    "text", ["2026", "0123", "0x1f", "1_000", "1:30", "1.10", "1e3", "2026-11-30", ".nan", "${a}${a}"]
)
def test_texts_that_look_like_numbers_stay_as_written(tmp_path: Path, text: str) -> None:
    cluster = load(written(tmp_path, f"partition: {text}\nextra:\n  begin: {text}\nsetup:\n  - echo {text}"))
    assert cluster.submitit_parameters()["partition"] == text
    assert str(cluster.extra["begin"]) == text
    assert cluster.setup == [f"echo {text}"]


def test_numbers_in_quotes_and_with_exponents_are_numbers(tmp_path: Path) -> None:
    cluster = load(written(tmp_path, "cpus: '8'\nmemory: 1e3\ntimeout_min: 90\nextra: {exclusive: true, nice: 5}"))
    assert (cluster.cpus, cluster.memory, cluster.timeout_min) == (8, 1000.0, 90)
    assert cluster.extra == {"exclusive": True, "nice": 5}


def test_an_unknown_cluster_is_reported_with_the_known_ones(tmp_path: Path) -> None:
    expected = "there is no cluster 'exmaple' | cluster=exmaple | did you mean 'example'? known: cpu, example"
    assert expected in error_of("exmaple")
    assert "cannot read the cluster file" in error_of(str(tmp_path / "none.yaml"))
