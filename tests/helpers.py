"""Parts that several tests build on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_module
from torch import Tensor

from benchmark.compute.engine import Compute
from benchmark.config import compose as options
from benchmark.planning import grid

CPU = Compute(torch.device("cpu"), "fp32", threads=1)


def outcome(out: Path) -> dict[str, object]:
    """All that must not depend on interruptions: the bytes of what was made, and every network's accuracy."""
    made: dict[str, object] = {path.relative_to(out).as_posix(): path.read_bytes()
                               for path in sorted(out.glob("*/*/*.safetensors"))}  # fmt: skip
    for path in out.glob("evaluate/*/record.json"):
        made[path.parent.name] = json.loads(path.read_text())["result"]["accuracies"]
    return made


def planned(*words: str, shares: grid.Shares | None = None) -> grid.Plan:
    """What these words of a command ask for."""
    options.register()
    with initialize_config_module("benchmark.conf", version_base="1.3"):
        return grid.build(options.parse(compose("run", overrides=[*words])), shares=shares)


def same(left: Any, right: Any) -> bool:
    """Equal types, shapes and bits, all the way down."""
    if isinstance(left, Tensor):
        raw = [x.contiguous().flatten().view(torch.uint8) for x in (left, right)]
        return left.dtype == right.dtype and left.shape == right.shape and torch.equal(*raw)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right
