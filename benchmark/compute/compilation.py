"""Compilation with torch.compile: a function is compiled at its first call for each shape, and cached on disk.

Compiled code fuses the operations between convolutions and so saves memory traffic; its results are the same up to
rounding. Where torch cannot compile a function, it runs uncompiled, and one log line gives the reason. Where its cache
cannot be written, it gets a temporary one.
"""

from __future__ import annotations

import getpass
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

_CACHE = "TORCHINDUCTOR_CACHE_DIR"
MAX_VARIANTS = 32  # of one function in one task: no method needs as many shapes, so a value must change in every step
MAX_KEPT_VARIANTS = 48  # kept in memory between tasks; with more, torch starts afresh and reads its cache on disk


class Compiler:
    """Which functions have been compiled in this process, and which could not be."""

    def __init__(self) -> None:
        self.unavailable = ""  # why no function can be compiled on this machine, "" if compiling works
        self._uncompilable: dict[object, str] = {}  # why, by the code of the function
        self._uncompiled_in_task: dict[object, str] = {}  # the same, for this task alone
        self._compiled_functions: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._variants: dict[Callable[..., Any], int] = {}  # compiled in this task, by function
        self._num_kept = 0  # variants in the process
        self.uncompiled: list[str] = []  # reasons, for what this task runs uncompiled although compiling was on
        self.log: Callable[[str], None] = lambda text: None
        self._temporary_cache: tempfile.TemporaryDirectory[str] | None = None  # deleted when the process ends
        self._cache_error = ""  # why torch's own cannot be written

    def begin_task(self, log: Callable[[str], None]) -> None:
        """Start a new task. `log` is called once with each reason why something runs uncompiled."""
        self.log = log
        self.uncompiled = []
        self._uncompiled_in_task.clear()
        self._variants.clear()
        self._log_cache()
        if self._num_kept > MAX_KEPT_VARIANTS:
            torch._dynamo.reset()
            self._num_kept = 0

    def restore(self, uncompiled: Sequence[str]) -> None:
        """Add the reasons of a checkpoint that the task resumes from; they were logged before."""
        self.uncompiled = list(dict.fromkeys([*uncompiled, *self.uncompiled]))

    def compiles(self, function: Callable[..., Any]) -> bool:
        """Whether the function can be compiled, as far as is known."""
        return not self.unavailable and not self._reason(function)

    def _reason(self, function: Callable[..., Any]) -> str:
        """Why this function cannot be compiled, "" if it can."""
        code = _code_of(function)
        if getattr(function, "__defaults__", None):
            return f"{_name_of(function)}: torch 2.11 does not see that default arguments change from step to step"
        return self._uncompilable.get(code) or self._uncompiled_in_task.get(code, "")

    def call(
        self, function: Callable[..., Any], *args: Any,
        inner: Callable[..., Any] | None = None, then: Callable[[Any], Any] | None = None,
    ) -> Any:  # fmt: skip
        """then(function(*args)), with the function and its derivative compiled if that is possible.

        inner: the method's own function that `function` calls, named in the log if it cannot be compiled. then: takes
        gradients of the result.
        """
        written = inner or function
        if self.compiles(written):
            try:
                return self._call_compiled(function, args, then)
            except _CannotCompile as error:
                if error.everything:
                    self.unavailable = str(error)
                else:
                    reasons = self._uncompiled_in_task if error.this_task_only else self._uncompilable
                    reasons[_code_of(written)] = f"{_name_of(written)}: {error}"
        reason = self.unavailable or self._reason(written)
        if reason not in self.uncompiled:
            self.uncompiled.append(reason)
            self.log(f"computing uncompiled, which is slower: {reason}")
        result = function(*args)
        return then(result) if then else result

    def _call_compiled(
        self, function: Callable[..., Any], args: Sequence[Any], then: Callable[[Any], Any] | None, tries: int = 2
    ) -> Any:
        if not self._compiled_functions:
            self._provide_cache()
        from torch._dynamo.exc import TorchDynamoException  # takes seconds to load, and makes the cache's folder

        if self._variants.get(function, 0) > MAX_VARIANTS:
            raise _CannotCompile("a number in it that is no tensor differs from step to step", this_task_only=True)
        if function not in self._compiled_functions:
            self._compiled_functions[function] = _compile(function)
        before = _num_graphs()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's warnings about its own code
                result = self._compiled_functions[function](*args)
                if then:
                    result = then(result)
        except (TorchDynamoException, RuntimeError) as error:
            names = _exception_names(error)
            if "InvalidCxxCompiler" in names or "InvalidCxxCompiler" in str(error):
                raise _CannotCompile("there is no working C++ compiler (g++ or clang++)", everything=True) from error
            if "CppCompileError" in names and tries > 1:  # Ctrl-C may have killed it, as it reaches the compiler too
                return self._call_compiled(function, args, then, tries - 1)
            if "CppCompileError" in names:
                raise _CannotCompile(
                    "the C++ compiler (g++ or clang++) fails", everything=not self._num_kept
                ) from error
            if not isinstance(error, TorchDynamoException):
                raise  # an error of the computation itself, above all running out of memory
            lines = str(getattr(error, "inner_exception", None) or error).strip().splitlines()
            raise _CannotCompile(lines[0] if lines else type(error).__name__) from error
        compiled = _num_graphs() - before
        self._variants[function] = self._variants.get(function, 0) + compiled
        self._num_kept += compiled
        return result

    def _provide_cache(self) -> None:
        """Take a temporary cache if torch's own cannot be written. Raises _CannotCompile if there can be none."""
        try:
            folder = kernel_cache()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                self._temporary_cache = tempfile.TemporaryDirectory(prefix="torchinductor-", ignore_cleanup_errors=True)
                os.environ[_CACHE] = self._temporary_cache.name
                self._cache_error = str(error)
                self._log_cache()
        except OSError as error:
            raise _CannotCompile(
                f"no folder for the compiler's cache can be written ({error})", everything=True
            ) from error

    def _log_cache(self) -> None:
        if self._cache_error:
            self.log(
                f"the compiler's cache cannot be written ({self._cache_error}): a temporary one is used; set {_CACHE}"
            )


