"""The memory allocator of this process: tuning glibc's malloc, and recognizing out-of-memory errors."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from functools import lru_cache

import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)
# Messages of torch's CPU allocator, of C++, of oneDNN (which found no room for the code it generates), of CUDA and its
# libraries.
_OUT_OF_MEMORY_MESSAGES = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a primitive",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@lru_cache(maxsize=1)
def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step instead of returning large blocks to the system.

    The first touch of a page from the system costs about as much as all computation on it. Without glibc, nothing
    happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_THRESHOLD, 2**30) or library.mallopt(_MMAP_THRESHOLD, 2**25)  # older glibc's maximum
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def release_freed_memory() -> None:
    """Return freed memory to the system, so that the peak of what follows can be measured."""
    _collect_garbage()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _collect_garbage() -> None:
    """Of all objects the first time, and later of those made since: the modules alone would take 0.1 s each time."""
    gc.collect()
    _freeze_once()


@lru_cache(maxsize=1)
def _freeze_once() -> None:
    gc.freeze()


def out_of_memory(error: BaseException) -> bool:
    """Whether the error says that a GPU or this machine ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(message in str(error) for message in _OUT_OF_MEMORY_MESSAGES)
