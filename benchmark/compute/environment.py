"""The machine and the software that computed a result. Recorded with it, never part of its identity."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmark.compute.allocator import release_freed_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from slurm.code_snapshot import COMMIT_FILE

SOURCES = Path(__file__).parents[2]  # the folder of this project's packages


def describe(compute: Compute) -> dict[str, Any]:
    """The `environment` of the running task's record, as JSON values: hardware, how it computes, versions, commit."""
    return {
        "device": device_name(compute.device),
        "device_type": compute.device.type,
        "driver": gpu_driver() if compute.device.type == "cuda" else None,
        "processor": processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "blas": blas_name(),
        "threads": compute.threads,
        "chunk": compute.chunk,
        "graph": compute.graph,
        "num_parallel": max(1, compute.num_parallel),
        "stepped_down": compute.stepped_down,
        "compiled": compute.compiled,
        "uncompiled": list(COMPILER.uncompiled),
        "precision": compute.precision,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),  # itself it takes a second to import
        "cuda": torch.version.cuda if compute.device.type == "cuda" else None,
        "host": socket.gethostname(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        **commit_of(Path(__file__)),
    }


def device_name(device: torch.device) -> str:
    """The name of the GPU, or of the processor."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


@lru_cache(maxsize=1)
def gpu_driver() -> str | None:
    """The version of NVIDIA's driver, None if it cannot be read."""
    with contextlib.suppress(OSError):
        version = re.search(r"Module\s+([\d.]+)", Path("/proc/driver/nvidia/version").read_text("utf-8"))
        return version[1] if version else None
    return None


@lru_cache(maxsize=1)
def blas_name() -> str:
    """The linear algebra library that torch was built with: "mkl", "openblas", …"""
    name = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return name[1] if name else "unknown"


@lru_cache(maxsize=1)
def processor_name() -> str:
    """The model of the CPU."""
    with contextlib.suppress(OSError):
        name = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8"))
        if name:
            return name[1]
    return platform.processor() or platform.machine()


@lru_cache(maxsize=16)
def commit_of(source: Path) -> dict[str, Any]:
    """The commit of a source file's checkout, and whether the checkout has changes (`dirty`); nulls without git.

    Queued jobs run a snapshot of this project's checkout, which has its commit in a file next to the packages.
    """
    if source.is_relative_to(SOURCES):
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((SOURCES / COMMIT_FILE).read_text("utf-8")))

    def git(*words: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(
                ["git", *words], cwd=source.parent, capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
        return None

    tracked = git("ls-files", "--error-unmatch", source.name)
    head = git("rev-parse", "HEAD") if tracked else None
    return {"commit": head, "dirty": bool(git("status", "--porcelain", "--untracked-files=no")) if head else None}


class PeakMemory:
    """Peak memory since its creation: allocations on the GPU, or the resident set of this process on Linux."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            release_freed_memory()  # kept from earlier tasks
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # resets the recorded peak

    def bytes(self) -> int | None:
        """The peak in bytes, None where the system does not report it."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with contextlib.suppress(OSError):
            peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
            if peak:
                return int(peak[1]) * 1024
        return None