class _CannotCompile(Exception):
    """Why a function, or `everything`, cannot be compiled. this_task_only: another task may compile it."""

    def __init__(self, reason: str, *, everything: bool = False, this_task_only: bool = False) -> None:
        super().__init__(reason)
        self.everything, self.this_task_only = everything, this_task_only


COMPILER = Compiler()


def kernel_cache() -> Path:
    """The folder of compiled code."""
    return Path(os.environ.get(_CACHE) or _default_cache())


def _default_cache() -> Path:
    """Where torch caches compiled code, by its own rule: torch._inductor.runtime.cache_dir_utils, slow to import."""
    try:
        user = getpass.getuser()
    except (KeyError, ImportError, OSError):  # a user without an account
        user = f"uid_{os.getuid()}"
    return Path(tempfile.gettempdir()) / f"torchinductor_{user}"


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch._dynamo.config as config
    import torch._inductor.config as inductor

    inductor.compile_threads = torch.get_num_threads()  # as many as the task may use
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns that there is no CUDA
    config.recompile_limit = config.accumulated_recompile_limit = 2**14  # never reached: MAX_VARIANTS is lower
    config.fail_on_recompile_limit_hit = True
    if not torch.cuda.is_initialized():  # a CPU waits for memory: recomputing cheap values is faster than storing them
        inductor.realize_reads_threshold, inductor.realize_opcount_threshold = 64, 200
    # Shapes are few and known beforehand, so each gets a kernel of its own; and the whole function or nothing of it.
    return torch.compile(function, dynamic=False, fullgraph=True)


def _num_graphs() -> int:
    """How many variants of functions have been compiled in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def _code_of(function: Callable[..., Any]) -> object:
    """The code object of a function, the same for all closures made of it, or the class of another callable."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "__code__", None) or type(function)


def _name_of(function: Callable[..., Any]) -> str:
    code = _code_of(function)
    return str(getattr(code, "co_qualname", None) or getattr(code, "__qualname__", code))


def _exception_names(error: BaseException | None) -> set[str]:
    """The class names of an exception, of its causes, and of the exceptions that they wrap."""
    names: set[str] = set()
    while error is not None:
        names |= {type(error).__name__, type(getattr(error, "inner_exception", None)).__name__}
        error = error.__cause__
    return names
