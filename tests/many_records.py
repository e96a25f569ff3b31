"""Made-up records of grids of tasks, small and large, and stores of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

from record_parts import make_record, scores, task_of
from results.store.atomic_files import to_json
from results.store.identity import identity

Record = dict[str, Any]

DATASETS = {"cifar10": 10, "cifar100": 100, "svhn": 10, "fashionmnist": 10, "tinyimagenet": 200}
NETWORKS = ("convnet3", "resnet10-bn", "densenet121-g12-bn")
PROTOCOLS = {"dsa": 1000, "dance": 1500, "idc": 1000}
FAMILIES = ("coreset", "gradient matching", "distribution matching")
IPCS, EXPERTS = (1, 2, 5, 10, 50), 5
ARTIFACTS = {"prepare": "experts.safetensors", "condense": "synthetic.safetensors"}
ENVIRONMENT = {
    **{"device": "NVIDIA H100", "device_type": "cuda", "cuda": "12.8", "host": "node7", "slurm_job": "4711"},
    **{"python": "3.11.7", "torch": "2.14.1+cu130", "torchvision": "0.29.1+cu130", "precision": "fp32"},
    **{"commit": "257cdaa0cc1a228054b3389009e7b361bfef834c", "dirty": False, "shared": False},
    **{"chunk": 64, "threads": 8},
}


def many_records(
    rows: int,
    seeds: int,
    datasets: Iterable[str] = DATASETS,
    ipcs: Iterable[int] = IPCS,
    networks: Iterable[str] = NETWORKS,
    protocols: Iterable[str] = PROTOCOLS,
) -> Iterator[Record]:
    """Records of `rows` methods, the first of them random, with `seeds` sets a cell; every second uses experts.

    All defaults: 250·rows·seeds records and 25 experts.
    """
    for dataset in datasets:
        experts = [_expert(dataset, index) for index in range(EXPERTS)]
        yield from experts
        for ipc, row, seed in product(ipcs, range(rows), range(seeds)):
            condensed = _condensed(dataset, ipc, row, seed, [e["identity"] for e in experts] if row % 2 else [])
            yield condensed
            for network, protocol in product(networks, protocols):
                yield _evaluated(condensed, network, protocol)


def write_store(root: Path, records: Iterable[Record]) -> Path:
    """Folders as `Store.commit` leaves them, without syncing the disk; sets and experts are empty files."""
    for record in records:
        slug = record["display"].get("display_name", "expert")
        folder = root / record["kind"] / f"{slug}-{record['identity'][:12]}"
        folder.mkdir(parents=True)
        (folder / "task.json").write_text(to_json(task_of(record, slug)))
        (folder / "record.json").write_text(to_json(record))
        if record["kind"] in ARTIFACTS:
            (folder / ARTIFACTS[record["kind"]]).touch()
    return root


def _expert(dataset: str, index: int) -> Record:
    recipe = {"augment": "idc:color_crop", "batch": 64, "cutmix": 0.5, "epochs": 60, "lr_gamma": 0.2, "lr": 0.01}
    recipe |= {"lr_milestones": [0.666666666666, 0.833333333333], "momentum": 0.9, "weight_decay": 5e-4}
    resolved = {"dataset": _dataset(dataset), "architecture": "convnet3", "recipe": recipe}
    resolved |= {"index": index, "expert_seed": 0, "version": 1}
    display = {"dataset": dataset, "dataset_title": dataset.upper(), "num_classes": DATASETS[dataset]}
    return _record("prepare", resolved, display, {"train_accuracy": 0.93}, 420.5)


def _condensed(dataset: str, ipc: int, row: int, seed: int, experts: list[str]) -> Record:
    name = "random" if row == 0 else f"m{row}"
    settings = {"iterations": 10_000, "lr_img": 0.1 * (row + 1), "momentum": 0.5, "batch_real": 128, "factor": 1}
    settings |= {"augment": "color_crop_cutout_flip_scale_rotate", "init": "random", "downsample": "nearest"}
    resolved = {"method": name, "version": 1, "settings": settings, "ipc": ipc, "seed": seed}
    resolved |= {"architecture": "convnet3", "dataset": _dataset(dataset), "experts": experts}
    card = {"name": name, "title": name.upper(), "family": FAMILIES[row % 3] if row else "coreset", "paper": ""}
    card |= {"venue": "here", "year": 2000 + row, "native": "dsa"}
    display = _display(dataset, name) | {"card": card, "overrides": "", "provenance": "paper"}
    display |= {"iterations_fraction": 1.0, "factor": 1}
    images = ipc * DATASETS[dataset]
    result = {"stored_images": images, "decoded_images": images, "factor": 1, "bytes": 12_288 * images}
    return _record("condense", resolved, display, result | {"losses": {"match": 0.5}}, 1000.0 + row + seed)


def _evaluated(condensed: Record, network: str, protocol: str) -> Record:
    recipe = {"name": protocol, "version": 1, "epochs": PROTOCOLS[protocol], "lr": 0.01, "momentum": 0.9, "batch": 256}
    recipe |= {"weight_decay": 0.0005, "augment": "color_crop_cutout_flip_scale_rotate", "mixing": "cut"}
    values, display = condensed["resolved"], condensed["display"]
    resolved = {"set": condensed["identity"], "seed": values["seed"], "architecture": network, "protocol": recipe}
    resolved |= {"num_eval": 5, "dataset": values["dataset"]}
    shown = {**display, "ipc": values["ipc"], "condense_architecture": "convnet3", "protocol": protocol}
    shown["role"] = "baseline" if display["display_name"] == "random" else "method"
    del shown["overrides"]
    spread = int(condensed["identity"][:4], 16) / 0xFFFF / 50
    mean = 0.2 + 0.1 * len(values["method"]) + spread
    result = scores([mean + 0.001 * step for step in range(5)])
    result |= {"optimizer_steps": 1000, "decoded_images": 100, "validation_accuracies": []}
    return _record("evaluate", resolved, shown, result, 300.0)


def _dataset(name: str) -> Record:
    constants = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2023, 0.1994, 0.201]}
    return {"fingerprint": identity({"name": name}), "flip": True, **constants}


def _display(dataset: str, name: str) -> Record:
    display = {"dataset": dataset, "dataset_title": dataset.upper(), "published_as": dataset, "display_name": name}
    return display | {"num_classes": DATASETS[dataset], "train_images": 50_000}


def _record(kind: str, resolved: Record, display: Record, result: Record, seconds: float) -> Record:
    facts = {"seconds": seconds, "steps": 10_000, "peak_memory_bytes": 10**9, "environment": ENVIRONMENT}
    record = make_record(kind, resolved, display, result, **facts)
    return json.loads(json.dumps(record))  # records share no objects, as if each had been read from its file
