"""Halving when memory runs out: fewer pixels at once, the same values, and a log line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers import CPU

# In a process of its own, whose memory is limited to a little more than it has, so that the kernel refuses more.
SCRIPT = """
import json, re, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from benchmark import networks
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from benchmark.utils import seeding

pass_name, room = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
network = networks.build("convnet3-w32", (3, 32, 32), 4, seeding.generator("network")).requires_grad_(False)
images = torch.randn(4, 64, 3, 32, 32, generator=seeding.generator("images"))
labels = torch.arange(4)

def result_of(compute):
    if pass_name == "embed":
        return compute.mean_embedding(network, images)
    if pass_name == "gradients":
        return torch.cat([g.flatten() for g in compute.class_gradients(network, images, labels)])
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(compute.class_losses(network, leaf).sum(), leaf)[0]

small = Compute(torch.device("cpu"), "fp32", 1)
expected = result_of(small)
large = replace(small, chunk=2**30, graph=2**30)
logged = []
COMPILER.begin_task(logged.append)
if room:
    now = int(re.search(r"VmSize:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + room, now + room))
result = result_of(large)
off = float((result - expected).abs().max() / expected.abs().max())
sizes = {"chunk": large.chunk, "graph": large.graph}
print(json.dumps({"off": off, "down": large.stepped_down, "logged": logged} | sizes))
"""


def run_script(pass_name: str, room: int) -> dict[str, Any]:
    process = subprocess.run([sys.executable, "-c", SCRIPT, pass_name, str(room)], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a process's memory are Linux's")
@pytest.mark.parametrize(
    ("pass_name", "size", "mib"), [("embed", "chunk", 24), ("gradients", "chunk", 24), ("losses", "graph", 80)]
)
def test_fewer_pixels_are_forwarded_at_once_where_memory_runs_out(pass_name: str, size: str, mib: int) -> None:
    with_room, without = run_script(pass_name, 0), run_script(pass_name, mib * 2**20)
    assert with_room["down"] == 0 and with_room[size] == 2**30 and with_room["logged"] == []
    assert without["down"] == len(without["logged"]) > 0
    assert without[size] < 2**30 // 2 ** without["down"] + 1 and "memory ran out" in without["logged"][0]
    assert max(with_room["off"], without["off"]) < 1e-4


def test_sizes_are_not_halved_below_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that a GPU raises; each class holds two images of 8×8."""
    sizes: list[int] = []

    def losses(images: Tensor) -> Tensor:
        sizes.append(len(images))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    class Network:
        depends_on_batch = False

    compute = replace(CPU, graph=4 * 2 * 64)
    with pytest.raises(torch.OutOfMemoryError):
        compute.losses_by_class(Network(), losses, torch.zeros(8, 2, 3, 8, 8, requires_grad=True))
    assert sizes == [4, 2, 1] and (compute.graph, compute.stepped_down) == (2 * 64, 2)
