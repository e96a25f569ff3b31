"""The ladder down when memory runs out: fewer pixels at once, the same values, and a record that says so."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.compute.allocator import out_of_memory
from parts import CPU

# In a process of its own: its memory is limited to a little more than it has, so that the kernel itself says no.
SCRIPT = """
import json, re, resource, sys
from dataclasses import replace
from pathlib import Path
import torch
from benchmark import networks, seeds
from benchmark.compiled import COMPILER
from benchmark.compute import Compute

verb, room = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
network = networks.build("convnet3-w32", (3, 32, 32), 4, seeds.generator("network")).requires_grad_(False)
images = torch.randn(4, 64, 3, 32, 32, generator=seeds.generator("images"))
labels = torch.arange(4)

def found(compute):
    if verb == "embed":
        return compute.mean_embedding(network, images)
    if verb == "gradients":
        return torch.cat([g.flatten() for g in compute.class_gradients(network, images, labels)])
    leaf = images.clone().requires_grad_()
    return torch.autograd.grad(compute.class_losses(network, leaf).sum(), leaf)[0]

small = Compute(torch.device("cpu"), "fp32", 1)
wanted = found(small)
large = replace(small, chunk=2**30, graph=2**30)
said = []
COMPILER.begin_task(said.append)
if room:
    now = int(re.search(r"VmSize:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (now + room, now + room))
again = found(large)
off = float((again - wanted).abs().max() / wanted.abs().max())
print(json.dumps({"off": off, "down": large.stepped_down, "chunk": large.chunk, "graph": large.graph, "said": said}))
"""


def tried(verb: str, room: int) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", SCRIPT, verb, str(room)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of a process's memory are Linux's")
@pytest.mark.parametrize(
    ("verb", "rung", "mib"), [("embed", "chunk", 24), ("gradients", "chunk", 24), ("losses", "graph", 80)]
)
def test_fewer_pixels_are_forwarded_at_once_where_memory_runs_out(verb: str, rung: str, mib: int) -> None:
    with_room, without = tried(verb, 0), tried(verb, mib * 2**20)
    assert with_room["down"] == 0 and with_room[rung] == 2**30 and with_room["said"] == []
    assert without["down"] == len(without["said"]) > 0
    assert without[rung] < 2**30 // 2 ** without["down"] + 1 and "memory ran out" in without["said"][0]
    assert max(with_room["off"], without["off"]) < 1e-4


def test_below_one_image_there_is_no_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error that a GPU raises; each class holds two images of 8×8."""
    sizes: list[int] = []

    def losses(images: Tensor) -> Tensor:
        sizes.append(len(images))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")

    class Network:
        depends_on_batch = False

    compute = replace(CPU, graph=4 * 2 * 64)
    with pytest.raises(torch.OutOfMemoryError):
        compute.by_class(Network(), losses, torch.zeros(8, 2, 3, 8, 8, requires_grad=True))
    assert sizes == [4, 2, 1] and (compute.graph, compute.stepped_down) == (2 * 64, 2)


def test_other_errors_are_not_taken_for_it() -> None:
    assert out_of_memory(MemoryError()) and out_of_memory(torch.OutOfMemoryError("…"))
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"))
    assert out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert not out_of_memory(RuntimeError("shapes cannot be multiplied")) and not out_of_memory(ValueError("memory"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks of a process's memory are Linux's")
def test_a_small_task_after_a_large_one_needs_little_memory() -> None:
    """In a process that keeps freed memory, as all tasks' do."""
    script = """
import torch
from benchmark.environment import PeakMemory
from benchmark.memory import keep_memory
keep_memory()
needed = []
for mib in (600, 20):
    peak = PeakMemory(torch.device("cpu"))
    before = peak.bytes()
    pieces = [torch.ones(2**20 // 4) for _ in range(mib)]
    needed.append(peak.bytes() - before)
    del pieces
print(*needed)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    large, small = (int(needed) / 2**20 for needed in done.stdout.split())
    assert 590 < large < 700 and 10 < small < 100
