"""Where a result was made: versions, hardware, commit. Recorded with it, never part of its identity."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import socket
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torchvision

from benchmark.compute.allocator import release_memory
from benchmark.compute.compilation import COMPILER
from benchmark.compute.engine import Compute
from slurm.code_snapshot import COMMIT_FILE

SOURCES = Path(__file__).parents[2]  # the folder of this project's packages


def describe(compute: Compute) -> dict[str, Any]:
    """Device, threads, pixels, networks at once, compilation, precision, versions, host and commit, as JSON values.

    Of the task at work: uncompiled is what the compiler gave up in it.
    """
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
        "torchvision": torchvision.__version__,
        "cuda": torch.version.cuda if compute.device.type == "cuda" else None,
        "host": socket.gethostname(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        **commit_of(Path(__file__)),
    }


def device_name(device: torch.device) -> str:
    """The GPU's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name()


@lru_cache(maxsize=1)
def gpu_driver() -> str | None:
    """The version of NVIDIA's driver; None where it cannot be found."""
    with contextlib.suppress(OSError):
        found = re.search(r"Module\s+([\d.]+)", Path("/proc/driver/nvidia/version").read_text())
        return found[1] if found else None
    return None


@lru_cache(maxsize=1)
def blas_name() -> str:
    """The library that multiplies matrices on the CPU, as torch was built: "mkl", "openblas", …"""
    found = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
    return found[1] if found else "unknown"


@lru_cache(maxsize=1)
def processor_name() -> str:
    """The model of the CPU."""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()


@lru_cache(maxsize=16)
def commit_of(source: Path) -> dict[str, Any]:
    """The commit of the checkout that a source file is in, and whether that was changed since; nulls without git.

    A snapshot of this project's checkout, as queued jobs run, says beside its packages of which commit it is.
    """
    here = source.parent
    if source.is_relative_to(SOURCES):
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((SOURCES / COMMIT_FILE).read_text()))

    def git(*words: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, timeout=10, check=True)
            return done.stdout.strip()
        return None

    tracked = git("ls-files", "--error-unmatch", source.name)
    head = git("rev-parse", "HEAD") if tracked else None
    return {"commit": head, "dirty": bool(git("status", "--porcelain", "--untracked-files=no")) if head else None}


class PeakMemory:
    """The most memory a task had at once, in bytes: the GPU's allocations, or this process's resident set on Linux."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        else:
            release_memory()  # of tasks before
            with contextlib.suppress(OSError):
                Path("/proc/self/clear_refs").write_text("5")  # restarts the high-water mark

    def bytes(self) -> int | None:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
            if found:
                return int(found[1]) * 1024
        return None
