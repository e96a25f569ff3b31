"""The memory of this process: what the allocator keeps, and how one hears that there is no more."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from functools import lru_cache

import torch

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt(3)
# As torch's allocator says it, C++, oneDNN, which has no room for the code it makes, and CUDA with its libraries.
_NO_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a primitive",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


@lru_cache(maxsize=1)
def keep_memory() -> None:
    """Have glibc keep freed memory for the next step, of which it would else hand every large piece back and forth.

    A page of memory that the system gives anew costs about as much as all that is then computed on it. Without glibc
    nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_MMAP_THRESHOLD, 2**30) or library.mallopt(_MMAP_THRESHOLD, 2**25)  # the most of older ones
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def release_memory() -> None:
    """Hand back to the system what was kept and is free, so that what is needed from here on can be measured."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def out_of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out, of a GPU or of this machine."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error) for words in _NO_MEMORY)
